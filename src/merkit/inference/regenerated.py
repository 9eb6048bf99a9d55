"""What a run looks at, and the extractors that make it again: by id, which stands for name, version, options and weights.

A run knows the ids of its features. Where an extractor is found is not in an id, so candidates are tried one after the other:
what the user names, what the run's own note says, then everything that ships or lies in merkit's cache.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from merkit.errors import ConfigError, MerkitError
from merkit.features.encoders import encoder_by_name
from merkit.features.extractors import EXTRACTORS
from merkit.inference.first import HEADS, extractor_of
from merkit.models import EmotionHead
from merkit.schema import MODALITIES
from merkit.training.run import Run

__all__ = ["Named", "Streams", "extractor_again", "streams_of"]

_STORED = re.compile(r"[\w.-]+@[0-9a-f]{12}")
_IDS, _NUMBERS, _VECTORS = "token ids of ", "numbers of words in ", re.compile(r"[\w.+/-]+@[0-9a-f]{12}")
# streams whose tokens are words, whatever a system calls them
_SAID = ("text", "lines")
# kind of extractor -> encoders that have a name of the catalogue
_BY_NAME = {
    "whisper-encoder": ("whisper-tiny-en",),
    "speech-encoder": ("wav2vec2-base", "wavlm-base-plus"),
    "image-encoder": ("resnet-50",),
    "face-image-encoder": ("resnet-50",),
    "text-encoder": ("minilm", "roberta-base"),
}
# blocks whose states are looked for
_LAYERS = ("", *(f":{k}" for k in range(13)))


@dataclass(frozen=True, slots=True)
class Named:
    """Extractors that the user, or a run's note, names.

    Args:
        extractors: modality -> a name from `EXTRACTORS`.
        encoders: modality -> an encoder, as `merkit.features.encoders.encoder_by_name` takes it.
        download: fetch encoders that are not on this machine.
    """

    extractors: Mapping[str, str] = field(default_factory=dict)
    encoders: Mapping[str, str] = field(default_factory=dict)
    download: bool = False


@dataclass(frozen=True, slots=True)
class Streams:
    """What a run looks at, by how it comes about.

    Args:
        words: streams that the system itself makes of the words.
        stored: modality -> id of the extractor whose tokens it was trained on.
        foreign: modality -> where its numbers are from, where no extractor made them.
    """

    words: tuple[str, ...]
    stored: Mapping[str, str]
    foreign: Mapping[str, str]


def streams_of(run: Run) -> Streams:
    """The streams of a run of one seed."""
    record, data = run.record, run.config.data
    about = record["data"].get("provenance", {})
    words, stored, foreign = [], {}, {}
    for name in record["modalities"]:
        source = str(about.get(name, {}).get("source", "")).split(";")[0]
        made_by = source.split(", scaled by ")[0].strip()
        if name in _SAID and (data.text_encoder or _of_words(made_by)):
            words.append(name)
        elif _STORED.fullmatch(made_by) and name in MODALITIES:
            stored[name] = made_by
        else:
            foreign[name] = made_by or "of a source that its record does not name"
    return Streams(tuple(words), stored, foreign)


def _of_words(source: str) -> bool:
    """Whether a text stream is made when a run reads its clips: ids or numbers of words, or vectors of whole utterances."""
    if source.startswith(_IDS):
        return not source.endswith(".parquet")  # which a corpus gives, without a tokenizer
    if source.startswith(_NUMBERS):
        return True
    return not _STORED.fullmatch(source) and bool(_VECTORS.match(source))


def extractor_again(modality: Any, wanted: str, *candidates: Named, params: Mapping[str, Any] | None = None) -> Any:
    """The extractor of that id.

    Args:
        modality: what it reads.
        wanted: its id.
        candidates: tried first, in order; the first of them is what the user says, who is told if it is another one.
        params: options of a run's config that an extractor of the catalogue may have been made with.

    Raises:
        ConfigError: none of those that are known here has this id; the message says what was tried and what to do.

    Example:
        >>> extractor_again("speech", "waveform@0123456789ab")
        Traceback (most recent call last):
        ...
        merkit.errors.ConfigError: speech: no extractor here is waveform@0123456789ab. If it is an encoder of your own, name \
it: --encoder speech=NAME
    """
    kind, troubles = wanted.split("@")[0], []
    for number, named in enumerate(candidates):
        for make in _named(modality, named):
            try:
                made = make()
            except MerkitError as error:
                if not number:
                    raise
                troubles.append(str(error))
                continue
            if made.id == wanted:
                return made
            if not number:
                raise ConfigError(
                    f"{modality}: the run was trained on {wanted}, but what you name is {made.id}: answers would mean nothing"
                )
    for make in _known(modality, kind, params or {}):
        try:
            made = make()
            if made.id == wanted:
                return made
        except (MerkitError, ValueError) as error:
            troubles.append(str(error))
    tried = f" ({'; '.join(dict.fromkeys(troubles))})" if troubles else ""
    raise ConfigError(
        f"{modality}: no extractor here is {wanted}{tried}. If it is an encoder of your own, name it: "
        f"--encoder {modality}=NAME"
    )


def _named(modality: Any, named: Named) -> Iterator[Callable[[], Any]]:
    if name := named.extractors.get(modality):
        if name not in EXTRACTORS or EXTRACTORS[name].modality != modality:
            known = ", ".join(key for key, each in EXTRACTORS.items() if each.modality == modality)
            raise ConfigError(f"extractor {modality}={name}: there is {known or 'none'}")
        yield EXTRACTORS[name]
    if name := named.encoders.get(modality):
        yield lambda: encoder_by_name(modality, name, download=named.download)


def _known(modality: Any, kind: str, params: Mapping[str, Any]) -> Iterator[Callable[[], Any]]:
    """Everything of that name that can be had without being told where it lies."""
    if kind in EXTRACTORS and EXTRACTORS[kind].modality == modality:
        yield EXTRACTORS[kind]
        if params:
            yield lambda: EXTRACTORS[kind](**params)
        for heads in HEADS.values():
            if modality in heads:
                yield lambda name=heads[modality]: extractor_of(EmotionHead.load(name))
        if kind == "minilm":
            yield lambda: EXTRACTORS[kind](pool="sentence")
    if kind == "waveform":
        yield lambda: encoder_by_name(modality, kind)
    for name in _BY_NAME.get(kind, ()):
        for layer in _LAYERS if modality == "speech" else ("",):
            yield lambda name=name, layer=layer: encoder_by_name(modality, f"{name}{layer}")
