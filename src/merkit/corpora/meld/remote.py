"""A copy of MELD from wherever fsspec reaches: S3, Google Cloud Storage, a file server, memory."""

import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from merkit.atomic import replacing
from merkit.corpora.meld.unpacked import tables_last
from merkit.corpora.paths import Root
from merkit.errors import ConfigError, LimitError

__all__ = ["fetch_address"]

_WANTED = (".csv", ".mp4", ".wav")


def fetch_address(
    address: str,
    cache: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int, str], object] | None = None,
) -> Path:
    """Tables and recordings below an address, as files; those that are there already, of the same size, stay.

    Args:
        address: such as `s3://bucket/MELD.Raw`; fsspec finds keys where its packages look for them.
        cache: folder for the files, which keep their names below the address.
        force: fetch them in any case.
        progress: told how many of how many files are there, and the last one's name.

    Returns:
        `cache`.

    Raises:
        ConfigError: the package for this kind of address is missing, the address cannot be reached, or has no tables.
        MediaError: a name that leads out of the folder.
        LimitError: the files do not fit on the disk.

    Example:
        >>> import fsspec, tempfile
        >>> fsspec.filesystem("memory").pipe("/shop/MELD/dev_sent_emo.csv", b"Sr No.")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = fetch_address("memory://shop/MELD", Path(folder))
        ...     (Path(folder) / "dev_sent_emo.csv").read_text()
        'Sr No.'
    """
    files, system = _listed(address)
    if not any(name.endswith("_sent_emo.csv") for name in files):
        raise ConfigError(f"{address}: no tables of MELD (train_sent_emo.csv, …) among {len(files)} files")
    cache.mkdir(parents=True, exist_ok=True)
    root = Root(cache)
    waiting = []
    for name, (remote, size) in files.items():
        target = root.place(name)
        if force or not (target.is_file() and target.stat().st_size == size):
            waiting.append((name, remote, size, target))
    needed, free = sum(size for _, _, size, _ in waiting), shutil.disk_usage(cache).free
    if needed > free:
        raise LimitError(f"{needed / 1e9:.1f} GB; {cache} has room for {free / 1e9:.1f} GB", path=address)
    there = len(files) - len(waiting)
    for done, (name, remote, size, target) in enumerate(sorted(waiting, key=lambda each: tables_last(each[0])), 1):
        with replacing(target) as temporary:
            try:
                system.get_file(remote, str(temporary))
            except Exception as error:
                raise ConfigError(f"{address}: {name} cannot be fetched ({error}); the same command goes on") from error
            if (got := temporary.stat().st_size) != size:
                raise ConfigError(f"{address}: {name} came with {got} bytes of {size}; the same command goes on")
        if progress is not None:
            progress(there + done, len(files), name)
    return cache


def _listed(address: str) -> tuple[dict[str, tuple[str, int]], Any]:
    """Name below the address -> name and size there, and the file system."""
    from fsspec.core import url_to_fs

    kind = address.partition("://")[0]
    try:
        system, base = url_to_fs(address)
        found = system.find(base, detail=True)
    except ImportError as error:
        raise ConfigError(f"{address}: addresses of kind {kind} need another package ({error})") from error
    except Exception as error:  # every kind of address fails in its own way
        raise ConfigError(f"{address}: cannot be reached ({type(error).__name__}: {error})") from error
    base = base.strip("/")
    files = {}
    for remote, about in found.items():
        name = remote.strip("/").removeprefix(base).lstrip("/")
        if PurePosixPath(name).suffix.lower() in _WANTED and not PurePosixPath(name).name.startswith("."):
            files[name] = (remote, int(about["size"] or 0))
    return files, system
