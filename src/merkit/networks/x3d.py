"""X3D S, M and XL, to be trained: a small network for film, grown from a picture network (Feichtenhofer 2020, arXiv:2004.04730).

Time is never shortened: every frame that goes in has a feature map that comes out. S and M are one network, meant for
films of 13 frames at 160 pixels and 16 frames at 224; XL is wider and deeper.

The authors' code may split a batch over several norms in training (sub-batch norm, for schedules that change the batch
size). In evaluation those fold into one batch norm with their joint statistics, which is what stands here; a network
trained with one norm a layer computes the same as theirs with one split.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import ConfigError

__all__ = ["X3D", "X3DS", "X3DShape"]

_BOTTLENECK = 2.25
_HEAD = 2048
_RATIO = 0.0625


@dataclass(frozen=True, slots=True)
class X3DShape:
    """A variant.

    Args:
        stem: channels after the stem.
        widths: channels out of each of the four stages.
        blocks: of each stage.
        frames: pictures of a clip that it was published for.
        side: pixels of them.
    """

    stem: int
    widths: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    frames: int
    side: int


X3DS = {
    "s": X3DShape(24, (24, 48, 96, 192), (3, 5, 11, 7), 13, 160),
    "m": X3DShape(24, (24, 48, 96, 192), (3, 5, 11, 7), 16, 224),
    "xl": X3DShape(32, (32, 72, 136, 280), (5, 10, 25, 15), 16, 312),
    "tiny": X3DShape(8, (8, 16, 24, 32), (1, 1, 2, 1), 8, 64),
}
"""Variant -> its sizes (paper, tables 1 and 2); `tiny` is ours, for tests and small machines."""


class _Mix(nn.Conv3d):
    """A 1 x 1 x 1 convolution as the matrix product that it is; on a CPU in half the time and less.

    Args:
        width: channels in.
        out: channels out.
        stride: of height and width: the places between are not looked at.
        bias: whether it has one.
    """

    def __init__(self, width: int, out: int, stride: int = 1, bias: bool = False) -> None:
        super().__init__(width, out, 1, (1, stride, stride), bias=bias)

    def forward(self, x: Tensor) -> Tensor:  # ty: ignore[lost-keyword-for-regular-parameter]
        """`(P, C, T, H, W)` -> `(P, C_out, T, H', W')`, channels last in memory as `x` is."""
        step = self.stride[1]
        if step > 1:
            x = x[..., ::step, ::step]
        return F.linear(x.permute(0, 2, 3, 4, 1), self.weight.flatten(1), self.bias).permute(0, 4, 1, 2, 3)


class _Depth(nn.Conv3d):
    """Each channel filtered by itself over 3 frames of 3 x 3; on a CPU, in training, as three filters of single frames,
    whose gradients cost half as much.

    Args:
        width: channels.
        stride: of height and width.
    """

    def __init__(self, width: int, stride: int) -> None:
        super().__init__(width, width, 3, (1, stride, stride), 1, groups=width, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # ty: ignore[lost-keyword-for-regular-parameter]
        """`(P, C, T, H, W)` -> `(P, C, T, ceil(H / stride), ceil(W / stride))`."""
        if x.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x)
        count = x.shape[2]
        padded = F.pad(x.permute(0, 2, 3, 4, 1), (0, 0, 0, 0, 0, 0, 1, 1))  # (P, T + 2, H, W, C)
        parts = [
            F.conv2d(
                padded[:, i : i + count].flatten(0, 1).permute(0, 3, 1, 2),
                self.weight[:, :, i],
                stride=self.stride[1],
                padding=1,
                groups=x.shape[1],
            )
            for i in range(3)
        ]
        return (parts[0] + parts[1] + parts[2]).unflatten(0, (-1, count)).transpose(1, 2)


class _Block(nn.Module):
    """Expand, filter each channel over place and time, squeeze (every other block), project; beside a shortcut."""

    def __init__(self, width: int, out: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        inner = int(_BOTTLENECK * out)
        self.expand, self.expand_norm = _Mix(width, inner), nn.BatchNorm3d(inner)
        self.depth = _Depth(inner, stride)
        self.depth_norm = nn.BatchNorm3d(inner)
        narrow = _eights(inner * _RATIO)
        self.squeeze: Any = (
            nn.Sequential(_Mix(inner, narrow, bias=True), nn.ReLU(), _Mix(narrow, inner, bias=True), nn.Sigmoid())
            if squeeze
            else None
        )
        self.project, self.project_norm = _Mix(inner, out), nn.BatchNorm3d(out)
        self.shortcut: Any = None
        if stride != 1 or width != out:
            self.shortcut = nn.Sequential(_Mix(width, out, stride), nn.BatchNorm3d(out))

    def forward(self, x: Tensor) -> Tensor:
        """`(P, C, T, H, W)` -> `(P, C_out, T, ceil(H / stride), ceil(W / stride))`."""
        y = F.relu(self.expand_norm(self.expand(x)), inplace=True)
        y = self.depth_norm(self.depth(y))
        if self.squeeze is not None:
            y = y * self.squeeze(y.mean((2, 3, 4), keepdim=True))
        y = self.project_norm(self.project(F.silu(y)))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


def _eights(exact: float) -> int:
    """The nearest multiple of 8 that is at most a tenth smaller."""
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


class X3D(nn.Module):
    """Clips of pictures to feature maps, and to one vector each.

    All clips of a call have the same number of pictures; the temporal filters see zeros before the first and after the last.
    In evaluation mode a clip's features do not depend on the others in the batch.

    Args:
        variant: a name in `X3DS`.
        channels: of the pictures.
        classes: `K` of the last linear layer; 0 = none.

    Raises:
        ConfigError: there is no such variant.

    Example:
        >>> net = X3D("tiny").eval()
        >>> net.features(torch.zeros(2, 3, 5, 64, 64)).shape, net(torch.zeros(2, 3, 5, 64, 64)).shape
        (torch.Size([2, 72, 5, 2, 2]), torch.Size([2, 2048]))
    """

    def __init__(self, variant: str, channels: int = 3, *, classes: int = 0) -> None:
        super().__init__()
        if variant not in X3DS:
            raise ConfigError(f"no X3D {variant!r}; there are {', '.join(X3DS)}")
        shape = X3DS[variant]
        self.variant = variant
        # place first, then time: the (5, 3, 3) filter of the paper in two parts
        self.stem_place = nn.Conv3d(channels, shape.stem, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.stem_time = nn.Conv3d(shape.stem, shape.stem, (5, 1, 1), padding=(2, 0, 0), groups=shape.stem, bias=False)
        self.stem_norm = nn.BatchNorm3d(shape.stem)
        blocks: list[nn.Module] = []
        width = shape.stem
        for out, count in zip(shape.widths, shape.blocks, strict=True):
            for i in range(count):
                blocks.append(_Block(width, out, 2 if i == 0 else 1, squeeze=i % 2 == 0))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.channels = int(_BOTTLENECK * width)
        self.head, self.head_norm = _Mix(width, self.channels), nn.BatchNorm3d(self.channels)
        self.width = _HEAD
        self.wide = nn.Linear(self.channels, _HEAD, bias=False)
        self.dropout = nn.Dropout(0.5)
        self.classes = nn.Linear(_HEAD, classes) if classes else None
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                fan = math.prod(module.kernel_size) * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What RGB in [0, 1] is standardised with before it goes in, as the authors do."""
        return (0.45,) * 3, (0.225,) * 3

    def features(self, x: Tensor) -> Tensor:
        """`(P, C, T, H, W)` -> `(P, channels, T, ceil(H / 32), ceil(W / 32))`."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        x = self.stem_place(x)
        # along time alone it is a filter of (time, place) pictures, for which there is a fast kernel
        weight = self.stem_time.weight.flatten(3)
        x = F.conv2d(x.flatten(3), weight, padding=(2, 0), groups=x.shape[1]).unflatten(3, x.shape[3:])
        x = F.relu(self.stem_norm(x), inplace=True)
        return F.relu(self.head_norm(self.head(self.blocks(x))), inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """`(P, C, T, H, W)` -> `(P, 2048)`, or logits `(P, K)` where there are classes."""
        feature = F.relu(self.wide(self.features(x).mean((2, 3, 4))))
        return feature if self.classes is None else self.classes(self.dropout(feature))
