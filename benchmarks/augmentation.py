"""What augmentation adds to a training step: a batch of 32 clips of 400 mel frames, and one of 32 clips of 16 faces.

    python -m benchmarks.augmentation
    python -m benchmarks.augmentation --clips 8 --side 224

One thread. Milliseconds a batch, median [min, max]: the minimum is what the step costs, the rest is what else ran.
"""

import argparse
import time

import torch

from benchmarks.machine import header, spread
from merkit.data.augment import (
    Augment,
    BrightnessContrast,
    Chain,
    CutMix3D,
    Flip,
    Mixup,
    Rotation,
    SpecAugment,
    WordMixup,
)
from merkit.data.batch import Batch, Tokens
from merkit.schema import TargetSpec

EMOTION = TargetSpec("emotion", "single_label", ("happy", "angry", "disgust", "fear", "sad", "neutral", "surprise"))
FACE_LIGHT = BrightnessContrast("face", 0.5, 0.5)
STEPS: dict[str, list[tuple[str, Augment]]] = {
    "speech": [
        ("brightness and contrast", BrightnessContrast(prob=0.7)),
        ("time warp", SpecAugment(frequency_masks=0, time_masks=0)),
        ("masks", SpecAugment(warp=0)),
        ("SpecAugment", SpecAugment()),
        ("mixup", Mixup()),
    ],
    "face": [
        ("flip", Flip()),
        ("brightness and contrast", FACE_LIGHT),
        ("rotation", Rotation()),
        ("cutmix", CutMix3D()),
        ("mixup", Mixup()),
        ("flip, light, rotation, cutmix", Chain((Flip(), FACE_LIGHT, Rotation(), CutMix3D()))),
    ],
    "text": [("word mixup", WordMixup())],
}


def batch_of(stream: str, x: torch.Tensor) -> Batch:
    """All tokens real, answers at random."""
    size = len(x)
    tokens = {stream: Tokens(x[:, None], torch.ones(size, 1, x.shape[1], dtype=torch.bool))}
    known = {"emotion": torch.ones(size, dtype=torch.bool)}
    targets = {"emotion": torch.randint(0, 7, (size,))}
    return Batch(tuple(map(str, range(size))), size, tokens, targets=targets, valid=known)


def main(clips: int, side: int, repeats: int) -> None:
    """Prints a table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(header("torch"))
    bytes_ = torch.randint(0, 256, (clips, 16, 3 * side * side), dtype=torch.uint8)
    for stream, x in (
        ("speech", torch.rand(clips, 400, 128)),
        ("face", bytes_),
        ("face", bytes_.float() / 255),
        ("text", torch.rand(clips, 38, 200)),
    ):
        print(f"\n{stream} {tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}")
        batch = batch_of(stream, x)
        for name, step in STEPS[stream]:
            taken = []
            for _ in range(repeats + 1):
                begun = time.perf_counter()
                step(batch, [EMOTION])
                taken.append(1000 * (time.perf_counter() - begun))
            print(f"  {name:32s}{spread(taken[1:], ' ms', 1)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    main(arguments.clips, arguments.side, arguments.repeats)
