"""Which turns of its dialogue each clip is seen with."""

import numpy as np

from merkit.data.table import ClipTable
from merkit.errors import ConfigError

__all__ = ["dialogue_context"]


def dialogue_context(table: ClipTable, earlier: int, later: int) -> np.ndarray | None:
    """Rows around every clip: up to `earlier` turns before it, itself, up to `later` turns after it.

    Turns count by their order in the dialogue, not by their number: a turn that was lost leaves no hole. Only clips of
    the same split are taken, so no context crosses from train into test.

    Args:
        table: with `dialogue` and `turn`.
        earlier: turns before; -1 = all.
        later: turns after; -1 = all. 0 where answers must not wait for what comes next.

    Returns:
        `(n, C)` int64 rows of `table` in order of time, -1 = none; None where both are 0.

    Raises:
        ConfigError: the corpus has no dialogues.

    Example:
        >>> table = ClipTable("t", np.array(list("abc")), np.array(["train"] * 3), {}, {},
        ...     dialogue=np.array(["d", "d", "e"]), turn=np.array([1, 0, 0]))
        >>> dialogue_context(table, 1, 1)
        array([[ 1,  0, -1],
               [-1,  1,  0],
               [-1,  2, -1]])
    """
    if not earlier and not later:
        return None
    if table.dialogue is None or table.turn is None:
        raise ConfigError(f"corpus {table.name} has no dialogues: set data.earlier=0 data.later=0")
    n = len(table)
    key = np.char.add(np.char.add(table.dialogue.astype(str), "\0"), table.split.astype(str))
    _, dialogue = np.unique(key, return_inverse=True)
    order = np.lexsort((np.arange(n), table.turn, dialogue))
    size = np.bincount(dialogue)
    first = np.concatenate([[0], np.cumsum(size)[:-1]]).astype(np.int64)
    place = np.empty(n, np.int64)  # place of each clip within its dialogue
    place[order] = np.arange(n) - first[dialogue[order]]
    most = int(size.max(initial=1)) - 1
    if earlier < 0 and later < 0:
        # whole dialogues: every clip of one names the very same rows, so a model reads the dialogue once for all of them
        wanted = np.broadcast_to(np.arange(most + 1), (n, most + 1))
        real = wanted < size[dialogue][:, None]
        return np.where(real, order[np.where(real, first[dialogue][:, None] + wanted, 0)], -1)
    before = most if earlier < 0 else min(earlier, most)
    after = most if later < 0 else min(later, most)
    wanted = place[:, None] + np.arange(-before, after + 1)  # (n, C) places in the dialogue
    real = (wanted >= 0) & (wanted < size[dialogue][:, None])
    rows = order[np.where(real, first[dialogue][:, None] + wanted, 0)]
    return np.where(real, rows, -1)
