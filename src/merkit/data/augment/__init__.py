"""Changes made to a batch while training: frozen callables `(batch, specs) -> batch` that the objective calls.

Evaluation never calls the objective's augmentation, so none of this can touch it. Everything is drawn from torch's default
generator on the CPU, which training seeds from (seed, epoch, batch). What is decided before tokens are read (random clips,
which pictures of a face) is `merkit.data.token_sampling`.
"""

from merkit.data.augment.cutmix import CutMix3D
from merkit.data.augment.light import BrightnessContrast
from merkit.data.augment.mixing import Mixup, WordMixup
from merkit.data.augment.pictures import Flip, Rotation
from merkit.data.augment.spectrogram import SpecAugment
from merkit.data.augment.steps import Augment, Chain, FirstOf, unit_range

__all__ = [
    "Augment",
    "BrightnessContrast",
    "Chain",
    "CutMix3D",
    "FirstOf",
    "Flip",
    "Mixup",
    "Rotation",
    "SpecAugment",
    "WordMixup",
    "unit_range",
]
