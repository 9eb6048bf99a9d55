"""A study's table as Markdown, CSV and a picture."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merkit.evaluation.seeds import seed_interval
from merkit.training.run import write_json

if TYPE_CHECKING:
    from merkit.training.study import StudyReport

__all__ = ["write_study"]


def write_study(report: "StudyReport", out: Path) -> None:
    """`study.md`, `study.csv`, `study.json`, and `study.png` where matplotlib is installed."""
    (out / "study.md").write_text(report.markdown() + "\n", encoding="utf-8")
    with (out / "study.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        seeds = max(len(values) for _, values in report.rows)
        writer.writerow(
            [*report.columns, "measure", "split", "mean", "low", "high", *(f"seed_{i}" for i in range(seeds))]
        )
        for cell, values in report.rows:
            interval = seed_interval(values)
            numbers = (interval.value, interval.low, interval.high, *values)
            writer.writerow([*cell.names, report.measure, "valid", *(f"{value:.6f}" for value in numbers)])
    rows = [{"cell": cell.slug, "values": list(values)} for cell, values in report.rows]
    write_json(
        {"measure": report.measure, "best": report.best, "facts": report.facts, "rows": rows}, out / "study.json"
    )
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    _picture(report, out / "study.png")


def _picture(report: "StudyReport", path: Path) -> None:
    """One row a cell: every seed as a dot, the mean as a tick; groups by the last axis."""
    from matplotlib import pyplot as plt

    rows = sorted(report.rows, key=lambda row: np.mean(row[1]), reverse=report.mode == "min")
    figure, axes = plt.subplots(figsize=(7.5, 0.9 + 0.2 * len(rows)), layout="constrained")
    first = sorted({cell.names[0] for cell, _ in rows if cell.names})
    colours = dict(zip(first, plt.get_cmap("tab10").colors, strict=False))  # ty: ignore[missing-attribute]
    for y, (cell, values) in enumerate(rows):
        colour = colours[cell.names[0]] if cell.names else "tab:blue"
        axes.scatter(values, [y] * len(values), s=10, color=colour, alpha=0.5, linewidths=0)
        axes.plot([np.mean(values)] * 2, [y - 0.35, y + 0.35], color=colour, linewidth=2)
    axes.set_yticks(range(len(rows)), [" · ".join(cell.names) for cell, _ in rows], fontsize=7)
    axes.set_ylim(-0.8, len(rows) - 0.2)
    axes.set_xlabel(f"{report.measure} on valid: seeds as dots, their mean as a tick")
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
