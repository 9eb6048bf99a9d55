"""Where a model with label queries looks: one scene over time, and how much of it is on the characters, by label."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.evaluation.expressiveness import Expressiveness
from merkit.report.figures.drawing import COLOURS, Drawing, as_text, bare, framed, plain, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["attention_timeline", "expressiveness_bars"]

_LETTER, _ROW, _ACROSS = 0.07, 0.17, 7.2  # inches
_WORD_LETTER, _WORD_LINE, _MOST_LINES, _MOST_LETTERS = 0.053, 0.125, 10, 46


def attention_timeline(
    times: Mapping[str, np.ndarray],
    weight: Mapping[str, np.ndarray],
    labels: Sequence[str],
    prob: np.ndarray,
    *,
    title: str,
    name: str,
    truth: np.ndarray | None = None,
    words: Sequence[tuple[float, str]] = (),
    beside: Mapping[str, str] | None = None,
    most: int = 5,
) -> Drawing:
    """One scene: a panel for each stream, seconds across, a row for each of the likeliest labels, darkness = attention.

    Args:
        times: panel (`scene`, `face of Ann`, `dialog` …) -> `(T,)` start of its tokens in seconds; panels without tokens
            are left out.
        weight: panel -> `(K, T)` attention of the label queries to those tokens. A query's weights over all panels sum to
            at most 1: the rest goes to other queries.
        labels: `K` of them.
        prob: `(K,)` predicted probabilities, which choose the rows.
        title: of the figure.
        name: of the files.
        truth: `(K,)` bool, whether raters gave the label; marked.
        words: `start_s, text` of what is said, written under the panels.
        beside: panel -> another panel whose tokens end its own as well: somebody's lines end where the next line of the
            dialog begins, whoever says it.
        most: rows of a panel.

    Raises:
        ValueError: no panel has a token.

    Example:
        >>> drawing = attention_timeline({"scene": np.array([0.0, 2.0])}, {"scene": np.array([[0.1, 0.2], [0.3, 0.0]])},
        ...     ["joy", "calm"], np.array([0.2, 0.7]), title="a scene", name="scene")
        >>> drawing.rows[:2]
        (('scene', 'calm', 0.7, 0.0, 0.3), ('scene', 'calm', 0.7, 2.0, 0.0))
    """
    panels = [panel for panel in times if len(times[panel])]
    if not panels:
        raise ValueError("no stream of the scene has a token")
    rows = np.argsort(-np.asarray(prob), kind="stable")[:most]
    beside = beside or {}
    until = {
        panel: _until(np.asarray(times[panel], float), np.asarray(times.get(beside.get(panel, panel), ()), float))
        for panel in panels
    }
    end = max(float(ends.max()) for ends in until.values())
    start = min(0.0, *(float(np.min(times[panel])) for panel in panels))
    shown = np.concatenate([np.asarray(weight[panel])[rows].ravel() for panel in panels])
    top = float(np.quantile(shown[shown > 0], 0.98)) if (shown > 0).any() else 1.0
    lines, dropped = _placed(words, start, end)
    notes = [
        "Rows: the likeliest labels with their predicted probability; a dot: raters gave the label. Darkness: attention of "
        "the label's query to one token, mean over heads, last layer; white: little; grey: no token.",
        "Σ: share of the query's attention that goes to the whole panel; what is missing to 1 goes to other queries. It "
        "says where the model looks, not what anybody feels.",
    ]
    notes += [f"{dropped} utterances do not fit and are left out."] if dropped else []
    strip = _WORD_LINE * (max((line for line, _, _ in lines), default=-1) + 1)
    left = _LETTER * (max(len(labels[k]) for k in rows) + 7) + 0.2
    heights = [_ROW * len(rows)] * len(panels) + ([strip + 0.05] if strip else [])
    with style():
        figure = framed(left + _ACROSS + 0.75, sum(heights) + 0.24 * len(panels) + 0.6, title, notes)
        grid = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        said = [
            f"{labels[k]} {as_text(float(prob[k]), 2)}{' •' if truth is not None and truth[k] else '  '}" for k in rows
        ]
        mesh: Any = None
        for axes, panel in zip(grid, panels, strict=False):
            mesh = _cells(axes, np.asarray(times[panel], float), until[panel], np.asarray(weight[panel])[rows], top)
            axes.set_yticks(np.arange(len(rows)) + 0.5, said, fontsize=7)
            axes.set_title(panel, fontsize=7.5, loc="left", pad=2)
        grid[0].set_xlim(start, end)
        if strip:
            _write(grid[-1], lines, strip)
        grid[len(panels) - 1].tick_params(axis="x", length=2, labelsize=7, labelbottom=True)
        grid[len(panels) - 1].set_xlabel("seconds from the start of the scene", fontsize=7, labelpad=1)
        bar = figure.colorbar(mesh, ax=list(grid), shrink=min(1.0, 1.6 / sum(heights)), aspect=16, pad=0.01)
        bar.set_label("attention to a token\n(darkest: the highest 2 %)", fontsize=6.5)
        bar.ax.tick_params(labelsize=6)
        bar.outline.set_visible(False)
    table = [
        (panel, labels[k], float(prob[k]), float(at), float(value))
        for panel in panels
        for k in rows
        for at, value in zip(times[panel], np.asarray(weight[panel])[k], strict=True)
    ]
    return Drawing(name, figure, ("panel", "label", "prob", "start_s", "attention"), plain(table))


def _until(times: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Where the cell of each token ends: at the next token, but a silence is no part of the word before it."""
    starts = np.unique(np.concatenate([times, beside]))
    gaps = np.diff(starts)
    typical = float(np.median(gaps)) if len(gaps) else 1.0
    after = np.append(np.minimum(gaps, 1.5 * typical), typical)[np.searchsorted(starts, times)]
    # what is next to nothing would vanish
    return times + np.maximum(after, (starts[-1] - starts[0] + typical) / 500)


def _cells(axes: "Axes", begin: np.ndarray, end: np.ndarray, weight: np.ndarray, top: float) -> Any:
    """One rectangle a token and row; `weight (m, T)`."""
    from matplotlib.collections import PolyCollection

    axes.set_facecolor("0.9")
    corners = [
        [(a, row), (b, row), (b, row + 0.94), (a, row + 0.94)]
        for row in range(len(weight))
        for a, b in zip(begin, end, strict=True)
    ]
    mesh = PolyCollection(corners, array=weight.ravel(), cmap="Blues", linewidth=0, antialiased=False)
    mesh.set_clim(0, top)
    axes.add_collection(mesh)
    for row, paid in enumerate(weight.sum(1)):
        axes.annotate(
            f" Σ {as_text(float(paid), 2)}",
            (1, row + 0.5),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=6,
            color="0.35",
        )
    axes.set_ylim(len(weight), 0)
    axes.tick_params(length=0, labelbottom=False)
    bare(axes)
    return mesh


def _placed(words: Sequence[tuple[float, str]], start: float, end: float) -> tuple[list[tuple[int, float, str]], int]:
    """Line and place of each utterance so that none lies on another, and how many found no room."""
    free: list[float] = []
    placed, dropped = [], 0
    for at, text in sorted(words):
        text = " ".join(text.split())
        text = text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
        wide = (len(text) + 2) * _WORD_LETTER / _ACROSS * (end - start)
        x = max(start, min(at, end - wide))
        line = next((i for i, taken in enumerate(free) if taken <= x), len(free))
        if line == _MOST_LINES:
            dropped += 1
            continue
        free[line : line + 1] = [x + wide]
        placed.append((line, x, text))
    return placed, dropped


def _write(axes: "Axes", lines: Sequence[tuple[int, float, str]], strip: float) -> None:
    """What is said, each utterance from where it begins."""
    axes.set_ylim(strip, 0)
    for line, x, text in lines:
        # braces, dollars: words are not formulas
        axes.text(x, (line + 0.5) * _WORD_LINE, text, va="center", fontsize=6, color="0.2", parse_math=False)
    axes.set_yticks([])
    axes.tick_params(length=0, labelbottom=False)
    bare(axes)


def expressiveness_bars(
    found: Expressiveness, labels: Sequence[str], *, title: str, name: str, below: str = "picture and dialog"
) -> Drawing:
    """Expressiveness by label, highest first; labels without a scene come last.

    Args:
        found: see `merkit.evaluation.expressiveness`.
        labels: `K` of them.
        title: of the figure.
        name: of the files.
        below: what the denominator is, in words.

    Example:
        >>> found = Expressiveness(*(np.array(x) for x in ([0.5, 1.5], [0.4, 1.1], [0.7, 2.0], [3, 4], [0, 1])))
        >>> expressiveness_bars(found, ["calm", "joy"], title="mine", name="expressiveness").rows[0]
        ('joy', 1.5, 1.1, 2.0, 4, 1)
    """
    order = np.argsort(-np.nan_to_num(found.value, nan=-np.inf), kind="stable")
    notes = [
        "Expressiveness (EmoTx, eq. 9): mean over scenes with the label of attention to characters' tokens / attention to "
        f"{below}. In grey: its value and the number of scenes.",
        "Lines: 95 % bootstrap interval."
        if not np.isnan(found.low).all()
        else "No interval: no label has scenes in two groups (films) to draw from.",
    ]
    if found.left_out.any():
        text = ", ".join(f"{labels[k]} {found.left_out[k]}" for k in order if found.left_out[k])
        notes.append(f"Left out, because nothing of {below} is looked at: {text} scenes.")
    with style():
        figure = framed(_LETTER * max(map(len, labels)) + 5.0, 0.235 * len(labels) + 0.6, title, notes)
        axes = figure.subplots()
        y = np.arange(len(order))
        axes.barh(y, np.nan_to_num(found.value[order]), 0.66, color=COLOURS[2], alpha=0.8)
        held = ~np.isnan(found.low[order])
        axes.hlines(y[held], found.low[order][held], found.high[order][held], color="0.1", linewidth=1.1)
        for place, k in enumerate(order):
            axes.annotate(
                f" {found.value[k]:.2f}  ({found.scenes[k]:,})" if found.scenes[k] else " no scene",
                (1, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=6.5,
                color="0.35",
            )
        axes.set_yticks(y, [labels[k] for k in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(0, 1.05 * float(np.nanmax([*found.high, *found.value, 0.05])))
        axes.set_xlabel("attention to characters / attention to the rest", fontsize=7.5)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(axis="x", color="0.88", linewidth=0.6)
        bare(axes, "bottom")
    rows = [
        (labels[k], found.value[k], found.low[k], found.high[k], int(found.scenes[k]), int(found.left_out[k]))
        for k in order
    ]
    return Drawing(name, figure, ("label", "expressiveness", "low", "high", "scenes", "left_out"), plain(rows))
