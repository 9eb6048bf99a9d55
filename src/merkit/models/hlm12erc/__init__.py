"""HLM12ERC: one vector a modality, of which words know the dialogue, an attention over modalities, linear layers."""

from merkit.models.hlm12erc.dialogue_text import DialogueText
from merkit.models.hlm12erc.model import HLM12ERC
from merkit.models.hlm12erc.turns import Reading, cut_turns, read_together

__all__ = ["HLM12ERC", "DialogueText", "Reading", "cut_turns", "read_together"]
