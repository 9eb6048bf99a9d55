"""Paths out of tables and archives: they stay under their root, whatever they say."""

import os
import stat
from pathlib import Path, PurePosixPath

from merkit.errors import MediaError

__all__ = ["Root"]

# suffix -> (place of the mark, marks of which one must be there); what has none is left to the decoder
_MARKS: dict[str, tuple[int, tuple[bytes, ...]]] = {
    ".wav": (0, (b"RIFF", b"RIFX", b"RF64")),
    ".avi": (0, (b"RIFF",)),
    ".flac": (0, (b"fLaC", b"ID3")),
    ".flv": (0, (b"FLV",)),
    ".mkv": (0, (b"\x1aE\xdf\xa3",)),
    ".webm": (0, (b"\x1aE\xdf\xa3",)),
    ".png": (0, (b"\x89PNG",)),
    ".jpg": (0, (b"\xff\xd8",)),
    ".jpeg": (0, (b"\xff\xd8",)),
    ".mp4": (4, (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp")),
}
_LFS = b"version https://git-lfs"


class Root:
    """A folder that media must lie in.

    Args:
        path: the folder.

    Raises:
        MediaError: there is no such folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Root(folder).file("../secret.wav")
        Traceback (most recent call last):
        ...
        merkit.errors.MediaError: ../secret.wav: leaves the root
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        if not self.path.is_dir():
            raise MediaError("no such folder", path=path)
        self._real = self.path.resolve()
        self._parents: dict[Path, bool] = {}

    def file(self, name: str) -> Path:
        """The regular file `name` below the root.

        Raises:
            MediaError: it is absolute, climbs out, is or lies behind a link that leads out, is no file or empty, or
                begins unlike every file of its suffix. Whether it can be decoded is for `check_headers`.
        """
        path = self.place(name)
        try:
            about = path.stat()
        except FileNotFoundError:
            raise MediaError("no such file", path=name) from None
        except OSError as error:
            raise MediaError(f"cannot be read ({error.strerror})", path=name) from error
        if not stat.S_ISREG(about.st_mode):
            raise MediaError("not a regular file", path=name)
        if about.st_size == 0:
            raise MediaError("the file is empty", path=name)
        if (suffix := path.suffix.lower()) in _MARKS:
            _check_mark(path, name, suffix)
        return path

    def place(self, name: str) -> Path:
        """Where `name` lies below the root; the file itself need not be there.

        Raises:
            MediaError: as `file`, save for files that are missing.
        """
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or "\0" in name:
            raise MediaError("names no file", path=name)
        if parts[0].startswith("/") or (len(parts[0]) == 2 and parts[0][1] == ":"):
            raise MediaError("must be relative to the root", path=name)
        if ".." in parts:
            raise MediaError("leaves the root", path=name)
        path = self.path.joinpath(*parts)
        # links are looked up once per folder: a corpus has a hundred thousand files in a hundred folders
        parent = path.parent
        if parent not in self._parents:
            self._parents[parent] = parent.resolve().is_relative_to(self._real)
        inside = self._parents[parent]
        if inside and path.is_symlink():
            inside = path.resolve().is_relative_to(self._real)
        if not inside:
            raise MediaError("is a link that leaves the root", path=name)
        return path

    def name(self, path: Path) -> str:
        """`path` relative to the root, with forward slashes.

        Raises:
            MediaError: it is not below the root.
        """
        # not `resolve`: a link inside the root keeps its own name
        path = Path(os.path.normpath(path.absolute()))
        if not path.is_relative_to(self.path):
            raise MediaError("leaves the root", path=path)
        return path.relative_to(self.path).as_posix()

    def walk(self, *suffixes: str) -> list[str]:
        """Names of all files below the root with one of these suffixes, sorted; hidden files are passed over.

        Order does not depend on the file system. Linked folders are not followed.
        """
        found = []
        for folder, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                # macOS leaves `._name` beside files that came out of an archive
                if not name.startswith(".") and name.lower().endswith(suffixes):
                    found.append(self.name(Path(folder) / name))
        return sorted(found)


def _check_mark(path: Path, name: str, suffix: str) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS))
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", path=name) from error
    if head == _LFS:
        raise MediaError("is a Git LFS pointer, not the recording: run `git lfs pull`", path=name)
    place, marks = _MARKS[suffix]
    if not head[place:].startswith(marks):
        raise MediaError(f"its first bytes are not those of a {suffix} file", path=name)
