"""Runs that were each judged on other clips: what the folds of a division answered, put side by side.

A clip has one answer then, of the run that had not learned from it, so there is nothing to average: measures are taken of
all clips together, and of each fold.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np

from merkit.errors import ConfigError
from merkit.evaluation.bootstrap import Interval
from merkit.training.predictions import Predictions

__all__ = ["are_folds", "over_folds", "side_by_side"]


def are_folds(members: Sequence[Predictions]) -> bool:
    """Whether no clip was judged by two of several members.

    Example:
        >>> one, other = (Predictions(np.array([name]), {}, {}, {}, None) for name in "ab")
        >>> are_folds([one, other]), are_folds([one, one]), are_folds([one])
        (True, False, False)
    """
    ids = np.concatenate([member.ids for member in members])
    return len(members) > 1 and len(np.unique(ids)) == len(ids)


def side_by_side(members: Sequence[Predictions]) -> Predictions:
    """The answers of folds as those of one run, one fold behind the other.

    Raises:
        ConfigError: they answer different questions.
    """
    first = members[0]
    for other in members[1:]:
        if _asked(other) != _asked(first):
            raise ConfigError("folds are judged together where they answer the same questions")

    def joined(kind: str) -> dict[str, np.ndarray]:
        held = [getattr(member, kind) for member in members]
        return {name: np.concatenate([each[name] for each in held]) for name in held[0] if all(name in h for h in held)}

    before = [0, *accumulate(len(member.ids) for member in members)]
    owner = {
        name: np.concatenate([member.owner[name] + start for member, start in zip(members, before, strict=False)])
        for name in first.owner
    }
    groups = None
    if all(member.groups is not None for member in members):
        groups = np.concatenate([np.asarray(member.groups).astype(str) for member in members])
    return Predictions(
        np.concatenate([member.ids for member in members]),
        joined("output"),
        joined("target"),
        joined("valid"),
        groups,
        owner,
        joined("seen"),
    )


def over_folds(values: Sequence[Mapping[str, float]]) -> dict[str, Interval]:
    """Mean over folds, from one standard deviation below it to one above: what publications print as mean ± deviation.

    It is no interval of confidence: folds share most of their training clips, so their results hang together.

    Args:
        values: measure -> value, of each fold. A measure that is undefined in a fold (NaN) is undefined.

    Example:
        >>> print(over_folds([{"uar": 0.5}, {"uar": 0.6}, {"uar": 0.7}])["uar"])
        .600 [.500, .700]
    """
    found = {}
    for name in values[0]:
        each = np.array([row[name] for row in values])
        mean, deviation = float(each.mean()), float(each.std(ddof=1))
        found[name] = Interval(mean, mean - deviation, mean + deviation)
    return found


def _asked(made: Predictions) -> dict[str, tuple[tuple[int, ...], str]]:
    """Question -> how many labels it has, and whether its truth is a class or numbers."""
    return {name: (made.output[name].shape[1:], target.dtype.kind) for name, target in made.target.items()}
