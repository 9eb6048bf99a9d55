"""Face tokens: one vector per crop."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch

from merkit.features.extractor import catalogue_hashes, extractor_id
from merkit.networks.face_api import FaceExpression, load_face_api_expression, prepare_faces
from merkit.networks.face_net import FACE_NET_WIDTH, FaceNet, grey48, load_face_net
from merkit.weights.shipped import shipped_sha256

__all__ = ["FaceApiExtractor", "FaceNetExtractor"]

_BATCH = 64


class FaceNetExtractor:
    """merkit's own expression network: `(n, S, S, 3)` uint8 crops to `(n, 192)`, the mean over a face and its mirror image.

    Example:
        >>> FaceNetExtractor().width
        192
    """

    name = "face-net"
    version = 1
    modality = "face"
    width = FACE_NET_WIDTH
    rate_hz = None
    weights: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.params: dict[str, object] = {}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params, [shipped_sha256("face-net")])

    @cached_property
    def _net(self) -> FaceNet:
        return load_face_net()

    @torch.inference_mode()
    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """One token per crop, in order."""
        return by_batch(inputs, self.width, self._both_sides)

    def _both_sides(self, crops: np.ndarray) -> torch.Tensor:
        x = grey48(crops).contiguous(memory_format=torch.channels_last)
        return (self._net(x) + self._net(x.flip(3))) / 2


class FaceApiExtractor:
    """The expression network of face-api: `(n, S, S, 3)` uint8 crops to its 7 logits, in its own order of classes.

    Its weights are MIT by their author, so it is what `--licence permissive` judges faces with.
    """

    name = "face-api-expression"
    version = 1
    modality = "face"
    width = 7
    rate_hz = None
    weights = ("face-api-expression",)

    def __init__(self) -> None:
        self.params: dict[str, object] = {}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params, catalogue_hashes(self.weights))

    @cached_property
    def _net(self) -> FaceExpression:
        return load_face_api_expression()

    @torch.inference_mode()
    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """One token per crop, in order."""
        return by_batch(inputs, self.width, lambda crops: self._net(prepare_faces(crops))[1])


def by_batch(crops: np.ndarray, width: int, tokens_of: Callable[[np.ndarray], torch.Tensor]) -> np.ndarray:
    """Tokens of any number of crops, made 64 at a time: `(n, width)` float32."""
    out = np.zeros((len(crops), width), np.float32)
    for first in range(0, len(crops), _BATCH):
        out[first : first + _BATCH] = tokens_of(np.ascontiguousarray(crops[first : first + _BATCH])).numpy()
    return out
