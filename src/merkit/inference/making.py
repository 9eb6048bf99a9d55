"""How the features of a run are made again for new clips: which extractors, options and stores."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from merkit.corpora.inputs import InputPass
from merkit.errors import ConfigError, MerkitError
from merkit.features.extraction_note import note_of_run
from merkit.inference.inputs_again import passes_again
from merkit.inference.regenerated import Named, extractor_again, streams_of
from merkit.schema import TargetSpec
from merkit.training.run import Run

__all__ = ["Making", "making_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Making:
    """What has to be made of clips before a run can look at them.

    Args:
        extractors: modality -> what makes its tokens, clip by clip.
        passes: that make raw inputs of networks (`merkit prepare … --for SYSTEM`).
        words: the run reads the words themselves.
        phrases: voice was cut into the phrases that were heard in it.
        asr: speech is transcribed where a clip brings no words.
        fps: frames a second.
        dtype: of the store.
        asked: questions that a manifest must name for the run to see that it is of utterances, and not of scenes.
        looked_at: stream of the store -> id of what made it and `D`, whether or not it is made here.
    """

    extractors: Mapping[Any, Any] = field(default_factory=dict)
    passes: tuple[InputPass, ...] = ()
    words: bool = False
    phrases: bool = False
    asr: bool = True
    fps: float = 3.0
    dtype: str = "float32"
    asked: tuple[TargetSpec, ...] = ()
    looked_at: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def stored(self) -> tuple[str, ...]:
        """Modalities of which tokens are made."""
        return (*self.extractors, *(name for each in self.passes for name in each.makes))

    @property
    def key(self) -> tuple[Any, ...]:
        """Runs that agree in it can share what is made."""
        ids = tuple(sorted((modality, each.id) for modality, each in self.extractors.items()))
        raw = tuple(json.dumps([each.store, each.makes, dict(each.extract.identity)]) for each in self.passes)
        options = (self.asked, self.words, self.phrases, self.asr, self.fps, self.dtype)
        return ids, raw, options, tuple(sorted(self.looked_at.items()))


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
    scenes = run.system.name == "emotx"
    if scenes and (streams.stored or streams.foreign):
        raise ConfigError(
            f"{run.path} answers for scenes with the people in them: make them with `merkit prepare film CLIP --out scenes` and "
            "answer with --root scenes"
        )
    note = note_of_run(run.config.data, run.record)
    own = Named(note.get("extractors", {}), note.get("encoders", {}))
    troubles = [
        f"{name}: its numbers are from {source}, which no extractor here makes"
        for name, source in streams.foreign.items()
        if name in there and name not in without
    ]
    stored = {m: made_by for m, made_by in streams.stored.items() if m in there and m not in without}
    widths, made = run.record["widths"], {}
    try:
        passes, raw = passes_again(stored, widths, note)
    except MerkitError as error:
        passes, raw = (), set(stored)
        troubles.append(str(error))
    for modality in sorted(set(stored) - raw):
        try:
            made[modality] = extractor_again(modality, stored[modality], named, own, params=_params(run, modality))
        except MerkitError as error:
            troubles.append(str(error))
    if troubles:
        listed = "\n  ".join(troubles)
        raise ConfigError(
            f"{run.path}: its features cannot be made of raw input:\n  {listed}\nPrepared features go with --root; "
            "--without MODALITY goes on as if the clips did not have it"
        )
    known = {**streams.stored, **streams.foreign}
    return Making(
        made,
        passes,
        words=bool(streams.words),
        phrases="speech" in made and bool(note.get("phrases", False)),
        asr=asr,
        fps=fps or note.get("fps") or 3.0,
        dtype=note.get("dtype") or "float32",
        asked=(TargetSpec("emotion", "single_label", run.specs[0].labels),) if scenes else (),
        looked_at={name: (made_by, widths[name]) for name, made_by in known.items() if name in widths},
    )


def _params(run: Run, modality: str) -> Mapping[str, Any]:
    """Options of physiology windows, where a system's config has them."""
    own = getattr(run.config, "physiology", None)
    if modality != "physiology" or own is None or not hasattr(own, "window_s"):
        return {}
    return {"window_s": own.window_s, "rates_hz": own.rates_hz or None}
