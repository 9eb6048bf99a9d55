"""SpecAugment and brightness of spectrograms against np.interp, plain loops and the distributions of the paper."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from augmented_batches import SPECS, batch_of, spectrograms
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest
from torch import Tensor

from merkit.data.augment import BrightnessContrast, SpecAugment
from merkit.data.augment.spectrogram import time_warp
from merkit.errors import ConfigError

LENGTHS = [120, 60, 11, 10, 3, 1, 0, 90]


def speech(batch) -> Tensor:
    return batch.tokens["speech"].x[:, 0]


def augmented(step, batch, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    out = step(batch, SPECS)
    assert torch.equal(out.tokens["speech"].mask, batch.tokens["speech"].mask)  # what is real stays real
    return speech(out)


@given(st.data())
def test_the_warp_is_a_piecewise_linear_map_of_time(data) -> None:
    n, padding = data.draw(st.integers(3, 40)), data.draw(st.integers(0, 5))
    place = data.draw(st.integers(1, n - 2))
    shift = data.draw(st.floats(-place + 0.5, n - 1.5 - place).filter(lambda w: w == 0 or abs(w) > 1e-3))
    values = np.random.default_rng(n).random((n + padding, 3)).astype(np.float32)
    warped = time_warp(
        torch.from_numpy(values)[None, None], torch.tensor([[n]]), torch.tensor([[place]]), torch.tensor([[shift]])
    )
    source = np.interp(np.arange(n), [0, place + shift, n - 1], [0, place, n - 1])
    wanted = np.stack([np.interp(source, np.arange(n), column) for column in values[:n].T], 1)
    np.testing.assert_allclose(warped[0, 0, :n], wanted, atol=2e-5)
    np.testing.assert_array_equal(warped[0, 0, n:], values[n:])


def test_a_ramp_bends_by_less_than_w_and_keeps_its_ends() -> None:
    size, lengths = 80, [80] * 200 + [40] * 200
    ramp = torch.arange(1.0, size + 1).repeat(400, 1)[..., None]
    batch = batch_of({"speech": lengths}, {"speech": ramp})
    out = augmented(SpecAugment(warp=5, frequency_masks=0, time_masks=0), batch)[..., 0]
    bends = (out - speech(batch)[..., 0]).abs()
    assert 4.8 < bends.max() < 5
    assert bends[:, 0].max() == 0 and all(bends[i, n - 1] == 0 for i, n in enumerate(lengths))
    assert not out[200:, 40:].any()
    rising = [(out[i, :n].diff() > 0).all() for i, n in enumerate(lengths)]
    assert all(rising)
    # where a ramp bends most is where the anchor went: everywhere in [W, n - 1 - W], to either side
    anchors = np.array([speech(batch)[i, int(bends[i].argmax())] - 1 for i in range(200)])
    assert anchors.min() < 12 and anchors.max() > 67 and 30 < anchors.mean() < 50
    left = sum(bool((out[i] < speech(batch)[i, :, 0]).any()) for i in range(400))
    assert 160 < left < 240


def test_the_warp_does_not_hang_on_what_the_spectrogram_shows() -> None:
    # published code took a value of the spectrogram for the place to warp
    batch = spectrograms([50, 64])
    step = SpecAugment(frequency_masks=0, time_masks=0)
    loud = batch_of({"speech": [50, 64]}, {"speech": 64 * speech(batch)})
    torch.testing.assert_close(augmented(step, loud), 64 * augmented(step, batch))


def spans(hidden: np.ndarray) -> list[int]:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_masks_are_whole_bands_and_stretches_within_the_clip_and_narrower_than_asked() -> None:
    batch = spectrograms([200, 100] * 40 + [30] * 20)
    before, out = speech(batch), augmented(SpecAugment(warp=0), batch)
    for i, n in enumerate(batch.tokens["speech"].mask.sum(-1).flatten().tolist()):
        hidden = (out[i, :n] == 0).numpy()
        frames, bands = hidden.all(1), hidden.all(0)
        np.testing.assert_array_equal(hidden, frames[:, None] | bands)
        assert torch.equal(out[i, :n][~torch.from_numpy(hidden)], before[i, :n][~torch.from_numpy(hidden)])
        if not frames.all():
            assert len(spans(bands)) <= 3 and bands.sum() <= 3 * 26
        assert len(spans(frames)) <= 4 and frames.sum() <= 4 * 49


def test_widths_and_places_of_masks_are_evenly_drawn() -> None:
    batch = spectrograms([100] * 3000 + [200], bands=40)  # a longer one, so that the others are padded
    for step, axis, most, size in (
        (SpecAugment(warp=0, frequency_masks=1, frequency_width=8, time_masks=0), 1, 8, 40),
        (SpecAugment(warp=0, frequency_masks=0, time_masks=1, time_width=20), 2, 20, 100),
        (SpecAugment(warp=0, frequency_masks=0, time_masks=1, time_width=80, time_share=0.1), 2, 10, 100),
    ):
        hidden = (augmented(step, batch)[:3000, :100] == 0).all(axis).numpy()
        width = hidden.sum(1)
        counts = np.bincount(width, minlength=most)
        assert len(counts) == most and chisquare(counts).pvalue > 0.001
        assert all(len(spans(row)) <= 1 for row in hidden)
        first = hidden.argmax(1)[width > 0]
        room = size - width[width > 0]
        assert first.min() == 0 and (first == room).any()  # both edges can be covered
        jitter = np.random.default_rng(0).random(len(first))
        assert kstest((first + jitter) / (room + 1), "uniform").pvalue > 0.001


def test_clips_of_any_length_come_through() -> None:
    batch = spectrograms(LENGTHS)
    x, mask = speech(batch), batch.tokens["speech"].mask[:, 0]
    for seed in range(20):
        out = augmented(SpecAugment(fill=7.0), batch, seed)
        assert torch.isfinite(out).all() and not out[~mask].any()
        only = augmented(SpecAugment(frequency_masks=0, time_masks=0), batch, seed)
        assert torch.equal(only[3:7], x[3:7]) and not torch.equal(only[:3], x[:3])  # shorter than 2 W + 1: not warped
        stretches = augmented(SpecAugment(warp=0, frequency_masks=0, time_masks=1), batch, seed)
        # one mask never takes a whole clip
        assert all(stretches[i, :n].any() for i, n in enumerate(LENGTHS) if n)


def test_masked_cells_get_the_fill_and_others_do_not() -> None:
    batch = spectrograms([60, 40])
    zero, filled = (augmented(SpecAugment(fill=fill), batch) for fill in (0.0, 9.0))
    real = batch.tokens["speech"].mask[:, 0, :, None].expand_as(zero)
    assert torch.equal(filled == 9, (zero == 0) & real) and (filled == 9).any()


def test_the_same_seed_is_the_same_change_and_every_clip_has_its_own() -> None:
    batch = batch_of({"speech": [90] * 6}, {"speech": spectrograms([90]).tokens["speech"].x[:, 0].repeat(6, 1, 1)})
    for step in (SpecAugment(), BrightnessContrast()):
        one = augmented(step, batch, 4)
        assert torch.equal(one, augmented(step, batch, 4)) and not torch.equal(one, augmented(step, batch, 5))
        assert all(not torch.equal(one[0], one[i]) for i in range(1, 6))
        assert torch.equal(speech(batch), spectrograms([90]).tokens["speech"].x[0].expand(6, -1, -1))  # not in place


@pytest.mark.parametrize("step", [SpecAugment(prob=0.7), BrightnessContrast(prob=0.7)])
def test_a_share_of_clips_is_changed(step) -> None:
    batch = spectrograms([20] * 2000, bands=4)
    same = (augmented(step, batch) == speech(batch)).all(-1).all(-1).float().mean()
    assert abs(float(same) - 0.3) < 0.04
    assert torch.equal(augmented(replace(step, prob=0.0), batch), speech(batch))


def test_brightness_and_contrast_are_one_line_through_each_clip() -> None:
    # values that no draw can bring to an edge tell the line; a second batch tells the edges
    values = torch.rand(600, 9, 5, generator=torch.Generator().manual_seed(1))
    inner = batch_of({"speech": [9, 7] * 300}, {"speech": 0.4 + 0.2 * values})
    out = augmented(BrightnessContrast(brightness=0.2, contrast=0.3), inner)
    lines = []
    for i, n in enumerate([9, 7] * 300):
        x, y = (part[i, :n].numpy().astype(np.float64).ravel() for part in (speech(inner), out))
        line = np.polyfit(x, y, 1)
        np.testing.assert_allclose(np.polyval(line, x), y, atol=1e-6)
        assert not out[i, n:].any()
        lines.append(line)
    alpha, beta = np.array(lines).T
    assert kstest((alpha - 0.7) / 0.6, "uniform").pvalue > 0.01
    assert kstest((beta + 0.2) / 0.4, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(alpha, beta)[0, 1]) < 0.15
    wide = spectrograms([9, 7] * 300, bands=5)
    for i, row in enumerate(augmented(BrightnessContrast(brightness=0.2, contrast=0.3), wide)):
        n = 9 - 2 * (i % 2)
        wanted = np.clip(np.polyval(lines[i], speech(wide)[i, :n].numpy()), 0, 1)
        np.testing.assert_allclose(row[:n], wanted, atol=2e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SpecAugment(warp=-1), lambda: SpecAugment(time_share=1.5), lambda: SpecAugment(prob=2.0),
        lambda: BrightnessContrast(contrast=1.5), lambda: BrightnessContrast(prob=-0.1),
        lambda: SpecAugment(stream="face")(spectrograms([3]), SPECS),
        lambda: BrightnessContrast("face")(spectrograms([3]), SPECS),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make) -> None:
    with pytest.raises(ConfigError):
        make()
