"""From the published tree to one feature store a kind of features, once.

Every scene is one record of every store, so that a run that was broken off is taken up where it was: a record is made anew
only where its files (by size and time of change), the characters, or the way of reading them are others.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.corpora.manifest import Rejected
from merkit.corpora.moviegraphs.film import Film, Scene
from merkit.corpora.moviegraphs.options import Feature, Options
from merkit.corpora.moviegraphs.tokens import SceneTokens, scene_tokens
from merkit.corpora.moviegraphs.tree import Tree
from merkit.corpora.pickles import unpickled_each
from merkit.errors import MediaError

if TYPE_CHECKING:
    from merkit.features.store import FeatureStore

__all__ = ["Stores"]

_READER = 1


class Stores:
    """The stores of a conversion: opened, filled film by film, finalised.

    Args:
        folder: where they go, one folder each.
        features: the kinds of features.
        options: how they are kept.
    """

    def __init__(self, folder: Path, features: Sequence[Feature], options: Options) -> None:
        # merkit.features loads torch, which a listing of corpora need not wait for
        from merkit.features.store import FeatureStore

        self.options = options
        self.features = list(features)
        self.stores: dict[str, FeatureStore] = {
            feature.store: FeatureStore.create(folder / feature.store, dtype=options.dtype) for feature in features
        }
        # asked once: the store looks at all of its parts anew after each that is added
        self._have = {name: {clip: store.key_of(clip) for clip in store.clips} for name, store in self.stores.items()}
        self._about = {name: {} for name in self.stores}
        self.not_finite: Counter[str] = Counter()

    def add(self, tree: Tree, film: Film, scratch: Path | None = None) -> Iterator[tuple[Scene, list[Rejected], int]]:
        """Converts a film's scenes; yields each with what could not be used of it, and how many stores have tokens of it."""
        keys = {
            feature.store: {scene.graph.id: _key(tree, feature, scene, self.options) for scene in film.scenes}
            for feature in self.features
        }
        todo = {
            feature: [
                s for s in film.scenes if self._have[feature.store].get(s.graph.id) != keys[feature.store][s.graph.id]
            ]
            for feature in self.features
            if feature.modality == "text"
        }
        spoken = _spoken(tree, todo, scratch)
        for scene in film.scenes:
            rejected: list[Rejected] = []
            filled = 0
            for feature in self.features:
                key = keys[feature.store][scene.graph.id]
                if self._have[feature.store].get(scene.graph.id) == key:
                    about = self._known(feature.store, scene.graph.id)
                else:
                    made = scene_tokens(
                        tree, feature, scene, spoken.get(feature.store, {}), np.dtype(self.options.dtype)
                    )
                    about = self._add(feature, scene, key, made)
                rejected += [Rejected(**each) for each in about["rejected"]]
                self.not_finite[feature.store] += about["not_finite"]
                filled += bool(about["tokens"])
            yield scene, rejected, filled

    def finalise(self) -> None:
        """Packs each store's scenes into shards."""
        for store in self.stores.values():
            store.finalise()

    def _add(self, feature: Feature, scene: Scene, key: str, made: SceneTokens) -> dict[str, Any]:
        from merkit.features.shard import ClipRecord, Row

        rows = tuple(
            Row(feature.modality, entity, feature.extractor_id, x, start_s, end_s, np.full(len(x), -1, np.int32))
            for entity, x, start_s, end_s in made.rows
        )
        about = {
            "clips": [{"clip": p.clip, "offset_s": p.offset_s, "length_s": p.length_s} for p in scene.parts],
            "duration_s": scene.parts[-1].offset_s + scene.parts[-1].length_s,
            "rejected": [asdict(rejected) for rejected in made.rejected],
            "not_finite": made.not_finite,
            "tokens": sum(len(row.x) for row in rows),
        }
        # what the features were made from is not at hand, so two scenes can never be told to be the same media
        self.stores[feature.store].add(ClipRecord(scene.graph.id, key, "", about, rows))
        return about

    def _known(self, name: str, scene: str) -> dict[str, Any]:
        """What was said of a scene when it was converted."""
        if not self._about[name]:
            self._about[name] = _abouts(self.stores[name])
        return self._about[name][scene]


def _abouts(store: "FeatureStore") -> dict[str, dict[str, Any]]:
    """Of all scenes at once: asking for them one by one opens a part for each."""
    return {clip: store.about(clip) for clip in store.clips}


def _spoken(tree: Tree, todo: Mapping[Feature, Sequence[Scene]], scratch: Path | None) -> dict[str, dict[str, Any]]:
    """store -> clip -> its two pickles, or why they cannot be read."""
    found: dict[str, dict[str, Any]] = {feature.store: {} for feature in todo}
    paths: dict[Path, tuple[str, str]] = {}
    for feature, scenes in todo.items():
        for scene in scenes:
            for part in scene.parts:
                try:
                    path = tree.feature(feature, scene.graph.movie, part.clip)
                    if path is None:
                        name = f"{feature.folder}/{scene.graph.movie}/{part.clip}.pkl"
                        raise MediaError("no such file", path=name)
                    paths[path] = feature.store, part.clip
                except MediaError as error:
                    found[feature.store][part.clip] = error
    for path, content in unpickled_each(list(paths), scratch, objects=2):
        if isinstance(content, MediaError):
            content = MediaError(content.reason, path=tree.name(path))
        store, clip = paths[path]
        found[store][clip] = content
    return found


def _key(tree: Tree, feature: Feature, scene: Scene, options: Options) -> str:
    from merkit.features.record import record_key

    movie = scene.graph.movie
    files = [_stamp(lambda clip=part.clip: tree.feature(feature, movie, clip)) for part in scene.parts]
    identity: dict[str, Any] = {
        "reader": _READER,
        "dtype": options.dtype,
        "clips": [[part.clip, part.offset_s, part.length_s] for part in scene.parts],
    }
    if feature.modality == "face":
        files += [
            _stamp(lambda clip=part.clip, place=place: place(movie, clip))
            for part in scene.parts
            for place in (tree.tracks, tree.names)
        ]
        identity["named"] = [_named(part.named) for part in scene.parts]
    return record_key(hashlib.sha256(json.dumps(files).encode()).hexdigest(), identity)


def _named(named: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for who in sorted(named):
        digest.update(f"{who}\0".encode() + np.packbits(named[who]).tobytes())
    return digest.hexdigest()


def _stamp(found: Callable[[], Path | None]) -> list[int] | None:
    """Size and time of change of a file; None where there is none, or none that may be read."""
    try:
        path = found()
        about = None if path is None else path.stat()
    except (MediaError, OSError):
        return None
    return None if about is None else [about.st_size, about.st_mtime_ns]
