"""One thing that is counted: its table, what a reader must know, and what draws it."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from merkit.report.figures import Drawing

__all__ = ["Section", "cell"]


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A table of a corpus.

    Args:
        name: of the files, without suffix.
        title: a heading.
        columns: names of the columns.
        rows: JSON types; None where a number is not defined.
        notes: sentences: how it was counted, and what stands out.
        view: a shorter table for people, columns and then rows of text; None = the table itself.
        drawings: makes the pictures; None = there is none. Not called where nobody wants pictures.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...] = ()
    view: tuple[tuple[str, ...], ...] | None = None
    drawings: "Callable[[], list[Drawing]] | None" = None

    def records(self) -> list[dict[str, Any]]:
        """The rows by name of column.

        Example:
            >>> Section("a", "A", ("split", "clips"), (("train", 3),)).records()
            [{'split': 'train', 'clips': 3}]
        """
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def seen(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Columns and rows as people read them.

        Example:
            >>> Section("a", "A", ("split", "share"), (("train", 0.5),)).seen()
            (('split', 'share'), [('train', '50.0 %')])
        """
        if self.view is not None:
            return self.view[0], list(self.view[1:])
        rows = [
            tuple(cell(column, value) for column, value in zip(self.columns, row, strict=True)) for row in self.rows
        ]
        return tuple(column.replace("_", " ") for column in self.columns), rows

    def csv(self) -> str:
        """The table at full precision; what is not defined is empty.

        Example:
            >>> Section("a", "A", ("x", "y"), ((0.25, None),)).csv()
            'x,y\\n0.25,\\n'
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return out.getvalue()


def cell(column: str, value: Any) -> str:
    """A value as people read it: shares in percent, numbers to the digits that matter.

    Example:
        >>> cell("share", 0.4716), cell("clips", 9989), cell("mean", 8.0249), cell("median", 7.0), cell("z", None)
        ('47.2 %', '9,989', '8.02', '7', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if "share" in column or column == "expected":
        return f"{100 * value:.1f} %"
    if isinstance(value, int) or (value.is_integer() and abs(value) >= 1):
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
