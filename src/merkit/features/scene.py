"""Scene tokens: what the whole picture looks like, one vector a frame."""

from functools import cached_property
from typing import Literal

import numpy as np
import torch

from merkit.features.extractor import catalogue_hashes, extractor_id
from merkit.networks.efficientnet_lite import EfficientNetLite0, load_efficientnet_lite0

__all__ = ["SceneExtractor"]

_WIDTH = 1280
# as many frames at once as keep the float copy of a 1080p batch under 100 MB
_BATCH = 4


class SceneExtractor:
    """EfficientNet-Lite0's pooled feature: `(n, H, W, 3)` uint8 frames to `(n, 1280)`.

    The whole frame is squeezed to 224 x 224 (bilinear, antialiased) and scaled by `(RGB - 127) / 128`. The network's
    authors evaluate on the central 87.5 % of a square crop; a film frame is wide, and what stands at its edges is part
    of the scene, so nothing is cropped here. Frames alike in content but not in shape give nearly, not exactly, the
    same token.

    Args:
        dtype: what the network computes in. `bfloat16` takes about half the time where the CPU has AMX and longer where
            it has not; tokens then differ from machine to machine in the third digit, so it is part of the id.

    Example:
        >>> SceneExtractor().width, SceneExtractor().rate_hz
        (1280, None)
    """

    name = "efficientnet-lite0"
    version = 1
    modality = "scene"
    width = _WIDTH
    rate_hz = None
    weights = ("efficientnet-lite0",)

    def __init__(self, dtype: Literal["float32", "bfloat16"] = "float32") -> None:
        if dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype is `float32` or `bfloat16`; got {dtype!r}")
        self.params = {"dtype": dtype}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params, catalogue_hashes(self.weights))

    @cached_property
    def _net(self) -> EfficientNetLite0:
        return load_efficientnet_lite0(getattr(torch, self.params["dtype"]))

    @torch.inference_mode()
    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """One token per frame, in order."""
        out = np.zeros((len(inputs), self.width), np.float32)
        for first in range(0, len(inputs), _BATCH):
            frames = np.ascontiguousarray(inputs[first : first + _BATCH])
            out[first : first + _BATCH] = self._net(EfficientNetLite0.prepare(frames))[0].numpy()
        return out
