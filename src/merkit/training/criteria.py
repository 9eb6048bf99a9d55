"""Which epoch is best: a measure, or a mean of several."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from merkit.errors import ConfigError
from merkit.evaluation.measures import MEASURES

__all__ = ["Criterion"]

# the direction of a measure is stated where the measure is
_LOWER_IS_BETTER = {"loss"} | {
    name for table in MEASURES.values() for name, measure in table.items() if not measure.higher_is_better
}


@dataclass(frozen=True, slots=True)
class Criterion:
    """A rule that turns an epoch's measures into one number.

    Args:
        text: as written in the config.
        names: the measures.
        how: `one`, or the arithmetic `mean` or geometric `gmean` of several.

    Example:
        >>> rule = Criterion.parse("gmean(scene.map+character.map)")
        >>> round(rule({"scene.map": 0.4, "character.map": 0.1}), 3), rule.mode
        (0.2, 'max')
    """

    text: str
    names: tuple[str, ...]
    how: Literal["one", "mean", "gmean"]

    @classmethod
    def parse(cls, text: str) -> "Criterion":
        """Reads `name`, `mean(a+b+…)` or `gmean(a+b+…)`; commas do as well, but need quotes within a list.

        Raises:
            ConfigError: none of these, or a mean of measures of which some are better high and some better low.
        """
        match = re.fullmatch(r"\s*(mean|gmean)\(([^()]+)\)\s*", text)
        how, inside = (match.group(1), match.group(2)) if match else ("one", text)
        names = tuple(name.strip() for name in re.split("[,+]", inside))
        if not all(re.fullmatch(r"[\w.-]+", name) for name in names) or (how == "one" and len(names) > 1):
            raise ConfigError(f"{text!r} is no measure: write `accuracy`, `mean(a+b)` or `gmean(a+b)`")
        rule = cls(text, names, how)  # ty: ignore[invalid-argument-type]
        if len({_mode(name) for name in names}) > 1:
            raise ConfigError(f"{text!r} mixes measures that are better high with some that are better low")
        return rule

    @property
    def mode(self) -> Literal["min", "max"]:
        """Which direction is better."""
        return _mode(self.names[0])

    @property
    def slug(self) -> str:
        """For file names."""
        return re.sub(r"[^\w.]+", "-", self.text).strip("-")

    def better(self, new: float, old: float | None) -> bool:
        """Whether `new` beats `old`; NaN never does."""
        if math.isnan(new):
            return False
        return old is None or (new < old if self.mode == "min" else new > old)

    def __call__(self, measures: Mapping[str, float]) -> float:
        """The epoch's number. `accuracy` finds `emotion.accuracy` where only one target has it.

        Raises:
            ConfigError: a measure that is not there, with those that are.
        """
        values = [measures[_found(name, measures)] for name in self.names]
        if self.how == "gmean":
            return math.prod(max(value, 0.0) for value in values) ** (1 / len(values))
        return sum(values) / len(values)


def _mode(name: str) -> Literal["min", "max"]:
    return "min" if name.split(".")[-1] in _LOWER_IS_BETTER else "max"


def _found(name: str, measures: Mapping[str, float]) -> str:
    if name in measures:
        return name
    matches = [key for key in measures if key.endswith(f".{name}")]
    if len(matches) == 1:
        return matches[0]
    what = "more than one target has it" if matches else "there is no such measure"
    raise ConfigError(f"measure `{name}`: {what}; there are {', '.join(sorted(measures))}")
