"""Faces in pictures: the MTCNN cascade, run over a batch of frames at once.

Zhang et al. 2016 (arXiv:1604.02878): a small network proposes boxes at every place and scale, a second one sifts them,
a third one decides and places five points. The networks are `merkit.networks`'; the cascade here keeps all frames of a
batch together in every stage. It counts pixels continuously from 0, where the MATLAB original counts from 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from merkit.networks import MTCNNNets, load_mtcnn
from merkit.perception.boxes import iou, moved, squared, suppress
from merkit.perception.crops import PicturePyramid

__all__ = ["FaceDetector", "Faces"]

Net = TypeVar("Net", bound=nn.Module)

# Side of the picture that one cell of the proposal network sees, and the distance between cells.
_FIELD, _STRIDE = 12, 2
# Smallest face looked for by default, as a share of the picture's shorter side: 24 px of 360, the size below which an
# expression cannot be read, and never less than that in pixels.
_SHARE, _LEAST_PX = 1 / 15, 24.0
# Proposals that may survive per frame: a picture of pure texture must not cost minutes.
_MOST = 300
# Frames that go through the proposal network together, and crops through the others: more of them fall out of the
# processor's cache (refinement of one crop: 0.05 ms among 16, 0.09 ms among 512).
_TOGETHER, _CROPS_TOGETHER = 4, 32


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The faces of one picture, most probable first.

    Args:
        boxes: `(k, 4)` float32 x0 y0 x1 y1 in pixels; may reach a little outside the picture.
        prob: `(k,)` float32, the detector's probability of a face, in [0, 1].
        points: `(k, 5, 2)` float32 x, y in pixels: eyes, nose, corners of the mouth, left as seen in the picture first.

    Example:
        >>> len(Faces.none())
        0
    """

    boxes: np.ndarray
    prob: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def none(cls) -> "Faces":
        """No face at all."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))


@dataclass(slots=True, eq=False)
class _Found:
    """Candidates of all pictures in one list: which picture `(k,)`, box `(k, 4)`, probability `(k,)`."""

    index: np.ndarray
    boxes: np.ndarray
    prob: np.ndarray

    def take(self, rows: np.ndarray) -> "_Found":
        return _Found(self.index[rows], self.boxes[rows], self.prob[rows])


class FaceDetector:
    """Finds faces in batches of equal-sized frames.

    Args:
        min_face_px: height of the smallest face looked for, in pixels of the frame; None for a fifteenth of the
            frame's shorter side but at least 24. Half of it costs four times the time.
        thresholds: least probability to pass each of the three stages, in [0, 1].
        factor: ratio between neighbouring scales of the search, in (0, 1). The original's 0.6 for the first threshold
            and 0.709 here take half as long again and find 3 faces more of 1296 composed ones (7 missed, not 10).
        networks: the three networks; None for the catalogue's `mtcnn`.

    Raises:
        WeightError: the weights are not on this machine.

    Example:
        >>> detector = FaceDetector()  # doctest: +SKIP
        >>> [len(faces) for faces in detector.detect(frames)]  # doctest: +SKIP
        [1, 1, 2]
    """

    def __init__(
        self,
        *,
        min_face_px: float | None = None,
        thresholds: Sequence[float] = (0.7, 0.7, 0.7),
        factor: float = 0.6,
        networks: MTCNNNets | None = None,
    ) -> None:
        if min_face_px is not None and min_face_px < _FIELD:
            raise ValueError(f"min_face_px must be at least {_FIELD}, got {min_face_px}")
        if len(thresholds) != 3 or not all(0.0 <= value <= 1.0 for value in thresholds):
            raise ValueError(f"thresholds must be three values in [0, 1], got {thresholds}")
        if not 0.0 < factor < 1.0:
            raise ValueError(f"factor must lie between 0 and 1, got {factor}")
        self.min_face_px = min_face_px
        self.thresholds = tuple(thresholds)
        self.factor = factor
        nets = load_mtcnn() if networks is None else networks
        # channels last in memory: the layout in which these narrow convolutions run fastest (2.8 for 4.4 ms a frame)
        self.networks = MTCNNNets(_channels_last(nets.pnet), _channels_last(nets.rnet), _channels_last(nets.onet))

    def detect(self, frames: np.ndarray) -> list[Faces]:
        """The faces of each frame; a frame's result does not depend on the others in the batch.

        Args:
            frames: `(n, H, W, 3)` uint8 RGB, upright.
        """
        return self.detect_in(PicturePyramid(frames))

    def detect_in(self, pictures: PicturePyramid) -> list[Faces]:
        """`detect` for frames whose pyramid is already there and will be used again for the crops."""
        if not pictures.count:
            return []
        with torch.inference_mode():
            found = self._sift(pictures, self._propose(pictures))
            found, points = self._decide(pictures, found)
        bounds = np.searchsorted(found.index, np.arange(pictures.count + 1))
        return [
            Faces(
                found.boxes[a:b].astype(np.float32), found.prob[a:b].astype(np.float32), points[a:b].astype(np.float32)
            )
            for a, b in pairwise(bounds)
        ]

    def _scales(self, height: int, width: int) -> Iterator[float]:
        least = self.min_face_px or max(_LEAST_PX, _SHARE * min(height, width))
        scale = _FIELD / least
        while min(height, width) * scale >= _FIELD:
            yield scale
            scale *= self.factor

    def _propose(self, pictures: PicturePyramid) -> _Found:
        """Stage 1: the proposal network over every scale of every picture."""
        parts: list[_Found] = []
        for scale in self._scales(pictures.height, pictures.width):
            height = max(_FIELD, round(pictures.height * scale))
            width = max(_FIELD, round(pictures.width * scale))
            resized = pictures.resized(height, width)
            # boxes in pixels of the full picture; the two axes round differently
            grain = np.tile([pictures.width / width, pictures.height / height], 2)
            at_scale = [
                self._cells(resized[start : start + _TOGETHER], start, grain)
                for start in range(0, pictures.count, _TOGETHER)
            ]
            joined, offsets = _join([found for found, _ in at_scale]), np.concatenate([o for _, o in at_scale])
            rows = suppress(joined.boxes, joined.prob, joined.index, 0.5)
            joined = joined.take(rows)
            joined.boxes = np.concatenate([joined.boxes, offsets[rows]], axis=1)
            parts.append(joined)
        found = _join(parts) if parts else _Found(np.zeros(0, np.int64), np.zeros((0, 8)), np.zeros(0))
        found = found.take(suppress(found.boxes[:, :4], found.prob, found.index, 0.7))
        found = found.take(_best(found.index, _MOST))
        found.boxes = squared(moved(found.boxes[:, :4], found.boxes[:, 4:]))
        return found

    def _cells(self, pictures: Tensor, start: int, grain: np.ndarray) -> tuple[_Found, np.ndarray]:
        """Cells of one scale that may hold a face, and the offsets `(k, 4)` by which their boxes should move."""
        prob, offsets = self.networks.pnet(_normal(pictures.float()))
        hit = prob >= self.thresholds[0]
        index, row, col = (axis.numpy() for axis in hit.nonzero(as_tuple=True))
        corner = np.stack([col, row], axis=1) * float(_STRIDE)
        boxes = np.concatenate([corner, corner + _FIELD], axis=1) * grain
        return (
            _Found(index + start, boxes, prob[hit].double().numpy()),
            offsets.permute(0, 2, 3, 1)[hit].double().numpy(),
        )

    def _sift(self, pictures: PicturePyramid, found: _Found) -> _Found:
        """Stage 2: the refinement network over all candidates of all pictures together."""
        prob, offsets = _judge(self.networks.rnet, pictures, found, 24)
        found.prob = prob.double().numpy()
        rows = np.flatnonzero(found.prob > self.thresholds[1])
        rows = rows[suppress(found.boxes[rows], found.prob[rows], found.index[rows], 0.7)]
        shift = offsets.double().numpy()[rows]
        found = found.take(rows)
        found.boxes = squared(moved(found.boxes, shift))
        return found

    def _decide(self, pictures: PicturePyramid, found: _Found) -> tuple[_Found, np.ndarray]:
        """Stage 3: final boxes and points; a box inside another one is the same face."""
        prob, offsets, points = _judge(self.networks.onet, pictures, found, 48)
        found.prob = prob.double().numpy()
        placed = found.boxes[:, None, :2] + points.double().numpy() * (found.boxes[:, 2:] - found.boxes[:, :2])[:, None]
        found.boxes = moved(found.boxes, offsets.double().numpy())
        # offsets are unbounded: a box turned inside out is no box
        upright = (found.boxes[:, 2:] - found.boxes[:, :2] > 1.0).all(axis=1)
        rows = np.flatnonzero((found.prob > self.thresholds[2]) & upright)
        found, placed = found.take(rows), placed[rows]
        rows = suppress(found.boxes, found.prob, found.index, 0.7, "smaller")
        return _agreed(found, placed, rows)


def _agreed(found: _Found, points: np.ndarray, rows: np.ndarray) -> tuple[_Found, np.ndarray]:
    """The chosen `rows`, each with the mean box and points of all candidates that saw the same face.

    Which of several candidates near certainty is the best one is chance, and the box would jump with it from frame to
    frame: the mean moves a third as much (second difference of the edges on a talking face: 0.6 % of its height
    instead of 1.7 %).
    """
    best = found.take(rows)
    same = (iou(best.boxes, found.boxes) > 0.6) & (best.index[:, None] == found.index)
    weight = same * found.prob
    weight /= weight.sum(axis=1, keepdims=True)
    best.boxes = weight @ found.boxes
    return best, (weight @ points.reshape(-1, 10)).reshape(-1, 5, 2)


def _channels_last(net: Net) -> Net:
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net


def _judge(net: nn.Module, pictures: PicturePyramid, found: _Found, size: int) -> list[Tensor]:
    """What a network says of the candidates, cropped to `size`."""
    parts = []
    for start in range(0, max(len(found.index), 1), _CROPS_TOGETHER):
        rows = slice(start, start + _CROPS_TOGETHER)
        parts.append(net(_normal(pictures.squares(found.index[rows], found.boxes[rows], size))))
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def _normal(pixels: Tensor) -> Tensor:
    """Bytes as float to what the networks were trained on; writes into `pixels`."""
    return pixels.sub_(127.5).mul_(1 / 128)


def _join(parts: list[_Found]) -> _Found:
    return _Found(
        np.concatenate([part.index for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.prob for part in parts]),
    )


def _best(group: np.ndarray, most: int) -> np.ndarray:
    """Rows of the first `most` of every group, where rows are sorted by group."""
    first = np.searchsorted(group, group)
    return np.flatnonzero(np.arange(len(group)) - first < most)
