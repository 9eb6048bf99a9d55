"""Losses on vectors against loops over anchors in float64."""

import numpy as np
import pytest
import torch

from merkit.models.losses import EMBEDDING_LOSSES, InfoNCELoss, SupervisedContrastiveLoss, TripletLoss


def problem(rows: int = 14) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(rows, 6))).requires_grad_()
    label = torch.from_numpy(rng.integers(0, 4, rows))
    label[0] = 9  # nobody else is of this class
    valid = torch.ones(rows, dtype=torch.bool)
    valid[3] = False
    return x, label, valid


def unit(x: torch.Tensor) -> np.ndarray:
    x = x.detach().numpy()
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_triplets_take_the_farthest_friend_and_the_nearest_stranger() -> None:
    x, label, valid = problem()
    v, losses = unit(x), []
    for i in np.flatnonzero(valid):
        friends = [np.linalg.norm(v[i] - v[j]) for j in np.flatnonzero(valid & (label == label[i])) if j != i]
        strangers = [np.linalg.norm(v[i] - v[j]) for j in np.flatnonzero(valid & (label != label[i]))]
        if friends and strangers:
            losses.append(max(0.0, max(friends) - min(strangers) + 0.3))
    assert TripletLoss(0.3)(x, label, valid).item() == pytest.approx(np.mean(losses), abs=1e-5)


def test_supervised_contrast_is_the_mean_over_friends_outside_the_logarithm() -> None:
    x, label, valid = problem()
    v, losses = unit(x), []
    for i in np.flatnonzero(valid):
        others = [j for j in np.flatnonzero(valid) if j != i]
        total = sum(np.exp(v[i] @ v[j] / 0.2) for j in others)
        friends = [-np.log(np.exp(v[i] @ v[j] / 0.2) / total) for j in others if label[j] == label[i]]
        if friends:
            losses.append(np.mean(friends))
    assert SupervisedContrastiveLoss(0.2)(x, label, valid).item() == pytest.approx(np.mean(losses), rel=1e-6)


def test_info_nce_is_cross_entropy_both_ways_over_rows_that_have_both() -> None:
    x, _, valid = problem()
    y = torch.from_numpy(np.random.default_rng(1).normal(size=tuple(x.shape)))
    score = (unit(x) @ unit(y).T / 0.5)[np.ix_(valid, valid)]
    forth = np.mean([-row[i] + np.log(np.exp(row).sum()) for i, row in enumerate(score)])
    back = np.mean([-row[i] + np.log(np.exp(row).sum()) for i, row in enumerate(score.T)])
    assert InfoNCELoss(0.5)(x, y, valid).item() == pytest.approx((forth + back) / 2, rel=1e-6)


def test_a_learned_temperature_gets_a_gradient_and_a_fixed_one_is_no_parameter() -> None:
    x, _, _ = problem()
    learned = InfoNCELoss(learned=True)
    learned(x, x.detach().flip(0)).backward()
    assert learned.log_scale.grad is not None and learned.log_scale.grad != 0
    assert not list(InfoNCELoss().parameters())


@pytest.mark.parametrize("name", EMBEDDING_LOSSES)
def test_a_batch_without_partners_gives_zero_with_a_finite_gradient(name: str) -> None:
    x, label, _ = problem()
    loss = EMBEDDING_LOSSES[name]()
    nothing = torch.zeros(len(x), dtype=torch.bool)
    got = loss(x, x * 2, nothing) if name == "info_nce" else loss(x, label, nothing)
    got.backward()
    assert got.item() == 0.0 and torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("name", ["triplet", "supervised_contrastive"])
def test_pulling_a_class_together_lowers_the_loss_and_gradients_survive_equal_vectors(name: str) -> None:
    x, label, valid = problem()
    loss = EMBEDDING_LOSSES[name]()
    centre = torch.eye(6, dtype=torch.float64)[label % 6]
    together = (0.9 * centre + 0.1 * x.detach()).requires_grad_()
    assert loss(together, label, valid) < loss(x, label, valid)
    same = torch.ones(6, 4, requires_grad=True)
    loss(same, torch.tensor([0, 0, 0, 1, 1, 1])).backward()
    assert torch.isfinite(same.grad).all()
