"""What a labelled corpus holds: bars of how often labels occur, how many come at once, who is in how many scenes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from merkit.report.figures.drawing import COLOURS, Drawing, bare, framed, plain, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["character_bars", "count_bars", "frequency_bars"]

_LETTER = 0.07  # inches


def frequency_bars(
    labels: Sequence[str],
    counts: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    title: str,
    name: str,
    unit: str = "clips",
    what: str = "label",
    most: int = 40,
) -> Drawing:
    """How often each label is there, by split, most frequent first.

    Args:
        labels: `K` of them.
        counts: split -> `(K,)` answers with the label and `(K,)` answers of which that is known; the first split gives
            the order.
        title: of the figure.
        name: of the files.
        unit: what one answer is about, in the plural.
        what: what is counted, where it is no label but a modality or a speaker, say.
        most: labels that are drawn; the table holds all.

    Example:
        >>> drawing = frequency_bars(["joy", "anger"], {"train": (np.array([1, 3]), np.array([4, 4]))},
        ...     title="mine", name="label-frequency")
        >>> drawing.rows
        (('train', 'anger', 3, 4, 0.75), ('train', 'joy', 1, 4, 0.25))
    """
    splits = list(counts)
    first = counts[splits[0]][0]
    everything = np.argsort(-first, kind="stable")
    order = everything[:most]
    shares = {split: _share(*pair) for split, pair in counts.items()}
    thick = 0.16 if len(splits) > 1 else 0.2
    body = (thick * len(splits) + 0.08) * len(order) + 0.95
    asked = " whose answer is known" if what == "label" else ""
    notes = [f"Bars: share of the {unit}{asked} that have the {what}; in grey: how many have it."]
    if len(labels) > most:
        notes.append(
            f"Shown: the {most} most frequent of {len(labels):,} {what}s; the table beside this figure holds all."
        )
    with style():
        figure = framed(_LETTER * max(len(labels[k]) for k in order) + 5.0, body, title, notes)
        axes = figure.subplots()
        height = 0.84 / len(splits)
        for place, split in enumerate(splits):
            y = np.arange(len(order)) + (place - (len(splits) - 1) / 2) * height
            share = shares[split][order]
            known = int(counts[split][1].max(initial=0))
            axes.barh(
                y,
                np.nan_to_num(share),
                height * 0.92,
                color=COLOURS[place % len(COLOURS)],
                label=f"{split} (n = {known:,})",
            )
            for at, k in zip(y, order, strict=True):
                value = np.nan_to_num(shares[split][k])
                axes.annotate(
                    f"{counts[split][0][k]:,}",
                    (value, at),
                    (3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=6,
                    color="0.35",
                )
        axes.set_yticks(np.arange(len(order)), [labels[k] for k in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(0, 1.1 * max(0.01, *(float(np.nanmax([*share, 0.0])) for share in shares.values())))
        _finish(axes, f"share of {unit}", across=True)
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=len(splits), fontsize=7, frameon=False
        )
    rows = [
        (split, labels[k], counts[split][0][k], counts[split][1][k], shares[split][k])
        for split in splits
        for k in everything
    ]
    return Drawing(name, figure, ("split", what, unit, "known", "share"), plain(rows))


def count_bars(
    panels: Mapping[str, Mapping[str, np.ndarray]], *, title: str, name: str, unit: str = "clips", what: str = "labels"
) -> Drawing:
    """How many have 0, 1, 2 … of something, by split; one panel for each thing that is counted.

    Args:
        panels: name of the panel -> split -> `(C,)` how many have 0, 1, 2 …, see
            `merkit.evaluation.label_counts.histogram`.
        title: of the figure.
        name: of the files.
        unit: what is counted over, in the plural.
        what: what there are 0, 1, 2 … of.

    Example:
        >>> drawing = count_bars({"scene": {"train": np.array([0, 2, 1])}}, title="mine", name="labels-per-scene")
        >>> drawing.rows
        (('scene', 'train', 0, 0, 0.0), ('scene', 'train', 1, 2, 0.66...), ('scene', 'train', 2, 1, 0.33...))
    """
    notes = [f"Bars: share of each split's {unit}; m: mean number of {what}."]
    with style():
        figure = framed(0.5 + 3.6 * len(panels), 2.7, title, notes)
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (panel, splits) in zip(grid, panels.items(), strict=True):
            longest = max(len(counts) for counts in splits.values())
            width = 0.84 / len(splits)
            for place, (split, counts) in enumerate(splits.items()):
                x = np.arange(len(counts)) + (place - (len(splits) - 1) / 2) * width
                total = max(int(counts.sum()), 1)
                mean = float((counts * np.arange(len(counts))).sum() / total)
                axes.bar(
                    x,
                    counts / total,
                    width * 0.92,
                    color=COLOURS[place % len(COLOURS)],
                    label=f"{split} (n = {counts.sum():,}, m = {mean:.2f})",
                )
            axes.set_xticks(np.arange(0, longest, max(1, longest // 12)))
            axes.set_xlim(-0.6, longest - 0.4)
            axes.set_title(panel, fontsize=8, loc="left")
            axes.set_xlabel(f"number of {what}", fontsize=7.5)
            _finish(axes, f"share of {unit}", across=False)
            # above the bars: a peak may be anywhere
            axes.set_ylim(0, axes.get_ylim()[1] * (1 + 0.1 * len(splits)))
            axes.legend(loc="upper right", fontsize=7, frameon=False)
    rows = [
        (panel, split, count, int(counts[count]), float(counts[count] / max(counts.sum(), 1)))
        for panel, splits in panels.items()
        for split, counts in splits.items()
        for count in range(len(counts))
    ]
    return Drawing(name, figure, ("panel", "split", what, unit, "share"), plain(rows))


def character_bars(
    movies: Mapping[str, Mapping[str, int]],
    scenes: Mapping[str, int],
    *,
    title: str,
    name: str,
    most_movies: int = 6,
    most_characters: int = 10,
) -> Drawing:
    """In how many scenes of its movie each named character is; a panel a movie.

    Args:
        movies: movie -> character -> scenes, see `merkit.evaluation.label_counts.scenes_of_characters`.
        scenes: movie -> its scenes.
        title: of the figure.
        name: of the files.
        most_movies: panels; the movies with the most scenes come first. The table holds all.
        most_characters: bars of a panel.

    Example:
        >>> drawing = character_bars({"m1": {"Ann": 3, "Bob": 1}}, {"m1": 4}, title="mine", name="characters")
        >>> drawing.rows
        (('m1', 'Ann', 3, 4, 0.75), ('m1', 'Bob', 1, 4, 0.25))
    """
    order = sorted(movies, key=lambda movie: (-scenes[movie], movie))
    shown = order[:most_movies]
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    bars = max((min(len(movies[movie]), most_characters) for movie in shown), default=1)
    notes = [
        "A name means the same person only within its movie; nothing is added up across movies. In grey: number of scenes.",
        f"Shown: {len(shown)} of {len(order)} movies, those with the most scenes, and at most {most_characters} characters "
        "of each; the table beside this figure holds all.",
    ]
    with style():
        figure = framed(3.1 * across + 0.3, down * (0.18 * bars + 0.75), title, notes)
        grid = figure.subplots(down, across, squeeze=False)
        for axes, movie in zip(grid.flat, shown, strict=False):
            held = list(movies[movie].items())[:most_characters]
            share = [count / scenes[movie] for _, count in held]
            axes.barh(np.arange(len(held)), share, 0.7, color=COLOURS[0])
            for y, (_, count) in enumerate(held):
                axes.annotate(
                    f"{count:,}",
                    (share[y], y),
                    (3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=6,
                    color="0.35",
                )
            axes.set_yticks(np.arange(len(held)), [_short(person) for person, _ in held])
            axes.set_ylim(bars - 0.4, -0.6)
            axes.set_xlim(0, 1.12 * max([*share, 0.05]))
            axes.set_title(
                f"{_short(movie, 14)}: {scenes[movie]:,} scenes, {len(movies[movie]):,} named", fontsize=6.5, loc="left"
            )
            _finish(axes, "share of the movie's scenes", across=True)
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
    rows = [
        (movie, person, count, scenes[movie], count / scenes[movie])
        for movie in order
        for person, count in movies[movie].items()
    ]
    return Drawing(name, figure, ("movie", "character", "scenes", "scenes_of_movie", "share"), plain(rows))


def _finish(axes: "Axes", label: str, *, across: bool) -> None:
    """Grid and ticks of a panel of bars."""
    (axes.set_xlabel if across else axes.set_ylabel)(label, fontsize=7.5)
    axes.tick_params(axis="both", labelsize=7)
    axes.tick_params(axis="y" if across else "x", length=0)
    axes.grid(axis="x" if across else "y", color="0.88", linewidth=0.6)
    bare(axes, "bottom")


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _short(text: str, most: int = 22) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
