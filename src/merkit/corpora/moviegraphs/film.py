"""What a film's scenes consist of, before any feature is read: who was followed in them, how long they are, what is said."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.corpora.manifest import Rejected
from merkit.corpora.moviegraphs.arrays import mapped_array, rows_of
from merkit.corpora.moviegraphs.clock import length_s, offsets_s
from merkit.corpora.moviegraphs.graph import SceneGraph
from merkit.corpora.moviegraphs.options import FEATURES
from merkit.corpora.moviegraphs.subtitles import read_subtitles
from merkit.corpora.moviegraphs.tracks import FaceRows, columns_of, face_rows, last_frame, named_tracks
from merkit.corpora.moviegraphs.tree import Tree
from merkit.corpora.pickles import unpickled_each
from merkit.errors import MediaError

if TYPE_CHECKING:
    from merkit.media.words import Cue

__all__ = ["Film", "Part", "Scene", "read_film"]

_PER_FRAME = ("scene_resnet50_places", "scene_generic")
_WINDOWS = "scene_mvit_v1"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One video clip of a scene.

    Args:
        clip: its name.
        offset_s: where it begins on the scene's clock, in seconds.
        length_s: how long it is.
        faces: every face of it, in the order of the rows of face features; None where its tracks cannot be used.
        named: name -> `(n,)` bool over `faces`.
        cues: what is said, on the clip's own clock.
    """

    clip: str
    offset_s: float
    length_s: float
    faces: FaceRows | None
    named: Mapping[str, np.ndarray]
    cues: "tuple[Cue, ...]"


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A scene that can be trained on.

    Args:
        graph: its graph.
        parts: its clips in order of time.
        characters: who is in its graph and has faces, most faces first, ties by name.
    """

    graph: SceneGraph
    parts: tuple[Part, ...]
    characters: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """The scenes of a film that can be trained on, and what was left out and why."""

    scenes: tuple[Scene, ...]
    rejected: tuple[Rejected, ...]


def read_film(
    tree: Tree, movie: str, graphs: Iterable[SceneGraph], threshold: float, scratch: Path | None = None
) -> Film:
    """Tracks, names and words of a film's scenes.

    A scene is left out without an emotion, or where nobody who has one was followed by name; of a scene that stays, every
    clip, and every character with an emotion, that cannot be used is told.

    Args:
        tree: where things lie.
        movie: IMDb key.
        graphs: its scenes.
        threshold: a track is a character's where its probability is above this.
        scratch: folder for what is unpickled.
    """
    graphs = list(graphs)
    rejected: list[Rejected] = []
    legal: list[SceneGraph] = []
    known: set[str] = set()
    for graph in graphs:
        try:
            for clip in graph.clips:
                tree.tracks(movie, clip)
        except MediaError as error:
            rejected.append(Rejected(f"{movie} scene {graph.number}", error.reason, f"video.fname {error.path}"))
            continue
        known |= set(graph.clips)
        if not graph.emotions:
            rejected.append(Rejected(graph.id, "no emotion in its graph"))
        elif graph.id in {other.id for other in legal}:
            rejected.append(Rejected(graph.id, "another graph begins with the same clip", f"scene {graph.number}"))
        else:
            legal.append(graph)
    if not known:
        return Film((), tuple(rejected))
    rejected += [Rejected(f"{movie}_{clip}", "no graph names this clip") for clip in sorted(tree.clips(movie) - known)]
    if not legal:
        return Film((), tuple(rejected))
    followed, columns = _tracks(tree, movie, [clip for graph in legal for clip in graph.clips], scratch)
    if isinstance(columns, MediaError):
        reason = f"whose its film's tracks are cannot be read: {columns}"
        return Film((), tuple(rejected + [Rejected(graph.id, reason) for graph in legal]))
    scenes = []
    for graph in legal:
        scene, said = _scene(tree, graph, followed, columns, threshold)
        rejected += said
        if scene is not None:
            scenes.append(scene)
    return Film(tuple(scenes), tuple(rejected))


def _tracks(
    tree: Tree, movie: str, clips: list[str], scratch: Path | None
) -> tuple[dict[str, Any], dict[str, int] | MediaError]:
    """clip -> its faces and the last frame with anybody, or why there are none; and name -> column of the film."""
    found: dict[str, Any] = {}
    columns: dict[str, int] | MediaError = MediaError("no such file", path=f"track_names/metadata/{movie}.pkl")
    paths: dict[Path, str | None] = {}
    if (path := tree.metadata(movie)) is not None:
        paths[path] = None
    for clip in dict.fromkeys(clips):
        path = tree.tracks(movie, clip)
        if path is None:
            found[clip] = MediaError("no such file", path=f"character_tracks/{movie}/{clip}.pkl")
        else:
            paths[path] = clip
    for path, content in unpickled_each(list(paths), scratch, objects=2):
        name, clip = tree.name(path), paths[path]
        problem = MediaError(content.reason, path=name) if isinstance(content, MediaError) else None
        try:
            if clip is None:
                columns = problem or columns_of(content[0], name)
            else:
                found[clip] = problem or (face_rows(content[1], name), last_frame(*content))
        except MediaError as error:
            if clip is None:
                columns = error
            else:
                found[clip] = error
    return found, columns


def _scene(
    tree: Tree, graph: SceneGraph, followed: Mapping[str, Any], columns: Mapping[str, int], threshold: float
) -> tuple[Scene | None, list[Rejected]]:
    said: list[Rejected] = []
    begun = []
    tracked: set[str] = set()
    for clip in graph.clips:
        faces, last, named = None, -1, {}
        try:
            if isinstance(followed[clip], MediaError):
                raise followed[clip]
            faces, last = followed[clip]
            ids = _names(tree, graph.movie, clip, columns, threshold)
            tracked |= set(ids)
            named = {who: np.isin(faces.track, ids[who]) for who in ids if who in graph.characters}
        except MediaError as error:
            said.append(_left_out(graph, error, "face"))
        cues: tuple[Cue, ...] = ()
        try:
            if (path := tree.subtitles(graph.movie, clip)) is not None:
                cues = tuple(read_subtitles(path, tree.name(path)))
        except MediaError as error:
            said.append(_left_out(graph, error, "words"))
        last_words = max((cue.end_s for cue in cues), default=0.0)
        length = length_s(*_rows(tree, graph.movie, clip), last, last_words)
        begun.append((clip, length, faces, named, cues))
    offsets = offsets_s([length for _, length, *_ in begun])
    parts = tuple(
        Part(clip, offset, length, faces, named, cues)
        for offset, (clip, length, faces, named, cues) in zip(offsets, begun, strict=True)
    )
    counts = {who: sum(int(part.named[who].sum()) for part in parts if who in part.named) for who in graph.characters}
    seen = tuple(sorted((who for who, count in counts.items() if count), key=lambda who: (-counts[who], who)))
    feeling = list(dict.fromkeys(who for who, _ in graph.emotions))
    if not set(seen) & set(feeling):
        return None, [
            *said,
            Rejected(graph.id, f"nobody who has an emotion was followed by name ({', '.join(feeling)})"),
        ]
    for who in feeling:
        if who not in seen:
            why = (
                "tracks of that name have no faces"
                if who in tracked
                else f"no track is theirs by more than {threshold:g}"
            )
            said.append(Rejected(graph.id, f"{who}: {why}", what=f"character {who}"))
    return Scene(graph, parts, seen), said


def _names(tree: Tree, movie: str, clip: str, columns: Mapping[str, int], threshold: float) -> dict[str, list[int]]:
    path = tree.names(movie, clip)
    if path is None:
        raise MediaError("no such file", path=f"track_names/{movie}/{clip}.npy")
    return named_tracks(mapped_array(path, tree.name(path)), columns, threshold, tree.name(path))


def _rows(tree: Tree, movie: str, clip: str) -> tuple[int | None, int | None]:
    """Frames and windows of a clip, from the headers of its features; a damaged file is told when it is converted."""
    found: list[int | None] = []
    for names in (_PER_FRAME, (_WINDOWS,)):
        count = None
        for name in names:
            with suppress(MediaError):
                path = tree.feature(FEATURES[name], movie, clip)
                if path is not None and count is None:
                    count = rows_of(path, tree.name(path), FEATURES[name].width)
        found.append(count)
    return found[0], found[1]


def _left_out(graph: SceneGraph, error: MediaError, what: str) -> Rejected:
    return Rejected(graph.id, f"{error.path}: {error.reason}", error.field, what=what)
