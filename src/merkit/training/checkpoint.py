"""Checkpoints without pickle: one safetensors file that holds the tensors and, in its header, everything else as JSON.

A checkpoint appears under its name by a rename of a finished, synced file, so whatever kills the process while it is
being written, the name holds the whole old state or the whole new one.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from merkit.atomic import replacing
from merkit.errors import StoreError

__all__ = ["SafeCheckpointIO", "decode", "encode", "load_checkpoint", "save_checkpoint"]

_FORMAT = "merkit-checkpoint-1"


def encode(value: Any, tensors: dict[str, torch.Tensor], path: str = "") -> Any:
    """`value` as JSON types; tensors are put into `tensors` under the path that leads to them.

    Raises:
        TypeError: something that is neither plain data nor a tensor; a checkpoint never holds code.

    Example:
        >>> tensors = {}
        >>> encode({"step": 3, 0: (1.5, torch.zeros(2))}, tensors)
        {'~items': [['step', 3], [0, {'~tuple': [1.5, {'~tensor': '.0.1'}]}]]}
        >>> decode(_, tensors)
        {'step': 3, 0: (1.5, tensor([0., 0.]))}
    """
    if isinstance(value, torch.Tensor):
        # safetensors refuses two names over one storage
        tensors[path] = value.detach().cpu().clone().contiguous()
        return {"~tensor": path}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("~") for key in value):
            return {key: encode(item, tensors, f"{path}.{key}") for key, item in value.items()}
        return {"~items": [[key, encode(item, tensors, f"{path}.{key}")] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"~tuple": [encode(item, tensors, f"{path}.{i}") for i, item in enumerate(value)]}
    if isinstance(value, list):
        return [encode(item, tensors, f"{path}.{i}") for i, item in enumerate(value)]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()  # a numpy scalar
    raise TypeError(
        f"a checkpoint holds numbers, text, containers and tensors; {path or 'it'} is {type(value).__name__}"
    )


def decode(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """The inverse of `encode`."""
    if isinstance(value, list):
        return [decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "~tensor" in value:
        return tensors[value["~tensor"]]
    if "~tuple" in value:
        return tuple(decode(item, tensors) for item in value["~tuple"])
    if "~items" in value:
        return {key: decode(item, tensors) for key, item in value["~items"]}
    return {key: decode(item, tensors) for key, item in value.items()}


def save_checkpoint(state: Mapping[str, Any], path: str | Path) -> None:
    """Writes `state` to `path`: temporary file, sync, rename.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint({"epoch": 2, "weight": torch.ones(1)}, f"{folder}/last.ckpt")
        ...     load_checkpoint(f"{folder}/last.ckpt")
        {'epoch': 2, 'weight': tensor([1.])}
    """
    tensors: dict[str, torch.Tensor] = {}
    content = json.dumps(encode(state, tensors))
    with replacing(Path(path)) as temporary:
        save_file(tensors, temporary, metadata={"format": _FORMAT, "content": content})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())


def load_checkpoint(path: str | Path, device: str = "cpu") -> dict[str, Any]:
    """What `save_checkpoint` wrote.

    Raises:
        StoreError: there is no such file, or it is not a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise StoreError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, "pt", device=device) as file:
            about = file.metadata() or {}
            if about.get("format") != _FORMAT:
                raise StoreError(f"{path}: not a merkit checkpoint (format {about.get('format')!r})")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
            return decode(json.loads(about["content"]), tensors)
    except (SafetensorError, ValueError, KeyError) as error:
        raise StoreError(f"{path}: damaged checkpoint ({error})") from error


class SafeCheckpointIO(CheckpointIO):
    """Lightning's door to the two functions above."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """See the function of that name."""
        save_checkpoint(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """See the function of that name; tensors come to the CPU and Lightning moves them."""
        return load_checkpoint(path)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Deletes the file."""
        Path(path).unlink(missing_ok=True)
