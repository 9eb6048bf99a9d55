"""Finding what the lists name below a root, wherever a user keeps it, and reading words or numbers of a vocabulary."""

import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from merkit.corpora.paths import Root
from merkit.errors import LimitError, MediaError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Media", "decoder_of", "read_words_or_ids"]

_SOUND, _PICTURE, _TENSOR, _TEXT = (".wav", ".flac"), (".mp4", ".avi", ".mkv", ".webm"), (".pt", ".npy"), (".txt",)
_CALLED = {"train": {"train"}, "valid": {"valid", "val", "validation", "dev"}, "test": {"test"}}
_HEARD = {"audio", "speech", "wav", "wavs"}
_MAX_BYTES = 1 << 20
_ROBERTA_MARKS = {0: "<s>", 1: "<pad>", 2: "</s>"}


class Media:
    """Files below a root by the name that lists give them.

    Args:
        root: of lists and media.
        apart: the same name in two splits is two clips, so that a file must lie in a folder that names its split.
    """

    def __init__(self, root: Root, *, apart: bool) -> None:
        self._root, self._apart = root, apart
        self._named: dict[str, list[str]] = defaultdict(list)
        for name in root.walk(*_SOUND, *_PICTURE, *_TENSOR, *_TEXT):
            self._named[PurePosixPath(name).stem].append(name)

    def sound(self, stem: str, split: str) -> Path:
        """The waveform.

        Raises:
            MediaError: there is none, or several, or only a tensor.
        """
        try:
            return self._file(stem, split, _SOUND, "sound")
        except MediaError:
            if self._among(stem, split, _TENSOR):
                raise MediaError("only a tensor is there, which is not read: give the recording", field="a") from None
            raise

    def has_sound(self, stem: str, split: str) -> bool:
        """Whether there is a waveform of that name, of which `sound` then tells more."""
        return bool(self._among(stem, split, _SOUND))

    def pictures(self, stem: str, split: str) -> Path:
        """The video; raises MediaError as `sound`."""
        return self._file(stem, split, _PICTURE, "pictures")

    def words(self, stem: str, split: str) -> Path:
        """The text file; raises MediaError as `sound`."""
        return self._file(stem, split, _TEXT, "words", heard=False)

    def sound_tokens(self, stem: str, split: str) -> Path | None:
        """The text file with numbers of a vocabulary of sounds, in a folder that says so; None where there is none."""
        found = self._among(stem, split, _TEXT, heard=True)
        return self._root.file(found[0]) if len(found) == 1 else None

    def _file(self, stem: str, split: str, suffixes: tuple[str, ...], what: str, heard: bool | None = None) -> Path:
        found = self._among(stem, split, suffixes, heard)
        if not found:
            where = f" in a folder of {split}" if self._apart else ""
            raise MediaError(f"no {what} of that name{where} ({', '.join(suffixes)})", field=what)
        if len(found) > 1:
            raise MediaError(f"{len(found)} files of that name: {', '.join(found[:3])}", field=what)
        return self._root.file(found[0])

    def _among(self, stem: str, split: str, suffixes: tuple[str, ...], heard: bool | None = None) -> list[str]:
        found = [name for name in self._named.get(stem, ()) if name.lower().endswith(suffixes)]
        if heard is not None:
            found = [name for name in found if heard == any(_words(part) & _HEARD for part in _folders(name))]
        ranked = {name: _rank(name, split) for name in found}
        best = max(ranked.values(), default=0)
        if self._apart and best == 0:
            return []
        return [name for name in found if ranked[name] == best] if len(found) > 1 else found


def _folders(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.lower()).parts[:-1]


def _words(part: str) -> set[str]:
    return set(re.split(r"[\W_]+", part))


def _rank(name: str, split: str) -> int:
    """2: a folder is the split's; 1: a folder's name has the split's word in it; 0: no folder, or one of another split."""
    folders = _folders(name)
    if any(part in _CALLED[split] for part in folders):
        return 2
    others = set().union(*(called for other, called in _CALLED.items() if other != split))
    if any(part in others for part in folders):
        return 0
    return int(any(_words(part) & _CALLED[split] for part in folders))


def read_words_or_ids(file: Path) -> str | tuple[int, ...]:
    """Words, or two and more whole numbers, which are ids of a vocabulary.

    Raises:
        MediaError: it cannot be read, or is empty.
        LimitError: it is larger than any utterance.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.txt"
        ...     _ = file.write_text("0\\t713\\t2\\n")
        ...     read_words_or_ids(file)
        (0, 713, 2)
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise LimitError(f"{file.stat().st_size} bytes; the limit is {_MAX_BYTES}", path=file)
        data = file.read_bytes()
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", path=file) from error
    text = data.decode("utf-8-sig", "replace").strip()
    if not text or "\0" in text:
        raise MediaError("holds no text", path=file)
    cells = text.split()
    if len(cells) > 1 and all(re.fullmatch(r"[0-9]{1,7}", cell) for cell in cells):
        return tuple(map(int, cells))
    return " ".join(cells)


def decoder_of(root: Root) -> "Tokenizer | None":
    """RoBERTa's tokenizer, where a user has put its `tokenizer.json` into the root.

    Raises:
        MediaError: it is damaged, or of another model.
    """
    if not (root.path / "tokenizer.json").is_file():
        return None
    from tokenizers import Tokenizer

    file = root.file("tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library has no type of its own for this
        raise MediaError(f"is no tokenizer ({error})", path=file) from error
    if any(tokenizer.id_to_token(number) != mark for number, mark in _ROBERTA_MARKS.items()):
        raise MediaError("is not RoBERTa's: 0, 1 and 2 are not <s>, <pad> and </s>", path=file)
    return tokenizer
