"""The passes that make raw inputs of networks once more: log-mel columns, word vectors, faces, frames, samples.

Of these an id says less than of other features: sizes and counts stand in the folder that a run was trained on, and since
then in the run's own record. Where neither is left, what is usual is tried.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from merkit.config import config_from
from merkit.corpora.inputs import InputPass
from merkit.errors import ConfigError, MerkitError
from merkit.features.face_pictures import PictureConfig
from merkit.features.frame_layout import FrameLayout
from merkit.features.frame_stack import FrameStackConfig, FrameStackExtraction
from merkit.features.log_mel import LogMelExtractor
from merkit.features.raw_inputs import HeardExtraction, SeenExtraction
from merkit.features.text import TextExtractor
from merkit.features.whole_sound import SoundExtraction
from merkit.features.word_vectors import WordVectors

__all__ = ["FACES", "FEATURES", "FRAMES", "passes_again"]

FEATURES, FACES, FRAMES = "features", "faces", "frames"
_USUAL_S = (10.0, 15.0, 20.0, 60.0, 300.0)
# what clips and FER2013 are cut with
_USUAL = [{"crop": crop, "margin": margin} for crop in ("face", "picture") for margin in (1.0, 0.93)]


def passes_again(
    stored: Mapping[str, str], widths: Mapping[str, int], note: Mapping[str, Any]
) -> tuple[tuple[InputPass, ...], set[str]]:
    """The passes that make some of these streams, and the modalities that they make; the others are features of extractors.

    Args:
        stored: modality -> id of what made its tokens.
        widths: modality -> `D`.
        note: of the run (`merkit.features.extraction_note.note_of_run`).

    Raises:
        ConfigError: raw inputs of other options than what is noted or usual.
    """
    found: list[InputPass] = []
    if any(_kind(made_by) in (LogMelExtractor.name, WordVectors.name) for made_by in stored.values()):
        found.append(_heard(stored, note))
    elif _kind(stored.get("speech", "")) == _kind(SoundExtraction().id):
        found.append(_sound(stored["speech"], note))
    seen = {m: made_by for m, made_by in stored.items() if m in ("face", "scene") and _is_pictures(made_by, widths[m])}
    if seen:
        found.append(_seen(seen, widths, note))
    made: set[str] = {modality for each in found for modality in each.makes if modality in stored}
    return tuple(found), made


def _heard(stored: Mapping[str, str], note: Mapping[str, Any]) -> InputPass:
    if stored.get("speech", LogMelExtractor().id) != LogMelExtractor().id:
        raise ConfigError(f"speech: the run was trained on {stored['speech']}; here there is {LogMelExtractor().id}")
    words = None
    if "text" in stored:
        table = str(note.get("words", ""))
        made: Any = WordVectors(table) if table and table != "minilm" else TextExtractor(pool="token")
        if table and table != "minilm" and not Path(table).is_file():
            raise ConfigError(f"text: the table of word vectors {table} is not there any more")
        if made.id != stored["text"]:
            raise ConfigError(
                f"text: the run was trained on {stored['text']}, which no words here give; there is {made.id}"
            )
        words = made
    makes = tuple(name for name in ("speech", "text") if name in stored)
    return InputPass(FEATURES, makes, ("speech", "text"), HeardExtraction(words), "float16")


def _sound(made_by: str, note: Mapping[str, Any]) -> InputPass:
    for most_s in (_inputs(note, FEATURES).get("most_s"), SoundExtraction().most_s, *_USUAL_S):
        if most_s and (made := SoundExtraction(float(most_s))).id == made_by:
            return InputPass(FEATURES, ("speech",), ("speech",), made, "float16")
    raise ConfigError(
        f"speech: the run was trained on {made_by}, sound of a length at most that nothing notes any more"
    )


def _seen(seen: Mapping[str, str], widths: Mapping[str, int], note: Mapping[str, Any]) -> InputPass:
    """Frames and faces come out of one pass, or a face alone out of the other."""
    for config in _stacks(seen, widths, note):
        made = FrameStackExtraction(config)
        if all(made.ids.get(m) == made_by for m, made_by in seen.items()):
            return InputPass(FRAMES, tuple(seen), ("face", "scene"), made, "uint8")  # ty: ignore[invalid-argument-type]
    if set(seen) == {"face"}:
        side = round((widths["face"] / 3) ** 0.5)
        noted = [note["pictures"]] if "pictures" in note else []
        for values in (*noted, *({"side": side, **usual} for usual in _USUAL)):
            alone = SeenExtraction(config_from(PictureConfig, values))
            if alone.id == seen["face"]:
                # sound says between which moments the face is looked at
                return InputPass(FACES, ("face",), ("face", "speech"), alone, "uint8")
    listed = ", ".join(f"{modality} ({made_by})" for modality, made_by in seen.items())
    raise ConfigError(f"pictures of {listed} were cut with options that nothing notes any more")


def _stacks(seen: Mapping[str, str], widths: Mapping[str, int], note: Mapping[str, Any]) -> Iterator[FrameStackConfig]:
    if noted := _inputs(note, FRAMES).get("config"):
        yield config_from(FrameStackConfig, noted)
    for modality, made_by in seen.items():
        layout = FrameLayout.of(made_by, widths[modality])
        size = {"height": layout.height, "width": layout.width}
        size |= {"frames": layout.stacked, "mosaic": True} if layout.stacked else {}
        for faces in ("none", "black", "crop"):
            try:
                yield config_from(FrameStackConfig, {**size, "faces": faces})
            except MerkitError:
                continue


def _is_pictures(made_by: str, width: int) -> bool:
    try:
        return bool(FrameLayout.of(made_by, width))
    except ConfigError:
        return False


def _inputs(note: Mapping[str, Any], store: str) -> Mapping[str, Any]:
    return note.get("inputs", {}).get(store, {})


def _kind(made_by: str) -> str:
    return made_by.split("@")[0]
