"""One pass over a clip: everybody gets their share, absence has a reason, and training sees what analysis sees."""

import numpy as np
import pytest
from made import write_clip

from merkit.errors import MediaError
from merkit.features import EXTRACTORS, ClipFeatures, PhysiologyExtractor, Tools, extract_clip
from merkit.perception import FollowedFaces, FollowedPersons, SpeechSpan
from merkit.schema import Clip, Person


class Follower:
    """Fake: one face per frame, on track 0 before 1.5 s and on track 1 after; track 9 is a false alarm at 0 s."""

    def __init__(self) -> None:
        self.times_s: list[float] = []

    def update(self, frames, times_s) -> FollowedFaces:
        self.times_s += times_s.tolist()
        track = np.where(times_s < 1.5, 0, 1)
        times_s = np.concatenate([times_s, times_s[:1]])
        track = np.append(track, 9)
        k = len(track)
        crops = np.zeros((k, 8, 8, 3), np.uint8)
        crops[:, :, :, 0] = np.round(times_s * 10)[:, None, None]
        return FollowedFaces(times_s, track, np.zeros((k, 4)), np.ones(k), np.zeros((k, 5, 2)), crops)

    def finish(self) -> FollowedPersons:
        persons = tuple(Person(f"person_{i}", np.zeros(1), np.zeros((1, 4)), np.ones(1)) for i in (1, 2))
        return FollowedPersons(persons, {0: "person_1", 1: "person_2"}, (), (1.5,))


class Face:
    """Fake: the crop's red value, so that tokens can be traced back to their frame."""

    id, width = "face@fake", 1

    def __call__(self, crops):
        return crops[:, 0, 0, :1].astype(np.float32)


class Voice:
    """Fake: everything from 0.2 to 1.2 s is speech."""

    def __init__(self) -> None:
        self.samples = np.zeros(0, np.float32)

    def feed(self, samples, start_s):
        self.samples = np.concatenate([self.samples, samples])
        return []

    def finish(self):
        return [SpeechSpan(0.2, 1.2, self.samples[3_200:19_200])]


class Speech:
    """Fake: the waveform's length and loudness."""

    id, width = "speech@fake", 2

    def __call__(self, waves):
        return [np.array([[len(w), np.abs(w).max()]], np.float32) for w in waves]


class Text:
    """Fake: one token a word, its length."""

    id, width = "text@fake", 1

    def __call__(self, texts):
        return [np.array([[len(word)] for word in text.split()], np.float32) for text in texts]


class Scribe:
    name = "scribe"

    def transcribe(self, waves):
        from merkit.media import Cue

        return [[Cue(0.0, 1.0, "hello there you")] for _ in waves]


def tools(**without) -> Tools:
    everything = {
        "faces": Follower, "face": Face(), "voice": Voice, "speech": Speech(), "recogniser": Scribe(), "text": Text(),
        "physiology": PhysiologyExtractor(),
    }  # fmt: skip
    return Tools(**(everything | without))


@pytest.fixture
def clip_path(tmp_path):
    return write_clip(tmp_path / "talk.mp4", seconds=3.0)


def presence(features: ClipFeatures) -> dict[str, str | None]:
    return {row.modality: row.reason if not row.present else "there" for row in features.presence}


def test_every_tool_gets_its_share(clip_path) -> None:
    found = extract_clip(Clip.from_files(clip_path), tools())
    assert found.duration_s == pytest.approx(3.0, abs=0.1)
    first, second = found.tokens["face", "person_1"], found.tokens["face", "person_2"]
    np.testing.assert_allclose(first.x[:, 0] / 10, first.start_s, atol=0.06)  # each token lies at its frame's time
    assert first.start_s.max() < 1.5 <= second.start_s.min()
    assert len(first) + len(second) == 9  # the false alarm is nobody's
    (segment,) = found.segments
    assert (segment.text, segment.source) == ("hello there you", "scribe")
    np.testing.assert_allclose(found.tokens["text", None].x[:, 0], [5, 5, 3])
    np.testing.assert_allclose(found.tokens["text", None].start_s, 0.2 + np.array([0, 1, 2]) / 3)
    np.testing.assert_allclose(found.tokens["speech", None].x, [[16_000, 0.4]], atol=0.05)
    assert found.segment_of["text"].tolist() == [0, 0, 0]
    assert presence(found) == {
        "face": "there", "speech": "there", "text": "there", "scene": "not asked for",
        "physiology": "no physiology table was given",
    }  # fmt: skip


def test_the_speaker_is_named_only_where_one_face_is_seen_throughout(tmp_path) -> None:
    path = write_clip(tmp_path / "talk.mp4", seconds=3.0)
    (tmp_path / "talk.srt").write_text(
        "1\n00:00:00,000 --> 00:00:01,300\nfirst\n\n2\n00:00:01,000 --> 00:00:02,000\nboth\n\n"
        "3\n00:00:01,800 --> 00:00:02,800\nsecond\n"
    )
    found = extract_clip(Clip.from_files(path, subtitles=tmp_path / "talk.srt"), tools())
    lines = {s.text: s.person for s in found.segments if s.text}
    assert lines == {"first": "person_1", "both": None, "second": "person_2"}


def test_subtitles_come_before_the_recogniser(clip_path, tmp_path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,550 --> 00:00:00,850\nwritten words\n")
    found = extract_clip(Clip.from_files(clip_path, subtitles=tmp_path / "a.srt"), tools(recogniser=None))
    words = [s for s in found.segments if s.text]
    assert [(s.text, s.source) for s in words] == [("written words", "subtitles")]
    assert found.tokens["speech", None].x[:, 0].sum() == pytest.approx(16_000, abs=3)  # no second of voice is lost


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"audio": False}, {"speech": "the file has no audio stream", "text": "the file has no audio stream"}),
        ({"video": False}, {"face": "the file has no video stream"}),
    ],
)
def test_absence_has_a_reason(tmp_path, made, expected) -> None:
    path = write_clip(tmp_path / "a.mp4", **made)
    found = presence(extract_clip(Clip.from_files(path), tools()))
    assert expected.items() <= found.items()


def test_silence_and_empty_pictures_have_reasons(clip_path) -> None:
    class Quiet(Voice):
        def finish(self):
            return []

    class Nobody(Follower):
        def update(self, frames, times_s):
            faces = super().update(frames, times_s)
            return FollowedFaces(*(getattr(faces, name)[:0] for name in faces.__dataclass_fields__))

        def finish(self):
            return FollowedPersons((), {}, (), ())

    found = presence(extract_clip(Clip.from_files(clip_path), tools(voice=Quiet, faces=Nobody)))
    assert found["speech"] == found["text"] == "no speech was found in the audio"
    assert found["face"].startswith("no face was found in 9 frames")


def test_words_alone_and_signals_alone_are_clips(tmp_path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,500 --> 00:00:04,000\nonly words\n")
    words = extract_clip(Clip.from_files(subtitles=tmp_path / "a.srt"), tools())
    assert words.duration_s == 4.0
    assert presence(words)["face"] == "no media file was given"
    table = tmp_path / "a.csv"
    table.write_text("time_s,eda\n" + "\n".join(f"{t / 4},{1 + t / 100}" for t in range(400)))
    signals = extract_clip(Clip.from_files(physio=table), tools())
    assert signals.duration_s == pytest.approx(99.75)
    assert len(signals.tokens["physiology", None])


def test_the_picture_of_a_turned_clip_is_upright(tmp_path) -> None:
    path = write_clip(tmp_path / "phone.mp4", size=(64, 48), rotation=90)
    assert extract_clip(Clip.from_files(path), tools()).picture == (48, 64)


def test_broken_media_is_an_error_and_not_an_absence(tmp_path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a clip")
    with pytest.raises(MediaError, match=r"a\.mp4"):
        extract_clip(Clip.from_files(tmp_path / "a.mp4"), tools())


def test_progress_reaches_the_end(clip_path) -> None:
    seen = []
    extract_clip(Clip.from_files(clip_path), tools(), progress=lambda done_s, total_s: seen.append((done_s, total_s)))
    assert seen == sorted(seen)
    assert seen[-1][0] == pytest.approx(seen[-1][1])


def test_every_extractor_follows_the_protocol() -> None:
    for name, make in EXTRACTORS.items():
        extractor = make()
        assert extractor.name == name
        assert extractor.id.startswith(f"{name}@")
        assert extractor.id == make(**extractor.params).id
        assert extractor.width > 0
