"""From raw model outputs to what is measured: logits become probabilities here and nowhere in a model or a loss."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from scipy.special import expit, softmax

from merkit.errors import ConfigError
from merkit.evaluation.measures import measure_all, measures_of
from merkit.schema import TargetSpec
from merkit.training.criteria import Criterion
from merkit.training.module import Answers

__all__ = ["measure_of", "probabilities"]


def probabilities(logit: np.ndarray, spec: TargetSpec, temperature: float = 1.0) -> np.ndarray:
    """What users see of raw outputs: softmax or sigmoid of `logit / temperature`; regression stays as it is.

    Example:
        >>> probabilities(np.zeros((1, 2)), TargetSpec("e", "single_label", ("a", "b")))
        array([[0.5, 0.5]])
    """
    if spec.kind == "regression":
        return logit
    scaled = logit.astype(np.float64) / temperature
    return expit(scaled) if spec.kind == "multi_label" else softmax(scaled, axis=-1)


def measure_of(
    specs: Sequence[TargetSpec], rules: Iterable[str] | None = None
) -> Callable[[Answers], Mapping[str, float]]:
    """A function that measures answers of a whole split, as `target.measure -> value`.

    Args:
        specs: the targets.
        rules: criteria of a config (`watch`, `best_by`); only what they name is computed, which is what every epoch of a
            run pays for. None = all measures.

    Raises:
        ConfigError: a rule names a measure that no target has.

    Example:
        >>> spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
        >>> answers = {"emotion": (np.eye(2), np.array([0, 1]), np.array([True, True]))}
        >>> measure_of([spec], ["accuracy"])(answers)
        {'emotion.accuracy': 1.0}
    """
    wanted: dict[str, list[str] | None] = {spec.name: None for spec in specs}
    if rules is not None:
        asked = {name for rule in rules if rule != "last" for name in Criterion.parse(rule).names} - {"loss"}
        wanted = {
            spec.name: [name for name in measures_of(spec) if name in asked or f"{spec.name}.{name}" in asked]
            for spec in specs
        }
        known = {key for spec in specs for name in measures_of(spec) for key in (name, f"{spec.name}.{name}")}
        if unknown := sorted(asked - known):
            raise ConfigError(
                f"no target has the measure {', '.join(unknown)}; there are loss, {', '.join(sorted(known))}"
            )

    def measure(answers: Answers) -> dict[str, float]:
        found = {}
        for spec in specs:
            names = wanted[spec.name]
            if names is None or names:
                output, target, valid = answers[spec.name]
                # a sigmoid makes a sure answer of an infinite logit
                prob = np.where(np.isfinite(output), probabilities(output, spec), np.nan)
                values = measure_all(spec, prob, target, valid, names)
                found |= {f"{spec.name}.{name}": value for name, value in values.items()}
        return found

    return measure
