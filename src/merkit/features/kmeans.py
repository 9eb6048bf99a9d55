"""Lloyd's k-means with k-means++ beginnings, over as many vectors as fit into memory; the same for the same seed."""

import numpy as np
import torch
from torch import Tensor

from merkit.errors import ConfigError

__all__ = ["fit_centroids", "nearest"]

_ROWS = 8192


def nearest(x: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The centroid that each vector is nearest to, and how near.

    Args:
        x: `(n, D)`.
        centroids: `(k, D)`.

    Returns:
        `(n,)` int64, the lowest of several that are equally near; `(n,)` float32, squared distance.

    Example:
        >>> nearest(np.array([[0.1], [4.0]]), np.array([[0.0], [5.0]]))
        (array([0, 1]), array([0.01, 1.  ], dtype=float32))
    """
    which, far = _nearest(torch.from_numpy(np.array(x, np.float32)), torch.from_numpy(np.array(centroids, np.float32)))
    return which.numpy(), far.numpy()


@torch.inference_mode()
def _nearest(x: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    which, far = torch.zeros(len(x), dtype=torch.int64), torch.zeros(len(x))
    length = (centroids**2).sum(1)
    for first in range(0, len(x), _ROWS):
        part = x[first : first + _ROWS]
        # |x - c|² without |x|², which is the same for every centroid
        which[first : first + _ROWS] = (length - 2 * part @ centroids.T).argmin(1)
        far[first : first + _ROWS] = ((part - centroids[which[first : first + _ROWS]]) ** 2).sum(1)
    return which, far


@torch.inference_mode()
def fit_centroids(x: np.ndarray, k: int, *, seed: int = 0, rounds: int = 100, tolerance: float = 1e-4) -> np.ndarray:
    """Centroids of `k` groups: Arthur & Vassilvitskii 2007 to begin with, Lloyd 1982 from there.

    A group that loses all its vectors begins anew at the vector that is farthest from its own centroid.

    Args:
        x: `(n, D)`, `n >= k`.
        k: groups.
        seed: of the beginning.
        rounds: at most.
        tolerance: stop once a round makes the mean squared distance smaller by less than this share.

    Returns:
        `(k, D)` float32.

    Raises:
        ConfigError: fewer different vectors than groups.

    Example:
        >>> fit_centroids(np.array([[0.0], [0.5], [8.0], [8.5]]), 2).ravel().tolist()
        [0.25, 8.25]
    """
    points = torch.from_numpy(np.array(x, np.float32))
    if not 1 <= k <= len(points):
        raise ConfigError(f"{k} units of {len(points)} vectors: there must be at least one vector a unit")
    centroids = _begin(points, k, np.random.default_rng(seed))
    before = np.inf
    for _ in range(rounds):
        which, far = _nearest(points, centroids)
        now = float(far.double().mean())
        if np.isfinite(before) and before - now <= tolerance * before:
            break
        before = now
        # float64: a sum over 100,000 vectors in float32 drops what the last of them say
        sums = torch.zeros(centroids.shape, dtype=torch.float64)
        for first in range(0, len(points), _ROWS):
            sums.index_add_(0, which[first : first + _ROWS], points[first : first + _ROWS].double())
        count = torch.bincount(which, minlength=k)
        empty = torch.nonzero(count == 0).ravel()
        centroids = (sums / count.clamp(min=1)[:, None]).float()
        if len(empty):
            centroids[empty] = points[far.topk(len(empty)).indices]
            before = np.inf
    # in one order, so that a unit's number does not follow from the draw of the beginning
    order = sorted(range(k), key=lambda i: centroids[i].tolist())
    return centroids[order].numpy()


def _begin(points: Tensor, k: int, rng: np.random.Generator) -> Tensor:
    chosen = [int(rng.integers(len(points)))]
    far = ((points - points[chosen[0]]) ** 2).sum(1)
    for found in range(1, k):
        mass = far.double().cumsum(0)
        if not float(mass[-1]) > 0:
            raise ConfigError(f"{k} units, but there are only {found} different vectors")
        place = int(torch.searchsorted(mass, rng.random() * float(mass[-1]), right=True))
        chosen.append(min(place, len(points) - 1))
        far = torch.minimum(far, ((points - points[chosen[-1]]) ** 2).sum(1))
    return points[chosen].clone()
