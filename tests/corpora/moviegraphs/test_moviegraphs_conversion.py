"""What the tree holds is what stores, manifest and utterances say: every number, every time, every word, in order."""

import os
import subprocess
import sys

import numpy as np
import pytest
from moviegraphs_tree import (
    CAST,
    EMOTIONS,
    WIDTHS,
    WrittenClip,
    WrittenScene,
    clip_graph,
    write_clip,
    write_graphs,
    write_moviegraphs,
)

from merkit.corpora import CORPORA, read_manifest, write_manifest
from merkit.corpora.moviegraphs import FEATURES, Options, with_options
from merkit.corpora.moviegraphs.graph import read_graphs
from merkit.corpora.utterances import read_utterances
from merkit.features.store import FeatureStore

FPS = 24000 / 1001
KINDS = tuple(WIDTHS)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_moviegraphs(
        tmp_path_factory.mktemp("mg") / "data", movies=3, scenes=3, features=KINDS, frames=(16, 30)
    )


@pytest.fixture(scope="module")
def out(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    write_manifest(with_options(Options(dtype="float32")).read(tree.root.parent, folder), folder)
    return folder


def starts(scene: WrittenScene) -> dict[str, float]:
    """Where each clip begins, frame by frame: the frames of all clips before it."""
    before, found = 0, {}
    for clip in scene.clips:
        found[clip.name] = before / FPS
        before += clip.frames
    return found


def test_the_widths_are_the_published_ones() -> None:
    assert {name: feature.width for name, feature in FEATURES.items()} == WIDTHS


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("scene")])
def test_frames_and_windows_follow_each_other_on_one_clock(tree, out, kind) -> None:
    store = FeatureStore.open(out / "stores" / kind)
    assert len(store.clips) == len(tree.scenes) == 9
    for scene in tree.scenes:
        x, times = [], []
        for clip in scene.clips:
            rows = tree.features[kind, scene.movie, clip.name]
            x.append(rows)
            numbers = [16 * (j + 1) for j in range(len(rows))] if "mvit" in kind else list(range(clip.frames))
            times += [starts(scene)[clip.name] + number / FPS for number in numbers]
        tokens = store.read(scene.id, "scene")
        assert np.array_equal(tokens.x, np.concatenate(x).astype(np.float32))
        assert tokens.start_s == pytest.approx(times)
        assert (np.diff(tokens.start_s) > 0).all() or "mvit" in kind
        last = sum(clip.frames for clip in scene.clips) / FPS
        assert "mvit" in kind or tokens.end_s[-1] == pytest.approx(last)
        assert store.about(scene.id)["duration_s"] == pytest.approx(last)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("face")])
def test_faces_are_their_characters_in_order_of_time(tree, out, kind) -> None:
    store = FeatureStore.open(out / "stores" / kind)
    several = 0
    for scene in tree.scenes:
        people = set()
        for who in CAST:
            found = []
            for clip in scene.clips:
                rows = tree.features[kind, scene.movie, clip.name]
                found += [
                    (starts(scene)[clip.name] + frame / FPS, rows[i].astype(np.float32))
                    for i, (frame, _, owner) in enumerate(clip.faces)
                    if owner == who
                ]
            tokens = store.read(scene.id, "face", who)
            if not found:
                assert tokens is None
                continue
            people.add(who)
            found.sort(key=lambda pair: pair[0])  # stable: two tracks in one frame stay as they were
            assert np.array_equal(tokens.x, np.array([x for _, x in found]))
            assert tokens.start_s == pytest.approx([time for time, _ in found])
            several += len(scene.clips) > 1
        held = {row["entity"] for row in store.index.to_pylist() if row["clip"] == scene.id}
        assert held == people  # nobody's tracks are nobody's tokens
    assert several


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("text")])
def test_words_features_stand_at_the_middle_of_what_is_said(tree, out, kind) -> None:
    store = FeatureStore.open(out / "stores" / kind)
    for scene in tree.scenes:
        x = np.concatenate([tree.features[kind, scene.movie, clip.name] for clip in scene.clips])
        tokens = store.read(scene.id, "text")
        assert np.array_equal(tokens.x, x)
        if "concat" in kind:
            assert tokens.start_s == pytest.approx([starts(scene)[clip.name] for clip in scene.clips])
            assert tokens.end_s - tokens.start_s == pytest.approx([clip.frames / FPS for clip in scene.clips])
        else:
            middles = [starts(scene)[c.name] + (start + end) / 2 for c in scene.clips for start, end, _ in c.words]
            assert tokens.start_s == pytest.approx(middles)


def test_targets_are_the_graphs_and_people_come_by_their_faces(tree, out) -> None:
    manifest = read_manifest(out)
    whole, each = manifest.specs
    assert (whole.name, each.name) == ("scene_words", "character_words")
    assert whole.labels == each.labels
    assert (whole.kind, whole.per_entity, each.per_entity) == ("multi_label", False, True)
    clips = {clip.id: clip for clip in manifest.clips}
    for scene in tree.scenes:
        clip = clips[scene.id]
        assert clip.split == {"train": "train", "val": "valid", "test": "test"}[tree.split[scene.movie]]
        assert clip.groups == {"movie": scene.movie}
        said = {t.entity: {w for w, on in zip(whole.labels, t.value, strict=True) if on} for t in clip.targets}
        assert said.pop(None) == {word for words in scene.shown.values() for word in words}
        assert said == {who: set(words) for who, words in scene.shown.items()}
        count = {who: sum(o == who for c in scene.clips for _, _, o in c.faces) for who in scene.shown}
        assert list(said) == sorted(said, key=lambda who: (-count[who], who))


def test_words_are_counted_over_all_and_in_each_part(tree, out) -> None:
    manifest = read_manifest(out)
    labels = manifest.specs[0].labels
    counts = {part: dict.fromkeys(EMOTIONS, 0) for part in ("all", "train", "val", "test")}
    for scene in tree.scenes:
        for words in scene.shown.values():
            for word in words:
                counts["all"][word] += 1
                counts[tree.split[scene.movie]][word] += 1
    there = [word for word in EMOTIONS if counts["all"][word]]
    assert list(labels) == sorted(there, key=lambda word: (-counts["all"][word], word))
    told = manifest.facts["word_counts"]
    for part, name in (("all", "all"), ("train", "train"), ("valid", "val"), ("test", "test")):
        assert dict(zip(labels, told[part], strict=True)) == {word: counts[name][word] for word in labels}


def test_what_is_said_in_a_scene_has_the_scenes_clock(tree, out) -> None:
    said = {}
    for each in read_utterances(out):
        said.setdefault(each.clip, []).append(each)
    clips = {clip.id: clip for clip in read_manifest(out).clips}
    for scene in tree.scenes:
        lines = [
            (starts(scene)[c.name] + s, starts(scene)[c.name] + e, text) for c in scene.clips for s, e, text in c.words
        ]
        lines.sort()
        got = said[scene.id]
        assert [each.text for each in got] == [text for *_, text in lines]
        assert [each.start_s for each in got] == pytest.approx([s for s, *_ in lines], abs=1e-3)
        assert [each.end_s for each in got] == pytest.approx([e for _, e, _ in lines], abs=1e-3)
        assert all(each.entity is None for each in got)
        assert sorted(clips[scene.id].streams[0].text.split()) == sorted(" ".join(t for *_, t in lines).split())


def test_half_the_room_and_all_but_three_digits(tree, tmp_path) -> None:
    manifest = with_options(Options(features=("face_emo",))).read(tree.root, tmp_path)
    assert sorted(path.name for path in (tmp_path / "stores").iterdir()) == ["face_emo"]
    assert manifest.facts["dtype"] == "float16"
    store = FeatureStore.open(tmp_path / "stores" / "face_emo")
    scene = tree.scenes[0]
    tokens = store.read(scene.id, "face", next(iter(scene.shown)))
    assert tokens.x.dtype == np.float16
    rows = tree.features["face_emo", scene.movie, scene.clips[0].name]
    own = [i for i, (_, _, who) in enumerate(scene.clips[0].faces) if who == next(iter(scene.shown))]
    assert np.array_equal(tokens.x, rows[own].astype(np.float16))


def test_provenance_says_who_saw_labels(out) -> None:
    stated = read_manifest(out).facts["provenance"]
    for kind in KINDS:
        store = FeatureStore.open(out / "stores" / kind)
        (made_by,) = set(store.index["extractor_id"].to_pylist())
        assert stated[made_by]["fitted_on"] == (["train"] if "finetuned" in kind else [])


def test_networkx_2_graphs_say_the_same(tree) -> None:
    path = tree.root / "MovieGraph/mg/py3loader/2017-11-02-51-7637_py3.pkl"
    one, _ = read_graphs(path)
    write_graphs(tree, "2")
    try:
        two, rejected = read_graphs(path)
    finally:
        write_graphs(tree, "1")
    assert one == two
    assert rejected == []
    assert sum(map(len, one.values())) == len(tree.scenes)


def test_a_scene_of_more_than_729_seconds_and_300_windows_is_kept_whole(tmp_path) -> None:
    tree = write_moviegraphs(tmp_path / "data", movies=3, scenes=1, features=("scene_mvit_v1", "face_resnet50_fer"))
    scene = tree.scenes[0]
    rng = np.random.default_rng(1)
    frames = 17_620
    faces = [(frame, 1, CAST[0]) for frame in range(0, frames, 400)]
    long = WrittenScene(scene.movie, 1, [WrittenClip("scene-090.ss-0900.es-0999", frames, faces, [(730.0, 731.0, "Late.")]),
                                         scene.clips[0]], {CAST[0]: ["calm"]})  # fmt: skip
    write_clip(tree, long, long.clips[0], ("scene_mvit_v1", "face_resnet50_fer"), rng)
    tree.scenes[0] = long
    write_graphs(tree)
    manifest = CORPORA["moviegraphs"].read(tmp_path, tmp_path / "out")
    assert long.id in {clip.id for clip in manifest.clips}
    windows = FeatureStore.open(tmp_path / "out/stores/scene_mvit_v1").read(long.id, "scene")
    more = -(-scene.clips[0].frames // 16)
    assert len(windows) == 1102 + more
    # no features with one row a frame: MViT's windows say how long the first clip is
    assert windows.start_s[1102] == pytest.approx(1102 * 16 / FPS + 16 / FPS)
    seen = FeatureStore.open(tmp_path / "out/stores/face_resnet50_fer").read(long.id, "face", CAST[0])
    assert seen.start_s[44] == pytest.approx(17_600 / FPS)
    assert seen.start_s[44] > 729
    assert max(each.end_s for each in read_utterances(tmp_path / "out") if each.clip == long.id) > 730


HASHED = """
import sys
from merkit.corpora.moviegraphs.film import read_film
from merkit.corpora.moviegraphs.graph import read_graphs
from merkit.corpora.moviegraphs.tree import Tree
from merkit.corpora.paths import Root
tree = Tree(Root(sys.argv[1]))
for movie, graphs in read_graphs(tree.graphs)[0].items():
    for scene in read_film(tree, movie, graphs, 0.5).scenes:
        print(scene.graph, scene.characters, [(part.clip, list(part.named)) for part in scene.parts])
"""


def test_nothing_depends_on_hashing(tree) -> None:
    """Which characters a scene has, and in which order, was that of a set."""
    told = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", HASHED, str(tree.root)]
        told.append(subprocess.run(command, env=env, check=True, timeout=120, capture_output=True, text=True).stdout)
    assert told[0] == told[1]
    assert told[0].count("SceneGraph") == len(tree.scenes)


def test_the_writer_writes_what_networkx_would_hold(tree) -> None:
    graph = clip_graph(tree.scenes[0])
    people = [about["name"] for about in graph.G.node.values() if about.get("type") == "entity"]
    assert people == list(tree.scenes[0].shown)
