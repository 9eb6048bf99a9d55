"""Rows of a table with the line that each stands on, from CSV, JSONL or Parquet."""

import codecs
import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merkit.errors import ConfigError, LimitError, MediaError

__all__ = ["Row", "mended", "read_rows", "read_table"]

_MAX_BYTES = 1 << 30
_MAX_CELL = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Args:
        line: where it begins in the file, counted from 1; in Parquet the row's number.
        cells: column -> value; columns whose name begins with # are left out.
        broken: why the row could not be read at all.
    """

    line: int
    cells: Mapping[str, Any]
    broken: str | None = None

    def text(self, column: str) -> str:
        """The cell as text without surrounding blanks; empty where there is none."""
        value = self.cells.get(column)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        # a table program turns the number 3 into 3.0 as soon as one cell of the column is empty
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        return str(value).strip()

    def number(self, column: str) -> float | None:
        """The cell as a finite number; None where it is empty.

        Raises:
            MediaError: it is something else.
        """
        words = self.text(column)
        if not words:
            return None
        try:
            value = float(words)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise MediaError(f"{words[:80]!r} is not a number", field=column)
        return value


def read_rows(file: Path) -> list[Row]:
    """All rows of a `.csv`, `.tsv`, `.jsonl` or `.parquet` table.

    Raises:
        ConfigError: another suffix.
        MediaError: there is no such file, or it cannot be read at all.
        LimitError: it is too large.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.csv"
        ...     _ = file.write_text('id,text\\na,"two\\nlines"\\nb,one\\n')
        ...     [(row.line, row.text("id")) for row in read_rows(file)]
        [(2, 'a'), (4, 'b')]
    """
    if not file.is_file():
        raise MediaError("no such file", path=file)
    if file.stat().st_size > _MAX_BYTES:
        raise LimitError(f"{file.stat().st_size} bytes; the limit is {_MAX_BYTES}", path=file)
    suffix = file.suffix.lower()
    if suffix in (".csv", ".tsv"):
        rows = list(_csv(file, "\t" if suffix == ".tsv" else None))
    elif suffix in (".jsonl", ".ndjson"):
        rows = list(_jsonl(file))
    elif suffix == ".parquet":
        rows = list(_parquet(file))
    else:
        raise ConfigError(
            f"{file}: a manifest is a .csv, .tsv, .jsonl or .parquet table, not {suffix or 'without suffix'}"
        )
    return [Row(row.line, {k: v for k, v in row.cells.items() if not k.startswith("#")}, row.broken) for row in rows]


def read_table(file: Path, columns: tuple[str, ...], delimiter: str = ",", header: bool = True) -> list[Row]:
    """Rows of a corpus's own CSV or TSV, which must have these columns.

    Args:
        file: the table.
        columns: must all be there; without a header they name the cells in order.
        delimiter: between cells.
        header: whether the first line names the columns.

    Raises:
        MediaError: there is no such file, it cannot be read, or a column is missing.
        LimitError: it is too large.
    """
    if not file.is_file():
        raise MediaError("no such file", path=file)
    if file.stat().st_size > _MAX_BYTES:
        raise LimitError(f"{file.stat().st_size} bytes; the limit is {_MAX_BYTES}", path=file)
    rows = list(_csv(file, delimiter, None if header else list(columns)))
    if rows and (missing := [name for name in columns if name not in rows[0].cells and not rows[0].broken]):
        raise MediaError(
            f"has no column {', '.join(missing)}; there are {', '.join(rows[0].cells)}", path=file, field="line 1"
        )
    return rows


def mended(words: str) -> str:
    """Words with the quotes and dashes of cp1252 that were once read as Latin-1 (so MELD's tables hold them) as they were meant.

    Example:
        >>> mended("It\x92s late\x85"), mended("It’s late…")
        ('It’s late…', 'It’s late…')
    """
    return re.sub("[\x80-\x9f]", lambda letter: letter[0].encode("latin-1").decode("cp1252", "ignore"), words)


def _csv(file: Path, delimiter: str | None, names: list[str] | None = None) -> Iterator[Row]:
    text = _decoded(file)
    if not text:
        return
    delimiter = delimiter or max(",;\t", key=text.split("\n", 1)[0].count)
    # quotes are letters in a TSV without a header: a comment may begin with one and never end it
    quoting = csv.QUOTE_NONE if names is not None and delimiter == "\t" else csv.QUOTE_MINIMAL
    csv.field_size_limit(min(_MAX_CELL, sys.maxsize))  # of the whole process: every reader here sets its own
    # not `splitlines`: comments hold U+2028 and U+0085, which end no row
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    line = 1
    try:
        if names is None:
            names = [name.strip() for name in next(reader)]
            again = [name for name in names if name and names.count(name) > 1]
            if again:
                raise MediaError(f"two columns are named {again[0]!r}", path=file, field="line 1")
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                broken = None
                if len(cells) != len(names):
                    broken = f"{len(cells)} cells where there are {len(names)} columns"
                yield Row(line, dict(zip(names, cells, strict=False)), broken)
            line = reader.line_num + 1
    except csv.Error as error:
        raise MediaError(f"not readable as CSV ({error})", path=file, field=f"line {line}") from None


def _jsonl(file: Path) -> Iterator[Row]:
    for line, text in enumerate(_decoded(file).split("\n"), 1):
        if not text.strip():
            continue
        try:
            cells = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield Row(line, {}, f"not JSON ({error})"[:200])
            continue
        if isinstance(cells, dict) and not any(isinstance(value, dict) for value in cells.values()):
            # labels may be a JSON list
            yield Row(line, {k: _cell(v) for k, v in cells.items()})
        else:
            yield Row(line, {}, "not a flat JSON object")


def _parquet(file: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise MediaError(f"not readable as Parquet ({error})", path=file) from error
    for number, cells in enumerate(table.to_pylist(), 1):
        yield Row(number, {k: _cell(v) for k, v in cells.items()})


def _cell(value: Any) -> Any:
    """A list is several labels; an empty one says that none applies."""
    return ("|".join(map(str, value)) or "none") if isinstance(value, list) else value


def _decoded(file: Path) -> str:
    data = file.read_bytes()
    try:
        # table programs write UTF-16 with a mark in front of it
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16", "replace") if wide else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    if "\0" in text:
        raise MediaError("holds zero bytes: not a text table", path=file)
    return text
