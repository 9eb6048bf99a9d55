"""Which crops are worth showing."""

import io

import numpy as np
from PIL import Image, ImageFilter

from merkit.perception.portraits import Portrait, best_spread, merit, to_jpeg


def _face_like(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    return small.resize((112, 112), Image.Resampling.BICUBIC)


def test_sharp_frontal_large_and_sure_each_count() -> None:
    picture = _face_like(0)
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(5)))
    crops = np.stack([np.asarray(picture), blurred, *[np.asarray(picture)] * 3])
    points = np.tile(np.array([[35.0, 45], [75, 45], [55, 65], [40, 88], [70, 88]]), (5, 1, 1))
    points[2, 2, 0] = 80  # the nose of a head turned away
    boxes = np.tile([0.0, 0, 90, 110], (5, 1))
    boxes[3] = [0, 0, 20, 24]
    prob = np.array([0.99, 0.99, 0.99, 0.99, 0.7])
    worth = merit(crops, points, boxes, prob)
    assert worth.argmax() == 0
    assert (worth[1:] < 0.9 * worth[0]).all()


def test_portraits_are_spread_over_time() -> None:
    rng = np.random.default_rng(0)
    many = [Portrait(float(t), float(m), b"") for t, m in zip(np.arange(200) / 3, rng.uniform(0, 1, 200), strict=True)]
    held: list[Portrait] = []
    for portrait in many:  # as they stream by
        held = best_spread([*held, portrait], 5)
    times = [portrait.time_s for portrait in held]
    assert times == sorted(times)
    assert np.diff(times).min() > 3.0


def test_jpeg_shows_the_crop() -> None:
    crop = np.asarray(_face_like(3))
    back = np.asarray(Image.open(io.BytesIO(to_jpeg(crop))))
    assert back.shape == crop.shape
    assert np.abs(back.astype(int) - crop).mean() < 6
