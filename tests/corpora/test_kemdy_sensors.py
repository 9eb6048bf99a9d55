"""Sensor files of KEMDy into tables per segment: irregular rows, clocks, several processes, and going on after an end."""

import json
import os

import numpy as np
import pytest

from merkit.corpora import CORPORA
from merkit.corpora.kemdy import Options, with_options
from merkit.corpora.kemdy.physiology import SessionWork, convert_session, convert_sessions
from merkit.corpora.kemdy.sensors import Measured, physiology_table, read_sensor
from merkit.errors import MediaError
from merkit.features.physiology import PHYSIOLOGY_COLUMNS, PhysiologyExtractor
from merkit.media import read_physiology
from tests.kemdy_tree import write_kemdy19, write_kemdy20

F1, M1 = "Sess01_impro01_F001", "Sess01_impro01_M001"


def measured(tmp_path, text, kind="EDA", wanted=(F1, M1), encoding="utf-8"):
    file = tmp_path / "sensor.csv"
    file.write_bytes(text.encode(encoding))
    return read_sensor(file, kind, set(wanted))


def table_of(tmp_path, signals):
    file = tmp_path / "table.csv"
    file.write_text(physiology_table(signals), encoding="utf-8")
    return {signal.name: signal for signal in read_physiology(file)}


# -- rows


def test_rows_of_either_corpus(tmp_path) -> None:
    """Three or four columns, in the order of each kind; what bears no id that is wanted belongs to nobody."""
    t = "2019-10-21 13:29:4"
    found = measured(tmp_path, f"0.5,7,{t}4.000,{F1}\n9.9,7,{t}4.250\n0.6,7,{t}4.500,{F1}\n0.7,7,{t}5.000,{M1}\n")
    assert found[F1].values.tolist() == [0.5, 0.6] and found[M1].values.tolist() == [0.7]
    assert np.diff(found[F1].times_s).tolist() == pytest.approx([0.5])
    # KEMDy20: one column less, under two rows of its own
    found = measured(tmp_path, f"1571664574.0\n4.000000\n0.5,{t}4.000,{F1}\n9.9,{t}4.250\n0.6,{t}4.500,{F1}\n")
    assert found[F1].values.tolist() == [0.5, 0.6] and found.keys() == {F1}
    found = measured(tmp_path, f"0,0.11,{t}4.000,{F1}\n4,-0.12,{t}4.004,{F1}\n8,0.5,{t}4.008\n", "ECG")
    assert found[F1].values.tolist() == [0.11, -0.12]
    found = measured(
        tmp_path, f"1571664574.0,IBI\n0.75,0.81,{t}4.750,{F1}\n0.79,{t}5.540,{F1}\n2.3,0.9,{t}6.4\n", "IBI"
    )
    assert found[F1].values.tolist() == [0.81, 0.79]


def test_cells_that_are_no_number(tmp_path) -> None:
    rows = f'x,0,10,{F1}\nnan,0,11,{F1}\n"0.5",0,12,"{F1}"\n0.6,0,13,{F1},,\n{F1}\n,\n\n0.7,{F1}\n'
    assert measured(tmp_path, rows, encoding="cp949")[F1].values.tolist() == [0.5, 0.6]
    with pytest.raises(MediaError, match="zero bytes"):
        measured(tmp_path, "0.5\0,0,12")


@pytest.mark.parametrize(
    ("stamps", "steps"),
    [
        (("10.0", "10.25", "10.5"), [0.25, 0.25]),
        (("1571664574000", "1571664574250", "1571664574500"), [0.25, 0.25]),
        (("2019/10/21 13:29:34", "2019/10/21 13:29:35", "2019/10/21 13:29:37"), [1.0, 2.0]),
        # out of order: by time
        (("10.5", "10.0", "10.25"), [0.25, 0.25]),
        # no clock that could be read: at the usual 4 Hz
        (("a quarter past", "later", "at last"), [0.25, 0.25]),
        # one tick for all: the usual rate again
        (("2019-10-21 13:29:34",) * 3, [0.25, 0.25]),
        # two ticks, a second apart, with two samples in the first
        (("2019-10-21 13:29:34", "2019-10-21 13:29:34", "2019-10-21 13:29:35"), [0.25, 0.75]),
    ],
)
def test_clocks(tmp_path, stamps, steps) -> None:
    rows = "".join(f"{i},0,{stamp},{F1}\n" for i, stamp in enumerate(stamps))
    assert np.diff(measured(tmp_path, rows)[F1].times_s).tolist() == pytest.approx(steps)


def test_intervals_between_beats(tmp_path) -> None:
    """They end when their row says; without a clock one follows the other; what stands there twice counts once."""
    t = "2019-10-21 13:29:3"
    rows = f"1,0.8,{t}4.0,{F1}\n2,0.9,{t}4.9,{F1}\n2,0.9,{t}4.9,{F1}\n3,1.0,{t}5.9,{F1}\n"
    found = measured(tmp_path, rows, "IBI")[F1]
    assert found.values.tolist() == [0.8, 0.9, 1.0] and np.diff(found.times_s).tolist() == pytest.approx([0.9, 1.0])
    assert table_of(tmp_path, {"IBI": found})["ibi"].times_s.tolist() == pytest.approx([0.0, 0.9, 1.9])
    found = measured(tmp_path, f"1,0.8,soon,{F1}\n2,0.9,later,{F1}\n", "IBI")[F1]
    assert found.times_s.tolist() == pytest.approx([0.8, 1.7])


def test_a_coarse_clock_spreads_its_samples(tmp_path) -> None:
    """250 samples a second under whole seconds: evenly, and never across a pause."""
    rows = [f"0,{i % 9},2019-10-21 13:29:{34 + i // 250:02d},{F1}" for i in range(500)]
    rows += [f"0,{i % 9},2019-10-21 13:29:50,{F1}" for i in range(250)]
    found = measured(tmp_path, "\n".join(rows), "ECG")[F1]
    steps = np.diff(found.times_s)
    assert steps[steps < 1].tolist() == pytest.approx([0.004] * 748, abs=1e-6)
    assert steps.max() == pytest.approx(50 - 35.996, abs=1e-5)


# -- tables


def test_signals_share_a_clock_and_units(tmp_path) -> None:
    zero = 1.6e9
    signals = {
        "EDA": Measured(np.array([0.5, 0.6]), zero + np.array([0.25, 0.5]), True),
        "TEMP": Measured(np.array([33.0]), zero + np.array([0.0]), True),
        "ECG": Measured(np.array([0.1, 0.2, 0.3]), np.array([7.0, 7.004, 7.008]), False),
        "IBI": Measured(np.array([0.8]), zero + np.array([0.5]), True),
    }
    found = table_of(tmp_path, signals)
    assert {name: signal.unit for name, signal in found.items()} == {
        "ecg": "mV",
        "eda": "µS",
        "temperature": "°C",
        "ibi": "s",
    }
    assert found["eda"].times_s.tolist() == [0.25, 0.5] and found["eda"].values.tolist() == [0.5, 0.6]
    assert found["temperature"].times_s.tolist() == [0.0]
    # a clock of its own begins with the segment
    assert found["ecg"].times_s.tolist() == pytest.approx([0, 0.004, 0.008]) and found["ecg"].rate_hz == pytest.approx(
        250
    )
    assert found["ibi"].values.tolist() == [0.8]


def test_an_id_in_two_places_is_no_segment() -> None:
    with pytest.raises(MediaError, match="700 s apart"):
        physiology_table({"EDA": Measured(np.array([1.0, 2.0]), np.array([0.0, 700.0]), False)})


def test_tables_of_a_tree(tmp_path) -> None:
    """The tree's own numbers come out: level by person and emotion, intervals as written, and the extractor reads them."""
    root = write_kemdy20(tmp_path / "k", sessions=(1,), scripts=("script01",), turns=4, seconds=3.0)
    for clip in CORPORA["kemdy20"].read(root, tmp_path / "out").clips:
        signals = read_physiology(clip.path_of("physiology"))
        found = {signal.name: signal for signal in signals}
        user = clip.groups["speaker"]
        for name, kind in (("eda", "EDA"), ("temperature", "TEMP"), ("ibi", "IBI")):
            lines = (root / f"{kind}/Session01/Sess01_script01_{user}.csv").read_text().splitlines()
            rows = [line.split(",") for line in lines if line.endswith(clip.id)]
            assert found[name].values.tolist() == pytest.approx([float(row[-3]) for row in rows])
        assert found["eda"].rate_hz == 4.0 and len(found["eda"].values) == 12
        tokens = PhysiologyExtractor(3.0, 3.0)(signals)
        at = PHYSIOLOGY_COLUMNS.index("eda_mean")
        assert tokens.x[0, at] == pytest.approx(found["eda"].values.mean(), rel=1e-4)


# -- processes


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_two_processes_write_what_one_does(tmp_path) -> None:
    root = write_kemdy19(tmp_path / "k", sessions=(1, 5, 9), turns=4, seconds=0.4)
    told = []
    one = with_options("kemdy19", Options(workers=1)).read(root, tmp_path / "one")
    options = Options(workers=2, progress=lambda *at: told.append(at))
    two = with_options("kemdy19", options).read(root, tmp_path / "two")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")
    assert len(snapshot(tmp_path / "two")) == 3 * 8 + 3 + 1
    assert [clip.id for clip in one.clips] == [clip.id for clip in two.clips] and one.facts == two.facts
    assert [at[:2] for at in told] == [(1, 3), (2, 3), (3, 3)] and {at[2] for at in told} == {
        "Session01",
        "Session05",
        "Session09",
    }


def test_a_worker_that_hangs_costs_its_session(tmp_path) -> None:
    """A file that never ends: the session is told and left undone, the others are there, and the next run takes it up."""
    sensor, endless = tmp_path / "sensor.csv", tmp_path / "endless.csv"
    sensor.write_text(f"0.5,0,10,{F1}\n")
    os.mkfifo(endless)
    works = [
        SessionWork(f"Session0{i}", tmp_path / f"{i}", (("EDA", "Sess01F", "x.csv", file),), ((F1, "Sess01F"),))
        for i, file in ((2, sensor), (1, endless))
    ]
    _, _, failed = convert_sessions(works, workers=1, timeout_s=1.0)
    assert failed == [("Session01", "took longer than 1 s")]
    assert not (tmp_path / "1").exists() and (tmp_path / "2/session.json").is_file()
    endless.unlink()
    endless.write_text(f"0.7,0,10,{F1}\n")
    _, _, failed = convert_sessions(works)
    assert failed == [] and (tmp_path / f"1/{F1}.csv").read_text().splitlines()[1] == "0.000000,0.7"


def test_what_is_done_is_not_done_again(tmp_path) -> None:
    root = write_kemdy19(tmp_path / "k", sessions=(1, 5), turns=2, seconds=0.3)
    out = tmp_path / "out"
    CORPORA["kemdy19"].read(root, out)
    before = snapshot(out)
    tables = out / "physiology/speaker"
    old = {path: path.stat().st_mtime_ns for path in tables.rglob("*") if path.is_file()}
    # a session that was not finished, one whose table is gone, and a file that changed
    (tables / "Session01/session.json").unlink()
    CORPORA["kemdy19"].read(root, out)
    again = {path for path in old if path.stat().st_mtime_ns != old[path]}
    assert {path.parent.name for path in again} == {"Session01"} and snapshot(out) == before
    (tables / "Session05/Sess05_script01_F001.csv").unlink()
    (tables / "Session01/session.json").write_text("{half")
    CORPORA["kemdy19"].read(root, out)
    assert snapshot(out) == before
    file = root / "EDA/Session05/Original/Sess05F.csv"
    file.write_text(file.read_text().replace("Sess05_script01_F001", "Sess05_script01_F009"))
    clips = {clip.id: clip for clip in CORPORA["kemdy19"].read(root, out).clips}
    names = [s.name for s in read_physiology(clips["Sess05_script01_F001"].path_of("physiology"))]
    assert names == ["ecg", "temperature"]


def test_a_broken_file_costs_itself(tmp_path) -> None:
    root = write_kemdy19(tmp_path / "k", sessions=(1, 5), turns=2, seconds=0.3)
    (root / "EDA/Session01/Original/Sess01F.csv").write_bytes(b"\0" * 40)
    manifest = CORPORA["kemdy19"].read(root, tmp_path / "out")
    assert [(r.item, r.what) for r in manifest.rejected] == [("EDA/Session01/Original/Sess01F.csv", "physiology")]
    assert manifest.facts["physiology"] == {"ECG": 8, "EDA": 6, "TEMP": 8, "IBI": 0}


def test_a_session_that_cannot_be_written_is_told(tmp_path) -> None:
    (tmp_path / "blocked").write_text("a file where the folder should be")
    sensor = tmp_path / "sensor.csv"
    sensor.write_text(f"0.5,0,10,{F1}\n")
    works = [
        SessionWork(name, tmp_path / where / name, (("EDA", "Sess01F", "x.csv", sensor),), ((F1, "Sess01F"),))
        for name, where in (("Session01", "blocked"), ("Session02", "free"))
    ]
    assert convert_session(works[0])[0] == "skipped"
    tables, kinds, failed = convert_sessions(works, workers=1)
    assert tables == {F1: tmp_path / "free/Session02" / f"{F1}.csv"} and kinds == {F1: ["EDA"]}
    assert [name for name, _ in failed] == ["Session01"]
    assert json.loads((tmp_path / "free/Session02/session.json").read_text())["segments"] == {F1: ["EDA"]}
