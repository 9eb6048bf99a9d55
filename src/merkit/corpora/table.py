"""From a manifest and its features to the columns that training reads."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from merkit.corpora.manifest import Manifest
from merkit.errors import ConfigError, StoreError
from merkit.schema import Clip, TargetSpec

if TYPE_CHECKING:
    from merkit.data.table import ClipTable, TargetColumn, TokenColumn
    from merkit.features.store import FeatureStore

__all__ = ["clip_table", "natural_order", "stored_column"]


def clip_table(
    manifest: Manifest,
    store: "FeatureStore | None" = None,
    modalities: Sequence[str] | None = None,
    *,
    in_memory: bool | None = None,
) -> "ClipTable":
    """The table of a corpus.

    Entities are numbered per clip: persons in the order of their numbers from 0, tokens of the clip as a whole are 0.
    Where one modality of a clip has both, the clip as a whole is 0 and persons begin at 1.

    Args:
        manifest: clips with their targets, groups, turns and words.
        store: their tokens. Clips that it lacks keep their row, without tokens: an absent modality is an ordinary
            input, and no clip vanishes from a result. None = no streams, for models that read the words.
        modalities: which to take; None = all that the store has.
        in_memory: whether tokens are read now; None = where there is room (`stored_column`).

    Raises:
        ConfigError: the store has none of the clips, or not one token of a modality that is asked for.
        StoreError: tokens of one modality differ in width or extractor, or a shard is damaged.

    Example:
        >>> from pathlib import Path
        >>> from merkit.schema import Stream
        >>> clip = Clip("a", (Stream("text", None, text="Hello"),), split="train")
        >>> clip_table(Manifest("tiny", (clip,), (), Path("."))).texts
        array(['Hello'], dtype='<U5')
    """
    # torch comes with merkit.data: a listing of corpora need not wait for it
    from merkit.data.table import ClipTable, Provenance

    clips = manifest.clips
    at = {clip.id: i for i, clip in enumerate(clips)}
    streams: dict[str, TokenColumn] = {}
    provenance: dict[str, Provenance] = {}
    hashes = np.full(len(clips), "", object)
    known: dict[str, str] = {}
    persons: list[tuple[str, ...]] = [_persons(target.entity for target in clip.targets) for clip in clips]
    if store is not None:
        streams, sources, persons, known = _streams(manifest, at, store, modalities, persons, in_memory)
        for clip, digest in known.items():
            hashes[at[clip]] = digest
        stated = manifest.facts.get("provenance", {})
        for modality, source in sources.items():
            about = stated.get(modality, {})
            provenance[modality] = Provenance(
                about.get("source", source), tuple(about.get("fitted_on", ())), tuple(about.get("statistics_on", ()))
            )
    kinds = sorted({kind for clip in clips for kind in clip.groups})
    turns = any("dialogue" in clip.groups and clip.turn is not None for clip in clips)
    words = [_words(clip, store, clip.id in known) for clip in clips]
    return ClipTable(
        manifest.name,
        np.array([clip.id for clip in clips], str),
        np.array([clip.split or "" for clip in clips], str),
        streams,
        {spec.name: _targets(spec, manifest, persons) for spec in manifest.specs},
        {kind: np.array([clip.groups.get(kind, "") for clip in clips], str) for kind in kinds},
        # a clip of no dialogue is a dialogue of its own
        np.array([clip.groups.get("dialogue") or f"\t{clip.id}" for clip in clips], str) if turns else None,
        np.array([clip.turn or 0 for clip in clips], np.int64) if turns else None,
        np.array(words, str) if any(words) else None,
        hashes.astype(str) if any(hashes) else None,
        provenance,
        _named(persons) if any(persons) else None,
    )


def _named(persons: list[tuple[str, ...]]) -> np.ndarray:
    """`(n,)` object: numpy would make a table of tuples of one length."""
    names = np.empty(len(persons), object)
    names[:] = persons
    return names


def _streams(
    manifest: Manifest,
    at: dict[str, int],
    store: "FeatureStore",
    modalities: Sequence[str] | None,
    persons: list[tuple[str, ...]],
    in_memory: bool | None,
) -> "tuple[dict[str, TokenColumn], dict[str, str], list[tuple[str, ...]], dict[str, str]]":
    index = store.index.select(["clip", "modality", "entity", "extractor_id", "input_sha256", "width"]).to_pydict()
    rows = [i for i, clip in enumerate(index["clip"]) if clip in at and index["modality"][i] is not None]
    if not rows:
        raise ConfigError(f"{store.path}: holds none of the {len(manifest)} clips of {manifest.name}")
    entities: dict[str, set[str]] = {}
    both: dict[tuple[str, str], set[bool]] = {}
    for i in rows:
        clip, entity = index["clip"][i], index["entity"][i]
        both.setdefault((clip, index["modality"][i]), set()).add(entity is None)
        if entity is not None:
            entities.setdefault(clip, set()).add(entity)
    shifted = {clip for (clip, _), kinds in both.items() if len(kinds) == 2}
    persons = list(persons)
    for clip, names in entities.items():
        persons[at[clip]] = _persons([*persons[at[clip]], *names])
    wanted = list(modalities) if modalities is not None else sorted({index["modality"][i] for i in rows})
    streams, sources = {}, {}
    for modality in wanted:
        own = [i for i in rows if index["modality"][i] == modality]
        if not own:
            raise ConfigError(
                f"{store.path}: no {modality} tokens; there are {', '.join(sorted(set(index['modality']) - {None}))}"
            )

        def place(i: int) -> tuple[int, int]:
            clip, entity = index["clip"][i], index["entity"][i]
            number = 0 if entity is None else persons[at[clip]].index(entity) + (clip in shifted)
            return at[clip], number

        named = any(index["entity"][i] is not None for i in own)
        streams[modality] = stored_column(store, modality, sorted((*place(i), i) for i in own), named, in_memory)
        made_by = sorted({index["extractor_id"][i] for i in own})
        if len(made_by) > 1:
            raise StoreError(f"{store.path}: {modality} tokens were made by {', '.join(made_by)}; extract them anew")
        sources[modality] = made_by[0]
    for clip in shifted:
        persons[at[clip]] = ("", *persons[at[clip]])
    known = {clip: sha for clip, sha in zip(index["clip"], index["input_sha256"], strict=True) if clip in at and sha}
    return streams, sources, persons, known


def stored_column(
    store: "FeatureStore",
    modality: str,
    places: list[tuple[int, int, int]],
    per_entity: bool,
    in_memory: bool | None = None,
) -> "TokenColumn":
    """Tokens of a store as one column, in memory or left where they are.

    Args:
        store: where they are.
        modality: for messages.
        places: `(clip, entity, row of the store)`, in order.
        per_entity: whether the entities are persons within clips.
        in_memory: read them all now; None = where they take no more than a quarter of the memory that is free. Results
            are the same.

    Raises:
        StoreError: there are none, they differ in width, or a shard is damaged.
    """
    from merkit.data.columns import Origin, TokenColumn
    from merkit.data.stored import StoredRows, fits_in_memory

    rows = np.array([row for _, _, row in places], np.int64)
    index = store.index.select(["width", "sha256", "length"]).take(rows)
    widths = sorted(set(index.column("width").to_pylist()))
    if len(widths) != 1:
        are = f"of width {', '.join(map(str, widths))}" if widths else "not there"
        raise StoreError(f"{store.path}: {modality} tokens are {are}")
    stored = StoredRows.of(store, rows)
    if in_memory is None:
        in_memory = fits_in_memory(stored.nbytes)
    x = stored[:] if in_memory else stored
    return TokenColumn(
        x,
        np.append(0, np.cumsum(index.column("length").to_numpy())).astype(np.int64),
        np.array([clip for clip, _, _ in places], np.int64),
        np.array([entity for _, entity, _ in places], np.int64),
        _start_s(store, rows),
        per_entity,
        Origin(x, np.array(index.column("sha256").to_pylist(), "S64")),
    )


def _start_s(store: "FeatureStore", rows: np.ndarray) -> np.ndarray:
    """Times of all tokens of these rows. One shard after the other: a large store has more of them than a process may map."""
    from merkit.features.shard import Shard

    index = store.index.select(["shard", "first_token", "length"]).take(rows).to_pydict()
    ends = np.cumsum(index["length"])
    start_s = np.empty(int(ends[-1]))
    by_shard: dict[str, list[int]] = {}
    for i, name in enumerate(index["shard"]):
        by_shard.setdefault(name, []).append(i)
    for name, places in by_shard.items():
        times = Shard(store.path / name, mapped=not name.startswith("parts/")).arrays["start_s"]
        for i in places:
            first, length = index["first_token"][i], index["length"][i]
            start_s[ends[i] - length : ends[i]] = times[first : first + length]
    return start_s


def _words(clip: Clip, store: "FeatureStore | None", held: bool) -> str:
    """What the corpus says; else what extraction found in subtitles, or heard."""
    given = [stream.text.strip() for stream in clip.streams if stream.modality == "text" and stream.text]
    if given or store is None or not held:
        return " ".join(given)
    segments = store.about(clip.id).get("segments", ())
    return " ".join(segment["text"] for segment in segments if segment.get("text"))


def _targets(spec: TargetSpec, manifest: Manifest, persons: list[tuple[str, ...]]) -> "TargetColumn":
    from merkit.data.table import TargetColumn

    single = spec.kind == "single_label"
    shape: tuple[int, ...] = (len(manifest.clips),)
    if spec.per_entity:
        shape = (*shape, max(1, *map(len, persons)))
    shape = shape if single else (*shape, len(spec.labels))
    value = np.zeros(shape, np.int64 if single else np.float32)
    valid = np.zeros(shape, bool)
    votes: np.ndarray | None = None
    for row, clip in enumerate(manifest.clips):
        for target in clip.targets:
            if target.spec.name != spec.name:
                continue
            place = (row,) if target.entity is None else (row, persons[row].index(target.entity))
            value[place] = target.value
            valid[place] = True if target.valid is None else (target.valid.all() if single else target.valid)
            if target.votes is not None and not spec.per_entity:
                votes = np.zeros((len(manifest.clips), len(spec.labels)), np.float32) if votes is None else votes
                votes[row] = target.votes
    return TargetColumn(spec, value, valid, votes)


def _persons(names: Iterable[str | None]) -> tuple[str, ...]:
    """Distinct names with `person_10` behind `person_9`."""
    return tuple(sorted({name for name in names if name is not None}, key=natural_order))


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sorts `person_10` behind `person_9`.

    Example:
        >>> sorted(["c10", "c9"], key=natural_order)
        ['c9', 'c10']
    """
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]
