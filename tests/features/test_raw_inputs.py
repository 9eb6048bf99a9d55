"""What end-to-end networks read, out of small clips with known sound and pictures."""

import pickle
from functools import partial

import numpy as np
import pytest
from PIL import Image

from merkit.errors import LimitError, MediaError, WeightError
from merkit.features import Tools, extract_clip, sources
from merkit.features.face_pictures import PictureConfig
from merkit.features.log_mel import log_mel_columns, voiced_range
from merkit.features.raw_inputs import HeardExtraction, SeenExtraction
from merkit.features.word_vectors import WordVectors, read_word_embed
from merkit.media import AudioChunk, probe, read_clip
from merkit.schema import Clip, Stream
from tests.colour_faces import PATCHES, ColourFaces
from tests.made import write_clip

RED = PATCHES[0]
SMALL = PictureConfig(side=16)


def scene(time_s: float) -> np.ndarray:
    """A red face for the whole time, on green; blue beside it, small, in the last third."""
    picture = np.full((72, 96, 3), (90, 120, 90), np.uint8)
    picture[10:60, 10:50] = RED
    if time_s > 1.3:
        picture[20:40, 70:90] = PATCHES[1]
    return picture


def talk(path, **changes):
    """Two seconds, of which 0.5 to 1.5 s is a voice."""
    at = np.arange(32_000) / 16_000
    wave = np.where((at >= 0.5) & (at < 1.5), 0.4 * np.sin(2 * np.pi * 300 * at), 0.0).astype(np.float32)
    return write_clip(path, size=(96, 72), fps=25, rate=16_000, wave=wave, colour=scene, **changes)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    """The same chunks without a child process for each; that it is used is tested with the command."""
    for name, function in (("read_clip", read_clip), ("probe", probe)):
        monkeypatch.setattr(sources, name, partial(function, isolate=False))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = talk(tmp_path_factory.mktemp("talk") / "talk.mp4")
    return Clip("talk", (Stream("face", path), Stream("speech", path)))


def test_what_is_heard_is_the_voice_of_the_file(clip):
    made = HeardExtraction()(clip)
    path = clip.path_of("speech")
    chunks = [c for c in read_clip(path, video=False, isolate=False) if isinstance(c, AudioChunk)]
    wave = np.concatenate([c.samples for c in chunks])
    first, last = voiced_range(wave)
    tokens = made.tokens["speech", None]
    np.testing.assert_array_equal(tokens.x, log_mel_columns(wave[first:last]))
    assert tokens.start_s[0] == pytest.approx(chunks[0].start_s + first / 16_000) == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(np.diff(tokens.start_s), 0.016)
    assert 60 <= len(tokens) <= 68 and made.presence[0].present


def test_pictures_are_of_the_voice_and_of_one_person(clip):
    extraction = pickle.loads(pickle.dumps(SeenExtraction(SMALL, ColourFaces, "colours")))
    made = extraction(clip)
    tokens = made.tokens["face", None]
    assert tokens.x.dtype == np.uint8 and tokens.x.shape[1] == 3 * 16 * 16
    assert tokens.start_s[0] >= 0.46 and tokens.start_s[-1] <= 1.54
    assert 24 <= len(tokens) <= 27, "one second at 25 frames a second"
    colours = tokens.x.reshape(len(tokens), -1, 3).mean(1)
    assert (colours[:, 0] > colours[:, 2] + 60).all()
    assert made.warnings == ("2 persons; the one seen most was taken",)
    assert extraction.identity == SeenExtraction(SMALL, ColourFaces, "colours").identity
    assert extraction.identity != SeenExtraction(PictureConfig(side=17), ColourFaces, "colours").identity


def test_a_longer_voice_is_looked_at_less_often(clip):
    few = SeenExtraction(PictureConfig(side=16, most=8, detect_every=1), ColourFaces, "colours")(clip).tokens[
        "face", None
    ]
    assert 7 <= len(few) <= 8
    assert np.diff(few.start_s).max() < 0.2 and few.start_s[-1] - few.start_s[0] > 0.8, "spread over the voice"


def test_a_span_is_cut_before_anything_is_made(clip):
    part = Clip("part", clip.streams, span=(1.0, 2.0))
    assert HeardExtraction()(part).tokens["speech", None].end_s[-1] == pytest.approx(0.5, abs=0.06)
    times = SeenExtraction(SMALL, ColourFaces, "colours")(part).tokens["face", None].start_s
    assert times[0] < 0.06 and times[-1] < 0.54


def test_why_something_is_absent(tmp_path):
    mute = talk(tmp_path / "mute.mp4", audio=False)
    blind = talk(tmp_path / "blind.mp4", video=False)
    silent = write_clip(tmp_path / "silent.mp4", seconds=0.5, wave=np.zeros(8000, np.float32), rate=16_000)
    empty = Clip("mute", (Stream("face", mute), Stream("speech", mute)))
    heard = HeardExtraction()(empty)
    assert not heard.tokens and heard.presence[0].reason.endswith("the file has no sound")
    assert len(SeenExtraction(SMALL, ColourFaces, "c")(empty).tokens["face", None]) == 48, "without a voice, all of it"
    assert "silent" in HeardExtraction()(Clip("s", (Stream("speech", silent),))).presence[0].reason
    seen = SeenExtraction(SMALL, ColourFaces, "c")(Clip("s", (Stream("face", silent), Stream("speech", silent))))
    assert seen.presence[0].reason.startswith("no face was found in ")
    seen = SeenExtraction(SMALL, ColourFaces, "c")(Clip("b", (Stream("face", blind), Stream("speech", blind))))
    assert seen.presence[0].reason == "no picture could be decoded"
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + b"x" * 99)
    with pytest.raises(MediaError, match="broken"):
        SeenExtraction(SMALL, ColourFaces, "c")(Clip("x", (Stream("face", broken), Stream("speech", broken))))
    lost = HeardExtraction()(Clip("x", (Stream("speech", broken), Stream("text", tmp_path / "none.npz"))))
    assert [p.present for p in lost.presence] == [False, False]


def test_missing_weights_are_told_first():
    def missing():
        raise WeightError("fetch mtcnn")

    with pytest.raises(WeightError, match="fetch mtcnn"):
        SeenExtraction(SMALL, missing).ready()
    SeenExtraction(PictureConfig(crop="picture"), missing).ready()


def test_a_still_picture_is_a_sequence_of_one(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "face.png")
    clip = Clip("face", (Stream("face", tmp_path / "face.png"), Stream("scene", tmp_path / "face.png")))
    made = SeenExtraction(PictureConfig(side=48, crop="picture"), ColourFaces, "none")(clip).tokens["face", None]
    np.testing.assert_array_equal(made.x.reshape(48, 48, 3), pixels)
    assert made.start_s.tolist() == [0.0]


def test_vectors_are_no_words_to_other_extractors(tmp_path):
    np.savez(tmp_path / "7.npz", word_embed=np.ones((2, 200)))
    path = talk(tmp_path / "talk.mp4", video=False)
    made = extract_clip(Clip("talk", (Stream("speech", path), Stream("text", tmp_path / "7.npz"))), Tools())
    assert not made.segments and made.duration_s == pytest.approx(2.0, abs=0.1)


def test_words_are_spread_over_the_voice(clip, tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 200))
    np.savez(tmp_path / "7.npz", word_embed=x)
    made = HeardExtraction()(Clip("talk", (*clip.streams, Stream("text", tmp_path / "7.npz"))))
    words = made.tokens["text", None]
    np.testing.assert_array_equal(words.x, x.astype(np.float32))
    assert words.start_s[0] == made.tokens["speech", None].start_s[0] and words.end_s[-1] < 1.6
    (tmp_path / "v.txt").write_text("3 2\nforget 1 2\njacket 3 4\nDon't 5 6\n", encoding="utf-8")
    table = WordVectors(tmp_path / "v.txt")
    said = Stream("text", None, text="Don't forget a Jacket.")
    made = HeardExtraction(pickle.loads(pickle.dumps(table)))(Clip("own", (said,)))
    assert made.tokens["text", None].x.tolist() == [[5, 6], [1, 2], [3, 4]]
    assert made.extractor_ids["text"] == table.id
    assert HeardExtraction()(Clip("own", (said,))).presence[0].reason == "there are no vectors for its words"
    unknown = HeardExtraction(table)(Clip("own", (Stream("text", None, text="Hm."),)))
    assert unknown.presence[0].reason == "none of its words has a vector"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"other": np.zeros((2, 200))}, "has no `word_embed`; there is other"),
        ({"word_embed": np.zeros((2, 100))}, r"float64 \(2, 100\), not numbers \(words, 200\)"),
        ({"word_embed": np.zeros((0, 200))}, "has 0 words"),
        ({"word_embed": np.zeros((39, 200))}, "has 39 words; there are 1 to 38"),
        ({"word_embed": np.full((2, 200), np.inf)}, "not finite"),
        ({"word_embed": np.array([{"a": 1}])}, "not readable as .npz"),
    ],
)
def test_bad_words_are_told(tmp_path, content, reason):
    np.savez(tmp_path / "1.npz", **content)
    with pytest.raises(MediaError, match=reason):
        read_word_embed(tmp_path / "1.npz")


def test_no_bomb_is_unpacked_and_no_other_file_is_read(tmp_path):
    np.savez_compressed(tmp_path / "big.npz", word_embed=np.zeros((5000, 200)))
    with pytest.raises(LimitError, match="limit"):
        read_word_embed(tmp_path / "big.npz")
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("text.npz", "none.npz"):
        with pytest.raises(MediaError, match=r"npz|no such file"):
            read_word_embed(tmp_path / name)
    for text, reason in (
        ("a 1 2\nb 1\n", "line 2"),
        ("a x\n", "could not convert"),
        ("", "no word"),
        ("a 1\nb nan\n", "line 2"),
    ):
        (tmp_path / "v.txt").write_text(text)
        with pytest.raises(MediaError, match=reason):
            WordVectors(tmp_path / "v.txt")(["a"])
