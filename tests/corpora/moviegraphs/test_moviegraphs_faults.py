"""What is missing, damaged or hostile is told by scene, file and field, and keeps nothing else from being read."""

import json
import os
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from moviegraphs_tree import (
    CAST,
    WrittenClip,
    WrittenScene,
    tensor,
    write_array,
    write_clip,
    write_graphs,
    write_moviegraphs,
    write_pickles,
)

from merkit.corpora import CORPORA
from merkit.corpora.moviegraphs import Options, with_options
from merkit.corpora.moviegraphs.film import read_film
from merkit.corpora.moviegraphs.graph import read_graphs
from merkit.corpora.moviegraphs.tree import Tree
from merkit.corpora.paths import Root
from merkit.errors import ConfigError, MediaError
from merkit.features.store import FeatureStore

KINDS = ("scene_mvit_v1", "face_generic", "text_independent_pretrained")
SMALL = Options(features=KINDS[:2])
SPOKEN = Options(features=KINDS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Three films of seven scenes: 1, 2, 4 and 5 of one clip, 3 and 6 of two, 7 of three."""
    return write_moviegraphs(
        tmp_path_factory.mktemp("faults") / "data", movies=3, scenes=7, features=KINDS, frames=(16, 24)
    )


@pytest.fixture
def tree(written, tmp_path):
    shutil.copytree(written.root, tmp_path / "data", copy_function=os.link)  # files are replaced, never written into
    return replace(written, root=tmp_path / "data", scenes=list(written.scenes))


def put(path, write, *what) -> None:
    path.unlink(missing_ok=True)
    write(path, *what)


def read(tree, options=SMALL):
    manifest = with_options(options).read(tree.root, tree.root.parent / "out")
    told = {(r.item, r.what): r for r in manifest.rejected}
    return manifest, told


def stored(tree, kind: str, scene, modality: str, entity=None):
    return FeatureStore.open(tree.root.parent / "out" / "stores" / kind).read(scene.id, modality, entity)


def file_of(tree, kind: str, scene, part: int = 0):
    folder = {"scene_mvit_v1": "mvit_v1_scene_features", "face_generic": "generic_face_features",
              "text_independent_pretrained": "srt_feats/independent/pretrained"}[kind]  # fmt: skip
    suffix = "pkl" if kind.startswith("text") else "npy"
    return tree.root / folder / scene.movie / f"{scene.clips[part].name}.{suffix}"


class _Bad:
    def __reduce__(self):
        return os.system, ("true",)


def huge(path) -> None:
    """A header that promises rows for which no machine has memory."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 768)})
        file.write(b"\0" * 64)


ARRAYS = [
    (lambda path: path.write_bytes(b""), "not readable as .npy"),
    (lambda path: path.write_bytes(b"<html>gone</html>" * 9), "not readable as .npy"),
    (lambda path: np.save(path, np.ones((3, 767))), "rows of 767 numbers where 768 were expected"),
    (lambda path: np.save(path, np.ones(768)), r"has shape (768,), not rows"),
    (lambda path: np.save(path, np.array([["a"] * 768])), "holds <U1, not numbers"),
    (lambda path: np.save(path, np.array([[_Bad()] * 768]), allow_pickle=True), "holds object, not numbers"),
    (huge, "damaged: 192 bytes where its header says 6144000128"),
    (lambda path: None, "no such file"),
    (lambda path: path.mkdir(), "not a regular file"),
    (lambda path: path.symlink_to("/etc/hostname"), "is a link that leaves the root"),
]


def test_scene_features_that_cannot_be_used(tree) -> None:
    """One fault in each of some scenes: file and reason are told, and the scene's other features are there."""
    scenes = [scene for scene in tree.scenes if len(scene.clips) == 1][: len(ARRAYS)]
    for scene, (write, _) in zip(scenes, ARRAYS, strict=True):
        path = file_of(tree, "scene_mvit_v1", scene)
        path.unlink()
        write(path)
    few = next(scene for scene in tree.scenes if len(scene.clips) == 3)
    put(file_of(tree, "face_generic", few, 2), write_array, np.zeros((3, 512), np.float32))
    manifest, told = read(tree)
    rejected = told.pop((few.id, "face_generic"))
    assert rejected.reason.endswith(f"has 3 rows; the tracks have {len(few.clips[2].faces)} faces")
    for scene, (_, reason) in zip(scenes, ARRAYS, strict=True):
        rejected = told.pop((scene.id, "scene_mvit_v1"))
        assert reason in rejected.reason
        assert str(file_of(tree, "scene_mvit_v1", scene).relative_to(tree.root)) in rejected.reason
        assert stored(tree, "scene_mvit_v1", scene, "scene") is None
        assert stored(tree, "face_generic", scene, "face", next(iter(scene.shown))) is not None
    assert told == {}
    assert len(manifest) == len(tree.scenes)


TEXTS = [
    (([0.1], np.zeros((2, 768), np.float32)), "1 times for 2 utterances", "times"),
    (([0.1, "late"], np.zeros((2, 768), np.float32)), "holds what is no time", "times"),
    (([0.1, float("nan")], np.zeros((2, 768), np.float32)), "holds what is no time", "times"),
    (([0.1], np.zeros((1, 12), np.float32)), "rows of 12 numbers", "features"),
    (([0.1], "words"), "is no array", "features"),
    (([0.1],), "1 pickles where 2 were expected", None),
    (([0.1], _Bad()), "it calls posix.system, which is not allowed", None),
]


def test_text_features_that_cannot_be_used(tree) -> None:
    """One fault in each of some scenes; in a scene of three clips the second has no file; in another nothing is said."""
    *scenes, silent = [scene for scene in tree.scenes if len(scene.clips) == 1][: len(TEXTS) + 1]
    for scene, (contents, *_) in zip(scenes, TEXTS, strict=True):
        put(file_of(tree, "text_independent_pretrained", scene), write_pickles, *contents)
    three = next(scene for scene in tree.scenes if len(scene.clips) == 3)
    file_of(tree, "text_independent_pretrained", three, 1).unlink()
    put(file_of(tree, "text_independent_pretrained", silent), write_pickles, [], [])
    (tree.root / "MovieGraph/srt/clip_srt" / silent.movie / f"{silent.clips[0].name}.srt").unlink()
    manifest, told = read(tree, SPOKEN)
    for scene, (_, reason, field) in zip(scenes, TEXTS, strict=True):
        rejected = told.pop((scene.id, "text_independent_pretrained"))
        assert reason in rejected.reason
        assert rejected.field == field
        assert f"{scene.clips[0].name}.pkl" in rejected.reason
    assert "no such file" in told.pop((three.id, "text_independent_pretrained")).reason
    assert told == {}  # to say nothing is no fault
    assert stored(tree, "text_independent_pretrained", silent, "text") is None
    assert next(clip for clip in manifest.clips if clip.id == silent.id).streams == ()
    # no per-frame features: a clip is as long as MViT's windows say, and the third stays where it was
    offsets = np.cumsum([0, *(-(-clip.frames // 16) * 16 for clip in three.clips)]) / (24000 / 1001)
    want = [offsets[i] + (s + e) / 2 for i in (0, 2) for s, e, _ in three.clips[i].words]
    assert stored(tree, "text_independent_pretrained", three, "text").start_s == pytest.approx(want)


def test_a_name_without_faces_and_a_name_without_tracks_are_told_and_end_nothing(tree) -> None:
    """The published code ends with KeyError at the first, and leaves the second out in silence."""
    scene = next(scene for scene in tree.scenes if len(scene.shown) == 1 and len(scene.clips) == 1)
    (who,) = scene.shown
    faceless, unseen = [name for name in CAST if name != who][:2]
    shown = {**scene.shown, faceless: ["sad"], unseen: ["angry"]}
    tree.scenes[tree.scenes.index(scene)] = replace(scene, shown=shown)
    write_over_graphs(tree)
    path = tree.root / "track_names" / scene.movie / f"{scene.clips[0].name}.npy"
    prob = np.load(path)
    extra = np.full((1, prob.shape[1]), 0.01)
    extra[0, CAST.index(faceless)] = 0.99  # a track of which no face was kept
    put(path, write_array, np.concatenate([prob, extra]))
    manifest, told = read(tree)
    assert told.pop((scene.id, f"character {faceless}")).reason == f"{faceless}: tracks of that name have no faces"
    assert "no track is theirs by more than 0.5" in told.pop((scene.id, f"character {unseen}")).reason
    assert told == {}
    clip = next(clip for clip in manifest.clips if clip.id == scene.id)
    assert [t.entity for t in clip.targets] == [None, who, *sorted((faceless, unseen))]
    assert stored(tree, "face_generic", scene, "face", faceless) is None


def write_over_graphs(tree) -> None:
    (tree.root / "MovieGraph/mg/py3loader/2017-11-02-51-7637_py3.pkl").unlink()
    write_graphs(tree)


def test_scenes_that_are_left_out_and_why(tree) -> None:
    silent, alone, first = [scene for scene in tree.scenes if len(scene.clips) == 1][:3]
    at = tree.scenes.index
    tree.scenes[at(silent)] = replace(silent, shown={who: [] for who in silent.shown})
    stranger = next(who for who in CAST if who not in alone.shown)
    tree.scenes[at(alone)] = replace(alone, shown={stranger: ["happy"]})
    tree.scenes[at(first)] = replace(first, clips=[WrittenClip("../../../secret", 9)])
    tree.scenes.append(replace(tree.scenes[-1], number=90, shown={CAST[0]: ["calm"]}))
    write_over_graphs(tree)
    bare = next(scene for scene in tree.scenes[7:14] if len(scene.clips) == 1)
    for kind in KINDS:
        file_of(tree, kind, bare).unlink()
    manifest, told = read(tree)
    assert told[silent.id, "clip"].reason == "no emotion in its graph"
    assert told[alone.id, "clip"].reason == f"nobody who has an emotion was followed by name ({stranger})"
    escaped = told[f"{first.movie} scene {first.number}", "clip"]
    assert (escaped.reason, "secret" in escaped.field) == ("leaves the root", True)
    assert told[f"{first.movie}_{first.clips[0].name}", "clip"].reason == "no graph names this clip"
    assert told[bare.id, "clip"].reason.startswith("no features: ")
    again = told[tree.scenes[-1].id, "clip"]
    assert (again.reason, again.field) == ("another graph begins with the same clip", "scene 90")
    assert {key[0] for key in told} == {silent.id, alone.id, bare.id, tree.scenes[-1].id, escaped.item,
                                        f"{first.movie}_{first.clips[0].name}"}  # fmt: skip
    kept = {clip.id for clip in manifest.clips}
    assert kept == {scene.id for scene in tree.scenes} - {
        silent.id,
        alone.id,
        bare.id,
        f"{first.movie}_../../../secret",
    }


def test_films_without_a_part_or_graphs_or_names(tree) -> None:
    movies = list(tree.split)
    path = tree.root / "MovieGraph/resources/split.json"
    put(path, lambda p: p.write_text(json.dumps({"train": [movies[0], "tt9"], "val": [movies[1]], "test": []})))
    put(tree.root / "track_names" / "metadata" / f"{movies[1]}.pkl", write_pickles, {"Ann": "first"}, {})
    manifest, told = read(tree)
    assert {clip.groups["movie"] for clip in manifest.clips} == {movies[0]}
    assert told[movies[2], "clip"].reason == "its film is in no part of split.json"
    assert told["tt9", "clip"].reason == "split.json names it, and it has no graphs"
    assert sum("is no dict of names and their columns" in r.reason for r in told.values()) == 7


def test_tracks_and_names_that_cannot_be_used_take_faces_but_not_the_scene(tree) -> None:
    scene = next(scene for scene in tree.scenes if len(scene.clips) == 3)
    for part, contents in enumerate((({}, {0: np.zeros((2, 5))}), ({}, _Bad()))):
        path = tree.root / "character_tracks" / scene.movie / f"{scene.clips[part].name}.pkl"
        put(path, write_pickles, *contents)
    manifest, _ = read(tree)
    reasons = [r.reason for r in manifest.rejected if r.item == scene.id and r.what == "face"]
    assert "has shape (2, 5), not (k, 8)" in reasons[0]
    assert "posix.system" in reasons[1]
    # those of the third clip are there still, at their time on the scene's clock
    owners = {who for _, _, who in scene.clips[2].faces if who is not None}
    offset = sum(-(-clip.frames // 16) * 16 for clip in scene.clips[:2]) / (24000 / 1001)
    for who in owners:
        assert stored(tree, "face_generic", scene, "face", who).start_s.min() >= offset


def test_numbers_that_are_none_become_0_and_are_counted(tree) -> None:
    """And those that are beyond what the store can hold are told, not kept as infinite."""
    scene, large = tree.scenes[:2]
    x = np.load(file_of(tree, "scene_mvit_v1", scene)).astype(np.float64)
    x[0, :3] = [np.nan, np.inf, -np.inf]
    put(file_of(tree, "scene_mvit_v1", scene), write_array, x)
    put(file_of(tree, "scene_mvit_v1", large), write_array, np.full((2, 768), 1e6))
    manifest, told = read(tree)
    assert manifest.facts["not_finite"] == {"scene_mvit_v1": 3}
    assert stored(tree, "scene_mvit_v1", scene, "scene").x[0, :3].tolist() == [0, 0, 0]
    assert "beyond float16: keep them as float32" in told.pop((large.id, "scene_mvit_v1")).reason
    assert stored(tree, "scene_mvit_v1", large, "scene") is None
    assert told == {}


def test_more_than_four_characters_are_all_kept_in_order_of_their_faces(tree) -> None:
    old = next(scene for scene in tree.scenes if len(scene.clips) == 1)
    clip = old.clips[0]
    faces = [(frame, track + 1, who) for track, who in enumerate(CAST) for frame in range(track + 1)]
    crowd = WrittenScene(old.movie, old.number, [replace(clip, faces=faces)], {who: ["calm"] for who in CAST})
    for path in tree.root.glob(f"*/{old.movie}/{clip.name}.npy"):
        path.unlink()
    (tree.root / "character_tracks" / old.movie / f"{clip.name}.pkl").unlink()
    file_of(tree, "text_independent_pretrained", old).unlink()
    (tree.root / "MovieGraph/srt/clip_srt" / old.movie / f"{clip.name}.srt").unlink()
    write_clip(tree, crowd, crowd.clips[0], KINDS, np.random.default_rng(0))
    tree.scenes[tree.scenes.index(old)] = crowd
    write_over_graphs(tree)
    manifest, _ = read(tree)
    targets = next(clip for clip in manifest.clips if clip.id == crowd.id).targets
    assert [t.entity for t in targets] == [None, *reversed(CAST)]
    assert [len(stored(tree, "face_generic", crowd, "face", who)) for who in CAST] == [1, 2, 3, 4, 5, 6]


def test_the_threshold_decides_whose_a_track_is(tree) -> None:
    files = Tree(Root(tree.root))
    movie, graphs = next(iter(read_graphs(files.graphs)[0].items()))
    assert len(read_film(files, movie, graphs, 0.84).scenes) == 7
    film = read_film(files, movie, graphs, 0.85)  # the writer's owners have just that: it is not above
    assert film.scenes == ()
    assert all("nobody who has an emotion was followed by name" in each.reason for each in film.rejected)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda root: shutil.rmtree(root / "MovieGraph/mg"), ConfigError, "neither MovieGraph/mg/py3loader nor"),
        (lambda root: (root / "MovieGraph/resources/split.json").unlink(), MediaError, r"split\.json: no such file"),
        (lambda root: shutil.rmtree(root / "generic_face_features"), ConfigError, "no folder generic_face_features"),
        (lambda root: put(root / "MovieGraph/resources/split.json", lambda p: p.write_text("[1]")), MediaError, "not {train"),
        (lambda root: put(root / "MovieGraph/resources/split.json",
                          lambda p: p.write_text('{"train": ["tt1"], "val": ["tt1"], "test": []}')), MediaError, "twice"),
        (lambda root: put(root / "MovieGraph/mg/py3loader/2017-11-02-51-7637_py3.pkl",
                          lambda p: p.write_bytes(pickle.dumps(_Bad()))), MediaError, "it calls posix.system"),
        (lambda root: (shutil.move(root / "generic_face_features", root.parent / "else"),
                       (root / "generic_face_features").symlink_to(root.parent / "else")), ConfigError,
         "generic_face_features is a link that leaves the root"),
        (lambda root: shutil.rmtree(root / "character_tracks"), ConfigError, "no usable clip of MovieGraphs"),
    ],
)  # fmt: skip
def test_what_all_depends_on(tree, change, error, reason) -> None:
    change(tree.root)
    with pytest.raises(error, match=reason):
        read(tree)


def test_options_that_cannot_be_meant() -> None:
    with pytest.raises(ConfigError, match="no features face_fer; there are scene_mvit_v1"):
        Options(features=("face_fer",))
    with pytest.raises(ConfigError, match="float16 or float32, not 'float64'"):
        Options(dtype="float64")
    with pytest.raises(ConfigError, match="from 0 to below 1, not 1"):
        Options(name_threshold=1)
    with pytest.raises(ConfigError, match="is converted once"):
        CORPORA["moviegraphs"].read(".")


def test_tensors_of_the_release_are_arrays(tree) -> None:
    """As the tree is written: not as numpy's own pickles."""
    raw = file_of(tree, "text_independent_pretrained", tree.scenes[0]).read_bytes()
    assert b"torch._utils" in raw
    assert b"_rebuild_tensor_v2" in raw
    assert pickle.dumps(tensor(np.ones(3, np.float32))).count(b"_load_from_bytes") == 1
