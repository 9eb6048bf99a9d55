"""Smoothed targets in both conventions, against the distributions written out."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from merkit.errors import ConfigError
from merkit.models.losses import build_loss
from merkit.schema import TargetSpec

K, EPS = 7, 0.1
EMOTION = TargetSpec("emotion", "single_label", ("happy", "angry", "disgust", "fear", "sad", "neutral", "surprise"))
SMOOTHED = {
    # torch: the true class gets a part of its own share back
    "all": lambda y: (1 - EPS) * y + EPS / K,
    # as published for MERC2020: the true class keeps 1 - ε
    "others": lambda y: (1 - EPS) * y + EPS * (1 - y) / (K - 1),
}


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logit = torch.randn(20, K, generator=generator)
    return logit, torch.randint(0, K, (20,), generator=generator), torch.rand(20, generator=generator) < 0.8


@pytest.mark.parametrize("spread", ["all", "others"])
def test_the_loss_is_cross_entropy_with_the_smoothed_target(spread: str) -> None:
    logit, target, valid = problem()
    log_prob = log_softmax(logit.double().numpy(), -1)[valid]
    hot = np.eye(K)[target]
    mixed = 0.3 * hot + 0.7 * hot[::-1]  # after mixup it makes no difference which comes first
    for y, given in ((hot, target), (mixed, torch.from_numpy(mixed).float())):
        wanted = -(SMOOTHED[spread](y[valid]) * log_prob).sum(-1).mean()
        loss = build_loss(EMOTION, smoothing=EPS, spread=spread)(logit, given, valid)
        assert loss.item() == pytest.approx(wanted, rel=1e-5)


def test_the_conventions_leave_the_true_class_different_shares() -> None:
    # the gradient of cross entropy at even logits is 1 / K minus the target
    shares = {}
    for spread in SMOOTHED:
        logit = torch.zeros(1, K, requires_grad=True)
        build_loss(EMOTION, smoothing=EPS, spread=spread)(logit, torch.tensor([2]), torch.tensor([True])).backward()
        shares[spread] = (1 / K - logit.grad[0]).tolist()
    for spread, own, each in (("others", 0.9, 0.1 / 6), ("all", 0.9 + 0.1 / 7, 0.1 / 7)):
        assert shares[spread] == pytest.approx([each, each, own, each, each, each, each], abs=1e-6)


def test_a_share_that_leaves_the_truth_less_than_the_rest_is_refused() -> None:
    build_loss(EMOTION, smoothing=6 / 7, spread="others")  # every class the same
    for bad in ({"smoothing": 0.9, "spread": "others"}, {"smoothing": 1.1}, {"smoothing": -0.1}, {"spread": "none"}):
        with pytest.raises(ConfigError, match="emotion"):
            build_loss(EMOTION, **bad)
