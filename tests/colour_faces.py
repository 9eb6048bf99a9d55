"""A face detector for made pictures, in which there are no faces: a face is a patch of a known colour."""

import numpy as np

from merkit.perception import Faces, PicturePyramid

PATCHES = ((220, 40, 40), (40, 40, 220))
_NEAR = 60


class ColourFaces:
    """Finds the bounding box of each colour's pixels; counts the frames that it looked at."""

    def __init__(self, colours=PATCHES) -> None:
        self.colours = np.array(colours, int)
        self.looked = 0

    def detect_in(self, pictures: PicturePyramid) -> list[Faces]:
        frames = pictures.level(0)[1].permute(0, 2, 3, 1).numpy().astype(int)
        self.looked += len(frames)
        return [self._faces(frame) for frame in frames]

    def _faces(self, frame: np.ndarray) -> Faces:
        boxes = []
        for colour in self.colours:
            y, x = np.nonzero((np.abs(frame - colour) < _NEAR).all(-1))
            if len(y) >= 50:
                boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
        k = len(boxes)
        # two points coincide nowhere: eyes above nose above mouth, as portraits want them
        spots = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.8], [0.65, 0.8]], np.float32)
        found = np.array(boxes, np.float32).reshape(k, 4)
        points = found[:, None, :2] + spots * (found[:, None, 2:] - found[:, None, :2])
        return Faces(found, np.full(k, 0.99, np.float32), points.astype(np.float32))
