"""How much of what a model looks at for a label is on the characters: expressiveness (EmoTx, equation 9).

For label k it is the mean, over scenes that HAVE the label, of the attention that the scene's query of label k pays to
tokens of characters, divided by what it pays to the scene's picture and to its dialog. It says where a trained model
looks. It does not say what a person feels, nor that the model would fail without those tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from merkit.evaluation.bootstrap import percentiles, resamples, units_of

__all__ = ["Expressiveness", "attention_sums", "expressiveness"]


@dataclass(frozen=True, slots=True, eq=False)
class Expressiveness:
    """One entry per label.

    Args:
        value: `(K,)` mean ratio; NaN where no scene counts.
        low: `(K,)` lower end of the bootstrap interval; NaN with fewer than two scenes or groups.
        high: `(K,)` upper end.
        scenes: `(K,)` scenes with the label whose ratio is defined.
        left_out: `(K,)` scenes with the label where nothing looks at picture or dialog, so that there is no ratio.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    scenes: np.ndarray
    left_out: np.ndarray


def attention_sums(attention: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What each label's query pays to each stream as a whole, `(n, K)` by stream.

    Args:
        attention: for each scene a mapping from streams to `(K, N_i, T_i)` weights, 0 where there is no token. Scenes may
            differ in `N` and `T`. A stream that a scene lacks is paid nothing.

    Raises:
        ValueError: scenes differ in the number of labels.

    Example:
        >>> scenes = [{"face": np.full((2, 1, 3), 0.1)}, {"text": np.full((2, 1, 1), 0.5)}]
        >>> {name: paid.round(2).tolist() for name, paid in attention_sums(scenes).items()}
        {'face': [[0.3, 0.3], [0.0, 0.0]], 'text': [[0.0, 0.0], [0.5, 0.5]]}
    """
    names = list(dict.fromkeys(name for scene in attention for name in scene))
    widths = {len(weight) for scene in attention for weight in scene.values()}
    if len(widths) > 1:
        raise ValueError(f"scenes differ in the number of labels: {', '.join(map(str, sorted(widths)))}")
    labels = next(iter(widths), 0)
    found = {name: np.zeros((len(attention), labels)) for name in names}
    for i, scene in enumerate(attention):
        for name, weight in scene.items():
            found[name][i] = np.asarray(weight, float).reshape(labels, -1).sum(1)
    return found


def expressiveness(
    paid: Mapping[str, np.ndarray],
    target: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    characters: Sequence[str] = ("face", "lines"),
    context: Sequence[str] = ("scene", "text"),
    groups: np.ndarray | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Expressiveness:
    """Equation 9 with the number of scenes and an interval.

    Args:
        paid: stream -> `(n, K)` attention of each scene's label queries, see `attention_sums`.
        target: `(n, K)`, on above .5.
        valid: `(n, K)` bool; None = all known.
        characters: streams of the numerator; those that are not in `paid` count nothing.
        context: streams of the denominator.
        groups: `(n,)`, e.g. the movie; whole groups are drawn.
        draws: bootstrap resamples.
        level: share of resamples within the interval.
        seed: of the draws.

    Raises:
        ValueError: none of the streams of the denominator is there, or attention and target differ in shape.

    Example:
        >>> paid = {"face": np.array([[0.6], [0.2]]), "scene": np.array([[0.2], [0.4]]), "text": np.array([[0.1], [0.0]])}
        >>> found = expressiveness(paid, np.ones((2, 1)), draws=100)
        >>> found.value.round(3), found.scenes  # (0.6 / 0.3 + 0.2 / 0.4) / 2
        (array([1.25]), array([2]))
    """
    below_names = [name for name in context if name in paid]
    if not below_names:
        raise ValueError(
            f"no attention to {' or '.join(context)}; there is attention to {', '.join(paid) or 'nothing'}"
        )
    below = np.sum([paid[name] for name in below_names], axis=0, dtype=float)
    above = np.zeros(below.shape)
    for name in characters:
        above = above + paid.get(name, 0.0)
    if below.shape != np.shape(target):
        raise ValueError(f"attention of {below.shape} scenes and labels for a target of {np.shape(target)}")
    has = np.asarray(target) > 0.5
    has = has if valid is None else has & valid
    counts = has & (below > 0)
    ratio = np.divide(above, below, out=np.zeros(below.shape), where=counts)

    def mean(rows: np.ndarray) -> np.ndarray:
        n = counts[rows].sum(0)
        return np.divide(ratio[rows].sum(0), n, out=np.full(len(n), np.nan), where=n > 0)

    drawn = np.stack([mean(rows) for rows in resamples(len(ratio), groups, draws, seed)])
    low, high = (np.array(end) for end in zip(*(percentiles(column, level) for column in drawn.T), strict=True))
    # one scene, or scenes of one movie, say nothing about others
    units = np.array([_distinct(groups, column) for column in counts.T])
    low, high = (np.where(units > 1, end, np.nan) for end in (low, high))
    return Expressiveness(mean(np.arange(len(ratio))), low, high, counts.sum(0), (has & ~counts).sum(0))


def _distinct(groups: np.ndarray | None, rows: np.ndarray) -> int:
    return int(rows.sum()) if groups is None else units_of(groups[rows])[1]
