"""`FusionModel`, `TensorMixer` and poolings as a tracer can follow them: every person is a row, there or not."""

from collections.abc import Mapping

import torch
from torch import Tensor

from merkit.data.batch import Batch, Tokens
from merkit.models.classifier import FusionModel, Outputs
from merkit.models.pooling import FirstPooling, LastPooling, hide
from merkit.models.streams import over_clips
from merkit.models.tensor_mixer import TensorMixer

__all__ = ["TracedFirstPooling", "TracedFusionModel", "TracedLastPooling", "TracedTensorMixer"]


def _top(tokens: Tokens, size: int) -> Tokens:
    return Tokens(tokens.x[:size], tokens.mask[:size])


class TracedFusionModel(FusionModel):
    """`FusionModel` for rows and persons of any number; logits alone."""

    def outputs(self, batch: Batch) -> Outputs:
        """Logits; embedding and presence of clips."""
        given = {name: batch.tokens[name] for name in self.projections}
        if self.context == "none":
            given = {name: _top(tokens, batch.size) for name, tokens in given.items()}
        streams = {name: layer(Tokens(given[name].x, given[name].mask)) for name, layer in self.projections.items()}
        clips = {name: over_clips(tokens) for name, tokens in streams.items()}
        around = self._around(batch, clips)
        logits: dict[str, Tensor] = {}
        answer: Outputs | None = None
        if any(not spec.per_entity for spec in self.specs):
            answer = self._answer({name: _top(tokens, batch.size) for name, tokens in clips.items()}, around)
            logits |= {spec.name: answer.logits[spec.name] for spec in self.specs if not spec.per_entity}
        if any(spec.per_entity for spec in self.specs):
            rows, there = _persons({name: _top(tokens, batch.size) for name, tokens in streams.items()})
            size, persons = there.shape
            clip = torch.arange(size, device=there.device)[:, None].expand(size, persons).reshape(-1)
            said = self._answer(rows, around.of(clip))
            for spec in self.specs:
                if spec.per_entity:
                    logit = said.logits[spec.name].reshape(size, persons, len(spec.labels))
                    logits[spec.name] = logit.masked_fill(~there[..., None], 0.0)
            answer = answer or said
        assert answer is not None
        return Outputs({spec.name: logits[spec.name] for spec in self.specs}, answer.embedding, {}, answer.present, {})


def _persons(streams: Mapping[str, Tokens]) -> tuple[dict[str, Tokens], Tensor]:
    """Every person as a row, `(B N, T, D)`, and which of them are there `(B, N)`; what is of the clip is everybody's."""
    personal = {name for name, tokens in streams.items() if _several(tokens)}
    own = [streams[name] for name in personal or streams]
    there = own[0].present
    for tokens in own[1:]:
        there = there | tokens.present
    persons = there.shape[1]
    rows = {}
    for name, tokens in streams.items():
        x, mask = tokens.x, tokens.mask
        if name not in personal:
            x, mask = x.expand(-1, persons, -1, -1), mask.expand(-1, persons, -1)
        rows[name] = Tokens(x.flatten(0, 1), mask.flatten(0, 1))
    return rows, there


def _several(tokens: Tokens) -> bool:
    return tokens.x.shape[1] != 1


class TracedTensorMixer(TensorMixer):
    """`TensorMixer` without what only training asks for."""

    def _projected(self, name: str, batch: Batch) -> Tokens:
        tokens = _top(over_clips(batch.tokens[name]), batch.size)
        if name in self.encoders:
            tokens = self.encoders[name](tokens)
        x = hide(tokens.x, tokens.mask)
        if name not in self.encoders:
            x = self.scales[name](x)
        return Tokens(self.projectors[name](x), tokens.mask)

    def _contrast(self, streams: Mapping[str, Tokens]) -> Tensor:
        return next(iter(streams.values())).x.new_zeros(())


class TracedFirstPooling(FirstPooling):
    """`FirstPooling` by a gather."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` to `(B, D)`."""
        at = mask.long().argmax(1)
        return hide(x, mask).gather(1, at[:, None, None].expand(-1, 1, x.shape[2]))[:, 0]


class TracedLastPooling(LastPooling):
    """`LastPooling` by a gather."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` to `(B, D)`."""
        at = (torch.arange(mask.shape[1], device=mask.device) * mask.long()).amax(1)
        return hide(x, mask).gather(1, at[:, None, None].expand(-1, 1, x.shape[2]))[:, 0]
