"""Streams of a few clips, as somebody hands them over, as the table that batches are made of."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.data.table import ClipTable, TokenColumn
from merkit.errors import ConfigError
from merkit.schema import TokenSequence

if TYPE_CHECKING:
    from merkit.export.config import MerkitConfig

__all__ = ["table_of"]


def table_of(config: "MerkitConfig", clips: Sequence[Mapping[str, Any]]) -> ClipTable:
    """Clips as a table. With dialogue context, they are the turns of one dialogue in order.

    Args:
        config: of the export.
        clips: see `MerkitProcessor`.

    Raises:
        ConfigError: no clip, a stream that the model does not take, or tokens of another width.

    Example:
        >>> from merkit.export.config import MerkitConfig
        >>> table = table_of(MerkitConfig(modalities=["face"], widths={"face": 2}), [{}, {"face": {"a": np.ones((3, 2)),
        ...     "b": np.ones(2)}}])
        >>> table.streams["face"].clip.tolist(), table.streams["face"].entity.tolist(), table.streams["face"].lengths.tolist()
        ([1, 1], [0, 1], [3, 1])
    """
    if not clips:
        raise ConfigError("there is no clip to answer for")
    if unknown := {name for clip in clips for name in clip} - set(config.modalities):
        raise ConfigError(f"{', '.join(sorted(unknown))}: the model takes {', '.join(config.modalities)}")
    # a person keeps one place in a clip, in whichever streams there is something of theirs
    persons = [
        list(dict.fromkeys(who for tokens in clip.values() if isinstance(tokens, Mapping) for who in tokens))
        for clip in clips
    ]
    streams = {}
    for name in config.modalities:
        found: list[tuple[int, int, np.ndarray, np.ndarray | None]] = []
        for row, clip in enumerate(clips):
            given = clip.get(name)
            by_place = {0: given}
            if isinstance(given, Mapping):
                by_place = {persons[row].index(who): given[who] for who in given}
            for place, tokens in sorted(by_place.items()):
                x, times = _tokens(name, config.widths[name], tokens)
                if len(x):
                    found.append((row, place, x, times))
        streams[name] = _column(found, config, name)
    n = len(clips)
    dialogue = np.full(n, "dialogue") if any(config.context) else None
    ids = np.array([f"clip{i}" for i in range(n)])
    turns = None if dialogue is None else np.arange(n)
    return ClipTable("given", ids, np.full(n, ""), streams, {}, dialogue=dialogue, turn=turns)


def _tokens(name: str, width: int, given: Any) -> tuple[np.ndarray, np.ndarray | None]:
    if given is None:
        return np.zeros((0, width), np.float32), None
    times = None
    if isinstance(given, TokenSequence):
        given, times = given.x, given.start_s
    x = np.asarray(given)
    x = x[None] if x.ndim == 1 else x
    if x.ndim != 2 or x.shape[1] != width:
        raise ConfigError(f"{name}: tokens are {x.shape}; the model takes (T, {width})")
    return x, times


def _column(
    found: list[tuple[int, int, np.ndarray, np.ndarray | None]], config: "MerkitConfig", name: str
) -> TokenColumn:
    kind = np.uint8 if config.streams.get(name, {}).get("dtype") == "uint8" else np.float32
    x = [each[2].astype(kind) for each in found] or [np.zeros((0, config.widths[name]), kind)]
    timed = bool(found) and all(each[3] is not None for each in found)
    return TokenColumn(
        np.concatenate(x),
        np.concatenate([[0], np.cumsum([len(each[2]) for each in found], dtype=np.int64)]).astype(np.int64),
        np.array([each[0] for each in found], np.int64),
        np.array([each[1] for each in found], np.int64),
        np.concatenate([np.asarray(each[3], np.float64) for each in found]) if timed else None,
        bool(config.streams.get(name, {}).get("per_entity")),
    )
