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
        aurc: mean risk over all coverages (Geifman & El-Yaniv 2017); lower is better. NaN without clips.
        best_aurc: what a confidence that puts every wrong answer last would reach, with the same answers. The difference
            says how much the order of confidences costs.
    """

    coverage: np.ndarray
    risk: np.ndarray
    threshold: np.ndarray
    aurc: float
    best_aurc: float

    def coverage_at(self, risk: float) -> float:
        """Largest share of clips that can be answered with at most this risk; 0 where none can."""
        place = self._last_within(risk)
        return 0.0 if place is None else float(self.coverage[place])

    def threshold_at(self, risk: float) -> float:
        """Confidence from which on to answer, so that this risk is kept here; infinite where nothing can be answered.

        Choose it on valid, and expect a somewhat higher risk elsewhere: it is the luckiest threshold of many.
        """
        place = self._last_within(risk)
        return float("inf") if place is None else float(self.threshold[place])

    def _last_within(self, risk: float) -> int | None:
        within = np.flatnonzero(self.risk <= risk + 1e-12)
        return int(within[-1]) if len(within) else None


def risk_coverage(prob: np.ndarray, target: np.ndarray, confidence: np.ndarray | None = None) -> RiskCoverage:
    """The curve over thresholds of confidence; clips of equal confidence are answered together.

    Args:
        prob: `(n, K)`.
        target: `(n,)` class indices.
        confidence: `(n,)` in any unit, higher = surer; none = the probability of the likeliest class.

    Example:
        >>> curve = risk_coverage(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
        >>> curve.risk, curve.coverage_at(0.1), curve.threshold_at(0.1)
        (array([0. , 0.5]), 0.5, 0.9)
    """
    wrong = prob.argmax(1) != target
    sure = prob.max(1) if confidence is None else confidence
    order = np.argsort(-sure, kind="stable")
    count = np.arange(1, len(prob) + 1)
    # everyone within a run of equal confidence gets the risk at its end: no order among them is known
    end = np.searchsorted(-sure[order], -sure[order], "right") - 1
    risk = np.cumsum(wrong[order])[end] / count[end]
    best = np.cumsum(np.sort(wrong)) / count
    aurc, best_aurc = (float(values.mean()) if len(prob) else float("nan") for values in (risk, best))
    return RiskCoverage(count[end] / max(len(prob), 1), risk, sure[order], aurc, best_aurc)
