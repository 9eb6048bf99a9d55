"""MiniLM-L6 as a text encoder: a six-layer BERT in one page, its tokenizer, and batching by length.

Wang et al. 2020 (arXiv:2002.10957), fine-tuned for sentence similarity (sentence-transformers/all-MiniLM-L6-v2).
Texts are sorted by length and batched with texts of nearly the same length, so hardly any padding is computed on.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load, load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.networks.checkpoint import adopt
from merkit.weights import locate
from merkit.weights.shipped import shipped_network

__all__ = ["BERT_PARTS", "MiniLM", "batches_by_length", "bert_layers", "load_minilm", "tuned_layers"]

WIDTH, HEADS, LAYERS, VOCABULARY, POSITIONS = 384, 12, 6, 30522, 512
MAX_TOKENS = 256  # the length that the sentence model was trained with, [CLS] and [SEP] included

BERT_PARTS = {
    "out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm2": "output.LayerNorm",
}
"""Our name of a layer's part -> BERT's, but for query, key and value, which are one matrix here."""


class _Layer(nn.Module):
    """Self-attention and feed-forward, each with a residual and a norm after it (BERT's order)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH, eps=1e-12)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, T, D)`, mask `(B, 1, 1, T)` True = real, or None where all are -> `(B, T, D)`."""
        q, k, v = (
            self.qkv(x).unflatten(-1, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        )  # each (B, heads, T, D/h)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        x = self.norm1(x + self.out(attended))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class MiniLM(nn.Module):
    """The encoder with its tokenizer.

    Args:
        tokenizer: WordPiece tokenizer; without one only `forward` can be used.

    Example:
        >>> ids = torch.tensor([[101, 7592, 102]])
        >>> [tuple(states.shape) for states in MiniLM().eval()(ids, layers=(0, 6))]
        [(1, 3, 384), (1, 3, 384)]
    """

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList([_Layer() for _ in range(LAYERS)])

    def forward(self, ids: Tensor, mask: Tensor | None = None, layers: Sequence[int] = (LAYERS,)) -> list[Tensor]:
        """Token states after the layers asked for; nothing past the last of them is computed.

        Args:
            ids: `(B, T)` token ids.
            mask: `(B, T)` True = real; None where no text is padded.
            layers: which states, 0 = embeddings, 1 to 6 = after that layer.

        Returns:
            one `(B, T, 384)` per entry of `layers`.
        """
        x = self.norm(self.words(ids) + self.positions.weight[: ids.shape[1]])
        states = {0: x}
        attend = None if mask is None else mask[:, None, None, :]
        for number, layer in enumerate(self.layers[: max(layers)], start=1):
            x = layer(x, attend)
            states[number] = x
        return [states[number] for number in layers]

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text with [CLS] and [SEP], cut at 256.

        Raises:
            ValueError: the module was built without a tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError("this MiniLM has no tokenizer; load_minilm() gives one that has")
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]

    @torch.inference_mode()
    def token_states(self, texts: Sequence[str], layers: Sequence[int] = (LAYERS,)) -> list[Tensor]:
        """States of the tokens of each text, [CLS] first and [SEP] last.

        Args:
            texts: any number of texts.
            layers: which layers, 0 = embeddings to 6 = last.

        Returns:
            for each text `(T, len(layers), 384)` float32.
        """
        tokens = self.tokenize(texts)
        found: list[Tensor] = [torch.empty(0)] * len(tokens)
        for batch in batches_by_length([len(ids) for ids in tokens]):
            ids, mask = _padded([tokens[i] for i in batch])
            states = torch.stack(self(ids, mask, layers), dim=2).float()  # (B, T, L, D)
            for row, i in enumerate(batch):
                found[i] = states[row, : len(tokens[i])]
        return found

    @torch.inference_mode()
    def sentences(self, texts: Sequence[str]) -> Tensor:
        """One vector per text: the mean of its token states (special tokens included, as trained), L2-normalised.

        Returns:
            `(n, 384)` float32 of norm 1.
        """
        if not texts:
            return torch.empty(0, WIDTH)
        return F.normalize(torch.stack([states[:, 0].mean(0) for states in self.token_states(texts)]), dim=-1)


def batches_by_length(lengths: Sequence[int], max_tokens: int = 2048, slack: float = 1.15) -> list[list[int]]:
    """Indices grouped so that a group's longest member is at most `slack` times its shortest.

    Args:
        lengths: tokens of each text.
        max_tokens: most tokens of one group, padding counted.
        slack: longest over shortest within a group; one token of difference is always let pass.

    Example:
        >>> batches_by_length([9, 3, 8, 3])
        [[1, 3], [2, 0]]
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batches:
            batch = batches[-1]
            near = lengths[i] <= max(slack * lengths[batch[0]], lengths[batch[0]] + 1)
            if near and lengths[i] * (len(batch) + 1) <= max_tokens:
                batch.append(i)
                continue
        batches.append([i])
    return batches


def load_minilm(dtype: torch.dtype = torch.float32, *, tuned: bool = False) -> MiniLM:
    """The encoder with the catalogue's weights `minilm-l6` and its tokenizer.

    Args:
        dtype: float32, or `fast_dtype()` where speed counts more than the third digit.
        tuned: its upper layers as merkit tuned them on the emotions of comments; they ship with merkit
            (`benchmarks/first_model/text_net.py`).

    Raises:
        WeightError: the weights are not in the cache or are damaged.

    Example:
        >>> load_minilm().sentences(["Good morning!"]).shape  # doctest: +SKIP
        torch.Size([1, 384])
    """
    folder = locate("minilm-l6")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    path = folder / "model.safetensors"
    state = _renamed(load_file(path), path)
    return adopt(MiniLM(tokenizer), state | (tuned_layers() if tuned else {}), path).to(dtype)


def tuned_layers() -> dict[str, Tensor]:
    """The upper layers as merkit tuned them, by their names in `MiniLM`, float32. Matrices are shipped as eight bits and a scale
    for each row.

    Raises:
        WeightError: they are missing or damaged.
    """
    held = load(shipped_network("text-net"))
    return {
        key: value.float() * held[f"{key}.scale"] if value.dtype == torch.int8 else value.float()
        for key, value in held.items()
        if not key.endswith(".scale")
    }


def _renamed(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """BERT's names -> ours. Every text is of the first segment, so that segment's vector is added to the positions once and
    for all."""
    segment = state["embeddings.token_type_embeddings.weight"][0]
    ours = {
        "words.weight": state["embeddings.word_embeddings.weight"],
        "positions.weight": state["embeddings.position_embeddings.weight"] + segment,
        "norm.weight": state["embeddings.LayerNorm.weight"],
        "norm.bias": state["embeddings.LayerNorm.bias"],
    }
    return ours | bert_layers(state, range(LAYERS))


def bert_layers(state: dict[str, Tensor], layers: Sequence[int]) -> dict[str, Tensor]:
    """These layers of a BERT, counted from 0, in our names; query, key and value become one matrix.

    Args:
        state: keys begin with `encoder.layer.`.
        layers: which.
    """
    ours: dict[str, Tensor] = {}
    for i in layers:
        theirs = f"encoder.layer.{i}."
        for kind in ("weight", "bias"):
            qkv = [state[f"{theirs}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            ours[f"layers.{i}.qkv.{kind}"] = torch.cat(qkv)
            for name, part in BERT_PARTS.items():
                ours[f"layers.{i}.{name}.{kind}"] = state[f"{theirs}{part}.{kind}"]
    return ours


def _padded(tokens: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor | None]:
    """`(B, T)` ids and the mask, or None for the mask where all texts have one length."""
    longest = max(len(ids) for ids in tokens)
    ids = torch.zeros(len(tokens), longest, dtype=torch.long)
    mask = torch.zeros(len(tokens), longest, dtype=torch.bool)
    for row, text in enumerate(tokens):
        ids[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = True
    return ids, None if bool(mask.all()) else mask
