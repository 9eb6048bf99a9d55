"""What the page is given: unpacked with numpy as the script unpacks it, it is the timeline again."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from merkit.report.payload import ABSENT, SCALE, THUMBNAIL_BUDGET_BYTES, cell_edges, report_data
from merkit.schema import Window

from .sample import K, sample_timeline


def unpack(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_series_hold_the_windows() -> None:
    timeline = sample_timeline(12.0)
    for entity in report_data(timeline, None)["entities"]:
        windows = [w for w in timeline.windows if w.person == entity["id"] and w.fused is not None]
        assert np.allclose(unpack(entity["start"], "<u4") / 1000, [w.start_s for w in windows], atol=6e-4)
        for name in ("fused", "low", "high"):
            got = unpack(entity[name], "<u2").reshape(-1, K) / SCALE
            assert np.abs(got - [getattr(w, name) for w in windows]).max() <= 0.51 / SCALE
        for modality, packed in entity["prob"].items():
            got = unpack(packed, "<u2").reshape(-1, K)
            share = unpack(entity["share"][modality], "<u2")
            for row, part, window in zip(got, share, windows, strict=True):
                if modality in window.prob:
                    assert np.abs(row / SCALE - window.prob[modality]).max() <= 0.51 / SCALE
                    assert part / SCALE == pytest.approx(window.contribution[modality], abs=1e-4)
                else:
                    assert (row == ABSENT).all() and part == ABSENT


def test_cells_cover_what_windows_cover_and_never_overlap() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        start = np.cumsum(rng.uniform(0.1, 3.0, 20))
        end = start + rng.uniform(0.5, 2.0)
        low, high = cell_edges(start, end)
        assert (low[1:] >= high[:-1] - 1e-3).all()
        assert (low >= start).all() and (high <= end).all() and (low < high).all()
        for t in rng.uniform(start[0], end[-1], 100):
            covered = ((start <= t) & (t <= end)).any()
            cells = ((low <= t) & (t <= high)).sum()
            assert bool(cells) == covered
            if cells == 1:
                centre = (start + end) / 2
                assert abs(centre[(low <= t) & (t <= high)][0] - t) == pytest.approx(np.abs(centre - t).min())


def test_an_empty_window_keeps_its_neighbours_off_its_cell() -> None:
    prob = np.full(K, 1 / K)
    rows = [Window(float(i), i + 2.0, None, {"face": prob}, prob, prob, prob, {"face": 1.0}) for i in range(3)]
    rows[1] = Window(1.0, 3.0, None, {}, None, None, None, {})
    timeline = replace(sample_timeline(4.0, persons=0, words=()), windows=tuple(rows))
    entity = report_data(timeline, None)["entities"][0]
    assert (unpack(entity["lo"], "<u4") / 1000).tolist() == [0.0, 2.5]
    assert (unpack(entity["hi"], "<u4") / 1000).tolist() == [1.5, 4.0]


def test_boxes_and_traces_come_through() -> None:
    timeline = sample_timeline(12.0, signals=True)
    data = report_data(timeline, None)
    for packed, person in zip(data["persons"], timeline.persons, strict=True):
        assert np.abs(unpack(packed["box"], "<u2").reshape(-1, 4) / SCALE - person.boxes).max() <= 0.51 / SCALE
        assert np.allclose(unpack(packed["t"], "<u4") / 1000, person.times_s, atol=6e-4)
    for packed, trace in zip(data["traces"], timeline.traces, strict=True):
        assert np.array_equal(unpack(packed["v"], "<f4"), trace.values.astype("f4"), equal_nan=True)


def test_many_faces_are_thinned_to_the_budget_and_spread_over_time() -> None:
    timeline = sample_timeline(12.0)
    crowd = tuple(
        replace(timeline.persons[0], id=f"person_{n}", thumbnails=tuple((float(t), bytes(4000)) for t in range(12)))
        for n in range(1, 201)
    )
    kept = report_data(replace(timeline, persons=crowd), None)["persons"]
    sizes = [len(base64.b64decode(face[1].partition(",")[2])) for person in kept for face in person["faces"]]
    assert 0.5 * THUMBNAIL_BUDGET_BYTES < sum(sizes) <= THUMBNAIL_BUDGET_BYTES
    assert {tuple(face[0] for face in person["faces"]) for person in kept} == {(0.0, 6.0, 11.0)} or all(
        person["faces"][0][0] == 0.0 and person["faces"][-1][0] == 11.0 for person in kept
    )


def test_a_vector_of_the_wrong_length_is_refused() -> None:
    timeline = sample_timeline(4.0)
    wrong = replace(timeline.windows[0], fused=np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="7 labels"):
        report_data(replace(timeline, windows=(wrong,)), None)


@pytest.mark.parametrize(
    ("clip", "player"), [({"kind": "text"}, "none"), ({"kind": "audio"}, "audio"), ({"width": 640}, "video")]
)
def test_the_player_fits_the_clip(clip: dict, player: str) -> None:
    timeline = replace(sample_timeline(4.0), clip={"id": "x", "duration_s": 4.0, **clip})
    assert report_data(timeline, None)["player"] == player
