"""Divisions of a corpus that keep whole groups (speakers, dialogues, films) on one side.

Each function gives the same table with other names in `split`. What comes out is a function of the table and the seed
alone: group names are sorted, never hashed. Answers of clips that stay `test` are not looked at.
"""

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from merkit.data.table import ClipTable
from merkit.errors import ConfigError

__all__ = ["by_group", "kfold_by_group", "leave_one_group_out", "subset"]


def by_group(
    table: ClipTable, kind: str, fractions: Sequence[float], *, seed: int = 0, keep_test: bool = True
) -> ClipTable:
    """Train, valid and test by shares of clips, no group in two of them.

    Groups are dealt out from large to small, each to the split whose class counts (of the first single-label target;
    sizes where there is none) it brings closest to its share. Clips whose group has no name stay together.

    Args:
        table: the corpus.
        kind: which group, or `dialogue`.
        fractions: shares of train, valid and, as third, test; they are scaled to sum to 1. 0 = no such split.
        seed: order among groups of similar size.
        keep_test: clips that are `test` stay so and only the rest is divided, then the third share counts for nothing.

    Raises:
        ConfigError: an unknown kind of group, shares that make no sense, or fewer groups than splits.

    Example:
        >>> table = ClipTable("t", np.array(list("abcd")), np.array([""] * 4), {}, {},
        ...     {"speaker": np.array(["ann", "ann", "ann", "bob"])})
        >>> by_group(table, "speaker", (0.75, 0.25)).split.tolist()
        ['train', 'train', 'train', 'valid']
    """
    shares = np.asarray(fractions, float)
    if len(shares) not in (2, 3) or not np.isfinite(shares).all() or (shares < 0).any() or shares[0] <= 0:
        raise ConfigError(f"data.split.fractions={tuple(fractions)}: give 2 or 3 shares, not negative, train above 0")
    rows = _divided(table, keep_test)
    if len(rows) < len(table):
        shares = shares[:2]
    used = [name for name, share in zip(("train", "valid", "test"), shares, strict=False) if share > 0]
    dealt = _deal(table, rows, kind, shares[shares > 0] / shares.sum(), seed, what="splits")
    return _with_split(table, rows, np.array(used)[dealt])


def kfold_by_group(
    table: ClipTable, kind: str, folds: int, fold: int, *, seed: int = 0, keep_test: bool = True
) -> ClipTable:
    """One of `folds` divisions: the groups of `fold` are valid, those of all others train.

    Every group is valid in exactly one fold. Groups are dealt out as in `by_group`.

    Args:
        table: the corpus.
        kind: which group, or `dialogue`.
        folds: how many.
        fold: which one is valid, from 0.
        seed: order among groups of similar size; the same for all folds of one cross-validation.
        keep_test: clips that are `test` stay so; else they take part like all others.

    Raises:
        ConfigError: an unknown kind of group, a fold out of range, or fewer groups than folds.

    Example:
        >>> table = ClipTable("t", np.array(list("abc")), np.array(["", "", "test"]), {}, {},
        ...     {"speaker": np.array(["ann", "bob", "cid"])})
        >>> [kfold_by_group(table, "speaker", 2, fold).split.tolist() for fold in (0, 1)]
        [['valid', 'train', 'test'], ['train', 'valid', 'test']]
    """
    if folds < 2:
        raise ConfigError(f"data.split.folds={folds}: at least 2")
    if not 0 <= fold < folds:
        raise ConfigError(f"data.split.fold={fold}: must be from 0 to {folds - 1}")
    rows = _divided(table, keep_test)
    dealt = _deal(table, rows, kind, np.full(folds, 1 / folds), seed, what="folds")
    return _with_split(table, rows, np.where(dealt == fold, "valid", "train"))


def leave_one_group_out(table: ClipTable, kind: str, name: str) -> ClipTable:
    """The group `name` is test, the group after it in sorted order valid, all others train.

    With a valid group of its own, no epoch is chosen on the group that is left out. Where there are only two groups,
    nothing is valid. Official splits count for nothing here: the group that is left out IS the test.

    Args:
        table: the corpus.
        kind: which group, or `dialogue`.
        name: the group to leave out.

    Raises:
        ConfigError: an unknown kind of group or name, or only one group.

    Example:
        >>> table = ClipTable("t", np.array(list("abc")), np.array([""] * 3), {}, {},
        ...     {"session": np.array(["s1", "s2", "s3"])})
        >>> leave_one_group_out(table, "session", "s3").split.tolist()
        ['valid', 'train', 'test']
    """
    names, index = np.unique(_groups(table, kind), return_inverse=True)
    found = np.flatnonzero(names == name)
    if not len(found):
        some = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
        raise ConfigError(f"data.split.out={name!r}: corpus {table.name} has no such {kind}; there are {some}")
    if len(names) < 2:
        raise ConfigError(f"data.split.by={kind}: {name!r} is the only {kind} of corpus {table.name}")
    split = np.full(len(table), "train")
    if len(names) > 2:
        split[index == (found[0] + 1) % len(names)] = "valid"
    split[index == found[0]] = "test"
    return replace(table, split=split.astype("<U5"))


def subset(table: ClipTable, n: int, *, seed: int = 0) -> ClipTable:
    """At most `n` clips of each split, in the table's order; a smaller subset lies within a larger one.

    Which clips of a split are taken depends on that split's clips and the seed alone, so a subset of `test` is the same
    whether the other splits are there or not.

    Raises:
        ConfigError: `n` below 1.

    Example:
        >>> table = ClipTable("t", np.arange(6).astype(str), np.array(["train"] * 4 + ["test"] * 2), {}, {})
        >>> subset(table, 2).split.tolist()
        ['train', 'train', 'test', 'test']
    """
    if n < 1:
        raise ConfigError(f"data.num_data={n}: must be at least 1")
    kept = []
    for split in np.unique(table.split):
        rows = np.flatnonzero(table.split == split)
        order = np.random.default_rng([seed, zlib.crc32(str(split).encode())]).permutation(len(rows))
        kept.append(rows[order[:n]])
    return table.take(np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64))


def _divided(table: ClipTable, keep_test: bool) -> np.ndarray:
    """Rows that are to be dealt out."""
    rows = np.flatnonzero(table.split != "test") if keep_test else np.arange(len(table))
    if not len(rows):
        raise ConfigError(f"corpus {table.name}: every clip is test already; nothing is left to divide")
    return rows


def _with_split(table: ClipTable, rows: np.ndarray, names: np.ndarray) -> ClipTable:
    split = np.full(len(table), "test", "<U5")
    split[rows] = names
    return replace(table, split=split)


def _groups(table: ClipTable, kind: str) -> np.ndarray:
    if kind in table.groups:
        return table.groups[kind].astype(str)
    if kind == "dialogue" and table.dialogue is not None:
        return table.dialogue.astype(str)
    there = [*table.groups, *(["dialogue"] if table.dialogue is not None else [])]
    raise ConfigError(f"data.split.by={kind}: corpus {table.name} has {', '.join(dict.fromkeys(there)) or 'no groups'}")


def _counts(table: ClipTable, rows: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """`(G, K + 1)` clips of each class, and all clips, in each group; the last column weighs as much as the classes."""
    size = np.bincount(group, minlength=groups)[:, None]
    for column in table.targets.values():
        if column.spec.kind == "single_label" and column.value.ndim == 1:
            known, classes = column.valid[rows], len(column.spec.labels)
            cell = group[known] * classes + column.value[rows][known]
            counts = np.bincount(cell, minlength=groups * classes).reshape(groups, classes)
            return np.concatenate([counts[:, counts.any(0)], size * classes], 1).astype(float)
    return size.astype(float)


def _deal(table: ClipTable, rows: np.ndarray, kind: str, shares: np.ndarray, seed: int, what: str) -> np.ndarray:
    """`(len(rows),)` which of the shares each clip goes to, whole groups at a time."""
    names, group = np.unique(_groups(table, kind)[rows], return_inverse=True)
    if len(names) < len(shares):
        raise ConfigError(
            f"data.split.by={kind}: corpus {table.name} has {len(names)} to divide into {len(shares)} {what}"
        )
    counts = _counts(table, rows, group, len(names))
    wanted = shares[:, None] * counts.sum(0)
    held = np.zeros_like(wanted)
    home = np.empty(len(names), np.int64)
    # large before small, so that small groups can even out; within a factor of two the seed decides
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.permutation(len(names)), -np.floor(np.log2(np.bincount(group)))))
    for place, g in enumerate(order):
        # how much the chi-square distance to the wanted counts grows
        growth = ((2 * (held - wanted) + counts[g]) * counts[g] / wanted).sum(1)
        empty = ~held.any(1)
        if len(order) - place <= empty.sum():
            growth[~empty] = np.inf  # as many groups left as splits without one
        home[g] = growth.argmin()
        held[home[g]] += counts[g]
    return home[group]
