"""From a manifest to what the MERC2020 networks read: OUT/features (speech, text) and OUT/faces (bytes).

Of the challenge or of anybody's own clips. Both stores are filled by `extract_many`, so a run that was ended goes on where
it was, and every clip that cannot be used is named with its reason.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit.corpora.manifest import Manifest, Rejected
from merkit.corpora.merc2020.templates import copy_templates
from merkit.errors import ConfigError
from merkit.schema import Clip, Modality

if TYPE_CHECKING:
    from merkit.features.extraction import ClipExtractor, ExtractionProgress, ExtractionReport
    from merkit.features.store import FeatureStore

__all__ = ["FACES", "FEATURES", "prepare_inputs"]

FEATURES, FACES = "features", "faces"

Progress = Callable[[str, "ExtractionProgress"], object]


def prepare_inputs(
    manifest: Manifest,
    out: Path,
    *,
    heard: "ClipExtractor | None" = None,
    seen: "ClipExtractor | None" = None,
    progress: Progress | None = None,
    **engine: Any,
) -> Manifest:
    """Makes the inputs of every clip.

    A modality that cannot be made is taken from its clip, with the reason; a clip of which nothing is left is left out.

    Args:
        manifest: of the challenge or of any corpus; its clips name video, sound or words.
        out: folder for the stores and, of the challenge, the submission templates.
        heard: makes speech and text; None for `HeardExtraction()`, which reads no words but the challenge's.
        seen: makes pictures; None for `SeenExtraction()`.
        progress: told which store is filled, and how far.
        engine: of `extract_many`: `engine`, `workers`, `threads`, `timeout_s`.

    Returns:
        The manifest of what can be used, not yet written.

    Raises:
        ConfigError: nothing can be used.
        WeightError: the face detector's weights are missing.
        StoreError: a store is damaged, or there is one of another number type.
    """
    from merkit.features.raw_inputs import HeardExtraction, SeenExtraction
    from merkit.features.store import FeatureStore

    passes = (
        _Pass(FEATURES, ("speech", "text"), ("speech", "text"), heard or HeardExtraction(), "float16"),
        # sound is listened to again, for the pictures between the first and the last moment of voice
        _Pass(FACES, ("face",), ("face", "speech"), seen or SeenExtraction(), "uint8"),
    )
    have: dict[str, set[Modality]] = {clip.id: set() for clip in manifest.clips}
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
    templates: Mapping[str, str] = manifest.facts.get("templates", {})
    if templates:
        facts["submissions"] = copy_templates({p: manifest.root / name for p, name in templates.items()}, out)
    return replace(manifest, clips=tuple(clips), rejected=tuple(rejected), facts=facts)


@dataclass(frozen=True, slots=True)
class _Pass:
    """One store: what goes in, and which streams are read for it."""

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
