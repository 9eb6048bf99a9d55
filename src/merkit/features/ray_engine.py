"""The engine `ray`: the same job in warm actors on one machine or on a cluster, scheduled by Ray Data.

Ray Data retries a task for ever when its actor dies, so a clip that takes its process down would come back until the
end of days. A ledger counts how often each clip was begun, and a clip that has had its chances is left out.
"""

import importlib.util
import logging
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from typing import Any

from merkit.errors import ConfigError, MerkitError
from merkit.features.job import Finished, Job, Work

__all__ = ["ray_ready", "require_ray", "run_on_ray"]

# How often a clip is begun before it is left out. A second time is fair: the actor may have died of its neighbours'
# hunger for memory.
TRIES = 2
_MISSING = "the engine `ray` needs Ray Data, which is not installed: pip install merkit[scale]"
# Next to nothing goes through Ray's object store: clips are paths, results are one line each.
_OBJECT_STORE_BYTES = 128 << 20


def require_ray() -> None:
    """Says how to install ray where it is missing.

    Raises:
        ConfigError: ray is not installed.

    Example:
        >>> require_ray()
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(_MISSING)


def run_on_ray(job: Job, items: Sequence[tuple[int, Work]], workers: int, threads: int) -> Generator[Finished]:
    """(number, outcome) as items finish, on the running Ray, on that of `RAY_ADDRESS`, or on one of its own.

    Args:
        job: sent once to every actor; what it is made of must be importable there.
        items: what to do.
        workers: actors; fewer start where the cluster has fewer CPUs.
        threads: that each actor computes in, and CPUs that it reserves.

    Raises:
        ConfigError: ray is missing or cannot be reached, or the job is defined in a script.
        MerkitError: an actor could not start, or Ray gave up.
    """
    require_ray()
    sent = bytes(ForkingPickler.dumps(job))
    if b"__main__" in sent:
        raise ConfigError("what makes the features is defined in the script that runs; put it into a module of its own")
    try:
        import ray
        from ray.data import ActorPoolStrategy, from_items
        from ray.exceptions import RayError
    except ImportError as error:
        raise ConfigError(f"{_MISSING} ({error})") from error

    workers = min(workers, len(items))
    with ray_ready(workers * threads), _quiet("ray.data"):
        cpus = int(ray.cluster_resources().get("CPU", 0))
        if cpus < threads:
            raise ConfigError(f"the Ray at hand has {cpus} CPUs, too few for one worker of {threads} threads")
        # actors that wait for a CPU would slow down those that have one: Ray Data then sleeps 0.1 s a clip
        workers = min(workers, cpus // threads)
        ledger = ray.remote(num_cpus=0)(_Ledger).remote()
        # one clip a block, so that its outcome is known when it is finished and not when its neighbours are
        rows = [{"number": number, "work": bytes(ForkingPickler.dumps(work))} for number, work in items]
        clips = from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Stage,
            fn_constructor_args=(sent, sys.path, threads, ledger),
            batch_size=None,
            batch_format="numpy",
            compute=ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
            num_cpus=threads,
        )
        clips.context.enable_progress_bars = False
        clips.context.print_on_execution_start = False
        try:
            for batch in clips.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
                for number, kind, reason in zip(batch["number"], batch["kind"], batch["reason"], strict=True):
                    yield int(number), (str(kind), str(reason) or None)
        except RayError as error:
            raise MerkitError(f"Ray gave up: {str(error).strip().splitlines()[-1]}") from error


class _Stage:
    """What an actor is: the job, with the models it has loaded."""

    def __init__(self, job: bytes, path: list[str], threads: int, ledger: Any) -> None:
        # modules are found where they are found by whoever asked, as in a spawned process
        sys.path += [place for place in path if place not in sys.path]
        self._job: Job = ForkingPickler.loads(job)
        self._threads = threads
        self._ledger = ledger

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import ray
        import torch

        torch.set_num_threads(self._threads)  # per call: it holds for the calling thread, and that is Ray's choice
        outcomes = []
        for number, work in zip(batch["number"], batch["work"], strict=True):
            if ray.get(self._ledger.begin.remote(int(number))) > TRIES:
                outcomes.append(("skipped", f"its process died {TRIES} times"))
            else:
                outcomes.append(self._job(ForkingPickler.loads(work)))
        return {
            "number": batch["number"],
            "kind": [kind for kind, _ in outcomes],
            "reason": [reason or "" for _, reason in outcomes],
        }


class _Ledger:
    """Counts beginnings; an actor of its own, so that it outlives those that work."""

    def __init__(self) -> None:
        self._begun: dict[int, int] = {}

    def begin(self, number: int) -> int:
        self._begun[number] = self._begun.get(number, 0) + 1
        return self._begun[number]


@contextmanager
def _quiet(name: str) -> Generator[None]:
    """Keeps a logger to itself: what goes wrong comes out as an outcome or an error."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def ray_ready(cpus: int) -> Generator[None]:
    """A Ray to work on: the one that runs in this process, which is left alone, or one that is ended afterwards.

    Args:
        cpus: of a Ray of its own; the cluster of `RAY_ADDRESS` has those that it has, and is only left afterwards.

    Raises:
        ConfigError: Ray cannot be started or reached.

    Example:
        >>> with ray_ready(2):  # doctest: +SKIP
        ...     ray.cluster_resources()["CPU"]
        2.0
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # a warning about constructor arguments that Ray Data causes itself would be printed with every run
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                **quiet,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"Ray cannot be had at {address or 'this machine'}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()
