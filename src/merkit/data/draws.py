"""Random numbers that are a function of place: the same wherever, whenever and in whatever company they are drawn."""

import hashlib
from dataclasses import dataclass

import numpy as np

__all__ = ["Draw"]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, slots=True)
class Draw:
    """One pass over the training clips, as far as chance is concerned.

    A generator would give numbers in the order of asking, so they would depend on the batch that a clip is in and on
    the process that makes it. Here each number is a hash of what it is for.

    Args:
        seed: of the run.
        epoch: of the pass.
    """

    seed: int
    epoch: int

    def keys(self, purpose: str, *place: np.ndarray) -> np.ndarray:
        """Evenly distributed uint64, one for each place.

        Args:
            purpose: what they are for; two purposes share nothing.
            place: integers 0 and up that say where, e.g. row of the clip, entity, token; they are broadcast.

        Example:
            >>> one = Draw(0, 3).keys("tokens", np.array([7]), np.arange(4))
            >>> bool((one == Draw(0, 3).keys("tokens", np.array([5, 7])[:, None], np.arange(4))[1]).all())
            True
        """
        digest = hashlib.blake2b(f"{self.seed} {self.epoch} {purpose}".encode(), digest_size=8).digest()
        key = np.frombuffer(digest, np.uint64)
        for part in place:
            key = _mixed(key + (np.asarray(part).astype(np.uint64) + np.uint64(1)) * _STEP)
        return key


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the result hangs on every bit of `x`."""
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))
