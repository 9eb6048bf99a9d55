"""SSE-FT: transformers over self-supervised embeddings of words, voice and face, in widths of their own; and the "BERT-like"
pairs that fuse two class tokens.

Siriwardhana et al. 2020, IEEE Access 8, "Multimodal emotion recognition with transformer-based self supervised feature
fusion" (SSE-FT), and Interspeech 2020, "Jointly fine-tuning BERT-like self supervised models to improve multimodal speech
emotion recognition" (arXiv 2008.06682).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Batch, Tokens
from merkit.data.table import TokenColumn
from merkit.errors import ConfigError
from merkit.models.classifier import Outputs
from merkit.models.dropout import Dropout
from merkit.models.inter_modal import InterModalStack
from merkit.models.ragged import RaggedEncoder, RaggedRows
from merkit.models.readout import LabelHeads
from merkit.models.streams import Standardise, drop_modalities, over_clips
from merkit.schema import TargetSpec

__all__ = ["SSEFT", "ModalityStage"]

Cls = Literal["learned", "first", "mean"]


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Tokens of one modality for `B` clips, without padding.

    `x (R, D)`, `clip (R,)`, `place (R,)` among the clip's tokens, `turn (R,)` relative to the clip's own, `own (R,)` bool.
    """

    x: Tensor
    clip: Tensor
    place: Tensor
    turn: Tensor
    own: Tensor


class ModalityStage(nn.Module):
    """One modality before it meets the others: class token, positions, LayerNorm, dropout, self-attention.

    Args:
        dim: width of its features.
        width: `D_m`; 0 keeps `dim`, as published.
        cls: the class token: `learned` and put in front; the `first` token, where the encoder has made one (RoBERTa's
            `<s>`); or the `mean` of the clip's own tokens.
        layers: of self-attention; 0 = none.
        heads: 0 = as many as divide `D_m`, at most four.
        feedforward: inner width.
        dropout: on embeddings and within layers.
        attention_dropout: on attention weights.
        max_positions: places with a code of their own; later ones share the last.
        farthest: turns of the dialogue on either side with a code of their own.

    Example:
        >>> stage = ModalityStage(6, layers=1, feedforward=8).eval()
        >>> rows = _Rows(torch.randn(3, 6), torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), torch.zeros(3, dtype=torch.int64),
        ...     torch.ones(3, dtype=torch.bool))
        >>> cls, x, clip = stage(rows, 2)
        >>> cls.shape, x.shape, clip.tolist()
        (torch.Size([2, 6]), torch.Size([5, 6]), [0, 1, 0, 0, 1])
    """

    def __init__(
        self,
        dim: int,
        *,
        width: int = 0,
        cls: Cls = "learned",
        layers: int = 2,
        heads: int = 0,
        feedforward: int = 0,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        max_positions: int = 512,
        farthest: int = 0,
    ) -> None:
        super().__init__()
        self.scale = Standardise(dim)
        self.width = width or dim
        self.inward = nn.Linear(dim, width) if width else nn.Identity()
        self.cls = cls
        # with `first` and `mean`, what stands for a clip whose own tokens are missing
        self.token = nn.Parameter(torch.randn(1, self.width) * 0.02)
        self.position = nn.Embedding(max_positions, self.width)
        self.turn: Any = nn.Embedding(2 * farthest + 1, self.width) if farthest else None
        for table in (self.position, self.turn):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02)
        self.farthest = farthest
        self.norm, self.dropout = nn.LayerNorm(self.width), Dropout(dropout)
        self.encoder = RaggedEncoder(
            self.width,
            layers,
            heads=heads,
            feedforward=feedforward,
            dropout=dropout,
            attention_dropout=attention_dropout,
            activation="gelu",
        )

    def forward(self, rows: _Rows, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """`cls (B, D_m)`, all tokens `(R', D_m)`, a learned class token of every clip first, and the clip of each `(R',)`."""
        x = self.inward(self.scale(rows.x)) + self.position(rows.place.clamp_max(self.position.num_embeddings - 1))
        if self.turn is not None:
            x = x + self.turn(rows.turn.clamp(-self.farthest, self.farthest) + self.farthest)
        clip = rows.clip
        if self.cls == "learned":
            everyone = torch.arange(size, device=clip.device)
            x, clip = torch.cat([self.token.expand(size, -1), x]), torch.cat([everyone, clip])
        x = self.dropout(self.norm(x))
        if len(self.encoder.layers) and len(x):
            every = torch.arange(len(x), device=x.device)
            x, _ = self.encoder(x, RaggedRows.of(clip, every, self.width))
        return self._cls(x, rows, size), x, clip

    def _cls(self, x: Tensor, rows: _Rows, size: int) -> Tensor:
        if self.cls == "learned":
            return x[:size]
        kept = rows.own & (rows.place == 0) if self.cls == "first" else rows.own
        count = torch.bincount(rows.clip[kept], minlength=size)[:, None]
        total = x.new_zeros(size, self.width).index_add(0, rows.clip[kept], x[kept])
        return torch.where(count > 0, total / count.clamp_min(1), self.token)


class SSEFT(nn.Module):
    """Logits from any subset of modalities, each in its own width.

    Every modality's class token looks at the tokens of each other modality; with `hadamard`, what it finds in them is
    multiplied, element by element (published for three modalities); with `concat`, put side by side (published for two).
    With `none` the class tokens themselves are put side by side: shallow fusion. A modality alone answers from its class
    token. Where a clip lacks a modality, the others do without it.

    Args:
        widths: modality -> width of its features.
        specs: the questions.
        cls: modality -> how its class token comes about; `learned` where it is not named.
        self_layers: modality -> layers of self-attention; `layers` where it is not named. Published: none for text.
        layers: see `self_layers`.
        cross_layers: of every inter-modal stack.
        inter: `hadamard`, `concat` or `none`.
        head: `tanh`: dropout, Linear, tanh, dropout, Linear; `linear`: dropout, Linear.
        width: width of all modalities; 0 keeps their own.
        heads: of attention; 0 = as many as divide a modality's width, at most four.
        feedforward: inner width of all layers.
        dropout: within.
        attention_dropout: on attention weights.
        head_dropout: in the head.
        max_positions: see `ModalityStage`.
        farthest: turns of dialogue on either side that have a code; the tokens of the turns around a clip then join its
            own, where the batch brings context. 0 = a clip stands alone.
        modality_dropout: probability, in training, that a modality that is there is taken from a clip; never the last one. The
            product of what is found in two others is another quantity than what is found in one: a model that never saw a
            modality missing answers such clips badly.
        encoders: modality -> module, `Tokens (R, T, F)` -> `Tokens (R, T', D)`, to be trained along (`merkit.models.tuned`,
            `merkit.models.unit_encoder`). Its width is what `widths` says.

    Raises:
        ConfigError: an unknown modality is named.

    Example:
        >>> spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
        >>> model = SSEFT({"text": 8, "speech": 6, "face": 4}, [spec], feedforward=16).eval()
        >>> batch = Batch(("a",), 1, {name: Tokens(torch.randn(1, 1, 3, d), torch.ones(1, 1, 3) > 0)
        ...     for name, d in (("text", 8), ("speech", 6), ("face", 4))})
        >>> model(batch)["emotion"].shape, model.outputs(batch).embedding.shape
        (torch.Size([1, 2]), torch.Size([1, 18]))
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        specs: Sequence[TargetSpec],
        *,
        cls: Mapping[str, Cls] | None = None,
        self_layers: Mapping[str, int] | None = None,
        layers: int = 2,
        cross_layers: int = 2,
        inter: Literal["hadamard", "concat", "none"] = "hadamard",
        head: Literal["tanh", "linear"] = "tanh",
        width: int = 0,
        heads: int = 0,
        feedforward: int = 1024,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        head_dropout: float = 0.1,
        max_positions: int = 512,
        farthest: int = 0,
        modality_dropout: float = 0.0,
        encoders: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        cls, self_layers, encoders = cls or {}, self_layers or {}, encoders or {}
        for what, named in (("cls", cls), ("self_layers", self_layers), ("encoders", encoders)):
            if unknown := set(named) - set(widths):
                raise ConfigError(f"{what} names {', '.join(sorted(unknown))}; the modalities are {', '.join(widths)}")
        self.specs, self.modalities, self.farthest = tuple(specs), tuple(widths), farthest
        self.inter, self.modality_dropout = inter if len(widths) > 1 else "none", modality_dropout
        self.encoders: Any = nn.ModuleDict(dict(encoders))
        layer: dict[str, Any] = {
            "heads": heads,
            "feedforward": feedforward,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
        }
        self.stages: Any = nn.ModuleDict(
            {
                name: ModalityStage(
                    dim,
                    width=width,
                    cls=cls.get(name, "learned"),
                    layers=self_layers.get(name, layers),
                    max_positions=max_positions,
                    farthest=farthest,
                    **layer,
                )
                for name, dim in widths.items()
            }
        )
        self.stacks: Any = nn.ModuleDict()
        if self.inter != "none":
            for one in widths:
                for other in widths:
                    if one != other:
                        stack = InterModalStack(self.stages[one].width, self.stages[other].width, cross_layers, **layer)
                        self.stacks[f"{one}_to_{other}"] = stack
        sizes = [self.stages[name].width for name in widths]
        copies = len(widths) - 1 if self.inter == "concat" else 1
        self.width = sum(sizes) * copies
        self.dropout = Dropout(head_dropout)
        self.hidden = nn.Linear(self.width, self.width) if head == "tanh" else None
        self.heads = LabelHeads(self.width, specs)

    def fit_standardiser(self, streams: Mapping[str, TokenColumn]) -> None:
        """Sets each modality's centre and scale from the tokens of the TRAINING part; what an encoder reads stays as it is."""
        for name, stage in self.stages.items():
            if name not in self.encoders:
                stage.scale.fit(streams[name].x)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """target -> logits `(B, K)`."""
        return dict(self.outputs(batch).logits)

    def outputs(self, batch: Batch) -> Outputs:
        """Logits, the fused vector before the head `(B, E)`, and which modalities took part `(B,)`."""
        if missing := [name for name in self.modalities if name not in batch.tokens]:
            raise ConfigError(f"the batch has no {', '.join(missing)}; it has {', '.join(batch.tokens) or 'nothing'}")
        size = batch.size
        cls, memory, present = {}, {}, {}
        streams = {name: over_clips(batch.tokens[name]) for name in self.modalities}
        if self.training and self.modality_dropout:
            streams = drop_modalities(streams, self.modality_dropout)
        for name in self.modalities:
            rows = self._rows(name, streams[name], batch)
            present[name] = torch.bincount(rows.clip, minlength=size) > 0
            cls[name], x, clip = self.stages[name](rows, size)
            order = clip.argsort(stable=True)  # clip after clip, each with its class token first
            memory[name] = (x[order], clip[order])
        fused = torch.cat([part for name in self.modalities for part in self._part(name, cls, memory, present)], 1)
        x = self.dropout(fused)
        if self.hidden is not None:
            x = self.dropout(torch.tanh(self.hidden(x)))
        return Outputs(self.heads(x), fused, {}, present, {})

    def _part(
        self,
        name: str,
        cls: Mapping[str, Tensor],
        memory: Mapping[str, tuple[Tensor, Tensor]],
        present: Mapping[str, Tensor],
    ) -> list[Tensor]:
        """What one modality brings to the head; zeros where a clip lacks it."""
        own, here = cls[name], present[name][:, None]
        others = [other for other in self.modalities if other != name]
        if self.inter == "none":
            return [own * here]
        found = [self.stacks[f"{name}_to_{other}"](own, *memory[other]) for other in others]
        if self.inter == "concat":
            return [torch.where(present[other][:, None], x, own) * here for other, x in zip(others, found, strict=True)]
        product, met = torch.ones_like(own), torch.zeros_like(here)
        for other, x in zip(others, found, strict=True):
            product = product * torch.where(present[other][:, None], x, 1.0)
            met = met | present[other][:, None]
        return [torch.where(met, product, own) * here]

    def _rows(self, name: str, tokens: Tokens, batch: Batch) -> _Rows:
        """The tokens of each clip, and with context those of the turns around it."""
        if name in self.encoders:
            tokens = self.encoders[name](tokens)
        x, mask = tokens.x, tokens.mask
        if not self.farthest or batch.context is None or batch.position is None:
            x, mask = x[: batch.size], mask[: batch.size]
            clip, step = mask.nonzero(as_tuple=True)
            turn = torch.zeros_like(clip)
        else:
            seen = (batch.context >= 0)[..., None] & mask[batch.context.clamp_min(0)]  # (B, C, T)
            clip, column, step = seen.nonzero(as_tuple=True)
            row = batch.context[clip, column]
            turn = batch.position[clip, column]
            place = mask.cumsum(1) - 1
            return _Rows(x[row, step], clip, place[row, step], turn, turn == 0)
        place = mask.cumsum(1) - 1
        return _Rows(x[mask], clip, place[mask], turn, torch.ones_like(clip, dtype=torch.bool))
