"""Many clips into a store: the same bytes and the same report whichever processes did it, and no clip costs another."""

import ctypes
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from merkit.errors import ConfigError, MediaError, MerkitError, WeightError
from merkit.features.clip import ClipFeatures
from merkit.features.extraction import ClipExtraction, ExtractionProgress, extract_many
from merkit.features.record import input_sha256
from merkit.features.store import FeatureStore
from merkit.schema import Clip, Person, Presence, Segment, Stream, TokenSequence


@dataclass(frozen=True)
class Reader:
    """Fake extraction: tokens are the file's bytes; what the file says may also be what goes wrong."""

    version: int = 1

    @property
    def identity(self):
        return {"version": self.version}

    def __call__(self, clip: Clip) -> ClipFeatures:
        text = clip.streams[0].path.read_text()
        if text == "corrupt":
            raise MediaError("no frame could be decoded", path=clip.streams[0].path.name, time_s=1.5)
        if text == "surprise":
            raise KeyError("nobody thought of this")
        if text == "no weights":
            raise WeightError("minilm is not in the cache")
        if text == "exit":
            os._exit(3)
        if text == "crash":
            ctypes.string_at(0)
        if text == "hang":
            time.sleep(600)
        x = np.frombuffer(text.encode(), np.uint8).astype(np.float32)[:, None] * self.version
        times_s = np.arange(len(x)) / 10.0
        tokens = TokenSequence(x, times_s, times_s + 0.1)
        nobody = Person("person_1", np.zeros(0), np.zeros((0, 4)), np.zeros(0))
        return ClipFeatures(
            clip=clip,
            duration_s=len(x) / 10.0,
            info=None,
            picture=None,
            tokens={("text", None): tokens, ("face", "person_1"): tokens} if text != "nothing" else {},
            segment_of={"text": np.arange(len(x)) // 2},
            persons=(nobody,),
            segments=(Segment(0.0, 0.2, text[:2], "person_1", "subtitles"),),
            shots_s=(np.float64(0.25),),
            signals=(),
            presence=(Presence("text", True, None, 1.0), Presence("face", False, "no face was found", 0.0)),
            warnings=("one frame was repeated",),
            extractor_ids={"text": f"reader@{self.version}", "face": f"reader@{self.version}"},
        )


class BrokenInTheWorker(Reader):
    """Cannot be unpickled where it should work."""

    def __reduce__(self):
        return _raise, ()


def _raise():
    raise RuntimeError("not here")


def clips(folder: Path, **texts: str) -> list[Clip]:
    folder.mkdir(exist_ok=True)
    made = []
    for name, text in texts.items():
        (folder / f"{name}.srt").write_text(text)
        made.append(Clip(name, (Stream("text", folder / f"{name}.srt"),)))
    return made


def files(path: Path) -> dict[str, bytes]:
    return {
        str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file() and f.stat().st_size
    }


def test_what_was_found_is_what_is_stored(tmp_path):
    store = FeatureStore.create(tmp_path / "store")
    report = extract_many(clips(tmp_path / "in", a="hello", b="nothing"), Reader(), store)
    assert (report.done, report.reused, report.skipped) == (("a", "b"), (), ())
    tokens = store.read("a", "text", extractor_id="reader@1")
    assert bytes(tokens.x[:, 0].astype(np.uint8)) == b"hello"
    np.testing.assert_allclose(tokens.end_s, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert store.segment_of(store.row("a", "text")).tolist() == [0, 0, 1, 1, 2]
    assert store.segment_of(store.row("a", "face", "person_1")).tolist() == [-1] * 5
    about = store.about("a")
    assert about["segments"] == [
        {"start_s": 0.0, "end_s": 0.2, "text": "he", "person": "person_1", "source": "subtitles"}
    ]
    assert about["presence"][1]["reason"] == "no face was found"
    assert (about["shots_s"], about["persons"], about["warnings"]) == ([0.25], ["person_1"], ["one frame was repeated"])
    assert store.read("b", "text") is None


def test_both_engines_write_the_same_bytes_and_say_the_same(tmp_path):
    texts = {f"clip_{i}": f"text number {i}" for i in range(9)} | {
        "bad": "corrupt",
        "odd": "surprise",
        "nil": "nothing",
    }
    given = clips(tmp_path / "in", **texts)
    given.insert(2, Clip("gone", (Stream("text", tmp_path / "gone.srt"),)))
    serial = FeatureStore.create(tmp_path / "serial", shard_bytes=1000)
    parallel = FeatureStore.create(tmp_path / "parallel", shard_bytes=1000)
    said = extract_many(given, Reader(), serial)
    assert extract_many(given, Reader(), parallel, engine="processes", workers=2) == said
    assert files(tmp_path / "serial") == files(tmp_path / "parallel")
    assert {s.clip: s.reason for s in said.skipped} == {
        "gone": f"{tmp_path / 'gone.srt'}: no such file",
        "bad": "bad.srt, at 1.50 s: no frame could be decoded",
        "odd": "KeyError: 'nobody thought of this'",
    }
    assert len(said.done) == 10


def test_a_worker_that_dies_or_hangs_costs_one_clip(tmp_path):
    given = clips(tmp_path / "in", a="aa", exits="exit", b="bb", crashes="crash", c="cc", hangs="hang", d="dd")
    store = FeatureStore.create(tmp_path / "store")
    begun = time.monotonic()
    report = extract_many(given, Reader(), store, engine="processes", workers=2, timeout_s=2.0)
    assert time.monotonic() - begun < 120
    assert report.done == ("a", "b", "c", "d")
    assert {s.clip: s.reason for s in report.skipped} == {
        "exits": "its process died (exit code 3)",
        "crashes": "its process died (killed by SIGSEGV)",
        "hangs": "took longer than 2 s",
    }
    assert store.clips == ["a", "b", "c", "d"]


def test_only_what_changed_is_done_again(tmp_path):
    given = clips(tmp_path / "in", a="one", b="two", c="corrupt")
    store = FeatureStore.create(tmp_path / "store")
    assert extract_many(given, Reader(), store).done == ("a", "b")
    again = extract_many(given, Reader(), store)
    assert (again.done, again.reused, [s.clip for s in again.skipped]) == ((), ("a", "b"), ["c"])
    (tmp_path / "in" / "b.srt").write_text("TWO")
    assert extract_many(given, Reader(), store).done == ("b",)
    assert bytes(store.read("b", "text").x[:, 0].astype(np.uint8)) == b"TWO"
    assert extract_many(given, Reader(2), store).done == ("a", "b")
    assert store.read("a", "text").x[0, 0] == 2 * ord("o")
    # another name for the same file is the same input; another offset is not
    moved = (tmp_path / "in" / "a.srt").rename(tmp_path / "moved.srt")
    stream = replace(given[0].streams[0], path=moved)
    assert extract_many([Clip("a", (stream,))], Reader(2), store).reused == ("a",)
    assert extract_many([Clip("a", (replace(stream, start_s=1.0),))], Reader(2), store).done == ("a",)


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_missing_weights_end_the_run_and_keep_what_is_done(tmp_path, engine):
    given = clips(tmp_path / "in", a="one", b="no weights", c="two")
    store = FeatureStore.create(tmp_path / "store")
    with pytest.raises(WeightError, match="minilm is not in the cache"):
        extract_many(given, Reader(), store, engine=engine, workers=1)
    assert FeatureStore.open(tmp_path / "store").clips == ["a"]


def test_progress_tells_how_far_and_how_long(tmp_path):
    seen: list[ExtractionProgress] = []
    store = FeatureStore.create(tmp_path / "store")
    given = clips(tmp_path / "in", a="one", b="corrupt", c="two")
    extract_many(given[:1], Reader(), store)
    extract_many(given, Reader(), store, progress=seen.append)
    assert [(p.finished, p.total, p.clip) for p in seen] == [(1, 3, "a"), (2, 3, "b"), (3, 3, "c")]
    assert seen[0].left_s is None and seen[0].clips_per_s is None  # the first was reused: nothing is known yet
    assert seen[1].left_s == pytest.approx(1 / seen[1].clips_per_s)
    assert seen[2].left_s == 0


def test_wrong_options_are_refused_before_any_work(tmp_path):
    store = FeatureStore.create(tmp_path / "store")
    one = clips(tmp_path / "in", a="one")
    for given, options in (
        (one * 2, {}),
        (one, {"timeout_s": 1.0}),
        (one, {"engine": "threads"}),
        (one, {"workers": 0}),
        (one, {"threads": 0}),
    ):
        with pytest.raises(ConfigError):
            extract_many(given, Reader(), store, **options)
    assert store.clips == []


def test_a_job_that_cannot_start_says_so(tmp_path):
    store = FeatureStore.create(tmp_path / "store")
    with pytest.raises(MerkitError, match=r"before it could start \(exit code 1\)"):
        extract_many(clips(tmp_path / "in", a="one"), BrokenInTheWorker(), store, engine="processes", workers=1)


def test_the_input_is_its_bytes_and_its_streams(tmp_path):
    a, same = clips(tmp_path / "1", a="one"), clips(tmp_path / "2", b="one")
    other = clips(tmp_path / "3", a="two")
    assert input_sha256(a[0]) == input_sha256(same[0]) != input_sha256(other[0])
    speech = Clip("a", (replace(a[0].streams[0], modality="speech"),))
    assert input_sha256(speech) != input_sha256(a[0])


def _made() -> object:
    raise AssertionError("models are loaded where the work is done")


def test_loaded_models_do_not_travel():
    extraction = ClipExtraction(_made, fps=2.0)
    copy = type(extraction)(*extraction.__reduce__()[1])
    assert copy == extraction
    assert json.dumps(extraction.__reduce__()[1][1]) == "2.0"


@dataclass(frozen=True)
class Threads(Reader):
    """Fake: its only token is the number of threads it runs in."""

    def __call__(self, clip: Clip) -> ClipFeatures:
        features = super().__call__(clip)
        one = TokenSequence(np.full((1, 1), torch.get_num_threads(), np.float32), np.zeros(1), np.ones(1))
        return replace(features, tokens={("face", "person_1"): one})


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_every_engine_computes_in_the_same_number_of_threads(tmp_path, engine):
    before = torch.get_num_threads()
    for threads in (1, 2):
        store = FeatureStore.create(tmp_path / str(threads))
        extract_many(clips(tmp_path / "in", a="one"), Threads(), store, engine=engine, workers=1, threads=threads)
        assert store.read("a", "face", "person_1").x[0, 0] == threads
    assert torch.get_num_threads() == before
