"""Pictures of one face, as a clip streams by: the person who is seen most, and nobody else.

Faces are looked for in every k-th frame and their boxes kept for the frames between, followed, and cropped. Who the clip is
about is known when it is over; until then the crops of everybody wait. Persons are never mixed: the
published code put all faces of all persons one behind the other and called that time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from pydantic import Field

from merkit.config import Config
from merkit.media import VideoChunk
from merkit.perception import FaceFollower, Faces, PicturePyramid
from merkit.perception.crops import FACE_SHIFT, crops_of
from merkit.schema import TokenSequence

__all__ = ["EveryKth", "FacePictures", "PictureConfig"]

# Larger faces first: in a crowd the others are not who the clip is about.
_MOST_FACES = 4


class PictureConfig(Config):
    """Which pictures are kept of a clip."""

    side: int = Field(224, ge=16, le=512)
    """Pixels of a picture's side."""
    frames_per_second: float = Field(30.0, gt=0, le=60)
    """Pictures a second at most."""
    most: int = Field(48, ge=1)
    """Pictures of a clip at most: voice that lasts longer than `most / frames_per_second` is looked at less often. A model
    sees 16 at random or 32 in even steps; 48 leave it a choice. The published 62.5 a second are more than films have, and
    take 9 MB a second."""
    detect_every: int = Field(2, ge=1)
    """Faces are looked for in every so many frames."""
    margin: float = Field(1.0, gt=0.2, le=3)
    """Side of the square that is cut out, as a multiple of the face box's longer side. The published crops were the box
    itself, squeezed to a square; 0.93 is the framing of FER2013."""
    crop: Literal["face", "picture"] = "face"
    """`face` = find it; `picture` = the whole picture is the face already, as in FER2013."""


class _Detector(Protocol):
    def detect_in(self, pictures: PicturePyramid, /) -> list[Faces]: ...


class EveryKth:
    """A detector that looks at every `k`-th frame of a clip and says of the others what it saw last.

    Args:
        detector: what looks.
        k: 1 looks at every frame.

    Example:
        >>> class Counts:
        ...     def detect_in(self, pictures):
        ...         return [Faces(np.full((1, 4), float(frame.mean())), np.ones(1), np.zeros((1, 5, 2)))
        ...                 for frame in pictures.level(0)[1].numpy()]
        >>> frames = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 20, 20, 3), np.uint8)
        >>> [int(faces.boxes[0, 0]) for faces in EveryKth(Counts(), 2).detect_in(PicturePyramid(frames))]
        [0, 0, 2, 2, 4]
    """

    def __init__(self, detector: _Detector, k: int) -> None:
        self._detector = detector
        self._k = k
        self._since = 0  # frames since the last look; a chunk may begin between two looks
        self._last = Faces.none()

    def detect_in(self, pictures: PicturePyramid) -> list[Faces]:
        """The faces of each frame."""
        looks = range(-self._since % self._k, pictures.count, self._k)
        frames = pictures.level(0)[1].permute(0, 2, 3, 1).numpy()
        seen = dict(zip(looks, self._look(pictures, frames, looks), strict=True))
        found = []
        for i in range(pictures.count):
            self._last = seen.get(i, self._last)
            found.append(self._last)
        self._since = (self._since + pictures.count) % self._k
        return found

    def _look(self, pictures: PicturePyramid, frames: np.ndarray, looks: range) -> list[Faces]:
        if not looks:
            return []
        same = self._k == 1
        return self._detector.detect_in(pictures if same else PicturePyramid(np.ascontiguousarray(frames[list(looks)])))


@dataclass(slots=True, eq=False)
class FacePictures:
    """Takes the frames of one clip, the wanted ones alone, and gives the pictures of its main person.

    Args:
        config: what is kept.
        follower: a fresh one; None where pictures are taken whole.

    Example:
        >>> pictures = FacePictures(PictureConfig(side=16, crop="picture"), None)
        >>> pictures.see(VideoChunk(np.full((3, 40, 60, 3), 9, np.uint8), np.arange(3.0)))
        >>> tokens = pictures.finish(step_s=0.5)
        >>> tokens.x.shape, tokens.x.dtype, tokens.end_s
        ((3, 768), dtype('uint8'), array([0.5, 1.5, 2.5]))
    """

    config: PictureConfig
    follower: FaceFollower | None
    count: int = 0
    picture: tuple[int, int] | None = None
    persons: int = 0
    shots_s: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
    _waiting: list["_Waiting"] = field(default_factory=list)

    def see(self, chunk: VideoChunk) -> None:
        """Takes the next frames."""
        first, self.count = self.count, self.count + len(chunk.times_s)
        height, width = chunk.frames.shape[1:3]
        self.picture = (width, height)
        if self.follower is None:
            index = np.arange(len(chunk.times_s))
            boxes = np.tile(_middle(height, width), (len(index), 1))
            track, size, margin, shift = np.zeros(len(index), int), np.ones(len(index)), 1.0, (0.0, 0.0)
        else:
            faces = self.follower.update(chunk.frames, chunk.times_s)
            index = np.searchsorted(chunk.times_s, faces.times_s)
            size = np.sqrt(np.prod(np.maximum(faces.boxes[:, 2:] - faces.boxes[:, :2], 0.0), axis=1))
            rows = _largest(index, size)
            index, boxes, track, size = index[rows], faces.boxes[rows], faces.track[rows], size[rows]
            margin, shift = self.config.margin, FACE_SHIFT
        pictures = PicturePyramid(chunk.frames)
        crops = crops_of(pictures, index, boxes, size=self.config.side, margin=margin, shift=shift)
        for i, who, large, crop in zip(index.tolist(), track.tolist(), size.tolist(), crops, strict=True):
            # a copy: a view of the main person's crop would keep those of everybody
            self._waiting.append(_Waiting(first + i, float(chunk.times_s[i]), who, large, crop.copy()))

    def finish(self, step_s: float) -> TokenSequence | None:
        """`(T, 3 * side * side)` uint8 pictures of the main person; None where no face was seen.

        The main person is the one whose face is seen longest and largest: the greatest sum of its size over the frames.

        Args:
            step_s: seconds from one frame to the next.
        """
        own = self._waiting
        if self.follower is not None:
            followed = self.follower.finish()
            self.persons, self.shots_s = len(followed.persons), followed.shots_s
            own = _main(own, followed.person_of)
        if not own:
            return None
        if len(own) > self.config.most:
            own = [own[i] for i in np.linspace(0, len(own) - 1, self.config.most).round().astype(int)]
        start_s = np.array([each.time_s for each in own])
        return TokenSequence(np.stack([each.crop.reshape(-1) for each in own]), start_s, start_s + step_s)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    frame: int
    time_s: float
    track: int
    size: float
    crop: np.ndarray


def _main(faces: Sequence[_Waiting], person_of: Mapping[int, str]) -> list[_Waiting]:
    weight: dict[str, float] = {}
    for each in faces:
        if (person := person_of.get(each.track)) is not None:
            weight[person] = weight.get(person, 0.0) + each.size
    if not weight:
        return []
    main = max(weight, key=lambda person: weight[person])
    # two tracks of one person in one frame cannot be; were it so, the first would do
    return list({each.frame: each for each in reversed(faces) if person_of.get(each.track) == main}.values())[::-1]


def _largest(index: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Rows of the largest faces of each frame, in their order."""
    order = np.lexsort((-size, index))
    rank = np.arange(len(order)) - np.searchsorted(index[order], index[order])
    return np.sort(order[rank < _MOST_FACES])


def _middle(height: int, width: int) -> np.ndarray:
    """The largest square in the middle of a picture."""
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    return np.array([left, top, left + side, top + side])
