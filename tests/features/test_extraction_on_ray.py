"""Extraction on Ray: the same bytes and words as elsewhere, no clip ends the run, and a run that was killed goes on."""

import importlib.util
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import test_clip
from made import write_clip
from test_extraction import Reader, Threads, clips, files

from merkit.errors import ConfigError, WeightError
from merkit.features import ClipExtraction, FeatureStore, Tools, extract_many
from merkit.features.ray_engine import ray_ready, run_on_ray
from merkit.schema import Clip


@pytest.fixture(scope="session")
def cluster():
    """A running Ray of two CPUs, as a user has who called `ray.init` before."""
    pytest.importorskip("ray", reason="ray is not installed (pip install merkit[scale])")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=128 << 20)
    yield ray
    ray.shutdown()


def fake_tools() -> Tools:
    return test_clip.tools(physiology=None)


@pytest.fixture
def mixed(tmp_path) -> list[Clip]:
    """Good clips with all that can be wrong with a file between them."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "c"):
        write_clip(folder / f"{name}.mp4", seconds=1.5)
    write_clip(folder / "silent.mp4", seconds=1.0, audio=False)
    whole = (folder / "a.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])  # the table of contents is at the end
    hurt = bytearray(whole)
    middle = whole.index(b"mdat") + 200
    hurt[middle : middle + 300] = np.random.default_rng(0).bytes(300)
    (folder / "hurt.mp4").write_bytes(hurt)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("This is no film at all.\n" * 50)
    (folder / "ok.srt").write_text("1\n00:00:00,200 --> 00:00:01,000\nonly words\n")
    names = ("a", "empty", "cut", "c", "hurt", "missing", "text", "silent")
    return [Clip.from_files(folder / f"{name}.mp4") for name in names] + [Clip.from_files(subtitles=folder / "ok.srt")]


def test_all_engines_write_the_same_bytes_and_leave_out_the_same(cluster, tmp_path, mixed) -> None:
    reports, stores = {}, {}
    for engine in ("serial", "processes", "ray"):
        store = FeatureStore.create(tmp_path / engine, shard_bytes=200)
        workers = 2 if engine == "ray" else 1
        reports[engine] = extract_many(mixed, ClipExtraction(fake_tools), store, engine=engine, workers=workers)
        stores[engine] = files(tmp_path / engine)
    assert reports["serial"] == reports["processes"] == reports["ray"]
    assert stores["serial"] == stores["processes"] == stores["ray"]
    assert len([name for name in stores["ray"] if name.startswith("shards/")]) > 1
    assert set(reports["ray"].done) == {"a", "c", "hurt", "silent", "ok"}
    reasons = {skipped.clip: skipped.reason for skipped in reports["ray"].skipped}
    assert {name: reason.split(": ", 1)[1].split(" (")[0] for name, reason in reasons.items()} == {
        "empty": "the file is empty",
        "cut": "not readable as video or audio",
        "missing": "no such file",
        "text": "not readable as video or audio",
    }
    assert cluster.is_initialized()  # a Ray that was there before is left alone


@pytest.mark.thorough
def test_a_clip_that_raises_or_kills_its_actor_costs_only_itself(cluster, tmp_path) -> None:
    given = clips(tmp_path / "in", a="aa", odd="surprise", b="bb", crashes="crash", c="cc", d="dd")
    seen = []
    store = FeatureStore.create(tmp_path / "store")
    # the cluster has two CPUs: more workers than that are not waited for
    report = extract_many(given, Reader(), store, engine="ray", workers=5, progress=seen.append)
    assert report.done == ("a", "b", "c", "d") == tuple(store.clips)
    assert {s.clip: s.reason for s in report.skipped} == {
        "odd": "KeyError: 'nobody thought of this'",
        "crashes": "its process died 2 times",
    }
    assert [at.finished for at in seen] == list(range(1, 7))
    assert seen[-1].left_s == 0
    assert seen[3].left_s == pytest.approx(2 / seen[3].clips_per_s)
    assert extract_many(given[:1], Reader(), store, engine="ray").reused == ("a",)


def test_more_threads_than_there_are_is_told_at_once(cluster, tmp_path) -> None:
    with pytest.raises(ConfigError, match="2 CPUs, too few for one worker of 3 threads"):
        extract_many(
            clips(tmp_path / "in", a="one"), Reader(), FeatureStore.create(tmp_path / "store"), engine="ray", threads=3
        )


@pytest.mark.thorough
def test_an_actor_computes_in_the_threads_that_were_asked_for(cluster, tmp_path) -> None:
    store = FeatureStore.create(tmp_path / "store")
    extract_many(clips(tmp_path / "in", a="one"), Threads(), store, engine="ray", workers=1, threads=2)
    assert store.read("a", "face", "person_1").x[0, 0] == 2  # Ray's own choice would be 1


@pytest.mark.thorough
def test_missing_weights_end_the_run_and_free_the_cluster(cluster, tmp_path) -> None:
    given = clips(tmp_path / "in", a="one", b="no weights")
    with pytest.raises(WeightError, match="minilm is not in the cache"):
        extract_many(given, Reader(), FeatureStore.create(tmp_path / "store"), engine="ray", workers=1)
    assert FeatureStore.open(tmp_path / "store").clips == ["a"]
    until = time.monotonic() + 30
    while cluster.available_resources().get("CPU") != 2.0:
        assert time.monotonic() < until, "an actor is still there"
        time.sleep(0.1)


class FakeRay(types.ModuleType):
    """Fake: notes how it was started and ended."""

    def __init__(self, running: bool, refuses: bool = False) -> None:
        super().__init__("ray")
        self.calls: list[dict | str] = []
        self.running = running
        self.refuses = refuses

    def is_initialized(self) -> bool:
        return self.running

    def init(self, **options) -> None:
        self.calls.append(options)
        if self.refuses:
            raise ConnectionError("nobody answers")

    def shutdown(self) -> None:
        self.calls.append("shutdown")


def test_a_ray_of_its_own_is_small_quiet_and_ended(monkeypatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    monkeypatch.setitem(sys.modules, "ray", ray := FakeRay(running=False))
    with pytest.raises(KeyError), ray_ready(3):
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        raise KeyError  # whatever happens inside
    start, end = ray.calls
    assert end == "shutdown"
    wanted = {"address": "local", "num_cpus": 3, "include_dashboard": False, "log_to_driver": False}
    assert wanted.items() <= start.items()
    monkeypatch.setitem(sys.modules, "ray", ray := FakeRay(running=True))
    with ray_ready(3):
        pass
    assert ray.calls == []  # somebody else's is left alone


def test_a_cluster_is_joined_and_not_configured(monkeypatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setitem(sys.modules, "ray", ray := FakeRay(running=False))
    with ray_ready(3):
        pass
    assert ray.calls[0]["address"] == "head:6379"
    assert "num_cpus" not in ray.calls[0]  # Ray refuses to be told about a cluster that is there
    monkeypatch.setitem(sys.modules, "ray", FakeRay(running=False, refuses=True))
    with pytest.raises(ConfigError, match="head:6379: nobody answers"), ray_ready(3):
        pass


def test_what_cannot_run_there_is_told_before(tmp_path, monkeypatch) -> None:
    class Script(Reader):
        def __reduce__(self):
            return print, ("__main__",)

    with pytest.raises(ConfigError, match="put it into a module"):
        next(run_on_ray(Script(), [(0, None)], 1, 1))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else find(name, *rest))
    with pytest.raises(ConfigError, match=r"pip install merkit\[scale\]"):
        extract_many([], Reader(), FeatureStore.create(tmp_path / "store"), engine="ray")


COUNTED = '''
import os, time
from dataclasses import dataclass
from pathlib import Path
from test_extraction import Reader

@dataclass(frozen=True)
class Counted(Reader):
    """Notes every beginning, and takes its time."""
    log: str = ""

    def __call__(self, clip):
        with open(self.log, "a") as file:
            file.write(f"{clip.id} {os.getpid()}\\n")
        time.sleep(0.1)
        return super().__call__(clip)
'''
RUN = """
import sys
from pathlib import Path
from counted import Counted
from merkit.features import FeatureStore, extract_many
from merkit.schema import Clip, Stream

folder = Path(sys.argv[1])
clips = [Clip(file.stem, (Stream("text", file),)) for file in sorted((folder / "in").glob("*.srt"))]

if __name__ == "__main__":
    store = FeatureStore.create(folder / "store")
    extract_many(clips, Counted(log=str(folder / "log")), store, engine=sys.argv[2], workers=1)
"""


@pytest.mark.parametrize("engine", ["processes", pytest.param("ray", marks=pytest.mark.thorough)])
def test_a_run_that_is_killed_goes_on_without_doing_anything_twice(tmp_path, monkeypatch, engine) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="ray is not installed (pip install merkit[scale])")
    given = clips(tmp_path / "in", bad="corrupt", **{f"clip_{i:02}": f"text {i}" for i in range(14)})
    (tmp_path / "counted.py").write_text(COUNTED)
    (tmp_path / "run.py").write_text(RUN)
    log = tmp_path / "log"
    log.touch()
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {"PYTHONPATH": path}
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path), engine]
    run = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    _until(lambda: run.poll() is not None or len(log.read_text().splitlines()) >= 5, "five clips are begun")
    assert run.poll() is None
    run.kill()
    run.wait()
    workers = {int(line.split()[1]) for line in log.read_text().splitlines()}
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "no worker outlives its run")
    monkeypatch.syspath_prepend(tmp_path)
    counted = importlib.import_module("counted")
    monkeypatch.delitem(sys.modules, "counted")  # each test has one of its own
    store = FeatureStore.open(tmp_path / "store")
    finished = store.clips
    assert 2 <= len(finished) < 14
    report = extract_many(given, counted.Counted(log=str(log)), store)  # any engine takes up what another left
    assert (report.reused, [s.clip for s in report.skipped]) == (tuple(finished), ["bad"])
    begun = [line.split()[0] for line in log.read_text().splitlines()]
    assert {clip: begun.count(clip) for clip in finished} == dict.fromkeys(finished, 1)
    assert store.clips == [f"clip_{i:02}" for i in range(14)]


def _until(there, what: str) -> None:
    until = time.monotonic() + 90
    while not there():
        assert time.monotonic() < until, f"waited in vain until {what}"
        time.sleep(0.05)
