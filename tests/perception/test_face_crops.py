"""Crops against integrals over the picture and against torch's own sampling."""

import numpy as np
import pytest
import torch
from torch.nn.functional import grid_sample

from merkit.perception import FACE_MARGIN, PicturePyramid, crop_faces, face_squares


def _smooth(height: int, width: int, count: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(x / rng.uniform(9, 30) + rng.uniform(0, 6)) + np.cos(y / rng.uniform(9, 30)) for _ in range(3 * count)
    ]
    return (
        np.clip(128 + 55 * np.stack(waves, -1), 0, 255)
        .astype(np.uint8)
        .reshape(height, width, count, 3)
        .swapaxes(0, 2)
        .swapaxes(1, 2)
    )


def _area_mean(frame: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Exact mean over every cell, from the picture's antiderivative, linear between whole pixels."""
    total = np.zeros((frame.shape[0] + 1, frame.shape[1] + 1, 3))
    total[1:, 1:] = frame.astype(np.float64).cumsum(0).cumsum(1)
    xs, ys = np.linspace(box[0], box[2], size + 1), np.linspace(box[1], box[3], size + 1)

    def along(values: np.ndarray, at: np.ndarray) -> np.ndarray:
        low = np.clip(np.floor(at).astype(int), 0, len(values) - 2)
        part = (at - low).reshape(-1, *([1] * (values.ndim - 1)))
        return values[low] * (1 - part) + values[low + 1] * part

    corners = along(along(total, ys).swapaxes(0, 1), xs).swapaxes(0, 1)
    sums = corners[1:, 1:] - corners[:-1, 1:] - corners[1:, :-1] + corners[:-1, :-1]
    return sums / ((xs[1] - xs[0]) * (ys[1] - ys[0]))


def test_reduction_is_the_exact_area_mean() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    boxes = np.array([[3.2, 5.7, 51.9, 60.1], [20.0, 10, 68, 58], [40.5, 0.25, 119.0, 77.0]])
    for size in (24, 40):
        wide = boxes[(boxes[:, 2] - boxes[:, 0]) / size < 2]  # read from the full picture
        made = PicturePyramid(frame[None]).squares(np.zeros(len(wide), int), wide, size)
        for crop, box in zip(made.permute(0, 2, 3, 1).numpy(), wide, strict=True):
            np.testing.assert_allclose(crop, _area_mean(frame, box, size), atol=2e-3)


def test_enlargement_is_bilinear() -> None:
    frame = np.random.default_rng(2).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    box, size = np.array([[-3.0, 8.5, 17.0, 28.5]]), 48  # reaches over the left border
    at = (np.arange(size) + 0.5) / size * 20.0
    x, y = np.meshgrid((box[0, 0] + at) / 60 * 2 - 1, (box[0, 1] + at) / 40 * 2 - 1)
    grid = torch.from_numpy(np.stack([x, y], -1)[None]).float()
    source = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
    expected = grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)
    made = PicturePyramid(frame[None]).squares(np.zeros(1, int), box, size)
    torch.testing.assert_close(made, expected, atol=0.05, rtol=0)


def test_strong_reduction_reads_halved_pictures_and_still_averages() -> None:
    frame = _smooth(480, 640)[0]
    box = np.array([37.0, 21.0, 437.0, 421.0])
    made = PicturePyramid(frame[None]).squares(np.zeros(1, int), box[None], 48)[0].permute(1, 2, 0).numpy()
    expected = _area_mean(frame, box, 48)
    assert np.abs(made - expected).mean() < 0.05 * expected.std()
    assert (made - expected).mean() == pytest.approx(
        0.0, abs=0.8
    )  # halves of a grey level are rounded up, level by level


def test_a_crop_does_not_depend_on_what_else_is_in_the_batch() -> None:
    frames = _smooth(100, 140, count=3)
    rng = np.random.default_rng(4)
    corner = rng.uniform(-10, 80, (150, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(8, 120, (150, 1))], axis=1)
    index = rng.integers(0, 3, 150)
    together = crop_faces(frames, boxes, index=index)
    for i in (0, 77, 149):
        alone = crop_faces(frames[index[i]], boxes[i : i + 1])
        assert np.abs(alone[0].astype(int) - together[i]).max() <= 1


def test_the_border_is_repeated_outside_the_picture() -> None:
    frame = np.zeros((50, 50, 3), np.uint8)
    frame[:, :25], frame[:, 25:] = (10, 20, 30), (200, 100, 50)
    crop = crop_faces(frame, np.array([[-60.0, -60, 20, 20]]), margin=1.0, shift=(0.0, 0.0))
    assert (crop == [10, 20, 30]).all()
    crop = crop_faces(frame, np.array([[30.0, 30, 130, 130]]), margin=1.0, shift=(0.0, 0.0))
    assert (crop == [200, 100, 50]).all()


def test_a_whole_picture_as_its_own_box_comes_back_unchanged() -> None:
    tiles = np.random.default_rng(5).integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)
    whole = np.tile([0.0, 0, 48, 48], (4, 1))
    assert (crop_faces(tiles, whole, index=np.arange(4), size=48, margin=1.0, shift=(0.0, 0.0)) == tiles).all()


def test_margin_and_shift_place_the_square() -> None:
    made = face_squares(np.array([[100.0, 50, 140, 110]]), margin=1.5, shift=(0.0, 0.1))
    assert made.tolist() == [[75.0, 41.0, 165.0, 131.0]]
    assert face_squares(np.array([[0.0, 0, 10, 10]]), margin=1.0, shift=(0.2, 0)).tolist() == [[2.0, 0.0, 12.0, 10.0]]
    side = np.diff(face_squares(np.array([[100.0, 50, 140, 110]]))[0, [0, 2]])
    assert side == pytest.approx(60 * FACE_MARGIN)


def test_no_box_gives_no_crop_and_wrong_input_says_so() -> None:
    frames = np.zeros((2, 20, 20, 3), np.uint8)
    assert crop_faces(frames, np.zeros((0, 4)), index=np.zeros(0, int)).shape == (0, 112, 112, 3)
    with pytest.raises(ValueError, match="index"):
        crop_faces(frames, np.zeros((1, 4)))
    with pytest.raises(ValueError, match="uint8"):
        PicturePyramid(frames.astype(np.float32))
