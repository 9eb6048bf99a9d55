"""A folder as `merkit prepare` and `merkit extract` leave one, made of raw turns by the extractors of a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from merkit.corpora.inputs import InputPass
from merkit.corpora.manifest import Manifest, Rejected
from merkit.corpora.storage import write_manifest
from merkit.errors import ConfigError
from merkit.features.clip import ClipFeatures, Tools, extract_clip
from merkit.features.extraction import ExtractionProgress, extract_many
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore
from merkit.features.toolbox import tools_around
from merkit.inference.inputs_again import FEATURES
from merkit.inference.making import Making
from merkit.schema import MODALITIES, Clip, Stream

__all__ = ["NOT_BROUGHT", "Heard", "Prepared", "prepare_turns"]

NOT_BROUGHT = "the turn brings none"
"""Why a modality is absent of which there is no file and no word."""
# where what a clip's words are from stands in its segments, if it brought them
_BROUGHT = ("subtitles", "transcript")


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
    for each in _passes(making, manifest.clips):
        store = FeatureStore.create(out / each.store, dtype=each.dtype)  # ty: ignore[invalid-argument-type]
        asked = {*making.stored, *(("text",) if making.words else ())} & set(each.makes)
        for clip in _extracted(each, manifest.clips, store, words, failed, progress):
            about = store.about(clip)
            absent[clip] |= {
                p["modality"]: p["reason"] for p in about["presence"] if p["modality"] in asked and not p["present"]
            }
            spoken = [segment for segment in about["segments"] if (segment.get("text") or "").strip()]
            if spoken and clip not in told:
                told[clip] = " ".join(segment["text"].strip() for segment in spoken)
                heard |= {clip} if any(segment["source"] not in _BROUGHT for segment in spoken) else set()
    kept = []
    for clip in manifest.clips:
        if clip.id in failed and clip.id not in words:
            lost.append(Rejected(clip.id, failed[clip.id]))
            continue
        if clip.id in failed:
            absent[clip.id] |= {name: failed[clip.id] for name in making.stored if name != "text"}
        streams = tuple(stream for stream in clip.streams if stream.modality != "text")
        there = {stream.modality for stream in clip.streams}
        wanted = [*making.looked_at, *(("text",) if making.words else ())]
        absent[clip.id] |= {m: NOT_BROUGHT for m in wanted if m not in there and m not in absent[clip.id]}
        if clip.id in told and making.words:
            absent[clip.id].pop("text", None)
        if clip.id in told:
            streams += (Stream("text", None, text=told[clip.id]),)
        kept.append(replace(clip, streams=streams))
    if not kept:
        raise ConfigError("; ".join(map(str, lost)) or "there is nothing to answer for")
    prepared = replace(manifest, clips=tuple(kept), rejected=tuple(lost), specs=making.asked)
    write_manifest(prepared, out)
    _with_absent(making, out, kept[0].id)
    return Prepared(out, prepared, frozenset(heard), absent)


def _extracted(
    each: InputPass,
    clips: Sequence[Clip],
    store: FeatureStore,
    words: Mapping[str, str],
    failed: dict[str, str],
    progress: Callable[[ExtractionProgress], object] | None,
) -> tuple[str, ...]:
    """Ids of the clips that the store has now; those whose files fail are tried once more with nothing but their words."""
    wanted = [clip for clip in each.clips(clips) if clip.streams]
    report = extract_many(wanted, each.extract, store, engine="serial", progress=progress)
    failed |= {skipped.clip: skipped.reason for skipped in report.skipped}
    lost = {skipped.clip for skipped in report.skipped} & set(words)
    bare = [replace(c, streams=tuple(s for s in c.streams if s.modality == "text")) for c in wanted if c.id in lost]
    again = extract_many([clip for clip in bare if clip.streams], each.extract, store, engine="serial")
    return (*report.done, *report.reused, *again.done, *again.reused)


def _given(clip: Clip) -> str:
    return next((stream.text for stream in clip.streams if stream.modality == "text" and stream.text), "")


def _passes(making: Making, clips: Sequence[Clip]) -> list[InputPass]:
    """Everything that has to be made, a store each."""
    passes = list(making.passes)
    if tools := _tools(making, clips):
        reads = tuple(dict.fromkeys(("speech", "text", *tools.extractors)))
        # where words alone are listened for, there are no tokens that a run would look for
        apart = not making.extractors or any(each.store == FEATURES for each in passes)
        store, dtype = ("words", "float32") if apart else (FEATURES, making.dtype)
        passes.append(InputPass(store, reads, reads, _Extraction(tools, making.fps), dtype))
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


def _with_absent(making: Making, folder: Path, clip: str) -> None:
    """Streams that a run looks at and no clip has are there without a token: systems that ask for them by name find them."""
    held: set[str] = set()
    stores = [FeatureStore.open(path.parent) for path in sorted(folder.glob("*/store.json"))]
    for store in stores:
        held |= set(store.index["modality"].drop_null().to_pylist())
    lacking = {m: about for m, about in making.looked_at.items() if m in MODALITIES and m not in held}
    if not lacking:
        return
    store = next((each for each in stores if each.path.name == FEATURES), None)
    store = store or FeatureStore.create(folder / FEATURES, dtype=making.dtype)  # ty: ignore[invalid-argument-type]
    rows, none = [], np.zeros(0)
    index = store.index.select(["clip", "modality", "entity", "extractor_id", "input_sha256"]).to_pylist()
    own = {i: row for i, row in enumerate(index) if row["clip"] == clip}
    for i, row in own.items():
        if row["modality"] is not None:
            tokens, segment = store.tokens(i), np.array(store.segment_of(i))
            times = (np.array(tokens.start_s), np.array(tokens.end_s))
            rows.append(Row(row["modality"], row["entity"], row["extractor_id"], np.array(tokens.x), *times, segment))
    for modality, (made_by, width) in lacking.items():
        rows.append(Row(modality, None, made_by, np.zeros((0, width), store.dtype), none, none, none.astype(np.int32)))
    about = store.about(clip) if own else {"presence": [], "segments": []}
    sha = next((row["input_sha256"] for row in own.values()), None) or ""
    store.add(ClipRecord(clip, store.key_of(clip) or "", sha, about, tuple(rows)))
    store.finalise()
