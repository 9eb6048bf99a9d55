"""How the features of a run are made again for new clips: which extractors, options and stores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from merkit.config import config_from
from merkit.errors import ConfigError, MerkitError
from merkit.features.extraction_note import note_of_run
from merkit.features.face_pictures import PictureConfig
from merkit.features.log_mel import LogMelExtractor
from merkit.features.raw_inputs import SeenExtraction, Words
from merkit.features.text import TextExtractor
from merkit.features.word_vectors import WordVectors
from merkit.inference.regenerated import Named, extractor_again, streams_of
from merkit.training.run import Run

__all__ = ["Making", "making_of"]

# what films and FER2013 are cut with, for runs whose folder says nothing of it
_MARGINS = (1.0, 0.93)


@dataclass(frozen=True, slots=True, eq=False)
class Making:
    """What has to be made of clips before a run can look at them.

    Args:
        extractors: modality -> what makes its tokens, clip by clip.
        log_mel: voice is made into log-mel columns, and words into `vectors`, as `merkit prepare … --for merc2020` does.
        vectors: of words, beside log-mel columns.
        pictures: which pictures are kept of the main person's face; None where none are.
        words: the run reads the words themselves.
        phrases: voice was cut into the phrases that were heard in it.
        asr: speech is transcribed where a clip brings no words.
        fps: frames a second.
        dtype: of the store.
        without: modality -> why it is left out although the clips may have it.
    """

    extractors: Mapping[Any, Any] = field(default_factory=dict)
    log_mel: bool = False
    vectors: Words | None = None
    pictures: PictureConfig | None = None
    words: bool = False
    phrases: bool = False
    asr: bool = True
    fps: float = 3.0
    dtype: str = "float32"
    without: Mapping[str, str] = field(default_factory=dict)

    @property
    def stored(self) -> tuple[str, ...]:
        """Modalities of which tokens are made."""
        raw = [
            name for name, there in (("speech", self.log_mel), ("text", self.vectors), ("face", self.pictures)) if there
        ]
        return (*self.extractors, *raw)

    @property
    def key(self) -> tuple[Any, ...]:
        """Runs that agree in it can share what is made."""
        ids = tuple(sorted((modality, each.id) for modality, each in self.extractors.items()))
        raw = (self.log_mel, self.vectors and self.vectors.id, str(self.pictures))
        return ids, raw, self.words, self.phrases, self.asr, self.fps, self.dtype


def making_of(
    run: Run,
    there: Collection[str],
    *,
    named: Named = Named(),  # noqa: B008  frozen
    without: Sequence[str] = (),
    fps: float | None = None,
    asr: bool = True,
) -> Making:
    """How the features of a run of one seed are made again.

    Args:
        run: the run.
        there: modalities that the new clips may have; others need no extractor.
        named: extractors that the user names.
        without: modalities to leave out.
        fps: frames a second; None = as the run's features were made.
        asr: whether speech is transcribed where a clip brings no words.

    Raises:
        ConfigError: a stream that clips have was made by somebody's own means, or by an extractor that is not known here.
    """
    streams = streams_of(run)
    if unknown := set(without) - {*streams.stored, *streams.foreign}:
        raise ConfigError(
            f"--without {', '.join(sorted(unknown))}: {run.path} looks at {', '.join(run.record['modalities'])}"
        )
    note = note_of_run(run.config.data, run.record)
    own = Named(note.get("extractors", {}), note.get("encoders", {}))
    left = dict.fromkeys(without, "left out, as asked")
    troubles: list[str] = []
    for name, source in streams.foreign.items():
        if name in there and name not in left:
            troubles.append(f"{name}: its numbers are from {source}, which no extractor here makes")
    made: dict[str, Any] = {}
    raw: dict[str, Any] = {}
    stored = {m: made_by for m, made_by in streams.stored.items() if m in there and m not in left}
    kinds = {made_by.split("@")[0] for made_by in streams.stored.values()}
    columns = bool(kinds & {"log-mel", "face-pictures", "word-vectors"})
    for modality, made_by in stored.items():
        try:
            if columns and (make := _RAW.get(modality)) is not None and made_by.split("@")[0] in _RAW_KINDS[modality]:
                raw[modality] = make(made_by, run, note)
            else:
                made[modality] = extractor_again(modality, made_by, named, own, params=_params(run, modality))
        except MerkitError as error:
            troubles.append(str(error))
    if troubles:
        listed = "\n  ".join(troubles)
        raise ConfigError(
            f"{run.path}: its features cannot be made of raw input:\n  {listed}\nPrepared features go with --root; "
            "--without MODALITY goes on as if the clips did not have it"
        )
    return Making(
        made,
        log_mel="speech" in raw or (not made and "text" in raw),
        vectors=raw.get("text"),
        pictures=raw.get("face"),
        words=bool(streams.words),
        phrases="speech" in made and bool(note.get("phrases", False)),
        asr=asr,
        fps=fps or note.get("fps") or 3.0,
        dtype=note.get("dtype") or ("float16" if columns else "float32"),
        without=left,
    )


def _params(run: Run, modality: str) -> Mapping[str, Any]:
    """Options of physiology windows, where a system's config has them."""
    own = getattr(run.config, "physiology", None)
    if modality != "physiology" or own is None or not hasattr(own, "window_s"):
        return {}
    return {"window_s": own.window_s, "rates_hz": own.rates_hz or None}


def _log_mel(made_by: str, run: Run, note: Mapping[str, Any]) -> bool:
    if LogMelExtractor().id != made_by:
        raise ConfigError(f"speech: the run was trained on {made_by}, here log-mel columns are {LogMelExtractor().id}")
    return True


def _vectors(made_by: str, run: Run, note: Mapping[str, Any]) -> Words:
    named = str(note.get("words", "minilm"))
    made: Any = TextExtractor(pool="token") if named == "minilm" else WordVectors(named)
    if named != "minilm" and not Path(named).is_file():
        raise ConfigError(f"text: the table of word vectors {named} is not there any more")
    if made.id != made_by:
        raise ConfigError(f"text: the run was trained on {made_by}; {named} is {made.id}")
    return made


def _pictures(made_by: str, run: Run, note: Mapping[str, Any]) -> PictureConfig:
    """The pictures' own config, as noted, or the usual ones of that size."""
    side = round((run.record["widths"]["face"] / 3) ** 0.5)
    usual: list[dict[str, Any]] = [note["pictures"]] if "pictures" in note else []
    usual += [{"side": side, "crop": crop, "margin": margin} for crop in ("face", "picture") for margin in _MARGINS]
    for values in usual:
        config = config_from(PictureConfig, values)
        if SeenExtraction(config).id == made_by:
            return config
    raise ConfigError(
        f"face: the run was trained on {made_by}, pictures of {side} pixels with other options than the usual, which "
        "nothing notes any more"
    )


_RAW = {"speech": _log_mel, "text": _vectors, "face": _pictures}
_RAW_KINDS = {"speech": ("log-mel",), "text": ("minilm", "word-vectors"), "face": ("face-pictures",)}
