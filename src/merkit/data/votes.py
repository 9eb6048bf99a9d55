"""What raters said, as counts, and the labels that are made of them: one class, shares, or sharpened shares (PeakL).

Counts are what a corpus knows; a label is a decision about them. Keeping both lets a model be trained on shares and be
measured on classes, and lets the rule for ties be seen and changed.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from merkit.data.table import TargetColumn
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

__all__ = ["NearestCentroid", "TieRule", "hard", "peak", "soft", "with_hard", "with_peak", "with_soft"]

# shares in float32 that ought to be uniform differ by less
_UNIFORM = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class NearestCentroid:
    """Ties go to the tied class that lies nearest to the clip's rated valence and arousal (as in KEMDy19 and KEMDy20).

    Where classes are equally near, the first in the order of labels is taken; where a clip's rating is not known (NaN),
    the tie is dropped.

    Args:
        place: `(n, 2)` valence and arousal of each clip, in the unit of `centroids`.
        centroids: `(K, 2)` valence and arousal of each class. Fitted ones must come from training clips alone.
    """

    place: np.ndarray
    centroids: np.ndarray


TieRule = Literal["drop", "first"] | NearestCentroid


def hard(votes: np.ndarray, ties: TieRule = "drop") -> tuple[np.ndarray, np.ndarray]:
    """The class that most raters chose.

    Args:
        votes: `(n, K)` counts or shares, 0 or more.
        ties: `drop` = a clip whose most-voted classes are tied has no class; `first` = the first of them in the order of
            labels, which favours whatever label comes first; or a `NearestCentroid`.

    Returns:
        `(n,)` int64 class, 0 where there is none, and `(n,)` bool whether there is one. Nobody's vote is no class.

    Raises:
        ConfigError: counts are negative or not finite, or the rule does not fit them.

    Example:
        >>> hard(np.array([[3, 1, 1], [2, 2, 1], [0, 0, 0]]))
        (array([0, 0, 0]), array([ True, False, False]))
        >>> hard(np.array([[0, 2, 2]]), NearestCentroid(np.array([[4.2, 3.8]]), np.array([[3, 3], [2, 4], [4, 4]])))
        (array([2]), array([ True]))
    """
    votes = _checked(votes)
    top = (votes == votes.max(1, keepdims=True)) & (votes > 0)
    chosen, clear = top.argmax(1), top.sum(1) == 1
    if isinstance(ties, NearestCentroid):
        n, k = votes.shape
        if np.shape(ties.place) != (n, 2) or np.shape(ties.centroids) != (k, 2):
            raise ConfigError(
                f"ties by centroid need place ({n}, 2) and centroids ({k}, 2); "
                f"they are {np.shape(ties.place)} and {np.shape(ties.centroids)}"
            )
        distance = np.square(ties.place[:, None, :] - ties.centroids[None, :, :]).sum(-1)
        known = np.isfinite(np.where(top, distance, 0.0)).all(1)
        nearest = np.where(top & np.isfinite(distance), distance, np.inf).argmin(1)
        chosen, clear = np.where(clear, chosen, nearest), clear | (top.any(1) & known)
    elif ties == "first":
        clear = top.any(1)
    elif ties != "drop":
        raise ConfigError(f"ties={ties!r}: there are `drop`, `first` and NearestCentroid")
    return np.where(clear, chosen, 0).astype(np.int64), clear


def soft(votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of raters who chose each class.

    Args:
        votes: `(n, K)` counts, 0 or more.

    Returns:
        `(n, K)` float32 shares, zeros where nobody voted, and `(n,)` bool whether anybody did.

    Raises:
        ConfigError: counts are negative or not finite.

    Example:
        >>> soft(np.array([[3, 1], [0, 0]]))
        (array([[0.75, 0.25], [0.  , 0.  ]], dtype=float32), array([ True, False]))
    """
    votes = _checked(votes)
    total = votes.sum(1)
    shares = np.divide(votes, total[:, None], out=np.zeros_like(votes), where=total[:, None] > 0)
    return shares.astype(np.float32), total > 0


def peak(prob: np.ndarray) -> np.ndarray:
    """PeakL (Cho, Ryu, Wallraven 2023): shares sharpened the more, the less raters agree.

    `z = relu(p - tanh(H(p)) / K)` with the entropy H in nats; then `z - min(z)`, scaled to sum 1. Votes that are few
    compared with chance disappear, and one-hot shares stay as they are. Where all classes are equally likely the formula
    is 0 / 0, which is how the authors' own code makes NaN; here such shares stay as they are, because there is no peak to
    sharpen.

    Args:
        prob: `(n, K)` shares that sum to 1; rows of zeros (nobody voted) stay zeros.

    Returns:
        `(n, K)` of the type of `prob`.

    Example:
        >>> peak(np.array([[0.6, 0.4, 0, 0, 0, 0, 0], [1 / 7] * 7])).round(4)
        array([[0.6201, 0.3799, 0.    , 0.    , 0.    , 0.    , 0.    ],
               [0.1429, 0.1429, 0.1429, 0.1429, 0.1429, 0.1429, 0.1429]])
    """
    shares = np.asarray(prob, np.float64)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(1, keepdims=True)
    z = np.maximum(shares - np.tanh(entropy) / shares.shape[1], 0.0)
    z -= z.min(1, keepdims=True)
    total = z.sum(1, keepdims=True)
    flat = total <= _UNIFORM
    return np.where(flat, shares, z / np.where(flat, 1.0, total)).astype(prob.dtype)


def with_hard(column: TargetColumn, ties: TieRule = "drop") -> TargetColumn:
    """The column as one class per clip; votes, where there are any, stay with it.

    Args:
        column: with votes, or with shares (`soft_label`).
        ties: see `hard`. Clips without a class are not valid: out of every loss and measure.

    Raises:
        ConfigError: there are neither votes nor shares, or they are asked per entity.

    Example:
        >>> with_hard(_example()).valid
        array([ True, False])
    """
    value, valid = hard(_votes_of(column), ties)
    return replace(column, spec=_spec(column, "single_label"), value=value, valid=valid)


def with_soft(column: TargetColumn) -> TargetColumn:
    """The column as shares of raters; votes, where there are any, stay with it.

    Raises:
        ConfigError: there are neither votes nor shares, or they are asked per entity.

    Example:
        >>> with_soft(_example()).value
        array([[0.75, 0.25, 0.  ],
               [0.5 , 0.5 , 0.  ]], dtype=float32)
    """
    votes = _votes_of(column)
    value, known = soft(votes)
    valid = np.repeat(known[:, None], votes.shape[1], 1)
    return replace(column, spec=_spec(column, "soft_label"), value=value, valid=valid)


def with_peak(column: TargetColumn) -> TargetColumn:
    """The column as PeakL shares. For training; measure on `with_soft` or `with_hard`, which say what raters said.

    Raises:
        ConfigError: there are neither votes nor shares, or they are asked per entity.

    Example:
        >>> with_peak(_example()).value.round(3)
        array([[0.879, 0.121, 0.   ],
               [0.5  , 0.5  , 0.   ]], dtype=float32)
    """
    shares = with_soft(column)
    return replace(shares, value=peak(shares.value))


def _checked(votes: np.ndarray) -> np.ndarray:
    votes = np.asarray(votes, np.float64)
    if votes.ndim != 2 or not votes.shape[1]:
        raise ConfigError(f"votes must be (n, K); they are {votes.shape}")
    bad = ~(np.isfinite(votes) & (votes >= 0)).all(1)
    if bad.any():
        row = int(bad.argmax())
        raise ConfigError(f"votes of row {row} are negative or not finite: {votes[row].tolist()}")
    return votes


def _votes_of(column: TargetColumn) -> np.ndarray:
    """Counts; or the shares of a soft label as if they were, none where the shares are not known."""
    spec = column.spec
    if spec.per_entity or spec.kind not in ("single_label", "soft_label"):
        raise ConfigError(
            f"target {spec.name} is {spec.kind}{' per entity' * spec.per_entity}: votes make labels of clips"
        )
    if column.votes is not None:
        return column.votes
    if spec.kind == "soft_label":
        return np.where(column.valid.all(1, keepdims=True), column.value, 0)
    raise ConfigError(f"target {spec.name} has one class per clip and no votes: shares cannot be made of it")


def _spec(column: TargetColumn, kind: Literal["single_label", "soft_label"]) -> TargetSpec:
    return replace(column.spec, kind=kind)


def _example() -> TargetColumn:
    spec = TargetSpec("emotion", "single_label", ("joy", "anger", "fear"))
    votes = np.array([[3, 1, 0], [2, 2, 0]])
    return TargetColumn(spec, np.array([0, 0]), np.array([True, True]), votes)
