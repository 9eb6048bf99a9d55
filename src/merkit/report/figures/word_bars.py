"""Words that set labels apart, a panel a label."""

from collections.abc import Mapping, Sequence

from merkit.report.figures.drawing import COLOURS, Drawing, bare, framed, plain, style

__all__ = ["word_bars"]

_ACROSS = 4


def word_bars(words: Mapping[str, Sequence[tuple[str, float]]], *, title: str, name: str, most: int = 10) -> Drawing:
    """Bars of z by word; labels without a word have no panel.

    Args:
        words: label -> words with their z, largest first (`merkit.evaluation.word_odds`).
        title: of the figure.
        name: of the files.
        most: words a panel.

    Example:
        >>> drawing = word_bars({"joy": [("great", 5.5), ("yay", 3.0)], "calm": []}, title="mine", name="words")
        >>> drawing.rows
        (('joy', 'great', 5.5), ('joy', 'yay', 3.0))
    """
    shown = {label: list(each)[:most] for label, each in words.items() if each}
    across = min(_ACROSS, len(shown))
    down = -(-len(shown) // across)
    bars = max(map(len, shown.values()))
    notes = [
        "Bars: difference of log odds of the word in the label's texts and in all others, over its standard error (z). "
        "All panels have one scale."
    ]
    top = max(z for each in shown.values() for _, z in each)
    with style():
        figure = framed(2.1 * across + 0.2, down * (0.155 * bars + 0.42), title, notes)
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes, (label, each) in zip(grid, shown.items(), strict=False):
            axes.barh(range(len(each)), [z for _, z in each], 0.72, color=COLOURS[0])
            axes.set_yticks(range(len(each)), [_short(word) for word, _ in each])
            axes.set_ylim(bars - 0.4, -0.6)
            axes.set_xlim(0, 1.05 * top)
            axes.set_title(label, fontsize=8, loc="left", fontweight="bold")
            axes.tick_params(labelsize=6.5, length=0)
            axes.grid(axis="x", color="0.88", linewidth=0.6)
            bare(axes, "bottom")
        for axes in grid[len(shown) :]:
            axes.set_visible(False)
    rows = [(label, word, z) for label, each in words.items() for word, z in each]
    return Drawing(name, figure, ("label", "word", "z"), plain(rows))


def _short(text: str, most: int = 16) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
