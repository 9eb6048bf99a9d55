"""Label spaces as data: names, order, and the maps from corpora's own words to them."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "CREMA_D6",
    "EKMAN7",
    "EMODB7",
    "EMORYNLP7",
    "EMOTIC26",
    "GOEMOTIONS28",
    "IEMOCAP4",
    "IEMOCAP6",
    "IEMOCAP10",
    "LABEL_SPACES",
    "MELD_SENTIMENT3",
    "MOVIEGRAPHS_TOP10",
    "MOVIEGRAPHS_TOP25",
    "RAVDESS8",
    "SENTIMENT",
    "VALENCE_AROUSAL",
    "WESAD3",
    "LabelSpace",
]


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

# IEMOCAP's two usual sets. In four classes excitement counts as happiness; in six it stands alone.
IEMOCAP4 = LabelSpace(
    "iemocap4",
    ("angry", "happy", "neutral", "sad"),
    {
        "ang": "angry",
        "anger": "angry",
        "hap": "happy",
        "happiness": "happy",
        "exc": "happy",
        "excited": "happy",
        "excitement": "happy",
        "neu": "neutral",
        "sadness": "sad",
    },
)
IEMOCAP6 = LabelSpace(
    "iemocap6",
    ("happy", "sad", "neutral", "angry", "excited", "frustrated"),
    {
        "hap": "happy",
        "happiness": "happy",
        "sadness": "sad",
        "neu": "neutral",
        "ang": "angry",
        "anger": "angry",
        "exc": "excited",
        "excitement": "excited",
        "fru": "frustrated",
        "frustration": "frustrated",
    },
)

# All that IEMOCAP's raters could choose. Codes are those of the summary, long words those of the raters' own lines.
IEMOCAP10 = LabelSpace(
    "iemocap10",
    (
        "neutral",
        "happy",
        "excited",
        "sad",
        "angry",
        "frustrated",
        "fearful",
        "surprised",
        "disgusted",
        "other",
    ),
    {
        "neu": "neutral",
        "neutral state": "neutral",
        "hap": "happy",
        "happiness": "happy",
        "exc": "excited",
        "excitement": "excited",
        "sadness": "sad",
        "ang": "angry",
        "anger": "angry",
        "fru": "frustrated",
        "frustration": "frustrated",
        "fea": "fearful",
        "fear": "fearful",
        "sur": "surprised",
        "surprise": "surprised",
        "dis": "disgusted",
        "disgust": "disgusted",
        "oth": "other",
    },
)

# In the order of the data set's own emotions.txt.
GOEMOTIONS28 = LabelSpace(
    "goemotions28",
    (
        "admiration",
        "amusement",
        "anger",
        "annoyance",
        "approval",
        "caring",
        "confusion",
        "curiosity",
        "desire",
        "disappointment",
        "disapproval",
        "disgust",
        "embarrassment",
        "excitement",
        "fear",
        "gratitude",
        "grief",
        "joy",
        "love",
        "nervousness",
        "optimism",
        "pride",
        "realization",
        "relief",
        "remorse",
        "sadness",
        "surprise",
        "neutral",
    ),
    {},
)

# In the order of the codes in the file names.
RAVDESS8 = LabelSpace(
    "ravdess8",
    ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"),
    {
        "joy": "happy",
        "happiness": "happy",
        "sadness": "sad",
        "anger": "angry",
        "fear": "fearful",
        "disgusted": "disgust",
        "surprise": "surprised",
    },
)
# In the order of the columns of tabulatedVotes.csv; single letters are those columns.
CREMA_D6 = LabelSpace(
    "crema-d6",
    ("anger", "disgust", "fear", "happy", "neutral", "sad"),
    {
        "a": "anger",
        "ang": "anger",
        "d": "disgust",
        "dis": "disgust",
        "f": "fear",
        "fea": "fear",
        "h": "happy",
        "hap": "happy",
        "n": "neutral",
        "neu": "neutral",
        "s": "sad",
        "angry": "anger",
        "joy": "happy",
        "happiness": "happy",
        "sadness": "sad",
    },
)
# The letters are those of the file names, short for the German words.
EMODB7 = LabelSpace(
    "emodb7",
    ("anger", "boredom", "disgust", "fear", "happiness", "sadness", "neutral"),
    {
        "w": "anger",
        "l": "boredom",
        "e": "disgust",
        "a": "fear",
        "f": "happiness",
        "t": "sadness",
        "n": "neutral",
        "happy": "happiness",
        "joy": "happiness",
        "sad": "sadness",
        "angry": "anger",
    },
)
# Plutchik-like words of the feeling wheel that EmoryNLP's raters were shown.
EMORYNLP7 = LabelSpace("emorynlp7", ("joyful", "mad", "neutral", "peaceful", "powerful", "sad", "scared"), {})
MELD_SENTIMENT3 = LabelSpace("meld-sentiment3", ("negative", "neutral", "positive"), {})
WESAD3 = LabelSpace("wesad3", ("baseline", "stress", "amusement"), {"1": "baseline", "2": "stress", "3": "amusement"})

# The most frequent (character, emotion) pairs of MovieGraphs over all of its films, most frequent first, as EmoTx published
# them. Ties do not occur. Words are the annotators' own.
MOVIEGRAPHS_TOP25 = LabelSpace(
    "moviegraphs-top25",
    (
        "happy",
        "worried",
        "calm",
        "excited",
        "quiet",
        "amused",
        "curious",
        "confused",
        "serious",
        "surprise",
        "friendly",
        "angry",
        "annoyed",
        "shocked",
        "confident",
        "sad",
        "nervous",
        "scared",
        "cheerful",
        "upset",
        "polite",
        "honest",
        "helpful",
        "determined",
        "alarmed",
    ),
    {},
)
MOVIEGRAPHS_TOP10 = LabelSpace("moviegraphs-top10", MOVIEGRAPHS_TOP25.labels[:10], {})
# Emotic's 26 categories. Which of MovieGraphs' words belong to each is data: `merkit.corpora.label_sets`.
EMOTIC26 = LabelSpace(
    "emotic26",
    (
        "Affection",
        "Anger",
        "Annoyance",
        "Anticipation",
        "Aversion",
        "Confidence",
        "Disapproval",
        "Disconnection",
        "Disquietment",
        "Doubt/Confusion",
        "Embarrassment",
        "Engagement",
        "Esteem",
        "Excitement",
        "Fatigue",
        "Fear",
        "Happiness",
        "Pain",
        "Peace",
        "Pleasure",
        "Sadness",
        "Sensitivity",
        "Suffering",
        "Surprise",
        "Sympathy",
        "Yearning",
    ),
    {
        "affection": "Affection",
        "anger": "Anger",
        "annoyance": "Annoyance",
        "anticipation": "Anticipation",
        "aversion": "Aversion",
        "confidence": "Confidence",
        "disapproval": "Disapproval",
        "disconnection": "Disconnection",
        "disquietment": "Disquietment",
        "doubt/confusion": "Doubt/Confusion",
        "embarrassment": "Embarrassment",
        "engagement": "Engagement",
        "esteem": "Esteem",
        "excitement": "Excitement",
        "fatigue": "Fatigue",
        "fear": "Fear",
        "happiness": "Happiness",
        "pain": "Pain",
        "peace": "Peace",
        "pleasure": "Pleasure",
        "sadness": "Sadness",
        "sensitivity": "Sensitivity",
        "suffering": "Suffering",
        "surprise": "Surprise",
        "sympathy": "Sympathy",
        "yearning": "Yearning",
    },
)

# Dimensions instead of classes: each label is a number.
SENTIMENT = LabelSpace("sentiment", ("sentiment",), {})
VALENCE_AROUSAL = LabelSpace("valence-arousal", ("valence", "arousal"), {"v": "valence", "a": "arousal"})

LABEL_SPACES: Mapping[str, LabelSpace] = {
    space.name: space
    for space in (
        EKMAN7,
        IEMOCAP4,
        IEMOCAP6,
        IEMOCAP10,
        GOEMOTIONS28,
        RAVDESS8,
        CREMA_D6,
        EMODB7,
        EMORYNLP7,
        MELD_SENTIMENT3,
        WESAD3,
        MOVIEGRAPHS_TOP10,
        MOVIEGRAPHS_TOP25,
        EMOTIC26,
        SENTIMENT,
        VALENCE_AROUSAL,
    )
}
