"""How numbers are spread, by split: words of utterances, seconds of clips, ratings."""

from collections.abc import Mapping

import numpy as np

from merkit.report.figures.drawing import COLOURS, Drawing, bare, framed, plain, style

__all__ = ["histograms"]

_MOST_BINS = 40


def histograms(
    panels: Mapping[str, Mapping[str, np.ndarray]],
    *,
    title: str,
    name: str,
    units: Mapping[str, str] | None = None,
    cut: bool = True,
) -> Drawing:
    """Outlines of histograms, one panel for each kind of number, one line for each split.

    Args:
        panels: what is counted -> split -> `(n,)` numbers, NaN where unknown.
        title: of the figure.
        name: of the files.
        units: what is counted -> label of its axis; none = what is counted.
        cut: the largest hundredth of the numbers is drawn in the last bin, so that a few do not make all others small.

    Example:
        >>> drawing = histograms({"words": {"train": np.array([1.0, 2, 2, 3])}}, title="mine", name="lengths")
        >>> drawing.rows[1]
        ('words', 'train', 1.5, 2.5, 2, 0.5)
    """
    bins = [_edges(np.concatenate([v[np.isfinite(v)] for v in splits.values()]), cut) for splits in panels.values()]
    notes = ["Share of each split's numbers that lie in each bin; n: how many are known."]
    if any(more for _, more in bins):
        notes.append("The last bin holds the largest hundredth of the numbers too, however large they are.")
    rows = []
    with style():
        figure = framed(0.5 + 3.4 * min(3, len(panels)), 2.6 * -(-len(panels) // 3), title, notes)
        grid = figure.subplots(-(-len(panels) // 3), min(3, len(panels)), squeeze=False).ravel()
        for axes, (panel, splits), (edges, _) in zip(grid, panels.items(), bins, strict=False):
            known = {split: values[np.isfinite(values)] for split, values in splits.items()}
            for place, (split, values) in enumerate(known.items()):
                count, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
                share = count / max(len(values), 1)
                middle = f", median {np.median(values):.3g}" if len(values) else ""
                axes.stairs(
                    share,
                    edges,
                    color=COLOURS[place % len(COLOURS)],
                    linewidth=1.3,
                    fill=place == 0,
                    alpha=0.35 if place == 0 else 1.0,
                    label=f"{split} (n = {len(values):,}{middle})",
                )
                rows += [
                    (panel, split, low, high, number, part)
                    for low, high, number, part in zip(edges[:-1], edges[1:], count, share, strict=True)
                ]
            axes.set_xlim(edges[0], edges[-1])
            if all((values == values.round()).all() for values in known.values()):
                axes.locator_params(axis="x", integer=True)
            axes.set_ylim(0, axes.get_ylim()[1] * (1 + 0.07 * len(splits)))
            axes.set_xlabel((units or {}).get(panel, panel), fontsize=7.5)
            axes.set_ylabel("share", fontsize=7.5)
            axes.tick_params(labelsize=7)
            axes.grid(axis="y", color="0.88", linewidth=0.6)
            bare(axes, "bottom")
            axes.legend(loc="upper right", fontsize=7, frameon=False)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
    return Drawing(name, figure, ("what", "split", "low", "high", "count", "share"), plain(rows))


def _edges(values: np.ndarray, cut: bool) -> tuple[np.ndarray, bool]:
    """Borders of bins: around whole numbers where all are whole; and whether the last bin holds all that is larger."""
    if not len(values):
        return np.array([0.0, 1.0]), False
    low, high = float(values.min()), float(values.max())
    top = float(np.quantile(values, 0.99)) if cut else high
    if (values == values.round()).all():
        if low == top:  # one number alone would fill the panel
            low, top = low - 2, top + 2
        width = max(1, int(np.ceil((top - low + 1) / _MOST_BINS)))
        count = int(np.ceil((top - low + 1) / width))
        return low - 0.5 + width * np.arange(count + 1), high > top
    if top <= low:
        return np.array([low - 0.5, low + 0.5]), high > top
    return np.linspace(low, top, 31), high > top
