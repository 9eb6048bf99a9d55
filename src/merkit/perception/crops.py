"""Square crops out of many pictures at once, each resampled once.

Every crop of a batch is cut by the same few array operations: the pixels under all boxes are gathered, then averaged
down one axis and then the other by small matrices. Reduction averages by area and enlargement is bilinear, as one
formula: a box filter as wide as the larger of one source pixel and one target pixel. Boxes much larger than their crop
read from a halved copy of the picture, so that the pixels gathered never exceed four times the pixels made.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ["FACE_MARGIN", "FACE_SHIFT", "PicturePyramid", "crop_faces", "face_squares"]

# The square that reproduces FER2013's framing, as multiples of the detector box's longer side. Measured on 1050 of its
# training pictures (150 per class) enlarged to 96, 144 and 192 px, found in 82 to 87 %: edge of the picture over longer
# side 0.92 to 0.94 in the median (quartiles 0.83 and 1.02), box centre above the picture's by -0.2 to 0.5 % (quartiles
# -3 and 4 %), eyes at 39 % of the height, mouth at 80 %. Sideways, the detector's boxes lie 2 % too far left, and so do
# the original implementation's: mirrored pictures show it, and that FER2013's faces are centred to within 0.4 %. Half
# of the faces are rolled by less than 5 degrees and a tenth by more than 10: FER2013 did not level the eyes, nor do
# these crops.
FACE_MARGIN = 0.93
FACE_SHIFT = (0.02, 0.0)

# Crops made in one go: bounds the memory of a batch with many faces (112 px: at most 0.6 MB each).
_CHUNK = 64
_SMALLEST = 8


class PicturePyramid:
    """Equal-sized RGB pictures at full, half, quarter … size, made when first asked for.

    Args:
        frames: `(n, H, W, 3)` uint8 RGB. Not copied.

    Example:
        >>> pictures = PicturePyramid(np.zeros((2, 90, 160, 3), np.uint8))
        >>> pictures.resized(18, 32).shape
        torch.Size([2, 3, 18, 32])
    """

    def __init__(self, frames: np.ndarray) -> None:
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
            raise ValueError(f"frames must be (n, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
        self.count, self.height, self.width = frames.shape[:3]
        # (n, H, W, 3) seen as (n, 3, H, W) in channels-last order: the layout for which torch resizes bytes fastest
        self._levels: list[Tensor] = [_as_tensor(frames).permute(0, 3, 1, 2)]

    def level(self, wanted: int) -> tuple[int, Tensor]:
        """Level `wanted`, or the smallest there is: its number `l` and `(n, 3, H / 2^l, W / 2^l)` uint8."""
        while len(self._levels) <= wanted and min(self._levels[-1].shape[2:]) >= 2 * _SMALLEST:
            self._levels.append(_halved(self._levels[-1]))
        number = min(wanted, len(self._levels) - 1)
        return number, self._levels[number]

    def resized(self, height: int, width: int) -> Tensor:
        """All pictures at `(n, 3, height, width)` uint8, antialiased, channels last in memory."""
        reduction = min(self.height / height, self.width / width)
        return _resize(self.level(max(0, int(np.log2(max(reduction, 1.0)))))[1], height, width)

    def squares(self, index: np.ndarray, boxes: np.ndarray, size: int) -> Tensor:
        """Resamples boxes to squares; what lies outside the picture repeats its border.

        Args:
            index: `(k,)` picture of each box.
            boxes: `(k, 4)` x0 y0 x1 y1 in pixels, continuous: a picture spans 0 to its width.
            size: edge of the result in pixels.

        Returns:
            `(k, 3, size, size)` float32 in [0, 255], channels last in memory.
        """
        made = torch.empty(len(boxes), size, size, 3)
        if not len(boxes):
            return made.permute(0, 3, 1, 2)
        ratio = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) / size
        wanted = np.floor(np.log2(np.clip(ratio, 1.0, None))).astype(np.int64)
        for step in np.unique(wanted):
            number, pictures = self.level(int(step))
            rows = np.flatnonzero(wanted == step)
            for start in range(0, len(rows), _CHUNK):
                part = rows[start : start + _CHUNK]
                made[torch.from_numpy(part)] = _gather(pictures, index[part], boxes[part] / 2**number, size)
        return made.permute(0, 3, 1, 2)


def crop_faces(
    frames: np.ndarray,
    boxes: np.ndarray,
    *,
    index: np.ndarray | None = None,
    size: int = 112,
    margin: float = FACE_MARGIN,
    shift: tuple[float, float] = FACE_SHIFT,
) -> np.ndarray:
    """One square crop per face box, framed as the expression networks' training pictures are.

    Args:
        frames: `(H, W, 3)` or `(n, H, W, 3)` uint8 RGB.
        boxes: `(k, 4)` detector boxes, x0 y0 x1 y1 in pixels.
        index: `(k,)` picture of each box; may be left out where there is one picture.
        size: edge of a crop in pixels.
        margin: edge of the square as a multiple of the box's longer side.
        shift: how far the square's centre lies right of and below the box's, as shares of the longer side.

    Returns:
        `(k, size, size, 3)` uint8 RGB.

    Example:
        >>> crop_faces(np.full((60, 80, 3), 7, np.uint8), np.array([[10.0, 10, 40, 50]])).shape
        (1, 112, 112, 3)
    """
    pictures = frames[None] if frames.ndim == 3 else frames
    if index is None:
        if len(pictures) != 1:
            raise ValueError(f"{len(pictures)} pictures need an index (k,) that says which one each box is of")
        index = np.zeros(len(boxes), np.int64)
    return crops_of(PicturePyramid(pictures), index, boxes, size=size, margin=margin, shift=shift)


def crops_of(
    pictures: PicturePyramid,
    index: np.ndarray,
    boxes: np.ndarray,
    *,
    size: int = 112,
    margin: float = FACE_MARGIN,
    shift: tuple[float, float] = FACE_SHIFT,
) -> np.ndarray:
    """`crop_faces` out of a pyramid that the detector has already made."""
    squares = pictures.squares(index, face_squares(boxes, margin, shift), size)
    return squares.permute(0, 2, 3, 1).round_().to(torch.uint8).numpy()


def face_squares(boxes: np.ndarray, margin: float = FACE_MARGIN, shift: tuple[float, float] = FACE_SHIFT) -> np.ndarray:
    """Detector boxes `(k, 4)` px -> the squares `(k, 4)` px that are cropped for them.

    Example:
        >>> face_squares(np.array([[0.0, 0, 10, 20]]), margin=1.0, shift=(0, 0)).tolist()
        [[-5.0, 0.0, 15.0, 20.0]]
    """
    longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + longer[:, None] * np.asarray(shift)
    half = (longer * margin / 2)[:, None]
    return np.concatenate([centre - half, centre + half], axis=1)


def _as_tensor(frames: np.ndarray) -> Tensor:
    # torch warns about read-only arrays because it could write to them; nothing here writes to level 0
    if not frames.flags.writeable or not frames.flags.c_contiguous:
        frames = np.array(frames, order="C")
    return torch.from_numpy(frames)


def _resize(pictures: Tensor, height: int, width: int) -> Tensor:
    if tuple(pictures.shape[2:]) == (height, width):
        return pictures
    return interpolate(pictures, size=(height, width), mode="bilinear", antialias=True)


def _halved(pictures: Tensor) -> Tensor:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = pictures.shape[2:]
    quads = pictures.permute(0, 2, 3, 1)[:, : height // 2 * 2, : width // 2 * 2]
    # in whole numbers: a third of the time of torch's pooling, which wants floats (its bilinear halving rounds up)
    rows = quads[:, ::2].to(torch.int16).add_(quads[:, 1::2])
    means = rows[:, :, ::2].add(rows[:, :, 1::2]).add_(2).bitwise_right_shift_(2)
    return means.to(torch.uint8).permute(0, 3, 1, 2)


def _gather(pictures: Tensor, index: np.ndarray, boxes: np.ndarray, size: int) -> Tensor:
    """`(k, size, size, 3)` float32 of boxes that shrink less than twofold from these pictures."""
    height, width = pictures.shape[2:]
    cols, across = _taps(boxes[:, 0], boxes[:, 2], size, width)
    rows, down = _taps(boxes[:, 1], boxes[:, 3], size, height)
    flat = pictures.permute(0, 2, 3, 1).reshape(-1, 3)
    where = ((index[:, None] * height + rows) * width)[:, :, None] + cols[:, None, :]
    patch = flat[torch.from_numpy(where)].float()  # (k, rows, cols, 3)
    k, r, c = where.shape
    # down the rows, then (with rows and columns swapped) along the columns
    half = torch.bmm(down, patch.view(k, r, c * 3)).view(k, size, c, 3).transpose(1, 2).reshape(k, c, size * 3)
    return torch.bmm(across, half).view(k, size, size, 3).transpose(1, 2)


def _taps(start: np.ndarray, stop: np.ndarray, size: int, limit: int) -> tuple[np.ndarray, Tensor]:
    """Source pixels along one axis `(k, p)` and their weights `(k, size, p)` for every target pixel."""
    step = (stop - start) / size
    reach = np.maximum(step, 1.0)
    first = np.floor(start + step / 2 - reach / 2).astype(np.int64)
    span = int(np.ceil((stop - step / 2 + reach / 2 - first).max())) + 1
    pixel = first[:, None] + np.arange(span)
    centre = (start - first)[:, None] + (np.arange(size) + 0.5) * step[:, None]  # relative: stays exact in float32
    low, high = centre - reach[:, None] / 2, centre + reach[:, None] / 2
    edge = np.arange(span, dtype=np.float64)
    overlap = np.minimum(high[:, :, None], edge + 1) - np.maximum(low[:, :, None], edge)
    weight = np.clip(overlap, 0.0, None) / reach[:, None, None]
    return np.clip(pixel, 0, limit - 1), torch.from_numpy(weight.astype(np.float32))
