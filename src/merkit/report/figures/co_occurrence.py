"""Which labels come together, as a map: P(column | row) with the counts it is made of."""

from collections.abc import Sequence

import numpy as np

from merkit.evaluation.label_counts import CoOccurrence
from merkit.report.figures.drawing import FAINT, Drawing, framed, plain, style

__all__ = ["co_occurrence_map"]

_LETTER = 0.068  # inches


def co_occurrence_map(
    found: CoOccurrence,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_of: str,
    column_of: str,
    title: str,
    name: str,
    unit: str = "clips",
    same: bool = False,
    note: str = "",
) -> Drawing:
    """The map; a row without a single clip is left grey.

    Args:
        found: counts and shares.
        rows: `R` labels.
        columns: `C` labels.
        row_of: what has the labels of the rows, e.g. `the scene`.
        column_of: what has those of the columns.
        title: of the figure.
        name: of the files.
        unit: what is counted, in the plural.
        same: rows and columns are the same answers, so that the diagonal says nothing: it is left grey, with its count.
        note: what a reader must know.

    Example:
        >>> from merkit.evaluation.label_counts import co_occurrence
        >>> there = np.array([[True, True], [True, False]])
        >>> drawing = co_occurrence_map(co_occurrence(there, there), ["joy", "calm"], ["joy", "calm"], row_of="the scene",
        ...     column_of="the same scene", title="mine", name="co-occurrence-scene", same=True)
        >>> drawing.rows[1]
        ('joy', 'calm', 1, 2, 0.5)
    """
    large = max(len(rows), len(columns)) > 14
    # a label is always there where it is there: the diagonal would outshine everything that can be learnt from the map
    shade = np.array(found.share, float)
    if same:
        np.fill_diagonal(shade, np.nan)
    top = max(float(np.nanmax(np.nan_to_num(shade), initial=0.0)), 0.05)
    cell = 0.37 if large else 0.5
    left = _LETTER * max(len(label) + 9 for label in rows) + 0.25
    foot = _LETTER * max(map(len, columns)) + 0.3
    notes = [
        f"Cell: percent of the {unit} with the row's label ({row_of}) that have the column's label ({column_of}); below it "
        f"how many have both; empty: none. In brackets: {unit} with the row's label."
        f"{' On the diagonal: how many have the label.' if same else ''}",
        note,
    ]
    with style():
        figure = framed(
            left + cell * len(columns) + 0.9, cell * len(rows) + foot + 0.15, title, [text for text in notes if text]
        )
        axes = figure.subplots()
        axes.set_facecolor("0.87")
        mesh = axes.pcolormesh(
            np.ma.masked_invalid(shade), cmap="Blues", vmin=0, vmax=top, edgecolors=FAINT, linewidth=0.4
        )
        size = 4.9 if large else 6.5
        for row, column in np.argwhere(found.both > 0):
            share, both = found.share[row, column], found.both[row, column]
            own = same and row == column
            colour = "white" if share > 0.6 * top and not own else "0.15"
            axes.text(
                column + 0.5,
                row + 0.5,
                str(both) if own else f"{100 * share:.0f}\n{both}",
                ha="center",
                va="center",
                fontsize=size,
                color=colour,
                linespacing=1.1,
            )
        # of each row the largest base: a column may be unknown for some clips
        bases = found.rows.max(1, initial=0)
        axes.set_yticks(
            np.arange(len(rows)) + 0.5, [f"{label} ({base:,})" for label, base in zip(rows, bases, strict=True)]
        )
        axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=90)
        axes.set_ylim(len(rows), 0)
        axes.set_ylabel(f"label of {row_of}", fontsize=7.5)
        axes.set_xlabel(f"label of {column_of}", fontsize=7.5)
        axes.tick_params(length=0, labelsize=7)
        for side in axes.spines.values():
            side.set_visible(False)
        bar = figure.colorbar(mesh, ax=axes, shrink=min(1.0, 2.5 / (cell * len(rows))), aspect=18, pad=0.01)
        bar.set_label("P(column | row)", fontsize=7)
        bar.ax.tick_params(labelsize=6.5)
        bar.outline.set_visible(False)
    table = [
        (rows[i], columns[j], found.both[i, j], found.rows[i, j], found.share[i, j])
        for i in range(len(rows))
        for j in range(len(columns))
    ]
    return Drawing(name, figure, ("row", "column", "both", "with_row", "share"), plain(table))
