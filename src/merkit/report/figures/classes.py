"""What a run reaches label by label: bars with intervals, and where single labels are taken for one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from merkit.evaluation.by_class import ByClass
from merkit.report.figures.drawing import COLOURS, FAINT, Drawing, as_text, bare, framed, plain, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ClassPanel", "class_bars", "confusion_figure"]

_ROW, _PANEL, _LETTER = 0.235, 2.9, 0.07  # inches


@dataclass(frozen=True, slots=True, eq=False)
class ClassPanel:
    """One target.

    Args:
        name: of the target.
        labels: `K` of them.
        scores: one entry per label.
        unit: what one answer is about, in the plural: `scenes`, `characters`.
        note: what a reader must know of this panel alone.
    """

    name: str
    labels: tuple[str, ...]
    scores: ByClass
    unit: str = "clips"
    note: str = ""


def class_bars(
    panels: Sequence[ClassPanel],
    *,
    measure: str,
    definition: str,
    title: str,
    name: str,
    baseline: bool = True,
) -> Drawing:
    """Bars of one measure per label, targets side by side, most frequent label first.

    Args:
        panels: targets over the same labels.
        measure: its name.
        definition: in one sentence.
        title: of the figure.
        name: of the files.
        baseline: mark the prevalence of each label, which is what average precision gives a random ranking.

    Raises:
        ValueError: the targets do not share their labels.

    Example:
        >>> from merkit.evaluation.by_class import by_class
        >>> scores = by_class([np.array([[0.9], [0.2]])], np.array([[1], [0]]), np.ones((2, 1), bool), draws=0)
        >>> drawing = class_bars([ClassPanel("scene", ("happy",), scores, "scenes")], measure="average precision",
        ...     definition="area under the precision-recall steps", title="mine, valid", name="ap")
        >>> drawing.rows[0][:4]
        ('scene', 'happy', 1.0, nan)
    """
    labels = panels[0].labels
    if any(panel.labels != labels for panel in panels):
        raise ValueError("panels side by side need the same labels")
    order = np.argsort(-panels[0].scores.support, kind="stable")
    found = {panel.name: panel.scores.interval for panel in panels if panel.scores.interval}
    intervals = list(dict.fromkeys(found.values()))
    if len(intervals) > 1:
        intervals = [f"{name}: {text}" for name, text in found.items()]
    notes = [f"{measure}: {definition}; in grey: its value and the answers that have the label."]
    notes += [f"Lines: {'; '.join(intervals)}."] if intervals else []
    if baseline:
        notes.append("Upright marks: share of answers that have the label, which a random ranking reaches on average.")
    notes.append(f"Order: labels of {panels[0].name} by frequency.")
    notes += [f"{panel.name}: {panel.note}" for panel in panels if panel.note]
    left = _LETTER * max(map(len, labels)) + 0.2
    with style():
        figure = framed(left + _PANEL * len(panels) + 0.2, _ROW * len(labels) + 0.9, title, notes)
        grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for place, (axes, panel) in enumerate(zip(grid, panels, strict=True)):
            _bars(axes, panel, order, COLOURS[place % len(COLOURS)], _top(panels), baseline)
            axes.set_xlabel(measure, fontsize=7.5)
        grid[0].set_yticks(np.arange(len(labels)), [labels[k] for k in order])
    columns = ("target", "label", measure.replace(" ", "_"), "low", "high", "positives", "answers", "prevalence")
    rows = [
        (panel.name, labels[k], s.value[k], s.low[k], s.high[k], s.support[k], s.n[k], s.prevalence[k], s.interval)
        for panel in panels
        for s in [panel.scores]
        for k in order
    ]
    return Drawing(name, figure, (*columns, "interval"), plain(rows))


def _top(panels: Sequence[ClassPanel]) -> float:
    """Where the axis of shares ends: a little beyond the longest line."""
    drawn = [x for panel in panels for s in [panel.scores] for part in (s.value, s.high, s.prevalence) for x in part]
    return min(1.02, 1.05 * float(np.nanmax([*drawn, 0.05])))


def _bars(axes: "Axes", panel: ClassPanel, order: np.ndarray, colour: str, top: float, baseline: bool) -> None:
    scores, y = panel.scores, np.arange(len(order))
    value = scores.value[order]
    axes.barh(y, np.nan_to_num(value), height=0.66, color=colour, alpha=0.75, linewidth=0)
    held = ~np.isnan(scores.low[order])
    axes.hlines(y[held], scores.low[order][held], scores.high[order][held], color="0.1", linewidth=1.1)
    if baseline:
        some = scores.support[order] > 0
        axes.plot(
            scores.prevalence[order][some],
            y[some],
            "|",
            color="black",
            markersize=9,
            markeredgewidth=1.8,
            markerfacecolor="black",
        )
    for place, k in enumerate(order):
        text = f" {as_text(scores.value[k])}  ({scores.support[k]:,})"
        axes.annotate(text, (1, place), xycoords=("axes fraction", "data"), va="center", fontsize=6.5, color="0.35")
    mean, n = scores.mean, int(scores.n.max(initial=0))
    ends = "" if np.isnan(mean.low) else f" [{as_text(mean.low)}, {as_text(mean.high)}]"
    axes.set_title(
        f"{panel.name} (n = {n:,} {panel.unit})\nmean {as_text(mean.value)}{ends}",
        fontsize=8,
        loc="left",
        linespacing=1.3,
    )
    axes.set_xlim(0, top)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", color="0.88", linewidth=0.6)
    bare(axes, "bottom")


def confusion_figure(counts: np.ndarray, panel: ClassPanel, *, title: str, name: str, runs: int = 1) -> Drawing:
    """Confusion matrix of a single-label target beside the F1 of each class.

    Args:
        counts: `(K, K)`, rows are true classes, columns predicted ones; means over runs where there are several.
        panel: F1 of the classes.
        title: of the figure.
        name: of the files.
        runs: how many.

    Example:
        >>> from merkit.evaluation.by_class import by_class, class_f1
        >>> scores = by_class([np.eye(2)], np.array([0, 1]), np.ones(2, bool), each=class_f1, draws=0)
        >>> panel = ClassPanel("emotion", ("joy", "anger"), scores)
        >>> confusion_figure(np.eye(2, dtype=int), panel, title="mine, valid", name="confusion").rows[0]
        ('joy', 'joy', 1, 1.0)
    """
    labels = panel.labels
    size = len(labels)
    total = counts.sum(1, keepdims=True)
    share = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    notes = [
        "Matrix: rows are the true class, columns the likeliest predicted one; numbers are clips"
        f"{f' (mean over {runs} seeds)' if runs > 1 else ''}, the shade is their share of the row.",
        "F1: harmonic mean of precision and recall of the class; in grey: its value and the clips of the class.",
    ]
    notes += [f"Lines: {panel.scores.interval}."] if panel.scores.interval else []
    cell = 0.36 if size <= 12 else 0.29
    left = _LETTER * max(map(len, labels)) + 0.2
    square = max(cell * size, 1.6)
    with style():
        figure = framed(left + square + _PANEL + 0.4, square + left + 0.6, title, notes)
        grid = figure.subplots(1, 2, width_ratios=[square, _PANEL - 0.5], squeeze=False)[0]
        axes = grid[0]
        axes.set_facecolor(FAINT)
        axes.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, rasterized=False)
        for row, column in np.argwhere(counts > 0):
            text = f"{counts[row, column]:,.0f}" if runs == 1 else f"{counts[row, column]:.1f}"
            dark = "white" if share[row, column] > 0.55 else "0.15"
            axes.text(
                column + 0.5,
                row + 0.5,
                text,
                ha="center",
                va="center",
                fontsize=min(7.0, 7.0 * cell / 0.36 * 4 / max(len(text), 4)),
                color=dark,
            )
        middle = np.arange(size) + 0.5
        axes.set_xticks(middle, labels, rotation=90, fontsize=7)
        axes.set_yticks(middle, labels, fontsize=7)
        axes.set_ylim(size, 0)
        axes.set_xlabel("predicted", fontsize=7.5)
        axes.set_ylabel("true", fontsize=7.5)
        axes.tick_params(length=0)
        axes.set_title("clips by true and predicted class", fontsize=8, loc="left")
        bare(axes)
        _bars(grid[1], panel, np.arange(size), COLOURS[0], 1.0, baseline=False)
        grid[1].set_yticks(np.arange(size), labels, fontsize=7)
        grid[1].set_ylim(size - 0.5, -0.5)
        grid[1].set_xlabel("F1", fontsize=7.5)
    rows = [(labels[i], labels[j], counts[i, j], share[i, j]) for i in range(size) for j in range(size)]
    return Drawing(name, figure, ("true", "predicted", "clips", "share_of_true"), plain(rows))
