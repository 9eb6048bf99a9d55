"""Features of many clips into a store: in one process or several, resumable, with a reason for every clip left out."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import torch

from merkit.errors import ConfigError, MerkitError
from merkit.features.clip import ClipFeatures, Tools, extract_clip
from merkit.features.job import FATAL, Finished, Job, Work
from merkit.features.record import input_sha256, record_key
from merkit.features.store import FeatureStore
from merkit.features.workers import Workers
from merkit.schema import Clip

__all__ = [
    "ClipExtraction",
    "ClipExtractor",
    "Engine",
    "ExtractionProgress",
    "ExtractionReport",
    "Skipped",
    "extract_many",
]

Engine = Literal["serial", "processes", "ray"]


class ClipExtractor(Protocol):
    """Makes features of one clip; it travels to the workers, so it must be picklable and small until it is called.

    Attributes:
        identity: all that the result depends on beside the clip, JSON types: extractor ids, options, versions.
    """

    @property
    def identity(self) -> Mapping[str, Any]: ...
    def __call__(self, clip: Clip, /) -> ClipFeatures: ...


@dataclass(frozen=True)
class ClipExtraction:
    """`extract_clip` with its tools made where it runs: once per worker, on the first clip.

    Args:
        make_tools: a function at the top of a module (or a `functools.partial` of one) that loads the models.
        fps: sampled frames a second.
    """

    make_tools: Callable[[], Tools]
    fps: float = 3.0

    @cached_property
    def tools(self) -> Tools:
        return self.make_tools()

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        from merkit import __version__

        return {
            "merkit": __version__,
            "fps": self.fps,
            "extractors": {modality: extractor.id for modality, extractor in self.tools.extractors.items()},
            "tools": [name for name in ("faces", "voice", "recogniser") if getattr(self.tools, name) is not None],
        }

    def __call__(self, clip: Clip, /) -> ClipFeatures:
        return extract_clip(clip, self.tools, fps=self.fps)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return ClipExtraction, (self.make_tools, self.fps)  # loaded models stay behind


@dataclass(frozen=True, slots=True)
class Skipped:
    """A clip without features, and why."""

    clip: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExtractionReport:
    """What became of every clip, in the order they were given.

    Args:
        done: ids of clips extracted in this run.
        reused: ids of clips whose features were in the store already and are still good.
        skipped: clips that could not be used.
    """

    done: tuple[str, ...]
    reused: tuple[str, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class ExtractionProgress:
    """Where a run stands.

    Args:
        finished: clips dealt with so far: done, reused or skipped.
        total: clips asked for.
        clips_per_s: extracted or skipped clips a second in this run; reused ones are not counted. None at first.
        left_s: seconds to go at that rate; None while it is unknown.
        clip: id of the clip that was dealt with last.
    """

    finished: int
    total: int
    clips_per_s: float | None
    left_s: float | None
    clip: str


@dataclass(slots=True)
class _Tally:
    """What has happened, by clip number."""

    clips: Sequence[Clip]
    progress: Callable[[ExtractionProgress], object] | None
    begun_s: float = field(default_factory=time.perf_counter)
    worked: int = 0
    outcome: dict[int, tuple[str, str | None]] = field(default_factory=dict)

    def note(self, number: int, what: str, reason: str | None = None) -> None:
        self.outcome[number] = (what, reason)
        self.worked += what != "reused"
        if self.progress is None:
            return
        rate = self.worked / max(time.perf_counter() - self.begun_s, 1e-9) if self.worked else None
        left = len(self.clips) - len(self.outcome)
        left_s = left / rate if rate else None
        self.progress(ExtractionProgress(len(self.outcome), len(self.clips), rate, left_s, self.clips[number].id))

    def report(self) -> ExtractionReport:
        by = {kind: [i for i in sorted(self.outcome) if self.outcome[i][0] == kind] for kind in _KINDS}
        done, reused = (tuple(self.clips[i].id for i in by[kind]) for kind in ("done", "reused"))
        return ExtractionReport(
            done, reused, tuple(Skipped(self.clips[i].id, self.outcome[i][1] or "") for i in by["skipped"])
        )


_KINDS = ("done", "reused", "skipped")
_ENGINES = get_args(Engine)


def extract_many(
    clips: Sequence[Clip],
    extract: ClipExtractor,
    store: FeatureStore,
    *,
    engine: Engine = "serial",
    workers: int = 2,
    threads: int = 1,
    timeout_s: float | None = None,
    progress: Callable[[ExtractionProgress], object] | None = None,
) -> ExtractionReport:
    """Extracts what the store does not hold yet, and finalises it.

    A clip whose bytes and extractors are unchanged is not touched, so a run that was ended, by whatever means, goes on
    where it was. A clip that fails is left out with its reason, and the run goes on; missing weights, a damaged store
    and wrong options end it. All engines write the same bytes and give the same report, with any number of workers.

    Args:
        clips: with distinct ids.
        extract: makes the features; models are loaded once per process.
        store: where they go.
        engine: `serial` works in this process; `processes` in fresh ones (spawned, never forked), so that a clip that
            takes its process down, or hangs, costs only itself; `ray` in actors on one machine or on the cluster of
            `RAY_ADDRESS`, whose machines must see the same files (`pip install merkit[scale]`).
        workers: how many work at once; one per core, less where memory is short (about 1 GB each).
        threads: threads that each process computes in. Another number gives other last digits (about 1e-6), because
            sums are then split in other places; clips at a time use a machine better than threads do.
        timeout_s: seconds that one clip may take, with `processes`; None for any.
        progress: called after every clip.

    Raises:
        ConfigError: two clips share an id, a timeout was asked of another engine than `processes`, or ray is not installed.
        WeightError: weights are missing.
        StoreError: the store is damaged.
    """
    ids = [clip.id for clip in clips]
    if len(set(ids)) != len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise ConfigError(f"clip ids must be distinct; {twice!r} comes more than once")
    if engine not in _ENGINES or workers < 1 or threads < 1:
        asked = f"{engine!r}, {workers} workers, {threads} threads"
        raise ConfigError(f"engine is one of {', '.join(_ENGINES)}, with at least one worker and thread; got {asked}")
    if engine != "processes" and timeout_s is not None:
        raise ConfigError("a timeout needs the engine `processes`: a process cannot stop itself")
    if engine == "ray":
        from merkit.features.ray_engine import require_ray

        require_ray()  # before the models are loaded and the inputs read
    tally = _Tally(clips, progress)
    job = Job(extract, store)
    waiting: list[tuple[int, Work]] = []
    hashes: dict[Path, str] = {}  # many clips may be spans of one file
    identity = extract.identity
    store.refresh()
    for number, clip in enumerate(clips):
        try:
            input_hash = input_sha256(clip, hashes)
        except MerkitError as error:
            tally.note(number, "skipped", str(error))
            continue
        key = record_key(input_hash, identity)
        if store.key_of(clip.id) == key:
            tally.note(number, "reused")
        else:
            waiting.append((number, (clip, key, input_hash)))
    with closing(_outcomes(engine, job, waiting, workers, threads, timeout_s)) as outcomes:
        for number, (kind, reason) in outcomes:
            if kind in FATAL:
                raise FATAL[kind](reason)
            tally.note(number, kind, reason)
    store.finalise()
    return tally.report()


def _outcomes(
    engine: Engine, job: Job, waiting: Sequence[tuple[int, Work]], workers: int, threads: int, timeout_s: float | None
) -> Generator[Finished]:
    """Outcomes as clips finish; closing it ends what still works."""
    if not waiting:
        return
    if engine == "serial":
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            for number, work in waiting:
                yield number, job(work)
        finally:
            torch.set_num_threads(before)
    elif engine == "processes":
        with Workers(job, workers, threads, timeout_s) as crew:
            yield from crew.run(waiting)
    else:
        from merkit.features.ray_engine import run_on_ray

        yield from run_on_ray(job, waiting, workers, threads)
