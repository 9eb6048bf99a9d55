"""A map of what a network makes of clips: two coordinates of each fused vector, coloured by what raters said."""

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.errors import ConfigError
from merkit.report.figures.drawing import COLOURS, Drawing, bare, framed, plain, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["embedding_map", "explained", "plane_of"]

_MARKERS = "os^Dv"


def plane_of(x: np.ndarray, layout: str = "pca") -> tuple[np.ndarray, tuple[str, str]]:
    """Two coordinates of each vector.

    Args:
        x: `(n, E)` vectors.
        layout: `pca`: the two directions in which they differ most, a shadow of the whole in true proportions; `umap`: who
            is near whom (McInnes et al. 2018), which distances between groups on it do not tell. Needs umap-learn.

    Returns:
        `(n, 2)`, and what the axes are.

    Raises:
        ConfigError: no such layout, umap-learn is not installed, or there are fewer than three vectors.

    Example:
        >>> place, names = plane_of(np.array([[0.0, 0, 5], [3, 0, 5], [6, 1, 5]]))
        >>> place.shape, names[0]
        ((3, 2), '1st principal component, 99 % of the variance')
    """
    x = np.asarray(x, np.float64)
    if len(x) < 3:
        raise ConfigError(f"a map needs at least three clips; there are {len(x)}")
    if layout == "pca":
        _, size, directions = np.linalg.svd(x - x.mean(0), full_matrices=False)
        # a direction and its opposite are the same: the larger entries point up
        sign = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(1)])
        place = (x - x.mean(0)) @ (directions * np.where(sign == 0, 1, sign)[:, None])[:2].T
        place = np.pad(place, ((0, 0), (0, 2 - place.shape[1])))
        share = np.pad(size**2 / max(float((size**2).sum()), 1e-30), (0, 2))
        names = (f"{rank} principal component, {part:.0%} of the variance" for rank, part in zip(("1st", "2nd"), share))  # noqa: B905
        first, second = (name.replace("%", " %") for name in names)
        return place, (first, second)
    if layout != "umap":
        raise ConfigError(f"no layout {layout!r}; there are pca and umap")
    try:
        # of no extra: a name that a type checker need not know
        umap: Any = importlib.import_module("umap")
    except ImportError as error:
        raise ConfigError(f"layout umap needs umap-learn: `pip install umap-learn` ({error})") from None
    made = umap.UMAP(n_components=2, n_neighbors=min(15, len(x) - 1), random_state=0, n_jobs=1).fit_transform(x)
    return np.asarray(made, np.float64), ("1st UMAP coordinate", "2nd UMAP coordinate")


def explained(place: np.ndarray, values: np.ndarray) -> float:
    """Share of the variance of `values (n,)` that a plane over the map `place (n, 2)` explains (R²); NaN rows are left out.

    Example:
        >>> place = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
        >>> round(explained(place, np.array([1.0, 3, 0, 2])), 6)
        1.0
    """
    known = np.isfinite(values)
    here = values[known]
    if len(here) < 4 or np.ptp(here) == 0:
        return float("nan")
    basis = np.column_stack([place[known], np.ones(len(here))])
    rest = here - basis @ np.linalg.lstsq(basis, here, rcond=None)[0]
    return float(1 - rest.var() / here.var())


def embedding_map(
    ids: Sequence[str],
    place: np.ndarray,
    *,
    axes_names: tuple[str, str],
    title: str,
    name: str,
    numbers: Mapping[str, np.ndarray] | None = None,
    classes: Mapping[str, tuple[Sequence[str], np.ndarray]] | None = None,
    persons: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Drawing:
    """One panel for each question: a dot is a clip, its colour what raters said; grey where that is not known.

    Args:
        ids: `n` clips.
        place: `(n, 2)` where they lie, see `plane_of`.
        axes_names: what the axes are.
        title: of the figure.
        name: of the files.
        numbers: rating -> `(n,)`, NaN where not known.
        classes: question -> its labels, and `(n,)` which of them, -1 where not known or tied.
        persons: `n` names where a dot is a person of a clip; else empty.
        notes: more to say below.

    Example:
        >>> drawing = embedding_map(["a", "b"], np.zeros((2, 2)), axes_names=("1", "2"), title="mine", name="map",
        ...     numbers={"valence": np.array([1.5, np.nan])})
        >>> drawing.columns, drawing.rows[0]
        (('clip', 'x', 'y', 'valence'), ('a', 0.0, 0.0, 1.5))
    """
    numbers, classes = dict(numbers or {}), dict(classes or {})
    panels = max(len(numbers) + len(classes), 1)
    across = min(panels, 3)
    down = -(-panels // across)
    told = [
        "A dot is what the network makes of a clip before it answers; near means alike to the network. Colours: how the "
        "corpus labels the expression, not what anybody feels. Grey: not known, or tied.",
        *notes,
    ]
    if numbers:
        told.append("R²: share of the variance of a rating that a plane over this map explains, fitted on these dots.")
    with style():
        figure = framed(3.6 * across + 0.4, 3.5 * down, title, told)
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes, (rating, values) in zip(grid, numbers.items(), strict=False):
            _by_number(axes, place, rating, values)
        for axes, (question, (labels, index)) in zip(grid[len(numbers) :], classes.items(), strict=False):
            _by_class(axes, place, question, labels, index)
        if not numbers and not classes:
            grid[0].scatter(*place.T, s=_size(len(place)), c="0.6", linewidths=0)
        for axes in grid[:panels]:
            axes.set_xlabel(axes_names[0], fontsize=7)
            axes.set_ylabel(axes_names[1], fontsize=7)
            axes.tick_params(labelsize=6)
            axes.margins(0.06)
            bare(axes, "bottom", "left")
        for axes in grid[panels:]:
            axes.set_visible(False)
    columns: dict[str, Any] = {"clip": list(ids)}
    if len(persons):
        columns["person"] = list(persons)
    columns |= {"x": place[:, 0], "y": place[:, 1], **numbers}
    for question, (labels, index) in classes.items():
        columns[question] = [labels[k] if k >= 0 else "" for k in index]
    rows = zip(*columns.values(), strict=True)
    return Drawing(name, figure, tuple(columns), plain(rows))


def _by_number(axes: "Axes", place: np.ndarray, rating: str, values: np.ndarray) -> None:
    known = np.isfinite(values)
    axes.scatter(*place[~known].T, s=_size(len(place)), c="0.8", linewidths=0)
    dots = axes.scatter(*place[known].T, s=_size(len(place)), c=values[known], cmap="viridis", linewidths=0)
    if known.any():
        bar = axes.figure.colorbar(dots, ax=axes, fraction=0.05, pad=0.02)
        bar.ax.tick_params(labelsize=6)
        bar.outline.set_linewidth(0)
    fit = explained(place, values)
    said = "" if np.isnan(fit) else f", R² {fit:.2f}"
    axes.set_title(f"{rating} (n = {known.sum():,}{said})", fontsize=8, loc="left")


def _by_class(axes: "Axes", place: np.ndarray, question: str, labels: Sequence[str], index: np.ndarray) -> None:
    axes.scatter(*place[index < 0].T, s=_size(len(place)), c="0.8", linewidths=0)
    shown = [k for k in range(len(labels)) if (index == k).any()]
    for order, k in enumerate(shown):
        marker = _MARKERS[order // len(COLOURS) % len(_MARKERS)]
        axes.scatter(
            *place[index == k].T,
            s=_size(len(place)),
            c=COLOURS[order % len(COLOURS)],
            marker=marker,
            linewidths=0,
            alpha=0.85,
            label=labels[k],
        )
    axes.set_title(f"{question} (n = {(index >= 0).sum():,})", fontsize=8, loc="left")
    if 0 < len(shown) <= 14:
        axes.legend(
            fontsize=6, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4, handletextpad=0.1
        )


def _size(n: int) -> float:
    """Points² of a dot: many are small."""
    return float(np.clip(6000 / max(n, 1), 5, 26))
