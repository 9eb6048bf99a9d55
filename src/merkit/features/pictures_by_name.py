"""Scene and face tokens of any image encoder that is named, and of FAb-Net: one vector a frame or a face crop."""

from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch

from merkit.features.extractor import extractor_id
from merkit.features.face import by_batch
from merkit.networks.fabnet import FABNET_WIDTH, SIZE, FabNet, load_fabnet
from merkit.networks.hub_model import find_model, model_sha256
from merkit.networks.image_encoder import ImageEncoder, ImagePooling, load_image_encoder
from merkit.schema import Modality
from merkit.weights.cache import sha256_of

__all__ = ["FabNetExtractor", "FaceEncoderExtractor", "SceneEncoderExtractor"]

# what the face follower cuts for everyone
_LEAST_PX = 112


class SceneEncoderExtractor:
    """Frames `(n, H, W, 3)` uint8 -> `(n, D)` float32, as the checkpoint's own preprocessing wants them.

    Most checkpoints crop the middle square: what stands at the edges of a wide picture is then not seen.

    Args:
        encoder: a folder, a name of the catalogue, or a name on the Hugging Face hub.
        pooling: `auto`, `cls`, `mean` or `pooled`, see `ImageEncoder`.
        download: fetch what is not on this machine.

    Raises:
        WeightError: it is not on this machine.
    """

    name = "image-encoder"
    version = 1
    modality: Modality = "scene"
    rate_hz = None
    weights: tuple[str, ...] = ()

    def __init__(self, encoder: str, pooling: ImagePooling = "auto", download: bool = False) -> None:
        self._source = find_model(encoder, "image encoder", download=download)
        self._encoder = encoder
        self.params = {"pooling": str(pooling)}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params, [model_sha256(self._source)])

    @cached_property
    def model(self) -> ImageEncoder:
        """The encoder, loaded at first use."""
        return load_image_encoder(self._encoder, pooling=cast(ImagePooling, self.params["pooling"]))

    @property
    def width(self) -> int:
        """`D`."""
        return self.model.width

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """One token per picture, in order."""
        return self.model.encode(inputs)


class FaceEncoderExtractor(SceneEncoderExtractor):
    """The same over face crops `(n, S, S, 3)`."""

    name = "face-image-encoder"
    modality: Modality = "face"

    @property
    def crop_px(self) -> int:
        """Side of the pictures that the encoder sees: crops are cut as large from the frame."""
        return max(_LEAST_PX, max(self.model.prepare(np.zeros((1, 64, 64, 3), np.uint8)).shape[-2:]))


class FabNetExtractor:
    """FAb-Net over face crops: `(n, S, S, 3)` uint8 -> `(n, 256)` float32. A frame without a face has no token.

    Args:
        folder: that `convert_fabnet` made.

    Raises:
        WeightError: it is none.
    """

    name = "fab-net"
    version = 1
    modality: Modality = "face"
    width = FABNET_WIDTH
    crop_px = SIZE
    rate_hz = None
    weights: tuple[str, ...] = ()

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder).expanduser()
        load_fabnet(self._folder)
        self.params: dict[str, object] = {}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params, [sha256_of(self._folder / "model.safetensors")])

    @cached_property
    def _net(self) -> FabNet:
        return load_fabnet(self._folder)

    @torch.inference_mode()
    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """One token per crop, in order."""
        return by_batch(inputs, self.width, lambda crops: self._net(FabNet.prepare(crops)))
