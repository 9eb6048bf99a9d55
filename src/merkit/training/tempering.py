"""What is made of many answers to one question: powers of probabilities, and means over views and networks."""

from collections.abc import Sequence

import numpy as np

from merkit.schema import TargetSpec
from merkit.training.measuring import probabilities

__all__ = ["mean_over_views", "temper", "weighted_mean"]


def temper(prob: np.ndarray, spec: TargetSpec, power: float) -> np.ndarray:
    """`p^T / Σ p^T` over the labels (for labels that are on or off, `p^T / (p^T + (1 - p)^T)`); values stay as they are.

    **A power below 1 flattens, one above 1 sharpens.** The published T = 0.1 is softmax at a temperature of 10: every answer
    comes close to the uniform one. That is of use only before a mean over views and networks: of nearly uniform answers, the
    arithmetic mean orders labels as the geometric mean of the untempered ones does, so that a network which is sure of
    itself cannot overrule the others by a single probability near 1 and each has a veto by one near 0. Probabilities that
    come out are good for their order and for nothing else; they are not calibrated any more.

    A network's own temperature τ, fitted on valid, has the same form: power T of a network at τ is softmax at τ / T. Whether
    members are brought to their own τ before the power is taken is therefore a choice: with it they speak with like
    confidence, without it the overconfident weigh more.

    Args:
        prob: `(…, K)` probabilities.
        spec: the question.
        power: T, above 0.

    Example:
        >>> spec = TargetSpec("e", "single_label", ("a", "b"))
        >>> temper(np.array([0.9, 0.1]), spec, 0.5).round(3), temper(np.array([0.9, 0.1]), spec, 2.0).round(3)
        (array([0.75, 0.25]), array([0.988, 0.012]))
    """
    if spec.kind == "regression" or power == 1.0:
        return prob
    raised = prob.astype(np.float64) ** power
    if spec.kind == "multi_label":
        return raised / (raised + (1.0 - prob.astype(np.float64)) ** power)
    return raised / raised.sum(-1, keepdims=True)


def mean_over_views(
    logit: np.ndarray, spec: TargetSpec, temperature: float = 1.0, power: float = 1.0, block: int = 4096
) -> np.ndarray:
    """`(m, K)` arithmetic mean of the tempered probabilities of each view; of a regression, of the values.

    Args:
        logit: `(V, m, K)` raw outputs, by view.
        spec: the question.
        temperature: of the network.
        power: T of `temper`.
        block: clips at a time; a matter of memory alone.

    Example:
        >>> mean_over_views(np.array([[[0.0, 0.0]], [[np.log(3.0), 0.0]]]), TargetSpec("e", "single_label", ("a", "b")))
        array([[0.625, 0.375]])
    """
    parts = [logit[:, first : first + block] for first in range(0, max(logit.shape[1], 1), block)]
    # power T at temperature τ, as one temperature τ / T: no probability can vanish before its power is taken
    return np.concatenate([probabilities(part, spec, temperature / power).mean(0) for part in parts])


def weighted_mean(
    outputs: Sequence[np.ndarray], weights: Sequence[float], answers: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    """`(m, K)` mean of what members say.

    Args:
        outputs: `(m, K)` of each member.
        weights: of each, at least 0.
        answers: `(m,)` bool of each: whether it has anything to go by. Who has not is left out of that clip's mean, so
            that a guess from nothing dilutes no answer; where nobody has, all count. None = everybody always has.

    Example:
        >>> voice, words = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [0.5, 0.5]])
        >>> weighted_mean([voice, words], [1, 1], [np.array([True, False]), np.array([True, True])])
        array([[0.5, 0.5],
               [0.5, 0.5]])
    """
    if answers is None and len(set(weights)) == 1:
        return np.mean(outputs, axis=0)
    share = np.repeat(np.asarray(weights, float)[:, None], len(outputs[0]), 1)
    if answers is not None:
        heard = share * np.stack(answers)
        share = np.where(heard.sum(0) > 0, heard, share)
    share /= share.sum(0)
    return np.einsum("em,emk->mk", share, np.stack(outputs))
