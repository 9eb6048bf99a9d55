"""Cuts on composed and on real pictures."""

from pathlib import Path

import av
import numpy as np
import pytest

from merkit.perception import ShotDetector


def _scene(seed: int, height: int = 72, width: int = 128) -> np.ndarray:
    """A picture with its own colours and its own shapes."""
    rng = np.random.default_rng(seed)
    frame = np.empty((height, width, 3))
    frame[:] = rng.uniform(20, 235, 3)
    for _ in range(14):
        y, x = rng.integers(0, height), rng.integers(0, width)
        frame[y : y + rng.integers(6, 40), x : x + rng.integers(6, 60)] = rng.uniform(0, 255, 3)
    return frame


def _shot(seed: int, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    base = _scene(seed)
    return [np.clip(base + rng.normal(0, 4, base.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def _cuts(frames: list[np.ndarray], **options: float) -> list[int]:
    """Indices of the frames at which a shot begins."""
    return [round(t) for t in ShotDetector(**options).update(np.stack(frames), np.arange(len(frames), dtype=float))]


@pytest.mark.parametrize("seed", range(6))
def test_hard_cuts_are_found_at_the_first_frame_after_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, 6)
    frames = [frame for i, n in enumerate(lengths) for frame in _shot(100 * seed + i, int(n), rng)]
    assert _cuts(frames) == np.cumsum(lengths)[:-1].tolist()


def test_the_division_into_calls_makes_no_difference() -> None:
    rng = np.random.default_rng(9)
    frames = np.stack([f for seed in (1, 2, 3) for f in _shot(seed, 5, rng)])
    times_s = np.arange(15) / 3
    whole = ShotDetector().update(frames, times_s)
    parts = ShotDetector()
    pieces = [parts.update(frames[a:b], times_s[a:b]) for a, b in ((0, 1), (1, 5), (5, 6), (6, 15))]
    assert whole == [t for piece in pieces for t in piece] == [pytest.approx(5 / 3), pytest.approx(10 / 3)]


def test_flashes_and_exposure_are_no_cuts() -> None:
    rng = np.random.default_rng(2)
    frames = _shot(5, 12, rng)
    frames[3] = np.full_like(frames[3], 255)  # a white flash
    frames[6] = np.clip(frames[6] * 1.5 + 30, 0, 255).astype(np.uint8)  # a lamp goes on for a moment
    frames[9] = (frames[9] * 0.5).astype(np.uint8)
    assert _cuts(frames) == []


def test_a_fade_through_black_counts_once() -> None:
    rng = np.random.default_rng(2)
    dark = [np.zeros((72, 128, 3), np.uint8)] * 3
    assert _cuts([*_shot(5, 4, rng), *dark, *_shot(6, 4, rng)]) == [7]
    assert _cuts([*_shot(5, 4, rng), *dark, *_shot(5, 4, rng)]) == []


def test_something_large_that_crosses_the_picture_is_no_cut() -> None:
    base = _scene(11)
    frames = []
    for step in range(10):
        frame = base.copy()
        left = step * 14 - 30
        frame[15:, max(0, left) : max(0, left + 36)] = (180, 140, 120)
        frames.append(frame.astype(np.uint8))
    assert _cuts(frames) == []


def test_a_slow_pan_is_no_cut() -> None:
    wide = _scene(21, 72, 260)
    assert _cuts([wide[:, 9 * i : 9 * i + 128].astype(np.uint8) for i in range(14)]) == []


def test_a_real_talking_face_has_no_cut_and_one_beside_another_scene_has_two(weights) -> None:
    frames = _carphone(weights, every=10)
    assert _cuts(frames) == []
    other = [np.clip(_scene(3, *frames[0].shape[:2]), 0, 255).astype(np.uint8)] * 3
    assert _cuts([*frames[:6], *other, *frames[6:]]) == [6, 9]


def _carphone(weights, every: int) -> list[np.ndarray]:
    (folder,) = weights("carphone")
    with av.open(str(Path(folder) / "carphone_pristine.mp4")) as container:
        return [f.to_ndarray(format="rgb24") for i, f in enumerate(container.decode(video=0)) if i % every == 0]


def test_a_threshold_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold"):
        ShotDetector(1.5)
