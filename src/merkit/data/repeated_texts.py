"""Which clips say the same words, where that is more than chance.

People say "yeah" and "what are you doing here" in every dialogue; that such words occur in train and in test is no leak.
A text counts here when it has at least `LEAST_WORDS` words that together carry at least `LEAST_BITS` bits, each word
`-log2` of its share of the corpus. In 11,000 utterances of everyday talk no such text was seen in two splits by chance;
those that were elsewhere are scenes that were shown twice.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from merkit.data.duplicates import crossing
from merkit.data.findings import Finding, finding_of_pairs
from merkit.data.table import ClipTable

__all__ = ["LEAST_BITS", "LEAST_WORDS", "informative_texts", "near_texts", "normalise_text", "text_findings"]

LEAST_WORDS = 7
LEAST_BITS = 50.0

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# a handful of clips says little about how common a word is: shares are taken as if of at least so many words
_LEAST_CORPUS = 20_000
# texts this particular are no quotation that two people know; below, near copies are only a warning
_SURE_BITS = 100.0
_SCRIPTED = 4  # clips a sentence: actors who all speak the same lines
_SHINGLE = 5
_BANDS, _ROWS = 20, 4
_LARGEST_BUCKET = 50


def normalise_text(text: str) -> str:
    """Words in lower case with one space between them; punctuation, width and case make no difference.

    Example:
        >>> normalise_text("Oh,  WAIT… it's me!")
        "oh wait it's me"
    """
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold())).replace("’", "'")


def informative_texts(texts: Sequence[str], least_bits: float = LEAST_BITS) -> np.ndarray:
    """`(n,)` bool: which normalised texts are too particular to be said twice by chance.

    Args:
        texts: the corpus; how common a word is, is counted in it.
        least_bits: how particular.

    Example:
        >>> informative_texts(["yeah", "the old harbour master sold eleven crates of lemons"])
        array([False,  True])
    """
    words = [text.split() for text in texts]
    lengths = np.array([len(w) for w in words], np.int64)
    if not lengths.sum():
        return np.zeros(len(texts), bool)
    number: dict[str, int] = {}
    index = np.array([number.setdefault(word, len(number)) for w in words for word in w])
    bits = np.log2(max(int(lengths.sum()), _LEAST_CORPUS) / np.bincount(index))[index]
    total = np.bincount(np.repeat(np.arange(len(texts)), lengths), bits, len(texts))
    return (lengths >= LEAST_WORDS) & (total >= least_bits)


def near_texts(texts: Sequence[str], least: float = 0.8) -> np.ndarray:
    """Pairs of texts whose sets of five-letter shingles overlap by at least `least` (Jaccard).

    Candidates come from MinHash with bands (Broder 1997; Leskovec et al., Mining of Massive Datasets, chapter 3). Each is
    then compared exactly, so no false pair is given; of the pairs at .8 about one in 30,000 is missed.

    Args:
        texts: normalised and distinct.
        least: in (0, 1].

    Returns:
        `(P, 2)` int64 places in `texts`, the first below the second.

    Example:
        >>> near_texts(["we sold the old house by the sea", "we sold the old house by the seas", "no"])
        array([[0, 1]])
    """
    hashes, owner = _shingles(texts)
    if len(hashes) == 0:
        return np.zeros((0, 2), np.int64)
    owners, first = np.unique(owner, return_index=True)
    mixed = hashes ^ (hashes >> np.uint64(31))
    factors = np.random.default_rng(20).integers(1, 2**63, (_BANDS, _ROWS), np.int64).astype(np.uint64) | np.uint64(1)
    found = []
    for band in factors:
        key = np.zeros(len(owners), np.uint64)
        for factor in band:
            permuted = mixed * factor  # odd factors permute the 64-bit numbers
            permuted ^= permuted >> np.uint64(29)
            key = key * np.uint64(0x9E3779B97F4A7C15) + np.minimum.reduceat(permuted, first)
        found.append(_pairs_of_equal(key))
    candidates: np.ndarray = np.unique(np.concatenate(found), axis=0)
    pairs = owners[candidates]
    bounds = np.searchsorted(owner, np.arange(len(texts) + 1))
    sets = {int(i): set(hashes[bounds[i] : bounds[i + 1]].tolist()) for i in np.unique(pairs)}
    alike = [len(sets[a] & sets[b]) / len(sets[a] | sets[b]) >= least for a, b in pairs.tolist()]
    return pairs[np.array(alike, bool)]


def text_findings(table: ClipTable, side: np.ndarray) -> list[Finding]:
    """Utterances of two splits that are the same, or nearly, where that is more than chance.

    Args:
        table: with `texts`, else there is nothing to find.
        side: `(n,)` from `side_of`.

    Example:
        >>> said = np.array(["We sold eleven crates of lemons to Ann.", "we sold eleven crates of lemons to ann", "Yes."])
        >>> table = ClipTable("t", np.array(list("abc")), np.array(["train", "test", "test"]), {}, {}, texts=said)
        >>> [(f.kind, f.examples) for f in text_findings(table, np.array([0, 2, 2]))]
        [('duplicate_text', ('a', 'b'))]
    """
    if table.texts is None:
        return []
    said, index = np.unique([normalise_text(str(text)) for text in table.texts], return_inverse=True)
    words = [said[i] for i in index]
    telling = informative_texts(words)
    key = np.where(telling, index, -1)
    found = []
    pairs = crossing(key, side)
    scripted = telling.sum() >= _SCRIPTED * max(len(np.unique(key[telling])), 1)
    if len(pairs):
        if scripted:
            why = (
                "all speak the same few sentences: words carry no emotion here, and a model must not be asked for them."
            )
        else:
            why = "long utterances are the same word by word: scenes shown twice, quotations or copies. Remove one of each pair."
        found.append(finding_of_pairs("duplicate_text", "warning" if scripted else "error", table, pairs, why))
    places = np.unique(key[telling])
    sure = np.isin(places, key[informative_texts(words, least_bits=_SURE_BITS)])
    # one clip of each text and split stands for all of them
    rows = np.flatnonzero(telling & (side >= 0))
    rows = rows[np.unique(np.stack([key[rows], side[rows]]), axis=1, return_index=True)[1]] if len(rows) else rows
    near: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for a, b in near_texts([str(said[place]) for place in places]).tolist():
        both = rows[np.isin(key[rows], places[[a, b]])]
        for one, other in combinations(both[np.argsort(side[both], kind="stable")].tolist(), 2):
            if side[one] != side[other] and key[one] != key[other]:
                near[bool(sure[a] and sure[b]) and not scripted].append((one, other))
    for certain, close in near.items():
        if close:
            why = "long utterances are nearly the same: edited copies, other transcripts of one scene, or quotations."
            severity = "error" if certain else "warning"
            found.append(finding_of_pairs("near_duplicate_text", severity, table, np.array(close), why))
    return found


def _shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes `(S,)` uint64 of each text's distinct shingles and the text `(S,)` they are of, in the order of texts."""
    lengths = np.array([len(text) for text in texts], np.int64)
    letters = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).astype(np.uint64)
    if len(letters) < _SHINGLE:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    count = len(letters) - _SHINGLE + 1
    hashes = np.zeros(count, np.uint64)
    for i in range(_SHINGLE):
        hashes = hashes * np.uint64(0x100000001B3) + letters[i : i + count]
    owner = np.repeat(np.arange(len(texts)), lengths)
    inside = owner[:count] == owner[_SHINGLE - 1 :]
    hashes, owner = hashes[inside], owner[:count][inside]
    order = np.lexsort((hashes, owner))
    hashes, owner = hashes[order], owner[order]
    new = np.ones(len(hashes), bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1])
    return hashes[new], owner[new]


def _pairs_of_equal(key: np.ndarray) -> np.ndarray:
    """`(P, 2)` places with equal keys, the first below the second; in a crowd, each with the next fifty only."""
    order = np.argsort(key, kind="stable")
    ranked = key[order]
    found = []
    for shift in range(1, min(_LARGEST_BUCKET, len(key) - 1) + 1):
        same = np.flatnonzero(ranked[shift:] == ranked[:-shift])
        if not len(same):
            break
        found.append(np.stack([order[same], order[same + shift]], 1))
    return np.sort(np.concatenate(found), 1) if found else np.zeros((0, 2), np.int64)
