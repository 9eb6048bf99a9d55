"""The corpora that merkit reads, by name."""

from collections.abc import Mapping

from merkit.corpora.corpus import Corpus
from merkit.corpora.meld import MELD
from merkit.corpora.ravdess import RAVDESS

__all__ = ["CORPORA"]

CORPORA: Mapping[str, Corpus] = {corpus.name: corpus for corpus in (RAVDESS, MELD)}
