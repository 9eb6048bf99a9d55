"""A film without a file worth decoding: what extraction would find in it is written down, second by second."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from merkit.errors import MediaError
from merkit.features import ClipFeatures
from merkit.features.film import by_screen_time
from merkit.schema import Clip, Person, Presence, Segment, TokenSequence

FACE, SCENE, TEXT = 5, 6, 4
# seconds at which each person's face is seen, one look a second; person_2 is seen most, 1 and 3 never together
SEEN = {"person_1": range(5, 20), "person_2": range(10, 100), "person_3": range(100, 130)}
SHOTS_S = (4.0, 33.0, 40.0, 60.0, 100.0, 118.0)
DURATION_S = 130.0
SAID = ((8.0, 12.0, "Hello.", None), (39.0, 42.0, "No, not that.", "person_2"), (101.0, 103.0, "Yes.", "person_3"))


def sequence(times_s, width: int, seed: int) -> TokenSequence:
    times_s = np.array(times_s, float)
    x = np.random.default_rng(seed).normal(size=(len(times_s), width)).astype(np.float32)
    return TokenSequence(x, times_s, times_s + 1.0)


def features_of(clip: Clip) -> ClipFeatures:
    """Persons by first appearance, as `extract_clip` gives them. The picture changes for good at 60 s, and only there."""
    tokens = {("face", who): sequence(times, FACE, i) for i, (who, times) in enumerate(SEEN.items())}
    scene = sequence(range(int(DURATION_S)), SCENE, 9)
    scene.x[60:] += 20.0
    tokens["scene", None] = scene
    text = np.arange(3.0)[:, None] + np.zeros((3, TEXT), np.float32)
    tokens["text", None] = TokenSequence(text, np.array([s[0] for s in SAID]), np.array([s[1] for s in SAID]))
    persons = tuple(
        Person(who, np.array(times, float), np.zeros((len(times), 4)), np.ones(len(times)))
        for who, times in SEEN.items()
    )
    return ClipFeatures(
        clip=clip,
        duration_s=DURATION_S,
        info=None,
        picture=(64, 48),
        tokens=tokens,
        segment_of={"text": np.arange(3)},
        persons=persons,
        segments=tuple(Segment(a, b, words, who, "subtitles") for a, b, words, who in SAID),
        shots_s=SHOTS_S,
        signals=(),
        presence=(
            Presence("face", True, None, 0.9),
            Presence("speech", False, "the file has no audio stream"),
            Presence("text", True, None, 0.1),
            Presence("scene", True, None, 1.0),
        ),
        warnings=("one packet is damaged",),
        extractor_ids={"face": "faces@1", "scene": "pictures@1", "text": "words@1"},
    )


@dataclass
class FilmReader:
    """Stands in for the extraction of a film; counts what it reads. Files whose text is `bad` cannot be read."""

    read: list[str] = field(default_factory=list)
    identity: dict = field(default_factory=lambda: {"made": 1})

    def __call__(self, clip: Clip) -> ClipFeatures:
        self.read.append(clip.id)
        path = clip.path_of("face")
        if path.read_text() == "bad":
            raise MediaError("is no film", path=path)
        return by_screen_time(features_of(clip))


def write_films(folder: Path, **films: str) -> list[Path]:
    """Files by name and content."""
    files = []
    for name, content in films.items():
        files.append(folder / f"{name}.mp4")
        files[-1].write_text(content)
    return files
