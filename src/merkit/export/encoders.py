"""Pretrained encoders within exported networks: what describes them travels, their trained weights are among the model's.

A network that trains an encoder along holds its weights, but merkit builds it from the encoder's own files. Config and
tokenizer of those are small and are always copied beside the model; the pretrained weights, which only encoders of speech
and pictures need to be built at all, are copied on request. What is not there is looked for by name.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from merkit.networks.speech_encoder import SpeechEncoder
from merkit.networks.text_encoder import TextEncoder
from merkit.networks.text_source import TextSource, find_text_source

if TYPE_CHECKING:
    from merkit.export.config import MerkitConfig

__all__ = ["carried", "encoders_in", "located", "own_code"]

# words in the names of keys that tell whose encoder of several of one name is meant
_OF_KIND = {"text": ("text",), "speech": ("speech",), "picture": ("scene", "face")}
_WEIGHTS = (".safetensors", ".bin", ".index.json")


def encoders_in(model: nn.Module, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Encoders of a network that the config names: `keys`, `name`, `kind`, and the `limit` of a text encoder's tokenizer.

    Args:
        model: of the run.
        config: the run's config as plain values.
    """
    from merkit.networks.image_encoder import ImageEncoder

    kinds: dict[type[nn.Module], str] = {TextEncoder: "text", SpeechEncoder: "speech", ImageEncoder: "picture"}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for module in model.modules():
        kind = next((name for of, name in kinds.items() if isinstance(module, of)), None)
        name = str(getattr(module, "name", ""))
        if kind is None or not name:
            continue
        named = {key: value for key, value in _texts(config) if value and (value == name or _named(value) == name)}
        own = {key: value for key, value in named.items() if any(word in key for word in _OF_KIND[kind])} or named
        limit = module.tokeniser.limit if isinstance(module, TextEncoder) else 0
        # folders in different places may have one name
        places = {
            key: str(Path(value).expanduser().resolve()) if _named(value) else value for key, value in own.items()
        }
        for place in dict.fromkeys(places.values()):
            keys = [key for key in places if places[key] == place]
            about = {"keys": keys, "name": name, "kind": kind, "sha256": "", "folder": "", "limit": limit}
            found[kind, place] = about
    return list(found.values())


def own_code(config: dict[str, Any]) -> str:
    """The class of somebody's own (`FILE.py:NAME`) that a config names; empty where there is none.

    Example:
        >>> own_code({"model": {"fusion": "mine.py:Gated"}}), own_code({"model": {"fusion": "concat"}})
        ('mine.py:Gated', '')
    """
    return next((value for _, value in _texts(config) if ".py:" in value), "")


def _named(value: str) -> str:
    path = Path(value).expanduser()
    return path.resolve().name if (path / "config.json").is_file() else ""


def _texts(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _texts(value, f"{prefix}{key}.")
    elif isinstance(values, str):
        yield prefix[:-1], values


def carried(encoders: list[dict[str, Any]], config: dict[str, Any], out: Path, *, bundle: bool) -> None:
    """Copies what describes the encoders into `out/encoders`, and notes it in them.

    Args:
        encoders: of `encoders_in`; changed in place.
        config: of the run, as plain values.
        out: folder of the export.
        bundle: their pretrained weights too.
    """
    taken: dict[str, Path] = {}
    for each in encoders:
        source: TextSource = find_text_source(_at(config, each["keys"][0]), what=f"{each['kind']} encoder")
        if any(source.folder.glob("model*.safetensors")):
            each["sha256"] = source.weights_sha256
        # an encoder of speech or pictures cannot be built without its weights, so half of it would be of no use
        if not bundle and each["kind"] != "text":
            continue
        of = source.folder.resolve()
        names = (of.name, *(f"{of.name}-{number}" for number in range(2, len(encoders) + 2)))
        name = next(name for name in names if taken.get(name, of) == of)
        taken[name] = of
        target = out / "encoders" / name
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted(source.folder.iterdir()):
            heavy = file.name.endswith(_WEIGHTS)
            wanted = file.name.startswith("model") or file.name == "pytorch_model.bin" if heavy else _small(file)
            if file.is_file() and wanted and (bundle or not heavy):
                shutil.copyfile(file, target / file.name)
        each["folder"] = f"encoders/{target.name}"


def _small(file: Path) -> bool:
    return file.suffix in (".json", ".txt", ".model") and file.stat().st_size < 64 << 20


def _at(values: Any, key: str) -> str:
    for part in key.split("."):
        values = values[part]
    return str(values)


def located(config: "MerkitConfig", folder: Path | None) -> dict[str, Any]:
    """The system's config with each encoder named by the folder that came with the export, where one did.

    Args:
        config: of the export.
        folder: of the export; None = there is none.
    """
    import copy

    values = copy.deepcopy(config.config)
    for each in config.encoders:
        own = folder / each["folder"] if folder is not None and each.get("folder") else None
        if own is None or not (own / "config.json").is_file():
            continue
        for key in each["keys"]:
            *groups, last = key.split(".")
            group = values
            for part in groups:
                group = group[part]
            group[last] = str(own)
    return values
