"""Words that set some texts apart from others: log odds with an informative Dirichlet prior.

Raw differences of frequency favour common words and raw ratios rare ones. Here both groups are first mixed with the same
imagined text, written as the corpus as a whole is, and the difference of log odds is divided by its standard error:
B. L. Monroe, M. P. Colaresi, K. M. Quinn, Fightin' Words, Political Analysis 16(4): 372-403, 2008, equations 15, 16, 20-22.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from merkit.errors import ConfigError

__all__ = ["PRIOR_WORDS", "SetApart", "log_odds", "words_set_apart"]

PRIOR_WORDS = 1000.0
"""Length of the imagined text, in words: a word must be said more often than chance has it in a text that long."""


@dataclass(frozen=True, slots=True)
class SetApart:
    """One word of one group of texts.

    Args:
        word: as it is counted.
        z: the difference of log odds over its standard error; above 1.96 the word is more frequent here than elsewhere
            beyond what chance does to one word in forty. Of thousands of words, some are there by chance.
        log_odds: the difference, natural logarithm.
        here: times the word is said in the group.
        elsewhere: times it is said in all other texts.
    """

    word: str
    z: float
    log_odds: float
    here: int
    elsewhere: int


def log_odds(
    here: np.ndarray, elsewhere: np.ndarray, prior_words: float = PRIOR_WORDS
) -> tuple[np.ndarray, np.ndarray]:
    """Difference of log odds of every word, and the same over its standard error.

    With `a` the prior's count of a word, `prior_words` times its share of both groups together, and `A` their sum:
    `ln((y + a) / (n + A - y - a))` here minus the same elsewhere; its variance is about `1 / (y + a)` here and elsewhere.

    Args:
        here: `(V,)` times each word is said in one group.
        elsewhere: `(V,)` the same in the other.
        prior_words: `A`.

    Returns:
        `(V,)` differences and `(V,)` z; NaN for words that neither says, and for all where there is no second word.

    Raises:
        ConfigError: shapes differ, a count is negative, or there is no prior.

    Example:
        >>> difference, z = log_odds(np.array([8, 2]), np.array([2, 8]), 10)
        >>> difference.round(4).tolist(), z.round(4).tolist()
        ([1.2381, -1.2381], [2.6409, -2.6409])
    """
    here, elsewhere = np.asarray(here, np.float64), np.asarray(elsewhere, np.float64)
    if here.ndim != 1 or here.shape != elsewhere.shape or (here < 0).any() or (elsewhere < 0).any():
        raise ConfigError(f"counts of words must be (V,) twice and 0 or more; they are {here.shape}, {elsewhere.shape}")
    if not prior_words > 0:
        raise ConfigError(f"the prior needs words; prior_words is {prior_words}")
    both = here + elsewhere
    nothing = np.full(len(both), np.nan)
    if (both > 0).sum() < 2:
        return nothing, nothing.copy()
    prior = prior_words * both / both.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = here + prior, elsewhere + prior
        difference = np.log(first / (first.sum() - first)) - np.log(second / (second.sum() - second))
        z = difference / np.sqrt(1 / first + 1 / second)
    said = both > 0
    return np.where(said, difference, np.nan), np.where(said, z, np.nan)


def words_set_apart(
    texts: Sequence[Sequence[str]],
    there: Mapping[str, np.ndarray],
    *,
    most: int = 25,
    least_z: float = 1.96,
    prior_words: float = PRIOR_WORDS,
) -> dict[str, list[SetApart]]:
    """For each label the words that its texts say more than all other texts do, largest z first.

    Args:
        texts: `n` texts as lists of words.
        there: label -> `(n,)` bool, the texts that have it. A text with several labels is in several groups.
        most: words a label at most.
        least_z: words of a smaller z are left out.
        prior_words: see `log_odds`.

    Raises:
        ConfigError: a group is not about the same texts.

    Example:
        >>> texts = [["so", "good"]] * 9 + [["so", "bad"]] * 9
        >>> found = words_set_apart(texts, {"joy": np.arange(18) < 9}, prior_words=10)
        >>> [(each.word, each.here, each.elsewhere) for each in found["joy"]]
        [('good', 9, 0)]
    """
    total: Counter[str] = Counter(word for text in texts for word in text)
    words = sorted(total)
    everything = np.array([total[word] for word in words], np.int64)
    found: dict[str, list[SetApart]] = {}
    for label, has in there.items():
        if len(has) != len(texts):
            raise ConfigError(f"{label} is said of {len(has)} texts, there are {len(texts)}")
        own: Counter[str] = Counter(word for text, member in zip(texts, has, strict=True) if member for word in text)
        here = np.array([own[word] for word in words], np.int64)
        difference, z = log_odds(here, everything - here, prior_words)
        order = np.argsort(-np.nan_to_num(z, nan=-np.inf), kind="stable")[:most]
        found[label] = [
            SetApart(words[i], float(z[i]), float(difference[i]), int(here[i]), int(everything[i] - here[i]))
            for i in order
            if z[i] >= least_z
        ]
    return found
