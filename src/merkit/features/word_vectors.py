"""Words as vectors, one token a word: an organiser's `.npz`, or a table of word vectors."""

import hashlib
import re
import zipfile
import zlib
from functools import cached_property
from pathlib import Path

import numpy as np

from merkit.errors import LimitError, MediaError
from merkit.features.extractor import extractor_id

__all__ = ["MOST_WORDS", "WordVectors", "read_word_embed"]

MOST_WORDS = 38
"""Words of a clip at most, says the challenge."""
_KEY = "word_embed"
_WIDTH = 200
_MAX_BYTES = 1 << 20
_MAX_TABLE_BYTES = 4 << 30
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def read_word_embed(path: Path) -> np.ndarray:
    """`(T, 200)` float32: the vectors that the challenge gives for the words of a clip, at most 38.

    Raises:
        MediaError: the file is missing, no such archive, or holds something else; the message says what.
        LimitError: far more than words of one clip take.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = max((item.file_size for item in archive.infolist()), default=0)
        if size > _MAX_BYTES:
            raise LimitError(f"an array of {size} bytes; the limit is {_MAX_BYTES}", path=path)
        with np.load(path, allow_pickle=False) as held:
            if _KEY not in held:
                raise MediaError(f"has no `{_KEY}`; there is {', '.join(held) or 'nothing'}", path=path)
            x = held[_KEY]
    except FileNotFoundError:
        raise MediaError("no such file", path=path) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise MediaError(f"not readable as .npz ({error})", path=path) from error
    if x.ndim != 2 or x.shape[1] != _WIDTH or not np.issubdtype(x.dtype, np.floating):
        raise MediaError(f"`{_KEY}` is {x.dtype} {x.shape}, not numbers (words, {_WIDTH})", path=path, field=_KEY)
    if not 0 < len(x) <= MOST_WORDS:
        raise MediaError(f"`{_KEY}` has {len(x)} words; there are 1 to {MOST_WORDS}", path=path, field=_KEY)
    if not np.isfinite(x).all():
        raise MediaError(f"`{_KEY}` holds a value that is not finite", path=path, field=_KEY)
    return x.astype(np.float32)


class WordVectors:
    """A table of word vectors as word2vec, GloVe and fastText write them: a line `word number number …`.

    A first line with the table's size is passed over, and so are words that are in it twice. It is read when it is first
    asked, once in a process.

    Args:
        path: the file, UTF-8.

    Raises:
        MediaError: not such a table; with the line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = Path(folder) / "words.txt"
        ...     _ = table.write_text("2 3\\nhello 1 0 0\\nsun 0 1 0\\n")
        ...     WordVectors(table)(["Hello, my sun!", "Nothing known."])
        [array([[1., 0., 0.],
               [0., 1., 0.]], dtype=float32), array([], shape=(0, 3), dtype=float32)]
    """

    name = "word-vectors"
    version = 1
    modality = "text"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @cached_property
    def id(self) -> str:
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return extractor_id(self.name, self.version, {}, [digest])

    @property
    def width(self) -> int:
        """`D`."""
        return self._table[1].shape[1]

    @property
    def table(self) -> np.ndarray:
        """`(V, D)` float32: all vectors, in the order of the file."""
        return self._table[1]

    def __call__(self, inputs: list[str]) -> list[np.ndarray]:
        """`(T_i, D)` float32 per text: a row for each of its words that the table has, as it stands or in small letters."""
        return [self.table[numbers] for numbers in self.numbers(inputs)]

    def numbers(self, inputs: list[str]) -> list[np.ndarray]:
        """`(T_i,)` int64 per text: which rows of `table` those are."""
        rows = self._table[0]
        known = [[rows.get(word, rows.get(word.lower())) for word in _WORD.findall(text)] for text in inputs]
        return [np.array([row for row in own if row is not None], np.int64) for own in known]

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        return WordVectors, (self.path,)

    @cached_property
    def _table(self) -> tuple[dict[str, int], np.ndarray]:
        rows: dict[str, int] = {}
        vectors: list[np.ndarray] = []
        try:
            if self.path.stat().st_size > _MAX_TABLE_BYTES:
                raise LimitError(f"the limit is {_MAX_TABLE_BYTES} bytes", path=self.path)
            with self.path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    word, _, rest = line.rstrip().partition(" ")
                    numbers = rest.split()
                    if (
                        not word
                        or word in rows
                        or (number == 1 and len(numbers) == 1 and (word + numbers[0]).isdigit())
                    ):
                        continue
                    vector = np.array(numbers, np.float32)
                    if not len(vector) or not np.isfinite(vector).all() or (vectors and len(vector) != len(vectors[0])):
                        raise MediaError("not a word and its numbers", path=self.path, field=f"line {number}")
                    rows[word] = len(vectors)
                    vectors.append(vector)
        except (OSError, ValueError) as error:
            raise MediaError(f"not a table of word vectors ({error})", path=self.path) from error
        if not vectors:
            raise MediaError("holds no word", path=self.path)
        return rows, np.stack(vectors)
