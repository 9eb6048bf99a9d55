"""The cells of a study: every combination of `key=a,b,c` axes, every subset of the modalities, and cells named in a file."""

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from merkit.errors import ConfigError

__all__ = ["Cell", "cells", "check_apart", "modality_subsets", "named_cells"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One config of a study.

    Args:
        changes: `key=value` on top of the study's config.
        names: the values, as the table shows them.
        preset: of the system, in place of the study's config.
        folder: name of its folder, where that is not made of the names.
    """

    changes: tuple[str, ...]
    names: tuple[str, ...]
    preset: str = ""
    folder: str = ""

    @property
    def slug(self) -> str:
        """Folder name.

        Example:
            >>> Cell((), ("-1", "[text, face]")).slug, Cell((), ("{}",)).slug
            ('-1_text-face', 'all')
        """
        return self.folder or "_".join(map(_slug, self.names)) or "all"

    @property
    def former_slug(self) -> str:
        """Folder name as it was while the sign of a number got lost; finished studies may hold it."""
        return "_".join(_slug(name).strip("-") for name in self.names) or "all"


def _slug(name: str) -> str:
    plain = re.sub(r"[^\w.+-]+", "-", name).strip("-")
    # `-1` and `1` are two cells; any other dash at an end is what is left of a bracket or a blank
    return f"-{plain}" if re.match(r"\s*-\.?\d", name) else plain


def check_apart(grid: Sequence[Cell]) -> None:
    """Whether every cell of a grid has a folder of its own.

    Raises:
        ConfigError: two would share one, with their names.
    """
    held: dict[str, Cell] = {}
    for cell in grid:
        other = held.setdefault(cell.slug, cell)
        if other is not cell:
            one, two = (
                f"{' · '.join(each.names)} ({', '.join(each.changes) or 'unchanged'})" for each in (other, cell)
            )
            raise ConfigError(
                f"two cells would share a folder, {cell.slug}: {one} and {two}; give cells names of their own (--cells)"
            )


def cells(over: Sequence[str], modalities: Sequence[str] = ()) -> tuple[tuple[str, ...], list[Cell]]:
    """Column names and cells of a grid.

    Args:
        over: axes, `key=a,b,c`; with `;` between values where a value is itself a list or holds commas.
        modalities: where given, one more axis with all their non-empty subsets.

    Raises:
        ConfigError: an axis without values.

    Example:
        >>> names, grid = cells(["model.fusion=concat,tensor"], ["text", "face"])
        >>> names, len(grid), grid[2].slug, grid[2].changes
        (('model.fusion', 'modalities'), 6, 'concat_text+face', ('model.fusion=concat', 'data.modalities=[text,face]'))
    """
    axes: list[list[tuple[str, str]]] = []
    names = []
    for axis in over:
        key, _, values = axis.partition("=")
        options = [value.strip() for value in values.split(";" if ";" in values else ",") if value.strip()]
        if not options:
            raise ConfigError(f"--over {axis}: write `key=a,b,c`")
        axes.append([(f"{key}={value}", value) for value in options])
        names.append(key)
    if modalities:
        axes.append(
            [(f"data.modalities=[{','.join(subset)}]", "+".join(subset)) for subset in modality_subsets(modalities)]
        )
        names.append("modalities")
    grid = [Cell(tuple(c for c, _ in row), tuple(n for _, n in row)) for row in itertools.product(*axes)]
    return tuple(names), grid


def modality_subsets(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Every non-empty subset, small ones first, each in the order given.

    Example:
        >>> modality_subsets(["text", "face"])
        [('text',), ('face',), ('text', 'face')]
    """
    return [
        subset for size in range(1, len(modalities) + 1) for subset in itertools.combinations(tuple(modalities), size)
    ]


def named_cells(path: Path) -> list[Cell]:
    """Cells of a JSON file `{name: {preset: name, changes: [key=value, …]}}`; a preset need not be.

    Raises:
        ConfigError: it is not such a file, or it holds none.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        found = [
            Cell(tuple(map(str, about.get("changes", ()))), (str(name),), str(about.get("preset") or ""))
            for name, about in held.items()
        ]
        if unknown := sorted({key for about in held.values() for key in about} - {"preset", "changes"}):
            raise ValueError(f"what is {', '.join(unknown)}?")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"--cells {path}: a JSON file {{name: {{preset: …, changes: [key=value, …]}}}} is wanted ({error})"
        ) from None
    if not found:
        raise ConfigError(f"--cells {path}: no cells")
    return found
