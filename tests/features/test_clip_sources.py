"""Spans of longer files, words without a file, pictures, sound alone: what a clip names is what is read, and no more."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made import write_clip
from PIL import Image
from test_clip import Follower, Speech, Voice, tools

from merkit.errors import LimitError, MediaError
from merkit.features import extract_clip, input_sha256
from merkit.features.still import probe_still, read_still
from merkit.media import Limits
from merkit.perception import FollowedFaces, FollowedPersons, SpeechSpan
from merkit.schema import Clip, Person, Stream


class Watcher(Follower):
    """Fake: one face per frame, of one person; the crop's red value is the picture's, so that it tells the file's time."""

    def update(self, frames, times_s) -> FollowedFaces:
        k = len(times_s)
        crops = frames[:, :8, :8].copy()
        return FollowedFaces(times_s, np.zeros(k, int), np.zeros((k, 4)), np.ones(k), np.zeros((k, 5, 2)), crops)

    def finish(self) -> FollowedPersons:
        return FollowedPersons(
            (Person("person_1", np.zeros(1), np.zeros((1, 4)), np.ones(1)),), {0: "person_1"}, (), ()
        )


class Listener(Voice):
    """Fake: all that it is fed is one span of speech."""

    def feed(self, samples, start_s):
        if not len(self.samples):
            self.start_s = start_s
        return super().feed(samples, start_s)

    def finish(self):
        return [SpeechSpan(self.start_s, self.start_s + len(self.samples) / 16_000, self.samples)]


class Waves(Speech):
    """Fake: the waveform itself, thinned."""

    def __call__(self, waves):
        return [np.abs(wave).reshape(-1, 160).max(1)[:, None] for wave in (w[: len(w) // 160 * 160] for w in waves)]


WATCHING = tools(faces=Watcher, voice=Listener, speech=Waves(), recogniser=None)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """10 s: red is 20 times the second; silent but for a tone from 4 s to 6 s."""
    at = np.arange(160_000) / 16_000
    wave = (0.5 * np.sin(2 * np.pi * 300 * at) * ((at >= 4) & (at < 6))).astype(np.float32)
    return write_clip(
        tmp_path_factory.mktemp("film") / "film.mp4", seconds=10.0, rate=16_000, wave=wave,
        colour=lambda time_s: (int(20 * time_s), 100, 100),
    )  # fmt: skip


def spanned(film: Path, start_s: float, end_s: float, **more) -> Clip:
    return replace(Clip.from_files(film, **more), span=(start_s, end_s))


@pytest.mark.parametrize("span", [(4.0, 6.0), (0.0, 1.0), (6.1, 9.3), (4.37, 4.61), (8.5, 14.0)])
def test_a_span_is_the_stretch_and_nothing_else(film, span) -> None:
    found = extract_clip(spanned(film, *span), WATCHING)
    length_s = min(span[1], 10.0) - span[0]
    assert found.duration_s == pytest.approx(length_s, abs=0.1)
    faces = found.tokens["face", "person_1"]
    # every frame of the file's own grid that lies in the span, at its time on the clip's clock
    assert len(faces) >= int(length_s * 3)
    np.testing.assert_allclose(faces.x[:, 0] / 20, faces.start_s + span[0], atol=0.12)
    assert faces.start_s.min() >= 0
    assert faces.end_s.max() <= found.duration_s
    if length_s < 0.3:
        return  # too short to be an utterance
    speech = found.tokens["speech", None]
    # sound is coded in blocks: that of the file goes on a little after its last picture
    assert speech.end_s.max() <= found.duration_s + (0.06 if span[1] > 10 else 1e-9)
    loud = speech.x[:, 0] > 0.2
    times_s = speech.start_s + span[0]
    inside = (times_s >= 4.02) & (times_s < 5.97)
    outside = (times_s < 3.97) | (times_s > 6.03)
    assert loud[inside].all()
    assert not loud[outside].any()


def test_two_spans_that_meet_lose_and_share_nothing(film) -> None:
    whole = extract_clip(spanned(film, 0.0, 10.0), WATCHING)
    halves = [extract_clip(spanned(film, a, b), WATCHING) for a, b in ((0.0, 4.9), (4.9, 10.0))]
    face = [half.tokens["face", "person_1"] for half in halves]
    np.testing.assert_array_equal(np.concatenate([f.x for f in face]), whole.tokens["face", "person_1"].x)
    np.testing.assert_allclose(
        np.concatenate([face[0].start_s, face[1].start_s + 4.9]), whole.tokens["face", "person_1"].start_s
    )
    heard = sum(len(half.tokens["speech", None]) for half in halves)
    assert heard == len(whole.tokens["speech", None])


def test_a_span_that_is_over_ends_the_reading(film, monkeypatch) -> None:
    from merkit.features import sources

    reached = []
    read_clip = sources.read_clip

    def watched(*args, **options):
        for chunk in read_clip(*args, **options):
            times_s = getattr(chunk, "times_s", None)
            reached.append(times_s[-1] if times_s is not None else getattr(chunk, "start_s", 99.0))
            yield chunk

    monkeypatch.setattr(sources, "read_clip", watched)
    extract_clip(spanned(film, 1.0, 2.0), WATCHING)
    assert max(reached) < 6.0


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ((2.0, 2.0), "ends after that, not 2 to 2 s"),
        ((-1.0, 2.0), "not -1 to 2 s"),
        ((3.0, float("inf")), "not 3 to inf s"),
        ((float("nan"), 2.0), "not nan to 2 s"),
        ((12.0, 14.0), r"film\.mp4, span: the clip begins at 12\.00 s, but the file ends at 10\.\d+ s"),
    ],
)
def test_a_span_that_is_none_is_an_error_of_that_clip(film, span, message) -> None:
    with pytest.raises(MediaError, match=message):
        extract_clip(spanned(film, *span), WATCHING)


def test_subtitles_and_signals_are_cut_to_the_span(film, tmp_path) -> None:
    lines = [(0.5, 1.5, "before"), (1.6, 2.8, "mostly inside"), (3.0, 3.5, "within"), (3.9, 5.0, "mostly after")]
    (tmp_path / "a.csv").write_text("start_s,end_s,text\n" + "".join(f"{a},{b},{t}\n" for a, b, t in lines))
    (tmp_path / "b.csv").write_text("time_s,eda\n" + "".join(f"{t / 4},{t / 4}\n" for t in range(400)))
    clip = spanned(film, 2.0, 4.0, subtitles=tmp_path / "a.csv", physio=tmp_path / "b.csv")
    found = extract_clip(clip, WATCHING)
    said = [(s.text, round(s.start_s, 6), round(s.end_s, 6)) for s in found.segments if s.text]
    assert said == [("mostly inside", 0.0, 0.8), ("within", 1.0, 1.5)]
    (eda,) = found.signals
    np.testing.assert_allclose(eda.values, np.arange(2.0, 4.0, 0.25))
    np.testing.assert_allclose(eda.times_s, np.arange(0.0, 2.0, 0.25))
    late = replace(clip, span=(6.0, 8.0))
    reasons = {row.modality: row.reason for row in extract_clip(late, WATCHING).presence}
    assert reasons["text"] == "the subtitle file has no lines in this span"


def test_a_table_of_many_spans_is_read_once(tmp_path, monkeypatch) -> None:
    from merkit.features import sources

    path = tmp_path / "wrist.csv"
    path.write_text("time_s,eda\n" + "".join(f"{t / 4},{t}\n" for t in range(400)))
    read = []
    read_physiology = sources.read_physiology
    monkeypatch.setattr(sources, "read_physiology", lambda path: read.append(path) or read_physiology(path))
    clips = [replace(Clip.from_files(physio=path), span=(a, a + 5.0)) for a in (0.0, 10.0, 20.0)]
    first = [float(extract_clip(clip, WATCHING).signals[0].values[0]) for clip in clips]
    assert (first, read) == ([0.0, 40.0, 80.0], [path])
    path.write_text("time_s,eda\n" + "".join(f"{t / 4},{-t - 1}\n" for t in range(300)))
    assert extract_clip(clips[0], WATCHING).signals[0].values[0] == -1.0  # another file under the same name


def test_a_late_table_lies_where_the_clip_says(tmp_path) -> None:
    (tmp_path / "b.csv").write_text("time_s,eda\n" + "".join(f"{t / 4},{t / 4}\n" for t in range(40)))
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    streams = (
        Stream("physiology", tmp_path / "b.csv", start_s=1.5), Stream("text", tmp_path / "a.srt", start_s=1.5),
    )  # fmt: skip
    found = extract_clip(Clip("a", streams), WATCHING)
    np.testing.assert_allclose(found.signals[0].times_s, 1.5 + np.arange(40) / 4)
    assert [(s.start_s, s.end_s) for s in found.segments] == [(1.5, 2.5)]


def test_words_without_a_file_are_one_segment_over_the_clip(film) -> None:
    words = Stream("text", None, text="what she said there")
    clip = spanned(film, 3.0, 7.0)
    found = extract_clip(replace(clip, streams=(*clip.streams, words)), WATCHING)
    assert [(s.text, s.start_s, s.end_s, s.source, s.person) for s in found.segments] == [
        ("what she said there", 0.0, 4.0, "transcript", "person_1")
    ]
    assert len(found.tokens["text", None]) == 4
    assert set(found.segment_of["speech"]) == {0}  # the voice belongs to the words
    assert len(found.tokens["speech", None]) == 400


def test_words_alone_are_a_clip() -> None:
    found = extract_clip(Clip("a", (Stream("text", None, text="Hello there"),)), WATCHING)
    assert (found.duration_s, found.info) == (0.0, None)
    assert found.tokens["text", None].x[:, 0].tolist() == [5, 5]
    assert {row.modality: row.coverage for row in found.presence if row.present} == {"text": 1.0}
    timed = extract_clip(Clip("a", (Stream("text", None, text="Hello there"),), span=(5.0, 7.0)), WATCHING)
    assert timed.tokens["text", None].end_s.tolist() == [1.0, 2.0]
    empty = extract_clip(Clip("a", (Stream("text", None, text="  "),)), WATCHING)
    assert not empty.tokens
    assert [row.reason for row in empty.presence if row.modality == "text"] == ["the text is empty"]


def test_only_what_the_clip_names_is_read(film) -> None:
    heard = extract_clip(Clip("a", (Stream("speech", film),)), WATCHING)
    assert {modality for modality, _ in heard.tokens} == {"speech"}
    seen = extract_clip(Clip("a", (Stream("face", film),)), tools(faces=Watcher))
    assert {modality for modality, _ in seen.tokens} == {"face"}
    reasons = {row.modality: row.reason for row in seen.presence}
    assert reasons["speech"] == "the clip names no speech stream"
    assert reasons["text"] == "the clip names no text stream, and no speech stream to transcribe"


def test_words_that_nobody_transcribes_are_absent_for_that_reason(film) -> None:
    reasons = {row.modality: row.reason for row in extract_clip(Clip.from_files(film), WATCHING).presence}
    assert reasons["text"] == "the clip brings no words, and none are to be transcribed"


def test_pictures_and_sound_may_lie_in_two_files(film, tmp_path) -> None:
    at = np.arange(8_000 * 3) / 8_000
    soundfile.write(tmp_path / "voice.wav", 0.5 * np.sin(2 * np.pi * 300 * at) * (at >= 1), 8_000)
    clip = Clip("a", (Stream("face", film), Stream("speech", tmp_path / "voice.wav", start_s=5.0)), span=(5.5, 7.0))
    found = extract_clip(clip, WATCHING)
    np.testing.assert_allclose(
        found.tokens["face", "person_1"].x[:, 0] / 20, found.tokens["face", "person_1"].start_s + 5.5, atol=0.12
    )
    speech = found.tokens["speech", None]
    assert len(speech) == 150
    np.testing.assert_allclose(speech.start_s[speech.x[:, 0] > 0.2].min(), 0.5, atol=0.02)
    assert found.info.audio.rate_hz == 8_000


def test_sound_alone_is_a_clip(tmp_path) -> None:
    soundfile.write(tmp_path / "voice.wav", np.full(32_000, 0.25, np.float32), 16_000)
    found = extract_clip(Clip.from_files(tmp_path / "voice.wav"), WATCHING)
    assert found.duration_s == pytest.approx(2.0)
    assert len(found.tokens["speech", None]) == 200
    assert {row.modality: row.reason for row in found.presence}["face"] == "the file has no video stream"


@pytest.mark.parametrize(("suffix", "mode"), [("png", "L"), ("PNG", "RGBA"), ("jpg", "RGB"), ("jpeg", "L")])
def test_a_picture_is_a_clip_of_one_frame(tmp_path, suffix, mode) -> None:
    path = tmp_path / f"face.{suffix}"
    Image.new("RGB", (48, 32), (90, 90, 90)).convert(mode).save(path)
    found = extract_clip(Clip.from_files(path), WATCHING)
    faces = found.tokens["face", "person_1"]
    assert faces.x.tolist() == [[90.0]]
    assert (faces.start_s[0], faces.end_s[0], found.duration_s) == (0.0, pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert found.picture == (48, 32)
    assert {row.modality: row.reason for row in found.presence}["speech"] == "the file has no audio stream"


def test_a_picture_is_upright(tmp_path) -> None:
    picture = Image.fromarray(np.repeat(np.arange(48, dtype=np.uint8)[None] * 5, 32, 0))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    picture.save(tmp_path / "phone.png", exif=exif)
    frame = read_still(tmp_path / "phone.png").frames[0]
    assert frame.shape == (48, 32, 3)
    assert (frame[0] == 0).all()
    assert (frame[-1] == 235).all()


def test_a_picture_that_is_none_is_an_error(tmp_path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not a picture")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.bmp")
    (tmp_path / "a.bmp").rename(tmp_path / "bmp.png")
    Image.effect_noise((64, 64), 50).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    for name, message in (
        ("gone.png", "no such file"), ("empty.png", "the file is empty"), ("text.png", "not readable as PNG or JPEG"),
        ("bmp.png", "not readable as PNG or JPEG"), ("cut.jpg", "damaged"),
    ):  # fmt: skip
        with pytest.raises(MediaError, match=rf"{name}: .*{message}"):
            extract_clip(Clip.from_files(tmp_path / name), WATCHING)
    with pytest.raises(LimitError, match="64x64 pixels; the limit is 1000 pixels"):
        probe_still(tmp_path / "whole.jpg", Limits(max_pixels=1000))


def test_the_key_follows_words_and_span(film) -> None:
    words = Clip("a", (Stream("text", None, text="yes"),))
    hashes = {
        input_sha256(clip)
        for clip in (
            words, replace(words, streams=(Stream("text", None, text="no"),)), replace(words, span=(0.0, 1.0)),
            Clip.from_files(film), spanned(film, 0.0, 1.0), spanned(film, 0.0, 2.0),
        )
    }  # fmt: skip
    assert len(hashes) == 6
    assert input_sha256(spanned(film, 0, 2)) == input_sha256(spanned(film, 0.0, 2.0))
    # what stores out there were keyed by before spans were known
    assert input_sha256(words) == "39370229f9bad959cc77934706008db500116de78a278b2f3761cfc5ca01e8a2"


def test_a_file_of_many_spans_is_read_once(film, monkeypatch) -> None:
    known: dict[Path, str] = {}
    first = input_sha256(spanned(film, 0.0, 1.0), known)
    assert known.keys() == {film}
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("read again"))
    assert input_sha256(spanned(film, 1.0, 2.0), known) != first
