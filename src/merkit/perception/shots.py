"""Where one shot ends and the next begins, from frames sampled a few times a second.

Two cheap views of a frame decide together. Colours (a histogram per quarter of the picture) stay alike under motion;
structure (a tiny grey picture, compared at its best small displacement, free of brightness and contrast) stays alike
under flashes and exposure. At a cut both change at once. Nearly blank frames belong to no shot: the next frame with
content is compared with the last one before them, so a fade through black counts once and a white flash not at all.
"""

import numpy as np

from merkit.perception.crops import PicturePyramid

__all__ = ["ShotDetector"]

_HEIGHT, _WIDTH = 36, 64
# Four levels a channel: 64 colours in each quarter of the picture.
_LEVELS = 4
# Grey pictures of 9 x 16, compared at displacements of up to this many of their pixels (an eighth of the picture).
_REACH = 2
# Standard deviation of grey values below which a frame is blank.
_BLANK = 6.0
_RECENT = 8


class ShotDetector:
    """Finds hard cuts in a stream of sampled frames.

    Args:
        threshold: how different two frames must be to belong to two shots, in [0, 1]: the geometric mean of the change
            in colours and in structure.

    Example:
        >>> frames = np.zeros((4, 36, 64, 3), np.uint8)
        >>> frames[:2, :, :30], frames[2:, :20] = (200, 40, 40), (20, 90, 220)
        >>> ShotDetector().update(frames, np.array([0.0, 0.33, 0.67, 1.0]))
        [0.67]
    """

    def __init__(self, threshold: float = 0.45) -> None:
        if not 0.0 < threshold < 1.0:
            raise ValueError(f"threshold must lie between 0 and 1, got {threshold}")
        self.threshold = threshold
        self._colours: np.ndarray | None = None
        self._grey: np.ndarray | None = None
        self._changes: list[float] = []

    def update(self, frames: np.ndarray, times_s: np.ndarray) -> list[float]:
        """Times of the first sampled frames of new shots.

        A cut lies between two samples; what is reported is the later one. The state runs on from call to call, so how
        a stream is divided into calls makes no difference.

        Args:
            frames: `(n, H, W, 3)` uint8 RGB, the next frames of the stream.
            times_s: `(n,)` seconds, rising.
        """
        return self.update_in(PicturePyramid(frames), times_s)

    def update_in(self, pictures: PicturePyramid, times_s: np.ndarray) -> list[float]:
        """`update` for frames whose pyramid is already there."""
        small = pictures.resized(_HEIGHT, _WIDTH).permute(0, 2, 3, 1).numpy()
        colours, grey = _histograms(small), _grey(small)
        blank = small.mean(axis=3).std(axis=(1, 2)) < _BLANK
        cuts = []
        for i in np.flatnonzero(~blank):
            if self._colours is not None and self._grey is not None:
                change = _change(self._colours, colours[i], self._grey, grey[i])
                if change > self.threshold and change > self._usual():
                    cuts.append(float(times_s[i]))
                    self._changes.clear()
                else:
                    self._changes = [*self._changes[1 - _RECENT :], change]
            self._colours, self._grey = colours[i], grey[i]
        return cuts

    def _usual(self) -> float:
        """What a change must exceed where the shot itself is restless: a shaken camera, a strobe."""
        return 1.5 * float(np.median(self._changes)) if len(self._changes) >= 3 else 0.0


def _histograms(small: np.ndarray) -> np.ndarray:
    """`(n, 4, 64)` shares of colours in each quarter of each picture."""
    n, height, width = small.shape[:3]
    level = small // (256 // _LEVELS)
    colour = (level[..., 0] * _LEVELS + level[..., 1]) * _LEVELS + level[..., 2]
    row, col = np.arange(height)[:, None] * 2 // height, np.arange(width) * 2 // width
    quarter = np.arange(n)[:, None, None] * 4 + row * 2 + col
    bins = _LEVELS**3
    counts = np.bincount((quarter * bins + colour).ravel(), minlength=n * 4 * bins)
    return counts.reshape(n, 4, bins) / (height * width / 4)


def _grey(small: np.ndarray) -> np.ndarray:
    """`(n, 9, 16)` grey means of 4 x 4 pixels."""
    n, height, width = small.shape[:3]
    return small.mean(axis=3).reshape(n, height // 4, 4, width // 4, 4).mean(axis=(2, 4))


def _change(colours_a: np.ndarray, colours_b: np.ndarray, grey_a: np.ndarray, grey_b: np.ndarray) -> float:
    """How different two frames are, in [0, 1]."""
    # colours that moved to another quarter have not changed, those of the whole picture count as much
    apart = np.abs(colours_a - colours_b).sum(axis=1).mean() / 2
    whole = np.abs(colours_a.mean(axis=0) - colours_b.mean(axis=0)).sum() / 2
    colour = (apart + whole) / 2
    inner = grey_a[_REACH:-_REACH, _REACH:-_REACH]
    views = np.lib.stride_tricks.sliding_window_view(grey_b, inner.shape).reshape(-1, inner.size)
    a = inner.ravel() - inner.mean()
    b = views - views.mean(axis=1, keepdims=True)
    likeness = (b @ a) / np.maximum(np.linalg.norm(b, axis=1) * np.linalg.norm(a), 1e-6)
    structure = 1.0 - max(float(likeness.max()), 0.0)
    return float(np.sqrt(colour * structure))
