"""A result table as a picture: one panel per measure, one line per row, a dot for the value and a bar for its interval."""

import io
import math
import textwrap

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from merkit.evaluation.tables import BEST, ResultTable

__all__ = ["picture_of"]

# readable beside each other in print and for colour-blind eyes (Okabe & Ito 2008); shape tells splits apart as well
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_ROW, _PANEL, _LETTER = 0.26, 2.6, 0.075  # inches
_MOST_PANELS = 4


def picture_of(table: ResultTable) -> bytes:
    """PNG bytes; measures beyond four begin further rows of panels.

    Args:
        table: what to draw. Rows keep their order; splits differ in colour and shape.

    Example:
        >>> from merkit.evaluation.bootstrap import Interval
        >>> from merkit.evaluation.tables import ResultRow, ResultTable
        >>> row = ResultRow(("concat",), {"uar": Interval(0.6, 0.5, 0.7)}, "valid", 9, (0,), {"text": "MiniLM"})
        >>> picture_of(ResultTable("Families", ("fusion",), {"uar": "mean recall"}, (row,)))[1:4]
        b'PNG'
    """
    splits = list(dict.fromkeys(row.split for row in table.rows))
    names = table.labels()
    down = math.ceil(len(table.measures) / _MOST_PANELS)
    across = math.ceil(len(table.measures) / down)
    width = max(_LETTER * max(map(len, names)) + across * _PANEL, 5.0)
    notes = _notes(table, int(width / 0.055))
    foot = 0.14 * len(notes) + 0.1
    body = down * (0.75 + _ROW * len(names)) + 0.35
    with matplotlib.rc_context({"font.size": 8, "font.family": "DejaVu Sans"}):
        # a Figure of its own: no window, no global state
        figure = Figure(figsize=(width, body + foot), dpi=150, layout="constrained")
        figure.get_layout_engine().set(rect=(0, foot / (body + foot), 1, body / (body + foot)))  # ty: ignore
        grid = figure.subplots(down, across, sharey=True, squeeze=False)
        for axes, measure in zip(grid.flat, table.measures, strict=False):
            _panel(axes, table, measure, splits)
            axes.set_yticks(np.arange(len(names)), names)
        for axes in grid.flat[len(table.measures) :]:
            axes.set_visible(False)
        figure.suptitle(table.title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        if len(splits) > 1:
            marks = [_legend(table, kind, split) for kind, split in enumerate(splits)]
            figure.legend(handles=marks, loc="outside upper right", ncols=len(marks), frameon=False, fontsize=7.5)
        height = (foot - 0.05) / (body + foot)
        figure.text(0.01, height, "\n".join(notes), va="top", fontsize=6.5, color="0.3", linespacing=1.35)
        out = io.BytesIO()
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _panel(axes: Axes, table: ResultTable, measure: str, splits: list[str]) -> None:
    best = table.best(measure)
    for y, row in enumerate(table.rows):
        kind, interval = splits.index(row.split), row.values[measure]
        if math.isnan(interval.value):
            where = ("axes fraction", "data")
            axes.annotate("undefined", (0.5, y), xycoords=where, ha="center", va="center", color="0.45")
            continue
        colour, marker = _COLOURS[kind % len(_COLOURS)], _MARKERS[kind % len(_MARKERS)]
        if not math.isnan(interval.low):
            axes.plot([interval.low, interval.high], [y, y], color=colour, linewidth=1.6, alpha=0.55)
        face = colour if y in best or not best else "white"
        axes.plot(interval.value, y, marker, color=colour, markerfacecolor=face, markersize=5)
    direction = (table.higher_is_better or {}).get(measure)
    hint = {True: "  (higher is better)", False: "  (lower is better)", None: ""}[direction]
    axes.set_title(measure + hint, fontsize=8, loc="left")
    axes.set_ylim(len(table.rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", color="0.88", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _notes(table: ResultTable, width: int) -> list[str]:
    """The footnotes, broken into lines."""
    notes = [note.replace("in brackets:", "bars:").replace("In brackets:", "Bars:") for note in table.notes()]
    notes += [f"Filled: {BEST}"] if table.higher_is_better else []
    # "true · false" alone would not say of what
    notes = [f"Rows: {' · '.join(table.columns)}.", *notes] if table.columns else notes
    return [line for note in notes for line in textwrap.wrap(note, width, subsequent_indent="    ")]


def _legend(table: ResultTable, kind: int, split: str) -> Line2D:
    counts = sorted({row.n for row in table.rows if row.split == split})
    label = f"{split} (n = {counts[0]})" if len(counts) == 1 else split
    colour, marker = _COLOURS[kind % len(_COLOURS)], _MARKERS[kind % len(_MARKERS)]
    return Line2D([], [], color=colour, marker=marker, linewidth=1.6, markersize=5, label=label)
