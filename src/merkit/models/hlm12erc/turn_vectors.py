"""What a clip says, each turn read by itself; a small network over the vectors of the turns so far adds the dialogue."""

from typing import Any

import torch
from torch import Tensor

from merkit.data.batch import Batch, Tokens
from merkit.models.context import DialogueContext
from merkit.models.hlm12erc.dialogue_text import DialogueText
from merkit.networks.text_encoder import TextEncoder

__all__ = ["TurnVectors"]


class TurnVectors(DialogueText):
    """Token ids of turns -> one vector a clip, in two storeys: words of a turn, then turns of a dialogue (Majumder et al.
    2019, "DialogueRNN"; Poria et al. 2017, bc-LSTM).

    A sentence encoder was never shown several turns at once, and a few thousand dialogues hardly teach it that; here it reads
    one turn, as it is used to. What the dialogue adds is added to the turn's own vector.

    Args:
        encoder: any.
        kind: `gru`, `lstm` or `attention`, see `DialogueContext`.
        dropout: on what the dialogue adds.
        options: of `DialogueText`.

    Example:
        >>> from merkit.networks.text_pretrained import load_text_encoder
        >>> text = TurnVectors(load_text_encoder("minilm"), kind="gru")  # doctest: +SKIP
    """

    def __init__(self, encoder: TextEncoder, *, kind: str = "gru", dropout: float = 0.1, **options: Any) -> None:
        super().__init__(encoder, **options)
        self.dialogue = DialogueContext(self.width, kind=kind, dropout=dropout)

    def forward(self, tokens: Tokens, batch: Batch) -> tuple[Tensor, Tensor]:
        """Ids `(R, N, T, 1)` of all rows -> `(B, D)` and `(B,)` bool, whether the clip says anything; zeros where it does not."""
        rows, lengths = self._rows(tokens)
        x, says = self._answers(rows, [[row] if length else [] for row, length in enumerate(lengths)])
        context, position = batch.context, batch.position
        if context is None or position is None:
            context = torch.arange(batch.size, device=x.device)[:, None]
            position = torch.zeros_like(context)
        # what comes later is not looked at, whoever made the batch
        earlier = context.masked_fill(position > 0, -1)
        own = says[: batch.size]
        return (x[: batch.size] + self.dialogue(x, says, earlier, position)) * own[:, None], own
