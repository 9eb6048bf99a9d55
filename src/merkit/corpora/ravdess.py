"""RAVDESS: 24 actors say two sentences in eight emotions; everything is in the file's name."""

from pathlib import Path, PurePosixPath

from merkit.corpora.corpus import Corpus, Found
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.targets import class_target
from merkit.errors import MediaError
from merkit.labels import RAVDESS8
from merkit.schema import Clip, Modality, Stream, TargetSpec

__all__ = ["RAVDESS"]

EMOTION = TargetSpec("emotion", "single_label", RAVDESS8.labels)
# first field: what the recording holds
_HOLDS: dict[str, tuple[Modality, ...]] = {
    "01": ("face", "scene", "speech"),
    "02": ("face", "scene"),
    "03": ("speech",),
}
_FIELDS = ("modality", "vocal channel", "emotion", "intensity", "statement", "repetition", "actor")
_CODES = (3, 2, 8, 2, 2, 2, 24)


def _read(root: Root, out: Path | None) -> Found:
    clips: dict[str, Clip] = {}
    rejected = []
    actors = {}
    for name in root.walk(".wav", ".mp4"):
        item = PurePosixPath(name).stem
        try:
            clip = _clip(item, root.file(name), name)
        except MediaError as error:
            rejected.append(Rejected(name, error.reason, error.field))
            continue
        if item in clips:
            rejected.append(Rejected(name, "the same recording is there twice", "path"))
            continue
        clips[item] = clip
        actors[clip.groups["speaker"]] = "female" if int(clip.groups["speaker"]) % 2 == 0 else "male"
    return Found(
        [clips[item] for item in sorted(clips)],
        (EMOTION,),
        rejected,
        {"speakers": {actor: {"sex": sex} for actor, sex in sorted(actors.items())}},
    )


def _clip(item: str, path: Path, name: str) -> Clip:
    codes = item.split("-")
    if len(codes) != len(_FIELDS):
        raise MediaError("the name is not seven numbers with dashes, e.g. 03-01-06-01-02-01-12.wav", field="file name")
    for code, most, what in zip(codes, _CODES, _FIELDS, strict=True):
        if len(code) != 2 or not code.isdigit() or not 1 <= int(code) <= most:
            raise MediaError(f"{what} {code!r} is not 01 to {most:02}", field="file name")
    if codes[2] == "01" and codes[3] == "02":
        raise MediaError("neutral has no strong intensity", field="file name")
    suffix = ".wav" if codes[0] == "03" else ".mp4"
    if path.suffix.lower() != suffix:
        raise MediaError(f"modality {codes[0]} is a {suffix} file", field="file name")
    folder = PurePosixPath(name).parent.name
    if folder.startswith("Actor_") and folder != f"Actor_{codes[6]}":
        raise MediaError(f"lies in {folder}, but its name says actor {codes[6]}", field="file name")
    streams = tuple(Stream(modality, path) for modality in _HOLDS[codes[0]])
    # voice alone, picture alone and both are one performance: no split may tear them apart
    groups = {"speaker": codes[6], "performance": "-".join(codes[1:])}
    return Clip(item, streams, groups=groups, targets=(class_target(EMOTION, RAVDESS8.labels[int(codes[2]) - 1]),))


RAVDESS = Corpus(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song",
    licence="CC BY-NC-SA 4.0: non-commercial, and so is every model that is trained on it",
    obtain="https://zenodo.org/records/1188976 (Audio_Speech_Actors_01-24.zip, Video_Speech_Actor_XX.zip, …), unpacked",
    citation="S. R. Livingstone, F. A. Russo. PLoS ONE 13(5): e0196391, 2018. doi:10.1371/journal.pone.0196391",
    tree="""\
ROOT/[…/]Actor_01/03-01-06-01-02-01-01.wav    voice alone
ROOT/[…/]Actor_01/01-01-06-01-02-01-01.mp4    face and voice
ROOT/[…/]Actor_01/02-01-06-01-02-01-01.mp4    face alone
fields: modality-channel-emotion-intensity-statement-repetition-actor""",
    modalities=("face", "scene", "speech"),
    labels="emotion, one of 8: " + ", ".join(RAVDESS8.labels) + " (what the actor was asked to show)",
    split="none; split by speaker",
    people="24 professional actors, recorded with consent. Odd numbers are men, even numbers women.",
    reader=_read,
    notes=(
        "Acted: two sentences, a studio, one accent. Figures do not carry over to spontaneous speech.",
        "Actor 18 has no song recordings.",
    ),
)
