"""Where weights lie on this machine, and whether they are still what the catalogue says."""

import difflib
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from merkit.errors import WeightError
from merkit.weights.catalogue import CATALOGUE
from merkit.weights.entry import WeightEntry
from merkit.weights.shipped import SHIPPED

__all__ = ["NOTED", "WeightState", "cache_root", "entry_of", "folder_of", "is_cached", "locate", "sha256_of", "verify"]

# Hashes of a hub entry's files as they were on the first fetch.
NOTED = "first-fetch.json"

# (path, size, mtime_ns) -> sha256: a file is read through once per process, not once per load.
_hashed: dict[tuple[str, int, int], str] = {}


@dataclass(frozen=True, slots=True)
class WeightState:
    """What `verify` found out about one entry.

    Args:
        name: catalogue name.
        state: `ok` all files there with the right sha256, `absent` not on this machine, `damaged` anything else.
        reason: what is wrong and what to do about it; empty where all is well.
    """

    name: str
    state: Literal["ok", "absent", "damaged"]
    reason: str = ""


def cache_root() -> Path:
    """Folder that merkit keeps weights under: `MERKIT_HOME`, else the platform's cache folder.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict("os.environ", MERKIT_HOME="/data/merkit"):
        ...     cache_root().as_posix()
        '/data/merkit'
    """
    if home := os.environ.get("MERKIT_HOME"):
        return Path(home).expanduser()
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "merkit"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "merkit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "merkit"


def entry_of(name: str) -> WeightEntry:
    """The catalogue's entry `name`.

    Raises:
        WeightError: there is none; the message names the nearest.

    Example:
        >>> entry_of("mtcn")
        Traceback (most recent call last):
        ...
        merkit.errors.WeightError: no weights named 'mtcn' in the catalogue; did you mean mtcnn?
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = difflib.get_close_matches(name, CATALOGUE, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(CATALOGUE)}"
    raise WeightError(f"no weights named {name!r} in the catalogue; {hint}")


def folder_of(entry: WeightEntry) -> Path:
    """Where the entry's files belong. The digest in the name keeps versions apart.

    Example:
        >>> folder_of(entry_of("mtcnn")).name.startswith("mtcnn-")
        True
    """
    if entry.kind == "package":
        return SHIPPED
    if entry.kind == "dependency":
        module = entry.name.replace("-", "_")
        spec = find_spec(module)
        if spec is None or not spec.submodule_search_locations:
            raise WeightError(f"weights {entry.name!r} come with the package {entry.source}, which is not installed")
        return Path(next(iter(spec.submodule_search_locations)))
    return cache_root() / "weights" / f"{entry.name}-{entry.digest}"


def is_cached(name: str) -> bool:
    """Whether all files of `name` are on this machine with the right size; hashes are left to `locate`.

    Raises:
        WeightError: unknown name.

    Example:
        >>> is_cached("silero-vad")
        True
    """
    entry = entry_of(name)
    try:
        folder = folder_of(entry)
    except WeightError:
        return False
    if entry.kind == "hub":
        return (folder / NOTED).is_file()
    return folder.is_dir() and all(
        (path := folder / file.name).is_file() and path.stat().st_size == file.size for file in entry.files
    )


def locate(name: str) -> Path:
    """Folder with the files of `name`, each with the sha256 that the catalogue states; never touches the network.

    Args:
        name: catalogue name, such as `mtcnn`.

    Returns:
        the folder; the files in it are named by the last part of their path in the archive.

    Raises:
        WeightError: unknown name, not on this machine, or a file is not the one that the catalogue names. The message
            holds the command that puts it right.

    Example:
        >>> locate("mtcnn") / "pnet.pt"  # doctest: +SKIP
        PosixPath('/home/ada/.cache/merkit/weights/mtcnn-…/pnet.pt')
    """
    entry = entry_of(name)
    state = _examine(entry)
    if state.state != "ok":
        raise WeightError(state.reason)
    return folder_of(entry)


def verify() -> tuple[WeightState, ...]:
    """The state of every entry of the catalogue on this machine, hashes included.

    Example:
        >>> {state.name: state.state for state in verify()}["silero-vad"]
        'ok'
    """
    return tuple(_examine(entry) for entry in CATALOGUE.values())


def sha256_of(path: Path) -> str:
    """sha256 of a file in hexadecimal; read once per process as long as size and modification time stay."""
    stat = path.stat()
    key = (str(path), stat.st_size, stat.st_mtime_ns)
    if key not in _hashed:
        with path.open("rb") as file:
            _hashed[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _hashed[key]


def _examine(entry: WeightEntry) -> WeightState:
    """State of one entry: is each file there, and is it the right one?"""
    command = f"`merkit weights fetch {entry.name}`"
    try:
        folder = folder_of(entry)
        expected = _expected(entry, folder)
        if expected is None or not folder.is_dir():
            return WeightState(
                entry.name,
                "absent",
                f"weights {entry.name!r} ({entry.source}) are not on this machine: {command} fetches them to {folder}",
            )
        for file_name, sha256 in expected.items():
            path = folder / file_name
            if not path.is_file():
                return _damaged(entry, f"{path} is missing")
            if (found := sha256_of(path)) != sha256:
                return _damaged(entry, f"{path} is not what the catalogue names: sha256 {found}, expected {sha256}")
    except WeightError as error:
        return WeightState(entry.name, "absent", str(error))
    except (OSError, ValueError) as error:
        return _damaged(entry, f"{type(error).__name__}: {error}")
    return WeightState(entry.name, "ok")


def _expected(entry: WeightEntry, folder: Path) -> dict[str, str] | None:
    """File name -> sha256; None where the entry was never fetched."""
    if entry.kind != "hub":
        return {file.name: file.sha256 for file in entry.files}
    noted = folder / NOTED
    return json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else None


def _damaged(entry: WeightEntry, what: str) -> WeightState:
    cure = "reinstall merkit" if entry.kind == "package" else f"run `merkit weights fetch {entry.name} --force`"
    return WeightState(entry.name, "damaged", f"weights {entry.name!r} cannot be used: {what}; {cure}")
