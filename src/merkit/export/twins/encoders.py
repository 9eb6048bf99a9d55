"""Encoders that are trained along, as a tracer can follow them: all tokens are computed, real or not."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from merkit.data.batch import Tokens
from merkit.export.twins.attention import within
from merkit.models.physiology import PhysiologyEncoder
from merkit.models.pooling import hide
from merkit.models.unit_encoder import UnitEncoder
from merkit.networks.text_encoder import TextEncoder

__all__ = ["TracedPhysiologyEncoder", "TracedTextEncoder", "TracedUnitEncoder"]


class TracedTextEncoder(TextEncoder):
    """`TextEncoder` that hands its mask on, even where all is real."""

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`(B, T)` ids and mask to `(B, D)`."""
        out = self._run(ids, mask)
        if self.pooling == "pooler":
            pooled = out.pooler_output
        elif self.pooling == "cls":
            pooled = out.last_hidden_state[:, 0]
        elif self.pooling == "last":
            last = (mask.long().sum(1) - 1).clamp_min(0)
            states = out.last_hidden_state
            pooled = states.gather(1, last[:, None, None].expand(-1, 1, states.shape[2]))[:, 0]
        else:
            states = hide(out.last_hidden_state, mask)
            pooled = states.sum(1) / mask.long().sum(1, keepdim=True).clamp_min(1)
        return torch.where(mask.any(1)[:, None], pooled, torch.zeros_like(pooled))

    def _run(self, ids: Tensor, mask: Tensor) -> Any:
        ids = ids.masked_fill(~mask, self.pad_id)
        first = torch.arange(mask.shape[1], device=mask.device)[None] == 0
        return self.backbone(input_ids=ids, attention_mask=(mask | (first & ~mask.any(1, keepdim=True))).long())


class TracedUnitEncoder(UnitEncoder):
    """`UnitEncoder`, padded."""

    def forward(self, tokens: Tokens) -> Tokens:
        """Ids `(R, T, 1)` to states `(R, T + 1, D)`, a class token first."""
        mask = tokens.mask
        ids = tokens.x[..., 0].masked_fill(~mask, 0.0).long()
        x = torch.cat([self.begin[None].expand(ids.shape[0], 1, -1), self.unit(ids)], 1)
        place = torch.cat([torch.zeros_like(ids[:, :1]), mask.long().cumsum(1)], 1)
        x = self.norm(x + self.position(place.clamp_max(self.position.num_embeddings - 1)))
        real = torch.cat([mask.any(1, keepdim=True), mask], 1)
        return Tokens(hide(within(self.encoder, x, real), real), real)


class TracedPhysiologyEncoder(PhysiologyEncoder):
    """`PhysiologyEncoder` over every channel of every token."""

    def forward(self, tokens: Tokens) -> Tokens:
        """`(…, T, D)` raw windows to states."""
        x = hide(tokens.x, tokens.mask)
        there = x[..., -len(self.samples) :] > 0.5
        states = []
        for i, (name, part) in enumerate(zip(self.samples, self.measured, strict=True)):
            values = (x[..., part.columns] - self.centre[i]) / self.scale[i]
            made = self.channels[name](values.flatten(0, -2)).unflatten(0, x.shape[:-1])
            states.append(torch.where(there[..., i, None], made, self.absent[name]))
        total = torch.stack(states).sum(0)
        mask = tokens.mask & there.any(-1)
        return Tokens(hide(self.out(F.gelu(self.norm(total))), mask), mask)
