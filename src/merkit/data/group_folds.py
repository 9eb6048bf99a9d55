"""Folds with a part of their own to choose by: one group is tested on, the next one is chosen by, the others are trained on."""

from typing import TYPE_CHECKING

import numpy as np

from merkit.errors import ConfigError

if TYPE_CHECKING:
    from merkit.data.table import ClipTable

__all__ = ["group_fold", "group_folds"]


def group_folds(table: "ClipTable", kind: str = "session") -> "list[ClipTable]":
    """All folds: every group is the test part once and the valid part once.

    Raises:
        ConfigError: fewer than three groups, no such kind, or clips of none.
    """
    return [group_fold(table, fold, kind) for fold in range(len(_names(table, kind)))]


def group_fold(table: "ClipTable", fold: int, kind: str = "session") -> "ClipTable":
    """Fold `fold`: of the groups by name, number `fold` is test, the one after it (in a ring) valid, the others train.

    An official split is passed over. Nothing is drawn, so that figures of two people are of the same clips.

    Args:
        table: the corpus.
        fold: from 0.
        kind: of group.

    Raises:
        ConfigError: as `group_folds`, or there is no such fold.

    Example:
        >>> from merkit.data.table import ClipTable
        >>> ids = np.arange(5).astype(str)
        >>> table = ClipTable("t", ids, np.full(5, ""), {}, {}, {"session": np.array(["1", "1", "2", "3", "2"])})
        >>> [group_fold(table, fold).split.tolist() for fold in (0, 2)]
        [['test', 'test', 'valid', 'train', 'valid'], ['valid', 'valid', 'train', 'test', 'train']]
    """
    names = _names(table, kind)
    if not 0 <= fold < len(names):
        raise ConfigError(f"fold {fold}: there are {len(names)}, one for each {kind}, counted from 0")
    groups = table.groups[kind].astype(str)
    split = np.full(len(table), "train", dtype="<U5")
    split[groups == names[fold]] = "test"
    split[groups == names[(fold + 1) % len(names)]] = "valid"
    return table.divided(split)


def _names(table: "ClipTable", kind: str) -> list[str]:
    if kind not in table.groups:
        raise ConfigError(
            f"corpus {table.name} has no groups of kind {kind}; there are {', '.join(table.groups) or 'none'}"
        )
    names = sorted(set(table.groups[kind].astype(str)))
    if "" in names:
        first = table.ids[table.groups[kind] == ""][0]
        raise ConfigError(f"clips of {table.name} belong to no {kind}, e.g. {first}")
    if len(names) < 3:
        raise ConfigError(f"{len(names)} of kind {kind} in {table.name}: folds with train, valid and test need three")
    return names
