"""MELD: dialogues of the series Friends, each utterance as words, as a clip, and what raters said of it."""

from merkit.corpora.meld.corpus import MELD
from merkit.corpora.meld.media import TABLES

__all__ = ["MELD", "TABLES"]
