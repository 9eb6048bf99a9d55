"""Remembered parts answer what they would have computed, and nothing stays behind."""

import numpy as np
import pytest
import torch
from torch import nn

from merkit.data.batch import Batch, Tokens
from merkit.models.merc2020 import MERC2020Model
from merkit.schema import TargetSpec
from merkit.training.remembering import remembering
from merkit.training.views import find_views

SPECS = tuple(TargetSpec(name, "single_label", tuple("abc")) for name in ("emotion", "face_emotion"))


@pytest.fixture
def model():
    torch.manual_seed(0)
    widths = {"speech": 128, "face": 3 * 32 * 32, "text": 8}
    small = {"backbone": "tiny", "hidden": 4}
    made = MERC2020Model(
        "multimodal", widths, SPECS, speech={**small, "frames": 32}, face=small, text={"layers": 1, "heads": 2, "feedforward": 8}
    )  # fmt: skip
    return made.eval()


def batch_of(seed: int, size: int = 3) -> Batch:
    rng = np.random.default_rng(seed)
    face = torch.from_numpy(rng.integers(0, 256, (size, 1, 2, 3 * 32 * 32)).astype(np.uint8))
    speech, text = (torch.from_numpy(rng.random((size, 1, t, d)).astype(np.float32)) for t, d in ((30, 128), (4, 8)))
    tokens = {name: Tokens(x, torch.ones(x.shape[:3], dtype=torch.bool)) for name, x in
              (("speech", speech), ("face", face), ("text", text))}  # fmt: skip
    return Batch(tuple(map(str, range(size))), size, tokens)


@torch.inference_mode()
def test_every_view_of_every_batch_is_answered_as_without(model):
    """Batches that differ, that are alike in one stream, and that are of another size, one after the other."""
    one, other = batch_of(0), batch_of(1)
    alike = Batch(one.ids, 3, {**other.tokens, "speech": one.tokens["speech"]})
    hidden = Batch(
        one.ids, 3, {**one.tokens, "speech": Tokens(one.tokens["speech"].x, one.tokens["speech"].mask & False)}
    )
    batches = [one, other, alike, one, hidden, batch_of(2, size=1)]
    seen = [view(batch, ("face",)) for batch in batches for view in find_views("12")]
    expected = [model(batch) for batch in seen]
    calls = dict.fromkeys(model.networks, 0)

    def counted(name, inner):
        def forward(tokens):
            calls[name] += 1
            return inner(tokens)

        return forward

    with remembering(model):
        for name, net in model.networks.items():
            net.forward.forward = counted(name, net.forward.forward)
        made = [model(batch) for batch in seen]
    for got, want in zip(made, expected, strict=True):
        for name in want:
            assert torch.equal(got[name], want[name])
    # one after the other: the voice of the fourth batch is that of the third, the words of the third those of the second
    assert calls == {"speech": 5, "text": 4, "face": 72}
    assert not any("forward" in vars(module) for module in model.modules())


def test_what_a_caller_writes_into_an_answer_is_not_remembered(model):
    class Doubling(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = Part()

        def forward(self, tokens):
            said = self.part(tokens)
            said *= 2
            return said

    class Part(nn.Module):
        def forward(self, tokens):
            return tokens.x.sum((1, 2, 3))

    tokens = batch_of(0).tokens["text"]
    doubling = Doubling().eval()
    with remembering(doubling):
        assert torch.equal(doubling(tokens), doubling(tokens))
        assert torch.equal(doubling(tokens), 2 * tokens.x.sum((1, 2, 3)))


def test_a_failure_leaves_the_model_as_it_was_and_training_mode_is_refused(model):
    with pytest.raises(KeyError), remembering(model):
        raise KeyError
    assert not any("forward" in vars(module) for module in model.modules())
    with pytest.raises(ValueError, match="training mode"), remembering(model.train()):
        pass
