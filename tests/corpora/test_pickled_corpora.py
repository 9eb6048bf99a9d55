"""MOSI and MOSEI of both pickle kinds, end to end: every number reaches the table, padding does not, nothing is run."""

import pickle

import numpy as np
import pytest

from merkit.corpora import CORPORA, clip_table, read_manifest, write_manifest
from merkit.errors import MerkitError
from merkit.features import PHYSIOLOGY_COLUMNS, FeatureStore, PhysiologyExtractor
from merkit.media import read_physiology

WIDTH = {"text": 6, "audio": 3, "vision": 4}
STREAM = {"text": "text", "audio": "speech", "vision": "face"}


def padded(rng, n: int, steps: int, width: int, lengths, front: bool) -> np.ndarray:
    x = np.zeros((n, steps, width), np.float32)
    for i, length in enumerate(lengths):
        part = slice(steps - length, steps) if front else slice(0, length)
        x[i, part] = rng.normal(size=(length, width)) + 5  # never all zeros
    return x


def mmsa(rng, ids: dict[str, list[str]], *, aligned: bool) -> dict:
    """As MMSA's files are: raw text, BERT's mask, and lengths where the modalities are not aligned."""
    content = {}
    for split, names in ids.items():
        n = len(names)
        lengths = {key: rng.integers(1, 8, n) for key in WIDTH}
        if aligned:
            lengths = dict.fromkeys(WIDTH, lengths["text"])
        bert = np.zeros((n, 3, 10), np.float32)
        for i, length in enumerate(lengths["text"]):
            bert[i, 1, :length] = 1
        content[split] = {
            "raw_text": np.array([f"words of {name}" for name in names], dtype=object),
            **{key: padded(rng, n, 10, WIDTH[key], lengths[key], front=False) for key in WIDTH},
            "text_bert": bert,
            "id": np.array(names, dtype=object),
            "annotations": np.array(["Positive"] * n),
            "regression_labels": np.linspace(-3, 3, n).astype(np.float32) if n > 1 else np.zeros(n, np.float32),
        }
        if not aligned:
            content[split] |= {f"{key}_lengths": lengths[key].tolist() for key in ("audio", "vision")}
    return content


def mult(rng, ids: dict[str, list[tuple[str, ...]]], name: type = bytes) -> dict:
    """As MulT's files are: padded in front, labels (n, 1, 1), ids of video, start and end."""
    content = {}
    for split, rows in ids.items():
        n = len(rows)
        content[split] = {
            **{key: padded(rng, n, 10, WIDTH[key], rng.integers(1, 8, n), front=True) for key in WIDTH},
            "labels": np.linspace(-2.5, 3, n).reshape(n, 1, 1),
            "id": np.array([[cell.encode() if name is bytes else cell for cell in row] for row in rows]),
        }
    return content


def dump(content, path, protocol=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol))


IDS = {
    "train": ["vid_A$_$10", "vid_A$_$2", "-oX1$_$0"],
    "valid": ["v3$_$1", "v3$_$2"],
    "test": ["w$_$5"],
}


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_mmsa_files_become_a_store_and_a_manifest(tmp_path, aligned, protocol) -> None:
    content = mmsa(np.random.default_rng(0), IDS, aligned=aligned)
    dump(content, tmp_path / f"root/Processed/{'' if aligned else 'un'}aligned_50.pkl", protocol)
    manifest = CORPORA["mosi"].read(tmp_path / "root", tmp_path / "out")
    write_manifest(manifest, tmp_path / "out")
    store = FeatureStore.open(tmp_path / "out/features")
    table = clip_table(read_manifest(tmp_path / "out"), store)
    assert sorted(table.ids) == sorted(name for names in IDS.values() for name in names)
    rows = {str(name): i for i, name in enumerate(table.ids)}
    for split, names in IDS.items():
        for i, name in enumerate(names):
            row = rows[name]
            assert table.split[row] == split
            assert table.texts[row] == f"words of {name}"
            assert table.dialogue[row] == name.partition("$_$")[0]
            assert table.targets["sentiment"].value[row, 0] == content[split]["regression_labels"][i]
            for key in WIDTH:
                given = content[split][key][i]
                there = given[(given != 0).any(1)]
                assert np.array_equal(store.read(name, STREAM[key]).x, there), (name, key)
    assert table.targets["sentiment"].valid.all()
    # turns follow the number behind the video, not the order of the file
    assert table.turn[rows["vid_A$_$2"]] < table.turn[rows["vid_A$_$10"]]
    clips = {clip.id: clip for clip in manifest.clips}
    assert clips["vid_A$_$2"].context == ("vid_A$_$10",)
    assert clips["-oX1$_$0"].context == ()
    assert set(table.streams) == {"text", "speech", "face"}
    assert "aligned_50.pkl" in table.provenance["speech"].source


@pytest.mark.parametrize("name", [bytes, str])
@pytest.mark.parametrize("corpus", ["mosi", "mosei"])
def test_mult_files_become_a_store_and_a_manifest(tmp_path, corpus, name) -> None:
    ids = {
        "train": [("aa", "10.5", "12"), ("aa", "2.25", "4"), ("bb", "0", "1")],
        "valid": [("cc", "0", "1")],
        "test": [("dd", "0", "1")],
    }
    content = mult(np.random.default_rng(1), ids, name)
    dump(content, tmp_path / f"root/{'mosi_data' if corpus == 'mosi' else 'mosei_senti_data'}.pkl", 2)
    manifest = CORPORA[corpus].read(tmp_path / "root", tmp_path / "out")
    store = FeatureStore.open(tmp_path / "out/features")
    clips = {(clip.groups["dialogue"], clip.turn): clip for clip in manifest.clips}
    assert set(clips) == {("aa", 0), ("aa", 1), ("bb", 0), ("cc", 0), ("dd", 0)}
    late = clips["aa", 1]
    assert late.targets[0].value.tolist() == [-2.5]
    given = content["train"]["audio"][0]
    assert np.array_equal(store.read(late.id, "speech").x, given[(given != 0).any(1)])
    assert [clip.split for clip in manifest.clips] == ["train"] * 3 + ["valid", "test"]


def test_mult_ids_of_videos_alone_keep_every_clip(tmp_path) -> None:
    content = mult(np.random.default_rng(1), {"train": [("aa",), ("aa",), ("bb",)], "test": [("cc",)]})
    dump(content, tmp_path / "root/mosi_data.pkl", 2)
    manifest = CORPORA["mosi"].read(tmp_path / "root", tmp_path / "out")
    assert [clip.groups["dialogue"] for clip in manifest.clips] == ["aa", "aa", "bb", "cc"]
    assert [clip.turn for clip in manifest.clips] == [0, 1, 0, 0]
    assert not manifest.rejected


def test_numbers_that_are_not_finite_are_counted(tmp_path) -> None:
    content = mmsa(np.random.default_rng(0), IDS, aligned=True)
    content["train"]["audio"][0, 0] = [-np.inf, np.nan, 7]
    dump(content, tmp_path / "root/aligned_50.pkl")
    manifest = CORPORA["mosei"].read(tmp_path / "root", tmp_path / "out")
    assert manifest.facts["not_finite"] == {"speech": 2}
    assert FeatureStore.open(tmp_path / "out/features").read("vid_A$_$10", "speech").x[0].tolist() == [0, 0, 7]


class Runs:
    def __init__(self, mark) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        import os

        return os.mkdir, (self.mark,)


@pytest.mark.parametrize(("corpus", "file"), [("mosi", "aligned_50.pkl"), ("wesad", "S2/S2.pkl")])
def test_a_malicious_pickle_is_never_run(tmp_path, corpus, file) -> None:
    mark = tmp_path / "it ran"
    dump({"train": Runs(mark), "signal": {}, "label": Runs(mark)}, tmp_path / "root" / file, 2)
    with pytest.raises(MerkitError, match="mkdir"):
        CORPORA[corpus].read(tmp_path / "root", tmp_path / "out")
    assert not mark.exists()


def test_wesad_tables_are_read_by_the_extraction(tmp_path) -> None:
    rng = np.random.default_rng(0)
    seconds = 60
    chest = {key: rng.normal(size=(seconds * 700, 1)) for key in ("ECG", "Resp")}
    wrist = {key: rng.normal(size=(seconds * hz, 1)) for key, hz in (("BVP", 64), ("EDA", 4), ("TEMP", 4))}
    content = {"signal": {"chest": chest, "wrist": wrist}, "label": np.full(seconds * 700, 2, np.int32)}
    dump(content, tmp_path / "root/WESAD/S17/S17.pkl", 2)
    dump({**content, "label": np.full(10, 2, np.int32)}, tmp_path / "root/WESAD/S9/S9.pkl", 2)
    manifest = CORPORA["wesad"].read(tmp_path / "root", tmp_path / "out")
    (clip,) = manifest.clips
    assert (clip.groups["subject"], int(clip.targets[0].value)) == ("S17", 1)
    assert [rejected.item for rejected in manifest.rejected] == ["S9"]
    signals = {signal.name: signal for signal in read_physiology(clip.path_of("physiology"))}
    assert {name: round(signal.rate_hz) for name, signal in signals.items()} == {
        "ecg": 700,
        "resp": 700,
        "bvp": 64,
        "eda": 4,
        "temperature": 4,
    }
    tokens = PhysiologyExtractor(60.0, 60.0)(list(signals.values())).x[0]
    eda_mean = tokens[PHYSIOLOGY_COLUMNS.index("eda_mean")]
    assert eda_mean == pytest.approx(wrist["EDA"].mean(), abs=1e-5)
