"""From a manifest to what a system reads that learns from recordings: one store a pass, filled resumably.

A pass reads some streams of every clip and keeps what it makes of them in a store of its own. What cannot be made is taken
from its clip, with the reason; a clip of which nothing is left is left out.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit.corpora.manifest import Manifest, Rejected
from merkit.errors import ConfigError
from merkit.schema import Clip, Modality

if TYPE_CHECKING:
    from merkit.features.extraction import ClipExtractor, ExtractionProgress, ExtractionReport
    from merkit.features.store import FeatureStore

__all__ = ["InputPass", "Progress", "made_inputs"]

Progress = Callable[[str, "ExtractionProgress"], object]


def made_inputs(
    manifest: Manifest,
    out: Path,
    passes: Sequence["InputPass"],
    *,
    as_given: Collection[Modality] = (),
    progress: Progress | None = None,
    **engine: Any,
) -> Manifest:
    """Makes the inputs of every clip, one pass after the other.

    Args:
        manifest: of any corpus.
        out: folder for the stores.
        passes: what is made; of different modalities.
        as_given: modalities of which nothing needs to be made, so that a clip is of use that has nothing else: words in
            the manifest itself.
        progress: told which store is filled, and how far.
        engine: of `extract_many`: `engine`, `workers`, `threads`, `timeout_s`.

    Returns:
        The manifest of what can be used, not yet written, with the facts `inputs` (store -> what its tokens depend on) and
        `run` (store -> clips done, as before, lost).

    Raises:
        ConfigError: nothing can be used.
        WeightError: weights that a pass needs are missing.
        StoreError: a store is damaged, or there is one of another number type.
    """
    from merkit.features.store import FeatureStore

    have: dict[str, set[Modality]] = {
        clip.id: {stream.modality for stream in clip.streams if stream.modality in as_given} for clip in manifest.clips
    }
    why: dict[str, dict[Modality, str]] = {clip.id: {} for clip in manifest.clips}
    counted = {}
    for each in passes:
        clips = each.clips(manifest.clips)
        store = FeatureStore.create(out / each.store, dtype=each.dtype)  # ty: ignore[invalid-argument-type]
        tell = None if progress is None else _telling(progress, each.store)
        report = _extracted(clips, each.extract, store, tell, engine)
        each.note(clips, report, store, have, why)
        counted[each.store] = {"done": len(report.done), "as_before": len(report.reused), "lost": len(report.skipped)}
    clips, rejected = [], list(manifest.rejected)
    for clip in manifest.clips:
        lost = why[clip.id]
        if not have[clip.id]:
            reasons = list(dict.fromkeys(lost.values())) or ["names neither video, sound nor words"]
            rejected.append(Rejected(clip.id, "; ".join(reasons)))
            continue
        for reason in dict.fromkeys(lost.values()):
            what = ", ".join(modality for modality, each in lost.items() if each == reason)
            rejected.append(Rejected(clip.id, reason, what=what))
        clips.append(replace(clip, streams=tuple(s for s in clip.streams if s.modality not in lost)))
    if not clips:
        first = "".join(f"\n  {each}" for each in rejected[:5])
        raise ConfigError(f"{manifest.name}: no clip can be used{first}")
    facts = {**manifest.facts, "inputs": {each.store: dict(each.extract.identity) for each in passes}, "run": counted}
    return replace(manifest, clips=tuple(clips), rejected=tuple(rejected), facts=facts)


@dataclass(frozen=True, slots=True)
class InputPass:
    """One store: what goes in, and which streams are read for it.

    Args:
        store: name of its folder.
        makes: modalities that it holds.
        reads: modalities whose files are read for them.
        extract: makes the tokens.
        dtype: how they are kept (`FeatureStore.create`).
    """

    store: str
    makes: tuple[Modality, ...]
    reads: tuple[Modality, ...]
    extract: "ClipExtractor"
    dtype: str

    def clips(self, clips: Sequence[Clip]) -> list[Clip]:
        """Those that have something for it, without streams that do not matter: their change would cost the work anew."""
        return [
            replace(clip, streams=tuple(s for s in clip.streams if s.modality in self.reads))
            for clip in clips
            if any(stream.modality in self.makes for stream in clip.streams)
        ]

    def note(
        self,
        clips: Sequence[Clip],
        report: "ExtractionReport",
        store: "FeatureStore",
        have: dict[str, set[Modality]],
        why: dict[str, dict[Modality, str]],
    ) -> None:
        """Writes down what every clip got, and why it did not get the rest."""
        skipped = {each.clip: each.reason for each in report.skipped}
        held: dict[str, set[Modality]] = {}
        index = store.index.select(["clip", "modality", "length"]).to_pydict()
        for clip, modality, length in zip(index["clip"], index["modality"], index["length"], strict=True):
            if length:
                held.setdefault(clip, set()).add(modality)
        for clip in clips:
            wanted = {stream.modality for stream in clip.streams} & set(self.makes)
            got = set() if clip.id in skipped else held.get(clip.id, set()) & wanted
            have[clip.id] |= got
            if wanted == got:
                continue
            said = {} if clip.id in skipped else {p["modality"]: p["reason"] for p in store.about(clip.id)["presence"]}
            for modality in sorted(wanted - got):
                why[clip.id][modality] = skipped.get(clip.id) or said.get(modality) or "nothing came of it"


def _extracted(
    clips: list[Clip], extract: "ClipExtractor", store: "FeatureStore", tell: Any, engine: Mapping[str, Any]
) -> "ExtractionReport":
    from merkit.features.extraction import extract_many

    return extract_many(clips, extract, store, progress=tell, **engine)


def _telling(progress: Progress, store: str) -> "Callable[[ExtractionProgress], object]":
    return lambda at: progress(store, at)
