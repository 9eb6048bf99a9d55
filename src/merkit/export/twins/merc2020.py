"""The networks of MERC2020 as a tracer can follow them: every clip is computed, and the absent ones are replaced afterwards."""

from typing import Any

import torch
from torch import Tensor, nn

from merkit.data.batch import Batch, Tokens
from merkit.export.twins.attention import within
from merkit.export.twins.recurrent import to_front
from merkit.models.classifier import Outputs
from merkit.models.merc2020 import FaceNet, FrameNet, MERC2020Model, SpeechNet, WordNet
from merkit.models.merc2020.face import pictures_of
from merkit.models.merc2020.words import sinusoids
from merkit.models.pooling import hide

__all__ = ["TracedFaceNet", "TracedFrameNet", "TracedMERC2020", "TracedSpeechNet", "TracedWordNet"]

_STRIDE = 32


class TracedMERC2020(MERC2020Model):
    """`MERC2020Model`; answers alone."""

    def outputs(self, batch: Batch) -> Outputs:
        """Logits, the features side by side, who took part."""
        features, said, present = [], {}, {}
        for name, net in self.networks.items():
            tokens = batch.tokens[name]
            tokens = Tokens(tokens.x[: batch.size, 0], tokens.mask[: batch.size, 0])
            present[name] = tokens.present
            feature, logits = net(tokens)
            features.append(feature)
            sizes = [len(spec.labels) for spec in self.asked[name]]
            parts = logits.split(sizes, 1) if sizes else ()
            said[name] = {spec.name: part for spec, part in zip(self.asked[name], parts, strict=True)}
        embedding = torch.cat(features, 1)
        if self.heads is None:
            return Outputs(said[self.mode], embedding, {}, present, {})
        logits = self.heads(embedding) | {spec.name: said[name][spec.name] for name, spec in self.own.items()}
        return Outputs({spec.name: logits[spec.name] for spec in self.specs}, embedding, {}, present, {})


def _answered(net: Any, tokens: Tokens, feature: Tensor) -> tuple[Tensor, Tensor]:
    feature = torch.where(tokens.present[:, None], feature, net.absent)
    return feature, net.head(feature)


class TracedFrameNet(FrameNet):
    """`FrameNet`, padded."""

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """`(B, T, D)` to feature and logits."""
        return _answered(self, tokens, self.encode(hide(tokens.x, tokens.mask), tokens.mask))


class TracedSpeechNet(SpeechNet):
    """`SpeechNet`, padded."""

    def encode(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` to `(B, width)`."""
        x, real = self._centred(x, mask)
        maps = self.backbone.features(x.transpose(1, 2)[:, None])
        columns = maps.mean(2).transpose(1, 2)
        held = nn.functional.pad(real.to(x.dtype), (0, columns.shape[1] * _STRIDE - self.frames))
        return self.recurrent.feature(columns, held.unflatten(1, (-1, _STRIDE)).amax(-1) > 0)

    def _centred(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        count = mask.long().sum(1, keepdim=True)
        spare = self.frames - count
        first = torch.where(spare >= 0, spare // 2, -((-spare) // 2))
        place = torch.arange(self.frames, device=x.device) - first
        real = (place >= 0) & (place < count)
        at = to_front(mask).gather(1, place.clamp_min(0).minimum((count - 1).clamp_min(0)))
        x = hide(x, mask).gather(1, at[..., None].expand(-1, -1, x.shape[2]))
        return x.masked_fill(~real[..., None], self.fill), real

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """`(B, T, D)` to feature and logits."""
        return _answered(self, tokens, self.encode(tokens.x, tokens.mask))


class TracedFaceNet(FaceNet):
    """`FaceNet` with all pictures in one stack."""

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """`(B, T, 3 S S)` to feature and logits."""
        pictures = (pictures_of(tokens.x.flatten(0, 1)) - self.mean) / self.std
        frames = self.backbone(pictures).unflatten(0, (tokens.x.shape[0], tokens.x.shape[1]))
        return _answered(self, tokens, self.recurrent.feature(frames, tokens.mask))


class TracedWordNet(WordNet):
    """`WordNet`, padded."""

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """`(B, T, D)` to feature and logits."""
        mask = tokens.mask
        place = (mask.long().cumsum(1) - 1).clamp_min(0)
        words = self.scale(hide(tokens.x, mask))
        if self.place is not None:
            words = words + self.place(place.clamp_max(self.place.num_embeddings - 1))
        elif self.positions == "sinusoidal":
            words = words + nn.functional.embedding(place, sinusoids(mask.shape[1], self.width).to(words))
        seen = hide(within(self.encoder, words, mask), mask)
        return _answered(self, tokens, seen.sum(1) / mask.long().sum(1, keepdim=True).clamp_min(1))
