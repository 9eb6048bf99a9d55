"""The user's own clips: one CSV, JSONL or Parquet table, a row per clip. docs/own-data.md lists the columns.

Every row that cannot be used is listed with its line, column and reason; the others are read.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from merkit.corpora.dialogues import with_context
from merkit.corpora.manifest import Manifest, Rejected
from merkit.corpora.own_targets import Answers
from merkit.corpora.paths import Root
from merkit.corpora.rows import Row, read_rows
from merkit.errors import ConfigError, MediaError
from merkit.labels import LabelSpace
from merkit.schema import Clip, Modality, Stream

__all__ = ["MEDIA_SUFFIXES", "modalities_of_file", "read_user_manifest"]

_PLAIN = (
    "id",
    "path",
    "text",
    "text_path",
    "physio_path",
    "start_s",
    "end_s",
    "duration_s",
    "split",
    "dialogue",
    "turn",
)
_PREFIXES = ("group", "label", "labels", "soft", "votes", "value")
_SPLITS = {"train": "train", "valid": "valid", "val": "valid", "dev": "valid", "validation": "valid", "test": "test"}
_SPEECH = frozenset((".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".wma"))
_PICTURE = frozenset((".png", ".jpg", ".jpeg"))
_VIDEO = frozenset(
    (".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".flv", ".mpg", ".mpeg", ".ts", ".wmv", ".3gp", ".ogv")
)
_WORDS = frozenset((".srt", ".vtt", ".txt", ".tsv"))
MEDIA_SUFFIXES = _VIDEO | _SPEECH | _PICTURE
"""Suffixes of files that are looked at or listened to."""
_MAX_TEXT = 100_000  # characters in a cell
# columns whose files are of one kind, whatever their suffix
_KINDS: Mapping[str, tuple[Modality, ...]] = {"text_path": ("text",), "physio_path": ("physiology",)}


def read_user_manifest(
    file: str | Path, root: str | Path | None = None, label_space: LabelSpace | None = None
) -> Manifest:
    """Reads a table of the user's own.

    Args:
        file: `.csv` (or `.tsv`), `.jsonl` or `.parquet`.
        root: folder that the paths are relative to and must lie in; none = the table's own folder.
        label_space: what `label`, `labels`, `soft:` and `votes:` may say; its aliases are understood. None = what the
            train rows say (or all rows, where none has a split), in alphabetical order.

    Raises:
        ConfigError: no row can be used, a column is not known, or the table is of another kind.
        MediaError: the table or the root is missing or cannot be read at all.
        LimitError: the table is too large.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = Path(folder) / "clips.csv"
        ...     _ = table.write_text("id,text,label\\na,Hello,joy\\nb,,joy\\n")
        ...     manifest = read_user_manifest(table)
        >>> [clip.id for clip in manifest.clips], str(manifest.rejected[0])
        (['a'], 'b (line 3, path): names nothing to read: path, text, text_path and physio_path are all empty')
    """
    file = Path(file)
    under = Root(file.absolute().parent if root is None else root)
    rows = read_rows(file)
    _check_columns(file, rows)
    rejected: list[Rejected] = []
    seen: dict[str, int] = {}
    drafts: list[_Draft] = []
    for row in rows:
        try:
            draft = _draft(row, under)
            if draft.id in seen:
                raise MediaError(f"the id is also that of line {seen[draft.id]}", field="id")
        except MediaError as error:
            rejected.append(Rejected(_name(row), error.reason, error.field, row.line))
            continue
        seen[draft.id] = row.line
        drafts.append(draft)
    answers = Answers([draft.row for draft in drafts], label_space)
    clips = []
    for draft in drafts:
        try:
            targets = answers.of(draft.row)
        except MediaError as error:
            rejected.append(Rejected(draft.id, error.reason, error.field, draft.row.line))
            continue
        clips.append(
            Clip(draft.id, draft.streams, draft.split, draft.groups, targets, turn=draft.turn, span=draft.span)
        )
    rejected.sort(key=lambda one: one.line or 0)
    if not clips:
        listed = "".join(f"\n  {one}" for one in rejected[:10])
        raise ConfigError(f"{file}: no row can be used{listed if rejected else ': the table is empty'}")
    facts = {"source": file.name, "licence": "your own data"}
    # a question that no row answers, or none that is left, cannot be trained
    asked = {target.spec.name for clip in clips for target in clip.targets}
    specs = tuple(spec for spec in answers.specs if spec.name in asked)
    return Manifest(file.stem, with_context(clips), specs, under.path, tuple(rejected), facts)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A row whose answers are still to be read."""

    row: Row
    id: str
    streams: tuple[Stream, ...]
    split: str | None
    groups: Mapping[str, str]
    turn: int | None
    span: tuple[float, float] | None


def _draft(row: Row, root: Root) -> _Draft:
    if row.broken:
        raise MediaError(row.broken)
    streams, named = _streams(row, root)
    if not streams:
        raise MediaError("names nothing to read: path, text, text_path and physio_path are all empty", field="path")
    span = _span(row)
    clip_id = row.text("id") or named or f"line-{row.line}"
    if not row.text("id") and span is not None:
        clip_id = f"{clip_id}@{span[0]:g}-{span[1]:g}"
    if len(clip_id) > 400 or not clip_id.isprintable():
        raise MediaError("must be up to 400 printable letters", field="id")
    split = row.text("split").lower()
    if split and split not in _SPLITS:
        raise MediaError(f"{split!r} is none of train, valid, test", field="split")
    groups = {
        column.partition(":")[2]: value
        for column in row.cells
        if column.startswith("group:") and (value := row.text(column))
    }
    if dialogue := row.text("dialogue"):
        groups["dialogue"] = dialogue
    turn = row.number("turn")
    if turn is not None and (turn != int(turn) or turn < 0):
        raise MediaError(f"{turn:g} is not a whole number from 0 on", field="turn")
    if turn is not None and not dialogue:
        raise MediaError("has a turn, but no dialogue", field="dialogue")
    return _Draft(row, clip_id, streams, _SPLITS.get(split), groups, None if turn is None else int(turn), span)


def _streams(row: Row, root: Root) -> tuple[tuple[Stream, ...], str | None]:
    """The streams of a row, and the name of the first file without its suffix."""
    streams: list[Stream] = []
    named: str | None = None
    for column, suffixes in (("path", None), ("text_path", (*_WORDS, ".csv")), ("physio_path", (".csv",))):
        name = row.text(column)
        if not name:
            continue
        try:
            path = root.file(name)
        except MediaError as error:
            raise MediaError(f"{error.reason}: {name}", field=column) from None
        suffix = path.suffix.lower()
        if suffixes is not None and suffix not in suffixes:
            raise MediaError(
                f"{name}: a {suffix or 'file without suffix'} is none of {', '.join(suffixes)}", field=column
            )
        streams += [Stream(modality, path) for modality in _KINDS.get(column) or modalities_of_file(path, column)]
        named = named or str(PurePosixPath(root.name(path)).with_suffix(""))
    if words := row.text("text"):
        if any(stream.modality == "text" for stream in streams):
            raise MediaError("there is a file with words as well: give one of them", field="text")
        if len(words) > _MAX_TEXT:
            raise MediaError(f"{len(words)} characters; the limit is {_MAX_TEXT}", field="text")
        streams.append(Stream("text", None, text=words))
    return tuple(streams), named


def modalities_of_file(path: Path, field: str = "path") -> tuple[Modality, ...]:
    """What a file can be asked for, by its suffix.

    Args:
        path: the file; it is not opened.
        field: column or option that named it, for the message.

    Raises:
        MediaError: no known kind of media.

    Example:
        >>> modalities_of_file(Path("talk.mp4")), modalities_of_file(Path("talk.wav"))
        (('face', 'scene', 'speech'), ('speech',))
    """
    suffix = path.suffix.lower()
    if suffix in _WORDS:
        return ("text",)
    if suffix in _SPEECH:
        return ("speech",)
    if suffix in _PICTURE:
        return ("face", "scene")
    if suffix in _VIDEO:
        return ("face", "scene", "speech")
    known = ", ".join(sorted(MEDIA_SUFFIXES | _WORDS))
    raise MediaError(f"{path.name}: {suffix or 'no suffix'} is no known kind of media ({known})", field=field)


def _span(row: Row) -> tuple[float, float] | None:
    start_s, end_s, duration_s = (row.number(name) for name in ("start_s", "end_s", "duration_s"))
    if start_s is None and end_s is None:
        return None
    if end_s is None:
        if duration_s is None:
            raise MediaError("is needed beside start_s (or duration_s of the file)", field="end_s")
        end_s = duration_s
    start_s = start_s or 0.0
    if start_s < 0:
        raise MediaError(f"{start_s:g} s lies before the file begins", field="start_s")
    if end_s <= start_s:
        raise MediaError(f"the time range is reversed or empty: {start_s:g} to {end_s:g} s", field="end_s")
    if duration_s is not None and end_s > duration_s + 0.05:
        raise MediaError(f"{end_s:g} s lies beyond the file's {duration_s:g} s", field="end_s")
    return start_s, end_s


def _check_columns(file: Path, rows: "list[Row]") -> None:
    for column in dict.fromkeys(column for row in rows for column in row.cells):
        prefix, colon, rest = column.partition(":")
        if column in _PLAIN or column in ("label", "labels") or (prefix in _PREFIXES and colon and rest):
            continue
        known = [*_PLAIN, "label", "labels", *(f"{name}:" for name in _PREFIXES)]
        near = difflib.get_close_matches(column.lower(), known, 1)
        hint = f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(known)}"
        raise ConfigError(
            f"{file}: column `{column}` is not known{hint}. Columns that merkit should not read begin with #"
        )


def _name(row: Row) -> str:
    for column in ("id", "path", "text_path", "physio_path"):
        if (value := row.cells.get(column)) not in (None, "") and not (isinstance(value, float) and math.isnan(value)):
            return str(value)[:200]
    return f"line {row.line}"
