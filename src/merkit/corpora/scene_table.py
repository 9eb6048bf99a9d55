"""From prepared scenes, with their characters by name, to the table that scene models train on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from merkit.corpora.manifest import Manifest
from merkit.corpora.utterances import Said
from merkit.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from merkit.data.table import ClipTable, TargetColumn, TokenColumn
    from merkit.features.store import FeatureStore

__all__ = ["scene_table"]


def scene_table(
    manifest: Manifest,
    stores: "Mapping[str, FeatureStore]",
    *,
    said: Sequence[Said] = (),
    spoken: np.ndarray | None = None,
    characters: int = 4,
) -> "ClipTable":
    """Scenes with the streams `scene`, `face`, `text`, `lines`, as far as they are there.

    A scene's characters are those with face tokens or lines, most face tokens first, then most lines, then by name; those
    beyond `characters` are left out. Whom the targets name and nobody shows is left out too: there is nothing to answer
    from.

    Args:
        manifest: clips are scenes.
        stores: `scene`, `face`, `text` -> the store that holds those tokens; one store may serve several.
        said: utterances, in the order of their clips.
        spoken: `(len(said), D)` one token an utterance: it becomes `text`, and `lines` where the speaker is known, in place
            of a store's text tokens.
        characters: `N`.

    Raises:
        ConfigError: a store has nothing of the manifest's scenes.
        StoreError: tokens of one stream differ in width or extractor.
    """
    from merkit.data.table import ClipTable

    at = {clip.id: row for row, clip in enumerate(manifest.clips)}
    rows = {name: _rows(manifest, at, store, name) for name, store in stores.items()}
    known = [i for i, each in enumerate(said) if each.clip in at] if spoken is not None else []
    names = _ranked(manifest, at, rows, [said[i] for i in known], characters)
    streams: dict[str, TokenColumn] = {}
    sources: dict[str, str] = {}
    for name, store in stores.items():
        streams[name], sources[name] = _stored(store, name, rows[name], names)
    if spoken is not None:
        streams |= _spoken([said[i] for i in known], spoken[known], at, names)
    kinds = sorted({kind for clip in manifest.clips for kind in clip.groups})
    words: list[list[str]] = [[] for _ in names]
    for each in said:
        if each.clip in at:
            words[at[each.clip]].append(each.text)
    return ClipTable(
        manifest.name,
        np.array([clip.id for clip in manifest.clips], str),
        np.array([clip.split or "" for clip in manifest.clips], str),
        streams,
        {spec.name: _target(spec.name, manifest, names, characters) for spec in manifest.specs},
        {kind: np.array([clip.groups.get(kind, "") for clip in manifest.clips], str) for kind in kinds},
        texts=np.array([" ".join(each) for each in words], str) if any(words) else None,
        provenance=_provenance(manifest, sources),
        entities=names,
    )


def _rows(
    manifest: Manifest, at: Mapping[str, int], store: "FeatureStore", modality: str
) -> list[tuple[int, str | None, int, int]]:
    """`(row of the scene, entity, row of the store, tokens)` of one modality."""
    index = store.index.select(["clip", "modality", "entity", "length"]).to_pydict()
    found = [
        (at[clip], index["entity"][i], i, index["length"][i])
        for i, clip in enumerate(index["clip"])
        if clip in at and index["modality"][i] == modality
    ]
    if not found:
        raise ConfigError(f"{store.path}: no {modality} tokens of {manifest.name}")
    return found


def _ranked(
    manifest: Manifest,
    at: Mapping[str, int],
    rows: Mapping[str, list[tuple[int, str | None, int, int]]],
    said: Sequence[Said],
    characters: int,
) -> np.ndarray:
    """`(n,)` object: the names of each scene's characters."""
    seen: list[dict[str, list[int]]] = [{} for _ in manifest.clips]
    for row, entity, _, tokens in rows.get("face", ()):
        if entity is not None and tokens:
            seen[row].setdefault(entity, [0, 0])[0] += tokens
    for each in said:
        if each.entity is not None:
            seen[at[each.clip]].setdefault(each.entity, [0, 0])[1] += 1
    names = np.empty(len(seen), object)
    names[:] = [tuple(sorted(who, key=lambda name: (*(-n for n in who[name]), name))[:characters]) for who in seen]
    return names


def _stored(
    store: "FeatureStore", modality: str, rows: list[tuple[int, str | None, int, int]], names: np.ndarray
) -> "tuple[TokenColumn, str]":
    from merkit.corpora.table import stored_column

    places = []
    for row, entity, i, _ in rows:
        if entity is None:
            # faces that belong to nobody tell of no character
            places += [(row, 0, i)] if modality != "face" else []
        elif entity in names[row]:
            places.append((row, names[row].index(entity), i))
    made_by = sorted(set(store.index.column("extractor_id").take([i for *_, i in places]).to_pylist()))
    if len(made_by) > 1:
        raise StoreError(f"{store.path}: {modality} tokens were made by {', '.join(made_by)}; make them anew")
    return stored_column(store, modality, sorted(places), modality == "face"), made_by[0] if made_by else ""


def _spoken(said: Sequence[Said], x: np.ndarray, at: Mapping[str, int], names: np.ndarray) -> "dict[str, TokenColumn]":
    """`text` of everyone, and `lines` of the characters."""
    from merkit.data.scenes import column_of_rows

    scene = np.array([at[each.clip] for each in said], np.int64)
    place = np.array([names[row].index(each.entity) if each.entity in names[row] else -1
                      for row, each in zip(scene, said, strict=True)], np.int64)  # fmt: skip
    start_s = np.array([each.start_s for each in said], float)
    columns = {}
    for name, entity, kept in (("text", np.zeros_like(place), place >= -1), ("lines", place, place >= 0)):
        order = np.flatnonzero(kept)
        order = order[np.lexsort((start_s[order], entity[order], scene[order]))]
        if len(order):
            columns[name] = column_of_rows(
                x[order], scene[order], entity[order], start_s[order], per_entity=name == "lines"
            )
    return columns


def _target(name: str, manifest: Manifest, names: np.ndarray, characters: int) -> "TargetColumn":
    from merkit.data.table import TargetColumn

    spec = next(spec for spec in manifest.specs if spec.name == name)
    shape = (len(names), characters, len(spec.labels)) if spec.per_entity else (len(names), len(spec.labels))
    value, valid = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for row, clip in enumerate(manifest.clips):
        for target in clip.targets:
            if target.spec.name != name:
                continue
            if target.entity is not None and target.entity not in names[row]:
                continue
            place = (row,) if target.entity is None else (row, names[row].index(target.entity))
            value[place] = target.value
            valid[place] = True if target.valid is None else target.valid
    return TargetColumn(spec, value, valid)


def _provenance(manifest: Manifest, sources: Mapping[str, str]) -> dict:
    from merkit.data.table import Provenance

    stated = manifest.facts.get("provenance", {})
    found = {}
    for name, source in sources.items():
        about = stated.get(source, stated.get(name, {}))
        found[name] = Provenance(
            about.get("source", source), tuple(about.get("fitted_on", ())), tuple(about.get("statistics_on", ()))
        )
    return found
