"""Dialogues as users have them: a table of who says what, or a folder of clips in order of their names."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from merkit.corpora.manifest import Rejected
from merkit.corpora.own import MEDIA_SUFFIXES
from merkit.corpora.rows import Row, mended, read_rows
from merkit.corpora.table import natural_order
from merkit.errors import ConfigError, MediaError
from merkit.inference.turns import Turn, words_beside, words_in

__all__ = ["COLUMNS", "read_dialogue", "read_dialogues"]

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "speaker": ("speaker", "who", "name", "character", "person", "group:speaker", "group:character"),
    "words": ("words", "text", "utterance", "sentence", "line", "said"),
    "clip": ("clip", "path", "file", "video", "audio", "media"),
    "words_file": ("transcript", "subtitles", "textpath", "wordsfile", "srt"),
    "physio": ("physio", "physiopath", "physiology", "signals"),
    "start_s": ("starts", "start", "starttime", "begin", "from"),
    "end_s": ("ends", "end", "endtime", "stop", "to"),
    "dialogue": ("dialogue", "dialog", "dialogueid", "conversation", "scene", "group:dialogue"),
    "turn": ("turn", "utteranceid", "turnid"),
}
"""What a column means -> its names, without case, blanks, `_` and `-`; `group:…` as tables of merkit's own have them."""
_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:[.,]\d+)?)")
_NO_LETTERS = re.compile(r"[\s_\-]+")


def read_dialogue(path: Path) -> tuple[list[Turn], list[Rejected]]:
    """The turns of a dialogue, and what of it cannot be used.

    A table (`.csv`, `.tsv`, `.jsonl`, `.parquet`) has a row a turn, in order, with `words` or `clip` or both, and may have
    `speaker`, `start_s` and `end_s` within the clip, `transcript`, `physio`, `dialogue` and `turn`; header names are read
    forgivingly (`COLUMNS`), other columns are passed over. Where rows of a dialogue are numbered by `turn`, all must be. Clips
    are named relative to the table. A folder's clips are turns in order of their names, with words in a file of the same
    name (`.srt`, `.vtt`, `.txt`) where there is one.

    Args:
        path: the table or the folder.

    Raises:
        ConfigError: neither words nor clips, two columns that mean the same, or nothing that can be used.
        MediaError: it cannot be read at all.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = Path(folder) / "talk.csv"
        ...     _ = table.write_text("Speaker,Utterance\\nRoss,Hi!\\nJoey,\\nRoss,Bye!\\n")
        ...     turns, lost = read_dialogue(table)
        >>> [(turn.speaker, turn.words) for turn in turns], str(lost[0])
        ([('Ross', 'Hi!'), ('Ross', 'Bye!')], 'talk turn 2 (line 3, Utterance): is empty, and there is no clip')
    """
    path = path.expanduser()
    turns, lost = _folder(path) if path.is_dir() else _table(path)
    if not turns:
        listed = "".join(f"\n  {each}" for each in lost[:10])
        raise ConfigError(f"{path}: no turn can be used{listed or ': it is empty'}")
    return turns, lost


def read_dialogues(paths: Sequence[Path]) -> tuple[list[Turn], list[Rejected]]:
    """The turns of several dialogues, told apart by the folders that they lie in where their names are the same.

    Args:
        paths: tables and folders, as `read_dialogue` takes them.

    Raises:
        ConfigError: see there; or one is named twice, or two in one folder have the same name.
        MediaError: one cannot be read at all.
    """
    places = [Path(os.path.abspath(path.expanduser())) for path in paths]  # noqa: PTH100  links stay what they are called
    if again := [path for path, place in zip(paths, places, strict=True) if places.count(place) > 1]:
        raise ConfigError(f"{again[0]}: this dialogue is named twice")
    found = [read_dialogue(path) for path in paths]
    if not _shared(found):
        return [turn for turns, _ in found for turn in turns], [each for _, lost in found for each in lost]
    folders = [place if place.is_dir() else place.parent for place in places]
    top = os.path.commonpath(folders)
    apart: list[tuple[list[Turn], list[Rejected]]] = []
    for folder, (turns, lost) in zip(folders, found, strict=True):
        under = "" if str(folder) == top else f"{os.path.relpath(folder, top)}/"
        apart.append(
            (
                [replace(turn, id=f"{under}{turn.id}", dialogue=f"{under}{turn.dialogue}") for turn in turns],
                [replace(each, item=f"{under}{each.item}") for each in lost],
            )
        )
    if both := _shared(apart):
        raise ConfigError(f"two dialogues both have {min(both)!r}: rename one of their tables")
    return [turn for turns, _ in apart for turn in turns], [each for _, lost in apart for each in lost]


def _shared(found: Sequence[tuple[list[Turn], list[Rejected]]]) -> set[str]:
    """Names that turns of several dialogues have, or the dialogues themselves."""
    seen: set[str] = set()
    again: set[str] = set()
    for turns, _ in found:
        own = {turn.id for turn in turns} | {turn.dialogue for turn in turns}
        again |= own & seen
        seen |= own
    return again


def _folder(folder: Path) -> tuple[list[Turn], list[Rejected]]:
    files = sorted((file for file in folder.iterdir() if file.is_file()), key=lambda file: natural_order(file.name))
    clips = [file for file in files if file.suffix.lower() in MEDIA_SUFFIXES and not file.name.startswith(".")]
    told = {clip.stem for clip in clips}
    alone = [file for file in files if file.suffix.lower() in (".txt", ".srt", ".vtt") and file.stem not in told]
    turns: list[Turn] = []
    lost: list[Rejected] = []
    for file in sorted((*clips, *alone), key=lambda file: natural_order(file.name)):
        clip = file if file in clips else None
        try:
            words, words_file = words_in(beside) if (beside := words_beside(file) if clip else file) else ("", None)
        except MediaError as error:
            lost.append(Rejected(file.name, str(error)))
            if clip is None:
                continue
            words, words_file = "", None
        turns.append(Turn(file.name, "", words, clip, words_file, dialogue=folder.name, turn=len(turns)))
    return turns, lost


def _table(path: Path) -> tuple[list[Turn], list[Rejected]]:
    rows = read_rows(path)
    columns = _columns(path, rows)
    turns: list[Turn] = []
    lost: list[Rejected] = []
    for number, row in enumerate(rows, 1):
        name = f"{path.stem} turn {number}"
        try:
            turns.append(_turn(name, row, columns, path))
        except MediaError as error:
            lost.append(Rejected(name, error.reason, error.field, row.line))
    numbered = {turn.dialogue for turn in turns if turn.turn >= 0}
    kept: list[Turn] = []
    for place, turn in enumerate(turns):
        if turn.turn >= 0:
            kept.append(turn)
        elif turn.dialogue not in numbered:
            kept.append(replace(turn, turn=place))
        else:
            why = "is blank, where other turns of the dialogue are numbered"
            lost.append(Rejected(turn.id, why, columns["turn"], turn.line))
    return kept, sorted(lost, key=lambda each: each.line or 0)


def _columns(path: Path, rows: list[Row]) -> dict[str, str]:
    """What is meant -> the column that means it."""
    headers = list(dict.fromkeys(column for row in rows for column in row.cells if column))
    found: dict[str, str] = {}
    for meaning, names in COLUMNS.items():
        own = [header for header in headers if _NO_LETTERS.sub("", header).lower() in names]
        if len(own) > 1:
            raise ConfigError(
                f"{path}, line 1: columns {' and '.join(own)} both give the {meaning}; take one of them out"
            )
        if own:
            found[meaning] = own[0]
    if rows and not {"words", "clip", "words_file", "physio"} & set(found):
        raise ConfigError(
            f"{path}, line 1: no column with words or clips; there are {', '.join(headers)}. Words go by "
            f"{', '.join(COLUMNS['words'])}; clips by {', '.join(COLUMNS['clip'])}"
        )
    return found


def _turn(name: str, row: Row, columns: Mapping[str, str], path: Path) -> Turn:
    if row.broken:
        raise MediaError(row.broken)

    def cell(meaning: str) -> str:
        return row.text(columns[meaning]) if meaning in columns else ""

    files: dict[str, Path | None] = dict.fromkeys(("clip", "words_file", "physio"))
    for meaning in files:
        if said := cell(meaning):
            file = path.parent / Path(said).expanduser()
            if not file.is_file() and not cell("words"):
                raise MediaError(f"no such file: {said}", field=columns[meaning])
            files[meaning] = file
    words, words_file = mended(cell("words")).strip(), files["words_file"]
    if words_file is not None and not words:
        try:
            words, words_file = words_in(words_file)
        except MediaError as error:
            raise MediaError(error.reason, field=columns["words_file"]) from None
    if not words and not any(files.values()):
        column = columns.get("words", columns.get("clip"))
        raise MediaError("is empty, and there is no clip" if "words" in columns else "is empty", field=column)
    span = None
    if files["clip"] or files["physio"]:
        start_s, end_s = (_seconds(cell(key), columns.get(key, key)) for key in ("start_s", "end_s"))
        if end_s is not None:
            span = (start_s or 0.0, end_s)
            if span[0] >= span[1]:
                raise MediaError(f"ends at {end_s:g} s, before it begins at {span[0]:g} s", field=columns["end_s"])
        elif start_s:
            raise MediaError("is needed beside the start", field=columns.get("end_s", "end_s"))
    turn = cell("turn")
    if turn and not turn.isdigit():
        raise MediaError(f"{turn!r} is not a whole number from 0 on", field=columns["turn"])
    return Turn(
        name,
        cell("speaker"),
        words,
        files["clip"],
        None if words else words_file,
        files["physio"],
        span,
        f"{path.stem} {cell('dialogue')}".strip(),
        int(turn) if turn else -1,  # by the order of rows, if at all
        row.line,
    )


def _seconds(words: str, column: str) -> float | None:
    """Seconds, or a clock such as `0:01:02,500`."""
    if not words:
        return None
    found = _CLOCK.fullmatch(words)
    if not found:
        raise MediaError(f"{words[:40]!r} is neither seconds nor a clock such as 0:01:02.5", field=column)
    hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in found.groups())
    total = 3600 * hours + 60 * minutes + seconds
    if not math.isfinite(total):
        raise MediaError(f"{words[:40]!r} is not a time", field=column)
    return total
