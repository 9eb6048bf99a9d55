"""Tensor fusion: the outer product of the modalities, reduced."""

from collections.abc import Mapping
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.errors import ConfigError
from merkit.models.dropout import Dropout
from merkit.models.fusion.contract import Fused
from merkit.models.fusion.pooled_streams import PooledStreams
from merkit.models.mixer import MlpMixer

__all__ = ["TensorFusion"]

# Entries of the outer product when `factor` is left to us: enough to be worth the name, and some milliseconds a step.
_ENTRIES = {"mlp": 2048, "mixer": 1024}
# A product beyond this is a mistake in a config: 16 MB a clip, and a first layer of its size.
_MOST = 1 << 22


class TensorFusion(nn.Module):
    """`x_1 ⊗ x_2 ⊗ … ⊗ x_M` of pooled, projected modalities (Zadeh et al. 2017, "Tensor fusion network"), reduced by an
    MLP, by an MLP-mixer over patches (Tensor Mixer Network), or never built (Liu et al. 2018, "Efficient low-rank
    multimodal fusion", eq. 7).

    An absent modality is the neutral element of the product. With appended ones that is `[0 … 0 1]`: what remains is the
    product of the others. Without them it is a learned vector that starts as ones. In low rank it is ones.

    Args:
        widths: modality -> `D_m`.
        width: `E`, of the result.
        labels: ignored.
        dropout: after the reduction.
        pooling: a name in `POOLINGS`, or modality -> name.
        factor: width of each modality in the product, the appended one included; 0 = as wide as keeps the product
            within 2048 entries (mixer: 1024), at most `width`.
        ones: append 1 to each modality, so that the product holds every smaller product too (as in the 2017 paper).
        rank: above 0: low-rank form with so many terms; `reducer` and `factor` then have no say.
        reducer: `mlp` or `mixer`.
        patch: side of the mixer's patches; the factor is rounded down to a multiple of it.
        channels: the mixer's width; 0 = half of `width`.
        depth: mixer blocks.
        expansion: the mixer's inner width over patches, as a multiple of their number.
        project: False takes the pooled modalities as they are, all of one width, which is then the factor (beside the
            appended one). In low rank they are always projected: those are its factors.

    Raises:
        ConfigError: an unknown reducer, a factor below what `ones` and the patch need, a product without bounds, or
            modalities of several widths that are not projected.

    Example:
        >>> fusion = TensorFusion({"text": 4, "speech": 6}, width=16, factor=5, ones=True)
        >>> tokens = {name: Tokens(torch.randn(2, 3, d), torch.ones(2, 3, dtype=torch.bool))
        ...     for name, d in (("text", 4), ("speech", 6))}
        >>> fusion(tokens).x.shape, fusion.product(tokens).shape
        (torch.Size([2, 16]), torch.Size([2, 25]))
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int = 64,
        labels: int = 1,
        dropout: float = 0.1,
        pooling: str | Mapping[str, str] = "mean",
        factor: int = 0,
        ones: bool = True,
        rank: int = 0,
        reducer: Literal["mlp", "mixer"] = "mlp",
        patch: int = 4,
        channels: int = 0,
        depth: int = 1,
        expansion: float = 2.0,
        project: bool = True,
    ) -> None:
        super().__init__()
        if reducer not in _ENTRIES:
            raise ConfigError(f"tensor fusion: no reducer {reducer!r}; there are {', '.join(_ENTRIES)}")
        self.width, self.ones, self.rank = width, ones, rank
        self.streams = PooledStreams(widths, pooling, learned=False)
        many, project = len(widths), project or rank > 0
        if not project:
            if len(set(self.streams.widths.values())) > 1:
                raise ConfigError(f"tensor fusion: widths {self.streams.widths} differ, so they have to be projected")
            factor = next(iter(self.streams.widths.values())) + ones
        elif not factor:
            # the small amount is for roots that come out just below a whole number
            factor = min(width, int(_ENTRIES[reducer] ** (1 / many) + 1e-6))
            factor = max(factor // patch, 1) * patch if reducer == "mixer" else max(factor, 2)
        own = width * rank if rank else factor - ones
        if own < 1:
            raise ConfigError(f"tensor fusion: factor {factor} leaves no room beside the appended one")
        if not rank and factor**many > _MOST:
            raise ConfigError(
                f"tensor fusion: {factor} numbers of each of {many} modalities multiply to {factor**many:,} a clip; take "
                "fewer, or the low-rank form"
            )
        # in low rank the appended one is the bias
        self.inward = nn.ModuleDict(
            {
                name: nn.Linear(size, own, bias=not rank or ones) if project else nn.Identity()
                for name, size in self.streams.widths.items()
            }
        )
        self.neutral: Any = None
        if not rank and not ones:
            self.neutral = nn.ParameterDict({name: torch.ones(own) for name in widths})
        self.reduce: Any
        if rank:
            self.reduce = nn.Linear(rank, 1)
        elif reducer == "mlp":
            self.reduce = nn.Sequential(nn.Linear(factor**many, width), nn.GELU(), nn.Linear(width, width))
        else:
            sides = factor, factor ** (many - 1)
            channels = channels or max(width // 2, 1)
            self.reduce = nn.Sequential(
                nn.Unflatten(1, sides),
                MlpMixer(*sides, patch=patch, width=channels, depth=depth, token_expansion=expansion),
                nn.Linear(channels, width) if channels != width else nn.Identity(),
            )
        self.dropout = Dropout(dropout)

    def product(self, tokens: Mapping[str, Tokens]) -> Tensor:
        """The outer product, flat: `(B, factor^M)`; in low rank its terms, `(B, width rank)`."""
        vectors = []
        for name, pooled in self.streams(tokens).items():
            x, here = self.inward[name](pooled), tokens[name].present[:, None]
            if self.rank:
                x = torch.where(here, x, 1.0)
            elif self.neutral is not None:
                x = torch.where(here, x, self.neutral[name])
            else:
                x = torch.cat([torch.where(here, x, 0.0), torch.ones_like(x[:, :1])], 1)
            vectors.append(x)
        if self.rank:
            return reduce(torch.mul, vectors)
        return reduce(lambda so_far, x: (so_far[:, :, None] * x[:, None]).flatten(1), vectors)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """See `Fusion`."""
        x = self.product(tokens)
        x = self.reduce(x.unflatten(1, (self.width, self.rank)))[..., 0] if self.rank else self.reduce(x)
        return Fused(self.dropout(x))
