"""IEMOCAP as released: turns of dialogues between two actors, what raters chose, words, sound and pictures."""

from merkit.corpora.iemocap.corpus import IEMOCAP
from merkit.corpora.iemocap.evaluation import DIMENSIONS, EMOTION
from merkit.corpora.iemocap.names import TurnName

__all__ = ["DIMENSIONS", "EMOTION", "IEMOCAP", "TurnName"]
