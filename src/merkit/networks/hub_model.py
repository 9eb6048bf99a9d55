"""Any pretrained transformers model by name, with its own weights and nothing else of its repository's.

Text encoders have rules of their own (`text_pretrained`): their weights are read from safetensors alone. Many encoders of
speech were published before that format, so here a `pytorch_model.bin` serves where there is no other, read as tensors
only. No code that comes with a model is run, and a weight that is missing is an error.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from merkit.errors import WeightError
from merkit.networks.checkpoint import read_state
from merkit.networks.text_encoder import quiet_transformers
from merkit.networks.text_source import TextSource, find_text_source
from merkit.weights.cache import sha256_of

__all__ = ["ModelSource", "find_model", "model_sha256", "preprocessing", "pretrained"]

# name, folder and what it is
ModelSource = TextSource

_BIN = "pytorch_model.bin"
_PREPROCESSING = ("preprocessor_config.json", "processor_config.json")


def find_model(name: str, what: str, *, download: bool = False) -> ModelSource:
    """The model of that name on this machine.

    Args:
        name: a folder that `save_pretrained` wrote, a name of the catalogue, or a name on the Hugging Face hub.
        what: it is, for messages: `speech encoder`.
        download: fetch a hub name that is not on this machine; `pytorch_model.bin` only where there is no safetensors file.

    Raises:
        WeightError: it is not on this machine, or comes without weights.

    Example:
        >>> find_model("no such/encoder", "speech encoder")
        Traceback (most recent call last):
        ...
        merkit.errors.WeightError: speech encoder 'no such/encoder' is neither a folder nor a name on the Hugging Face hub
    """
    source = find_text_source(name, download=download, what=what, also=_PREPROCESSING)
    if download and not _weight_files(source):
        source = find_text_source(name, download=True, what=what, also=(*_PREPROCESSING, _BIN))
        if not _weight_files(source):
            # the cache knew the name, but not this file of it
            from huggingface_hub import snapshot_download

            snapshot_download(name, allow_patterns=[_BIN])
    if not _weight_files(source):
        raise WeightError(
            f"{what} {source.name!r}: {source.folder} holds no weights; wanted is model.safetensors or {_BIN}"
        )
    return source


def _weight_files(source: ModelSource) -> list[Path]:
    found = sorted(source.folder.glob("model*.safetensors"))
    return found or [path for path in (source.folder / _BIN,) if path.is_file()]


def model_sha256(source: ModelSource) -> str:
    """One hash over the weights, the architecture and the preprocessing: what a model's answers depend on."""
    files = [*_weight_files(source), source.folder / "config.json"]
    files += [path for name in _PREPROCESSING if (path := source.folder / name).is_file()]
    return hashlib.sha256("\n".join(f"{path.name} {sha256_of(path)}" for path in files).encode()).hexdigest()


def preprocessing(source: ModelSource, part: str) -> dict[str, Any]:
    """What the model's files say about its input.

    Args:
        source: of the model.
        part: its name in a `processor_config.json`, which newer checkpoints have: `feature_extractor`, `image_processor`.

    Raises:
        WeightError: they say nothing, or it is not JSON.
    """
    for name in _PREPROCESSING:
        path = source.folder / name
        if not path.is_file():
            continue
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise WeightError(f"{source.what} {source.name!r}: {path} is not JSON ({error})") from None
        found = found.get(part, found) if name == _PREPROCESSING[1] else found
        if isinstance(found, dict):
            return found
    raise WeightError(
        f"{source.what} {source.name!r}: {source.folder} holds no {_PREPROCESSING[0]}, so how its input is prepared is "
        "not known"
    )


def pretrained(source: ModelSource) -> tuple[Any, list[str]]:
    """The model without a head, float32, in evaluation mode; and the weights that the files lack, which are random.

    Raises:
        WeightError: it cannot be read, is of no kind that transformers knows, or brings code of its own.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel

    file = _weight_files(source)[0]
    wanted: dict[str, Any] = {
        "dtype": torch.float32, "output_loading_info": True, "trust_remote_code": False, "local_files_only": True
    }  # fmt: skip
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(str(source.folder), local_files_only=True, trust_remote_code=False)
            if file.name == _BIN:
                kind = AutoModel._model_mapping[type(config)]
                kind: Any = kind[0] if isinstance(kind, tuple) else kind
                del wanted["trust_remote_code"]
                model, about = kind.from_pretrained(None, config=config, state_dict=read_state(file), **wanted)
            else:
                model, about = AutoModel.from_pretrained(
                    str(source.folder), config=config, use_safetensors=True, **wanted
                )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightError(f"{source.what} {source.name!r}: it cannot be read ({error})") from None
    return model.eval(), sorted(about["missing_keys"])
