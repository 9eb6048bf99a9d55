"""HLM12ERC: one vector a modality, of which words know the dialogue, an attention over modalities, linear layers."""

from merkit.models.hlm12erc.dialogue_text import DialogueText
from merkit.models.hlm12erc.fusion import MultiHeadedFusion, heads_of_degree, proportional_widths
from merkit.models.hlm12erc.model import HLM12ERC
from merkit.models.hlm12erc.sight import PictureVector
from merkit.models.hlm12erc.sound import SpeechVector, WaveformLayers
from merkit.models.hlm12erc.stored import StoredFeatures
from merkit.models.hlm12erc.turn_vectors import TurnVectors
from merkit.models.hlm12erc.turns import Reading, cut_turns, read_together
from merkit.models.hlm12erc.words import WordMean

__all__ = [
    "HLM12ERC",
    "DialogueText",
    "MultiHeadedFusion",
    "PictureVector",
    "Reading",
    "SpeechVector",
    "StoredFeatures",
    "TurnVectors",
    "WaveformLayers",
    "WordMean",
    "cut_turns",
    "heads_of_degree",
    "proportional_widths",
    "read_together",
]
