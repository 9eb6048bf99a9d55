"""The graphs of scenes: which clips a scene consists of, who is in it, and which emotions annotators gave to whom.

The pickle holds objects of the release's own classes and of networkx 1.x. They are read as stand-ins: neither is imported.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merkit.corpora.manifest import Rejected
from merkit.corpora.pickles import StandIn, unpickled
from merkit.errors import MediaError

__all__ = ["SceneGraph", "read_graphs"]

# What is told of each class. networkx 1 keeps `node` and `adj`, networkx 2 and 3 `_node` and `_adj`.
_STAND_INS = {
    "GraphClasses.MovieGraph": ("imdb_key", "clip_graphs"),
    "GraphClasses.ClipGraph": ("G", "video"),
    "GraphClasses.*": (),
    "networkx.classes.digraph.DiGraph": ("node", "_node", "adj", "_adj"),
    "networkx.*": (),
}
# Loading EmoTx's own code leaves all but the first clip of this scene out: the graph names more than belong to it.
_FIRST_ALONE = {("tt1568346", "scene-079.ss-0893.es-0935")}


@dataclass(frozen=True, slots=True)
class SceneGraph:
    """What is known of one scene.

    Args:
        movie: IMDb key.
        number: of the scene in its film.
        clips: names of its video clips in order of time, without suffix.
        characters: names of everyone in it, in the graph's order.
        emotions: `(character, word)` in the graph's order, as often as they were given; words in lower case.
    """

    movie: str
    number: int
    clips: tuple[str, ...]
    characters: tuple[str, ...]
    emotions: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        """`tt0109830_scene-006.ss-0045.es-0048`: the film and its first clip."""
        return f"{self.movie}_{self.clips[0]}"

    def words(self, character: str) -> list[str]:
        """The distinct words of one character, in order."""
        return list(dict.fromkeys(word for name, word in self.emotions if name == character))


def read_graphs(path: Path, scratch: Path | None = None) -> tuple[dict[str, list[SceneGraph]], list[Rejected]]:
    """All scenes by film, in the order of the file, and what could not be read of it.

    Args:
        path: the pickle of the release, `2017-11-02-51-7637_py3.pkl`.
        scratch: folder for what the reading child leaves.

    Raises:
        MediaError: the pickle is damaged, calls what it should not, or holds no graphs.
    """
    with unpickled(path, scratch, stand_ins=_STAND_INS) as content:
        if not isinstance(content, dict) or not content:
            raise MediaError("holds no films: a dict of graphs by IMDb key was expected", path=path)
        films: dict[str, list[SceneGraph]] = {}
        rejected: list[Rejected] = []
        for movie, film in content.items():
            films[str(movie)] = []
            graphs = film.state.get("clip_graphs") if isinstance(film, StandIn) else None
            if not isinstance(graphs, dict):
                rejected.append(Rejected(str(movie), "its graphs cannot be read", f"{path.name}: clip_graphs"))
                continue
            for number, graph in graphs.items():
                try:
                    films[str(movie)].append(_scene(str(movie), number, graph))
                except MediaError as error:
                    rejected.append(Rejected(f"{movie} scene {number}", error.reason, f"{path.name}: {error.field}"))
    return films, rejected


def _scene(movie: str, number: Any, graph: Any) -> SceneGraph:
    if not isinstance(graph, StandIn) or not isinstance(number, int):
        raise MediaError("is no graph of a scene", field="clip_graphs")
    video = graph.state.get("video")
    names = video.get("fname") if isinstance(video, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise MediaError("names no clips", field="video.fname")
    clips = tuple(dict.fromkeys(name.removesuffix(".mp4") for name in names))
    if (movie, clips[0]) in _FIRST_ALONE:
        clips = clips[:1]
    inner = graph.state.get("G")
    state = inner.state if isinstance(inner, StandIn) else {}
    nodes = _dict(state, "node", "_node")
    edges = _dict(state, "adj", "_adj")
    name = {at: about["name"].strip() for at, about in nodes.items() if _is(about, "entity")}
    word = {
        at: about["name"].strip().lower()
        for at, about in nodes.items()
        if _is(about, "attribute") and str(about.get("subtype", "")).strip().lower() == "emo"
    }
    emotions = tuple(
        (name[source], word[target]) for source, target in _pairs(edges) if source in name and target in word
    )
    return SceneGraph(movie, number, clips, tuple(dict.fromkeys(name.values())), emotions)


def _dict(state: Mapping[str, Any], *names: str) -> dict[Any, Any]:
    found = next((state[name] for name in names if isinstance(state.get(name), dict)), None)
    if found is None:
        raise MediaError("has no nodes or no edges", field=f"G.{names[0]}")
    return found


def _is(about: Any, kind: str) -> bool:
    return (
        isinstance(about, dict)
        and about.get("type") == kind
        and isinstance(about.get("name"), str)
        and bool(about["name"].strip())
    )


def _pairs(edges: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    for source, targets in edges.items():
        if isinstance(targets, dict):
            for target in targets:
                yield source, target
