"""Faces that were followed through a clip, and whose they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from merkit.errors import MediaError

__all__ = ["FaceRows", "columns_of", "face_rows", "last_frame", "named_tracks"]

# columns of a face: x1, y1, x2, y2, score, frame number, person number, track id
_FRAME, _TRACK, _COLUMNS = -3, -1, 8
_MAX_FRAME = 10_000_000


@dataclass(frozen=True, slots=True, eq=False)
class FaceRows:
    """Every face of a clip, in the order of the rows of its features.

    Args:
        frame: `(n,)` int64: number of the frame, counted from 0.
        track: `(n,)` int64: id of the track, counted from 1.
    """

    frame: np.ndarray
    track: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)


def face_rows(tracks: Any, name: str) -> FaceRows:
    """The face tracks of a clip, `{frame: (k, 8)}`, one after the other in the order in which they are kept.

    Raises:
        MediaError: they are something else.

    Example:
        >>> faces = np.array([[0, 0, 9, 9, 0.9, 4, 0, 1], [9, 0, 19, 9, 0.8, 4, 1, 2]])
        >>> face_rows({4: faces}, "a.pkl").track.tolist()
        [1, 2]
    """
    if not isinstance(tracks, dict):
        raise MediaError("is no dict of faces by frame", path=name, field="face tracks")
    found = []
    for frame, rows in tracks.items():
        if not isinstance(rows, np.ndarray) or rows.size == 0:
            if isinstance(rows, np.ndarray | list) and len(rows) == 0:
                continue  # a frame without faces
            raise MediaError("is no array", path=name, field=f"face tracks, frame {frame}")
        if rows.ndim != 2 or rows.shape[1] != _COLUMNS or rows.dtype.kind not in "fiu":
            raise MediaError(
                f"has shape {rows.shape}, not (k, {_COLUMNS})", path=name, field=f"face tracks, frame {frame}"
            )
        found.append(rows)
    if not found:
        return FaceRows(np.zeros(0, np.int64), np.zeros(0, np.int64))
    rows = np.concatenate(found).astype(np.float64)[:, [_FRAME, _TRACK]]
    if not np.isfinite(rows).all() or rows[:, 0].min() < 0 or np.abs(rows).max() > _MAX_FRAME:
        raise MediaError("frame or track numbers are none", path=name, field="face tracks")
    whole = rows.astype(np.int64)
    return FaceRows(whole[:, 0], whole[:, 1])


def last_frame(*tracks: Any) -> int:
    """The last frame in which anybody was seen; -1 where nobody was.

    Example:
        >>> last_frame({0: [], 7: []}, {}, None)
        7
    """
    frames = [
        int(frame) for each in tracks if isinstance(each, dict) for frame in each if isinstance(frame, int | float)
    ]
    return max((frame for frame in frames if 0 <= frame <= _MAX_FRAME), default=-1)


def columns_of(metadata: Any, name: str) -> dict[str, int]:
    """`name -> column` of a film's track names. Two names may share a column: a role that is called by both.

    Raises:
        MediaError: it is something else.

    Example:
        >>> columns_of({"Forrest Gump": 0, "Jenny": 1}, "tt0109830.pkl")["Jenny"]
        1
    """
    good = isinstance(metadata, dict) and all(
        isinstance(who, str) and isinstance(column, int) and not isinstance(column, bool) and column >= 0
        for who, column in metadata.items()
    )
    if not good:
        raise MediaError("is no dict of names and their columns", path=name, field="name to column")
    # names of the graphs are without surrounding blanks
    return {who.strip(): column for who, column in metadata.items()}


def named_tracks(prob: np.ndarray, columns: Mapping[str, int], threshold: float, name: str) -> dict[str, list[int]]:
    """name -> ids of the tracks that are that person's with a probability above `threshold`.

    Args:
        prob: `(tracks, names)` in [0, 1]; row `t` is the track with id `t + 1`.
        columns: name -> column.
        threshold: as given.
        name: of the file, for messages.

    Raises:
        MediaError: a name's column is not there.

    Example:
        >>> named_tracks(np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]), {"Ann": 0, "Bob": 1}, 0.5, "a.npy")
        {'Ann': [1], 'Bob': [3]}
    """
    if max(columns.values(), default=-1) >= prob.shape[1]:
        raise MediaError(
            f"has {prob.shape[1]} columns for {max(columns.values()) + 1} names", path=name, field="header"
        )
    found = {}
    for who, column in columns.items():
        ids = (np.flatnonzero(np.asarray(prob[:, column]) > threshold) + 1).tolist()
        if ids:
            found[who] = ids
    return found
