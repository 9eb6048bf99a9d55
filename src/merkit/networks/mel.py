"""Log-mel spectrogram as Whisper was trained on it (Radford et al. 2022, section 2.2)."""

import numpy as np
import torch

__all__ = ["HOP", "log_mel", "mel_filters"]

SAMPLE_RATE = 16_000
WINDOW = 400  # 25 ms
HOP = 160  # 10 ms
BANDS = 80


def mel_filters(
    bands: int = BANDS,
    window: int = WINDOW,
    rate_hz: int = SAMPLE_RATE,
    low_hz: float = 0.0,
    high_hz: float | None = None,
) -> np.ndarray:
    """Slaney's mel filter bank with unit area: `(bands, window / 2 + 1)` float32.

    Linear up to 1 kHz at 200/3 Hz a mel, logarithmic above with 27 mels per factor 6.4 (Slaney 1998, Auditory Toolbox). The first
    band begins at `low_hz`, the last one ends at `high_hz`; None = half of the rate.

    Example:
        >>> mel_filters().shape
        (80, 201)
    """
    step, corner, log_step = 200.0 / 3, 1000.0, np.log(6.4) / 27

    def to_mel(hz: np.ndarray) -> np.ndarray:
        return np.where(hz < corner, hz / step, corner / step + np.log(np.maximum(hz, corner) / corner) / log_step)

    def to_hz(mel: np.ndarray) -> np.ndarray:
        return np.where(mel < corner / step, mel * step, corner * np.exp(log_step * (mel - corner / step)))

    high_hz = rate_hz / 2 if high_hz is None else high_hz
    edges = to_hz(np.linspace(to_mel(np.array(low_hz)), to_mel(np.array(high_hz)), bands + 2))
    bins = np.fft.rfftfreq(window, 1 / rate_hz)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return (np.clip(np.minimum(rising, falling), 0.0, None) * area[:, None]).astype(np.float32)


_FILTERS = torch.from_numpy(mel_filters())
_HANN = torch.hann_window(WINDOW)


def log_mel(samples: np.ndarray, length: int | None = None) -> torch.Tensor:
    """Log-mel of a waveform: `(80, T)` float32, 100 columns a second.

    Args:
        samples: `(n,)` float32 mono at 16 kHz in [-1, 1].
        length: pad with silence (or cut) to this many samples first. Whisper's decoder was trained on 480,000 (30 s).

    Returns:
        log10 power in 80 mel bands, floored 8 below the loudest, then `(x + 4) / 4`.

    Example:
        >>> import numpy as np
        >>> log_mel(np.zeros(16_000, np.float32)).shape
        torch.Size([80, 100])
    """
    wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
    if length is not None:
        wave = torch.nn.functional.pad(wave[:length], (0, max(0, length - len(wave))))
    if len(wave) < WINDOW:
        wave = torch.nn.functional.pad(wave, (0, WINDOW - len(wave)))
    spectrum = torch.stft(wave, WINDOW, HOP, window=_HANN, return_complex=True)[:, :-1]
    power = spectrum.real.square() + spectrum.imag.square()
    log = torch.log10((_FILTERS @ power).clamp_min(1e-10))
    return (torch.maximum(log, log.max() - 8.0) + 4.0) / 4.0
