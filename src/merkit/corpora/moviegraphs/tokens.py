"""Tokens of one scene and one kind of features, on the scene's clock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from merkit.corpora.manifest import Rejected
from merkit.corpora.moviegraphs.arrays import mapped_array
from merkit.corpora.moviegraphs.clock import FRAMES_PER_S, frame_times, window_times
from merkit.corpora.moviegraphs.film import Part, Scene
from merkit.corpora.moviegraphs.options import Feature
from merkit.corpora.moviegraphs.subtitles import spoken_features
from merkit.corpora.moviegraphs.tree import Tree
from merkit.errors import MediaError

__all__ = ["SceneTokens", "scene_tokens"]


@dataclass(slots=True, eq=False)
class SceneTokens:
    """What one kind of features holds of a scene.

    Args:
        rows: `(entity, x (T, D), start_s (T,), end_s (T,))` in order of time; without tokens, without a row.
        rejected: clips whose features cannot be used.
        not_finite: numbers that were none and became 0.
    """

    rows: list[tuple[str | None, np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    not_finite: int = 0


def scene_tokens(
    tree: Tree, feature: Feature, scene: Scene, spoken: Mapping[str, Any], dtype: np.dtype | type
) -> SceneTokens:
    """Reads a scene's features, clip by clip.

    Every row is kept: what is sampled is chosen when training begins. A frame's token lasts a frame and stands at its
    beginning, a window's stands at its middle, and an utterance's at the middle of the utterance. One token for all words
    of a clip lasts as long as the clip.

    Args:
        tree: where things lie.
        feature: the kind.
        scene: with its clips and characters.
        spoken: clip -> the content of its text features, or why there is none; for text alone.
        dtype: of the tokens.
    """
    made = SceneTokens()
    pieces: dict[str | None, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
    for part in scene.parts:
        try:
            for entity, x, start_s, end_s in _MODALITIES[feature.modality](tree, feature, scene, part, spoken):
                x = np.asarray(x, np.float32)
                bad = ~np.isfinite(x)
                made.not_finite += int(bad.sum())
                with np.errstate(over="ignore"):
                    x = np.where(bad, np.float32(0), x).astype(dtype)
                if not np.isfinite(x).all():
                    raise MediaError(f"holds numbers beyond {np.dtype(dtype)}: keep them as float32",
                                     path=f"{feature.folder}/{scene.graph.movie}/{part.clip}")  # fmt: skip
                pieces.setdefault(entity, []).append((x, start_s, end_s))
        except MediaError as error:
            reason = f"{error.path}: {error.reason}"
            made.rejected.append(Rejected(scene.graph.id, reason, error.field, what=feature.store))
    for entity, found in pieces.items():
        x, start_s, end_s = (np.concatenate([piece[i] for piece in found]) for i in range(3))
        order = np.argsort(start_s, kind="stable")  # a character may have several tracks
        if len(x):
            made.rows.append((entity, x[order], start_s[order], end_s[order]))
    return made


_Piece = tuple[str | None, np.ndarray, np.ndarray, np.ndarray]


def _scenes(tree: Tree, feature: Feature, scene: Scene, part: Part, spoken: Mapping[str, Any]) -> Iterator[_Piece]:
    x = _array(tree, feature, scene, part)
    if feature.store == "scene_mvit_v1":
        start_s = window_times(len(x), part.offset_s)
        yield None, x, start_s, start_s + 16 / FRAMES_PER_S
    else:
        start_s = frame_times(np.arange(len(x)), part.offset_s)
        yield None, x, start_s, start_s + 1 / FRAMES_PER_S


def _faces(tree: Tree, feature: Feature, scene: Scene, part: Part, spoken: Mapping[str, Any]) -> Iterator[_Piece]:
    if part.faces is None or not any(named.any() for named in part.named.values()):
        return  # told already, or nobody is there
    x = _array(tree, feature, scene, part)
    if len(x) != len(part.faces):
        name = f"{feature.folder}/{scene.graph.movie}/{part.clip}.npy"
        raise MediaError(f"has {len(x)} rows; the tracks have {len(part.faces)} faces", path=name, field="header")
    start_s = frame_times(part.faces.frame, part.offset_s)
    for who in scene.characters:
        rows = np.flatnonzero(part.named[who]) if who in part.named else np.zeros(0, int)
        if len(rows):
            yield who, x[rows], start_s[rows], start_s[rows] + 1 / FRAMES_PER_S


def _texts(tree: Tree, feature: Feature, scene: Scene, part: Part, spoken: Mapping[str, Any]) -> Iterator[_Piece]:
    content = spoken[part.clip]
    if isinstance(content, MediaError):
        raise content
    name = f"{feature.folder}/{scene.graph.movie}/{part.clip}.pkl"
    x, times = spoken_features(content, feature.width, name)
    if times is None:
        times, length = np.zeros(len(x)), part.length_s
    else:
        length = 0.0
    yield None, x, part.offset_s + times, part.offset_s + times + length


_MODALITIES = {"scene": _scenes, "face": _faces, "text": _texts}


def _array(tree: Tree, feature: Feature, scene: Scene, part: Part) -> np.ndarray:
    path = tree.feature(feature, scene.graph.movie, part.clip)
    if path is None:
        raise MediaError("no such file", path=f"{feature.folder}/{scene.graph.movie}/{part.clip}.npy")
    return mapped_array(path, tree.name(path), feature.width)
