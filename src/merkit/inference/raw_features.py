"""A folder as `merkit prepare` and `merkit extract` leave one, made of raw turns by the extractors of a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from merkit.corpora.manifest import Manifest, Rejected
from merkit.corpora.storage import write_manifest
from merkit.errors import ConfigError
from merkit.features.clip import ClipFeatures, Tools, extract_clip
from merkit.features.extraction import ClipExtractor, ExtractionProgress, extract_many
from merkit.features.raw_inputs import HeardExtraction, SeenExtraction
from merkit.features.store import FeatureStore
from merkit.features.toolbox import tools_around
from merkit.inference.making import Making
from merkit.schema import Clip, Stream

__all__ = ["Heard", "Prepared", "prepare_turns"]

FEATURES, FACES = "features", "faces"


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Raw turns, ready to be answered for.

    Args:
        root: the folder.
        manifest: the turns that are left, with their words as far as they are known.
        heard: ids of turns whose words were transcribed.
        absent: turn -> modality -> why it has none of it.
    """

    root: Path
    manifest: Manifest
    heard: frozenset[str] = frozenset()
    absent: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Heard:
    """Stands where a text extractor would, for runs that read the words themselves: it makes no tokens of them."""

    name, version, modality, width, rate_hz = "words", 1, "text", 1, None
    params: Mapping[str, Any] = {}
    weights: tuple[str, ...] = ()
    id = "words@000000000000"

    def __call__(self, inputs: Sequence[str]) -> list[np.ndarray]:
        """No token of any line."""
        return [np.zeros((0, 1), np.float32) for _ in inputs]


@dataclass(frozen=True)
class _Extraction:
    """`extract_clip` with tools that are loaded already; streams without a token are not there."""

    tools: Tools
    fps: float

    @property
    def identity(self) -> Mapping[str, Any]:
        ids = {modality: each.id for modality, each in self.tools.extractors.items()}
        return {"fps": self.fps, "extractors": ids, "hears": self.tools.recogniser is not None}

    def __call__(self, clip: Clip, /) -> ClipFeatures:
        found = extract_clip(clip, self.tools, fps=self.fps)
        return replace(found, tokens={key: tokens for key, tokens in found.tokens.items() if len(tokens)})


def prepare_turns(
    manifest: Manifest,
    making: Making,
    out: Path,
    *,
    progress: Callable[[ExtractionProgress], object] | None = None,
) -> Prepared:
    """Extracts what a run looks at, and writes manifest and stores.

    A turn whose clip cannot be used is kept for its words, if it brings any; else it is left out, with the reason.

    Args:
        manifest: of `merkit.inference.turns.manifest_of`.
        making: how the features are made.
        out: folder; what it holds already, unchanged, is not made again.
        progress: told after every clip of every store.

    Raises:
        ConfigError: no turn can be used.
        WeightError: weights are missing.
    """
    lost, absent = list(manifest.rejected), {clip.id: {} for clip in manifest.clips}
    words = {clip.id: text for clip in manifest.clips if (text := _given(clip))}
    told, heard = dict(words), set()
    failed: dict[str, str] = {}
    for name, reads, extract, dtype in _passes(making, manifest.clips):
        clips = [
            replace(clip, streams=kept)
            for clip in manifest.clips
            if (kept := tuple(stream for stream in clip.streams if stream.modality in reads))
        ]
        store = FeatureStore.create(out / name, dtype=dtype)  # ty: ignore[invalid-argument-type]
        report = extract_many(clips, extract, store, engine="serial", progress=progress)
        failed |= {each.clip: each.reason for each in report.skipped}
        for clip in (*report.done, *report.reused):
            about = store.about(clip)
            absent[clip] |= {p["modality"]: p["reason"] for p in about["presence"] if not p["present"]}
            said = " ".join(segment["text"] for segment in about["segments"] if segment.get("text")).strip()
            if said and clip not in told:
                told[clip] = said
                heard |= (
                    {clip} if any(s["source"] not in _BROUGHT for s in about["segments"] if s.get("text")) else set()
                )
        if not any(store.index["modality"].is_valid().to_pylist()):
            _without(out / name)
    kept = []
    for clip in manifest.clips:
        if clip.id in failed and clip.id not in words:
            lost.append(Rejected(clip.id, failed[clip.id]))
            continue
        if clip.id in failed:
            absent[clip.id] |= dict.fromkeys(making.stored, failed[clip.id])
        streams = tuple(stream for stream in clip.streams if stream.modality != "text")
        if clip.id in told:
            streams += (Stream("text", None, text=told[clip.id]),)
        kept.append(replace(clip, streams=streams))
    if not kept:
        raise ConfigError("; ".join(map(str, lost)) or "there is nothing to answer for")
    made = replace(manifest, clips=tuple(kept), rejected=tuple(lost))
    write_manifest(made, out)
    return Prepared(out, made, frozenset(heard), absent)


_BROUGHT = ("subtitles", "transcript")


def _given(clip: Clip) -> str:
    return next((stream.text for stream in clip.streams if stream.modality == "text" and stream.text), "")


def _passes(making: Making, clips: Sequence[Clip]) -> list[tuple[str, tuple[str, ...], ClipExtractor, str]]:
    """Store, streams that are read for it, extractor and number type, of everything that has to be made."""
    passes: list[tuple[str, tuple[str, ...], ClipExtractor, str]] = []
    if making.log_mel:
        passes.append((FEATURES, ("speech", "text"), HeardExtraction(making.vectors), making.dtype))
    elif tools := _tools(making, clips):
        reads = tuple({"speech": 0, "text": 0} | dict.fromkeys(tools.extractors))
        passes.append((FEATURES, reads, _Extraction(tools, making.fps), making.dtype))
    if making.pictures is not None:
        passes.append((FACES, ("face", "speech"), SeenExtraction(making.pictures), "uint8"))
    return passes


def _tools(making: Making, clips: Sequence[Clip]) -> Tools | None:
    """What makes the tokens, and hears or cuts out the words, where there is any need of it."""
    extractors = dict(making.extractors)
    untold = [clip for clip in clips if not _given(clip)]
    files = any(stream.modality == "text" for clip in untold for stream in clip.streams)
    hears = making.asr and any(stream.modality == "speech" for clip in untold for stream in clip.streams)
    # phrases that are heard cut the voice, so a run whose voice was cut by them hears them again
    if "text" not in extractors and (making.words or making.phrases) and (files or hears):
        extractors["text"] = Heard()
    if not extractors:
        return None
    return tools_around(extractors, transcribe=hears)


def _without(store: Path) -> None:
    """A store that holds no token is none."""
    import shutil

    shutil.rmtree(store, ignore_errors=True)
