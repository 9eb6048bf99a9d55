"""What a model gets: tokens per modality with masks, the turns around each clip, and targets.

`Tokens` is the contract between encoders and fusion. A batch holds `B` clips that are asked about and, after them, `C`
more rows that are only context (other turns of their dialogues); each clip names the rows around it, so a turn that is
context of many clips is encoded once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from merkit.data.draws import Draw
from merkit.data.table import ClipTable, TokenColumn
from merkit.data.token_sampling import Sampling, entity_places

__all__ = ["Batch", "Tokens", "collate", "tokens_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Tokens of one modality.

    Args:
        x: `(B, N, T, D)` float, or uint8 pixels, which stay bytes until a model or an augmentation makes numbers in [0, 1]
            of them; where a model works per entity, leading axes may be folded into one: `(B, T, D)`.
        mask: `(B, N, T)` bool, True = real. A modality that is absent is all False: an ordinary input.
        times: `(B, N, T)` seconds, or None.
    """

    x: Tensor
    mask: Tensor
    times: Tensor | None = None

    @property
    def present(self) -> Tensor:
        """`(B, N)` bool: there is at least one token."""
        return self.mask.any(-1)

    def to(self, device: torch.device | str) -> "Tokens":
        """The same on another device."""
        times = None if self.times is None else self.times.to(device)
        return Tokens(self.x.to(device), self.mask.to(device), times)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """`B` clips to answer for, with the `R - B` further rows that are their context.

    Args:
        ids: of all `R` rows.
        size: `B`.
        tokens: modality -> `Tokens` over `R` rows.
        context: `(B, C)` int64: rows of the dialogue around each clip in order of time, itself included; -1 = none.
            None where the model was given no context.
        position: `(B, C)` int64: turns relative to the clip: -1 is the turn before, 0 the clip itself.
        targets: name -> value of the first `B` rows: `(B,)` int64 or `(B, K)` float32 (with `N` per entity).
        valid: name -> bool of what is known.
        weight: `(B,)` weight of each clip in the loss; None = 1 each.
    """

    ids: tuple[str, ...]
    size: int
    tokens: Mapping[str, Tokens]
    context: Tensor | None = None
    position: Tensor | None = None
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    valid: Mapping[str, Tensor] = field(default_factory=dict)
    weight: Tensor | None = None

    def __len__(self) -> int:
        return self.size

    def to(self, device: torch.device | str) -> "Batch":
        """The same on another device; Lightning calls this."""

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        return replace(
            self,
            tokens={name: tokens.to(device) for name, tokens in self.tokens.items()},
            context=moved(self.context),
            position=moved(self.position),
            targets={name: value.to(device) for name, value in self.targets.items()},
            valid={name: value.to(device) for name, value in self.valid.items()},
            weight=moved(self.weight),
        )


def tokens_of(column: TokenColumn, clips: int, entities: int = 1) -> Tokens:
    """Pads one modality of `clips` clips to `(B, N, T, D)`.

    Args:
        column: its `clip` counts from 0 to `clips - 1`.
        clips: `B`.
        entities: `N`.

    Example:
        >>> tokens_of(TokenColumn.of_sequences([np.ones((2, 3)), None]), 2).mask
        tensor([[[ True,  True]],
        <BLANKLINE>
                [[False, False]]])
    """
    lengths = column.lengths
    longest = max(int(lengths.max(initial=0)), 1)  # an absent modality still has one masked token to point at
    tokens = column.x[:]  # read now where they lie in a store
    if len(tokens) == clips * entities and longest == 1:
        # the common case of one token everywhere: no scatter, no copy
        x = tokens.reshape(clips, entities, 1, column.width)
        mask = np.ones((clips, entities, 1), bool)
        times = None if column.start_s is None else column.start_s.reshape(mask.shape)
    else:
        mask = np.zeros((clips, entities, longest), bool)
        mask[column.clip, column.entity] = np.arange(longest) < lengths[:, None]
        x = np.zeros((*mask.shape, column.width), np.uint8 if tokens.dtype == np.uint8 else np.float32)
        x[mask] = tokens
        times = None
        if column.start_s is not None:
            times = np.zeros(mask.shape, np.float64)
            times[mask] = column.start_s
    return Tokens(
        torch.from_numpy(np.ascontiguousarray(x)),
        torch.from_numpy(mask),
        None if times is None else torch.from_numpy(np.ascontiguousarray(times)),
    )


def collate(
    table: ClipTable,
    rows: np.ndarray,
    *,
    modalities: tuple[str, ...],
    context: np.ndarray | None = None,
    with_targets: bool = True,
    sampling: Sampling | None = None,
    draw: Draw | None = None,
) -> Batch:
    """The batch of the clips `rows (B,)`.

    Streams of persons are padded to as many entities as targets are asked of, or, without such targets, to as many as the
    batch has. Streams of the clip as a whole keep one: `(B, 1, T, D)`.

    Args:
        table: where they are.
        rows: int64 indices.
        modalities: which streams to take, in this order.
        context: `(n, C)` int64 of the whole table from `merkit.data.context.dialogue_context`: rows around each clip in
            order of time, itself included, -1 = none.
        with_targets: False for prediction.
        sampling: which tokens are taken; None = all.
        draw: of the epoch, for training; without it nothing is random.
    """
    everything, around, position = rows, None, None
    if context is not None:
        wanted = context[rows]  # (B, C) rows of the table
        others = np.setdiff1d(wanted[wanted >= 0], rows)
        everything = np.concatenate([rows, others])
        place = np.full(len(table) + 1, -1, np.int64)
        place[everything] = np.arange(len(everything))
        around = place[wanted]  # -1 names the spare last element, which is -1 as well
        own = (wanted == rows[:, None]).argmax(1)
        position = np.arange(wanted.shape[1]) - own[:, None]
    sampling, places = sampling or Sampling(), None
    if sampling.shuffle_entities and draw is not None:
        places = entity_places(table, everything, modalities, draw)
    columns = {}
    for name in modalities:
        column = table.streams[name]
        own = places if column.per_entity else None
        columns[name] = column.take(everything, keep=sampling.keep(name, draw), places=own)
    # answers and targets must line up, whoever happens to be there in this batch
    entities = table.entity_count or 1 + max((int(c.entity.max(initial=0)) for c in columns.values()), default=0)
    targets = {}
    if with_targets:
        own = None if places is None else places[: len(rows)]
        targets = {name: column.take(rows, places=own) for name, column in table.targets.items()}
    return Batch(
        ids=tuple(map(str, table.ids[everything])),
        size=len(rows),
        tokens={
            name: tokens_of(column, len(everything), entities if column.per_entity else 1)
            for name, column in columns.items()
        },
        context=None if around is None else torch.from_numpy(around),
        position=None if position is None else torch.from_numpy(position),
        targets={name: torch.from_numpy(np.ascontiguousarray(column.value)) for name, column in targets.items()},
        valid={name: torch.from_numpy(np.ascontiguousarray(column.valid)) for name, column in targets.items()},
    )
