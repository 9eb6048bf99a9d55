"""SSE-FT as a tracer can follow it: padded tokens in place of rows of all clips in one tensor."""

from dataclasses import dataclass

import torch
from torch import Tensor

from merkit.data.batch import Batch
from merkit.export.twins.attention import look, within
from merkit.models.classifier import Outputs
from merkit.models.pooling import hide
from merkit.models.sse_ft import SSEFT, ModalityStage
from merkit.models.streams import over_clips

__all__ = ["TracedSSEFT"]


@dataclass(frozen=True, slots=True, eq=False)
class _Padded:
    """`x (B, T, D)`, `mask`, `place`, `turn` and `own (B, T)`."""

    x: Tensor
    mask: Tensor
    place: Tensor
    turn: Tensor


class TracedSSEFT(SSEFT):
    """`SSEFT`, padded."""

    def outputs(self, batch: Batch) -> Outputs:
        """Logits, the fused vector and who took part."""
        cls, memory, present = {}, {}, {}
        for name in self.modalities:
            rows = self._padded(name, batch)
            present[name] = rows.mask.any(1)
            cls[name], x, mask = _staged(self.stages[name], rows)
            memory[name] = (x, mask)
        fused = torch.cat([part for name in self.modalities for part in self._brought(name, cls, memory, present)], 1)
        x = fused if self.hidden is None else torch.tanh(self.hidden(fused))
        return Outputs(self.heads(x), fused, {}, present, {})

    def _padded(self, name: str, batch: Batch) -> _Padded:
        tokens = over_clips(batch.tokens[name])
        if name in self.encoders:
            tokens = self.encoders[name](tokens)
        x, mask = hide(tokens.x, tokens.mask), tokens.mask
        place = (mask.long().cumsum(1) - 1).clamp_min(0)
        context, position = batch.context, batch.position
        if not self.farthest or context is None or position is None:
            size = batch.size
            return _Padded(x[:size], mask[:size], place[:size], torch.zeros_like(place[:size]))
        at = context.clamp_min(0)
        seen = (context >= 0)[..., None] & mask[at]  # (B, C, T)
        turn = position[..., None].expand(-1, -1, mask.shape[1])
        return _Padded(x[at].flatten(1, 2), seen.flatten(1), place[at].flatten(1), turn.flatten(1))

    def _brought(
        self,
        name: str,
        cls: dict[str, Tensor],
        memory: dict[str, tuple[Tensor, Tensor]],
        present: dict[str, Tensor],
    ) -> list[Tensor]:
        own, here = cls[name], present[name][:, None]
        others = [other for other in self.modalities if other != name]
        if self.inter == "none":
            return [own * here]
        found = [look(self.stacks[f"{name}_to_{other}"], own, *memory[other]) for other in others]
        if self.inter == "concat":
            return [torch.where(present[other][:, None], x, own) * here for other, x in zip(others, found, strict=True)]
        product, met = torch.ones_like(own), torch.zeros_like(here)
        for other, x in zip(others, found, strict=True):
            product = product * torch.where(present[other][:, None], x, 1.0)
            met = met | present[other][:, None]
        return [torch.where(met, product, own) * here]


def _staged(stage: ModalityStage, rows: _Padded) -> tuple[Tensor, Tensor, Tensor]:
    """Class tokens `(B, D)`, all tokens `(B, T', D)`, a learned class token first, and their mask."""
    x = stage.inward(stage.scale(rows.x)) + stage.position(rows.place.clamp_max(stage.position.num_embeddings - 1))
    if stage.turn is not None:
        x = x + stage.turn(rows.turn.clamp(-stage.farthest, stage.farthest) + stage.farthest)
    mask = rows.mask
    if stage.cls == "learned":
        first = stage.token[None].expand(x.shape[0], 1, -1)
        x, mask = torch.cat([first, x], 1), torch.cat([torch.ones_like(mask.any(1, keepdim=True)), mask], 1)
    x = within(stage.encoder, stage.norm(x), mask)
    if stage.cls == "learned":
        return x[:, 0], x, mask
    own = mask & (rows.turn == 0)
    kept = own & (rows.place == 0) if stage.cls == "first" else own
    count = kept.long().sum(1, keepdim=True)
    mean = hide(x, kept).sum(1) / count.clamp_min(1)
    return torch.where(count > 0, mean, stage.token), x, mask
