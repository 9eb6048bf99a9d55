"""Raters against raters as heat maps, one panel per question."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from merkit.errors import ConfigError

__all__ = ["picture_of_raters"]

_CELL, _LETTER = 0.26, 0.075  # inches
_MOST_NUMBERS = 16


def picture_of_raters(
    matrices: Mapping[str, np.ndarray], raters: Sequence[str], title: str = "Agreement of raters", notes: str = ""
) -> bytes:
    """PNG bytes: for each question a `(R, R)` map from -1 to 1, with its numbers where they have room.

    Args:
        matrices: title of a panel -> `(R, R)` correlations or kappas; NaN cells stay empty.
        raters: `R` names.
        title: of the picture.
        notes: a line below it.

    Raises:
        ConfigError: there is no matrix, or one of another shape.

    Example:
        >>> picture_of_raters({"valence": np.eye(2)}, ["Eval01F", "Eval02M"])[1:4]
        b'PNG'
    """
    count = len(raters)
    if not matrices or any(matrix.shape != (count, count) for matrix in matrices.values()):
        shapes = {name: matrix.shape for name, matrix in matrices.items()}
        raise ConfigError(f"matrices of {count} raters must be ({count}, {count}); they are {shapes}")
    side = max(_CELL * count, 1.6)
    names = _LETTER * max(map(len, raters))
    size = (len(matrices) * (side + 0.3) + names + 0.9, side + names + 0.9)
    with matplotlib.rc_context({"font.size": 7, "font.family": "DejaVu Sans"}):
        # a Figure of its own: no window, no global state
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        grid = figure.subplots(1, len(matrices), sharey=True, squeeze=False)[0]
        for axes, (name, matrix) in zip(grid, matrices.items(), strict=True):
            image = _panel(axes, matrix, name)
            axes.set_xticks(np.arange(count), raters, rotation=90)
            axes.set_yticks(np.arange(count), raters)
        figure.colorbar(image, ax=grid.tolist(), shrink=0.8, ticks=[-1, 0, 1])
        figure.suptitle(title, x=0.01, ha="left", fontsize=9, fontweight="bold")
        if notes:
            figure.supxlabel(notes, x=0.01, ha="left", fontsize=6.5, color="0.3")
        out = io.BytesIO()
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _panel(axes: Axes, matrix: np.ndarray, name: str):
    """The map of one question; the mean over pairs in its title."""
    pairs = matrix[np.triu_indices(len(matrix), 1)]
    known = pairs[np.isfinite(pairs)]
    axes.set_title(f"{name}\nmean {known.mean():.2f}" if len(known) else name, fontsize=8)
    # zero is white; purple and orange are told apart by colour-blind eyes too
    image = axes.imshow(np.ma.masked_invalid(matrix), cmap="PuOr", vmin=-1, vmax=1)
    axes.set_facecolor("0.85")
    if len(matrix) <= _MOST_NUMBERS:
        for (y, x), value in np.ndenumerate(matrix):
            if np.isfinite(value) and x != y:
                dark = abs(value) > 0.6
                axes.text(
                    x,
                    y,
                    f"{round(value, 1) + 0.0:.1f}",
                    ha="center",
                    va="center",
                    fontsize=5,
                    color="white" if dark else "black",
                )
    return image
