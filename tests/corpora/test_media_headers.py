"""`prepare --headers`: a file is what its name says, or the clip is told to be without it."""

import numpy as np
import pytest
import soundfile
from PIL import Image

from merkit.corpora import Manifest, check_headers
from merkit.errors import ConfigError
from merkit.schema import Clip, Modality, Stream

AV: tuple[Modality, ...] = ("face", "scene", "speech")


@pytest.fixture
def media(tmp_path):
    soundfile.write(tmp_path / "second.wav", np.full(16000, 0.1), 16000)
    (tmp_path / "sound.mp4").write_bytes((tmp_path / "second.wav").read_bytes())
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "face.png")
    (tmp_path / "fake.png").write_bytes(b"GIF89a")
    return tmp_path


def clip(name: str, path, modalities: tuple[Modality, ...] = AV, words: bool = False, **more) -> Clip:
    streams = tuple(Stream(modality, path) for modality in modalities)
    return Clip(name, (*streams, Stream("text", None, text="hello")) if words else streams, **more)


def test_what_a_file_lacks_is_taken_from_its_clips_and_listed(media) -> None:
    clips = (
        clip(
            "good",
            media / "second.wav",
            ("speech",),
            span=(0.5, 1.0),
            groups={"dialogue": "d"},
            context=("gone", "mute"),
        ),
        clip("beyond", media / "second.wav", ("speech",), span=(0.5, 1.2)),
        clip("mute", media / "sound.mp4", context=("good", "gone")),
        clip("gone", media / "broken.mp4"),
        clip("words", media / "broken.mp4", words=True),
        clip("still", media / "face.png", ("face", "scene")),
        clip("fake", media / "fake.png", ("face", "scene")),
        clip("missing", media / "none.mp4", words=True),
    )
    told: list[tuple[int, int]] = []
    found = check_headers(Manifest("m", clips, (), media), workers=2, progress=lambda done, of: told.append((done, of)))
    kept = {one.id: [stream.modality for stream in one.streams] for one in found.clips}
    assert kept == {
        "good": ["speech"],
        "mute": ["speech"],
        "words": ["text"],
        "still": ["face", "scene"],
        "missing": ["text"],
    }
    assert {one.id: one.context for one in found.clips if one.context} == {"good": ("mute",), "mute": ("good",)}
    listed = {one.item: (one.what, one.reason.rpartition("/")[2]) for one in found.rejected}
    assert listed["beyond"] == ("clip", "the clip ends at 1.2 s, beyond the file's 1.00 s")
    assert listed["mute"] == ("face, scene", "sound.mp4: holds no picture")
    assert listed["gone"][0] == listed["fake"][0] == "clip"
    assert listed["words"][0] == "face, scene, speech"
    assert listed["missing"][1] == "none.mp4: no such file"
    assert told == [(i, 6) for i in range(1, 7)]


def test_nothing_left_is_an_error(media) -> None:
    with pytest.raises(ConfigError, match=r"no clip with readable media\n  gone"):
        check_headers(Manifest("m", (clip("gone", media / "broken.mp4"),), (), media))
