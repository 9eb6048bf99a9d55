"""The voice as a picture, against libraries that merkit does not use for it and formulae written out."""

import numpy as np
import pytest
import scipy.signal
from transformers.audio_utils import mel_filter_bank, spectrogram

from merkit.features.log_mel import LogMelExtractor, log_mel_columns, voiced_range
from merkit.networks.mel import mel_filters

RATE = 16_000
# of bands 0, 5, 20, 64, 100 and 127 at column 30 of `voice()`
GOLDEN = [0.193657, 0.164384, 0.071045, 0.079969, 0.084557, 0.067704]
REFERENCE_BANK = mel_filter_bank(257, 128, 80.0, 8000.0, RATE, norm="slaney", mel_scale="slaney")


def voice(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Harmonics that glide, on noise."""
    at = np.arange(round(seconds * RATE)) / RATE
    pitch = 120 * at + 40 * at**2
    tone = sum(np.sin(2 * np.pi * h * pitch) / h for h in range(1, 9))
    return (0.1 * tone + 0.01 * np.random.default_rng(seed).normal(size=len(at))).astype(np.float32)


def test_the_filters_are_those_of_another_library():
    made = mel_filters(128, 512, RATE, 80.0, 8000.0)
    np.testing.assert_allclose(made, REFERENCE_BANK.T, atol=1e-7)
    assert (made.sum(1) > 0).all(), "a band without any bin would be silent for ever"


def test_every_step_is_that_of_another_library():
    wave = voice()
    wave[300:330] = 0.0
    filled = np.where(wave == 0.0, 1e-10, wave.astype(np.float64))
    # Wiener by its definition: towards the local mean where the local variance is no more than noise
    mean = np.convolve(filled, np.ones(3) / 3, "same")
    variance = np.convolve(filled**2, np.ones(3) / 3, "same") - mean**2
    noise = variance.mean()
    quiet = variance < noise
    with np.errstate(all="ignore"):
        clean = np.where(quiet, mean, mean + (1 - noise / variance) * (filled - mean))
    # 20 log10 of magnitudes, no lower than 80 dB below the loudest
    decibels = spectrogram(
        clean, scipy.signal.get_window("hann", 512), frame_length=512, hop_length=256, fft_length=512, power=1.0,
        center=True, pad_mode="reflect", mel_filters=REFERENCE_BANK, mel_floor=1e-10, log_mel="dB", reference=1.0, min_value=1e-5,
        db_range=80.0, dtype=np.float64,
    )  # fmt: skip
    expected = (decibels / np.abs(decibels).max(0) + 1) / 2
    made = log_mel_columns(wave)
    assert made.shape == (1 + RATE // 256, 128)
    np.testing.assert_allclose(made, expected.T, atol=2e-6)


def test_golden_numbers():
    made = log_mel_columns(voice())
    np.testing.assert_allclose(made[30, [0, 5, 20, 64, 100, 127]], GOLDEN, atol=1e-5)
    assert made.min() == 0.0 and made.max() < 1.0


def test_silence_is_cut_off_as_by_definition():
    wave = np.concatenate([np.zeros(5000), voice(0.5).astype(float), np.full(3000, 1e-4), voice(0.3), np.zeros(7001)])
    # mean square around every 256th sample, ends reflected; loud = less than 20 dB under the loudest
    padded = np.pad(wave, 256, mode="reflect")
    energy = np.array([np.mean(padded[i * 256 : i * 256 + 512] ** 2) for i in range(1 + len(wave) // 256)])
    loud = [i for i, e in enumerate(energy) if 10 * np.log10(max(e, 1e-10) / energy.max()) > -20]
    first, last = voiced_range(wave)
    assert (first, last) == (loud[0] * 256, min(len(wave), (loud[-1] + 1) * 256))
    assert abs(first - 5000) < 512 and abs(last - (5000 + 8000 + 3000 + 4800)) < 512, "the pause in the middle stays"


@pytest.mark.parametrize("wave", [np.zeros(4000), np.full(4000, 0.2)])
def test_what_never_changes_is_not_cut_and_gives_numbers(wave):
    assert voiced_range(wave) == (0, 4000)
    made = log_mel_columns(wave)
    assert np.isfinite(made).all() and made.min() >= 0.0 and made.max() <= 1.0


def test_loudness_moves_nothing_but_the_scale_of_a_column():
    """Magnitudes, not complex numbers, go through the filters: a click has the same energy in every bin, whatever its phase."""
    click = np.zeros(4096)
    click[2048 + 37] = 1.0
    padded = np.pad(click, 256, mode="reflect")
    spectrum = np.fft.rfft(padded[8 * 256 : 8 * 256 + 512] * scipy.signal.get_window("hann", 512))
    right, wrong = REFERENCE_BANK.T @ np.abs(spectrum), np.abs(REFERENCE_BANK.T @ spectrum)
    wide = REFERENCE_BANK.T.astype(bool).sum(1) >= 6
    assert (wrong[wide] < 0.7 * right[wide]).all(), "the published order of steps loses wide bands of a click"
    from merkit.features import log_mel

    frame = log_mel._frames(click)[8]
    np.testing.assert_allclose(np.abs(np.fft.rfft(frame * log_mel._window())) @ log_mel._filters().T, right, rtol=1e-5)


def test_the_extractor_cuts_and_names_itself():
    wave = np.concatenate([np.zeros(8000, np.float32), voice(0.5), np.zeros(8000, np.float32)])
    extractor = LogMelExtractor()
    (made,) = extractor([wave])
    np.testing.assert_array_equal(made, log_mel_columns(wave[slice(*voiced_range(wave))]))
    assert extractor.id != LogMelExtractor(top_db=30.0).id and extractor.id.startswith("log-mel-128@")
