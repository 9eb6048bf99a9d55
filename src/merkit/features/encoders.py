"""From what a user writes to an extractor: `speech=facebook/hubert-base-ls960:9`, `face=weights/fabnet`, `text=roberta-base`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from merkit.errors import ConfigError
from merkit.features.extractor import Extractor
from merkit.features.pictures_by_name import FabNetExtractor, FaceEncoderExtractor, SceneEncoderExtractor
from merkit.features.speech import SpeechExtractor
from merkit.features.speech_by_name import SpeechEncoderExtractor, named_layer
from merkit.features.text_by_name import TextEncoderExtractor
from merkit.features.unit_tokens import SpeechUnitsExtractor
from merkit.features.units import is_units
from merkit.features.waveform import WaveformExtractor
from merkit.networks.fabnet import is_fabnet
from merkit.schema import Modality

__all__ = ["ENCODERS", "encoder_by_name"]

_POOLINGS = ("cls", "mean", "pooled")
_COLLAPSE = ":collapse"


def _speech(name: str, download: bool) -> Any:
    if name == WaveformExtractor.name:
        return WaveformExtractor()
    folder, collapse = name.removesuffix(_COLLAPSE), name.endswith(_COLLAPSE)
    if is_units(folder):
        return SpeechUnitsExtractor(folder, collapse=collapse, download=download)
    front, layer = named_layer(name)
    if front in SpeechExtractor.weights:
        # the encoder that is shipped has an extractor of its own
        return SpeechExtractor() if layer < 0 else SpeechExtractor(layers=(layer,))
    return SpeechEncoderExtractor(front, layer=layer, download=download)


def _pictures(kind: type[SceneEncoderExtractor]) -> Callable[[str, bool], Any]:
    def made(name: str, download: bool) -> Any:
        if is_fabnet(name):
            if kind is not FaceEncoderExtractor:
                raise ConfigError(f"{name} is FAb-Net, which reads faces: name it for face")
            return FabNetExtractor(name)
        front, _, pooling = name.rpartition(":")
        if front and pooling in _POOLINGS:
            return kind(front, cast(Any, pooling), download)
        return kind(name, download=download)

    return made


def _text(name: str, download: bool) -> Any:
    return TextEncoderExtractor(name, download=download)


# modality -> (name, download) -> extractor
ENCODERS: dict[Modality, Callable[[str, bool], Any]] = {
    "speech": _speech,
    "face": _pictures(FaceEncoderExtractor),
    "scene": _pictures(SceneEncoderExtractor),
    "text": _text,
}


def encoder_by_name(modality: Modality, name: str, *, download: bool = False) -> Extractor:
    """An extractor around the encoder that is named.

    Args:
        modality: what it reads: speech, face, scene or text.
        name: a folder, a name of the catalogue, or a name on the Hugging Face hub. For speech, `:k` behind it takes the
            output of block k (`whisper-tiny-en` alone gives all four side by side), and a folder of units (`fit_units`) is
            one too, with `:collapse` behind it where runs of one unit shall be one token; `waveform` is the samples
            themselves. For face and scene, `:cls`, `:mean` or `:pooled`, and for face a folder that `convert_fabnet` made.
        download: fetch what is not on this machine.

    Raises:
        ConfigError: a modality that has no encoders by name.
        WeightError: it is not on this machine, or does not fit.

    Example:
        >>> encoder_by_name("speech", "whisper-tiny-en:2").width
        384
        >>> encoder_by_name("physiology", "x")
        Traceback (most recent call last):
        ...
        merkit.errors.ConfigError: encoders by name are for speech, face, scene, text, not physiology
    """
    if modality not in ENCODERS:
        raise ConfigError(f"encoders by name are for {', '.join(ENCODERS)}, not {modality}")
    if (folder := Path(name).expanduser()) != Path(name) and folder.exists():
        name = str(folder)
    return ENCODERS[modality](name, download)
