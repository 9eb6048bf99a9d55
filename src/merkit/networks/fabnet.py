"""FAb-Net's encoder: a face's attributes learnt from films without labels (Wiles, Koepke, Zisserman, BMVC 2018).

Eight convolutions halve a face of 256 x 256 until one place with 256 numbers is left. Its authors publish the checkpoints
as `release_bmvc_fabnet.zip` on the project's page (robots.ox.ac.uk/~vgg/research/unsup_learn_watch_faces); none is in a
package registry and no licence is stated for them, so they are fetched by hand and converted here:

    python -m merkit.networks.fabnet release/affectnet_4views.pth FOLDER

A checkpoint is a dict. The network lies under `state_dict_model` where `state_dict` is a linear layer on top of it (the
files named after a data set), else under `state_dict`; in it, `encoder.<place>.weight` and so on, with `decoder.` and
`mask.`, which made films for training, beside it.
"""

import argparse
import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.atomic import replacing
from merkit.errors import WeightError
from merkit.networks.checkpoint import adopt
from merkit.weights.cache import sha256_of

__all__ = ["FABNET_WIDTH", "FabNet", "convert_fabnet", "is_fabnet", "load_fabnet"]

FABNET_WIDTH, SIZE = 256, 256
_FILTERS = (32, 64, 128, 256, 256, 256, 256, FABNET_WIDTH)
_KIND = "fab-net"
_WEIGHTS, _ABOUT = "model.safetensors", "config.json"


class FabNet(nn.Module):
    """Faces `(B, 3, 256, 256)`, RGB in [0, 1] -> `(B, 256)`.

    The first and the last convolution have no batch normalisation, the last no activation. The places of `layers` are those
    of the published encoder.

    Example:
        >>> FabNet().eval()(torch.zeros(2, 3, 256, 256)).shape
        torch.Size([2, 256])
    """

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for i, (before, after) in enumerate(zip((3, *_FILTERS), _FILTERS, strict=False)):
            if i:
                parts.append(nn.LeakyReLU(0.2))
            parts.append(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1))
            if 0 < i < len(_FILTERS) - 1:
                parts.append(nn.BatchNorm2d(after))
        self.layers = nn.Sequential(*parts)

    def forward(self, faces: Tensor) -> Tensor:
        """`(B, 3, 256, 256)` in [0, 1] -> `(B, 256)`."""
        return self.layers(faces).flatten(1)

    @staticmethod
    def prepare(crops: np.ndarray) -> Tensor:
        """Square crops `(n, S, S, 3)` uint8 -> `(n, 3, 256, 256)` in [0, 1]: bilinear, antialiased, no mean or deviation."""
        x = torch.tensor(crops).permute(0, 3, 1, 2).float() / 255
        if x.shape[-2:] != (SIZE, SIZE):
            x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
        return x.contiguous(memory_format=torch.channels_last)


def convert_fabnet(checkpoint: str | Path, folder: str | Path) -> Path:
    """A published checkpoint as a folder that `load_fabnet` and `--encoder face=FOLDER` take.

    Args:
        checkpoint: as published; tensors, numbers and the names of its training's options are read, nothing is run.
        folder: gets `model.safetensors` and `config.json`.

    Returns:
        the folder.

    Raises:
        WeightError: it holds anything else, or no encoder of FAb-Net.
    """
    from safetensors.torch import save_file

    path, folder = Path(checkpoint), Path(folder)
    state = _encoder_of(_read(path), path)
    adopt(FabNet(), state, path)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / _WEIGHTS) as temporary:
        save_file({key: value.contiguous() for key, value in state.items()}, temporary)
    about = {"model_type": _KIND, "source": path.name, "source_sha256": sha256_of(path)}
    with replacing(folder / _ABOUT) as temporary:
        temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")
    return folder


def _read(path: Path) -> Any:
    try:
        # the options of the training lie beside the weights: a namespace, which is a plain bag of values
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise WeightError(f"{path}: not a checkpoint of tensors ({' '.join(str(error).split())[:300]})") from None


def _encoder_of(found: Any, path: Path) -> dict[str, Tensor]:
    """The encoder's tensors under this module's names."""
    for key in ("state_dict_model", "state_dict", None):
        state = found if key is None else found.get(key) if isinstance(found, Mapping) else None
        if not isinstance(state, Mapping):
            continue
        own = {
            str(name).removeprefix("module."): value
            for name, value in state.items()
            if str(name).removeprefix("module.").startswith("encoder.") and isinstance(value, Tensor)
        }
        if own:
            state = {f"layers.{name.removeprefix('encoder.')}": value for name, value in own.items()}
            # checkpoints from before it was counted lack it, and nothing is computed with it
            for name in FabNet().state_dict():
                if name.endswith("num_batches_tracked"):
                    state.setdefault(name, torch.tensor(0))
            return state
    keys = ", ".join(list(map(str, found))[:5]) if isinstance(found, Mapping) else type(found).__name__
    raise WeightError(f"{path}: no encoder of FAb-Net in it (it holds {keys})")


def is_fabnet(folder: str | Path) -> bool:
    """Whether `convert_fabnet` made the folder.

    Example:
        >>> is_fabnet("no such folder")
        False
    """
    try:
        return json.loads((Path(folder) / _ABOUT).read_text(encoding="utf-8")).get("model_type") == _KIND
    except (OSError, ValueError, AttributeError):
        return False


def load_fabnet(folder: str | Path) -> FabNet:
    """FAb-Net from a folder that `convert_fabnet` made, in evaluation mode.

    Raises:
        WeightError: it is none, or damaged.

    Example:
        >>> load_fabnet("no such folder")
        Traceback (most recent call last):
        ...
        merkit.errors.WeightError: no such folder: no converted FAb-Net (python -m merkit.networks.fabnet CHECKPOINT FOLDER)
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    if not is_fabnet(folder):
        raise WeightError(f"{folder}: no converted FAb-Net (python -m merkit.networks.fabnet CHECKPOINT FOLDER)")
    path = folder / _WEIGHTS
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightError(f"{path}: not readable as safetensors ({error})") from None
    return adopt(FabNet(), state, path)


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m merkit.networks.fabnet", description=convert_fabnet.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        convert_fabnet(options.checkpoint, options.folder)
    except WeightError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{options.folder}: converted; name it as --encoder face={options.folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
