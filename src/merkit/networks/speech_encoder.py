"""Any self-supervised speech encoder by name: wav2vec 2.0, HuBERT, WavLM, data2vec, and others of their build.

Decisions:
- Clips of different lengths get the tokens that they get alone. Where padding would change them (group normalisation over
  time, as in all `base` models; convolutions over states behind a normalisation, as in data2vec), clips of one length run
  together and others one by one; elsewhere a batch is padded and masked.
- Whether a waveform is brought to zero mean and unit variance is what the checkpoint's own preprocessor_config.json says.
- The convolutions are never tuned, and there is neither masking of spans nor dropping of layers in training: both draw
  numbers that a run could not repeat, and leave parameters without gradients.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from merkit.errors import ConfigError, MediaError, WeightError
from merkit.networks.speech_clock import SAMPLE_RATE, SpeechClock

__all__ = ["MAX_S", "SpeechEncoder"]

# Kinds whose states do not depend on padding, where the convolutions normalise within a step; tested one by one.
_PADDABLE = {"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat"}
# Attention grows with the square of the length: longer waveforms are encoded in equal parts.
MAX_S = 30.0
_TOGETHER = 8


class SpeechEncoder(nn.Module):
    """Waveforms `(B, n)` at 16 kHz -> states `(B, T, D)` and their mask.

    Args:
        backbone: a transformers model with `feature_extractor` (convolutions over samples) and `encoder`.
        normalise: bring each waveform to zero mean and unit variance.
        layer: which state: 0 = input of the first block, k = output of block k; -1 = what the model gives in the end.
        freeze_layers: so many blocks from below keep their weights, with all that is under them; -1 = everything.
        name: for messages and `id`.
        sha256: of the weights.

    Raises:
        ConfigError: it has fewer blocks.
        WeightError: it is not built like that.
    """

    def __init__(
        self,
        backbone: Any,
        *,
        normalise: bool,
        layer: int = -1,
        freeze_layers: int = -1,
        name: str = "",
        sha256: str = "",
    ) -> None:
        super().__init__()
        config = backbone.config
        blocks = getattr(getattr(backbone, "encoder", None), "layers", None)
        if blocks is None or not hasattr(backbone, "feature_extractor") or not hasattr(config, "conv_stride"):
            raise WeightError(
                f"speech encoder {name!r} is a {config.model_type}, not convolutions over samples and a transformer, as "
                "wav2vec 2.0, HuBERT, WavLM and data2vec-audio are"
            )
        if getattr(config, "add_adapter", False):
            raise WeightError(f"speech encoder {name!r} has an adapter, whose tokens are not those of its convolutions")
        depth = len(blocks)
        if not -1 <= layer <= depth or not -1 <= freeze_layers <= depth:
            raise ConfigError(
                f"layer={layer}, freeze_layers={freeze_layers}: {name or 'this encoder'} has {depth} blocks; -1 = "
                "the end, all of them"
            )
        self.clock = SpeechClock.of(config.conv_kernel, config.conv_stride)
        self.layer = depth if layer == -1 else layer
        self.whole = layer == -1  # with the normalisation that some put behind the last block
        self.normalise, self.name, self.sha256 = normalise, name, sha256
        self.width = int(config.hidden_size)
        norm = getattr(config, "feat_extract_norm", "group")
        self.paddable = config.model_type in _PADDABLE and norm == "layer"
        config.apply_spec_augment, config.layerdrop = False, 0.0
        if not self.whole:
            backbone.encoder.layers = blocks[: max(self.layer, 1)]  # what lies above is not computed
        self.backbone = backbone
        self._frozen = _freeze(backbone, freeze_layers)
        # what nothing is computed with would get no gradient
        if not self.whole and getattr(config, "do_stable_layer_norm", False):
            backbone.encoder.layer_norm.requires_grad_(False)
        if self.layer == 0:
            backbone.encoder.layers.requires_grad_(False)
        self.train(self.training)

    @property
    def id(self) -> str:
        """Name, hash and layer: what its states depend on."""
        return f"{self.name}@{self.sha256[:12]}:{'end' if self.whole else self.layer}"

    def train(self, mode: bool = True) -> "SpeechEncoder":
        """As `nn.Module.train`; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def forward(self, samples: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """States of waveforms of any lengths.

        Args:
            samples: `(B, n)` float32, 16 kHz, in [-1, 1]; real ones on the left.
            mask: `(B, n)`, True = real.

        Returns:
            `(B, T, D)` states, zeros where there is no token, and `(B, T)`, True = token. A waveform that is shorter than
            the encoder's reach has none.
        """
        lengths = mask.sum(1).tolist()
        counts = [self.clock.count(n) for n in lengths]
        tokens = torch.arange(max(counts, default=0), device=samples.device) < torch.tensor(
            counts, device=samples.device
        ).unsqueeze(1)
        states = samples.new_zeros(*tokens.shape, self.width)
        rows = [i for i, count in enumerate(counts) if count]
        together = [rows] if self.paddable and rows else _alike(rows, lengths)
        for some in together:
            longest = max(lengths[i] for i in some)
            own = self._prepared(samples[some, :longest], mask[some, :longest])
            padded = any(lengths[i] < longest for i in some)
            made = self._states(own, mask[some, :longest].long() if padded else None)
            made = made * tokens[some, : made.shape[1], None]
            states = states.index_copy(
                0,
                torch.tensor(some, device=states.device),
                nn.functional.pad(made, (0, 0, 0, states.shape[1] - made.shape[1])),
            )
        return states, tokens

    def _prepared(self, samples: Tensor, mask: Tensor) -> Tensor:
        if not self.normalise:
            return samples * mask
        count = mask.sum(1, keepdim=True)
        mean = (samples * mask).sum(1, keepdim=True) / count
        centred = (samples - mean) * mask
        return centred / torch.sqrt((centred**2).sum(1, keepdim=True) / count + 1e-7)

    def _states(self, samples: Tensor, mask: Tensor | None) -> Tensor:
        if self.whole:
            return self.backbone(samples, attention_mask=mask).last_hidden_state
        # read at the block itself: what else stands in `hidden_states` differs between versions of transformers
        kept: list[Tensor] = []
        blocks = self.backbone.encoder.layers

        def before(_: nn.Module, inputs: tuple, named: dict) -> None:
            kept.append(inputs[0] if inputs else named["hidden_states"])

        def after(_: nn.Module, __: tuple, output: Any) -> None:
            kept.append(output[0] if isinstance(output, tuple) else output)

        hook = (
            blocks[self.layer - 1].register_forward_hook(after)
            if self.layer
            else blocks[0].register_forward_pre_hook(before, with_kwargs=True)
        )
        try:
            self.backbone(samples, attention_mask=mask)
        finally:
            hook.remove()
        return kept[0]

    def parts(self, samples: int) -> list[tuple[int, int]]:
        """First and last sample (excluded) of the equal parts that a waveform is encoded in; more than 30 s are several."""
        count = max(1, -(-samples // round(MAX_S * SAMPLE_RATE)))
        edges = [round(samples * i / count) for i in range(count + 1)]
        return list(pairwise(edges))

    def spans_s(self, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """`(T,)` start and end in seconds of every token that `encode` makes of a waveform of so many samples."""
        spans = [(first / SAMPLE_RATE, self.clock.spans_s(last - first)) for first, last in self.parts(samples)]
        starts, ends = ([offset + span[side] for offset, span in spans] for side in (0, 1))
        return np.concatenate(starts), np.concatenate(ends)

    @torch.inference_mode()
    def encode(self, waves: Sequence[np.ndarray], rate_hz: int = SAMPLE_RATE) -> list[np.ndarray]:
        """States of waveforms, in evaluation mode; on a CPU one by one, on a GPU together where padding changes nothing.

        Args:
            waves: `(n,)` float32 mono in [-1, 1] each.
            rate_hz: of all of them; said so that a wrong one is found.

        Returns:
            `(T_i, D)` float32 each; no row where a waveform is shorter than the encoder's reach.

        Raises:
            MediaError: they are not mono at 16 kHz.
        """
        if rate_hz != SAMPLE_RATE:
            raise MediaError(
                f"speech encoders take {SAMPLE_RATE} Hz, not {rate_hz}: `merkit.media.read_clip` resamples"
            )
        device = next(self.parameters()).device
        waves = [np.ascontiguousarray(wave, np.float32) for wave in waves]
        if any(wave.ndim != 1 for wave in waves):
            raise MediaError("speech encoders take one channel: a waveform is an array of samples, (n,)")
        pieces = [(i, wave[first:last]) for i, wave in enumerate(waves) for first, last in self.parts(len(wave))]
        order = sorted(range(len(pieces)), key=lambda p: len(pieces[p][1]))
        made: dict[int, np.ndarray] = {}
        together = _TOGETHER if self.paddable and device.type != "cpu" else 1
        before = self.training
        self.eval()
        for first in range(0, len(order), together):
            some = order[first : first + together]
            samples = torch.zeros(len(some), len(pieces[some[-1]][1]))
            mask = torch.zeros(samples.shape, dtype=torch.bool)
            for row, p in enumerate(some):
                own = pieces[p][1]
                samples[row, : len(own)], mask[row, : len(own)] = torch.from_numpy(own), True
            states, tokens = self(samples.to(device), mask.to(device))
            for row, p in enumerate(some):
                made[p] = states[row, tokens[row]].float().cpu().numpy()
        self.train(before)
        found: list[list[np.ndarray]] = [[] for _ in waves]
        for p, (i, _) in enumerate(pieces):
            found[i].append(made[p])
        return [np.concatenate(parts) for parts in found]


def _alike(rows: list[int], lengths: list[int]) -> list[list[int]]:
    by_length: dict[int, list[int]] = {}
    for i in rows:
        by_length.setdefault(lengths[i], []).append(i)
    return list(by_length.values())


def _freeze(backbone: Any, count: int) -> list[nn.Module]:
    """Frozen modules, which are to stay in evaluation mode."""
    if count == -1:
        backbone.requires_grad_(False)
        backbone.feature_extractor._freeze_parameters()
        return [backbone]
    backbone.feature_extractor._freeze_parameters()
    if (mask := getattr(backbone, "masked_spec_embed", None)) is not None:
        mask.requires_grad_(False)  # nothing is masked, so it would get no gradient
    frozen = [backbone.feature_extractor]
    if count:
        below = [child for key, child in backbone.encoder.named_children() if key == "pos_conv_embed"]
        frozen += [backbone.feature_projection, *below, *list(backbone.encoder.layers)[:count]]
        if not getattr(backbone.config, "do_stable_layer_norm", False):
            frozen.append(backbone.encoder.layer_norm)  # stands before the first block, in the others behind the last
    for part in frozen:
        part.requires_grad_(False)
    return frozen
