"""Dialogues as scenes: what was said by anyone and by each character, and which labels they showed."""

from dataclasses import dataclass

import numpy as np

from merkit.data.table import ClipTable, TargetColumn, TokenColumn
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

__all__ = ["column_of_rows", "mean_tokens", "scenes_of_dialogues"]

# Transcripts carry no times. Conversational English runs at about 150 words a minute.
_WORDS_PER_S = 2.5
_BETWEEN = " & "


def mean_tokens(column: TokenColumn) -> TokenColumn:
    """Every sequence as one token, the mean of its own.

    Example:
        >>> column = TokenColumn.of_sequences([np.array([[0.0], [2.0]]), None, np.array([[5.0]])])
        >>> mean_tokens(column).x.tolist(), mean_tokens(column).clip.tolist()
        ([[1.0], [5.0]], [0, 2])
    """
    lengths = column.lengths
    kept = lengths > 0
    x = np.add.reduceat(column.x[:], column.offsets[:-1][kept], axis=0) if kept.any() else column.x[:0]
    x = (x / lengths[kept][:, None]).astype(np.float32)
    start_s = None if column.start_s is None else column.start_s[column.offsets[:-1][kept]]
    return TokenColumn(x, np.arange(len(x) + 1), column.clip[kept], column.entity[kept], start_s)


def scenes_of_dialogues(table: ClipTable, *, target: str = "emotion", characters: int = 4) -> ClipTable:
    """One row a dialogue, with the streams and targets of a scene.

    `text` holds one token an utterance, `lines` the same tokens under the character who says them. Targets are the labels
    that raters gave to any utterance: `scene` to anyone's, `character` to those of the characters who speak most (ties by
    name). A line of two speakers belongs to both. Times are estimated from the words said before, 150 a minute.

    Args:
        table: utterances with a dialogue and a turn each, a `character` group and a `text` stream.
        target: its single-label target.
        characters: `N`.

    Raises:
        ConfigError: one of these is not there.

    Example:
        >>> spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
        >>> said = ClipTable("t", np.array(["a", "b"]), np.array(["train"] * 2), {"text": TokenColumn.one_per_clip(np.eye(2))},
        ...     {"emotion": TargetColumn(spec, np.array([0, 1]), np.array([True, True]))},
        ...     {"character": np.array(["Ann", "Bob"])}, np.array(["d", "d"]), np.array([0, 1]))
        >>> scenes = scenes_of_dialogues(said, characters=2)
        >>> scenes.targets["scene"].value.tolist(), scenes.targets["character"].value.tolist(), scenes.entities[0]
        ([[1.0, 1.0]], [[[1.0, 0.0], [0.0, 1.0]]], ('Ann', 'Bob'))
    """
    if table.dialogue is None or table.turn is None or "character" not in table.groups:
        raise ConfigError(f"corpus {table.name} has no dialogues with named speakers to make scenes of")
    if target not in table.targets or table.targets[target].spec.kind != "single_label":
        raise ConfigError(
            f"corpus {table.name} has no single-label target {target!r}; there are {', '.join(table.targets)}"
        )
    if "text" not in table.streams:
        raise ConfigError(f"corpus {table.name} has no text features: set data.text_encoder=minilm, or extract them")
    # split first: MELD counts its dialogues anew in every part
    order = np.lexsort((table.turn, table.dialogue, table.split))
    key = np.char.add(np.char.add(table.split[order].astype(str), "\t"), table.dialogue[order].astype(str))
    _, first, scene = np.unique(key, return_index=True, return_inverse=True)
    table, names, n = table.take(order), table.dialogue[order][first].astype(str), len(first)

    speaker = _speakers(table.groups["character"], scene, n, characters)
    seconds = _seconds(table.texts, scene, len(table))
    text = mean_tokens(table.streams["text"])
    known = text.clip  # utterances that have a token, in order
    streams = {
        "text": column_of_rows(
            text.x[:], scene[known], np.zeros(len(known), np.int64), seconds[known], per_entity=False
        )
    }
    # every (utterance, character) pair once, sorted by scene, character, time
    row, place = speaker.rows, speaker.places
    has = np.isin(row, known)
    row, place = row[has], place[has]
    pairs = np.lexsort((row, place, scene[row]))
    row, place = row[pairs], place[pairs]
    streams["lines"] = column_of_rows(
        text.x[np.searchsorted(known, row)], scene[row], place, seconds[row], per_entity=True
    )

    column = table.targets[target]
    labels = len(column.spec.labels)
    anyone = np.zeros((n, labels), np.float32)
    valid = column.valid
    anyone[scene[valid], column.value[valid]] = 1
    own = np.zeros((n, characters, labels), np.float32)
    rated = valid[speaker.rows]
    own[scene[speaker.rows[rated]], speaker.places[rated], column.value[speaker.rows[rated]]] = 1
    shown = own.any(-1, keepdims=True).repeat(labels, -1)
    targets = {
        "scene": TargetColumn(
            TargetSpec("scene", "multi_label", column.spec.labels),
            anyone,
            anyone.any(1, keepdims=True).repeat(labels, 1),
        ),
        "character": TargetColumn(TargetSpec("character", "multi_label", column.spec.labels, True), own, shown),
    }
    return ClipTable(
        f"{table.name} scenes",
        names,
        table.split[first],
        streams,
        targets,
        {"dialogue": names},
        texts=_joined(table.texts, scene, n),
        provenance={name: table.provenance["text"] for name in streams if "text" in table.provenance},
        entities=speaker.names,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Speakers:
    """Names by scene `(n,)`, and every (utterance, character) pair: its row and the character's place."""

    names: np.ndarray
    rows: np.ndarray
    places: np.ndarray


def _speakers(said_by: np.ndarray, scene: np.ndarray, n: int, characters: int) -> _Speakers:
    rows: list[int] = []
    who: list[str] = []
    for row, names in enumerate(said_by.astype(str)):
        for name in dict.fromkeys(part.strip() for part in names.split(_BETWEEN)):
            if name:
                rows.append(row)
                who.append(name)
    counts: list[dict[str, int]] = [{} for _ in range(n)]
    for row, name in zip(rows, who, strict=True):
        counts[scene[row]][name] = counts[scene[row]].get(name, 0) + 1
    held = np.empty(n, object)
    held[:] = [tuple(sorted(count, key=lambda name: (-count[name], name))[:characters]) for count in counts]
    place = [{name: i for i, name in enumerate(names)} for names in held]
    kept = [(row, place[scene[row]][name]) for row, name in zip(rows, who, strict=True) if name in place[scene[row]]]
    pairs = np.array(kept, np.int64).reshape(-1, 2)
    return _Speakers(held, pairs[:, 0], pairs[:, 1])


def _seconds(texts: np.ndarray | None, scene: np.ndarray, n: int) -> np.ndarray:
    """`(n,)` when each utterance begins, from the words before it in its scene."""
    words = np.array([len(text.split()) for text in texts.astype(str)], float) if texts is not None else np.full(n, 8.0)
    before = np.cumsum(words) - words
    begins = np.unique(scene, return_index=True)[1]
    return (before - before[begins][scene]) / _WORDS_PER_S


def _joined(texts: np.ndarray | None, scene: np.ndarray, n: int) -> np.ndarray | None:
    if texts is None:
        return None
    parts: list[list[str]] = [[] for _ in range(n)]
    for text, i in zip(texts.astype(str), scene, strict=True):
        parts[i].append(text)
    return np.array([" ".join(part) for part in parts], str)


def column_of_rows(
    x: np.ndarray, clip: np.ndarray, entity: np.ndarray, start_s: np.ndarray, *, per_entity: bool
) -> TokenColumn:
    """Tokens `(R, D)` that are sorted by clip and entity, as sequences.

    Example:
        >>> column_of_rows(np.ones((3, 2)), np.array([0, 0, 4]), np.zeros(3, int), np.arange(3.0), per_entity=False).clip
        array([0, 4])
    """
    begins = (
        np.flatnonzero(np.r_[True, (np.diff(clip) != 0) | (np.diff(entity) != 0)]) if len(x) else np.zeros(0, np.int64)
    )
    offsets = np.r_[begins, len(x)].astype(np.int64)
    return TokenColumn(x, offsets, clip[begins], entity[begins], start_s, per_entity)
