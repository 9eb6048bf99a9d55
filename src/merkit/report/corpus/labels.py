"""What raters said of a corpus: balance of classes, labels that come together, numbers, and how far raters agree."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.evaluation.label_counts import co_occurrence, label_frequency
from merkit.evaluation.spread import QUANTILES, spread
from merkit.report.corpus.raters import rater_sections
from merkit.report.corpus.reading import CountedCorpus
from merkit.report.corpus.section import Section, cell

if TYPE_CHECKING:
    from merkit.data.table import TargetColumn
    from merkit.report.figures import Drawing

__all__ = ["classes_of", "label_sections"]

_MOST_SEEN = 40
_MOST_PAIRS, _LEAST_BOTH = 12, 5


def classes_of(column: "TargetColumn") -> tuple[np.ndarray, np.ndarray] | None:
    """One class per clip: of a single label that label, of shares the one that most raters chose; ties have none.

    Returns:
        `(n,)` int64 and `(n,)` bool whether it is known; None for other targets, and for those of persons.
    """
    from merkit.data.votes import hard

    if column.spec.per_entity:
        return None
    if column.spec.kind == "single_label":
        return column.value, column.valid
    if column.spec.kind == "soft_label":
        known = np.all(column.valid, axis=1)
        chosen, clear = hard(np.where(known[:, None], column.value, 0))
        return chosen, clear
    return None


def label_sections(corpus: CountedCorpus) -> list[Section]:
    """Sections of all targets, in the order of the manifest; none of a split whose labels were not asked for."""
    sections: list[Section] = []
    drawn = cache(lambda: _drawn(corpus))
    for name in corpus.answered.targets:
        columns = {part: table.targets[name] for part, table in corpus.labelled.items()}
        if not columns or not any(column.valid.any() for column in columns.values()):
            continue
        kind = next(iter(columns.values())).spec.kind
        if kind == "regression":
            sections.append(_numbers(name, columns, corpus))
        else:
            sections.append(_balance(name, columns, corpus, drawn))
        if kind == "multi_label":
            sections.append(_together(name, columns, drawn))
        if any(column.votes is not None for column in columns.values()):
            sections += rater_sections(name, columns)
    return sections


def _drawn(corpus: CountedCorpus) -> "dict[str, Drawing]":
    """The figures that `merkit figures --data` has for these labels."""
    from merkit.report.figures.of_data import table_figures

    drawings, _ = table_figures(corpus.answered, split=corpus.split)
    return {drawing.name: drawing for drawing in drawings}


def _answers(column: "TargetColumn") -> tuple[np.ndarray, np.ndarray]:
    """`(m, K)` whether a clip or one of its persons has each label, and whether that is known."""
    labels = len(column.spec.labels)
    if column.spec.kind == "multi_label":
        return (column.value > 0.5).reshape(-1, labels), column.valid.reshape(-1, labels)
    classes = classes_of(column)
    value, valid = (column.value, column.valid) if classes is None else classes
    there = value.reshape(-1, 1) == np.arange(labels)
    return there, np.broadcast_to(valid.reshape(-1, 1), there.shape)


def _balance(name: str, columns: "Mapping[str, TargetColumn]", corpus: CountedCorpus, drawn: Any) -> Section:
    spec = next(iter(columns.values())).spec
    soft = spec.kind == "soft_label"
    unit = "persons" if spec.per_entity else "clips"
    counts = {part: label_frequency(*_answers(column)) for part, column in columns.items()}
    rows: list[tuple[Any, ...]] = []
    notes: list[str] = []
    for part, (count, known) in counts.items():
        column = columns[part]
        means = column.value[column.valid.all(-1)].mean(0) if soft and column.valid.all(-1).any() else None
        for k, label in enumerate(spec.labels):
            share = float(count[k] / known[k]) if known[k] else None
            rows.append((part, label, int(count[k]), int(known[k]), share))
            if soft:
                rows[-1] += (None if means is None else float(means[k]),)
        notes.append(_imbalance(part, spec.labels, count, known, unit))
    if soft:
        notes.append(
            "Counted: the label that most raters chose; clips whose raters are tied count for none. Mean share: over all "
            "clips, of what the raters of each said."
        )

    def drawings() -> "list[Drawing]":
        from merkit.report.figures import frequency_bars

        if not soft:
            return [drawn()[f"label-frequency-{name}"]]
        title = f"Most chosen labels of {name}: {corpus.name}"
        return [frequency_bars(spec.labels, counts, title=title, name=f"label-frequency-{name}", unit=unit)]

    columns_of = ("split", "label", unit, "known", "share")
    return Section(
        f"labels-{name}",
        f"Labels: {name}",
        (*columns_of, "mean_share") if soft else columns_of,
        tuple(rows),
        tuple(note for note in notes if note),
        _by_split(spec.labels, counts),
        drawings,
    )


def _by_split(labels: tuple[str, ...], counts: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[tuple[str, ...], ...]:
    """A row a label, a column a split; the most frequent of very many."""
    first = next(iter(counts.values()))[0]
    rows = [
        (labels[k], *(f"{count[k]:,} ({cell('share', float(count[k] / max(known[k], 1)))})" for count, known in counts.values()))
        for k in np.argsort(-first, kind="stable")[:_MOST_SEEN]
    ]  # fmt: skip
    more = [] if len(labels) <= _MOST_SEEN else [(f"{len(labels) - _MOST_SEEN:,} more labels", *("" for _ in counts))]
    return ("label", *counts), *rows, *more


def _imbalance(part: str, labels: tuple[str, ...], count: np.ndarray, known: np.ndarray, unit: str) -> str:
    there = np.flatnonzero(known)
    if not len(there) or not count.any():
        return ""
    most, least = there[count[there].argmax()], there[count[there].argmin()]
    missing = [labels[k] for k in there if not count[k]]
    of = f"{100 * count[most] / known[most]:.1f} % of {known[most]:,} {unit}"
    said = f"{part}: the most frequent label is {labels[most]} ({of})"
    if missing:
        return f"{said}; without a single one: {', '.join(missing)}."
    if most == least:
        return f"{said}."
    return (
        f"{said}, {count[most] / count[least]:.1f} times as frequent as the rarest, {labels[least]} "
        f"({100 * count[least] / known[least]:.1f} %)."
    )


def _together(name: str, columns: "Mapping[str, TargetColumn]", drawn: Any) -> Section:
    rows: list[tuple[Any, ...]] = []
    notes = []
    for part, column in columns.items():
        labels = column.spec.labels
        there, known = _answers(column)
        found = co_occurrence(there, there, known, known)
        shares = [[None if np.isnan(share) else float(share) for share in row] for row in found.share]
        rows += [
            (part, one, other, int(found.both[i, j]), int(found.rows[i, j]), shares[i][j])
            for i, one in enumerate(labels)
            for j, other in enumerate(labels)
            if i != j
        ]
        at_once = (there & known).sum(1)[known.any(1)]
        listed = ", ".join(
            f"{number}: {100 * count / len(at_once):.1f} %"
            for number, count in enumerate(np.bincount(at_once))
            if count
        )
        notes.append(f"{part}: labels at once, {listed}.")

    def drawings() -> "list[Drawing]":
        return [
            held for key, held in drawn().items() if key == f"co-occurrence-{name}" or key.startswith("labels-per-")
        ]

    return Section(
        f"together-{name}",
        f"Labels that come together: {name}",
        ("split", "label", "other", "both", "with_label", "share"),
        tuple(rows),
        (
            *notes,
            f"Share: of those with the label, how many have the other one too. Listed: the {_MOST_PAIRS} largest shares of "
            f"pairs that {next(iter(columns))} has at least {_LEAST_BOTH} times.",
        ),
        (
            ("label", "with", "share", "both"),
            *(
                (one, other, cell("share", share), f"{both:,}")
                for _, one, other, both, _, share in sorted(
                    (row for row in rows if row[0] == next(iter(columns)) and row[3] >= _LEAST_BOTH),
                    key=lambda row: -row[5],
                )[:_MOST_PAIRS]
            ),
        ),
        drawings,
    )


def _numbers(name: str, columns: "Mapping[str, TargetColumn]", corpus: CountedCorpus) -> Section:
    labels = next(iter(columns.values())).spec.labels
    values: dict[str, dict[str, np.ndarray]] = {}
    rows = []
    for part, column in columns.items():
        for k, label in enumerate(labels):
            known = column.value[..., k][column.valid[..., k]].astype(np.float64)
            values.setdefault(label, {})[part] = known
            found = spread(known)
            rows.append((part, label, *found.values()))

    def drawings() -> "list[Drawing]":
        from merkit.report.figures.histograms import histograms

        title = f"Ratings of {name}: {corpus.name}"
        return [histograms(values, title=title, name=f"values-{name}", cut=False)]

    return Section(
        f"values-{name}",
        f"Numbers: {name}",
        ("split", "label", "n", "mean", "sd", *QUANTILES),
        tuple(rows),
        drawings=drawings,
    )
