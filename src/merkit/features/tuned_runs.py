"""The encoder out of a run of `text_encoder`: its tuned weights, without the head.

A run is read from its files as docs/training.md describes them, so that features need not stand on training.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from merkit.errors import WeightError
from merkit.networks.text_encoder import TextEncoder
from merkit.networks.text_pretrained import load_text_encoder
from merkit.weights.cache import sha256_of

__all__ = ["fitted_splits", "is_run", "load_tuned"]


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, of whatever system."""
    return (folder / "config.json").is_file() and (folder / "record.json").is_file()


def load_tuned(folder: Path) -> TextEncoder:
    """The encoder that a run tuned, in evaluation mode; its `fitted_on` names the splits whose labels it ever saw.

    Args:
        folder: of one run, of one seed.

    Raises:
        WeightError: another system's run, several seeds, not finished, or the encoder's tokenizer is not here any more.
    """
    held, record = _json(folder / "config.json"), _json(folder / "record.json")
    if held.get("system") != "text_encoder":
        raise WeightError(f"{folder}: a run of {held.get('system')!r}; text features come from runs of text_encoder")
    if seeds := sorted(path.name for path in folder.glob("seed-*")):
        raise WeightError(f"{folder}: holds runs of several seeds; name one, such as {folder / seeds[0]}")
    path = folder / "model.safetensors"
    if record.get("status") != "finished" or not path.is_file():
        raise WeightError(f"{folder}: not finished; the same training command goes on with it")
    config = held["config"]
    encoder = load_text_encoder(
        config["encoder"], pooling=config["pooling"], max_tokens=config["max_tokens"], weights=False
    )
    try:
        state = load_file(path)
        encoder.load_state_dict(
            {name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")}
        )
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightError(f"{path}: not the weights of {config['encoder']} ({error})") from None
    encoder.name, encoder.sha256 = f"{encoder.name}+tuned", sha256_of(path)
    encoder.fitted_on = tuple(dict.fromkeys([*encoder.fitted_on, *fitted_splits(config["data"])]))
    return encoder.eval()


def fitted_splits(data: dict[str, Any]) -> tuple[str, ...]:
    """Official splits whose labels a run with these `data` keys was fitted on.

    A run that divides its clips itself trains on some that are officially valid, so valid counts as seen; and so does
    test, unless it was kept.

    Example:
        >>> fitted_splits({"split": {"kind": "official", "merge_valid": True, "keep_test": True}})
        ('train', 'valid')
    """
    split = data.get("split", {})
    seen = ["train"]
    divided = split.get("kind", "official") != "official"
    if divided or split.get("merge_valid"):
        seen.append("valid")
    if divided and not split.get("keep_test", True):
        seen.append("test")
    return tuple(seen)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightError(f"{path}: not readable ({error})") from None
    if not isinstance(found, dict):
        raise WeightError(f"{path}: no run")
    return found
