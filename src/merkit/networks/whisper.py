"""Whisper tiny.en as a plain module (Radford et al. 2022, Robust Speech Recognition via Large-Scale Weak Supervision).

The encoder serves two masters. For TRANSCRIPTION it sees windows padded with silence, as it was trained (30 s; shorter
ones keep the words, see `merkit.perception.Recogniser`). For FEATURES it sees exactly the voice there is: no padding is
computed on, and the states of an utterance are the same whatever it is batched with, because each one runs alone (a 4 s
utterance takes a few tens of milliseconds). The two therefore never share a run of the encoder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import WeightError
from merkit.networks.ctranslate2 import read_ctranslate2
from merkit.networks.mel import log_mel
from merkit.weights import locate

__all__ = ["Cache", "Whisper", "load_whisper"]

WIDTH, HEADS, LAYERS, MAX_STATES, MAX_TOKENS = 384, 6, 4, 1500, 448


class _Attention(nn.Module):
    """Multi-head attention; keys have no bias in Whisper, which the stored fused biases hold as zeros."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.keyvalue = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, heads, T, D / heads)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys(self, source: Tensor) -> tuple[Tensor, Tensor]:
        key, value = self.keyvalue(source).chunk(2, -1)
        return self.split(key), self.split(value)

    def forward(self, x: Tensor, key: Tensor, value: Tensor, causal: bool = False) -> Tensor:
        mixed = F.scaled_dot_product_attention(self.split(self.query(x)), key, value, is_causal=causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


class _Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = _Attention(width, heads)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn_in = nn.Linear(width, 4 * width)
        self.ffn_out = nn.Linear(4 * width, width)

    def ffn(self, x: Tensor) -> Tensor:
        return x + self.ffn_out(F.gelu(self.ffn_in(self.ffn_norm(x))))


class _CrossBlock(_Block):
    """A block of the decoder, which attends to the encoder's states as well."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = _Attention(width, heads)


@dataclass(slots=True)
class Cache:
    """Keys and values that decoding has already made, one pair per layer; `(B, heads, T, D / heads)` each."""

    cross: list[tuple[Tensor, Tensor]]
    own: list[tuple[Tensor, Tensor]]
    length: int = 0

    def keep(self, rows: Tensor) -> None:
        """Drops finished sequences: only `rows` go on."""
        self.cross = [(key[rows], value[rows]) for key, value in self.cross]
        self.own = [(key[rows], value[rows]) for key, value in self.own]


class Whisper(nn.Module):
    """Encoder and decoder of Whisper tiny.en.

    Example:
        >>> Whisper(vocabulary=100).encode(torch.zeros(1, 80, 200))[-1].shape
        torch.Size([1, 100, 384])
    """

    places: Tensor

    def __init__(self, vocabulary: int = 51_864, width: int = WIDTH, heads: int = HEADS, layers: int = LAYERS) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(80, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("places", torch.zeros(MAX_STATES, width))
        self.encoder = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.tokens = nn.Embedding(vocabulary, width)
        self.token_places = nn.Parameter(torch.zeros(MAX_TOKENS, width))
        self.decoder = nn.ModuleList(_CrossBlock(width, heads) for _ in range(layers))
        self.decoder_norm = nn.LayerNorm(width)

    def encode(self, mel: Tensor) -> list[Tensor]:
        """Hidden states of every layer.

        Args:
            mel: `(B, 80, T)` log-mel, 100 columns a second, at most 3000.

        Returns:
            `LAYERS + 1` tensors `(B, T / 2, D)`, 50 states a second: the input of the first block, the output of each
            block; the last one is normalised, as the decoder takes it.
        """
        x = F.gelu(self.conv1(mel))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.places[: x.shape[1]]
        states = [x]
        for block in cast("list[_Block]", self.encoder):
            normed = block.self_norm(x)
            x = block.ffn(x + block.self_attention(normed, *block.self_attention.keys(normed)))
            states.append(x)
        states[-1] = self.encoder_norm(x)
        return states

    def begin(self, states: Tensor) -> Cache:
        """A cache for decoding over encoder states `(B, T, D)`."""
        cross = [block.cross_attention.keys(states) for block in cast("list[_CrossBlock]", self.decoder)]
        return Cache(cross, [(key[:, :, :0], value[:, :, :0]) for key, value in cross])

    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Decodes one step further.

        Args:
            tokens: `(B, T)` ids that are new since the last step.
            cache: grown in place.

        Returns:
            `(B, V)` logits of the token after the last one.
        """
        first, last = cache.length, cache.length + tokens.shape[1]
        x = self.tokens(tokens) + self.token_places[first:last]
        for i, block in enumerate(cast("list[_CrossBlock]", self.decoder)):
            normed = block.self_norm(x)
            key, value = block.self_attention.keys(normed)
            cache.own[i] = (torch.cat([cache.own[i][0], key], 2), torch.cat([cache.own[i][1], value], 2))
            # a prompt comes in one piece and must not see ahead; single tokens see everything before them
            x = x + block.self_attention(normed, *cache.own[i], causal=first == 0 and tokens.shape[1] > 1)
            x = block.ffn(x + block.cross_attention(block.cross_norm(x), *cache.cross[i]))
        cache.length = last
        return self.decoder_norm(x[:, -1]) @ self.tokens.weight.T

    @torch.inference_mode()
    def states(self, samples: np.ndarray) -> list[np.ndarray]:
        """Hidden states of one utterance as it is, unpadded.

        Args:
            samples: `(n,)` float32 mono at 16 kHz; at most 30 s.

        Returns:
            `LAYERS + 1` arrays `(T, D)` float32, 50 states a second.
        """
        return [state[0].float().numpy() for state in self.encode(log_mel(samples[: 30 * 16_000])[None])]


def load_whisper(folder: Path | None = None) -> Whisper:
    """Whisper tiny.en from the catalogue, in evaluation mode.

    Raises:
        WeightError: not in the cache, or damaged.
    """
    path = (folder or locate("whisper-tiny-en")) / "model.bin"
    stored = read_ctranslate2(path)
    try:
        model = Whisper(vocabulary=stored["decoder/embeddings/weight"].shape[0])
        model.load_state_dict({name: torch.from_numpy(array) for name, array in _renamed(stored).items()})
    except (KeyError, RuntimeError) as error:
        raise WeightError(f"{path}: not Whisper tiny.en ({error})") from None
    return model.eval().requires_grad_(False)


def _renamed(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """CTranslate2's names and fused projections as this module's parameters, float32."""
    out = {
        "places": stored["encoder/position_encodings/encodings"],
        "tokens.weight": stored["decoder/embeddings/weight"],
        "token_places": stored["decoder/position_encodings/encodings"],
    }

    def norm(ours: str, theirs: str) -> None:
        out[f"{ours}.weight"], out[f"{ours}.bias"] = stored[f"{theirs}/gamma"], stored[f"{theirs}/beta"]

    def linear(ours: str, theirs: str, part: slice = slice(None)) -> None:
        out[f"{ours}.weight"], out[f"{ours}.bias"] = stored[f"{theirs}/weight"][part], stored[f"{theirs}/bias"][part]

    linear("conv1", "encoder/conv1")
    linear("conv2", "encoder/conv2")
    norm("encoder_norm", "encoder/layer_norm")
    norm("decoder_norm", "decoder/layer_norm")
    for side in ("encoder", "decoder"):
        for i in range(LAYERS):
            ours, theirs = f"{side}.{i}", f"{side}/layer_{i}"
            norm(f"{ours}.self_norm", f"{theirs}/self_attention/layer_norm")
            linear(f"{ours}.self_attention.query", f"{theirs}/self_attention/linear_0", slice(0, WIDTH))
            linear(f"{ours}.self_attention.keyvalue", f"{theirs}/self_attention/linear_0", slice(WIDTH, None))
            linear(f"{ours}.self_attention.out", f"{theirs}/self_attention/linear_1")
            norm(f"{ours}.ffn_norm", f"{theirs}/ffn/layer_norm")
            linear(f"{ours}.ffn_in", f"{theirs}/ffn/linear_0")
            linear(f"{ours}.ffn_out", f"{theirs}/ffn/linear_1")
            if side == "decoder":
                norm(f"{ours}.cross_norm", f"{theirs}/attention/layer_norm")
                linear(f"{ours}.cross_attention.query", f"{theirs}/attention/linear_0")
                linear(f"{ours}.cross_attention.keyvalue", f"{theirs}/attention/linear_1")
                linear(f"{ours}.cross_attention.out", f"{theirs}/attention/linear_2")
    return {name: np.array(array, np.float32) for name, array in out.items()}
