"""Graphs are read as their classes stored them, whichever networkx wrote them, and nothing of theirs runs."""

import ast
import collections
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from python2_pickles import Foreign, python2_pickle

from merkit.corpora import unpickle
from merkit.corpora.moviegraphs.graph import SceneGraph, read_graphs
from merkit.corpora.pickles import StandIn, unpickled
from merkit.errors import MediaError

MovieGraph = Foreign.of("GraphClasses", "MovieGraph")
ClipGraph = Foreign.of("GraphClasses", "ClipGraph")
DiGraph = Foreign.of("networkx.classes.digraph", "DiGraph")
CLIPS = ["scene-006.ss-0045.es-0048.mp4", "scene-007.ss-0049.es-0052.mp4"]


def digraph(nodes: dict, edges: list, layout: str = "1") -> Foreign:
    adj = {at: {} for at in nodes}
    pred = {at: {} for at in nodes}
    for source, target in edges:
        pred[target][source] = adj[source][target] = {}
    if layout == "1":
        factories = {f"{kind}_factory": dict for kind in ("node_dict", "adjlist_dict", "edge_attr_dict")}
        return DiGraph(graph={}, node=nodes, adj=adj, pred=pred, succ=adj, edge=adj, **factories)
    view = Foreign.of("networkx.classes.reportviews", "NodeView")(_nodes=nodes)
    return DiGraph(graph={}, _node=nodes, _adj=adj, _pred=pred, _succ=adj, nodes=view)


def nodes_and_edges() -> tuple[dict, list]:
    def attribute(name: str, subtype: str) -> dict:
        return {"name": name, "type": "attribute", "subtype": subtype, "origtext": f"{subtype}:{name}", "pos": (1, 2)}

    nodes = {
        3: {"name": " Forrest Gump ", "type": "entity", "chid": "ch01", "node_id": 0},
        1: {"name": "Jenny", "type": "entity", "chid": "ch02", "node_id": 1},
        7: attribute("Happy", "emo"),
        5: attribute("worried ", "emo"),
        8: attribute("young", "age"),
        9: {"name": "talks to", "type": "interaction"},
        -1: {"name": "date", "type": "situation"},
        11: {"name": "", "type": "entity"},
        12: {"type": "time", "start": 3, "end": 9},
    }
    # 5 -> 1 points from the emotion to the person, which says nothing of her
    return nodes, [(3, 7), (3, 5), (3, 8), (5, 1), (1, 9), (9, 3), (1, 7), (11, 7)]


def written(path: Path, graphs: dict, pickler=python2_pickle, **more) -> Path:
    film = MovieGraph(imdb_key="tt0109830", castlist=[{"chid": "ch01", "name": "Forrest Gump"}],
                      clip_graphs=collections.OrderedDict(graphs), static_info=collections.defaultdict(list), **more)  # fmt: skip
    path.write_bytes(pickler(collections.OrderedDict([("tt0109830", film), ("tt0000001", MovieGraph(clip_graphs={}))])))
    return path


def scene(layout: str = "1", clips=CLIPS) -> Foreign:
    video = {"movie": "tt0109830", "fname": clips, "scene": [6, 7], "ss": 45, "es": 52}
    return ClipGraph(
        G=digraph(*nodes_and_edges(), layout), video=video, situation="date", scene_label="park",
        description="They met\xe9.", orig_graph_json={"nodes": [{"name": "x"}]},
    )  # fmt: skip


@pytest.mark.parametrize("layout", ["1", "2"])
@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_people_emotions_and_clips_as_annotated(tmp_path, layout, protocol) -> None:
    path = written(tmp_path / "g.pkl", {6: scene(layout)}, lambda value: python2_pickle(value, protocol))
    films, rejected = read_graphs(path)
    assert rejected == []
    assert films == {
        "tt0109830": [
            SceneGraph(
                "tt0109830", 6, tuple(clip.removesuffix(".mp4") for clip in CLIPS), ("Forrest Gump", "Jenny"),
                (("Forrest Gump", "happy"), ("Forrest Gump", "worried"), ("Jenny", "happy")),
            )
        ],
        "tt0000001": [],
    }  # fmt: skip
    only = films["tt0109830"][0]
    assert only.id == "tt0109830_scene-006.ss-0045.es-0048"
    assert only.words("Forrest Gump") == ["happy", "worried"]


def test_order_is_the_files(tmp_path) -> None:
    clips = [f"scene-{n:03}.ss-0001.es-0002.mp4" for n in (9, 2, 5)]
    graphs = {n: scene(clips=[clip]) for n, clip in zip((9, 2, 5), clips, strict=True)}
    films, _ = read_graphs(written(tmp_path / "g.pkl", graphs))
    assert [each.number for each in films["tt0109830"]] == [9, 2, 5]


def test_the_scene_whose_graph_names_too_many_clips_has_its_first_alone(tmp_path) -> None:
    clips = ["scene-079.ss-0893.es-0935.mp4", "scene-080.ss-0936.es-0940.mp4"]
    film = MovieGraph(clip_graphs={79: scene(clips=clips)})
    (tmp_path / "g.pkl").write_bytes(python2_pickle({"tt1568346": film, "tt0109830": film}))
    films, _ = read_graphs(tmp_path / "g.pkl")
    assert [len(films[movie][0].clips) for movie in ("tt1568346", "tt0109830")] == [1, 2]


def test_one_broken_graph_is_named_and_the_others_are_read(tmp_path) -> None:
    graphs = {
        1: ClipGraph(video={"fname": ["a.mp4"]}),
        2: ClipGraph(G=digraph(*nodes_and_edges()), video={"fname": []}),
        3: "no graph",
        4: ClipGraph(G=digraph(*nodes_and_edges()), video={"fname": [3]}),
        6: scene(),
    }
    films, rejected = read_graphs(written(tmp_path / "g.pkl", graphs))
    assert [each.number for each in films["tt0109830"]] == [6]
    assert [(r.item, r.field) for r in rejected] == [
        ("tt0109830 scene 1", "g.pkl: G.node"),
        ("tt0109830 scene 2", "g.pkl: video.fname"),
        ("tt0109830 scene 3", "g.pkl: clip_graphs"),
        ("tt0109830 scene 4", "g.pkl: video.fname"),
    ]


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("GraphClassesX", "MovieGraph"), ("networkxx", "G"),
     ("subprocess", "Popen"), ("__builtin__", "getattr"), ("copy_reg", "__newobj__")],
)  # fmt: skip
def test_other_classes_are_refused_among_graphs_too(tmp_path, module, name) -> None:
    bad = Foreign.of(module, name)(command="true")
    with pytest.raises(MediaError, match=rf"g\.pkl: the pickle was refused: it calls {module}\.{name}"):
        read_graphs(written(tmp_path / "g.pkl", {6: scene(), 7: bad}))


def test_a_named_class_is_held_and_never_called(tmp_path) -> None:
    """Even where the pickle calls it like a function, with what would do harm."""
    mark = tmp_path / "it ran"
    program = b"\x80\x02cnetworkx.readwrite.gpickle\nos_system\nX" + len(str(mark)).to_bytes(4, "little")
    program += str(mark).encode() + b"\x85R}(X\x09\x00\x00\x00__class__X\x01\x00\x00\x00aub."
    (tmp_path / "g.pkl").write_bytes(program)
    with unpickled(tmp_path / "g.pkl", stand_ins={"networkx.*": ("__class__",)}) as found:
        assert found == StandIn("networkx.readwrite.gpickle.os_system", {"__class__": "a"})
    assert not mark.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"ccopy_reg\n_reconstructor\n(c__builtin__\nlist\nc__builtin__\nobject\nNtR.",
        b"ccopy_reg\n_reconstructor\n(cGraphClasses\nMovieGraph\nc__builtin__\nlist\n(ltR.",
        b"c__builtin__\nobject\n.",
        b"cGraphClasses\nMovieGraph\n.",
    ],
)
def test_the_makers_of_objects_make_stand_ins_alone(tmp_path, program) -> None:
    (tmp_path / "g.pkl").write_bytes(program)
    with pytest.raises(MediaError, match=r"g\.pkl"):
        read_graphs(tmp_path / "g.pkl")


def test_without_being_asked_for_there_are_no_stand_ins(tmp_path) -> None:
    path = written(tmp_path / "g.pkl", {6: scene()})
    with pytest.raises(MediaError, match=r"it calls (collections\.defaultdict|GraphClasses)"), unpickled(path):
        pass


@pytest.mark.parametrize("content", [[], {}, 3, {"tt1": 3}])
def test_what_holds_no_films(tmp_path, content) -> None:
    (tmp_path / "g.pkl").write_bytes(pickle.dumps(content))
    if content == {"tt1": 3}:
        films, rejected = read_graphs(tmp_path / "g.pkl")
        assert (films, rejected[0].item) == ({"tt1": []}, "tt1")
    else:
        with pytest.raises(MediaError, match="holds no films"):
            read_graphs(tmp_path / "g.pkl")


NOISE = """
import contextlib, io, random, resource, runpy, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
child = runpy.run_path(sys.argv[1])
reader, writer = child["_Reader"], child["_Writer"]
reader.stand_ins = {"GraphClasses.*": ("G", "video", "clip_graphs"), "networkx.*": ("node", "adj")}
before = set(sys.modules)
whole = open(sys.argv[2], "rb").read()
draw, read = random.Random(0), 0
for _ in range(600):
    noise = draw.randbytes(draw.randrange(1, 9))
    at = draw.randrange(len(whole))
    program = whole[:at] + noise + whole[at + len(noise) :]
    with contextlib.suppress(Exception):
        writer(sys.argv[3]).plain(reader(io.BytesIO(program), fix_imports=False, encoding="latin1").load())
        read += 1
print(read, sorted(set(sys.modules) - before))
"""


def test_noise_in_a_graph_is_an_error_and_nothing_worse(tmp_path) -> None:
    path = written(tmp_path / "g.pkl", {6: scene()})
    command = [sys.executable, "-I", "-c", NOISE, unpickle.__file__, str(path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    read, imported = done.stdout.split(" ", 1)
    assert 0 < int(read) < 600
    # whatever the noise names: neither networkx nor anything else of the pickle's choice was loaded
    assert not {"networkx", "GraphClasses", "os.system"} & set(ast.literal_eval(imported))
