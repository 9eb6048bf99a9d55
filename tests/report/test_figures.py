"""Figures: what is drawn is what the table says, nothing overlaps or is cut off, and the same numbers give the same bytes."""

import csv
import io
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from merkit.errors import ConfigError
from merkit.evaluation.by_class import by_class, class_f1
from merkit.evaluation.expressiveness import Expressiveness
from merkit.evaluation.label_counts import co_occurrence
from merkit.labels import GOEMOTIONS28
from merkit.report.figures import (
    ClassPanel,
    Drawing,
    attention_timeline,
    character_bars,
    class_bars,
    co_occurrence_map,
    confusion_figure,
    count_bars,
    expressiveness_bars,
    frequency_bars,
)
from merkit.report.figures.drawing import style


def labels_of(size: int) -> tuple[str, ...]:
    """Longer words than any label set has."""
    return tuple(f"{name}{'/Confusion' if k == 2 else ''}" for k, name in enumerate(GOEMOTIONS28.labels[:size]))


def bars(size: int) -> Drawing:
    rng = np.random.default_rng(size)
    panels = []
    for name, unit in (("scene", "scenes"), ("character", "characters")):
        target = (rng.random((300, size)) < np.geomspace(0.4, 0.01, size)).astype(float)
        prob = np.clip(0.2 * target + rng.random(target.shape), 0, 1)
        scores = by_class([prob], target, np.ones(target.shape, bool), draws=30)
        panels.append(ClassPanel(name, labels_of(size), scores, unit))
    title = f"Average precision by label: a-run-with-a-long-name-{size} · valid"
    return class_bars(panels, measure="average precision", definition="area", title=title, name="bars")


def confused(size: int) -> Drawing:
    rng = np.random.default_rng(size)
    target = rng.integers(size, size=2000)
    prob = rng.random((2000, size)) + np.eye(size)[target]
    scores = by_class([prob], target, np.ones(2000, bool), each=class_f1, draws=10)
    counts = np.bincount(target * size + prob.argmax(1), minlength=size**2).reshape(size, size) * 7
    panel = ClassPanel("emotion", labels_of(size), scores)
    return confusion_figure(counts, panel, title="Confusions", name="confusion")


def frequencies(size: int) -> Drawing:
    rng = np.random.default_rng(size)
    counts = {name: (rng.integers(n, size=size), np.full(size, n)) for name, n in (("train", 5000), ("valid", 900))}
    return frequency_bars(labels_of(size), counts, title="Frequency of scene labels: x · train, valid", name="f")


def together(size: int) -> Drawing:
    there = np.random.default_rng(size).random((4000, size)) < np.geomspace(0.5, 0.001, size)
    labels = labels_of(size)
    return co_occurrence_map(
        co_occurrence(there, there), labels, labels, row_of="the scene", column_of="the same scene", same=True,
        title="Which labels of scene come together: x · train · 4,000 scenes", name="co",
    )  # fmt: skip


def expressive(size: int) -> Drawing:
    value = np.random.default_rng(size).random(size)
    counts = np.arange(size)
    found = Expressiveness(np.where(counts, value, np.nan), value * 0.8, value * 1.3, counts, counts % 3)
    return expressiveness_bars(found, labels_of(size), title="Expressiveness by label of scene: x · valid", name="e")


def timeline(size: int) -> Drawing:
    rng = np.random.default_rng(size)
    times = {
        "picture of the scene": np.arange(0, 40, 0.7),
        "face of Lieutenant Dan": np.concatenate([np.arange(5, 12, 0.3), np.arange(30, 36, 0.3)]),
        "dialog": np.array([1.0, 4, 9, 9.5, 10, 20, 33, 39.5]),
        "lines of nobody": np.zeros(0),
    }
    weight = {name: rng.random((size, len(at))) / 100 for name, at in times.items()}
    words = [(at - 0.5, text) for at, text in zip(times["dialog"], _SAID, strict=True)]
    prob, truth = rng.random(size), rng.random(size) < 0.5
    return attention_timeline(
        times, weight, labels_of(size), prob, truth=truth, words=words, title="Attention: tt1-2", name="t"
    )


_SAID = ("Well.", "Who let you in at this hour of the night, and why are you here at all?", "I don't know.", "You $do$.",
         "{No}", "Sit down,\nplease.", "All right.", "A last long sentence that begins where the scene ends.")  # fmt: skip


def at_once(size: int) -> Drawing:
    counts = np.random.default_rng(size).integers(500, size=size)
    panels = {
        name: {"train": counts, "valid": counts[::-1]} for name in ("scene: per scene", "character: per character")
    }
    return count_bars(panels, title="Labels at once: x · train, valid", name="n")


def who(size: int) -> Drawing:
    movies = {f"tt{m:07d}": {f"Character {c} of long name {m}": 40 - c for c in range(size)} for m in range(size)}
    return character_bars(movies, dict.fromkeys(movies, 1234), title="Scenes of each named character: x", name="w")


MAKERS: list[Callable[[int], Drawing]] = [bars, confused, frequencies, together, expressive, timeline, at_once, who]
CASES = [*((make, 26) for make in MAKERS), *((make, 10) for make in (bars, confused, together, timeline))]


def seen(drawing: Drawing) -> list[Text]:
    """Every text that is drawn; matplotlib keeps labels of ticks beyond the ends of an axis, and draws them not."""
    with style():
        drawing.figure.draw_without_rendering()
    hidden = set()
    for axes in drawing.figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    return [
        text
        for text in drawing.figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in hidden
        if text.axes is None or text.axes.get_visible()
    ]


@pytest.mark.parametrize(("make", "size"), CASES, ids=lambda case: getattr(case, "__name__", str(case)))
def test_no_text_overlaps_another_or_is_cut_off(make: Callable[[int], Drawing], size: int) -> None:
    drawing = make(size)
    boxes = {text: text.get_window_extent() for text in seen(drawing)}
    frame = drawing.figure.bbox
    for text, box in boxes.items():
        assert box.x0 >= frame.x0 - 1 and box.x1 <= frame.x1 + 1, f"{text.get_text()!r} is cut off at a side"
        assert box.y0 >= frame.y0 - 1 and box.y1 <= frame.y1 + 1, f"{text.get_text()!r} is cut off above or below"
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        shared = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(shared) <= 1.5, f"{one.get_text()!r} lies on {other.get_text()!r}"


@pytest.mark.parametrize("make", [bars, together, timeline], ids=lambda make: make.__name__)
def test_the_same_numbers_give_the_same_bytes(make: Callable[[int], Drawing], tmp_path: Path) -> None:
    # a user's own taste
    with matplotlib.rc_context({"font.size": 17, "axes.facecolor": "black", "svg.hashsalt": "mine"}):
        first = [path.read_bytes() for path in make(3).write(tmp_path / "a")]
    again = [path.read_bytes() for path in make(3).write(tmp_path / "b")]
    assert first == again
    png, svg, _ = again
    assert png[1:4] == b"PNG" and b"tEXt" not in png
    assert b"<svg" in svg and b"dc:date" not in svg


_DRAW = """
import sys
from pathlib import Path
import numpy as np
from merkit.report.figures.attention import attention_timeline

at = {"scene": np.arange(0, 9, 0.7), "dialog": np.array([1.0, 4.0])}
weight = {name: np.cos(np.arange(3)[:, None] + times) ** 2 / 50 for name, times in at.items()}
drawing = attention_timeline(at, weight, ["joy", "calm", "fear"], np.array([0.2, 0.9, 0.4]), title="A scene", name="t")
drawing.write(Path(sys.argv[1]))
"""


def test_another_process_draws_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path / "here")])
    exec(_DRAW, {})
    environment = {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin"}
    subprocess.run([sys.executable, "-c", _DRAW, str(tmp_path / "there")], check=True, env=environment)
    for kind in ("png", "svg", "csv"):
        assert (tmp_path / "here" / f"t.{kind}").read_bytes() == (tmp_path / "there" / f"t.{kind}").read_bytes()


def test_bars_are_as_long_as_the_table_says_and_in_order_of_frequency() -> None:
    drawing = bars(10)
    rows = list(csv.DictReader(io.StringIO(drawing.csv())))
    for axes, name in zip(drawing.figure.axes, ("scene", "character"), strict=True):
        own = [row for row in rows if row["target"] == name]
        assert [bar.get_width() for bar in axes.patches] == pytest.approx(
            [float(row["average_precision"]) for row in own]
        )
        marks = axes.lines[0].get_xdata()
        assert list(marks) == pytest.approx([float(row["prevalence"]) for row in own if row["positives"] != "0"])
        (whiskers,) = axes.collections
        ends = [tuple(segment[:, 0]) for segment in whiskers.get_segments()]
        assert ends == [(pytest.approx(float(row["low"])), pytest.approx(float(row["high"]))) for row in own]
        assert all(bar.get_facecolor()[:3] != (0, 0, 0) for bar in axes.patches)
    scenes = [int(row["positives"]) for row in rows if row["target"] == "scene"]
    assert scenes == sorted(scenes, reverse=True)
    labels = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert labels == [row["label"] for row in rows[:10]] == [row["label"] for row in rows[10:]]
    assert drawing.figure.axes[0].get_xlim() == drawing.figure.axes[1].get_xlim()


def test_a_label_without_a_positive_is_undefined_not_zero() -> None:
    target = np.array([[1, 0], [0, 0]], float)
    scores = by_class([np.array([[0.9, 0.3], [0.1, 0.2]])], target, np.ones((2, 2), bool), draws=0)
    panel = ClassPanel("scene", ("joy", "fear"), scores, "scenes")
    drawing = class_bars([panel], measure="average precision", definition="area", title="x", name="x")
    assert any("undefined" in text.get_text() for text in drawing.figure.axes[0].texts)
    assert drawing.rows[0][2] == 1.0
    assert list(csv.DictReader(io.StringIO(drawing.csv())))[1]["average_precision"] == ""


def test_targets_side_by_side_need_the_same_labels() -> None:
    scores = by_class([np.ones((2, 1))], np.ones((2, 1)), np.ones((2, 1), bool), draws=0)
    panels = [ClassPanel("scene", ("joy",), scores), ClassPanel("character", ("fear",), scores)]
    with pytest.raises(ValueError, match="same labels"):
        class_bars(panels, measure="x", definition="x", title="x", name="x")


def test_the_map_is_read_by_rows() -> None:
    """scared -> serious always, serious -> scared seldom: the cell of row scared and column serious is the dark one."""
    there = np.array([[True, True], [False, True], [False, True], [False, True]])
    names = ["scared", "serious"]
    drawing = co_occurrence_map(
        co_occurrence(there, there),
        names,
        names,
        row_of="the scene",
        column_of="the same scene",
        same=True,
        title="x",
        name="x",
    )
    assert drawing.rows[1] == ("scared", "serious", 1, 1, 1.0)
    assert drawing.rows[2] == ("serious", "scared", 1, 4, 0.25)
    axes = drawing.figure.axes[0]
    at = {(text.get_position()): text.get_text() for text in axes.texts}
    assert at == {(0.5, 0.5): "1", (1.5, 0.5): "100\n1", (0.5, 1.5): "25\n1", (1.5, 1.5): "4"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["scared (1)", "serious (4)"]
    assert axes.get_ylim() == (2, 0)  # the first row is on top


def test_a_confusion_shows_true_rows_and_predicted_columns() -> None:
    scores = by_class([np.eye(2)], np.array([0, 1]), np.ones(2, bool), each=class_f1, draws=0)
    panel = ClassPanel("emotion", ("joy", "fear"), scores)
    drawing = confusion_figure(np.array([[5, 3], [0, 0]]), panel, title="x", name="x")
    texts = {text.get_position(): text.get_text() for text in drawing.figure.axes[0].texts}
    assert texts == {(0.5, 0.5): "5", (1.5, 0.5): "3"}
    assert drawing.rows[1] == ("joy", "fear", 3, 3 / 8)
    assert np.isnan(drawing.rows[3][3])  # no clip is truly `fear`


def test_a_timeline_darkens_the_right_token_of_the_likeliest_labels() -> None:
    times = {"scene": np.array([0.0, 1.0, 2.0, 10.0]), "dialog": np.array([3.0])}
    weight = {"scene": np.array([[0.1, 0, 0, 0], [0, 0, 0.4, 0], [0, 0.2, 0, 0]]), "dialog": np.full((3, 1), 0.05)}
    drawing = attention_timeline(
        times, weight, ["joy", "calm", "fear"], np.array([0.1, 0.9, 0.5]), title="x", name="x", most=2,
        truth=np.array([False, True, False]),
    )  # fmt: skip
    axes = drawing.figure.axes[0]
    assert [label.get_text().strip() for label in axes.get_yticklabels()] == ["calm .90 •", "fear .50"]
    (cells,) = axes.collections
    assert cells.get_array().tolist() == [0, 0, 0.4, 0, 0, 0.2, 0, 0]
    first, third = cells.get_paths()[0].get_extents(), cells.get_paths()[2].get_extents()
    assert (first.x0, first.x1) == (0, 1) and third.x0 == 2
    assert third.x1 == pytest.approx(3.5)  # what follows at 10 s is no reason to paint seven seconds
    assert cells.get_paths()[4].get_extents().y0 == 1  # the second row
    assert [text.get_text().strip() for text in axes.texts] == ["Σ .40", "Σ .20"]
    assert drawing.rows[2] == ("scene", "calm", 0.9, 2.0, 0.4)
    assert len({axes.get_xlim() for axes in drawing.figure.axes[:2]}) == 1


def test_a_line_ends_where_somebody_else_speaks() -> None:
    times = {
        "dialog": np.array([0.0, 2.0, 4.0, 20.0]),
        "lines of Ann": np.array([0.0, 4.0]),
        "alone": np.array([0.0, 4.0]),
    }
    weight = {name: np.ones((1, len(at))) / 10 for name, at in times.items()}
    drawing = attention_timeline(
        times, weight, ["joy"], np.ones(1), title="x", name="x", beside={"lines of Ann": "dialog"}
    )
    ends = [[path.get_extents().x1 for path in axes.collections[0].get_paths()] for axes in drawing.figure.axes[:3]]
    assert ends[0] == [2, 4, 7, 22]  # typically 2 s; a pause of 16 s is not the line's
    assert ends[1] == [2, 7] and ends[2] == [4, 8]


def test_a_scene_without_any_token_is_an_error() -> None:
    with pytest.raises(ValueError, match="no stream"):
        attention_timeline(
            {"scene": np.zeros(0)}, {"scene": np.zeros((1, 0))}, ["joy"], np.ones(1), title="x", name="x"
        )


def test_many_words_are_cut_off_but_the_table_holds_them_all() -> None:
    counts = np.arange(300)
    drawing = frequency_bars(
        [f"word {k}" for k in range(300)], {"train": (counts, np.full(300, 400))}, title="x", name="x", most=20
    )
    assert len(drawing.figure.axes[0].patches) == 20
    assert drawing.figure.axes[0].patches[0].get_width() == 299 / 400
    assert len(drawing.rows) == 300 and drawing.rows[0][:3] == ("train", "word 299", 299)
    assert any("20 most frequent of 300" in text.get_text() for text in drawing.figure.texts)


def test_expressiveness_is_sorted_and_labels_without_scenes_come_last() -> None:
    drawing = expressive(4)
    values = [row[1] for row in drawing.rows]
    assert values[:3] == sorted(values[:3], reverse=True) and np.isnan(values[3])
    assert drawing.figure.axes[0].texts[3].get_text() == " no scene"
    unknown = Expressiveness(np.ones(1), np.array([np.nan]), np.array([np.nan]), np.ones(1, int), np.zeros(1, int))
    alone = expressiveness_bars(unknown, ["joy"], title="x", name="x")
    assert "No interval" in alone.figure.texts[1].get_text() and "Lines:" in drawing.figure.texts[1].get_text()


def test_colours_are_those_that_colour_blind_eyes_tell_apart() -> None:
    assert {to_hex(bar.get_facecolor()) for bar in frequencies(3).figure.axes[0].patches} == {"#0072b2", "#d55e00"}


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install merkit\[viz\]"):
        frequencies(3)
