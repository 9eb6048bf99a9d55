"""Worker processes that may die or hang without taking the run with them.

The standard pools either lose a task when its worker is killed or give up as a whole. Here each worker has a pipe of
its own and holds one item at a time, so it is always known which item a dead worker was on.
"""

import contextlib
import multiprocessing as mp
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from merkit.errors import MerkitError
from merkit.features.job import Finished, Outcome

__all__ = ["Workers"]

_READY = "ready"


@dataclass(slots=True, eq=False)
class _Worker:
    process: Any
    pipe: Connection
    ready: bool = False
    number: int | None = None
    since_s: float = 0.0


class Workers:
    """Runs `job(work) -> (kind, reason)` over items in spawned processes, which stay warm from one `run` to the next.

    Args:
        job: picklable; every worker gets one copy and keeps it, with what it has loaded.
        count: processes at most.
        threads: that torch computes in, per process.
        timeout_s: seconds for one item; None for any.

    Example:
        >>> with Workers(print, 2, 1, None) as crew:
        ...     sorted(crew.run([]))
        []
    """

    def __init__(self, job: Callable[[Any], Outcome], count: int, threads: int, timeout_s: float | None) -> None:
        self._job = job
        self._count = count
        self._timeout_s = timeout_s
        self._context = mp.get_context("spawn")
        self._threads = threads
        self._crew: list[_Worker] = []

    def run(self, items: Sequence[tuple[int, Any]]) -> Iterator[Finished]:
        """(number, outcome) as items finish; an item whose worker dies or hangs comes out as skipped, with the reason.

        Raises:
            MerkitError: a worker ended before it could take its first item.
        """
        left = list(reversed(items))
        while left or any(worker.number is not None for worker in self._crew):
            busy = sum(worker.number is not None for worker in self._crew)
            while len(self._crew) < min(self._count, len(left) + busy):
                self._crew.append(self._start())
            for worker in list(self._crew):
                if left and worker.ready and worker.number is None:
                    number, work = left.pop()
                    try:
                        worker.pipe.send(work)
                    except OSError:  # it died idle: nothing is lost but the worker
                        left.append((number, work))
                        self._end(worker)
                        continue
                    worker.number, worker.since_s = number, time.monotonic()
            yield from self._listen()

    def close(self) -> None:
        """Ends all workers, whatever they are on."""
        for worker in list(self._crew):
            self._end(worker)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        # not a daemon: a worker starts the decoder, and daemons may not have children
        process = self._context.Process(target=_serve, args=(theirs, self._job, self._threads), daemon=False)
        process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        return _Worker(process, ours)

    def _listen(self) -> Iterator[Finished]:
        """Waits until something happens: a message, a death, or a deadline."""
        heard = wait([worker.pipe for worker in self._crew], self._until_deadline_s())
        for worker in list(self._crew):
            if worker.pipe in heard:
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    yield from self._dead(worker)
                    continue
                if message == _READY:
                    worker.ready = True
                elif worker.number is not None:
                    number, worker.number = worker.number, None
                    yield number, message
            elif worker.number is not None and self._late(worker):
                number = worker.number
                self._end(worker)
                yield number, ("skipped", f"took longer than {self._timeout_s:g} s")

    def _late(self, worker: _Worker) -> bool:
        return self._timeout_s is not None and time.monotonic() - worker.since_s >= self._timeout_s

    def _until_deadline_s(self) -> float | None:
        begun = [worker.since_s for worker in self._crew if worker.number is not None]
        if self._timeout_s is None or not begun:
            return None
        return max(0.0, min(begun) + self._timeout_s - time.monotonic()) + 0.01

    def _dead(self, worker: _Worker) -> Iterator[Finished]:
        # wait for the end, but leave the zombie: as long as it is there nobody else can have its process group
        os.waitid(os.P_PID, worker.process.pid, os.WEXITED | os.WNOWAIT)
        code = self._end(worker)
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if worker.number is not None:
            yield worker.number, ("skipped", f"its process died ({how})")
        elif not worker.ready:
            raise MerkitError(f"a worker process ended before it could start ({how}); its error is on stderr")

    def _end(self, worker: _Worker) -> int:
        """Ends a worker and the decoder that it may have started; gives its exit code."""
        self._crew.remove(worker)
        worker.pipe.close()
        if worker.ready:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.kill()
        worker.process.join()
        return worker.process.exitcode


def _serve(pipe: Connection, job: Callable[[Any], Outcome], threads: int) -> None:
    """The life of a worker: one item after another, until the pipe closes."""
    import torch

    os.setsid()  # its own group, so that its children can be ended with it
    threading.Thread(target=_follow_parent, daemon=True).start()
    torch.set_num_threads(threads)
    pipe.send(_READY)
    while True:
        try:
            work = pipe.recv()
        except EOFError:
            return
        outcome = job(work)
        try:
            pipe.send(outcome)
        except BrokenPipeError:  # whoever asked is gone
            return


def _follow_parent() -> None:
    """Ends this worker and its decoder as soon as the process that started it is gone, killed or not."""
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)
