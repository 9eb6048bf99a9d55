"""Subtitles, tracks and arrays by themselves: what the release's files hold in corners that whole trees do not reach."""

import numpy as np
import pytest

from merkit.corpora.moviegraphs.arrays import mapped_array, rows_of
from merkit.corpora.moviegraphs.clock import frame_times, length_s, offsets_s, window_times
from merkit.corpora.moviegraphs.subtitles import read_subtitles, spoken_features
from merkit.corpora.moviegraphs.tracks import columns_of, face_rows, last_frame, named_tracks
from merkit.errors import LimitError, MediaError


def said(tmp_path, text: str, codec: str = "cp1252") -> list[tuple[float, float, str]]:
    (tmp_path / "a.srt").write_bytes(text.encode(codec))
    return [(cue.start_s, cue.end_s, cue.text) for cue in read_subtitles(tmp_path / "a.srt", "a.srt")]


def cue(*lines: str, number: int = 1, at: str = "00:00:01,000 --> 00:00:03,000") -> str:
    return "\r\n".join([str(number), at, *lines, "", ""])


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        (["It’s “fine” – naïve café…"], ["It’s “fine” – naïve café…"]),
        (["(SIGHS)"], []),
        (["(SIGHS)", "Well then."], ["Well then."]),
        (["Well [door", "slams] then."], ["Well then."]),
        (["<i>Far</i> <font color='red'>away</font>"], ["Far away"]),
        (["# La la la #"], ["La la la"]),
        (["â™ª La la â™ª"], ["La la"]),
        (["Two lines", "of one."], ["Two lines of one."]),
        (["- Yes?", "- No."], ["Yes?", "No."]),
        (["-(GASPS) Yes?", "-[low] No."], ["Yes?", "No."]),
        (["- (GASPS)", "- No."], ["No."]),
        (["- Alone."], ["Alone."]),
        (["(SIGHS) -"], []),
        (["We are #1 (once"], ["We are #1 (once"]),
    ],
)
def test_what_is_said_and_not_what_is_heard(tmp_path, lines, texts) -> None:
    got = said(tmp_path, cue(*lines))
    assert [text for *_, text in got] == texts
    if texts:
        assert (got[0][0], got[-1][1]) == (1.0, 3.0)


def test_two_speakers_share_the_time_by_length(tmp_path) -> None:
    (first, second) = said(tmp_path, cue("- Yes", "- Nothing"))
    assert first[1] == second[0] == pytest.approx(1 + 2 * 3 / 10)


def test_a_bracket_that_never_closes_eats_no_other_cue(tmp_path) -> None:
    text = cue("Open (never") + cue("closed) here", number=2, at="00:00:04,000 --> 00:00:05,000")
    assert [t for *_, t in said(tmp_path, text)] == ["Open (never", "closed) here"]


@pytest.mark.parametrize("codec", ["cp1252", "utf-8", "utf-8-sig"])
def test_either_coding(tmp_path, codec) -> None:
    assert said(tmp_path, cue("Déjà vu?"), codec)[0][2] == "Déjà vu?"


def test_notes_of_a_utf_8_file_and_bytes_of_no_coding(tmp_path) -> None:
    assert said(tmp_path, cue("♪ Déjà vu ♪"), "utf-8")[0][2] == "Déjà vu"
    (tmp_path / "a.srt").write_bytes(cue("x").encode().replace(b"x", b"caf\xe9 \x81"))
    assert read_subtitles(tmp_path / "a.srt", "a.srt")[0].text == "café �"


def test_subtitles_that_are_none(tmp_path) -> None:
    assert said(tmp_path, "") == []
    with pytest.raises(MediaError, match=r"a\.srt: no line with a start"):
        said(tmp_path, "no subtitles at all")
    with pytest.raises(MediaError, match=r"a\.srt, line 2: the cue ends"):
        said(tmp_path, cue("back", at="00:00:05,000 --> 00:00:03,000"))
    (tmp_path / "a.srt").write_bytes(b"x" * (4 << 20) + b"x")
    with pytest.raises(LimitError, match="bytes of words"):
        read_subtitles(tmp_path / "a.srt", "a.srt")
    with pytest.raises(MediaError, match="not a regular file"):
        read_subtitles(tmp_path, "a.srt")


def test_one_token_for_all_words_has_no_time(tmp_path) -> None:
    x = np.ones((1, 4), np.float32)
    got, times = spoken_features([[], x], 4, "a.pkl")
    assert (got.tolist(), times) == ([[1] * 4], None)
    with pytest.raises(MediaError, match="0 times for 2 utterances"):
        spoken_features([[], np.ones((2, 4))], 4, "a.pkl")


def test_faces_keep_the_order_of_their_features() -> None:
    """Frames need not be sorted, and some have no face."""

    def row(frame: int, track: int) -> list[float]:
        return [0, 0, 1, 1, 0.9, frame, 0, track]

    tracks = {6: np.array([row(6, 2), row(6, 1)]), 5: np.zeros((0, 8)), 2: np.array([row(2, 3)]), 9: []}
    faces = face_rows(tracks, "a.pkl")
    assert (faces.frame.tolist(), faces.track.tolist()) == ([6, 6, 2], [2, 1, 3])
    assert len(face_rows({}, "a.pkl")) == 0
    assert last_frame({3: 0}, tracks) == 9


@pytest.mark.parametrize(
    ("tracks", "reason"),
    [
        ([], "is no dict"),
        ({1: np.zeros((1, 7))}, r"frame 1: has shape \(1, 7\)"),
        ({1: np.zeros(8)}, r"has shape \(8,\)"),
        ({1: "faces"}, "is no array"),
        ({1: np.full((1, 8), np.nan)}, "frame or track numbers are none"),
        ({1: np.full((1, 8), -1.0)}, "frame or track numbers are none"),
        ({1: np.full((1, 8), 1e12)}, "frame or track numbers are none"),
    ],
)
def test_tracks_that_are_none(tracks, reason) -> None:
    with pytest.raises(MediaError, match=reason):
        face_rows(tracks, "a.pkl")


def test_a_name_is_above_the_threshold_and_not_at_it() -> None:
    prob = np.array([[0.5, 0.51], [0.6, 0.4], [0.4, 0.6]])
    assert named_tracks(prob, {"Ann": 0, "Bob": 1}, 0.5, "a.npy") == {"Ann": [2], "Bob": [1, 3]}
    assert named_tracks(prob, {"Ann": 0, "Bob": 1}, 0.35, "a.npy") == {"Ann": [1, 2, 3], "Bob": [1, 2, 3]}
    with pytest.raises(MediaError, match=r"has 2 columns for 4 names"):
        named_tracks(prob, {"Ann": 3}, 0.5, "a.npy")


@pytest.mark.parametrize("metadata", [[], {"Ann": -1}, {"Ann": "0"}, {0: 0}, {"Ann": 0.5}, {"Ann": True}])
def test_names_that_are_none(metadata) -> None:
    with pytest.raises(MediaError, match="is no dict of names and their columns"):
        columns_of(metadata, "a.pkl")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<f2", "|u1"])
def test_arrays_of_any_order_and_kind(tmp_path, order, kind) -> None:
    x = np.asarray(np.arange(12).reshape(4, 3), kind, order=order)
    np.save(tmp_path / "a.npy", x)
    got = mapped_array(tmp_path / "a.npy", "a.npy", 3)
    assert np.array_equal(got, x)
    assert rows_of(tmp_path / "a.npy", "a.npy", 3) == 4


def test_empty_and_endless_arrays(tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 768)))
    assert mapped_array(tmp_path / "a.npy", "a.npy", 768).shape == (0, 768)
    with (tmp_path / "b.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 768)})
    with pytest.raises(LimitError, match=r"b\.npy, header: 1000000000 rows"):
        mapped_array(tmp_path / "b.npy", "b.npy", 768)


def test_what_says_how_long_a_clip_is() -> None:
    fps = 24000 / 1001
    assert length_s(100, 7, 98, 3.0) == pytest.approx(100 / fps)
    assert length_s(None, 7, 98, 3.0) == pytest.approx(112 / fps)
    assert length_s(None, None, 98, 3.0) == pytest.approx(99 / fps)
    assert length_s(None, None, -1, 3.0) == 3.0
    assert length_s(0, 0, -1, 0.0) == 0.0
    assert offsets_s([1.0, 2.5, 4.0]) == [0.0, 1.0, 3.5]
    # windows of 32 frames, 16 apart: the first is middled on frame 16
    assert window_times(3, 10.0) == pytest.approx([10 + n / fps for n in (16, 32, 48)])
    assert frame_times(np.array([17_500]), 0.0)[0] == pytest.approx(729.896, abs=1e-3)
