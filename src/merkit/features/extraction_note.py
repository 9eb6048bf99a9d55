"""How the tokens of a store were made, in words that make them again: names and options beside the ids.

An extractor's id says whether two extractors are the same, not where to find one. The note lies in the store
(`extraction.json`) and is copied into the record of every run that is trained on it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merkit.atomic import replacing

__all__ = ["NOTE_FILE", "note_of_run", "note_of_store", "write_note"]

NOTE_FILE = "extraction.json"


def write_note(store: Path, note: Mapping[str, Any]) -> Path:
    """Keeps the note of a store, by rename.

    Args:
        store: its folder.
        note: JSON types, as far as known: `fps`, `asr`, and modality -> name under `extractors` (of `EXTRACTORS`) and
            `encoders` (a folder or a name); `words` (a table of word vectors or `minilm`) and `pictures` (fields of
            `PictureConfig`) of raw inputs.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_note(Path(folder), {"fps": 3.0, "encoders": {"speech": "wavlm"}})
        ...     note_of_store(Path(folder))
        {'fps': 3.0, 'encoders': {'speech': 'wavlm'}}
    """
    with replacing(store / NOTE_FILE) as temporary:
        temporary.write_text(json.dumps(dict(note), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return store / NOTE_FILE


def note_of_store(store: Path) -> dict[str, Any]:
    """What `write_note` kept; nothing where there is no note, or none that can be read."""
    return _json(store / NOTE_FILE)


def note_of_run(data: Any, record: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """How the features of a run were made: as its record says, else as its stores say where they still lie; with what
    `merkit prepare … --for SYSTEM` wrote down of its passes, under `inputs`.

    Args:
        data: the run's `data` config.
        record: of the run; None while there is none.
    """
    kept = (record or {}).get("data", {}).get("extraction")
    if kept:
        return dict(kept)
    folder = data.root if data.root.suffix != ".parquet" else data.root.parent
    first, faces = (data.store if data.store is not None else folder / "features", folder / "faces")
    found = {**note_of_store(faces), **note_of_store(first)}
    if "dtype" not in found and (dtype := _json(first / "store.json").get("dtype")):
        found["dtype"] = dtype
    inputs = _json(folder / "manifest.json").get("facts", {}).get("inputs")
    return {**found, "inputs": inputs} if inputs else found


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
