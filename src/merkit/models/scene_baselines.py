"""What EmoTx is measured against: each stream on its own, by a small transformer or by maximum and two linear layers.

Srivastava et al. 2023, section 4.2, "MLP" and "single Tx": the scene is judged from one stream and a character from
another; nobody sees anything else.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Batch, Tokens
from merkit.data.table import TokenColumn
from merkit.errors import ConfigError
from merkit.models.attention import PositionCode, fitting_heads
from merkit.models.classifier import Outputs
from merkit.models.dropout import Dropout
from merkit.models.emotx import BIN_S, LEVELS, Level, time_bins, who_is_there
from merkit.models.ragged import RaggedEncoder, RaggedRows
from merkit.models.streams import Standardise
from merkit.schema import TargetSpec

__all__ = ["MaxPoolMLP", "SingleStreamModel", "SingleTransformer"]

_LATEST_BIN = 8192


class MaxPoolMLP(nn.Module):
    """The maximum over a sequence's tokens, `Linear(D, hidden)`, `Linear(hidden, K)`; nothing in between, as published.

    Args:
        dim: `D`.
        labels: `K`.
        hidden: width in the middle.
        activation: `none`, or `relu` between the two layers.

    Example:
        >>> net = MaxPoolMLP(3, 2, hidden=8).eval()
        >>> net(torch.randn(5, 3), torch.tensor([0, 0, 0, 2, 2]), torch.zeros(5), 3).shape
        torch.Size([3, 2])
    """

    def __init__(
        self, dim: int, labels: int, *, hidden: int = 1024, activation: Literal["none", "relu"] = "none"
    ) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(dim, hidden), nn.Linear(hidden, labels)
        self.activation = nn.ReLU() if activation == "relu" else nn.Identity()

    def forward(self, x: Tensor, sequence: Tensor, bins: Tensor, count: int) -> Tensor:
        """`(R, D)` tokens of `count` sequences to `(count, K)`; a sequence without tokens is all zeros."""
        whole = x.new_zeros(count, x.shape[1])
        whole = whole.scatter_reduce(0, sequence[:, None].expand_as(x), x, "amax", include_self=False)
        return self.outer(self.activation(self.inner(whole)))


class SingleTransformer(nn.Module):
    """A class token and the tokens of one stream, time codes with dropout, one encoder layer, `Linear(D, K)`.

    Args:
        dim: `D`, the width of the features.
        labels: `K`.
        feedforward: inner width.
        dropout: within the layer.
        code_dropout: after the time codes, .5 as published.

    Example:
        >>> net = SingleTransformer(8, 2, feedforward=8).eval()
        >>> net(torch.randn(3, 8), torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), 2).shape
        torch.Size([2, 2])
    """

    def __init__(
        self, dim: int, labels: int, *, feedforward: int = 2048, dropout: float = 0.1, code_dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, dim))
        self.position = PositionCode(dim, _LATEST_BIN)
        self.dropout = Dropout(code_dropout)
        heads = 8 if dim % 8 == 0 else fitting_heads(dim, 0, "single transformer")
        self.encoder = RaggedEncoder(dim, 1, heads=heads, feedforward=feedforward, dropout=dropout)
        self.head = nn.Linear(dim, labels)

    def forward(self, x: Tensor, sequence: Tensor, bins: Tensor, count: int) -> Tensor:
        """`(R, D)` tokens of `count` sequences, in time bins `(R,)`, to `(count, K)`."""
        tokens = self.dropout(x + self.position.table[bins])
        owners = torch.arange(count, device=x.device)
        rows = RaggedRows.of(torch.cat([owners, sequence]), owners, x.shape[1])
        return self.head(self.encoder(torch.cat([self.token.expand(count, -1), tokens]), rows)[0])


class SingleStreamModel(nn.Module):
    """One network for the scene from one stream, and one for characters from another.

    Args:
        widths: stream -> width of its features. The first stream of a level, in this order, is the one that is judged;
            the others only tell who is there.
        specs: one multi-label target of the scene, one per entity, or both.
        kind: `transformer` or `mlp`.
        looks: streams that may be judged; the others only tell who is there. None = all.
        bin_s: seconds that share a time code.
        options: of `SingleTransformer` or `MaxPoolMLP`.

    Raises:
        ConfigError: a target whose level has no stream.

    Example:
        >>> spec = TargetSpec("scene", "multi_label", ("happy", "calm"))
        >>> model = SingleStreamModel({"text": 8}, [spec], kind="mlp").eval()
        >>> model(Batch(("a",), 1, {"text": Tokens(torch.randn(1, 1, 3, 8), torch.ones(1, 1, 3) > 0)}))["scene"].shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        specs: Sequence[TargetSpec],
        *,
        kind: Literal["transformer", "mlp"] = "transformer",
        looks: Sequence[str] | None = None,
        bin_s: float = BIN_S,
        **options: object,
    ) -> None:
        super().__init__()
        if unknown := set(widths) - set(LEVELS):
            raise ConfigError(f"there are the streams {', '.join(LEVELS)}, not {', '.join(sorted(unknown))}")
        self.specs, self.streams = tuple(specs), tuple(widths)
        network = {"transformer": SingleTransformer, "mlp": MaxPoolMLP}[kind]
        self.judged: dict[str, str] = {}
        for spec in specs:
            level: Level = "character" if spec.per_entity else "scene"
            own = [name for name in widths if LEVELS[name] == level and (looks is None or name in looks)]
            if not own:
                raise ConfigError(f"target {spec.name} is asked of a {level}, and there is no stream of one")
            self.judged[spec.name] = own[0]
        self.bin_s = bin_s
        self.scales = nn.ModuleDict({name: Standardise(widths[name]) for name in dict.fromkeys(self.judged.values())})
        self.networks = nn.ModuleList(
            [network(widths[self.judged[spec.name]], len(spec.labels), **options) for spec in specs]  # ty: ignore[invalid-argument-type]
        )

    def fit_standardiser(self, streams: Mapping[str, TokenColumn]) -> None:
        """Sets each stream's centre and scale from the tokens of the TRAINING part."""
        for name, layer in self.scales.items():
            assert isinstance(layer, Standardise)
            layer.fit(streams[name].x)

    @torch.no_grad()
    def shift_logits(self, by: Tensor) -> None:
        """Adds `(K,)` to what every answer begins with."""
        for network in self.networks:
            last = network.outer if isinstance(network, MaxPoolMLP) else network.head
            assert isinstance(last, nn.Linear)
            last.bias.add_(by)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """target -> logits `(B, K)` or `(B, N, K)`."""
        there = who_is_there(batch, self.streams)
        found = {}
        for spec, network in zip(self.specs, self.networks, strict=True):
            name = self.judged[spec.name]
            tokens = batch.tokens[name]
            x, sequence, bins = self._rows(name, tokens, batch.size, there if spec.per_entity else None)
            if not spec.per_entity:
                found[spec.name] = network(x, sequence, bins, batch.size)
                continue
            logit = x.new_zeros(*there.shape, len(spec.labels))
            if there.any():
                logit[there] = network(x, sequence, bins, int(there.sum()))
            found[spec.name] = logit
        return found

    def outputs(self, batch: Batch) -> Outputs:
        """Logits, and the scene's (or characters' mean) logits as embedding: there is nothing else that is shared."""
        logits = self(batch)
        first = logits[self.specs[0].name]
        present = {name: batch.tokens[name].mask[: batch.size].flatten(1).any(1) for name in self.judged.values()}
        return Outputs(logits, first if first.ndim == 2 else first.mean(1), {}, present, {})

    def _rows(self, name: str, tokens: Tokens, size: int, there: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Real tokens, the sequence of each, and its time bin."""
        mask = tokens.mask[:size]
        clip, entity, _ = mask.nonzero(as_tuple=True)
        sequence = clip
        if there is not None:
            number = there.flatten().cumsum(0).view(there.shape) - 1
            sequence = number[clip, entity]
        if tokens.times is None:
            bins = (mask.cumsum(-1) - 1)[mask].clamp_max(_LATEST_BIN - 1)
        else:
            bins = time_bins(tokens.times[:size][mask], self.bin_s)
        return self.scales[name](tokens.x[:size][mask]), sequence, bins
