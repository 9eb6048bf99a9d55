"""Which clips of a folder are the files that a submission is asked about."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from merkit.corpora.templates import Template, bare_number
from merkit.errors import MediaError

__all__ = ["listed", "match_clips"]

# ids that are named in a message before it says how many more there are
_NAMED = 12


def match_clips(
    template: Template, ids: Sequence[str] | np.ndarray, candidates: np.ndarray | None = None
) -> np.ndarray:
    """`(m,)` row of `ids` that each file of the template is; -1 where there is none.

    A file is the clip of just that id; or else the one whose name, without folders and suffix, is that id; or else, for
    whole numbers, the one whose name begins with that number (`12` is `test/0012-305-4.mp4`).

    Args:
        template: what is asked.
        ids: `(n,)` of the clips that are there.
        candidates: `(n,)` bool: which of them are considered; None = all.

    Raises:
        MediaError: several clips fit equally well.

    Example:
        >>> from pathlib import Path
        >>> match_clips(Template(Path("t.csv"), "FileID", ("12", "3", "5")), ["0003-1-happy", "test/12", "4-12"]).tolist()
        [1, 0, -1]
    """
    kinds: list[dict[str, list[int]]] = [{}, {}, {}]
    for row in range(len(ids)) if candidates is None else np.flatnonzero(candidates).tolist():
        clip = str(ids[row])
        stem = PurePosixPath(clip).stem
        number = re.match(r"[0-9]+", stem)
        for kind, name in zip(kinds, (clip, stem, number and bare_number(number.group())), strict=True):
            if name is not None:
                kind.setdefault(name, []).append(row)
    rows = np.full(len(template.files), -1, np.int64)
    for i, file in enumerate(template.files):
        found = next(
            (kind[key] for kind, key in zip(kinds, (file, file, bare_number(file)), strict=True) if key in kind), []
        )
        if len(found) > 1:
            several = listed([str(ids[row]) for row in found])
            raise MediaError(
                f"{file} may be each of {several}; say which clips are meant (--clips 'test/*')", path=template.path
            )
        rows[i] = found[0] if found else -1
    return rows


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first dozen, and how many more there are.

    Example:
        >>> listed(["7", "12"])
        '7, 12'
    """
    more = f" … and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
