"""Sensor files of a session into one table per segment: a piece of work that any process can do, and need not do again."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merkit.atomic import replacing
from merkit.corpora.kemdy.sensors import COLUMNS, Measured, physiology_table, read_sensor
from merkit.errors import MediaError, MerkitError

__all__ = ["FOLDER", "SessionWork", "convert_session", "convert_sessions"]

FOLDER = "physiology"
_DONE = "session.json"
_VERSION = 1
# what one process reads in about the seconds that another takes to start
_BYTES_PER_WORKER = 64 << 20


@dataclass(frozen=True, slots=True)
class SessionWork:
    """One session to convert.

    Args:
        name: `Session01`.
        folder: where its tables go.
        files: `(kind, person, name in the corpus, path)` of its sensor files, in order.
        wanted: segment -> whose sensors are taken: the person of a file.
    """

    name: str
    folder: Path
    files: tuple[tuple[str, str, str, Path], ...]
    wanted: tuple[tuple[str, str], ...]

    def key(self) -> str:
        """What tells this work from another: a session is done anew where a file or a segment changed."""
        about: list[Any] = [_VERSION, self.wanted]
        for kind, person, name, path in self.files:
            stat = path.stat()
            about.append([kind, person, name, stat.st_size, stat.st_mtime_ns])
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()

    def before(self) -> dict[str, Any] | None:
        """What an earlier run found, if it was of the same files and came to its end."""
        done = self.folder / _DONE
        try:
            found = json.loads(done.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict) or found.get("key") != self.key():
            return None
        there = all((self.folder / f"{segment}.csv").is_file() for segment in found["segments"])
        return found if there else None


def convert_session(work: SessionWork) -> tuple[str, str | None]:
    """Writes the tables of a session; `session.json`, written last, says that they are complete.

    Returns:
        (`done`, None), or (`skipped`, reason): a session's own error never ends the others' work.
    """
    try:
        _convert(work)
    except MerkitError as error:
        return "skipped", str(error)
    except Exception as error:  # noqa: BLE001  one session's surprise is recorded and must not end the others' run
        return "skipped", f"{type(error).__name__}: {error}"
    return "done", None


def _convert(work: SessionWork) -> None:
    if work.before() is not None:
        return
    key = work.key()  # before reading: a file that changes meanwhile is read again by the next run
    signals: dict[str, dict[str, Measured]] = {}
    rejected: list[tuple[str, str]] = []
    for kind, person, name, path in work.files:
        try:
            found = read_sensor(path, kind, {segment for segment, whose in work.wanted if whose == person})
        except MerkitError as error:
            rejected.append((name, getattr(error, "reason", str(error))))
            continue
        for segment, measured in found.items():
            signals.setdefault(segment, {})[kind] = measured
    for segment in sorted(signals):
        try:
            table = physiology_table(signals[segment])
        except MediaError as error:
            rejected.append((segment, error.reason))
            del signals[segment]
            continue
        with replacing(work.folder / f"{segment}.csv") as temporary:
            temporary.write_text(table, encoding="utf-8")
    kinds = {segment: [kind for kind in COLUMNS if kind in signals[segment]] for segment in sorted(signals)}
    with replacing(work.folder / _DONE) as temporary:
        temporary.write_text(json.dumps({"key": key, "segments": kinds, "rejected": rejected}, indent=1) + "\n")


def convert_sessions(
    works: Sequence[SessionWork],
    *,
    workers: int | None = None,
    timeout_s: float | None = None,
    progress: Callable[[int, int, str], object] | None = None,
) -> tuple[dict[str, Path], dict[str, list[str]], list[tuple[str, str]]]:
    """All sessions, in this process or in several that are started afresh (spawn) and hold one session each.

    What is written does not depend on how many there are. A worker that dies or hangs costs its session alone, which the
    next run takes up.

    Args:
        works: the sessions.
        workers: processes; 1 = this one, None = one per core where there is that much to read.
        timeout_s: seconds for one session in a worker; None for any.
        progress: told (done, of how many, session).

    Returns:
        Segment -> its table; segment -> kinds of its signals; and (session or file, reason) of what could not be read.
    """
    failed: list[tuple[str, str]] = []
    left = [work for work in works if work.before() is None]
    done = len(works) - len(left)

    def tell(work: SessionWork, outcome: tuple[str, str | None]) -> None:
        nonlocal done
        done += 1
        if outcome[0] != "done":
            failed.append((work.name, outcome[1] or "failed"))
        if progress is not None:
            progress(done, len(works), work.name)

    if workers is None:
        size = sum(path.stat().st_size for work in left for *_, path in work.files)
        workers = max(1, min(os.cpu_count() or 1, size // _BYTES_PER_WORKER))
    count = min(workers, len(left))
    if count <= 1 and timeout_s is None:
        for work in left:
            tell(work, convert_session(work))
    elif left:
        from merkit.features.workers import Workers

        with Workers(convert_session, max(count, 1), 1, timeout_s) as crew:
            for number, outcome in crew.run(list(enumerate(left))):
                tell(left[number], outcome)
    tables: dict[str, Path] = {}
    kinds: dict[str, list[str]] = {}
    for work in works:
        found = work.before()
        if found is None:
            continue
        failed += [(name, reason) for name, reason in found["rejected"]]
        for segment, measured in found["segments"].items():
            tables[segment] = work.folder / f"{segment}.csv"
            kinds[segment] = measured
    return tables, kinds, sorted(failed)
