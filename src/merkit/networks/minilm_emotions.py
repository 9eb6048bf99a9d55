"""MiniLM with the layers that merkit tuned on GoEmotions, as a folder that transformers reads: something to begin with."""

import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from merkit.networks.minilm import BERT_PARTS, tuned_layers
from merkit.weights import locate
from merkit.weights.shipped import shipped_sha256

__all__ = ["minilm_emotions"]


def minilm_emotions() -> Path:
    """The folder, beside the catalogue's MiniLM in the cache; written when it is asked for the first time (91 MB).

    Raises:
        WeightError: MiniLM is not in the cache, or the tuned layers that ship with merkit are missing or damaged.
    """
    source = locate("minilm-l6")
    folder = source.parent / f"minilm-emotions-{shipped_sha256('text-net')[:12]}"
    if (folder / "config.json").is_file():
        return folder
    state = load_file(source / "model.safetensors")
    with tempfile.TemporaryDirectory(dir=source.parent, prefix=".minilm-emotions-") as name:
        made = Path(name) / "made"
        made.mkdir()
        for file in source.iterdir():
            if file.is_file() and file.suffix != ".safetensors":
                shutil.copyfile(file, made / file.name)
        save_file(state | bert_names(tuned_layers()), made / "model.safetensors", {"format": "pt"})
        try:
            made.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was faster
                raise
    return folder


def bert_names(layers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our names of layers -> BERT's; one matrix becomes query, key and value. The way back is `minilm.bert_layers`."""
    theirs: dict[str, Tensor] = {}
    for name, value in layers.items():
        _, number, part, kind = name.split(".")
        layer = f"encoder.layer.{number}."
        if part == "qkv":
            for into, piece in zip(("query", "key", "value"), torch.chunk(value, 3), strict=True):
                theirs[f"{layer}attention.self.{into}.{kind}"] = piece.contiguous()
        else:
            theirs[f"{layer}{BERT_PARTS[part]}.{kind}"] = value
    return theirs
