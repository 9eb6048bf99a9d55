"""Dividing a corpus so that nothing which belongs together is torn apart.

Every division moves whole groups (speakers, sessions, dialogues, films): clips of one group share a voice, a room and
often the very words, and a model that has met them in training looks better than it is. Groups are placed largest first
where the classes fit best (those of the first clip-level target with classes that the table has, so runs of other
`data.targets` may be divided otherwise); ties are drawn from `seed`. Names are sorted before anything is drawn, so the
same table gives the same division in any process.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from merkit.data.table import ClipTable
from merkit.errors import ConfigError

__all__ = ["SPLITS", "by_group", "kfold_by_group", "leave_one_group_out", "official", "subset"]

SPLITS = ("train", "valid", "test")


def official(table: ClipTable) -> ClipTable:
    """The split that the corpus came with, checked to be one.

    Raises:
        ConfigError: there is no training clip, or a split has another name than train, valid, test or none.

    Example:
        >>> official(_example()).split.tolist()
        ['train', 'train', 'train', 'train', 'test', 'test']
    """
    if unknown := sorted(set(map(str, table.split)) - {*SPLITS, ""}):
        raise ConfigError(
            f"corpus {table.name}: splits are {', '.join(SPLITS)} or empty; there is {', '.join(unknown)}"
        )
    if not (table.split == "train").any():
        raise ConfigError(f"corpus {table.name} has no official training clips; set data.split.kind to group or kfold")
    return table


def by_group(
    table: ClipTable, kind: str, fractions: Sequence[float] = (0.8, 0.1, 0.1), *, seed: int = 0, keep_test: bool = True
) -> ClipTable:
    """Whole groups into train, valid and test, by about these shares of the clips.

    Args:
        table: the corpus.
        kind: of group, e.g. `speaker`.
        fractions: of train, valid, test; they are scaled to sum to 1. With only two, there is no test part.
        seed: of the draws among equals.
        keep_test: an official test split stays as it is, and the rest is divided by the shares of train and valid.

    Raises:
        ConfigError: no such groups, too few of them, or shares that cannot be.

    Example:
        >>> by_group(_example(), "speaker", (0.5, 0.5), keep_test=False).split.tolist()
        ['valid', 'valid', 'train', 'train', 'train', 'valid']
    """
    shares = np.asarray([*fractions, 0.0][:3], float)
    if not 2 <= len(fractions) <= 3 or not np.isfinite(shares).all() or (shares < 0).any() or (shares[:2] == 0).any():
        raise ConfigError(
            f"data.split.fractions={tuple(fractions)}: give shares of train, valid and perhaps test, none negative, "
            "train and valid above 0"
        )
    fixed = _kept(table, keep_test)
    if fixed.any():
        shares[2] = 0.0
    wanted = np.flatnonzero(shares)
    part = _assign(table, kind, ~fixed, shares[wanted] / shares.sum(), seed)
    return _with_split(table, fixed, np.array(SPLITS)[wanted], part)


def kfold_by_group(
    table: ClipTable, kind: str, folds: int, fold: int, *, seed: int = 0, keep_test: bool = True
) -> ClipTable:
    """Fold `fold` of `folds` is valid, the others are train; whole groups, folds of about equal size and classes.

    Args:
        table: the corpus.
        kind: of group.
        folds: how many.
        fold: which is valid, from 0.
        seed: of the draws among equals; the folds of one seed partition the corpus.
        keep_test: an official test split stays as it is; otherwise its clips are divided with the rest.

    Raises:
        ConfigError: no such groups, fewer groups than folds, or no such fold.

    Example:
        >>> [kfold_by_group(_example(), "speaker", 2, fold).split.tolist()[:4] for fold in (0, 1)]
        [['valid', 'valid', 'train', 'train'], ['train', 'train', 'valid', 'valid']]
    """
    if folds < 2 or not 0 <= fold < folds:
        raise ConfigError(
            f"data.split.fold={fold} of data.split.folds={folds}: folds count from 0, and there are at least 2"
        )
    fixed = _kept(table, keep_test)
    part = _assign(table, kind, ~fixed, np.full(folds, 1 / folds), seed)
    names = np.where(np.arange(folds) == fold, "valid", "train")
    return _with_split(table, fixed, names, part)


def leave_one_group_out(table: ClipTable, kind: str, name: str, *, keep_test: bool = True) -> ClipTable:
    """Group `name` is valid, all others are train.

    Args:
        table: the corpus.
        kind: of group.
        name: the group.
        keep_test: an official test split stays as it is.

    Raises:
        ConfigError: no such groups, or none of that name outside the test split.

    Example:
        >>> leave_one_group_out(_example(), "speaker", "b").split.tolist()
        ['train', 'train', 'valid', 'valid', 'test', 'test']
    """
    groups, fixed = _groups(table, kind), _kept(table, keep_test)
    chosen = (groups == name) & ~fixed
    if not chosen.any() or chosen[~fixed].all():
        there = ", ".join(np.unique(groups[~fixed])[:12])
        raise ConfigError(f"data.split.out={name}: no {kind} of that name beside others; there are {there}")
    return _with_split(table, fixed, np.array(["train", "valid"]), chosen[~fixed].astype(int))


def subset(table: ClipTable, n: int, *, seed: int = 0) -> ClipTable:
    """At most `n` clips of each split, in the order of the table, for trying things out.

    Every class is drawn in turn, so that a small subset still has them all where it can. The clips of `test` are drawn
    without a look at their classes. What is drawn of a split depends on that split's clips and the seed alone, so the
    subset of `test` is the same whether the other splits are there or not; a smaller subset lies within a larger one.

    Raises:
        ConfigError: `n` is below 1.

    Example:
        >>> subset(_example(), 1).ids.tolist()
        ['2', '4']
    """
    if n < 1:
        raise ConfigError(f"data.num_data={n}: at least 1 clip of each split, or leave it out for all")
    classes = _classes(table)
    keep = np.zeros(len(table), bool)
    for name in np.unique(table.split):
        rng = np.random.default_rng([seed, zlib.crc32(str(name).encode())])
        rows = rng.permutation(np.flatnonzero(table.split == name))
        if classes is not None and name != "test":
            # the i-th clip of each class comes before the (i + 1)-th of any
            kind = np.where(classes[rows].any(1), classes[rows].argmax(1), classes.shape[1])  # the last: not known
            order = np.argsort(kind, kind="stable")
            sizes = np.bincount(kind)
            turn = np.empty(len(rows), int)
            turn[order] = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            rows = rows[np.argsort(turn, kind="stable")]
        keep[rows[:n]] = True
    return table.take(keep)


def _kept(table: ClipTable, keep_test: bool) -> np.ndarray:
    return (table.split == "test") & keep_test


def _groups(table: ClipTable, kind: str) -> np.ndarray:
    groups = table.groups.get(kind)
    if groups is None and kind == "dialogue":
        groups = table.dialogue
    if groups is None:
        there = [*table.groups, *(["dialogue"] if table.dialogue is not None else [])]
        known = ", ".join(dict.fromkeys(there)) or "none"
        raise ConfigError(f"data.split.by={kind}: corpus {table.name} has no such groups; there are: {known}")
    groups = groups.astype(str)
    if unknown := int((groups == "").sum()):
        first = table.ids[groups == ""][0]
        raise ConfigError(f"data.split.by={kind}: {unknown} clips of {table.name} belong to no {kind}, e.g. {first}")
    return groups


def _classes(table: ClipTable) -> np.ndarray | None:
    """`(n, K)` what each clip adds to the balance: of the first clip-level target with classes; None where there is none."""
    for column in table.targets.values():
        if column.spec.per_entity or column.spec.kind == "regression":
            continue
        if column.spec.kind == "single_label":
            return np.eye(len(column.spec.labels))[column.value] * column.valid[:, None]
        return np.where(column.valid, column.value, 0.0).astype(float)
    return None


def _assign(table: ClipTable, kind: str, take: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Part of each clip of `take`: greedy, largest group first, into the part that it brings closest to its shares."""
    names, index = np.unique(_groups(table, kind)[take], return_inverse=True)
    if len(names) < len(shares):
        raise ConfigError(f"data.split.by={kind}: {len(names)} groups cannot fill {len(shares)} parts")
    classes = _classes(table)
    kinds = (
        np.ones((len(index), 1)) if classes is None else np.concatenate([np.ones((len(index), 1)), classes[take]], 1)
    )
    load = np.zeros((len(names), kinds.shape[1]))  # clips of each group, in all and per class
    np.add.at(load, index, kinds)
    total = np.maximum(load.sum(0), 1e-9)
    # size weighs as much as all classes together; rare classes weigh as much as common ones
    weight = np.concatenate([[1.0], np.full(kinds.shape[1] - 1, 1.0 / max(kinds.shape[1] - 1, 1))]) / total**2
    goal, held = shares[:, None] * total, np.zeros((len(shares), kinds.shape[1]))
    tie = np.random.default_rng(seed).permutation(len(names))
    part = np.full(len(names), -1)
    left = len(names)
    for group in np.lexsort((tie, -load[:, 0])):
        empty = np.bincount(part[part >= 0], minlength=len(shares)) == 0
        now = (weight * (held - goal) ** 2).sum(1)
        then = (weight * (held + load[group] - goal) ** 2).sum(1)
        # with as many groups left as empty parts, each of them must get one
        gain = np.where(empty, then - now, np.inf) if empty.sum() >= left else then - now
        part[group] = int(gain.argmin())
        held[part[group]] += load[group]
        left -= 1
    return part[index]


def _with_split(table: ClipTable, fixed: np.ndarray, names: np.ndarray, part: np.ndarray) -> ClipTable:
    split = np.full(len(table), "test", dtype="<U5")
    split[~fixed] = names[part]
    return table.divided(split)


def _example() -> ClipTable:
    from merkit.data.table import TargetColumn
    from merkit.schema import TargetSpec

    spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
    emotion = TargetColumn(spec, np.array([0, 1, 0, 1, 0, 1]), np.ones(6, bool))
    split = np.array(["train"] * 4 + ["test"] * 2)
    speaker = np.array(["a", "a", "b", "b", "c", "d"])
    return ClipTable("tiny", np.arange(6).astype(str), split, {}, {"emotion": emotion}, {"speaker": speaker})
