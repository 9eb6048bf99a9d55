"""EmoTx: emotions of a scene and of each of its characters, asked by label queries in one sequence of all tokens.

Srivastava, Singh, Tapaswi 2023, "How you feelin'? Learning emotions and mental states in movie scenes", section 3; every
scene is one sequence: queries of the scene, its tokens, queries and tokens of each character who is there, the dialog.
Here a sequence is as long as what is in it. Published, it was padded to the same 1,850 places for every scene, and the
queries of absent characters took part: the answer for a scene depended on how many empty places it had been given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Batch, Tokens
from merkit.data.table import TokenColumn
from merkit.errors import ConfigError
from merkit.models.attention import PositionCode
from merkit.models.classifier import Outputs
from merkit.models.ragged import RaggedEncoder, RaggedRows
from merkit.models.streams import Standardise
from merkit.schema import TargetSpec

__all__ = ["BIN_S", "LEVELS", "EmoTx", "Level", "time_bins", "who_is_there"]

Level = Literal["scene", "character"]
# What a stream tells of. `lines` are utterances whose speaker is known; published EmoTx has the other three.
LEVELS: dict[str, Level] = {"scene": "scene", "face": "character", "text": "scene", "lines": "character"}
# Which code tells the network what a token is; queries carry that of the scene or of a character.
_CODES = {"scene": "scene", "face": "character", "text": "text", "lines": "lines"}
# Every 8th frame of a film at 24000/1001 frames a second falls into a bin of its own.
BIN_S = 8 * 1001 / 24000
_LATEST_BIN = 8192


def time_bins(times: Tensor, bin_s: float = BIN_S) -> Tensor:
    """Bin of each time: `(i * bin_s, (i + 1) * bin_s]` is bin `i`, and 0 s is in bin 0 as well.

    Example:
        >>> time_bins(torch.tensor([0.0, 0.2, BIN_S, 0.34, 1200.0], dtype=torch.float64)).tolist()
        [0, 0, 0, 1, 3596]
    """
    return (torch.ceil(times / bin_s - 1e-6) - 1).clamp(0, _LATEST_BIN - 1).long()


def who_is_there(batch: Batch, streams: Sequence[str]) -> Tensor:
    """`(B, N)` bool: the characters who have at least one token in any of the streams.

    `N` is that of the batch's per-entity targets where there are any, so that answers and targets line up.

    Example:
        >>> mask = torch.tensor([[[True], [False]], [[True], [True]]])
        >>> batch = Batch(("a", "b"), 2, {"face": Tokens(torch.zeros(2, 2, 1, 4), mask)})
        >>> who_is_there(batch, ["face"]).tolist()
        [[True, False], [True, True]]
    """
    own = [batch.tokens[name].present[: batch.size] for name in streams if LEVELS[name] == "character"]
    asked = [target.shape[1] for target in batch.targets.values() if target.ndim == 3]
    entities = max([*asked, *(present.shape[1] for present in own), 1])
    there = torch.zeros(batch.size, entities, dtype=torch.bool, device=_device(batch))
    for present in own:
        there[:, : present.shape[1]] |= present
    return there


def _device(batch: Batch) -> torch.device:
    return next(iter(batch.tokens.values())).mask.device


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The real tokens of one stream: `x (R, D)` and where each comes from."""

    x: Tensor
    clip: Tensor
    entity: Tensor
    place: Tensor


class EmoTx(nn.Module):
    """Logits of a scene and of its characters from any subset of the streams.

    Args:
        widths: stream -> width of its features; names in `LEVELS`. A character is there if any of the character streams
            has a token of theirs.
        specs: one multi-label target of the scene, one per entity, or both, over the same `K` labels.
        looks: streams that are looked at; the others only tell who is there. None = all.
        queries: `labels`: `K` queries each for the scene and for every character; `one`: a single query, as a class token
            (EmoTx-1CLS).
        width: `D`.
        layers: of the encoder.
        heads: of attention.
        feedforward: inner width.
        dropout: within the layers.
        attention_dropout: on attention weights.
        characters: `N`, how many characters have a code of their own; later ones share the last.
        bin_s: seconds that share a time code.
        absent_queries: queries of absent characters take part, as published; to compare with published answers only.

    Raises:
        ConfigError: a stream that is not known, targets over different labels, or no target at all.

    Example:
        >>> labels = ("happy", "calm", "angry")
        >>> specs = [TargetSpec("scene", "multi_label", labels), TargetSpec("character", "multi_label", labels, True)]
        >>> model = EmoTx({"face": 6, "text": 4}, specs, width=16, feedforward=16).eval()
        >>> batch = Batch(("a",), 1, {"face": Tokens(torch.randn(1, 2, 3, 6), torch.ones(1, 2, 3) > 0),
        ...     "text": Tokens(torch.randn(1, 1, 5, 4), torch.ones(1, 1, 5) > 0)})
        >>> {name: tuple(logit.shape) for name, logit in model(batch).items()}
        {'scene': (1, 3), 'character': (1, 2, 3)}
        >>> model.outputs(batch).attention["character.face"].shape
        torch.Size([1, 2, 3, 2, 3])
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        specs: Sequence[TargetSpec],
        *,
        looks: Sequence[str] | None = None,
        queries: Literal["labels", "one"] = "labels",
        width: int = 512,
        layers: int = 2,
        heads: int = 8,
        feedforward: int = 2048,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        characters: int = 4,
        bin_s: float = BIN_S,
        absent_queries: bool = False,
    ) -> None:
        super().__init__()
        if unknown := set(widths) - set(LEVELS):
            raise ConfigError(f"EmoTx knows the streams {', '.join(LEVELS)}, not {', '.join(sorted(unknown))}")
        if (
            not specs
            or len({spec.labels for spec in specs}) > 1
            or len({spec.per_entity for spec in specs}) < len(specs)
        ):
            raise ConfigError(
                "EmoTx answers one target of the scene, one of its characters, or both, over the same labels"
            )
        self.specs = tuple(specs)
        self.streams = tuple(widths)
        self.looks = tuple(name for name in widths if looks is None or name in looks)
        if not self.looks:
            raise ConfigError("EmoTx has no stream to look at")
        self.labels, self.characters, self.bin_s = len(specs[0].labels), characters, bin_s
        self.queries, self.absent_queries = queries, absent_queries
        asked = [_level(spec) for spec in specs]
        count = self.labels if queries == "labels" else 1
        self.scales = nn.ModuleDict({name: Standardise(widths[name]) for name in self.looks})
        self.projections = nn.ModuleDict({name: nn.Linear(widths[name], width) for name in self.looks})
        codes = dict.fromkeys([*(_CODES[name] for name in self.looks), *asked])
        self.codes = nn.ParameterDict({name: torch.randn(width) for name in codes})
        personal = "character" in asked or any(LEVELS[name] == "character" for name in self.looks)
        self.character = nn.Parameter(torch.randn(characters, width)) if personal else None
        self.query = nn.ParameterDict({level: torch.randn(count, width) for level in asked})
        self.position = PositionCode(width, _LATEST_BIN)
        self.norm = nn.LayerNorm(width)
        self.encoder = RaggedEncoder(
            width, layers, heads=heads, feedforward=feedforward, dropout=dropout, attention_dropout=attention_dropout
        )
        # one output unit a label, shared by scene and characters; with a single query, they all read the same vector
        self.head = nn.Linear(width, self.labels)

    def fit_standardiser(self, streams: Mapping[str, TokenColumn]) -> None:
        """Sets each stream's centre and scale from the tokens of the TRAINING part."""
        for name, layer in self.scales.items():
            assert isinstance(layer, Standardise)
            layer.fit(streams[name].x)

    @torch.no_grad()
    def shift_logits(self, by: Tensor) -> None:
        """Adds `(K,)` to what every answer begins with."""
        self.head.bias.add_(by)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """target -> logits: `(B, K)` of the scene, `(B, N, K)` of characters, 0 for those who are not there."""
        return self._answers(batch, attention=False)[0]

    def outputs(self, batch: Batch) -> Outputs:
        """Logits and what belongs to them. In evaluation mode `attention` holds, for every level that answers and every
        stream `s` that is looked at, what the queries of the last layer looked at, the mean over heads:
        `scene.s (B, K, N, T)` and `character.s (B, N, K, N, T)`, 0 where there is no token."""
        logits, embedding, attention = self._answers(batch, attention=not self.training)
        present = {name: batch.tokens[name].mask[: batch.size].flatten(1).any(1) for name in self.looks}
        return Outputs(logits, embedding, {}, present, attention)

    def _answers(self, batch: Batch, attention: bool) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        if missing := [name for name in self.streams if name not in batch.tokens]:
            raise ConfigError(f"the batch has no {', '.join(missing)}; it has {', '.join(batch.tokens) or 'nothing'}")
        there = who_is_there(batch, self.streams)
        asking = torch.ones_like(there) if self.absent_queries else there
        clip, entity = asking.nonzero(as_tuple=True)
        parts: list[Tensor] = []
        owners: list[Tensor] = []
        if "scene" in self.query:
            parts.append((self.query["scene"] + self.codes["scene"]).repeat(batch.size, 1))
            owners.append(torch.arange(batch.size, device=clip.device).repeat_interleave(len(self.query["scene"])))
        if "character" in self.query:
            own = self.query["character"] + self.codes["character"] + self._who(entity)[:, None]
            parts.append(own.flatten(0, 1))
            owners.append(clip.repeat_interleave(len(self.query["character"])))
        asked = sum(map(len, parts))
        rows = {name: self._rows(name, batch.tokens[name], batch.size) for name in self.looks}
        x = self.norm(torch.cat([*parts, *(each.x for each in rows.values())]))
        sequence = torch.cat([*owners, *(each.clip for each in rows.values())])
        wanted = torch.arange(asked, device=x.device)
        layout = RaggedRows.of(sequence, wanted, x.shape[1])
        answers, looked = self.encoder(x, layout, weights=attention)
        logits = self._logits(answers, batch.size, there, asking)
        embedding = x.new_zeros(batch.size, x.shape[1]).index_add(0, sequence[:asked], answers)
        embedding = embedding / torch.bincount(sequence[:asked], minlength=batch.size).clamp_min(1)[:, None]
        if not attention:
            return logits, embedding, {}
        return logits, embedding, self._attention(layout, looked, rows, batch, there, asking, asked)

    def _who(self, entity: Tensor) -> Tensor:
        """`(C,)` places to `(C, D)` codes."""
        assert self.character is not None
        return self.character[entity.clamp_max(self.characters - 1)]

    def _rows(self, name: str, tokens: Tokens, size: int) -> _Rows:
        """The real tokens of a stream with all their codes."""
        mask = tokens.mask[:size]
        clip, entity, step = mask.nonzero(as_tuple=True)
        x = self.projections[name](self.scales[name](tokens.x[:size][mask])) + self.codes[_CODES[name]]
        if tokens.times is None:
            bins = (mask.cumsum(-1) - 1)[mask].clamp_max(_LATEST_BIN - 1)
        else:
            bins = time_bins(tokens.times[:size][mask], self.bin_s)
        x = x + self.position.table[bins]
        if LEVELS[name] == "character":
            x = x + self._who(entity)
        return _Rows(x, clip, entity, entity * mask.shape[-1] + step)

    def _logits(self, answers: Tensor, size: int, there: Tensor, asking: Tensor) -> dict[str, Tensor]:
        if self.queries == "one":
            logit = self.head(answers)
        else:
            label = torch.arange(len(answers), device=answers.device) % self.labels
            logit = ((answers * self.head.weight[label]).sum(-1) + self.head.bias[label]).view(-1, self.labels)
        found: dict[str, Tensor] = {}
        first = size if "scene" in self.query else 0
        for spec in self.specs:
            if not spec.per_entity:
                found[spec.name] = logit[:size]
                continue
            every = logit.new_zeros(*there.shape, self.labels)
            every[asking] = logit[first:]
            found[spec.name] = every * there[..., None]
        return found

    @torch.no_grad()
    def _attention(
        self,
        layout: RaggedRows,
        looked: list[Tensor],
        rows: Mapping[str, _Rows],
        batch: Batch,
        there: Tensor,
        asking: Tensor,
        asked: int,
    ) -> dict[str, Tensor]:
        """What the last layer's queries looked at, laid out like the batch's tokens."""
        count = self.labels if self.queries == "labels" else 1
        first, found = asked, {}
        for name, each in rows.items():
            shape = batch.tokens[name].mask.shape[1:]
            places = shape[0] * shape[1]
            column = torch.full_like(layout.order, places)  # one spare column takes what is not of this stream
            column[first : first + len(each.place)] = each.place
            first += len(each.place)
            whole = each.x.new_zeros(asked, places)
            for group, weight in zip(layout.groups, looked, strict=True):
                at = column[group.rows]
                if group.real is not None:
                    at = at.masked_fill(~group.real, places)
                spread = weight.new_zeros(*weight.shape[:2], places + 1)
                spread.scatter_add_(2, at[:, None].expand_as(weight), weight)
                took = spread[..., :-1]
                if group.asking is None:
                    whole[group.asks.flatten()] = took.flatten(0, 1)
                else:
                    whole[group.asks[group.asking]] = took[group.asking]
            split = batch.size * count if "scene" in self.query else 0
            if split:
                found[f"scene.{name}"] = whole[:split].view(batch.size, count, *shape)
            if "character" in self.query:
                every = whole.new_zeros(*there.shape, count, *shape)
                every[asking] = whole[split:].view(-1, count, *shape)
                found[f"character.{name}"] = every * there.view(*there.shape, *[1] * (every.ndim - 2))
        return found


def _level(spec: TargetSpec) -> Level:
    return "character" if spec.per_entity else "scene"
