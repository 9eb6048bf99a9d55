"""A manifest on disk: `manifest.parquet` with the clips, `manifest.json` with everything else, for people.

Paths are kept relative to the root, which is kept relative to the manifest where it lies inside of the same folder, so
that such a folder can be moved. Both files appear by rename. What the JSON file says stands in the Parquet file's
metadata too, and is read from there: a kill between the two renames leaves the old manifest or the new one, never half
of each.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from merkit.corpora.dialogues import with_context
from merkit.corpora.manifest import Manifest, Rejected
from merkit.corpora.paths import Root
from merkit.errors import ConfigError, LimitError, MediaError
from merkit.schema import Clip, Stream, Target, TargetSpec

__all__ = ["MANIFEST_FILE", "read_manifest", "write_manifest"]

MANIFEST_FILE = "manifest.parquet"
_FORMAT_KEY, _ABOUT_KEY = b"merkit", b"merkit.manifest"
_FORMAT = b"merkit-manifest-1"
_MAX_BYTES = 4 << 30
_STREAM = pa.struct(
    [
        ("modality", pa.string()),
        ("path", pa.string()),
        ("entity", pa.string()),
        ("start_s", pa.float64()),
        ("text", pa.string()),
    ]
)
_TARGET = pa.struct(
    [
        ("name", pa.string()),
        ("entity", pa.string()),
        ("value", pa.list_(pa.float64())),
        ("valid", pa.list_(pa.bool_())),
        ("votes", pa.list_(pa.float64())),
    ]
)
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("groups", pa.map_(pa.string(), pa.string())),
        ("turn", pa.int64()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("streams", pa.list_(_STREAM)),
        ("targets", pa.list_(_TARGET)),
        ("context", pa.list_(pa.string())),  # null = all other turns of the dialogue
    ],
)


def write_manifest(manifest: Manifest, folder: str | Path) -> Path:
    """Writes a manifest into `folder`, in place of one that is there.

    Returns:
        Path of the Parquet file.

    Raises:
        MediaError: a file does not lie under the manifest's root.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     clip = Clip("a", (Stream("text", None, text="Hello"),), split="train")
        ...     _ = write_manifest(Manifest("tiny", (clip,), (), Path(folder)), folder)
        ...     read_manifest(folder).clips[0].streams[0].text
        'Hello'
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    root = Root(manifest.root)
    derived = with_context(replace(clip, context=()) for clip in manifest.clips)
    rows = [
        _row(clip, root, clip.context == other.context) for clip, other in zip(manifest.clips, derived, strict=True)
    ]
    inside = root.path.is_relative_to(folder.absolute())
    about = {
        "name": manifest.name,
        "root": root.path.relative_to(folder.absolute()).as_posix() if inside else str(root.path),
        "specs": [asdict(spec) for spec in manifest.specs],
        "rejected": [asdict(rejected) for rejected in manifest.rejected],
        "facts": dict(manifest.facts),
    }
    text = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
    temporary = folder / f".manifest.{os.getpid()}.tmp"
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(folder / "manifest.json")
        metadata = {_FORMAT_KEY: _FORMAT, _ABOUT_KEY: text.encode()}
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA.with_metadata(metadata)), temporary)
        temporary.replace(folder / MANIFEST_FILE)
    finally:
        temporary.unlink(missing_ok=True)
    return folder / MANIFEST_FILE


def read_manifest(path: str | Path, *, root: str | Path | None = None) -> Manifest:
    """Reads what `write_manifest` wrote, or a table of the user's own (`read_user_manifest`).

    Args:
        path: the folder or the Parquet file; or a CSV, JSONL or Parquet table.
        root: where the media lie now, if they were moved.

    Raises:
        ConfigError: there is no manifest, or a table of which no row can be used.
        MediaError: it is damaged, or names a file outside of its root.
    """
    path = Path(path)
    file = path / MANIFEST_FILE if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"{file}: no such manifest; `merkit prepare` makes one")
    if file.suffix.lower() != ".parquet" or not _is_ours(file):
        from merkit.corpora.own import read_user_manifest

        return read_user_manifest(file, root)
    if file.stat().st_size > _MAX_BYTES:
        raise LimitError(f"{file.stat().st_size} bytes; the limit is {_MAX_BYTES}", path=file)
    try:
        table = pq.read_table(file)
        about = json.loads((table.schema.metadata or {})[_ABOUT_KEY])
        specs = tuple(
            TargetSpec(spec["name"], spec["kind"], tuple(spec["labels"]), spec["per_entity"]) for spec in about["specs"]
        )
        rejected = tuple(Rejected(**item) for item in about["rejected"])
        place = Path(root) if root is not None else file.parent / about["root"]
        name, facts = str(about["name"]), dict(about["facts"])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise MediaError(f"damaged ({error})", path=file) from error
    under = Root(place)
    by_name = {spec.name: spec for spec in specs}
    try:
        table = table.cast(_SCHEMA)
        rows = table.drop_columns(["targets"]).to_pylist(maps_as_pydicts="strict")
        for row, targets in zip(rows, _cells_of_targets(table["targets"]), strict=True):
            row["targets"] = targets
    except (ValueError, pa.ArrowException) as error:
        raise MediaError(f"damaged ({error})", path=file) from error
    clips, derived = [], []
    for number, row in enumerate(rows):
        try:
            clips.append(_clip(row, under, by_name))
        except (ValueError, TypeError, KeyError, IndexError, MediaError) as error:
            raise MediaError(f"damaged ({error})", path=file, field=f"row {number} ({row['id']})") from error
        derived.append(row["context"] is None)
    whole = with_context(clips)
    clips = [other if takes else clip for clip, other, takes in zip(clips, whole, derived, strict=True)]
    try:
        return Manifest(name, tuple(clips), specs, under.path, rejected, facts)
    except ValueError as error:
        raise MediaError(f"damaged ({error})", path=file) from error


def _cells_of_targets(column: pa.ChunkedArray) -> list[list[dict[str, Any]]]:
    """The targets of each clip with their numbers as arrays: of 7,000 scenes with hundreds of labels each, Python's own
    numbers would be the whole time of reading."""
    lists = column.combine_chunks()
    counts = pc.call_function("list_value_length", [lists]).fill_null(0).to_pylist()
    flat = lists.flatten()
    names, entities = flat.field("name").to_pylist(), flat.field("entity").to_pylist()
    parts = {name: _arrays(flat.field(name)) for name in ("value", "valid", "votes")}
    cells = [
        {"name": name, "entity": entity, **{key: arrays[i] for key, arrays in parts.items()}}
        for i, (name, entity) in enumerate(zip(names, entities, strict=True))
    ]
    edges = [0, *accumulate(counts)]
    return [cells[first:last] for first, last in pairwise(edges)]


def _arrays(lists: pa.ListArray) -> list[np.ndarray | None]:
    """Each list as an array; None where there is none."""
    counts = pc.call_function("list_value_length", [lists]).to_pylist()
    flat = lists.flatten().to_numpy(zero_copy_only=False)
    edges = [0, *accumulate(count or 0 for count in counts)]
    return [
        None if count is None else flat[first:last]
        for count, (first, last) in zip(counts, pairwise(edges), strict=True)
    ]


def _is_ours(file: Path) -> bool:
    try:
        return (pq.read_schema(file).metadata or {}).get(_FORMAT_KEY) == _FORMAT
    except (OSError, pa.ArrowException) as error:
        raise MediaError(f"not readable as Parquet ({error})", path=file) from error


def _row(clip: Clip, root: Root, derived: bool) -> dict[str, Any]:
    start_s, end_s = clip.span if clip.span is not None else (None, None)
    return {
        "id": clip.id,
        "split": clip.split,
        "groups": sorted(clip.groups.items()),
        "turn": clip.turn,
        "start_s": start_s,
        "end_s": end_s,
        "streams": [
            {**asdict(stream), "path": None if stream.path is None else root.name(stream.path)}
            for stream in clip.streams
        ],
        "targets": [
            {
                "name": target.spec.name,
                "entity": target.entity,
                "value": np.atleast_1d(target.value).astype(float).tolist(),
                "valid": None if target.valid is None else target.valid.tolist(),
                "votes": None if target.votes is None else target.votes.astype(float).tolist(),
            }
            for target in clip.targets
        ],
        "context": None if derived else list(clip.context),
    }


def _clip(row: Mapping[str, Any], root: Root, specs: Mapping[str, TargetSpec]) -> Clip:
    streams = tuple(
        Stream(
            stream["modality"],
            None if stream["path"] is None else root.place(stream["path"]),
            stream["entity"],
            stream["start_s"],
            stream["text"],
        )
        for stream in row["streams"]
    )
    span = None if row["start_s"] is None else (row["start_s"], row["end_s"])
    return Clip(
        row["id"],
        streams,
        row["split"],
        dict(row["groups"]),
        tuple(_target(target, specs) for target in row["targets"]),
        tuple(row["context"] or ()),
        row["turn"],
        span,
    )


def _target(cells: Mapping[str, Any], specs: Mapping[str, TargetSpec]) -> Target:
    spec = specs[cells["name"]]
    if spec.kind == "single_label":
        value = np.array(int(cells["value"][0]), np.int64)
        if not 0 <= int(value) < len(spec.labels):
            raise ValueError(f"target {spec.name}: class {value} is none of {len(spec.labels)}")
    else:
        value = np.array(cells["value"], np.float32)
    valid = None if cells["valid"] is None else np.array(cells["valid"], bool)
    votes = None if cells["votes"] is None else np.array(cells["votes"], np.float32)
    return Target(spec, value, cells["entity"], valid, votes)
