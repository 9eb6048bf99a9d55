"""Which tokens of a clip a model sees, and in which order its persons stand: anew each epoch in training.

Everything is decided before a token is read, so what is not sampled costs nothing; and everything is a function of
(seed, epoch, clip), so neither the batch, nor the number of workers, nor a restart changes it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from merkit.data.draws import Draw
from merkit.data.table import ClipTable
from merkit.errors import ConfigError

__all__ = ["Keep", "Sampling", "TokenSampling", "entity_places"]

# (row of the clip (S,), entity (S,), tokens (S,)) of sequences -> places of the kept tokens within them, and how many each
Keep = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True)
class TokenSampling:
    """How a sequence of `n` tokens becomes a shorter one.

    In evaluation, and in training where nothing is random, tokens 0, step, 2·step … are kept, the first `limit` of
    them. Random sampling keeps `min(max(1, n // step), limit)` tokens, drawn without replacement, in order of time
    (Srivastava et al. 2023, EmoTx, section 4).

    Args:
        step: one token in so many, at least 1.
        limit: tokens at most; 0 = no limit.
        random: draw in training.
        evaluation_limit: `limit` in evaluation, where it is another; 0 = the same.
        stretch: keep `limit` tokens that follow one another: somewhere in training where `random`, else in the middle.
        strided: what is not drawn is spread over the whole sequence: the middle token of each of `limit` equal parts.
        skip_ends: tokens left out at the beginning, and as many at the end; fewer where fewer than `limit` (or 1) would
            remain.

    Raises:
        ConfigError: a step or a limit that cannot be; a stretch with a step, without a limit, or strided.

    Example:
        >>> TokenSampling(8, 300, random=True).counts(np.array([0, 5, 20, 9000]), training=True)
        array([  0,   1,   2, 300])
        >>> TokenSampling(8, 300, random=True).counts(np.array([0, 5, 20, 9000]), training=False)
        array([  0,   1,   3, 300])
        >>> TokenSampling(limit=4, random=True, stretch=True).places(np.array([9]))[0]  # a random clip, in evaluation
        array([2, 3, 4, 5])
        >>> TokenSampling(limit=4, random=True, strided=True, skip_ends=10).places(np.array([60]))[0]
        array([15, 25, 35, 45])
    """

    step: int = 1
    limit: int = 0
    random: bool = False
    evaluation_limit: int = 0
    stretch: bool = False
    strided: bool = False
    skip_ends: int = 0

    def __post_init__(self) -> None:
        if self.step < 1 or min(self.limit, self.evaluation_limit, self.skip_ends) < 0:
            raise ConfigError(f"tokens are sampled with a step of at least 1 and a limit of 0 (none) or more: {self}")
        if self.stretch and (self.step > 1 or not self.limit or self.strided):
            raise ConfigError(f"a stretch is `limit` tokens that follow one another, without step or strides: {self}")

    def counts(self, lengths: np.ndarray, *, training: bool) -> np.ndarray:
        """`(S,)` tokens that are kept of sequences of `lengths (S,)`."""
        limit = self._most(training)
        inner = lengths - 2 * self._skipped(lengths, limit)
        if training and self.random:
            count = np.minimum(np.maximum(inner // self.step, 1), inner)
        else:
            count = -(-inner // self.step)
        return np.minimum(count, limit) if limit else count

    def places(self, lengths: np.ndarray, keys: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Which tokens are kept.

        Args:
            lengths: `(S,)` tokens of each sequence.
            keys: a random number for each of the `sum(lengths)` tokens; None for evaluation.

        Returns:
            `(P,)` places within the sequences, rising within each, and `(S,)` how many of each.

        Example:
            >>> TokenSampling(step=4, limit=2).places(np.array([3, 20]))
            (array([0, 0, 4]), array([1, 2]))
        """
        counts = self.counts(lengths, training=keys is not None)
        limit = self._most(keys is not None)
        skipped = self._skipped(lengths, limit)
        first, inner = np.repeat(skipped, counts), np.repeat(lengths - 2 * skipped, counts)
        within = _within(counts)
        if self.stretch:
            return first + within + np.repeat(
                self._starts(lengths - 2 * skipped - counts, lengths, keys), counts
            ), counts
        if keys is None or not self.random:
            if self.strided:
                return first + (2 * within + 1) * inner // (2 * np.repeat(counts, counts)), counts
            return first + self.step * within, counts
        at, sequence = _within(lengths), np.repeat(np.arange(len(lengths)), lengths)
        inside = (at >= skipped[sequence]) & (at < (lengths - skipped)[sequence])
        order = np.lexsort((keys, ~inside, sequence))  # those that may be drawn come first
        chosen = np.sort(order[at < counts[sequence]])
        return at[chosen], counts

    def _most(self, training: bool) -> int:
        return self.limit if training or not self.evaluation_limit else self.evaluation_limit

    def _skipped(self, lengths: np.ndarray, limit: int) -> np.ndarray:
        """`(S,)` tokens left out at either end."""
        return np.clip((lengths - max(limit, 1)) // 2, 0, self.skip_ends)

    def _starts(self, room: np.ndarray, lengths: np.ndarray, keys: np.ndarray | None) -> np.ndarray:
        """`(S,)` where a stretch begins: at one of `room + 1` places."""
        if keys is None or not self.random:
            return room // 2
        # the number of a sequence's first token decides for all of it; an empty one has none and needs none
        own = np.append(keys, np.zeros(1, keys.dtype))[np.cumsum(lengths) - lengths]
        return (own.astype(np.uint64) % (room + 1).astype(np.uint64)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is done to the clips of a batch before their tokens are read.

    Args:
        streams: modality -> how its tokens are sampled; others are taken whole.
        shuffle_entities: in training, persons of a clip stand in random order, the same in all streams and targets of
            the clip. A model that tells persons apart by their number then learns not to lean on who comes first.
    """

    streams: Mapping[str, TokenSampling] = field(default_factory=dict)
    shuffle_entities: bool = False

    def keep(self, name: str, draw: Draw | None) -> Keep | None:
        """For `TokenColumn.take`: which tokens of a stream are read; None = all.

        Args:
            name: the modality.
            draw: of the epoch in training; None for evaluation.
        """
        rule = self.streams.get(name)
        if rule is None:
            return None

        def keep(row: np.ndarray, entity: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if draw is None or not rule.random:
                return rule.places(lengths)
            keys = draw.keys(f"tokens {name}", np.repeat(row, lengths), np.repeat(entity, lengths), _within(lengths))
            return rule.places(lengths, keys)

        return keep

    def counts(self, name: str, lengths: np.ndarray, *, training: bool) -> np.ndarray:
        """`(S,)` tokens that a model sees of sequences of `lengths (S,)` of a stream."""
        rule = self.streams.get(name)
        return lengths if rule is None else rule.counts(lengths, training=training)


def entity_places(table: ClipTable, rows: np.ndarray, modalities: tuple[str, ...], draw: Draw) -> np.ndarray:
    """Where each person of each clip goes: those who are there trade places at random, all others stay.

    A person is there who has a token in one of the streams or a known answer. Tokens of the clip as a whole that lie
    among those of persons (entity 0 with the name "") stay where they are.

    Args:
        table: where the clips are.
        rows: `(m,)` of the table.
        modalities: streams that the model takes.
        draw: of the epoch.

    Returns:
        `(m, N)` int64: entity `e` of clip `rows[i]` becomes entity `places[i, e]`.

    Example:
        >>> from merkit.data.table import TokenColumn
        >>> face = TokenColumn(np.ones((2, 1)), np.arange(3), np.array([0, 0]), np.array([0, 2]))
        >>> table = ClipTable("t", np.array(["a"]), np.array(["train"]), {"face": face}, {})
        >>> places = [entity_places(table, np.array([0]), ("face",), Draw(0, epoch))[0].tolist() for epoch in range(9)]
        >>> sorted(set(map(tuple, places)))
        [(0, 1, 2), (2, 1, 0)]
    """
    columns = [table.streams[name] for name in modalities if table.streams[name].per_entity]
    found = [(at, column.entity[sequence]) for column in columns for sequence, at in (column.sequences(rows),)]
    count = table.entity_count or 1 + max((int(entity.max(initial=0)) for _, entity in found), default=0)
    there = np.zeros((len(rows), count), bool)
    for at, entity in found:
        there[at, entity] = True
    for target in table.targets.values():
        if target.spec.per_entity:
            known = target.valid[rows]
            there |= known if known.ndim == 2 else known.any(-1)
    if table.entities is not None:
        there[[bool(names) and names[0] == "" for names in table.entities[rows]], 0] = False
    keys = draw.keys("entities", rows[:, None], np.arange(count))
    # those who are there come first: by chance in one order, by number in the other
    by_chance = np.lexsort((np.where(there, keys, np.arange(count, dtype=np.uint64)), ~there))
    by_number = np.argsort(~there, axis=1, kind="stable")
    places = np.empty(there.shape, np.int64)
    np.put_along_axis(places, by_chance, by_number, 1)
    return places


def _within(lengths: np.ndarray) -> np.ndarray:
    """`0 … lengths[0] - 1, 0 … lengths[1] - 1, …`."""
    first = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) - np.repeat(first, lengths)
