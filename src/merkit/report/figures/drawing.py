"""A figure and the numbers in it, written so that the same numbers always give the same bytes."""

import csv
import io
import math
import textwrap
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit.atomic import replacing
from merkit.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "FAINT", "Drawing", "as_text", "bare", "framed", "plain", "style"]

# readable beside each other in print and for colour-blind eyes (Okabe & Ito 2008)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
FAINT = "#F1F1F1"
_TITLE_IN, _NOTE_IN = 0.19, 0.135  # height of a line
_TITLE_LETTER_IN, _NOTE_LETTER_IN = 0.08, 0.052
_ASIDE_IN = 0.06  # letters are not exactly as wide in PNG and in SVG
_DPI = 150
_FIXED: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so letters are as wide everywhere
    "font.size": 8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.axisbelow": True,
    "svg.hashsalt": "merkit",
    "svg.fonttype": "path",
}


@contextmanager
def style() -> Generator[None]:
    """Matplotlib's own defaults and a few of ours, whatever the user's matplotlibrc says.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError(f"figures need matplotlib: `pip install merkit[viz]` ({error})") from None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_FIXED)
        yield


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """One figure.

    Args:
        name: of the files, without suffix.
        figure: what is seen.
        columns: names of the columns of the table.
        rows: the numbers that are drawn, at full precision.
    """

    name: str
    figure: "Figure"
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def csv(self) -> str:
        """The table; NaN is empty."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(value) for value in row] for row in self.rows)
        return out.getvalue()

    def write(self, folder: Path) -> tuple[Path, ...]:
        """`NAME.png`, `NAME.svg` and `NAME.csv`, by rename; neither holds a date."""
        paths = tuple(folder / f"{self.name}.{kind}" for kind in ("png", "svg", "csv"))
        with style():
            _settle(self.figure)
            with replacing(paths[0]) as temporary:
                self.figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})
            with replacing(paths[1]) as temporary:
                self.figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
        with replacing(paths[2]) as temporary:
            temporary.write_text(self.csv(), encoding="utf-8")
        return paths


def _settle(figure: "Figure") -> None:
    """Fixes where the panels are, once for all formats.

    The layout's solver leaves the last bits of a position to chance, and they decide the names of clip paths in an SVG.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        x, y, width, height = (round(number, 7) for number in axes.get_position(original=True).bounds)
        axes.set_position((x, y, width, height), which="original")


def framed(width: float, body: float, title: str, notes: Sequence[str] = ()) -> "Figure":
    """A figure with room for panels between a title and footnotes; both are broken into lines that fit.

    Args:
        width: inches.
        body: inches that the panels get.
        title: says what is drawn, of what, and how many.
        notes: definitions, one a line at least.
    """
    from matplotlib.figure import Figure

    head = textwrap.wrap(title, max(int((width - 0.2) / _TITLE_LETTER_IN), 20))
    foot = [
        line
        for note in notes
        for line in textwrap.wrap(note, max(int((width - 0.2) / _NOTE_LETTER_IN), 30), subsequent_indent="   ")
    ]
    above, below = _TITLE_IN * len(head) + 0.14, _NOTE_IN * len(foot) + (0.14 if foot else 0.04)
    height = above + body + below
    # a Figure of its own: no window, no global state
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    aside = _ASIDE_IN / width
    figure.get_layout_engine().set(rect=(aside, below / height, 1 - 2 * aside, body / height))  # ty: ignore
    figure.text(
        0.1 / width, 1 - 0.07 / height, "\n".join(head), va="top", fontsize=10, fontweight="bold", linespacing=1.25
    )
    figure.text(
        0.1 / width,
        (below - 0.06) / height,
        "\n".join(foot),
        va="top",
        fontsize=6.5,
        color="0.3",
        linespacing=1.35,
    )
    return figure


def bare(axes: "Axes", *keep: str) -> None:
    """Leaves only the named sides of a panel's frame."""
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(side in keep)


def as_text(value: float, digits: int = 3) -> str:
    """A share as tables write it.

    Example:
        >>> as_text(0.3421), as_text(1.0), as_text(float("nan"))
        ('.342', '1.000', 'undefined')
    """
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}".removeprefix("0")


def plain(rows: Iterable[Iterable[Any]]) -> tuple[tuple[Any, ...], ...]:
    """Rows of a table with Python's own numbers in place of numpy's.

    Example:
        >>> import numpy as np
        >>> plain([("joy", np.int64(3), np.float64(0.5))])
        (('joy', 3, 0.5),)
    """
    return tuple(tuple(value.item() if hasattr(value, "item") else value for value in row) for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return value
