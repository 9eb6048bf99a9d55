"""How alike two faces of one clip look, by the catalogue's `face-api-recognition`."""

import numpy as np
import torch

from merkit.networks import load_face_api_recognition, prepare_faces
from merkit.perception.crops import PicturePyramid, crops_of
from merkit.perception.persons import Likeness
from merkit.weights import is_cached

__all__ = ["clip_likeness"]

_WEIGHT = "face-api-recognition"
# The square that the network expects, from the face's points: mean of both eyes and the mouth at half its width and
# this share of its height, and the distance from eyes to mouth this share of its side (face-api's alignment).
_HEIGHT_OF_CENTRE, _EYES_TO_MOUTH = 0.43, 0.45
_INPUT_PX = 150


def clip_likeness() -> Likeness | None:
    """The comparison, or None where its weights are not on this machine.

    Example:
        >>> clip_likeness() is None or callable(clip_likeness())
        True
    """
    if not is_cached(_WEIGHT):
        return None
    network = load_face_api_recognition()

    def likeness(crops: np.ndarray, points: np.ndarray) -> np.ndarray:
        squares, index = _aligned(points), np.arange(len(crops))
        aligned = crops_of(PicturePyramid(crops), index, squares, size=_INPUT_PX, margin=1.0, shift=(0.0, 0.0))
        with torch.inference_mode():
            return network(prepare_faces(aligned, _INPUT_PX)).mean(dim=0).numpy()

    return likeness


def _aligned(points: np.ndarray) -> np.ndarray:
    """Points `(k, 5, 2)` -> squares `(k, 4)` in the same pixels."""
    mouth = points[:, 3:].mean(axis=1)
    centre = (points[:, 0] + points[:, 1] + mouth) / 3
    apart = np.linalg.norm(points[:, :2] - mouth[:, None], axis=2).mean(axis=1)
    side = (apart / _EYES_TO_MOUTH)[:, None]
    corner = centre - side * np.array([0.5, _HEIGHT_OF_CENTRE])
    return np.concatenate([corner, corner + side], axis=1)
