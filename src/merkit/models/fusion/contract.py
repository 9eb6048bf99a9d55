"""What a fusion is: a module from the tokens of several modalities to one vector a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from merkit.data.batch import Tokens

__all__ = ["Fused", "Fusion"]


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """What a fusion answers.

    Args:
        x: `(B, E)`, one vector a row.
        per_label: `(B, K, E)`, one vector for each label, from families that make them; else None.
        attention: name -> `(B, …)` weights in [0, 1] that show what the fusion looked at. Filled in evaluation mode
            only: training has no use for them.
    """

    x: Tensor
    per_label: Tensor | None = None
    attention: Mapping[str, Tensor] = field(default_factory=dict)


class Fusion(Protocol):
    """A fusion family, or one of your own.

    It is a `torch.nn.Module`, built as `family(widths, width=…, labels=…, dropout=…, **own parameters)` where `widths`
    maps each modality to the width `D_m` of its tokens, `width` is the size to work in and `labels` the number of
    labels over all targets. A family whose constructor has a parameter `pooling` is given the model's.

    Tokens come folded to `x (B, T_m, D_m)`, `mask (B, T_m)`, for exactly the modalities of `widths`. A modality that is
    absent from a row has a mask that is all False there; what `x` holds under a False mask must not matter.
    """

    width: int
    """`E`."""

    def __call__(self, tokens: Mapping[str, Tokens]) -> Fused: ...
