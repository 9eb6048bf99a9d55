"""What a clip says, read behind what was said before it: one vector a clip, from a text encoder that is trained along.

The turns of a dialogue are rows of token ids. What a clip is read with is the beginning of what the next one is read with,
so a dialogue is read once and every clip takes the states of its own tokens out of it:

- encoders that read from left to right (GPT-2) give them as they are: a state knows nothing of what comes after it;
- encoders that read both ways (BERT, RoBERTa, MiniLM) are given a mask by turns: a token looks at its own turn and at all
  earlier ones. Reading a clip by itself goes by the same mask, so sharing saves time and changes nothing.

An encoder that is frozen as a whole reads every clip once in a process (`memory`).
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError
from merkit.models.hlm12erc.memory import Memory, architecture_of, dtype_of, memory_of
from merkit.models.hlm12erc.turns import Reading, cut_turns, read_together, turns_of
from merkit.networks.text_encoder import TextEncoder

__all__ = ["DialogueText", "TurnAttention", "TurnPooling", "special_ids"]

TurnPooling = Literal["auto", "last", "mean"]
TurnAttention = Literal["turns", "whole"]

# Padded tokens that cost about as much as starting another pass through all layers, by estimate for six layers of 384; a GPU
# would rather pad.
_WORTH_A_PASS = {"cpu": 24}
_WORTH_A_PASS_ELSEWHERE = 4096
# the turn of padding, behind all others (exact as a float, which is how torch hands it on)
_PADDING = 1 << 40


class DialogueText(nn.Module):
    """Token ids of turns -> one vector a clip. What was said before is read along, token by token.

    Args:
        encoder: any; its own pooling is not asked.
        pooling: `last` = the state of the turn's last token (of BERT and its kin: of the special token that ends it); `mean` =
            of all its tokens, of the clip alone, never of earlier turns. `auto` = `last` where the encoder reads from left to
            right, else `mean`.
        attention: `turns` as above; `whole` lets an encoder that reads both ways do so over all it is given, so that every
            clip must be read by itself. No difference for encoders that read from left to right.
        share: False reads every clip by itself, whatever could be shared.
        limit: tokens that are read at most; 0 = as many as the encoder's tokenizer was set to.

    Raises:
        ConfigError: the encoder does not heed masks, or the limit is beyond it.

    Example:
        >>> from merkit.networks.text_pretrained import load_text_encoder
        >>> text = DialogueText(load_text_encoder("minilm"))  # doctest: +SKIP
    """

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        pooling: TurnPooling = "auto",
        attention: TurnAttention = "turns",
        share: bool = True,
        limit: int = 0,
    ) -> None:
        super().__init__()
        self.encoder, self.width = encoder, encoder.width
        most = encoder.tokeniser.limit
        if not 0 <= limit <= most:
            raise ConfigError(f"text.limit={limit}: {encoder.name or 'the encoder'} takes up to {most} tokens")
        self.begin, _ = special_ids(encoder.tokeniser.tokenizer)
        self.room = (limit or most) - len(self.begin)
        if self.room < 1:
            raise ConfigError(f"text.limit={limit}: no room for a word")
        self.causal = _reads_onward(encoder)
        self.by_turns = attention == "turns" and not self.causal
        self.share = share and (self.causal or self.by_turns)
        if self.by_turns and not _heeds_masks(encoder):
            raise ConfigError(
                f"text.attention=turns: {encoder.name or 'this encoder'} does not heed a mask between tokens; take whole"
            )
        self.pooling = ("last" if self.causal else "mean") if pooling == "auto" else pooling
        self._memory: tuple[Memory, str] | None = None
        self.register_load_state_dict_post_hook(_forgets)

    def forward(self, tokens: Tokens, batch: Batch) -> tuple[Tensor, Tensor]:
        """Ids `(R, N, T, 1)` of all rows -> `(B, D)` and `(B,)` bool, whether the clip says anything; zeros where it does not."""
        rows, lengths = self._rows(tokens)
        return self._answers(rows, [cut_turns(own, lengths, self.room) for own in turns_of(batch, lengths)])

    def _rows(self, tokens: Tokens) -> tuple[Sequence[Tensor], list[int]]:
        """Ids of each row, and how many they are."""
        real = tokens.mask.flatten(1)
        ids = tokens.x.flatten(1)[real].long()  # exact in float32 up to 2**24
        lengths = real.sum(1).tolist()
        return ids.split(lengths), lengths

    def _answers(self, rows: Sequence[Tensor], turns: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """`(n, D)` and `(n,)` bool: a vector for each of these sequences of rows, of its last one; zeros where it has none."""
        like = next(self.encoder.parameters())
        says = torch.tensor([bool(own) for own in turns], device=like.device)
        if not says.any():
            return like.new_zeros(len(turns), self.width), says
        if any(p.requires_grad for p in self.encoder.parameters()):
            return self._vectors(rows, turns), says
        if self._memory is None:
            about = (self.pooling, self.by_turns, self.room, self.share, architecture_of(self.encoder.backbone))
            self._memory = memory_of(self.encoder, *about)
        memory, weights = self._memory
        keys = [f"{weights} {dtype_of(like)} {key}" for key in _keys(rows, turns)]
        x = memory.find(keys)
        if x is None:
            x = self._vectors(rows, turns)
            memory.keep(keys, x)
        return x.to(like.device), says

    def _vectors(self, rows: Sequence[Tensor], turns: Sequence[Sequence[int]]) -> Tensor:
        """`(B, D)` from ids of all rows and which of them each clip is read from."""
        reading = read_together(turns, share=self.share)
        states, edges = self._read([[rows[row][-self.room :] for row in own] for own in reading.sequences])
        return self._pooled(states, edges, reading)

    def _read(self, sequences: Sequence[Sequence[Tensor]]) -> tuple[Tensor, list[list[int]]]:
        """States of all tokens of all sequences one behind the other, `(n, D)`; and where each turn begins and ends there."""
        device = sequences[0][0].device
        begin = torch.tensor(self.begin, dtype=torch.int64, device=device)
        ids, turn, edges, done = [], [], [], 0
        for turns in sequences:
            lengths = [len(own) for own in turns]
            # what begins a text belongs to its first turn, so that a turn alone is read as the encoder is used to
            first = torch.zeros(len(begin), dtype=torch.int64, device=device)
            ids.append(torch.cat([begin, *turns]))
            number = torch.arange(len(turns), device=device) * int(self.by_turns)
            turn.append(torch.cat([first, number.repeat_interleave(torch.tensor(lengths, device=device))]))
            places = [done + len(begin)]
            for length in lengths:
                places.append(places[-1] + length)
            edges.append(places)
            done = places[-1]
        found: list[Tensor] = [ids[0]] * len(ids)
        for some in _buckets([len(own) for own in ids], device.type):
            padded = nn.utils.rnn.pad_sequence([ids[s] for s in some], True, self.encoder.pad_id)
            # the turn behind all others: padding may look at everything, and nothing looks at it
            number = nn.utils.rnn.pad_sequence([turn[s] for s in some], True, _PADDING)
            made = _states(self.encoder, padded, number, causal=self.causal)
            for own, s in zip(made, some, strict=True):
                found[s] = own[: len(ids[s])]
        return torch.cat(found), edges

    def _pooled(self, states: Tensor, edges: Sequence[Sequence[int]], reading: Reading) -> Tensor:
        """Each clip's own tokens as one vector, `(B, D)`."""
        clips = [clip for clip, s in enumerate(reading.sequence) if s >= 0]
        own = [
            (edges[reading.sequence[c]][reading.turn[c]], edges[reading.sequence[c]][reading.turn[c] + 1])
            for c in clips
        ]
        at = torch.tensor(clips, device=states.device)
        if self.pooling == "last":
            x = states[torch.tensor([last - 1 for _, last in own], device=states.device)]
        else:
            count = torch.tensor([last - first for first, last in own], device=states.device)
            places = torch.cat([torch.arange(first, last, device=states.device) for first, last in own])
            owner = torch.arange(len(clips), device=states.device).repeat_interleave(count)
            x = states.new_zeros(len(clips), states.shape[1]).index_add(0, owner, states[places]) / count[:, None]
        return x.new_zeros(len(reading.sequence), x.shape[1]).index_copy(0, at, x)


def _forgets(text: nn.Module, _: Any) -> None:
    """Other weights were loaded."""
    assert isinstance(text, DialogueText)
    text._memory = None


def _keys(rows: Sequence[Tensor], turns: Sequence[Sequence[int]]) -> list[str]:
    """What each clip is read from, as a name."""
    # a length in front of its ids: two turns are not one of all their tokens
    written = [f"{len(row)} ".encode() + row.cpu().numpy().tobytes() for row in rows]
    return [hashlib.blake2b(b"".join(written[row] for row in own), digest_size=16).hexdigest() for own in turns]


def special_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What a tokenizer puts in front of a text and behind it.

    Raises:
        ConfigError: it does more than that.
    """
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    whole = list(tokenizer("a")["input_ids"])
    for first in range(len(whole) - len(bare) + 1):
        if bare and whole[first : first + len(bare)] == bare:
            return whole[:first], whole[first + len(bare) :]
    raise ConfigError("the encoder's tokenizer does not put its special tokens in front of a text and behind it")


def _states(encoder: TextEncoder, ids: Tensor, turn: Tensor, *, causal: bool) -> Tensor:
    """`(S, L)` ids on the left and the turn of each, `_PADDING` where there is none -> `(S, L, D)`."""
    if causal:
        return encoder.backbone(input_ids=ids).last_hidden_state  # nothing looks to the right, where padding stands
    real = turn != _PADDING
    if not bool(turn[real].any()):
        mask = None if bool(real.all()) else real.long()
        return encoder.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    seen = (turn[:, None, :] <= turn[:, :, None]) & real[:, None, :]  # (S, L asking, L asked)
    mask = seen[:, None]
    if getattr(encoder.backbone.config, "_attn_implementation", "eager") != "sdpa":
        weight = next(encoder.backbone.parameters()).dtype
        mask = torch.zeros(mask.shape, dtype=weight, device=ids.device).masked_fill(~mask, torch.finfo(weight).min)
    return encoder.backbone(input_ids=ids, attention_mask=mask).last_hidden_state


def _buckets(lengths: Sequence[int], device: str) -> list[list[int]]:
    """Numbers of sequences that are read at once: where padding costs less than another pass."""
    worth = _WORTH_A_PASS.get(device, _WORTH_A_PASS_ELSEWHERE)
    buckets: list[list[int]] = []
    wasted = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        waste = lengths[buckets[-1][0]] - lengths[i] if buckets else 0
        if buckets and wasted + waste <= worth:
            buckets[-1].append(i)
            wasted += waste
        else:
            buckets.append([i])
            wasted = 0
    return buckets


@torch.no_grad()
def _tried(encoder: TextEncoder, ids: Sequence[int], turn: Sequence[int], *, causal: bool) -> Tensor:
    before = encoder.training
    encoder.eval()
    device = next(encoder.parameters()).device
    made = _states(encoder, torch.tensor([ids], device=device), torch.tensor([turn], device=device), causal=causal)[0]
    encoder.train(before)
    return made


def _three(encoder: TextEncoder) -> list[int]:
    return [i for i in range(len(encoder.tokeniser.tokenizer)) if i != encoder.pad_id][:3]


def _reads_onward(encoder: TextEncoder) -> bool:
    """Whether a state depends on nothing that comes after it; tried, since names say too little."""
    a, b, c = _three(encoder)
    one, other = (_tried(encoder, [a, last], [0, 0], causal=True) for last in (b, c))
    return bool(torch.equal(one[0], other[0]))


def _heeds_masks(encoder: TextEncoder) -> bool:
    a, b, c = _three(encoder)
    before, after = (_tried(encoder, [a, last], [0, 1], causal=False) for last in (b, c))
    changed = _tried(encoder, [c, b], [0, 1], causal=False)
    return bool(torch.equal(before[0], after[0])) and not bool(torch.equal(before[1], changed[1]))
