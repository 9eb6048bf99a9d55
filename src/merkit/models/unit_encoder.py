"""A small "speech BERT": voice as a row of units, read as a text encoder reads words.

The BERT-like models (Siriwardhana et al., Interspeech 2020, 2.2) read voice with a RoBERTa over the tokens of vq-wav2vec,
pretrained on them. Neither can be had in a form that loads today; this one begins with random weights, or with those of an
earlier run over the same units. A class token stands in front, and learns what the row as a whole says.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.errors import WeightError
from merkit.models.dropout import Dropout
from merkit.models.ragged import RaggedEncoder, RaggedRows

__all__ = ["UnitEncoder", "load_units_into"]

_PREFIX = "encoders.speech."


class UnitEncoder(nn.Module):
    """Unit ids -> states, a class token first; post-norm layers, as BERT has them (Devlin et al. 2019).

    Clips of different lengths stand in one tensor, so no padding is computed and no id stands for it.

    Args:
        units: how many there are, `k`; ids are 0 to k - 1.
        width: `D`.
        layers: of self-attention.
        heads: 0 = as many as divide the width, at most four.
        dropout: on embeddings and within layers.
        attention_dropout: on attention weights.
        max_positions: places with a code of their own; later ones share the last.

    Example:
        >>> encoder = UnitEncoder(5, width=8, layers=1).eval()
        >>> row = Tokens(torch.tensor([[[3.0], [0.0]], [[4.0], [9.0]]]), torch.tensor([[True, True], [True, False]]))
        >>> states = encoder(row)
        >>> states.x.shape, states.mask.tolist()
        (torch.Size([2, 3, 8]), [[True, True, True], [True, True, False]])
    """

    def __init__(
        self,
        units: int,
        *,
        width: int = 128,
        layers: int = 2,
        heads: int = 0,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        max_positions: int = 1024,
    ) -> None:
        super().__init__()
        self.width = width
        self.unit, self.position = nn.Embedding(units, width), nn.Embedding(max_positions, width)
        self.begin = nn.Parameter(torch.randn(1, width) * 0.02)
        for table in (self.unit, self.position):
            nn.init.normal_(table.weight, std=0.02)
        self.norm, self.dropout = nn.LayerNorm(width), Dropout(dropout)
        self.encoder = RaggedEncoder(
            width,
            layers,
            heads=heads,
            feedforward=4 * width,
            dropout=dropout,
            attention_dropout=attention_dropout,
            activation="gelu",
        )

    def forward(self, tokens: Tokens) -> Tokens:
        """Ids `(R, T, 1)` -> states `(R, T + 1, D)`; the class token is there where a row has any unit."""
        row, _ = tokens.mask.nonzero(as_tuple=True)
        some = tokens.mask.any(1).nonzero(as_tuple=True)[0]
        place = (tokens.mask.cumsum(1))[tokens.mask]  # from 1: the class token is at 0
        x = torch.cat([self.begin.expand(len(some), -1), self.unit(tokens.x[..., 0][tokens.mask].long())])
        row, place = torch.cat([some, row]), torch.cat([torch.zeros_like(some), place])
        x = self.dropout(self.norm(x + self.position(place.clamp_max(self.position.num_embeddings - 1))))
        if len(x) and len(self.encoder.layers):
            # sequences are numbered without gaps: a row without units is none
            number = torch.zeros(len(tokens.mask), dtype=torch.int64, device=row.device)
            number[some] = torch.arange(len(some), device=row.device)
            x, _ = self.encoder(x, RaggedRows.of(number[row], torch.arange(len(x), device=row.device), self.width))
        lengths = tokens.mask.sum(1)
        mask = torch.arange(tokens.mask.shape[1] + 1, device=row.device) < (lengths + (lengths > 0))[:, None]
        states = x.new_zeros(*mask.shape, self.width).index_put((row, place), x)
        return Tokens(states, mask)


def load_units_into(encoder: UnitEncoder, path: str | Path) -> UnitEncoder:
    """Begins with the weights of an earlier run.

    Args:
        encoder: of the same size.
        path: the folder of a run whose `speech` was read by such an encoder, or a `.safetensors` file, either with the names
            of the encoder's own weights or with those of a whole model.

    Raises:
        WeightError: there is no such file, or other weights than the encoder has.
    """
    path = Path(path).expanduser()
    file = path / "model.safetensors" if path.is_dir() else path
    try:
        state: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise WeightError(f"{file}: no weights of a unit encoder ({error})") from None
    own = {key.removeprefix(_PREFIX): value for key, value in state.items() if key.startswith(_PREFIX)} or state
    wanted = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in own.items()}
    if wanted != found:
        named = sorted({*wanted.items()} ^ {*found.items()})[0]
        raise WeightError(
            f"{file}: not the weights of this unit encoder; e.g. {named[0]} {named[1]} is in one of the two only"
        )
    encoder.load_state_dict(own)
    return encoder
