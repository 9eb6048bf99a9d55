"""HLM12ERC: a reader for each modality, one vector each, a fusion, linear layers, heads.

After the MELD network of H. L. Mendes (University of London, CM3070, 2023), whose fusion attended over the batch and whose
losses were taken of probabilities; here a clip's answer depends on that clip and its dialogue alone, and it is logits.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.batch import Batch, Tokens
from merkit.data.table import TokenColumn
from merkit.errors import ConfigError
from merkit.models.classifier import Outputs
from merkit.models.dropout import Dropout
from merkit.models.fusion import Fusion, build_fusion
from merkit.models.readout import LabelHeads
from merkit.models.streams import drop_modalities
from merkit.schema import TargetSpec

__all__ = ["HLM12ERC"]


class HLM12ERC(nn.Module):
    """Logits from any subset of modalities.

    Args:
        readers: modality -> module with a `width`, `(tokens over R rows, batch) -> x (B, width), present (B,)`. One that has a
            method `fit` is given the training tokens by `fit_standardiser`.
        specs: the questions, asked of whole clips.
        fusion: a name in `FUSIONS`, or a class of your own.
        fusion_params: the family's own.
        width: size that the fusion works in.
        l2norm: modalities whose vectors are brought to length 1; absent ones stay zeros.
        fused_l2norm: the fused vector too.
        layers: `(width, dropout)` of each layer behind the fusion, ReLU in between. None at all: one of the fusion's own
            width, as published.
        layers_l2norm: what comes out of them is brought to length 1.
        modality_dropout: probability, in training, that a modality that is there is taken from a clip; never the last one.

    Raises:
        ConfigError: no modality, or a target that is asked of persons.

    Example:
        >>> import torch
        >>> class Mean(nn.Module):
        ...     width = 4
        ...     def forward(self, tokens, batch):
        ...         return tokens.x[: batch.size, 0].mean(1), tokens.present[: batch.size, 0]
        >>> model = HLM12ERC({"speech": Mean()}, [TargetSpec("emotion", "single_label", ("joy", "anger"))])
        >>> batch = Batch(("a",), 1, {"speech": Tokens(torch.randn(1, 1, 3, 4), torch.ones(1, 1, 3) > 0)})
        >>> model.eval()(batch)["emotion"].shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        readers: Mapping[str, nn.Module],
        specs: Sequence[TargetSpec],
        *,
        fusion: str | Callable[..., Fusion] = "concat",
        fusion_params: Mapping[str, Any] | None = None,
        width: int = 512,
        l2norm: Sequence[str] = (),
        fused_l2norm: bool = False,
        layers: Sequence[tuple[int, float]] = (),
        layers_l2norm: bool = False,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not readers:
            raise ConfigError("no modality is switched on: at least one encoder must be something else than none")
        if asked := [spec.name for spec in specs if spec.per_entity]:
            raise ConfigError(f"{', '.join(asked)}: asked of persons; this model answers for whole clips")
        self.specs, self.modalities = tuple(specs), tuple(readers)
        self.l2norm, self.fused_l2norm, self.layers_l2norm = frozenset(l2norm), fused_l2norm, layers_l2norm
        self.modality_dropout = modality_dropout
        self.readers: Any = nn.ModuleDict(dict(readers))
        widths: dict[str, int] = {name: self.readers[name].width for name in readers}
        labels = sum(len(spec.labels) for spec in specs)
        given: dict[str, Any] = {"width": width, "labels": labels, "pooling": "mean", "params": fusion_params or {}}
        self.fusion: Any = build_fusion(fusion, widths, dropout=0.0, **given)
        parts: list[nn.Module] = []
        size = self.fusion.width
        for out, dropout in layers or [(size, 0.0)]:
            parts += [nn.Linear(size, out), nn.ReLU(), Dropout(dropout)]
            size = out
        self.feedforward = nn.Sequential(*parts)
        self.heads = LabelHeads(size, specs)
        self.train()  # pretrained encoders come in evaluation mode, and Lightning leaves modules in the mode that it finds

    def fit_standardiser(self, streams: Mapping[str, TokenColumn]) -> None:
        """Sets centre and scale of stored features from the tokens of the TRAINING part."""
        for name, reader in self.readers.items():
            if hasattr(reader, "fit"):
                reader.fit(streams[name].x)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """target -> logits `(B, K)`."""
        return dict(self.outputs(batch).logits)

    def outputs(self, batch: Batch) -> Outputs:
        """Logits, what the heads see `(B, E)`, which modalities took part `(B,)`, and what the fusion looked at.

        Raises:
            ConfigError: the batch lacks a modality of this model (as opposed to clips that lack it: those are masked).
        """
        if missing := [name for name in self.modalities if name not in batch.tokens]:
            raise ConfigError(f"the batch has no {', '.join(missing)}; it has {', '.join(batch.tokens) or 'nothing'}")
        streams: dict[str, Tokens] = {}
        for name, reader in self.readers.items():
            x, present = reader(batch.tokens[name], batch)
            x = F.normalize(x, dim=-1) if name in self.l2norm else x
            streams[name] = Tokens(x[:, None], present[:, None])
        if self.training and self.modality_dropout:
            streams = drop_modalities(streams, self.modality_dropout)
        fused = self.fusion(streams)
        x = F.normalize(fused.x, dim=-1) if self.fused_l2norm else fused.x
        x = self.feedforward(x)
        x = F.normalize(x, dim=-1) if self.layers_l2norm else x
        present = {name: tokens.present for name, tokens in streams.items()}
        return Outputs(self.heads(x), x, {}, present, fused.attention)
