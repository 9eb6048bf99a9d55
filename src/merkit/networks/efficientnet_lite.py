"""EfficientNet-Lite0: image features for scenes, 1280-d, trained on ImageNet.

Tan & Le 2019 (arXiv:1905.11946) in its "lite" form: no squeeze-and-excitation, ReLU6 in place of swish. Batch norm is
folded into the convolutions when the weights are read.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import WeightError
from merkit.networks.checkpoint import adopt, read_state
from merkit.networks.folding import fold_norm, pad_same
from merkit.weights import locate

__all__ = ["EfficientNetLite0", "load_efficientnet_lite0"]

# (blocks, kernel, stride of the first, expansion, channels out)
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPS = 1e-3


class _Block(nn.Module):
    """Expand, filter each channel, project; with a shortcut where shape allows it."""

    def __init__(self, width: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = width * expansion
        self.kernel, self.stride = kernel, stride
        self.shortcut = stride == 1 and width == out
        self.expand = nn.Conv2d(width, inner, 1) if expansion != 1 else None
        padding = kernel // 2 if stride == 1 else 0
        self.depth = nn.Conv2d(inner, inner, kernel, stride, padding, groups=inner)
        self.project = nn.Conv2d(inner, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` -> `(B, C_out, ceil(H / stride), ceil(W / stride))`."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = F.relu6(self.depth(y if self.stride == 1 else pad_same(y, self.kernel, self.stride)))
        y = self.project(y)
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """Image feature and ImageNet logits.

    Example:
        >>> feature, logits = EfficientNetLite0().eval()(torch.zeros(1, 3, 224, 224))
        >>> feature.shape, logits.shape
        (torch.Size([1, 1280]), torch.Size([1, 1000]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2)
        blocks, width = [], 32
        for count, kernel, stride, expansion, out in _STAGES:
            for i in range(count):
                blocks.append(_Block(width, out, kernel, stride if i == 0 else 1, expansion))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(320, 1280, 1)
        self.classes = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, 3, 224, 224)` from `prepare` -> feature `(B, 1280)`, ImageNet logits `(B, 1000)`."""
        x = F.relu6(self.stem(pad_same(x.to(self.stem.weight.dtype), 3, 2)))
        feature = F.relu6(self.head(self.blocks(x))).mean((2, 3))
        return feature.float(), self.classes(feature).float()

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
    for i in range(sum(stage[0] for stage in _STAGES)):
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
        state |= {f"{ours}.weight": weight, f"{ours}.bias": bias}
    return state
