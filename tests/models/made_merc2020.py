"""Small MERC2020 networks whose norms have seen data, so that what goes in shows in what comes out."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from merkit.data import Batch, Tokens
from merkit.models.merc2020 import MERC2020Model
from merkit.schema import TargetSpec

__all__ = ["EMOTIONS", "SMALL", "SPECS", "WIDTHS", "batch_of", "model_of", "settled", "tokens"]

EMOTIONS = ("happy", "angry", "disgust", "fear", "sad", "neutral", "surprise")
SPECS = tuple(TargetSpec(name, "single_label", EMOTIONS) for name in ("emotion", "face_emotion", "speech_emotion"))
WIDTHS = {"speech": 64, "face": 3 * 32 * 32, "text": 8}
SMALL: dict[str, dict[str, Any]] = {
    "speech": {"backbone": "tiny", "frames": 100, "hidden": 6},
    "face": {"backbone": "tiny", "hidden": 6},
    "text": {"layers": 2, "heads": 2, "feedforward": 24},
}


def tokens(x: torch.Tensor, lengths: Sequence[int]) -> Tokens:
    """`(B, T, D)` of which row `b` has its first `lengths[b]` tokens."""
    return Tokens(x[:, None], (torch.arange(x.shape[1]) < torch.tensor(lengths)[:, None])[:, None])


def settled(net: nn.Module, *given: Any) -> nn.Module:
    """In evaluation mode, the norms' statistics being those of `given`; fresh ones would let next to nothing through."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        net.train()(*given)
    for norm in norms:
        norm.momentum = 0.1
    return net.eval()


def batch_of(
    lengths: Mapping[str, Sequence[int]],
    seed: int = 0,
    dtype: torch.dtype = torch.uint8,
    widths: Mapping[str, int] = WIDTHS,
) -> Batch:
    """Clips of so many frames, pictures and words."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, own in lengths.items():
        shape = (len(own), max(*own, 1), widths[name])
        if name == "face":
            x = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
            x = x if dtype == torch.uint8 else x.float() / 255
        else:
            x = (torch.rand if name == "speech" else torch.randn)(shape, generator=generator)
        made[name] = tokens(x, own)
    size = len(next(iter(lengths.values())))
    return Batch(tuple(map(str, range(size))), size, made)


def model_of(mode: str, specs: Sequence[TargetSpec] = SPECS, **settings: Any) -> MERC2020Model:
    """A settled model of small networks; settings named after a modality are added to those of its network."""
    torch.manual_seed(0)
    parts = {name: {**SMALL[name], **settings.pop(name, {})} for name in SMALL}
    model = MERC2020Model(mode, WIDTHS, specs, **parts, **settings)
    frozen, model.frozen = model.frozen, False
    settled(model, batch_of({"speech": [90, 40, 70], "face": [5, 3, 4], "text": [5, 2, 6]}, seed=99))
    model.frozen = frozen
    return model
