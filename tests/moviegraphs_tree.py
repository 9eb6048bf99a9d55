"""A small tree with everything that the published MovieGraphs tree has, in its formats, with something to learn in it.

What is written is also returned, so that tests compare with it and not with another reader of the files. Widths are the
true ones; scenes are a second or two long. Every emotion has a direction in each kind of features; features are the sum of
the directions of what is shown, and noise.
"""

import collections
import json
import pickle
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from python2_pickles import Foreign, python2_pickle

WIDTHS = {
    "scene_mvit_v1": 768,
    "scene_resnet50_places": 2048,
    "scene_generic": 2048,
    "face_resnet50_fer": 2048,
    "face_emo": 4096,
    "face_generic": 512,
    **{
        f"text_{kind}_{tuned}": 768
        for kind in ("independent", "concat")
        for tuned in ("pretrained", "finetuned_t10", "finetuned_t25", "finetuned_t26")
    },
}
DEFAULT = (
    "scene_mvit_v1",
    "scene_resnet50_places",
    "face_resnet50_fer",
    "text_independent_pretrained",
    "text_independent_finetuned_t10",
)
# most frequent first, as in the published lists; the last five are of no top list, and one of no list at all
EMOTIONS = (
    *("happy", "worried", "calm", "excited", "quiet", "amused", "curious", "confused", "serious", "surprise"),
    *("friendly", "angry", "sad", "scared", "upset", "bored", "delighted", "nostalgic", "kind", "hangry"),
)
CAST = ("Ann Lee", "Bob", "Cleo d'Arc", "Dr. Drew", "Eve", "Fitz")


@dataclass
class WrittenClip:
    """One video clip: `frames` long, faces as `(frame, track, who)` in the order of their rows, words as `(start, end, text)`."""

    name: str
    frames: int
    faces: list[tuple[int, int, str | None]] = field(default_factory=list)
    words: list[tuple[float, float, str]] = field(default_factory=list)


@dataclass
class WrittenScene:
    """One scene: who shows what, in the graph's order, and its clips in order of time."""

    movie: str
    number: int
    clips: list[WrittenClip]
    shown: dict[str, list[str]]

    @property
    def id(self) -> str:
        """As the manifest names it."""
        return f"{self.movie}_{self.clips[0].name}"


@dataclass
class WrittenTree:
    """Everything that was written; `split` is film -> train, val or test, `features` by kind, film and clip."""

    root: Path
    split: dict[str, str]
    scenes: list[WrittenScene]
    features: dict[tuple[str, str, str], np.ndarray]


def direction(word: str, kind: str, strength: float = 0.6) -> np.ndarray:
    """`(D,)`: where an emotion points in a kind of features, the same in every tree."""
    rng = np.random.default_rng(zlib.crc32(f"{word} {kind}".encode()))
    return (strength * rng.normal(size=WIDTHS[kind])).astype(np.float32)


def write_moviegraphs(
    root: Path,
    *,
    movies: int = 5,
    scenes: int = 8,
    seed: int = 0,
    features: tuple[str, ...] = DEFAULT,
    frames: tuple[int, int] = (24, 48),
    networkx: str = "1",
) -> WrittenTree:
    """Writes the tree below `root`.

    Args:
        root: becomes the release's folder `data/`.
        movies: three fifths of them train, the others val and test.
        scenes: a film. Every third has two clips, every seventh three.
        seed: of everything that is drawn.
        features: kinds of features, of `WIDTHS`.
        frames: how long a clip is, from and to.
        networkx: `1` or `2`: how its graphs keep their nodes and edges.
    """
    rng = np.random.default_rng(seed)
    names = [f"tt{1000000 + 37 * i:07d}" for i in range(movies)]
    tests = vals = max(1, movies // 5)
    parts = ["train"] * (movies - vals - tests) + ["val"] * vals + ["test"] * tests
    tree = WrittenTree(root, dict(zip(names, parts, strict=True)), [], {})
    for movie in names:
        clip = 1
        for number in range(1, scenes + 1):
            count = 3 if number % 7 == 0 else 2 if number % 3 == 0 else 1
            scene = _scene(movie, number, clip, count, frames, rng)
            clip += count
            tree.scenes.append(scene)
            for each in scene.clips:
                write_clip(tree, scene, each, features, rng)
    for movie in names:
        metadata = {who: column for column, who in enumerate([*CAST, "others"])}
        back = {column: who for who, column in metadata.items()}
        write_pickles(root / "track_names" / "metadata" / f"{movie}.pkl", metadata, back)
    write_graphs(tree, networkx)
    split = {part: [movie for movie in names if tree.split[movie] == part] for part in ("train", "val", "test")}
    path = root / "MovieGraph" / "resources" / "split.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(split), "utf-8")
    return tree


def _scene(
    movie: str, number: int, clip: int, count: int, frames: tuple[int, int], rng: np.random.Generator
) -> WrittenScene:
    share = 1 / np.arange(2, len(EMOTIONS) + 2)
    people = [CAST[i] for i in rng.permutation(len(CAST))[: rng.integers(1, 4)]]
    shown = {
        who: [EMOTIONS[i] for i in rng.choice(len(EMOTIONS), rng.integers(1, 4), replace=False, p=share / share.sum())]
        for who in people
    }
    clips = []
    for i in range(count):
        name = f"scene-{clip + i:03d}.ss-{4 * (clip + i):04d}.es-{4 * (clip + i) + 3:04d}"
        length = int(rng.integers(frames[0], frames[1] + 1))
        # one track each, a second one for the first, and one that is nobody's; half of all frames show a face
        owners: list[str | None] = [*people, people[0], None]
        faces = [
            (frame, track, owners[track - 1])
            for frame in range(0, length, 2)
            for track in range(1, len(owners) + 1)
            if rng.random() < 0.7
        ]
        words = [
            (0.1 + 0.3 * j, 0.3 + 0.3 * j, f"{who} sounds {word} here.")
            for j, (who, word) in enumerate((who, words[0]) for who, words in shown.items())
        ]
        clips.append(WrittenClip(name, length, faces, words))
    return WrittenScene(movie, number, clips, shown)


def write_clip(
    tree: WrittenTree, scene: WrittenScene, clip: WrittenClip, features: tuple[str, ...], rng: np.random.Generator
) -> None:
    """Everything of one clip: tracks, names, words, features."""
    faces: dict[int, np.ndarray] = {}
    for frame in sorted({frame for frame, _, _ in clip.faces}):
        rows = [[5, 5, 40, 50, 0.9, frame, track - 1, track] for f, track, _ in clip.faces if f == frame]
        faces[frame] = np.array(rows, np.float64)
    clip.faces.sort(key=lambda face: face[0])
    persons = {frame: np.array([[0, 0, 60, 90, 1.0]]) for frame in range(clip.frames)}
    write_pickles(tree.root / "character_tracks" / scene.movie / f"{clip.name}.pkl", persons, faces)
    owner = {track: who for _, track, who in clip.faces}
    prob = np.full((max(owner, default=1), len(CAST) + 1), 0.02)
    for track, who in owner.items():
        if who is not None:
            prob[track - 1, CAST.index(who)] = 0.85
    write_array(tree.root / "track_names" / scene.movie / f"{clip.name}.npy", prob)
    write_subtitles(tree.root / "MovieGraph" / "srt" / "clip_srt" / scene.movie / f"{clip.name}.srt", clip.words)
    everyone = sorted({word for words in scene.shown.values() for word in words})
    for kind in features:
        modality, _, rest = kind.partition("_")
        rows = {"scene": clip.frames, "face": len(clip.faces), "text": len(clip.words)}[modality]
        if kind == "scene_mvit_v1":
            rows = -(-clip.frames // 16)
        x = rng.normal(size=(rows, WIDTHS[kind])).astype(np.float32)
        if modality == "face":
            for row, (_, _, who) in enumerate(clip.faces):
                for word in scene.shown.get(who, []):
                    x[row] += direction(word, kind)
        else:
            x += sum((direction(word, kind) for word in everyone), np.zeros(WIDTHS[kind], np.float32))
        if modality == "text":
            how, tuned = rest.split("_", 1)
            x = x[:1] if how == "concat" and rows else x
            times = [] if how == "concat" else [(start + end) / 2 for start, end, _ in clip.words]
            path = tree.root / "srt_feats" / how / tuned / scene.movie / f"{clip.name}.pkl"
            write_pickles(path, times, tensor(x) if len(x) else [])
        else:
            # the release's extractors stacked onto float64
            x = x.astype(np.float64) if kind in ("scene_mvit_v1", "face_generic") else x
            write_array(tree.root / f"{rest}_{modality}_features" / scene.movie / f"{clip.name}.npy", x)
        tree.features[kind, scene.movie, clip.name] = x


def tensor(x: np.ndarray) -> object:
    """As the release keeps text features: a torch tensor within a pickle."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(x))


def write_array(path: Path, x: np.ndarray) -> None:
    """A `.npy` file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, x)


def write_pickles(path: Path, *contents: object) -> None:
    """Pickles one after the other in one file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for content in contents:
            pickle.dump(content, file, protocol=3)


def write_subtitles(path: Path, words: list[tuple[float, float, str]]) -> None:
    """SubRip in cp1252."""

    def at(time_s: float) -> str:
        ms = round(1000 * time_s)
        return f"{ms // 3600000:02d}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"

    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = [f"{i}\r\n{at(s)} --> {at(e)}\r\n{text}\r\n" for i, (s, e, text) in enumerate(words, 1)]
    path.write_bytes("\r\n".join(blocks).encode("cp1252"))


def write_graphs(tree: WrittenTree, networkx: str = "1") -> None:
    """The pickle of all graphs, as Python 2 wrote it."""
    movie_graph = Foreign.of("GraphClasses", "MovieGraph")
    films: collections.OrderedDict[str, Foreign] = collections.OrderedDict()
    for movie in tree.split:
        graphs = collections.OrderedDict(
            (scene.number, clip_graph(scene, networkx)) for scene in tree.scenes if scene.movie == movie
        )
        castlist = [{"chid": f"ch{i:02d}", "name": who} for i, who in enumerate(CAST)]
        films[movie] = movie_graph(imdb_key=movie, castlist=castlist, clip_graphs=graphs, mergers=[])
    path = tree.root / "MovieGraph" / "mg" / "py3loader" / "2017-11-02-51-7637_py3.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(python2_pickle(films))


def clip_graph(scene: WrittenScene, networkx: str = "1") -> Foreign:
    """A scene's graph: people, what they feel, how old they are, what they do, where it is."""
    nodes: dict[int, dict] = {-1: {"name": "a scene", "type": "situation", "origtext": "a scene", "pos": (0, 0)}}
    edges: list[tuple[int, int]] = []
    place = 1
    for i, (who, words) in enumerate(scene.shown.items()):
        person = place
        nodes[person] = {"name": who, "type": "entity", "chid": f"ch{i:02d}", "node_id": i, "origtext": who}
        for subtype, word in [*(("emo", word) for word in words), ("age", "adult")]:
            place += 1
            nodes[place] = {"name": word, "type": "attribute", "subtype": subtype, "origtext": f"{subtype}:{word}"}
            edges.append((person, place))
        nodes[place + 1] = {"name": "talks to", "type": "interaction"}
        nodes[place + 2] = {"name": "0-9", "type": "time", "start": 0, "end": 9}
        edges += [(person, place + 1), (place + 1, place + 2), (place + 1, person)]
        place += 3
    adj: dict[int, dict] = {at: {} for at in nodes}
    pred: dict[int, dict] = {at: {} for at in nodes}
    for source, target in edges:
        adj[source][target] = pred[target][source] = {}
    kept = {"graph": {}, "node": nodes, "adj": adj, "pred": pred, "succ": adj, "edge": adj, "node_dict_factory": dict}
    if networkx == "2":
        kept = {"graph": {}, "_node": nodes, "_adj": adj, "_pred": pred, "_succ": adj}
    video = {
        "movie": scene.movie,
        "fname": [f"{clip.name}.mp4" for clip in scene.clips],
        "scene": [scene.number],
        "ss": 1,
        "es": 9,
    }
    return Foreign.of("GraphClasses", "ClipGraph")(
        G=Foreign.of("networkx.classes.digraph", "DiGraph")(**kept),
        video=video,
        situation="talk",
        scene_label="a café",
        description="They talk.",
        orig_graph_json={"nodes": [], "edges": []},
    )
