"""Any image encoder by name, one vector a picture: ViT, DINOv2, CLIP's and SigLIP's eyes, ResNet, ConvNeXt, Swin …

A picture is brought to the size, crop and scale that the checkpoint's own preprocessor_config.json states, by
transformers' processor over Pillow: torchvision is not needed, and where it is installed the numbers are the same.
"""

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from merkit.errors import ConfigError, WeightError
from merkit.networks.hub_model import ModelSource, find_model, model_sha256, preprocessing, pretrained
from merkit.networks.text_encoder import quiet_transformers

__all__ = ["ImageEncoder", "ImagePooling", "load_image_encoder"]

ImagePooling = Literal["auto", "cls", "mean", "pooled"]

_BATCH = 8


class ImageEncoder(nn.Module):
    """Pictures -> `(B, D)`.

    Args:
        backbone: a transformers image model without a head.
        processor: of the same checkpoint.
        pooling: `cls` = the class token's last state; `mean` = of all patches' last states, or over the last map; `pooled` =
            the model's own pooling. `auto` = `pooled` for CLIP and its kin, whose pooling is part of their training, else
            `cls` where there is a class token, else `pooled`, else `mean`.
        trained_pooler: whether the checkpoint has weights for the model's own pooling, or that needs none.
        name: for messages and `id`.
        sha256: of the weights.

    Raises:
        ConfigError: it has no such pooling.
    """

    def __init__(
        self,
        backbone: Any,
        processor: Any,
        *,
        pooling: ImagePooling = "auto",
        trained_pooler: bool = True,
        name: str = "",
        sha256: str = "",
    ) -> None:
        super().__init__()
        if pooling not in get_args(ImagePooling):
            raise ConfigError(f"pooling={pooling}: there are {', '.join(get_args(ImagePooling))}")
        seeing = getattr(backbone, "vision_model", None)  # of a model for pictures and texts
        self.backbone, self.processor = backbone if seeing is None else seeing, processor
        self.name, self.sha256 = name, sha256
        parameters = {key.rpartition(".")[2]: value for key, value in self.backbone.named_parameters()}
        has_class = "cls_token" in parameters or "class_embedding" in parameters
        registers = parameters.get("register_tokens")
        self._in_front = (
            int(has_class) + int("distillation_token" in parameters) + (0 if registers is None else registers.shape[1])
        )
        with torch.inference_mode():
            out = self._run(self.prepare(np.zeros((1, 64, 64, 3), np.uint8)))
        pools = getattr(out, "pooler_output", None) is not None
        if pooling == "auto":
            pooling = "pooled" if pools and trained_pooler and (seeing is not None or not has_class) else "mean"
            pooling = "cls" if has_class and seeing is None else pooling
        if pooling == "cls" and not has_class:
            raise ConfigError(f"pooling=cls: {name or 'this encoder'} has no class token; take pooled or mean")
        if pooling == "pooled" and not pools:
            raise ConfigError(f"pooling=pooled: {name or 'this encoder'} has no pooling of its own; take mean")
        if pooling == "pooled" and not trained_pooler:
            raise ConfigError(
                f"pooling=pooled: {name or 'this encoder'} comes without weights for it, so what that says is chance; take cls"
            )
        self.pooling = pooling
        self.width = int(self._pooled(out).shape[1])

    @property
    def id(self) -> str:
        """Name, hash and pooling: what its vectors depend on."""
        return f"{self.name}@{self.sha256[:12]}:{self.pooling}"

    def prepare(self, frames: np.ndarray) -> Tensor:
        """`(n, H, W, 3)` uint8 RGB -> `(n, 3, h, w)` float32, as the checkpoint wants them."""
        made = self.processor(list(frames), return_tensors="pt", input_data_format="channels_last")
        return made["pixel_values"]

    def forward(self, pixels: Tensor) -> Tensor:
        """Prepared pictures `(B, 3, h, w)` -> `(B, D)`."""
        return self._pooled(self._run(pixels))

    def _run(self, pixels: Tensor) -> Any:
        return self.backbone(pixel_values=pixels)

    def _pooled(self, out: Any) -> Tensor:
        if self.pooling == "pooled":
            return out.pooler_output.flatten(1)
        states = out.last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        if states.ndim == 4:
            return states.mean((2, 3))
        return states[:, self._in_front :].mean(1)

    @torch.inference_mode()
    def encode(self, frames: np.ndarray) -> np.ndarray:
        """`(n, H, W, 3)` uint8 RGB -> `(n, D)` float32, in evaluation mode; a few at a time."""
        device = next(self.parameters()).device
        found = np.zeros((len(frames), self.width), np.float32)
        before = self.training
        self.eval()
        for first in range(0, len(frames), _BATCH):
            pixels = self.prepare(frames[first : first + _BATCH]).to(device)
            found[first : first + _BATCH] = self(pixels).float().cpu().numpy()
        self.train(before)
        return found


def load_image_encoder(name: str, *, pooling: ImagePooling = "auto", download: bool = False) -> ImageEncoder:
    """The image encoder of that name, frozen, in evaluation mode.

    Args:
        name: `resnet-50` of the catalogue, a folder, or a name on the Hugging Face hub.
        pooling: see `ImageEncoder`.
        download: fetch what is not on this machine.

    Raises:
        WeightError: not on this machine, weights missing, or no encoder of pictures.
        ConfigError: a pooling that it does not have.

    Example:
        >>> load_image_encoder("facebook/dinov2-small").encode(frames).shape  # doctest: +SKIP
        (48, 384)
    """
    source = find_model(name, "image encoder", download=download)
    processor = _processor(source)
    backbone, missing = pretrained(source)
    pooler = [key for key in missing if "pooler." in key]
    lacking = [key for key in missing if key not in pooler and "text" not in key]
    if lacking:
        raise WeightError(f"image encoder {source.name!r}: no weights for {', '.join(lacking[:3])} in {source.folder}")
    if not hasattr(backbone, "vision_model") and getattr(backbone, "main_input_name", "") != "pixel_values":
        raise WeightError(f"image encoder {source.name!r} is a {backbone.config.model_type}, which takes no pictures")
    encoder = ImageEncoder(
        backbone.requires_grad_(False),
        processor,
        pooling=pooling,
        trained_pooler=not pooler,
        name=source.name,
        sha256=model_sha256(source),
    )
    return encoder.eval()


def _processor(source: ModelSource) -> Any:
    from transformers import AutoImageProcessor

    preprocessing(source, "image_processor")  # says in plain words what is missing
    try:
        with quiet_transformers():
            return AutoImageProcessor.from_pretrained(
                str(source.folder), backend="pil", local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise WeightError(
            f"image encoder {source.name!r}: its preprocessing cannot be read ({' '.join(str(error).split())[:300]})"
        ) from None
