"""From tokens to a timeline: windows, persons, lines, and the JSON that leaves the house."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from merkit.features import ClipFeatures
from merkit.inference import build_timeline, window_grid
from merkit.labels import EKMAN7
from merkit.media import Signal
from merkit.schema import Clip, Person, Presence, Segment, TokenSequence

JOY, SAD = EKMAN7.index("joy"), EKMAN7.index("sadness")


class Head:
    """Fake head: a token's first number is the index of the label it is sure of."""

    def __init__(self, skill: float = 0.5) -> None:
        self.skill = skill

    def __call__(self, sequences):
        prob = np.full((len(sequences), 7), 0.02)
        for row, tokens in enumerate(sequences):
            prob[row, int(np.asarray(tokens).reshape(-1)[0])] = 0.88
        log_prob = np.log(prob)
        return SimpleNamespace(log_prob=log_prob, members=np.repeat(log_prob[:, None], 3, 1))


def features(**changes) -> ClipFeatures:
    times_s = np.arange(12) / 3
    person = Person("person_1", times_s, np.zeros((12, 4)), np.ones(12))
    facts = {
        "clip": Clip.from_files("talk.mp4"),
        "duration_s": 6.0,
        "info": None,
        "picture": None,
        "tokens": {
            ("face", "person_1"): TokenSequence(np.full((12, 1), JOY, np.float32), times_s, times_s + 1 / 3),
            ("text", None): TokenSequence(
                np.array([[JOY], [JOY], [SAD]], np.float32), np.array([0.0, 1, 4.5]), np.array([1.0, 2, 5.5])
            ),
        },
        "segment_of": {"text": np.array([0, 0, 1])},
        "persons": (person,),
        "segments": (Segment(0.0, 2.0, "good", "person_1", "subtitles"), Segment(4.5, 5.5, "bad", None, "subtitles")),
        "shots_s": (4.0,),
        "signals": (Signal("eda", "µS", np.arange(5000.0), np.arange(5000) / 4, 4.0),),
        "presence": (Presence("face", True), Presence("text", True), Presence("physiology", True)),
        "warnings": (),
        "extractor_ids": {},
    }  # fmt: skip
    return ClipFeatures(**(facts | changes))


def timeline(found: ClipFeatures, **options):
    settings = {"window_s": 2.0, "hop_s": 1.0} | options
    return build_timeline(
        found, {"face": Head(), "text": Head()}, clip={"id": "talk"}, model={}, settings={}, notice="notice", **settings
    )


def test_windows_cover_the_clip_and_each_person_only_where_seen() -> None:
    made = timeline(features())
    whole = [w for w in made.windows if w.person is None]
    assert [w.start_s for w in whole] == [0, 1, 2, 3, 4]
    person = [w for w in made.windows if w.person == "person_1"]
    assert [w.start_s for w in person] == [0, 1, 2, 3]  # last seen at 4.0 s
    assert all(w.fused is not None and w.fused.sum() == pytest.approx(1.0) for w in made.windows)
    assert whole[0].fused.argmax() == JOY
    assert whole[4].fused.argmax() == SAD
    assert set(whole[2].prob) == {"face"}


def test_contributions_and_bands_are_there_and_sum_up() -> None:
    for window in timeline(features()).windows:
        assert sum(window.contribution.values()) == pytest.approx(1.0)
        assert (window.low <= window.fused + 1e-9).all()
        assert (window.high >= window.fused - 1e-9).all()


def test_lines_carry_their_own_probabilities() -> None:
    first, second = timeline(features()).segments
    assert first.prob["fused"].argmax() == JOY
    assert second.prob["fused"].argmax() == SAD
    assert set(second.prob) == {"text", "fused"}  # nobody was seen then


def test_what_a_person_says_counts_for_that_person_only_where_linked() -> None:
    made = timeline(features())
    windows = {w.start_s: w for w in made.windows if w.person == "person_1"}
    assert set(windows[0.0].prob) == {"face", "text"}
    assert set(windows[3.0].prob) == {"face"}  # the second line is nobody's


def test_a_clip_with_nothing_in_it_still_has_windows_and_says_nothing() -> None:
    made = timeline(features(tokens={}, segment_of={}, persons=(), segments=()))
    assert len(made.windows) == 5
    assert all(w.fused is None and not w.prob for w in made.windows)
    json.loads(made.to_json())


def test_a_modality_without_a_head_is_shown_and_not_judged() -> None:
    made = timeline(features())
    reasons = {row.modality: row.reason for row in made.presence}
    assert "not judged" in reasons["physiology"]
    assert len(made.traces[0].values) <= 2000
    assert made.traces[0].values[[0, -1]].tolist() == [0.0, 4999.0]


def test_ten_minutes_of_ecg_are_drawn_with_every_beat() -> None:
    """A beat every 0.8 s, each of a height of its own: every one is in the trace at its time, and so is the line below."""
    times_s = np.arange(600 * 250) / 250
    beats = np.arange(100, len(times_s), 200)
    values = 0.01 * np.sin(times_s)
    values[beats] += 1.0 + np.arange(len(beats)) / 1000
    (trace,) = timeline(features(signals=(Signal("ecg", "mV", values, times_s, 250.0),))).traces
    assert len(trace.values) <= 2000 and np.all(np.diff(trace.times_s) > 0)
    drawn = np.isin(times_s[beats], trace.times_s[trace.values > 0.9])
    assert drawn.mean() > 0.99
    assert trace.times_s[[0, -1]].tolist() == times_s[[0, -1]].tolist()
    assert set(trace.values) <= set(values) and (trace.values < 0.02).mean() > 0.4
    few = timeline(features(signals=(Signal("ibi", "s", np.arange(3.0), np.arange(3.0), None),))).traces[0]
    assert few.values.tolist() == [0, 1, 2]


def test_the_json_is_plain_and_complete() -> None:
    data = json.loads(timeline(features()).to_json())
    assert data["schema_version"] == "1"
    assert data["labels"] == list(EKMAN7.labels)
    assert data["windows"][0]["contribution"].keys() == {"face", "text"}
    assert "thumbnails" not in data["persons"][0]


@pytest.mark.parametrize(("duration_s", "count"), [(0.5, 1), (2.0, 1), (2.1, 2), (60.0, 59)])
def test_the_grid_ends_with_the_clip(duration_s: float, count: int) -> None:
    start_s, end_s = window_grid(duration_s, 2.0, 1.0)
    assert len(start_s) == count
    assert end_s[-1] == duration_s
    assert (end_s > start_s).all()


@pytest.mark.parametrize(
    ("duration_s", "expected"), [(1.5, [(0, 1)]), (3.0, [(0, 1)]), (3.5, [(0, 1), (3, 3.5)]), (0.0, [(0, 0)])]
)
def test_a_gap_at_the_end_of_the_clip_is_no_window(duration_s: float, expected: list) -> None:
    assert list(zip(*map(np.ndarray.tolist, window_grid(duration_s, 1.0, 3.0)), strict=True)) == expected
