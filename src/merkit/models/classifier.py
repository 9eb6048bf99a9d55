"""The model that all studies train: streams, dialogue context, fusion, one head a target.

Its parts in order: each modality is standardised and projected to one width; in training whole modalities are dropped;
the dialogue around the clip joins, either as one more token of each modality (`streams`) or after fusion (`fused`);
the fusion makes one vector a row (and one a label, in families that do); heads make logits. Targets asked per entity
run through the same parts with every entity as a row of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.batch import Batch, Tokens
from merkit.data.table import TokenColumn
from merkit.errors import ConfigError
from merkit.models.context import DialogueContext, StreamContext
from merkit.models.dropout import Dropout
from merkit.models.fusion.contract import Fused, Fusion
from merkit.models.fusion.families import build_fusion
from merkit.models.readout import LabelHeads, UnimodalHeads
from merkit.models.streams import StreamProjection, drop_modalities, joined, over_clips, over_entities, rows_of
from merkit.schema import TargetSpec

__all__ = ["FusionModel", "Outputs"]


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """Everything a model has to say about a batch.

    Args:
        logits: target -> `(B, K)`, or `(B, N, K)` where it is asked per entity (zeros for entities that are not there).
        embedding: what the heads see: `(B, E)`; `(B, N, E)` where all targets are per entity.
        auxiliary: modality -> target -> logits from that modality alone; empty without auxiliary heads.
        present: modality -> `(B,)` bool, whether it took part; `(B, N)` where all targets are per entity.
        attention: name -> `(B, …)` what the fusion looked at, in evaluation mode, for clip-level targets.
    """

    logits: Mapping[str, Tensor]
    embedding: Tensor
    auxiliary: Mapping[str, Mapping[str, Tensor]]
    present: Mapping[str, Tensor]
    attention: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class _Around:
    """What the dialogue adds: one more token of each modality, or one vector after fusion."""

    tokens: Mapping[str, Tokens] | None = None
    x: Tensor | None = None

    def of(self, clip: Tensor) -> "_Around":
        """The same for the clips that entities belong to."""
        tokens = self.tokens and {
            name: Tokens(beside.x[clip], beside.mask[clip]) for name, beside in self.tokens.items()
        }
        return _Around(tokens, None if self.x is None else self.x[clip])


class FusionModel(nn.Module):
    """Logits for every target from whichever modalities a clip has.

    Args:
        widths: modality -> width of its features.
        specs: the questions; their `K` are the logits' width (regression: the values themselves).
        fusion: a name in `FUSIONS`, or a class of your own (see `Fusion`).
        fusion_params: the family's own parameters.
        width: size that every modality is projected to and that the fusion works in.
        pooling: how tokens become one vector, where one is needed; a name in `POOLINGS`.
        hidden: width of a layer between fusion and heads; 0 leaves it out.
        dropout: in fusion, context and before the heads.
        modality_dropout: probability, in training, that a present modality is taken from a row; never the last one.
        input_dropout: on the standardised features.
        context: `none`, `streams` or `fused`: where the dialogue around the clip joins. A batch without context is
            answered as clips that stand alone.
        context_kind: `gru`, `lstm` or `attention`.
        auxiliary: `outputs` also says what each modality alone answers, for multi-task training.
        late: the unimodal logits are added to the joint ones; absent modalities add nothing.
        encoders: modality -> module in place of its projection, `Tokens (R, N, T, F)` -> `Tokens (R, N, T, width)`, with
            `fit` (see `merkit.models.physiology.PhysiologyEncoder`).

    Raises:
        ConfigError: an unknown family, pooling or context, a parameter that the family does not have, or an encoder of what
            is not there or of another width.

    Example:
        >>> emotion = TargetSpec("emotion", "single_label", ("joy", "anger", "neutral"))
        >>> model = FusionModel({"text": 8, "speech": 5}, [emotion], width=16).eval()
        >>> batch = Batch(("a",), 1, {"text": Tokens(torch.randn(1, 1, 4, 8), torch.ones(1, 1, 4) > 0),
        ...     "speech": Tokens(torch.zeros(1, 1, 1, 5), torch.zeros(1, 1, 1) > 0)})
        >>> model(batch)["emotion"].shape
        torch.Size([1, 3])
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        specs: Sequence[TargetSpec],
        *,
        fusion: str | Callable[..., Fusion] = "concat",
        fusion_params: Mapping[str, Any] | None = None,
        width: int = 64,
        pooling: str = "mean",
        hidden: int = 0,
        dropout: float = 0.2,
        modality_dropout: float = 0.0,
        input_dropout: float = 0.0,
        context: Literal["none", "streams", "fused"] = "none",
        context_kind: Literal["gru", "lstm", "attention"] = "gru",
        auxiliary: bool = False,
        late: bool = False,
        encoders: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if not widths or not specs:
            raise ConfigError("a model needs at least one modality and one target")
        for name in widths:
            # names become attributes of modules
            if "." in name or hasattr(nn.ModuleDict, name):
                raise ConfigError(f"modality {name!r} cannot be called so; leave out dots and the words of torch.nn")
        if context not in ("none", "streams", "fused"):
            raise ConfigError(f"context is {context!r}; it can be none, streams or fused")
        encoders = encoders or {}
        if unknown := [name for name, module in encoders.items() if name not in widths or module.width != width]:
            raise ConfigError(f"encoders of {', '.join(unknown)}: no such modality, or its states are not {width} wide")
        self.specs = tuple(specs)
        self.context, self.modality_dropout = context, modality_dropout
        self.auxiliary, self.late = auxiliary, late
        self.projections: Any = nn.ModuleDict(
            {name: encoders.get(name) or StreamProjection(dim, width, input_dropout) for name, dim in widths.items()}
        )
        self.fusion: Any = build_fusion(
            fusion,
            dict.fromkeys(widths, width),
            width=width,
            labels=sum(len(spec.labels) for spec in specs),
            dropout=dropout,
            pooling=pooling,
            params=fusion_params or {},
        )
        fused = self.fusion.width
        self.dialogue: Any = None
        if context == "streams":
            self.dialogue = nn.ModuleDict(
                {name: StreamContext(width, pooling=pooling, kind=context_kind, dropout=dropout) for name in widths}
            )
        elif context == "fused":
            self.dialogue = DialogueContext(fused, kind=context_kind, dropout=dropout)
        self.hidden: Any = nn.Linear(fused, hidden) if hidden else None
        self.dropout = Dropout(dropout)
        self.heads = LabelHeads(hidden or fused, specs)
        self.unimodal: Any = UnimodalHeads(list(widths), width, specs, pooling) if auxiliary or late else None

    def fit_standardiser(self, streams: Mapping[str, TokenColumn]) -> None:
        """Sets each modality's centre and scale from the tokens of the TRAINING part."""
        for name, layer in self.projections.items():
            layer.fit(streams[name].x)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """target -> logits `(B, K)` (`(B, N, K)` per entity)."""
        return dict(self.outputs(batch).logits)

    def outputs(self, batch: Batch) -> Outputs:
        """Logits and all that belongs to them.

        Raises:
            ConfigError: the batch lacks a modality of this model (as opposed to clips that lack it: those are masked), or
                persons are asked about and no stream is of persons.
        """
        missing = [name for name in self.projections if name not in batch.tokens]
        if missing:
            raise ConfigError(f"the batch has no {', '.join(missing)}; it has {', '.join(batch.tokens) or 'nothing'}")
        size = batch.size if self.context == "none" else len(batch.ids)
        streams = {name: layer(rows_of(batch.tokens[name], size)) for name, layer in self.projections.items()}
        clips = self._dropped({name: over_clips(tokens) for name, tokens in streams.items()})
        around = self._around(batch, clips)

        answers = []
        if any(not spec.per_entity for spec in self.specs):
            answers.append(self._answer({name: rows_of(tokens, batch.size) for name, tokens in clips.items()}, around))
        if any(spec.per_entity for spec in self.specs):
            asked = [
                len(batch.targets[spec.name][0])
                for spec in self.specs
                if spec.per_entity and spec.name in batch.targets
            ]
            if asked and asked[0] > 1 and all(tokens.x.shape[1] == 1 for tokens in streams.values()):
                raise ConfigError(
                    f"{', '.join(streams)}: no stream of persons to answer from, and targets ask about each"
                )
            folded, there = over_entities({name: rows_of(tokens, batch.size) for name, tokens in streams.items()})
            answers.append(_unfold(self._answer(self._dropped(folded), around.of(there.nonzero()[:, 0])), there))
        wanted = {spec.name: answers[-1 if spec.per_entity else 0] for spec in self.specs}
        return replace(
            answers[0],
            logits={name: answer.logits[name] for name, answer in wanted.items()},
            auxiliary={
                modality: {name: answer.auxiliary[modality][name] for name, answer in wanted.items()}
                for modality in answers[0].auxiliary
            },
        )

    def _dropped(self, streams: Mapping[str, Tokens]) -> Mapping[str, Tokens]:
        if self.training and self.modality_dropout:
            return drop_modalities(streams, self.modality_dropout)
        return streams

    def _around(self, batch: Batch, clips: Mapping[str, Tokens]) -> _Around:
        """What the turns of the dialogue say, from all `R` rows."""
        if self.context == "none":
            return _Around()
        context, position = batch.context, batch.position
        if context is None or position is None:
            context = torch.arange(batch.size, device=next(iter(clips.values())).x.device)[:, None]
            position = torch.zeros_like(context)
        if self.context == "streams":
            return _Around({name: layer(clips[name], context, position) for name, layer in self.dialogue.items()})
        present = torch.stack([tokens.present for tokens in clips.values()]).any(0)
        return _Around(x=self.dialogue(self.fusion(clips).x, present, context, position))

    def _answer(self, streams: Mapping[str, Tokens], around: _Around) -> Outputs:
        """Answers for rows of one kind, clips or entities, with tokens `(F, T, D)`."""
        if around.tokens is not None:
            streams = {name: joined(tokens, around.tokens[name]) for name, tokens in streams.items()}
        fused: Fused = self.fusion(streams)
        x, per_label = fused.x, fused.per_label
        if around.x is not None:
            x = x + around.x
            per_label = None if per_label is None else per_label + around.x[:, None]
        if self.hidden is not None:
            x = F.gelu(self.hidden(x))
            per_label = None if per_label is None else F.gelu(self.hidden(per_label))
        logits = self.heads(self.dropout(x), None if per_label is None else self.dropout(per_label))
        alone = {} if self.unimodal is None else self.unimodal(streams)
        if self.late:
            logits = {name: sum((said[name] for said in alone.values()), logit) for name, logit in logits.items()}
        present = {name: tokens.present for name, tokens in streams.items()}
        return Outputs(logits, x, alone if self.auxiliary else {}, present, fused.attention)


def _unfold(answer: Outputs, there: Tensor) -> Outputs:
    """Entity rows `(F, …)` back to `(B, N, …)`, zeros where `there (B, N)` is False."""

    def unfolded(x: Tensor) -> Tensor:
        out = x.new_zeros(*there.shape, *x.shape[1:])
        out[there] = x
        return out

    return Outputs(
        {name: unfolded(logit) for name, logit in answer.logits.items()},
        unfolded(answer.embedding),
        {modality: {name: unfolded(x) for name, x in said.items()} for modality, said in answer.auxiliary.items()},
        {name: unfolded(present) for name, present in answer.present.items()},
        {name: unfolded(weight) for name, weight in answer.attention.items()},
    )
