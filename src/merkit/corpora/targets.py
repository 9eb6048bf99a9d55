"""Answers as raters gave them, turned into `Target`s: classes, counts of votes, several labels, numbers."""

from collections.abc import Mapping, Sequence

import numpy as np

from merkit.schema import Target, TargetSpec

__all__ = ["class_target", "labels_target", "share_target", "value_target", "vote_target"]


def class_target(spec: TargetSpec, label: str) -> Target:
    """One class.

    Example:
        >>> int(class_target(TargetSpec("emotion", "single_label", ("joy", "anger")), "anger").value)
        1
    """
    return Target(spec, np.array(spec.labels.index(label), np.int64))


def labels_target(spec: TargetSpec, labels: Sequence[str]) -> Target:
    """Several labels, each on or off.

    Example:
        >>> labels_target(TargetSpec("emotions", "multi_label", ("joy", "anger")), ["joy"]).value.tolist()
        [1.0, 0.0]
    """
    return Target(spec, np.array([label in labels for label in spec.labels], np.float32))


def vote_target(spec: TargetSpec, counts: Sequence[float]) -> Target:
    """A distribution from counts of raters `(K,)`, which are kept beside it.

    Raises:
        ValueError: a count is negative, or nobody voted.

    Example:
        >>> vote_target(TargetSpec("voice", "soft_label", ("joy", "anger")), [3, 1]).value.tolist()
        [0.75, 0.25]
    """
    votes = np.array(counts, np.float32)
    if not np.isfinite(votes).all() or (votes < 0).any() or votes.sum() <= 0:
        raise ValueError("votes must be counts of at least one rater")
    return Target(spec, votes / votes.sum(), votes=votes)


def share_target(spec: TargetSpec, shares: Sequence[float]) -> Target:
    """A distribution `(K,)`; shares are scaled to sum to 1.

    Raises:
        ValueError: a share is negative, or all are 0.

    Example:
        >>> share_target(TargetSpec("emotion", "soft_label", ("joy", "anger")), [1, 1]).value.tolist()
        [0.5, 0.5]
    """
    return Target(spec, vote_target(spec, shares).value)


def value_target(spec: TargetSpec, values: Mapping[str, float | None]) -> Target:
    """Numbers by label; None or a missing label is not known.

    Example:
        >>> value_target(TargetSpec("va", "regression", ("valence", "arousal")), {"arousal": 0.5}).valid.tolist()
        [False, True]
    """
    known = [values.get(label) for label in spec.labels]
    value = np.array([0.0 if number is None else number for number in known], np.float32)
    return Target(spec, value, valid=np.array([number is not None for number in known]))
