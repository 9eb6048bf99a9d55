"""What statistics are counted over: the clips of a prepared corpus, their words, seconds, modalities and labels.

Labels of test are cut off here, before anything is counted, unless that split is asked for.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.errors import ConfigError, MediaError
from merkit.schema import MODALITIES

if TYPE_CHECKING:
    from merkit.corpora import Manifest
    from merkit.data.table import ClipTable
    from merkit.features import FeatureStore

__all__ = ["CountedCorpus", "read_counted"]

_HEARD_OR_SEEN = ("face", "scene", "speech")
_SPLITS = {"train": "0", "valid": "1", "test": "2"}


@dataclass(frozen=True, slots=True, eq=False)
class CountedCorpus:
    """`n` clips of one corpus.

    Args:
        name: the corpus.
        facts: licence, citation and the like, as the manifest has them.
        table: all clips, without a label.
        labelled: split -> its clips with labels: train and valid, or the one split that was asked for.
        answered: the clips of `labelled` as one table.
        split: the one that was asked for; None = train and valid.
        words: the words of every utterance, and `utterance_clip` says of which clip; clips without words have none.
        utterance_clip: `(U,)` int64.
        duration_s: `(n,)` float64 seconds, NaN where not known.
        media: modality -> `(n,)` bool, the clips that bring a file or words of it.
        features: modality -> `(n,)` bool, the clips that have tokens in the store; None where there is no store.
        headers: whether headers of media were read.
        rejected: how many clips `merkit prepare` left out.
    """

    name: str
    facts: Mapping[str, Any]
    table: "ClipTable"
    labelled: Mapping[str, "ClipTable"]
    answered: "ClipTable"
    split: str | None
    words: tuple[tuple[str, ...], ...]
    utterance_clip: np.ndarray
    duration_s: np.ndarray
    media: Mapping[str, np.ndarray]
    features: Mapping[str, np.ndarray] | None
    headers: bool
    rejected: int = 0

    @property
    def splits(self) -> dict[str, np.ndarray]:
        """Split -> `(n,)` bool, in the order train, valid, test; `all` where clips are in none."""
        names = sorted({str(name) for name in self.table.split}, key=lambda name: _SPLITS.get(name, "3" + name))
        return {name or "all": self.table.split == name for name in names}


def read_counted(
    source: Path,
    *,
    split: str | None = None,
    headers: bool = False,
    progress: Callable[[int, int, str], object] | None = None,
) -> CountedCorpus:
    """Reads what `merkit prepare` wrote, or a table of one's own, and the feature store beside it.

    Args:
        source: folder with a manifest, the manifest, or a CSV, JSONL or Parquet table.
        split: whose labels are counted; None = train and valid, or everything where clips are in no split.
        headers: read the header of every file whose clip's duration nothing else tells.
        progress: is told headers done and headers in all.

    Raises:
        ConfigError: there is no such corpus, or no clip in the split.
        StoreError: the store is damaged.
    """
    from merkit.corpora import clip_table, read_manifest
    from merkit.features.store import FeatureStore

    folder = source if source.is_dir() else source.parent
    if source.is_dir() and not (source / "manifest.parquet").is_file():
        raise ConfigError(f"{source}: no prepared corpus in there (`merkit prepare` makes one)")
    manifest = read_manifest(source)
    store = FeatureStore.open(folder / "features") if (folder / "features").is_dir() else None
    table = clip_table(manifest)
    words, of = _words(manifest, table, folder)
    labelled = _labelled(table, split)
    counted = [name for name in map(str, table.split) if name in labelled or "all" in labelled]
    return CountedCorpus(
        manifest.name,
        manifest.facts,
        replace(table, targets={}),
        labelled,
        table.take(np.isin(table.split, sorted({*counted}))),
        split,
        words,
        of,
        _duration_s(manifest, store, headers, progress),
        {
            modality: has
            for modality in MODALITIES
            if (has := np.array([any(s.modality == modality for s in clip.streams) for clip in manifest.clips])).any()
        },
        None if store is None else _features(manifest, store),
        headers,
        sum(each.what == "clip" for each in manifest.rejected),
    )


def _labelled(table: "ClipTable", split: str | None) -> dict[str, "ClipTable"]:
    there = {str(name) for name in table.split}
    if split is not None:
        if split not in there:
            raise ConfigError(f"corpus {table.name} has no clips in split {split}")
        return {split: table.where(split)}
    if there == {""}:
        return {"all": table}
    return {name: table.where(name) for name in ("train", "valid") if name in there}


def _words(manifest: "Manifest", table: "ClipTable", folder: Path) -> tuple[tuple[tuple[str, ...], ...], np.ndarray]:
    """The utterances: of a film from the table beside it, else the text of each clip."""
    from merkit.corpora.utterances import UTTERANCES_FILE, read_utterances
    from merkit.data.repeated_texts import normalise_text

    at = {clip.id: i for i, clip in enumerate(manifest.clips)}
    said: list[tuple[int, str]] = []
    if table.texts is not None:
        said = [(i, str(text)) for i, text in enumerate(table.texts)]
    elif (folder / UTTERANCES_FILE).is_file():
        said = [(at[each.clip], each.text) for each in read_utterances(folder) if each.clip in at]
    words = [(i, tuple(normalise_text(text).split())) for i, text in said if text.strip()]
    return tuple(held for _, held in words), np.array([i for i, _ in words], np.int64)


def _duration_s(
    manifest: "Manifest",
    store: "FeatureStore | None",
    headers: bool,
    progress: Callable[[int, int, str], object] | None,
) -> np.ndarray:
    """Of the span; else what extraction measured; else, where asked for, what the longest file's header says."""
    found = np.full(len(manifest), np.nan)
    held = set() if store is None else set(store.index["clip"].to_pylist())
    asked: dict[Path, list[int]] = {}
    for i, clip in enumerate(manifest.clips):
        if clip.span is not None:
            found[i] = clip.span[1] - clip.span[0]
        elif store is not None and clip.id in held and (known := store.about(clip.id).get("duration_s")):
            found[i] = known
        elif headers:
            for path in {s.path for s in clip.streams if s.modality in _HEARD_OR_SEEN and s.path is not None}:
                asked.setdefault(path, []).append(i)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done, (path, seconds) in enumerate(zip(asked, pool.map(_seconds, asked), strict=True), 1):
            found[asked[path]] = np.fmax(found[asked[path]], seconds)
            if progress is not None:
                progress(done, len(asked), path.name)
    return found


def _seconds(path: Path) -> float:
    """NaN where a file cannot be read, or is a picture."""
    # av and Pillow are loaded only where headers are asked for
    from merkit.features.still import is_still
    from merkit.media import probe

    try:
        return float("nan") if is_still(path) else probe(path).duration_s or float("nan")
    except MediaError:
        return float("nan")


def _features(manifest: "Manifest", store: "FeatureStore") -> dict[str, np.ndarray]:
    index = store.index.select(["clip", "modality"]).to_pydict()
    have: dict[str, set[str]] = {}
    for clip, modality in zip(index["clip"], index["modality"], strict=True):
        if modality is not None:
            have.setdefault(modality, set()).add(clip)
    return {
        modality: np.array([clip.id in have[modality] for clip in manifest.clips])
        for modality in MODALITIES
        if modality in have
    }
