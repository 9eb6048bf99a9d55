"""Clips whose features are the same, or nearly: the trace of one recording under two ids."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from merkit.data.columns import TokenColumn
from merkit.data.moments import moments_of

__all__ = ["Directions", "crossing", "directions_of", "feature_keys", "near_pairs"]

# what so many clips share is what an extractor says where it found nothing, not a copy
_PLACEHOLDER_CLIPS, _PLACEHOLDER_SHARE = 20, 0.05
_LEAST_DISTINCT = 4
_LEAST_WIDTH = 8
_FILTER_WIDTH = 16
_CHANCE_PAIRS = 0.01
_RATIO_CLIPS = 2000
_BLOCK = 1 << 22  # numbers worked on at once


def crossing(key: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Pairs of clips that share a key across splits.

    Args:
        key: `(n,)` int64, -1 = none.
        side: `(n,)` int64 place of the clip's split in the order train, valid, test; -1 = in none.

    Returns:
        `(P, 2)` int64: a clip of the earliest split that has the key, and each clip of a later one.

    Example:
        >>> crossing(np.array([5, 5, 7, 5, 7]), np.array([0, 1, 0, 0, 0]))
        array([[0, 1]])
    """
    rows = np.flatnonzero((key >= 0) & (side >= 0))
    rows = rows[np.lexsort((rows, side[rows], key[rows]))]
    ranked = key[rows]
    first = rows[np.searchsorted(ranked, ranked)]
    later = side[rows] > side[first]
    pairs = np.stack([first[later], rows[later]], 1)
    return pairs[np.argsort(pairs[:, 1], kind="stable")]


def feature_keys(column: TokenColumn, n: int) -> np.ndarray:
    """`(n,)` int64: clips with the same tokens get the same key; -1 = no tokens, or too little in them to compare.

    Numbers are compared to 1e-4 of their dimension's standard deviation. Clips whose tokens hold fewer than four
    different numbers (silence, a face that was not found) get no key, nor do values that more than 20 clips and more than
    one in twenty share.

    Args:
        column: the modality.
        n: clips of the table.

    Example:
        >>> x = np.array([[1.0, 2, 3, 4, 5], [0, 0, 0, 0, 0], [1, 2, 3, 4, 5], [5, 4, 3, 2, 1]])
        >>> feature_keys(TokenColumn.one_per_clip(x), 4)
        array([ 0, -1,  0,  1])
    """
    key = np.full(n, -1, np.int64)
    clips, token = _bounds(column)
    if not len(clips):
        return key
    scale = np.sqrt(moments_of(column.x).variance)
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    number: dict[bytes, int] = {}
    index = np.empty(len(clips), np.int64)
    for start, end in _blocks(token, column.width):
        low = token[start]
        whole = np.round(column.x[low : token[end]] / scale, 4) + np.float32(0.0)  # -0 and 0 are the same
        for i in range(start, end):
            part = whole[token[i] - low : token[i + 1] - low]
            digest = hashlib.blake2b(part.tobytes(), digest_size=16).digest()
            index[i] = number.setdefault(digest, len(number)) if _varied(part) else -1
    count = np.bincount(index[index >= 0], minlength=len(number))
    common = (count > _PLACEHOLDER_CLIPS) & (count > _PLACEHOLDER_SHARE * len(clips))
    key[clips] = np.where((index >= 0) & ~np.append(common, True)[index], index, -1)
    return key


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """Where each clip lies from the middle of its corpus in one modality.

    Args:
        unit: `(m, D)` float32, mean tokens standardised over the corpus, of length 1.
        place: `(n,)` int64 row of a clip in `unit`; -1 = not comparable.
        least: cosine from which on two clips are nearly the same: closer than clips of this modality come by chance.
    """

    unit: np.ndarray
    place: np.ndarray
    least: float

    def cosine(self, pairs: np.ndarray) -> np.ndarray:
        """Of each pair `(P, 2)` of clips, `(P,)`; NaN where one is not comparable."""
        both = self.place[pairs]
        known = (both >= 0).all(1)
        found = np.full(len(pairs), np.nan)
        step = max(1, _BLOCK // max(self.unit.shape[1], 1))
        for start in range(0, len(pairs), step):
            rows = np.flatnonzero(known[start : start + step]) + start
            found[rows] = np.einsum("pd,pd->p", self.unit[both[rows, 0]], self.unit[both[rows, 1]])
        return found


def directions_of(column: TokenColumn, key: np.ndarray, least: float = 0.999) -> Directions:
    """Standardised mean tokens of the clips that have a key from `feature_keys`.

    Features of fewer than eight dimensions are not comparable: there, clips agree by chance. Wider ones may be worth few
    dimensions as well (a network's last layers gather a class in one corner); then clips must be closer to count.

    Args:
        column: the modality.
        key: `(n,)` from `feature_keys`.
        least: cosine of near copies where chance brings no two clips so close.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(5, 9))
        >>> column = TokenColumn.one_per_clip(x)
        >>> directions_of(column, feature_keys(column, 5)).unit.shape
        (5, 9)
    """
    clips, token = _bounds(column)
    place = np.full(len(key), -1, np.int64)
    wanted = key[clips] >= 0
    if not wanted.any():
        return Directions(np.zeros((0, column.width), np.float32), place, least)
    mean = np.add.reduceat(column.x, token[:-1], axis=0) / np.diff(token)[:, None].astype(np.float32)
    mean = mean[wanted]
    scale = mean.std(0, dtype=np.float64)
    mean = mean[:, scale > 0]
    unit = ((mean - mean.mean(0, dtype=np.float64)) / scale[scale > 0]).astype(np.float32)
    length = np.linalg.norm(unit, axis=1)
    there = (length > 1e-3) & (unit.shape[1] >= _LEAST_WIDTH)
    place[clips[wanted][there]] = np.arange(there.sum())
    unit = unit[there] / length[there, None]
    return Directions(unit, place, max(least, _beyond_chance(unit)))


def near_pairs(directions: Directions, key: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Pairs of clips of two splits with a cosine of at least `directions.least` whose tokens are not exactly the same.

    Unit vectors that are near stay near in any projection, so a tree over the sixteen strongest directions finds every
    candidate, and each is then compared in full. Clips near to more than 20 others and one in twenty are left out, as in
    `feature_keys`.

    Args:
        directions: of one modality.
        key: `(n,)` from `feature_keys`.
        side: `(n,)` as for `crossing`.

    Returns:
        `(P, 2)` int64, the clip of the earlier split first.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(6, 20))
        >>> x[5] = x[0] + 0.001
        >>> column = TokenColumn.one_per_clip(x)
        >>> key = feature_keys(column, 6)
        >>> near_pairs(directions_of(column, key), key, np.array([0, 0, 0, 1, 1, 1]))
        array([[0, 5]])
    """
    rows = np.flatnonzero((directions.place >= 0) & (side >= 0))
    _, first = np.unique(np.stack([key[rows], side[rows]]), axis=1, return_index=True)  # copies once per split
    rows = np.sort(rows[first])
    none = np.zeros((0, 2), np.int64)
    if len(rows) < 2:
        return none
    unit = directions.unit[directions.place[rows]]
    rng = np.random.default_rng(0)
    width = min(_FILTER_WIDTH, *unit.shape)
    basis = np.linalg.qr(unit.T @ (unit @ rng.normal(size=(unit.shape[1], width)).astype(np.float32)))[0]
    points = (unit @ basis).astype(np.float64)
    radius = np.sqrt(2 * (1 - directions.least)) + 1e-4
    most = max(_PLACEHOLDER_CLIPS, int(_PLACEHOLDER_SHARE * len(rows)))
    found = [none]
    sides = np.unique(side[rows])
    for place, early in enumerate(sides):
        mine = np.flatnonzero(side[rows] == early)
        tree = KDTree(points[mine])
        theirs = np.flatnonzero(np.isin(side[rows], sides[place + 1 :]))
        if not len(theirs):
            continue
        crowd = tree.query_ball_point(points[theirs], radius, return_length=True)
        theirs = theirs[(crowd > 0) & (crowd <= 10 * most)]
        if len(theirs):
            near = tree.sparse_distance_matrix(KDTree(points[theirs]), radius, output_type="ndarray")
            found.append(np.stack([rows[mine[near["i"]]], rows[theirs[near["j"]]]], 1))
    pairs = np.concatenate(found)
    pairs = pairs[key[pairs[:, 0]] != key[pairs[:, 1]]]
    pairs = pairs[directions.cosine(pairs) >= directions.least]
    near_to = np.bincount(pairs.ravel(), minlength=len(key))
    return pairs[(near_to[pairs] <= most).all(1)]


def _beyond_chance(unit: np.ndarray) -> float:
    """Cosine above which chance would bring a hundredth of a pair, all pairs of clips together.

    Of points that fill `d` dimensions evenly, about `r ** d` of all pairs are within `r` of their length. `d` is the
    participation ratio of the covariance, the number of directions that share its variance evenly.
    """
    clips = len(unit)
    if clips < 2:
        return 0.0
    some = unit[:: max(1, clips // _RATIO_CLIPS)].astype(np.float64)
    some = some - some.mean(0)
    spread = np.square(some).sum()
    if spread <= 0:
        return 1.0
    gram = some @ some.T if len(some) < some.shape[1] else some.T @ some
    worth = spread**2 / np.square(gram).sum()
    radius = (_CHANCE_PAIRS / (clips * (clips - 1) / 2)) ** (1 / worth)
    return 1 - min(radius, 1.0) ** 2 / 2


def _bounds(column: TokenColumn) -> tuple[np.ndarray, np.ndarray]:
    """Clips `(c,)` that have tokens, and `(c + 1,)` where in `x` those of each begin and end."""
    lengths = column.lengths
    clip = np.repeat(column.clip, lengths)
    clips, first = np.unique(clip, return_index=True)
    return clips, np.append(first, len(clip))


def _blocks(token: np.ndarray, width: int) -> Iterator[tuple[int, int]]:
    """Runs of clips with at most so many numbers together, at least one clip each."""
    step = max(1, _BLOCK // max(width, 1))
    start, last = 0, len(token) - 1
    while start < last:
        end = max(start + 1, int(np.searchsorted(token, token[start] + step, "right")) - 1)
        yield start, min(end, last)
        start = min(end, last)


def _varied(part: np.ndarray) -> bool:
    """Whether it holds at least four different numbers; the start mostly tells."""
    flat = part.ravel()
    return len(np.unique(flat[:256])) >= _LEAST_DISTINCT or len(np.unique(flat)) >= _LEAST_DISTINCT
