"""EmoTx and its baselines as a tracer can follow them: one padded sequence a scene, whoever is there."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.batch import Batch, Tokens
from merkit.export.twins.attention import within
from merkit.models.classifier import Outputs
from merkit.models.emotx import LEVELS, EmoTx, time_bins
from merkit.models.pooling import hide
from merkit.models.scene_baselines import MaxPoolMLP, SingleStreamModel, SingleTransformer

__all__ = ["TracedEmoTx", "TracedSingleStream"]

# what a stream's tokens are told to be
_CODES = {"scene": "scene", "face": "character", "text": "text", "lines": "lines"}


def _there(batch: Batch, streams: tuple[str, ...]) -> Tensor:
    """`(B, N)` who has a token."""
    own = [batch.tokens[name].mask[: batch.size].any(-1) for name in streams if LEVELS[name] == "character"]
    if not own:
        return torch.zeros_like(batch.tokens[streams[0]].mask[: batch.size, :1, 0])
    there = own[0]
    for present in own[1:]:
        there = there | present
    return there


def _bins(tokens: Tokens, mask: Tensor, size: int, bin_s: float, latest: int) -> Tensor:
    if tokens.times is None:
        return (mask.long().cumsum(-1) - 1).clamp(0, latest - 1)
    return time_bins(tokens.times[:size].masked_fill(~mask, 0.0), bin_s)


class TracedEmoTx(EmoTx):
    """`EmoTx`, padded; logits alone."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """target -> logits."""
        return dict(self.outputs(batch).logits)

    def outputs(self, batch: Batch) -> Outputs:
        """Logits, the mean of what the queries found, who took part."""
        size, there = batch.size, _there(batch, self.streams)
        asking = torch.ones_like(there) if self.absent_queries else there
        persons = there.shape[1]
        parts, masks = [], []
        if "scene" in self.query:
            query = self.query["scene"] + self.codes["scene"]
            parts.append(query.expand(there.shape[0], -1, -1))
            masks.append(torch.ones_like(there[:, :1]).expand(-1, query.shape[0]))
        if "character" in self.query:
            query = self.query["character"] + self.codes["character"]
            own = self._code(persons, there.device)[:, None] + query  # (N, K, D)
            parts.append(own.flatten(0, 1).expand(there.shape[0], -1, -1))
            masks.append(asking[..., None].expand(-1, -1, query.shape[0]).flatten(1))
        asked = sum(part.shape[1] for part in parts)
        for name in self.looks:
            x, mask = self._stream(name, batch.tokens[name], size)
            parts.append(x)
            masks.append(mask)
        mask = torch.cat(masks, 1)
        answers = within(self.encoder, self.norm(torch.cat(parts, 1)), mask)[:, :asked]
        real = mask[:, :asked]
        embedding = hide(answers, real).sum(1) / real.long().sum(1, keepdim=True).clamp_min(1)
        present = {name: batch.tokens[name].mask[:size].flatten(1).any(1) for name in self.looks}
        return Outputs(self._read(answers, there), embedding, {}, present, {})

    def _code(self, persons: int, device: torch.device) -> Tensor:
        assert self.character is not None
        return F.embedding(torch.arange(persons, device=device).clamp_max(self.characters - 1), self.character)

    def _stream(self, name: str, tokens: Tokens, size: int) -> tuple[Tensor, Tensor]:
        """`(B, N T, D)` with all codes, and the mask."""
        mask = tokens.mask[:size]
        x = self.projections[name](self.scales[name](hide(tokens.x[:size], mask))) + self.codes[_CODES[name]]
        x = x + F.embedding(_bins(tokens, mask, size, self.bin_s, self.position.table.shape[0]), self.position.table)
        if LEVELS[name] == "character":
            x = x + self._code(mask.shape[1], mask.device)[:, None]
        return x.flatten(1, 2), mask.flatten(1)

    def _read(self, answers: Tensor, there: Tensor) -> dict[str, Tensor]:
        persons, count = there.shape[1], self.labels if self.queries == "labels" else 1
        # one unit a label reads its own query's answer, or all of them the only one's
        groups = answers.unflatten(1, (-1, count))
        if self.queries == "labels":
            logit = (groups * self.head.weight).sum(-1) + self.head.bias
        else:
            logit = self.head(groups[:, :, 0])
        found = {}
        for spec in self.specs:
            if spec.per_entity:
                found[spec.name] = logit[:, logit.shape[1] - persons :] * there[..., None]
            else:
                found[spec.name] = logit[:, 0]
        return found


class TracedSingleStream(SingleStreamModel):
    """`SingleStreamModel`, padded."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """target -> logits."""
        there, found = _there(batch, self.streams), {}
        for spec, network in zip(self.specs, self.networks, strict=True):
            name = self.judged[spec.name]
            tokens = batch.tokens[name]
            mask = tokens.mask[: batch.size]
            x = self.scales[name](hide(tokens.x[: batch.size], mask))
            bins = _bins(tokens, mask, batch.size, self.bin_s, 8192)
            if spec.per_entity:
                logit = _judged(network, x.flatten(0, 1), mask.flatten(0, 1), bins.flatten(0, 1))
                logit = logit.unflatten(0, (there.shape[0], there.shape[1]))
                found[spec.name] = logit.masked_fill(~there[..., None], 0.0)
            else:
                found[spec.name] = _judged(network, x.flatten(1, 2), mask.flatten(1), bins.flatten(1))
        return found


def _judged(network: nn.Module, x: Tensor, mask: Tensor, bins: Tensor) -> Tensor:
    """`(S, T, D)` sequences to `(S, K)`."""
    if isinstance(network, MaxPoolMLP):
        whole = x.masked_fill(~mask[..., None], -torch.inf).amax(1).masked_fill(~mask.any(1)[:, None], 0.0)
        return network.outer(network.activation(network.inner(whole)))
    assert isinstance(network, SingleTransformer)
    tokens = x + F.embedding(bins, network.position.table)
    first = network.token[None].expand(x.shape[0], 1, -1)
    real = torch.cat([torch.ones_like(mask[:, :1]), mask], 1)
    return network.head(within(network.encoder, torch.cat([first, tokens], 1), real)[:, 0])
