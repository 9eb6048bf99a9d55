"""Paths out of tables and archives: they stay under their root, whatever they say."""

import os
import stat
from pathlib import Path, PurePosixPath

from merkit.errors import MediaError

__all__ = ["Root"]


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
            MediaError: it is absolute, climbs out, is or lies behind a link that leads out, or is no file.
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
