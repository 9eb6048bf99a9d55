"""Knowing when not to answer: risk against coverage as the least certain clips are left to a human."""

from dataclasses import dataclass

import numpy as np

__all__ = ["RiskCoverage", "risk_coverage"]


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """Risk when only the most certain clips are answered.

    Args:
        coverage: `(n,)` share of clips answered, rising to 1.
        risk: `(n,)` share of wrong answers among them.
        threshold: `(n,)` confidence of the last clip answered.
        aurc: mean risk over all coverages (Geifman & El-Yaniv 2017); lower is better.
    """

    coverage: np.ndarray
    risk: np.ndarray
    threshold: np.ndarray
    aurc: float

    def coverage_at(self, risk: float) -> float:
        """Largest share of clips that can be answered with at most this risk; 0 where none can."""
        within = np.flatnonzero(self.risk <= risk + 1e-12)
        return float(self.coverage[within[-1]]) if len(within) else 0.0


def risk_coverage(prob: np.ndarray, target: np.ndarray) -> RiskCoverage:
    """The curve of the top class's probability; clips of equal confidence are answered together.

    Args:
        prob: `(n, K)`.
        target: `(n,)` class indices.

    Example:
        >>> curve = risk_coverage(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
        >>> curve.risk, curve.coverage_at(0.1)
        (array([0. , 0.5]), 0.5)
    """
    confidence = prob.max(1)
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(prob.argmax(1)[order] != target[order])
    count = np.arange(1, len(prob) + 1)
    # everyone within a run of equal confidence gets the risk at its end: no order among them is known
    end = np.searchsorted(-confidence[order], -confidence[order], "right") - 1
    risk = wrong[end] / count[end]
    return RiskCoverage(count[end] / len(prob), risk, confidence[order], float(risk.mean()))
