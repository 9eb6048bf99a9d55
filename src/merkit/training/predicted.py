"""What a run answered, as rows: one question about one clip or one person at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from merkit.schema import TargetSpec

__all__ = ["Answer", "Predicted"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run says of one question about one clip, or about one person in it.

    Args:
        clip: id.
        film: the film, video or dialogue that the clip is of; empty where there is none.
        start_s: where the clip begins in it, in seconds; None where that is not known.
        end_s: where it ends.
        entity: the person; None for the clip as a whole.
        target: the question.
        prob: label -> probability; of a regression, dimension -> value.
        basis: `clip`, or `prior` where the clip shows nothing and the shares of the training labels stand in.
    """

    clip: str
    film: str
    start_s: float | None
    end_s: float | None
    entity: str | None
    target: str
    prob: Mapping[str, float]
    basis: str = "clip"


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Answers of a run, or of several together, for a folder.

    Args:
        run: folder of the run; of several, with commas between.
        system: name of the recipe.
        seeds: networks whose mean the answers are.
        specs: the questions.
        ids: `(n,)` clips.
        film: `(n,)` what each is of.
        span: `(n, 2)` seconds, NaN where not known.
        seen: `(n,)` bool: whether there is anything that the run can look at. Without, nothing is answered, unless there is
            a prior.
        output: target -> `(n, K)`, or `(m, K)` where persons are asked.
        owner: target asked of persons -> `(m,)` row of the clip of each answer, in rising order.
        entity: target asked of persons -> `(m,)` who.
        warnings: what a reader of the answers must know.
        views: of the pictures of each clip, whose mean the answers are.
        power: that probabilities were raised to before the mean; 1 = as the networks said them.
        prior: target -> `(K,)` shares of the training labels, where clips that show nothing get them; else empty. Answers
            of persons are never made of it: who shows nothing is not there.
    """

    run: str
    system: str
    seeds: int
    specs: tuple[TargetSpec, ...]
    ids: np.ndarray
    film: np.ndarray
    span: np.ndarray
    seen: np.ndarray
    output: Mapping[str, np.ndarray]
    owner: Mapping[str, np.ndarray] = field(default_factory=dict)
    entity: Mapping[str, np.ndarray] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    views: int = 1
    power: float = 1.0
    prior: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def answered(self) -> np.ndarray:
        """`(n,)` bool: clips of which anything is said."""
        return np.full(len(self.ids), True) if self.prior else self.seen

    def answers(self) -> Iterator[Answer]:
        """Clip by clip: first the clip as a whole, then its persons."""
        for row in np.flatnonzero(self.answered):
            basis = "clip" if self.seen[row] else "prior"
            start_s, end_s = (_known(edge) for edge in self.span[row])
            where = (str(self.ids[row]), str(self.film[row]), start_s, end_s)
            for spec in self.specs:
                if not spec.per_entity:
                    yield Answer(*where, None, spec.name, _labelled(spec, self.output[spec.name][row]), basis)
            people = [(i, spec) for spec in self.specs if spec.per_entity for i in self._rows(spec.name, int(row))]
            order = list(dict.fromkeys(str(self.entity[spec.name][i]) for i, spec in people))
            for i, spec in sorted(people, key=lambda each: order.index(str(self.entity[each[1].name][each[0]]))):
                who = str(self.entity[spec.name][i])
                yield Answer(*where, who, spec.name, _labelled(spec, self.output[spec.name][i]))

    def _rows(self, name: str, clip: int) -> range:
        first, last = np.searchsorted(self.owner[name], [clip, clip + 1])
        return range(int(first), int(last))


def _known(edge_s: float) -> float | None:
    return None if np.isnan(edge_s) else round(float(edge_s), 3)


def _labelled(spec: TargetSpec, values: np.ndarray) -> dict[str, float]:
    return {label: round(float(value), 6) for label, value in zip(spec.labels, values, strict=True)}
