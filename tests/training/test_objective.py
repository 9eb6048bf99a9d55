"""The loss on fused vectors goes by classes, whichever target comes first."""

import pytest
import torch

from merkit.data.batch import Batch
from merkit.errors import ConfigError
from merkit.models.classifier import Outputs
from merkit.models.losses import EMBEDDING_LOSSES, build_loss
from merkit.schema import TargetSpec
from merkit.training.objective import Objective

AROUSAL = TargetSpec("arousal", "regression", ("arousal",))
EMOTION = TargetSpec("emotion", "single_label", ("a", "b", "c"))
MOOD = TargetSpec("mood", "soft_label", ("a", "b", "c"))
TRUTH = torch.tensor([0, 0, 1, 1, 2, 2])
KNOWN = torch.tensor([True, True, True, True, True, False])


@pytest.mark.parametrize("name", ["anchor", "triplet", "supervised_contrastive"])
@pytest.mark.parametrize("specs", [(EMOTION,), (AROUSAL, EMOTION), (MOOD, EMOTION)], ids=["class", "value", "soft"])
def test_vectors_are_compared_by_the_first_target_of_classes(name: str, specs: tuple[TargetSpec, ...]) -> None:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    soft = torch.nn.functional.one_hot(TRUTH, 3) * 0.8 + 0.1
    targets = {"arousal": torch.rand(6, 1), "emotion": TRUTH, "mood": soft}
    valid = {"arousal": torch.ones(6, 1) > 0, "emotion": KNOWN, "mood": KNOWN[:, None].expand(6, 3)}
    out = Outputs({spec.name: torch.zeros(6, len(spec.labels)) for spec in specs}, x, {}, {}, {})
    batch = Batch(tuple("abcdef"), 6, {}, None, None, targets, valid)
    losses = {spec.name: build_loss(spec) for spec in specs}
    model = type("Answers", (), {"outputs": lambda self, batch: out})()
    loss = EMBEDDING_LOSSES[name]()
    added = Objective(specs, losses, embedding=(loss, 1.0))(model, batch) - Objective(specs, losses)(model, batch)
    assert added.item() == pytest.approx(loss(x, TRUTH, KNOWN).item(), rel=1e-4) and added > 0


def test_without_classes_there_is_nothing_to_compare_by() -> None:
    with pytest.raises(ConfigError, match=r"exclude one another; there is arousal \(regression\)"):
        Objective((AROUSAL,), {"arousal": build_loss(AROUSAL)}, embedding=(EMBEDDING_LOSSES["anchor"](), 1.0))
