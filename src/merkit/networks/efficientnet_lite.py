"""EfficientNet-Lite0: image features for scenes, 1280-d, trained on ImageNet.

Tan & Le 2019 (arXiv:1905.11946) in its "lite" form: no squeeze-and-excitation, ReLU6 in place of swish. Batch norm is
folded into the convolutions when the weights are read: this is the network to read features from; `EfficientNet("lite0")` of
`efficientnet.py` is the same one to be trained.

TensorFlow puts the odd pixel of a stride-2 layer's padding right and below, PyTorch has no such padding, and padding by
hand copies every large map. Seen in a mirror the odd pixel lies left and above, which is what `padding=kernel // 2`
does at even sizes. So picture and kernels are turned by 180 degrees; the mean at the end does not see it.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import WeightError
from merkit.networks.checkpoint import adopt, read_state
from merkit.networks.efficientnet_shapes import STAGES
from merkit.networks.folding import fold_norm
from merkit.weights import locate

__all__ = ["EfficientNetLite0", "load_efficientnet_lite0"]

_EPS = 1e-3
# Pictures that go through together: at four, the largest map (19 MB) stays within what malloc reuses; above 32 MB every
# layer would map fresh pages, which costs more than its arithmetic.
_AT_ONCE = 4


class _Block(nn.Module):
    """Expand, filter each channel, project; with a shortcut where shape allows it."""

    def __init__(self, width: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = width * expansion
        self.shortcut = stride == 1 and width == out
        self.expand = nn.Conv2d(width, inner, 1) if expansion != 1 else None
        self.depth = nn.Conv2d(inner, inner, kernel, stride, padding=kernel // 2, groups=inner)
        self.project = nn.Conv2d(inner, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` -> `(B, C_out, H / stride, W / stride)`."""
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depth(y), inplace=True))
        return y.add_(x) if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """Image feature and ImageNet logits.

    Example:
        >>> feature, logits = EfficientNetLite0().eval()(torch.zeros(1, 3, 224, 224))
        >>> feature.shape, logits.shape
        (torch.Size([1, 1280]), torch.Size([1, 1000]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, padding=1)
        blocks, width = [], 32
        for count, kernel, stride, expansion, out in STAGES:
            for i in range(count):
                blocks.append(_Block(width, out, kernel, stride if i == 0 else 1, expansion))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(320, 1280, 1)
        self.classes = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, 3, 224, 224)` from `prepare` -> feature `(B, 1280)`, ImageNet logits `(B, 1000)`.

        Raises:
            ValueError: a side is no multiple of 32 pixels.
        """
        if x.shape[2] % 32 or x.shape[3] % 32:
            raise ValueError(f"sides must be multiples of 32 pixels, not {tuple(x.shape[2:])}")
        x = x.to(self.stem.weight.dtype).flip(2, 3)
        feature = torch.cat([self._feature(part) for part in x.split(_AT_ONCE)])
        return feature.float(), self.classes(feature).float()

    def _feature(self, x: Tensor) -> Tensor:
        """Turned `(B, 3, H, W)` -> `(B, 1280)`."""
        x = self.blocks(F.relu6(self.stem(x), inplace=True))
        return F.relu6(self.head(x), inplace=True).mean((2, 3))

    @staticmethod
    def prepare(pictures: np.ndarray) -> Tensor:
        """Pictures as the network wants them.

        Args:
            pictures: `(B, H, W, 3)` uint8 RGB; a picture that is not 224 x 224 is squeezed to it.

        Returns:
            `(B, 3, 224, 224)` float32, `(RGB - 127) / 128`.

        Example:
            >>> EfficientNetLite0.prepare(np.zeros((1, 36, 64, 3), np.uint8)).shape
            torch.Size([1, 3, 224, 224])
        """
        x = (torch.from_numpy(pictures).float() - 127.0).div_(128.0).permute(0, 3, 1, 2)
        if x.shape[-2:] != (224, 224):
            x = F.interpolate(x, (224, 224), mode="bilinear", antialias=True)
        return x


def load_efficientnet_lite0(dtype: torch.dtype = torch.float32) -> EfficientNetLite0:
    """The network with the catalogue's weights `efficientnet-lite0`.

    Args:
        dtype: float32, or `fast_dtype()` where speed counts more than the third digit.

    Raises:
        WeightError: the weights are not in the cache or are damaged.

    Example:
        >>> load_efficientnet_lite0().training  # doctest: +SKIP
        False
    """
    path = locate("efficientnet-lite0") / "efficientnet-lite0-57934424.pth"
    theirs = read_state(path)
    try:
        return adopt(EfficientNetLite0(), _folded(theirs), path).to(dtype)
    except KeyError as error:
        raise WeightError(f"{path}: holds no {error}") from error


def _folded(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The package's names -> ours, each convolution with the norm that follows it folded in."""
    pairs = [("stem", "_conv_stem", "_bn0"), ("head", "_conv_head", "_bn1")]
    for i in range(sum(stage[0] for stage in STAGES)):
        parts = (
            ("expand", "_expand_conv", "_bn0"),
            ("depth", "_depthwise_conv", "_bn1"),
            ("project", "_project_conv", "_bn2"),
        )
        for ours, conv, norm in parts if i else parts[1:]:  # the first block does not expand
            pairs.append((f"blocks.{i}.{ours}", f"_blocks.{i}.{conv}", f"_blocks.{i}.{norm}"))
    state = {"classes.weight": theirs["_fc.weight"], "classes.bias": theirs["_fc.bias"]}
    for ours, conv, norm in pairs:
        numbers = (theirs[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
        weight, bias = fold_norm(theirs[f"{conv}.weight"], *numbers, eps=_EPS)
        state |= {f"{ours}.weight": weight.flip(2, 3), f"{ours}.bias": bias}
    return state
