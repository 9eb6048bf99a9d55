"""Takes one folder out of a zip that nobody has vouched for: plain files alone, of the size on record, below the destination.

Tables come last. Where they are, all the rest is, so that an interrupted run is known by their absence.
"""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from merkit.atomic import replacing
from merkit.corpora.meld.media import TABLES, find_table
from merkit.corpora.paths import Root
from merkit.errors import ConfigError, LimitError, MediaError

__all__ = ["is_complete", "tables_last", "unpack_folder"]

_CHUNK = 1 << 20
_MOST_MEMBERS = 200_000
# recordings are compressed already; what shrinks further than this is no corpus
_MOST_RATIO, _FREE_OF_IT = 100, 16 << 20


def is_complete(folder: Path) -> bool:
    """Whether all tables of MELD lie in a folder."""
    if not folder.is_dir():
        return False
    root = Root(folder)
    return all(find_table(root, split) is not None for split in TABLES)


def tables_last(name: str) -> tuple[bool, str]:
    """What names are sorted by, so that tables are written when everything else is there."""
    return PurePosixPath(name).suffix.lower() == ".csv", name


def unpack_folder(
    archive: Path, subdir: str, dest: Path, *, progress: Callable[[int, int, str], object] | None = None
) -> int:
    """Writes the files of one folder of an archive; those that are there already, of the same size, stay.

    Args:
        archive: a zip file.
        subdir: the folder in it, whose own name is left out; empty = all of it.
        dest: where its files go; must be there.
        progress: told how many of how many files are done, and the last one's name.

    Returns:
        How many files the folder has.

    Raises:
        MediaError: the archive is damaged, or a member climbs out, is no plain file, encrypted, or not of its size.
        LimitError: the files do not fit on the disk, or unpack to far more than they are packed.
        ConfigError: the archive has no such folder.
    """
    root, folder = Root(dest), PurePosixPath(subdir.strip("/")).parts
    try:
        with zipfile.ZipFile(archive) as packed:
            members = _members(archive, packed, folder)
            _check_room(archive, list(members.values()), dest)
            for done, name in enumerate(sorted(members, key=tables_last), 1):
                info, target = members[name], root.place(name)
                if not (target.is_file() and target.stat().st_size == info.file_size):
                    _write(archive, packed, info, target)
                if progress is not None:
                    progress(done, len(members), name)
            return len(members)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise MediaError(f"damaged archive ({error})", path=archive) from error


def _members(archive: Path, packed: zipfile.ZipFile, folder: tuple[str, ...]) -> dict[str, zipfile.ZipInfo]:
    infos = packed.infolist()
    if len(infos) > _MOST_MEMBERS:
        raise LimitError(f"{len(infos)} members; the limit is {_MOST_MEMBERS}", path=archive)
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        parts = PurePosixPath(info.filename).parts
        if info.is_dir() or parts[: len(folder)] != folder or parts[-1].startswith("._") or "__MACOSX" in parts:
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise MediaError("is not a plain file", path=archive, field=info.filename)
        if info.flag_bits & 1:
            raise MediaError("is encrypted", path=archive, field=info.filename)
        name = "/".join(parts[len(folder) :])
        if name in found:
            raise MediaError("is there twice", path=archive, field=info.filename)
        found[name] = info
    if not found:
        tops = sorted({PurePosixPath(info.filename).parts[0] for info in infos if info.filename})[:8]
        raise ConfigError(
            f"{archive.name}: holds no folder {'/'.join(folder)}; there is {', '.join(tops) or 'nothing'}"
        )
    return found


def _check_room(archive: Path, members: list[zipfile.ZipInfo], dest: Path) -> None:
    size, packed = sum(info.file_size for info in members), sum(info.compress_size for info in members)
    if size > _MOST_RATIO * packed + _FREE_OF_IT:
        raise LimitError(f"unpacks {packed} bytes to {size}: no recordings do that", path=archive)
    free = shutil.disk_usage(dest).free
    if size > free:
        raise LimitError(f"unpacks to {size / 1e9:.1f} GB; {dest} has room for {free / 1e9:.1f} GB", path=archive)


def _write(archive: Path, packed: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    """At most one byte past the size on record; the checksum is compared when all of it was read."""
    left = info.file_size
    with replacing(target) as temporary, packed.open(info) as source, temporary.open("wb") as sink:
        while block := source.read(min(_CHUNK, left + 1)):
            left -= len(block)
            if left < 0:
                break
            sink.write(block)
        if left:
            raise MediaError("is not of the size on record", path=archive, field=info.filename)
