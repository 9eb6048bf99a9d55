"""Label spaces as data: names, order, and the maps from corpora's own words to them."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["EKMAN7", "LabelSpace"]


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """An ordered set of labels and how other vocabularies map onto it.

    Args:
        name: what configs and run records call it.
        labels: the `K` labels in the order of every probability vector.
        aliases: other words -> label. A word that is absent from both has no place in this space.

    Example:
        >>> EKMAN7.index("happy"), EKMAN7.labels[3]
        (3, 'joy')
    """

    name: str
    labels: tuple[str, ...]
    aliases: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.labels)

    def index(self, word: str) -> int:
        """Position of `word` or of the label that it is an alias of.

        Raises:
            KeyError: the word has no place in this label space.
        """
        word = word.strip().lower()
        label = self.aliases.get(word, word)
        try:
            return self.labels.index(label)
        except ValueError:
            raise KeyError(f"{word!r} has no place in label space {self.name} ({', '.join(self.labels)})") from None


# Ekman's six and neutral: the seven that every face corpus, MELD and the first model share. `calm` (RAVDESS) is what
# raters confuse with neutral most; boredom (EmoDB) has no place here.
EKMAN7 = LabelSpace(
    "ekman7",
    ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"),
    {
        "angry": "anger",
        "disgusted": "disgust",
        "fearful": "fear",
        "happy": "joy",
        "happiness": "joy",
        "calm": "neutral",
        "sad": "sadness",
        "surprised": "surprise",
    },
)
