"""Small batches whose every number says where it is from, for tests of augmentation."""

import numpy as np
import torch
from torch import Tensor

from merkit.data.batch import Batch, Tokens
from merkit.schema import TargetSpec

EMOTION = TargetSpec("emotion", "single_label", ("happy", "angry", "disgust", "fear", "sad", "neutral", "surprise"))
LIKING = TargetSpec("liking", "regression", ("valence",))
SPECS = [EMOTION, LIKING]


def batch_of(lengths: dict[str, list[int]], x: dict[str, Tensor]) -> Batch:
    """A batch of streams `(B, T, D)` whose first `lengths` tokens are real; the rest is set to 0."""
    tokens = {}
    for name, value in x.items():
        mask = torch.arange(value.shape[1]) < torch.tensor(lengths[name])[:, None]
        tokens[name] = Tokens((value * mask[..., None]).to(value.dtype)[:, None], mask[:, None])
    size = len(next(iter(x.values())))
    rng = np.random.default_rng(7)
    targets = {
        "emotion": torch.from_numpy(rng.integers(0, 7, size)),
        "liking": torch.from_numpy(rng.normal(size=(size, 1)).astype(np.float32)),
    }
    valid = {"emotion": torch.ones(size, dtype=torch.bool), "liking": torch.ones(size, 1, dtype=torch.bool)}
    return Batch(tuple(f"c{i}" for i in range(size)), size, tokens, targets=targets, valid=valid)


def spectrograms(lengths: list[int], bands: int = 128, seed: int = 0) -> Batch:
    """Stream `speech`: smooth noise in (0, 1], never 0 where it is real."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.05 + 0.95 * torch.rand(len(lengths), max(lengths), bands, generator=generator)
    return batch_of({"speech": lengths}, {"speech": x})


def faces(lengths: list[int], side: int = 12, *, bytes_: bool = False, seed: int = 0) -> Batch:
    """Stream `face`: square pictures of noise, uint8 or float in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(1, 256, (len(lengths), max(lengths), 3 * side * side), generator=generator, dtype=torch.uint8)
    return batch_of({"face": lengths}, {"face": x if bytes_ else x.float() / 255})


def pictures(batch: Batch) -> Tensor:
    """`(B, T, S, S, 3)` of a stream `face` with one person."""
    x = batch.tokens["face"].x[:, 0]
    side = round((x.shape[-1] / 3) ** 0.5)
    return x.unflatten(-1, (side, side, 3))
