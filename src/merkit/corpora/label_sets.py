"""Label sets over the emotion words of MovieGraphs: the most frequent words, or groups of them, chosen when training begins.

A prepared corpus keeps every word that its annotators wrote (`W`, several hundred). What a model is asked is a label set:
`K` labels and which words turn each of them on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merkit.errors import ConfigError
from merkit.labels import MOVIEGRAPHS_TOP10, MOVIEGRAPHS_TOP25
from merkit.schema import TargetSpec

if TYPE_CHECKING:
    from merkit.data.columns import TargetColumn

__all__ = ["LabelSet", "read_mapping"]

_PUBLISHED = {10: MOVIEGRAPHS_TOP10, 25: MOVIEGRAPHS_TOP25}
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class LabelSet:
    """`K` labels and the words behind them.

    Args:
        labels: the `K` labels, in order.
        matrix: `(W, K)` bool: word `w` turns label `k` on. Words of no label are rows without a True.

    Raises:
        ConfigError: the shapes differ, or there is no label.

    Example:
        >>> chosen = LabelSet.emotic(["happy", "amused", "curious", "sneezing"])
        >>> [chosen.labels[k] for k in chosen.matrix[:3].argmax(1)], bool(chosen.matrix[3].any())
        (['Happiness', 'Happiness', 'Engagement'], False)
    """

    labels: tuple[str, ...]
    matrix: np.ndarray

    def __post_init__(self) -> None:
        if not self.labels or self.matrix.ndim != 2 or self.matrix.shape[1] != len(self.labels):
            raise ConfigError(
                f"a label set is labels (K,) and matrix (W, K); got {len(self.labels)}, {self.matrix.shape}"
            )

    @classmethod
    def published_top(cls, k: int, words: Sequence[str]) -> "LabelSet":
        """The 10 or 25 most frequent words as published: counted over all films, those of valid and test included.

        Words of the list that the corpus lacks stay labels, which nothing turns on.

        Raises:
            ConfigError: there is no published list of `k` words.

        Example:
            >>> LabelSet.published_top(10, ["worried", "bored"]).matrix.sum(1).tolist()
            [1, 0]
        """
        if k not in _PUBLISHED:
            raise ConfigError(f"published lists hold {' or '.join(map(str, _PUBLISHED))} words, not {k}")
        labels = _PUBLISHED[k].labels
        return cls(labels, _single(labels, words))

    @classmethod
    def top_of_train(cls, k: int, words: Sequence[str], counts: np.ndarray) -> "LabelSet":
        """The `k` most frequent words by `counts` alone, most frequent first, ties by name.

        Args:
            k: how many.
            words: the `W` words.
            counts: `(W,)` how often each stands in what training may see.

        Raises:
            ConfigError: fewer than `k` words are counted at all.

        Example:
            >>> LabelSet.top_of_train(2, ["sad", "calm", "happy"], np.array([3, 1, 3])).labels
            ('happy', 'sad')
        """
        if np.shape(counts) != (len(words),):
            raise ConfigError(f"{len(words)} words need as many counts, not {np.shape(counts)}")
        seen = sum(int(count > 0) for count in counts)
        if not 1 <= k <= seen:
            raise ConfigError(f"{k} labels were asked for; training has {seen} words")
        order = sorted(range(len(words)), key=lambda row: (-counts[row], words[row]))
        labels = tuple(words[row] for row in order[:k])
        return cls(labels, _single(labels, words))

    @classmethod
    def emotic(
        cls, words: Sequence[str], mapping: Mapping[str, Sequence[str]] | str | Path | None = None
    ) -> "LabelSet":
        """Words in groups: the 26 of Emotic over 181 words, or a mapping of one's own.

        Args:
            words: the `W` words.
            mapping: `{group: [word, …]}`, or a JSON file of it; None = Emotic's.

        Raises:
            ConfigError: the mapping is unusable, or none of its words is among `words`.
        """
        groups = read_mapping(mapping)
        labels = tuple(groups)
        place = {word: k for k, group in enumerate(groups.values()) for word in group}
        matrix = np.zeros((len(words), len(labels)), bool)
        for row, word in enumerate(words):
            if word in place:
                matrix[row, place[word]] = True
        if not matrix.any():
            raise ConfigError(f"none of the mapping's {len(place)} words is among the corpus's {len(words)}")
        return cls(labels, matrix)

    def apply(self, column: "TargetColumn", name: str) -> "TargetColumn":
        """Word targets as targets of this label set: a label is on where any of its words is.

        A label is known where one of its words is known to be on, or all of them are known.

        Args:
            column: `(n, W)` or `(n, N, W)`.
            name: of the new target.

        Returns:
            `(n, K)` or `(n, N, K)`. A label without a word is off.

        Raises:
            ConfigError: the column is of other words than the label set.

        Example:
            >>> from merkit.data.columns import TargetColumn
            >>> words = TargetSpec("scene_words", "multi_label", ("happy", "calm", "amused"))
            >>> column = TargetColumn(words, np.array([[0, 0, 1.0]]), np.ones((1, 3), bool))
            >>> chosen = LabelSet.emotic(words.labels, {"Joy": ["happy", "amused"], "Peace": ["calm"]})
            >>> chosen.apply(column, "scene").value.tolist()
            [[1.0, 0.0]]
        """
        if column.spec.kind != "multi_label" or column.value.shape[-1] != len(self.matrix):
            raise ConfigError(
                f"target {column.spec.name} ({column.spec.kind}, {column.value.shape[-1]} labels) "
                f"is not of the label set's {len(self.matrix)} words"
            )
        member = self.matrix.astype(np.float32)
        on = (column.value > 0.5) & column.valid
        value = on.astype(np.float32) @ member > 0
        unknown = (~column.valid).astype(np.float32) @ member > 0
        # a label without any word is known only where something of the row is
        valid = (value | ~unknown) & column.valid.any(-1, keepdims=True)
        spec = TargetSpec(name, "multi_label", self.labels, column.spec.per_entity)
        return replace(column, spec=spec, value=value.astype(np.float32), valid=valid, votes=None)


def read_mapping(mapping: Mapping[str, Sequence[str]] | str | Path | None = None) -> dict[str, tuple[str, ...]]:
    """`{group: words}`, checked: words in lower case, each in one group only.

    Args:
        mapping: the groups themselves, or a JSON file that holds them; None = the 26 groups of Emotic.

    Raises:
        ConfigError: there is no such file, it holds something else, or a word stands in two groups.

    Example:
        >>> groups = read_mapping()
        >>> len(groups), sum(map(len, groups.values())), groups["Fear"]
        (26, 181, ('scared', 'fearful', 'timid', 'terrified'))
    """
    where = "mapping"
    if mapping is None:
        given = json.loads((files("merkit.corpora") / "emotic.json").read_text("utf-8"))
    elif isinstance(mapping, Mapping):
        given = mapping
    else:
        where, given = str(mapping), _loaded(Path(mapping))
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"{where}: must be an object {{group: [word, …]}} with at least one group")
    groups: dict[str, tuple[str, ...]] = {}
    owner: dict[str, str] = {}
    for group, words in given.items():
        if not isinstance(group, str) or not group.strip():
            raise ConfigError(f"{where}: a group has no name")
        if isinstance(words, str) or not isinstance(words, Sequence) or not words:
            raise ConfigError(f"{where}, {group}: must be a list of words")
        for word in words:
            if not isinstance(word, str) or not word.strip():
                raise ConfigError(f"{where}, {group}: {word!r} is not a word")
        groups[group] = tuple(word.strip().lower() for word in words)
        for word in groups[group]:
            if word in owner:
                both = f"{owner[word]} and {group}" if owner[word] != group else f"{group}, twice"
                raise ConfigError(f"{where}: {word!r} stands in {both}")
            owner[word] = group
    return groups


def _loaded(path: Path) -> object:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        again = [key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i])]
        if again:
            raise ConfigError(f"{path}: group {again[0]!r} is there twice")
        return dict(pairs)

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes are no mapping of words")
        return json.loads(path.read_text("utf-8"), object_pairs_hook=once)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as JSON ({error})") from error


def _single(labels: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """`(W, K)`: each label is the word itself."""
    at = {label: k for k, label in enumerate(labels)}
    matrix = np.zeros((len(words), len(labels)), bool)
    for row, word in enumerate(words):
        if word in at:
            matrix[row, at[word]] = True
    return matrix
