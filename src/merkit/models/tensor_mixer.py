"""Tensor Mixer Network and its rivals: encoders, projectors, one vector a modality or its tokens, a fusion, heads.

Cho, Ryu, Wallraven 2023 (KIISE; ETRI human-understanding competition). The published networks differ in the fusion alone,
so there is one module, and every family in `FUSIONS` fits into it. Projectors are modules of the model like any other:
an optimiser over its parameters cannot leave them out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.batch import Batch, Tokens
from merkit.data.table import TokenColumn
from merkit.errors import ConfigError
from merkit.models.classifier import Outputs
from merkit.models.dropout import Dropout
from merkit.models.fusion import Fusion, PooledStreams, build_fusion
from merkit.models.losses import InfoNCELoss
from merkit.models.pooling import hide
from merkit.models.readout import LabelHeads
from merkit.models.streams import Standardise, drop_modalities, over_clips, rows_of
from merkit.schema import TargetSpec

__all__ = ["MixerOutputs", "TensorMixer"]


@dataclass(frozen=True, slots=True, eq=False)
class MixerOutputs(Outputs):
    """`Outputs`, and how badly the modalities of a clip find each other.

    Args:
        contrast: a scalar, the mean InfoNCE of all pairs of modalities over the batch; None where nobody asked.
    """

    contrast: Tensor | None = None


class TensorMixer(nn.Module):
    """Logits from any subset of modalities.

    Encoders that are trained along make tokens of ids or samples; other features are standardised. A linear projector
    brings each modality to `width`, the fusion makes one vector of all, a hidden layer may follow, one linear layer a
    target answers.

    Args:
        widths: modality -> width of its tokens; of an encoder, its own.
        specs: the questions, asked of whole clips.
        fusion: a name in `FUSIONS`, or a class of your own (see `Fusion`).
        fusion_params: the family's own parameters; `width` among them replaces the model's.
        width: what each modality is projected to.
        pooling: modality -> a name in `POOLINGS`; `mean` where it is not named, over real tokens alone.
        hidden: width of a layer behind the fusion; 0 = none.
        activation: behind that layer.
        dropout: in the fusion and around the hidden layer.
        modality_dropout: probability, in training, that a modality that is there is taken from a clip; never the last one.
        encoders: modality -> module, `Tokens (R, T, F)` -> `Tokens (R, T', D)`, to be trained along.
        contrast: the pooled, projected modalities of a clip are to find each other (CLIP; Radford et al. 2021), with a
            learned temperature that begins at 0.07.
        probe: fusion and heads learn from projections that they cannot change: with `contrast`, a linear probe of what
            contrast alone has taught.

    Raises:
        ConfigError: a target is asked per entity, `encoders` or `pooling` name what is not there, or contrast has
            nothing to contrast.

    Example:
        >>> spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
        >>> model = TensorMixer({"text": 8, "physiology": 6}, [spec], fusion="tensor", width=4,
        ...     fusion_params={"project": False, "ones": False, "reducer": "mixer", "patch": 2}).eval()
        >>> batch = Batch(("a",), 1, {name: Tokens(torch.randn(1, 1, 3, d), torch.ones(1, 1, 3) > 0)
        ...     for name, d in (("text", 8), ("physiology", 6))})
        >>> model(batch)["emotion"].shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        specs: Sequence[TargetSpec],
        *,
        fusion: str | Callable[..., Fusion] = "concat",
        fusion_params: Mapping[str, Any] | None = None,
        width: int = 64,
        pooling: Mapping[str, str] | None = None,
        hidden: int = 0,
        activation: Literal["relu", "gelu"] = "gelu",
        dropout: float = 0.1,
        modality_dropout: float = 0.0,
        encoders: Mapping[str, nn.Module] | None = None,
        contrast: bool = False,
        probe: bool = False,
    ) -> None:
        super().__init__()
        encoders, pooling = encoders or {}, pooling or {}
        for what, named in (("encoders", encoders), ("pooling", pooling)):
            if unknown := set(named) - set(widths):
                raise ConfigError(f"{what} names {', '.join(sorted(unknown))}; the modalities are {', '.join(widths)}")
        if asked := [spec.name for spec in specs if spec.per_entity]:
            raise ConfigError(f"{', '.join(asked)}: asked of persons; this model answers for whole clips")
        if (contrast or probe) and (len(widths) < 2 or not contrast):
            raise ConfigError(f"contrast is between modalities, and there is only {', '.join(widths)}, or none asked")
        self.specs, self.modalities, self.modality_dropout = tuple(specs), tuple(widths), modality_dropout
        self.encoders: Any = nn.ModuleDict(dict(encoders))
        self.scales: Any = nn.ModuleDict(
            {name: Standardise(dim) for name, dim in widths.items() if name not in encoders}
        )
        self.projectors: Any = nn.ModuleDict({name: nn.Linear(dim, width) for name, dim in widths.items()})
        self.fusion: Any = build_fusion(
            fusion,
            dict.fromkeys(widths, width),
            width=width,
            labels=sum(len(spec.labels) for spec in specs),
            dropout=dropout,
            pooling=pooling,
            params=fusion_params or {},
        )
        self.hidden: Any = nn.Linear(self.fusion.width, hidden) if hidden else None
        self.activation = {"relu": F.relu, "gelu": F.gelu}[activation]
        self.dropout = Dropout(dropout)
        self.heads = LabelHeads(hidden or self.fusion.width, specs)
        self.sides: Any = PooledStreams(dict.fromkeys(widths, width), pooling, learned=False) if contrast else None
        self.contrast: Any = InfoNCELoss(learned=True) if contrast else None
        self.probe = probe

    def fit_standardiser(self, streams: Mapping[str, TokenColumn]) -> None:
        """Sets each modality's centre and scale from the tokens of the TRAINING part. What a pretrained encoder reads stays
        as it is; one that has a scale of its own (`fit`) sets it."""
        for name, layer in (*self.scales.items(), *self.encoders.items()):
            if hasattr(layer, "fit"):
                layer.fit(streams[name].x)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """target -> logits `(B, K)`."""
        return dict(self.outputs(batch).logits)

    def outputs(self, batch: Batch) -> MixerOutputs:
        """Logits, the fused vector `(B, E)`, which modalities took part `(B,)`, what was looked at, and the contrast.

        Raises:
            ConfigError: the batch lacks a modality of this model (as opposed to clips that lack it: those are masked).
        """
        if missing := [name for name in self.modalities if name not in batch.tokens]:
            raise ConfigError(f"the batch has no {', '.join(missing)}; it has {', '.join(batch.tokens) or 'nothing'}")
        streams = {name: self._projected(name, batch) for name in self.modalities}
        contrast = None if self.contrast is None else self._contrast(streams)
        if self.probe:
            streams = {name: Tokens(t.x.detach(), t.mask, t.times) for name, t in streams.items()}
        if self.training and self.modality_dropout:
            streams = drop_modalities(streams, self.modality_dropout)
        fused = self.fusion(streams)
        x, per_label = fused.x, fused.per_label
        if self.hidden is not None:
            x = self.dropout(self.activation(self.hidden(x)))
            per_label = None if per_label is None else self.dropout(self.activation(self.hidden(per_label)))
        present = {name: tokens.present for name, tokens in streams.items()}
        return MixerOutputs(self.heads(x, per_label), fused.x, {}, present, fused.attention, contrast)

    def _projected(self, name: str, batch: Batch) -> Tokens:
        """The tokens of a modality, `(B, T, width)`."""
        tokens = rows_of(over_clips(batch.tokens[name]), batch.size)
        if name in self.encoders:
            tokens = self.encoders[name](tokens)
            x = hide(tokens.x, tokens.mask)
        else:
            x = self.scales[name](hide(tokens.x, tokens.mask))
        return Tokens(self.projectors[name](x), tokens.mask, tokens.times)

    def _contrast(self, streams: Mapping[str, Tokens]) -> Tensor:
        """Over clips that have both modalities of a pair; the mean over pairs."""
        pooled = self.sides(streams)
        pairs = [
            self.contrast(pooled[one], pooled[other], streams[one].present & streams[other].present)
            for one, other in combinations(self.modalities, 2)
        ]
        return torch.stack(pairs).mean()
