"""Corpora that come as pickles: what their arrays say is what the store and the tables hold, padding and faults aside."""

import pickle
import shutil

import numpy as np
import pytest

from merkit.corpora import CORPORA, clip_table, read_manifest, write_manifest
from merkit.errors import ConfigError, MediaError
from merkit.features import FeatureStore
from merkit.media import read_physiology

LENGTHS = {"audio": [4, 1, 3], "vision": [5, 2, 0]}


def mmsa_part(split: str, seed: int) -> dict:
    """Three clips of two videos as MMSA's unaligned release has them: real steps first, zeros behind."""
    rng = np.random.default_rng(seed)
    part = {
        "raw_text": np.array(["first words", " second ", "third"], object),
        "text": rng.normal(size=(3, 6, 4)).astype(np.float32),  # BERT leaves numbers under its padding
        "text_bert": np.zeros((3, 3, 6)),
        "audio": rng.normal(size=(3, 5, 2)),
        "vision": rng.normal(size=(3, 7, 3)),
        "id": [f"{split}A$_$10", f"{split}A$_$9", f"{split}B_1$_$2"],
        "regression_labels": np.array([-3.0, 0.4, 2.2], np.float32),
        "classification_labels": np.zeros(3),
        "annotations": ["Negative", "Positive", "Positive"],
        **{f"{key}_lengths": lengths for key, lengths in LENGTHS.items()},
    }
    part["text_bert"][:, 1, :3] = 1
    for key, lengths in LENGTHS.items():
        for i, length in enumerate(lengths):
            part[key][i, length:] = 0
    return part


def dumped(path, content, protocol=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.fixture
def mmsa(tmp_path):
    content = {split: mmsa_part(split, i) for i, split in enumerate(("train", "valid", "test"))}
    content["train"]["audio"][0, 1, 0] = -np.inf
    return content


def test_mmsa_tokens_lengths_words_and_turns(tmp_path, mmsa) -> None:
    dumped(tmp_path / "root" / "Processed" / "unaligned_50.pkl", mmsa)
    out = tmp_path / "out"
    manifest = CORPORA["mosi"].read(tmp_path / "root", out)
    write_manifest(manifest, out)
    manifest = read_manifest(out)
    assert [clip.split for clip in manifest.clips] == ["train"] * 3 + ["valid"] * 3 + ["test"] * 3
    assert manifest.facts["not_finite"] == {"speech": 1}
    by_id = {clip.id: clip for clip in manifest.clips}
    assert (by_id["trainA$_$9"].turn, by_id["trainA$_$10"].turn) == (0, 1)  # by number, not by letter
    assert by_id["trainA$_$9"].context == ("trainA$_$10",)
    assert by_id["validB_1$_$2"].groups["dialogue"] == "validB_1"
    assert by_id["testA$_$9"].streams[0].text == "second"
    lost = {(r.item, r.what) for r in manifest.rejected}
    assert lost == {(f"{split}B_1$_$2", "face") for split in mmsa}
    table = clip_table(manifest, FeatureStore.open(out / "features"))
    assert {name: column.lengths.tolist() for name, column in table.streams.items()} == {
        "face": [5, 2] * 3,
        "speech": [4, 1, 3] * 3,
        "text": [3] * 9,
    }
    for i, (split, row) in enumerate((split, row) for split in mmsa for row in range(3)):
        want = mmsa[split]["audio"][row][: LENGTHS["audio"][row]].astype(np.float32)
        got = table.streams["speech"].take(np.array([i])).x
        assert np.array_equal(got, np.where(np.isfinite(want), want, 0))
        assert np.array_equal(table.streams["text"].take(np.array([i])).x, mmsa[split]["text"][row, :3])
        assert table.targets["sentiment"].value[i, 0] == pytest.approx(mmsa[split]["regression_labels"][row])
    assert table.provenance["speech"].source == "unaligned_50.pkl: audio"
    assert table.media_sha256 is None


def test_a_second_run_takes_what_is_there_and_a_changed_pickle_does_not(tmp_path, mmsa) -> None:
    path, out = dumped(tmp_path / "root" / "aligned_50.pkl", mmsa), tmp_path / "out"
    CORPORA["mosi"].read(tmp_path / "root", out)
    (index,) = (out / "features").glob("index.parquet")
    before = index.read_bytes()
    CORPORA["mosi"].read(tmp_path / "root", out)
    assert index.read_bytes() == before
    mmsa["test"]["audio"][0, 0] = 17.0
    dumped(path, mmsa)
    CORPORA["mosi"].read(tmp_path / "root", out)
    assert FeatureStore.open(out / "features").read("testA$_$10", "speech").x[0].tolist() == [17.0, 17.0]
    assert not list(out.glob(".unpickled-*"))


def mult(ids) -> dict:
    """MulT pads in front, and labels are (n, 1, 1)."""
    rng = np.random.default_rng(5)
    part = {key: rng.normal(size=(3, 4, 2)) for key in ("text", "audio", "vision")}
    part["text"][0, :3] = 0
    part["audio"][1] = 0
    return part | {"labels": np.array([-1.0, 0.0, 3.0]).reshape(3, 1, 1), "id": ids}


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_mult_ids_in_time_and_padding_in_front(tmp_path, protocol) -> None:
    ids = np.array([[b"vid", b"10.5", b"12"], [b"vid", b"9.25", b"10.5"], [b"other", b"0", b"1"]], object)
    dumped(tmp_path / "mosei_senti_data.pkl", {"train": mult(ids)}, protocol)
    manifest = CORPORA["mosei"].read(tmp_path, tmp_path / "out")
    assert [(clip.id, clip.turn) for clip in manifest.clips] == [
        ("vid_10.5_12", 1),
        ("vid_9.25_10.5", 0),
        ("other_0_1", 0),
    ]
    assert [str(r) for r in manifest.rejected] == ["vid_9.25_10.5 (train[1]): all zeros [kept without speech]"]
    store = FeatureStore.open(tmp_path / "out" / "features")
    assert np.array_equal(store.read("vid_10.5_12", "text").x, mult(ids)["text"][0, 3:].astype(np.float32))
    assert store.read("vid_9.25_10.5", "speech") is None


def test_without_ids_clips_stand_alone(tmp_path) -> None:
    part = mult(None)
    dumped(tmp_path / "mosi_data.pkl", {"train": part, "test": part})
    manifest = CORPORA["mosi"].read(tmp_path, tmp_path / "out")
    assert [clip.id for clip in manifest.clips][2:4] == ["train_00002", "test_00000"]
    assert all(clip.turn is None and not clip.groups and not clip.context for clip in manifest.clips)


def test_bad_rows_are_listed_and_the_rest_is_kept(tmp_path, mmsa) -> None:
    part = mmsa["train"]
    part["regression_labels"][0] = np.nan
    part["id"][2] = part["id"][1]
    mmsa["valid"]["regression_labels"][0] = 5.0
    dumped(tmp_path / "aligned_50.pkl", mmsa)
    dumped(tmp_path / "mosi_data.pkl", {})
    manifest = CORPORA["mosi"].read(tmp_path, tmp_path / "out")
    assert len(manifest) == 6
    reasons = {(r.item, r.field): r.reason for r in manifest.rejected if r.what == "clip"}
    assert reasons == {
        ("trainA$_$10", "train[0]"): "sentiment nan is not from -3 to 3",
        ("trainA$_$9", "train[2]"): "the id is there twice",
        ("validA$_$10", "valid[0]"): "sentiment 5 is not from -3 to 3",
    }
    assert any(r.item == "mosi_data.pkl" and "aligned_50.pkl was read" in r.reason for r in manifest.rejected)


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        (lambda part: part.update(audio=part["audio"][:2]), r"train\.text|train\.vision|train\.regression_labels"),
        (lambda part: part.update(vision="none"), r"train\.vision"),
        (lambda part: part.update(regression_labels=np.zeros((3, 6))), "6 numbers a clip"),
        (lambda part: part.update(id=["a"]), r"train\.id"),
        (lambda part: part.pop("text"), r"train\.text"),
    ],
)
def test_a_release_of_another_shape_is_refused(tmp_path, mmsa, fault, field) -> None:
    fault(mmsa["train"])
    dumped(tmp_path / "unaligned_50.pkl", mmsa)
    with pytest.raises(MediaError, match=field):
        CORPORA["mosi"].read(tmp_path, tmp_path / "out")


def test_nothing_there_says_what_is_expected(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"unaligned_50\.pkl.*is there"):
        CORPORA["mosi"].read(tmp_path, tmp_path / "out")
    with pytest.raises(ConfigError, match="merkit prepare mosi"):
        CORPORA["mosi"].read(tmp_path)


# -- WESAD

SECONDS = 260


def wesad(shift: float = 0.0) -> dict:
    """A recording in which every signal's value is the second at which it was measured."""
    labels = np.zeros(SECONDS * 700, np.int32)
    labels[700 * 3 + 7 : 700 * 125] = 1  # 121.99 s: two windows
    labels[700 * 125 : 700 * 170] = 2  # 45 s: none
    labels[700 * 180 : 700 * 241] = 3
    labels[700 * 245 :] = 7

    def ramp(rate_hz: int) -> np.ndarray:
        return (np.arange(SECONDS * rate_hz) / rate_hz + shift)[:, None]

    return {
        "signal": {
            "chest": {"ECG": ramp(700), "Resp": ramp(700), "EDA": ramp(700), "ACC": np.zeros((SECONDS * 700, 3))},
            "wrist": {"BVP": ramp(64), "EDA": ramp(4), "TEMP": ramp(4), "ACC": np.zeros((SECONDS * 32, 3))},
        },
        "label": labels,
        "subject": "S10",
    }


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    root = tmp_path_factory.mktemp("wesad")
    content = wesad(1000.0)
    dumped(root / "WESAD" / "S10" / "S10.pkl", content, 2)
    content["signal"]["wrist"]["EDA"][40:48] = np.nan
    dumped(root / "WESAD" / "S2" / "S2.pkl", wesad(), 2)
    del content["signal"]["wrist"]["BVP"]
    dumped(root / "WESAD" / "S3" / "S3.pkl", content, 2)
    (root / "WESAD" / "S4").mkdir()
    (root / "WESAD" / "S4" / "S4.pkl").write_bytes(b"not a pickle")
    return root, CORPORA["wesad"].read(root, root / "out")


def test_wesad_windows_are_cut_where_the_labels_say(lab) -> None:
    _, manifest = lab
    assert [
        (clip.id, clip.groups["subject"], manifest.specs[0].labels[int(clip.targets[0].value)])
        for clip in manifest.clips
    ] == [
        ("S2_00003.0", "S2", "baseline"),
        ("S2_00063.0", "S2", "baseline"),
        ("S2_00180.0", "S2", "amusement"),
        ("S10_00003.0", "S10", "baseline"),
        ("S10_00063.0", "S10", "baseline"),
        ("S10_00180.0", "S10", "amusement"),
    ]
    assert manifest.facts["left_over_s"] == pytest.approx(2 * (1.99 + 45 + 1), abs=0.1)
    reasons = {r.item: str(r) for r in manifest.rejected}
    assert reasons["S3"] == "S3 (signal.wrist.BVP): is missing"
    assert "S4" in reasons
    assert len(reasons) == 2


def test_wesad_tables_hold_each_sample_at_its_own_instant(lab) -> None:
    _, manifest = lab
    signals = {signal.name: signal for signal in read_physiology(manifest.clips[1].streams[0].path)}
    rates = {name: round(signal.rate_hz, 1) for name, signal in signals.items()}
    assert rates == {"ecg": 700.0, "resp": 700.0, "bvp": 64.0, "eda": 4.0, "temperature": 4.0}
    begins_s = 63.01
    for name, signal in signals.items():
        assert len(signal.values) == 60 * rates[name]
        # the value is the second of the recording: the window's clock and the recording's run together
        assert np.abs(signal.values - signal.times_s - begins_s).max() < 1e-4, name
        assert signal.times_s[0] < 1 / rates[name]


def test_wesad_is_converted_once(lab) -> None:
    root, manifest = lab
    table = manifest.clips[0].streams[0].path
    before = table.stat().st_mtime_ns
    again = CORPORA["wesad"].read(root, root / "out")
    assert [clip.id for clip in again.clips] == [clip.id for clip in manifest.clips]
    assert table.stat().st_mtime_ns == before
    # tables without the mark that they are complete are made anew
    (table.parent / "windows.json").unlink()
    whole = table.read_bytes()
    table.write_text("cut off")
    CORPORA["wesad"].read(root, root / "out")
    assert table.read_bytes() == whole
    shutil.rmtree(root / "out")
