"""Figures of a head on its valid part, and the card that states them. Nothing in a card is typed by hand but prose."""

from typing import Any

import numpy as np
from scipy.special import softmax

from benchmarks.first_model.fit import SHIPPED
from merkit.evaluation import (
    accuracy,
    bootstrap_interval,
    expected_calibration_error,
    fit_temperature,
    macro_f1,
    nll,
    unweighted_average_recall,
)

MEASURES = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "uar": unweighted_average_recall,
    "ece": expected_calibration_error,
    "nll": nll,
}
_WORDS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "uar": "unweighted average recall",
    "ece": "expected calibration error (15 bins)",
    "nll": "negative log-likelihood (nats)",
}


def cross_calibrated(logit: np.ndarray, target: np.ndarray, groups: np.ndarray | None, folds: int = 5) -> np.ndarray:
    """Probabilities of every row under a temperature fitted on the OTHER folds, so that no row calibrates itself."""
    keys = np.arange(len(target)) if groups is None else np.unique(groups, return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(int(keys.max()) + 1)[keys] % folds
    prob = np.zeros_like(logit, dtype=float)
    for k in range(folds):
        held = fold == k
        prob[held] = softmax(logit[held] / fit_temperature(logit[~held], target[~held]), -1)
    return prob


def figures(prob: np.ndarray, target: np.ndarray, groups: np.ndarray | None = None) -> dict[str, list[float]]:
    """measure -> [value, low, high], 95 % bootstrap, clustered by group where there are groups."""
    out = {}
    for name, measure in MEASURES.items():
        interval = bootstrap_interval(measure, prob, target, groups=groups)
        out[name] = [round(x, 4) for x in (interval.value, interval.low, interval.high)]
    return out


def skill(prob: np.ndarray, target: np.ndarray) -> float:
    """1 - NLL / NLL of the class shares: 0 for a head that only knows how common each class is, 1 for an oracle."""
    shares = np.bincount(target, minlength=prob.shape[1]) / len(target)
    return round(1 - nll(prob, target) / nll(np.tile(np.maximum(shares, 1e-9), (len(target), 1)), target), 4)


def write_card(facts: dict[str, Any], *, about: str, not_evaluated: str) -> None:
    """`NAME.md` beside the weights."""
    rows = [
        f"| {_WORDS[name]} | {value:.3f} | {low:.3f} to {high:.3f} |"
        for name, (value, low, high) in facts["figures"].items()
    ]
    floor = facts["floor"]
    clips = _on_clips(facts["on_clips"]) if "on_clips" in facts else ""
    members = f"{facts['members']} last layers refitted on bootstrap resamples of the training data"
    if facts.get("members_alike"):
        members = "none of its own: nothing was trained here, so every member is the network itself"
    use = "no: non-commercial use only" if facts["non_commercial"] else "yes, as the licence states"
    text = f"""# Head `{facts["name"]}` ({facts["modality"]}), version {facts["version"]}

{about}

| | |
|---|---|
| training data | {facts["data"]} |
| valid part | {facts["valid"]} |
| extractor | `{facts["extractor"]["id"]}` |
| native classes | {", ".join(facts["classes"])} |
| temperature | {facts["temperature"]:.3f}, fitted on the valid part; the figures below use cross-fitted ones |
| members | {members} |
| size | {facts["bytes"] / 1e6:.2f} MB, sha256 `{facts["sha256"][:16]}…` |
| licence | {facts["licence"]} |
| commercial use | {use} |

## On the valid part

| measure | value | 95 % bootstrap interval |
|---|---|---|
{chr(10).join(rows)}

Floor to beat: {floor["what"]}: {floor["measure"]} {floor["value"]:.4f}; this head: {floor["ours"]:.4f}.

{clips}Made by `{facts["command"]}`, seed {facts["seed"]}.

## What it was not evaluated on

{not_evaluated}

## Intended use

Estimates expression as raters would label it, never what a person feels. Inferring emotions of people in workplaces and
education from biometric data is prohibited in the EU (AI Act, Art. 5(1)(f)); people who are exposed to such a system
must be told (Art. 50(3)). Not for hiring, credit, policing or diagnosis.
"""
    (SHIPPED / f"{facts['name']}.md").write_text(text, encoding="utf-8")


def _on_clips(found: dict[str, Any]) -> str:
    rows = [
        f"| {_WORDS[name]} | {found['figures_before'][name][0]:.3f} | {value:.3f} | {low:.3f} to {high:.3f} |"
        for name, (value, low, high) in found["figures"].items()
    ]
    return f"""## On clips

`analyze` uses this head with temperature {found["temperature"]:.3f}, fitted on {found["fitted_on"]}.
Measured on {found["measured_on"]}:

| measure | as calibrated above | with this temperature | 95 % bootstrap interval |
|---|---|---|---|
{chr(10).join(rows)}

Words alone tell little of what raters of a whole clip say; the head's weight in the pool is its skill here.

"""
