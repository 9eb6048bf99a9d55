"""Silero voice activity (16 kHz) as a plain module over the weights that the silero-vad package carries.

The package runs one 32 ms chunk at a time. Only the LSTM is sequential, so here the spectrogram and the convolutions
see all chunks of a call as one batch and the LSTM runs over them in one call: the same probabilities, far fewer calls.
The package stores another training run as safetensors than as TorchScript; the two agree on 99 % of chunks, and the
one that needs no unpickling is read here.
"""

from importlib.resources import files

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import WeightError

__all__ = ["CHUNK", "CONTEXT", "SileroVAD", "load_silero"]

CHUNK = 512  # samples: 32 ms
CONTEXT = 64  # samples of the previous chunk that each chunk sees


class SileroVAD(nn.Module):
    """Chunks of samples to the probability of speech.

    Example:
        >>> prob, state = SileroVAD()(torch.zeros(3, CONTEXT + CHUNK))
        >>> prob.shape
        torch.Size([3])
    """

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm = nn.LSTM(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(
        self, chunks: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One stretch of consecutive chunks.

        Args:
            chunks: `(T, CONTEXT + CHUNK)` float32 in [-1, 1], each with the end of the one before in front.
            state: what the last call returned; None at the start of a clip.

        Returns:
            `(T,)` probabilities in [0, 1] and the state after them.
        """
        x = F.pad(chunks, (0, 64), mode="reflect")[:, None]
        spectrum = self.stft_conv(x)
        x = (spectrum[:, :129].square() + spectrum[:, 129:].square()).sqrt()
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(conv(x))
        hidden, state = self.lstm(x.squeeze(-1), state)
        return torch.sigmoid(self.final_conv(F.relu(hidden).T[None]))[0, 0], state


def load_silero() -> SileroVAD:
    """The 16 kHz model of the installed silero-vad package, in evaluation mode.

    Raises:
        WeightError: the package does not carry the weights as safetensors.
    """
    # found without importing the package, whose __init__ pulls in audio back ends
    source = files("silero_vad.data") / "silero_vad_16k.safetensors"
    try:
        state = load(source.read_bytes())
    except OSError as error:
        raise WeightError(f"no 16 kHz safetensors in silero-vad ({error}): reinstall silero-vad >= 6.2.1") from None
    renamed = {name.replace("lstm_cell.weight_ih", "lstm.weight_ih_l0"): value for name, value in state.items()}
    for part in ("weight_hh", "bias_ih", "bias_hh"):
        renamed[f"lstm.{part}_l0"] = renamed.pop(f"lstm_cell.{part}")
    model = SileroVAD()
    model.load_state_dict(renamed)
    return model.eval().requires_grad_(False)
