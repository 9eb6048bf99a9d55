"""EfficientNet B0 … B7, to be trained: one small network scaled in width and depth (Tan & Le 2019, arXiv:1905.11946).

Two conventions are in use and neither is the other's superset, so the network is told which one its weights know:
`tf` pads a stride-2 layer as TensorFlow does (an odd pixel goes right and below) and adds 1e-3 to variances: weights by
the authors and whatever was converted from them (`tf_efficientnet_*`, `google/efficientnet-*`, `efficientnet_pytorch`,
lite0). `torch` pads both sides alike and adds 1e-5: weights that were trained in PyTorch (torchvision, timm's own).

`lite0` is the variant without squeeze-and-excitation and with ReLU6, whose weights can be had through the catalogue; for
features that are only read, `efficientnet_lite` has it with the norms folded in. `tiny` is ours, for tests and small
machines; nobody has published weights or figures of it.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import ConfigError
from merkit.networks.efficientnet_shapes import EFFICIENTNETS, STAGES
from merkit.networks.folding import pad_same

__all__ = ["Convention", "EfficientNet"]

Convention = Literal["tf", "torch"]

# what a saved network remembers as a number: convention, and what its norms add
_KINDS: tuple[tuple[Convention, float], ...] = (("tf", 1e-3), ("torch", 1e-5), ("torch", 1e-3))
_ACTIVATIONS: dict[bool, Callable[[Tensor], Tensor]] = {
    False: lambda x: F.silu(x, inplace=True),
    True: lambda x: F.relu6(x, inplace=True),
}


class _ConvNorm(nn.Module):
    """Convolution without bias, and batch norm."""

    def __init__(self, width: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.same = False
        self.conv = nn.Conv2d(width, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        # The authors' running statistics move by 0.01 a step; a run of a few hundred steps would end before they have
        # left their start, so they move by torch's 0.1.
        self.norm = nn.BatchNorm2d(out)

    def follow(self, convention: Convention, eps: float) -> None:
        """Pads and normalises as it says."""
        kernel, self.norm.eps = self.conv.kernel_size[0], eps
        self.same = convention == "tf" and self.conv.stride[0] > 1
        self.conv.padding = (0, 0) if self.same else (kernel // 2, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """`(P, C, H, W)` -> `(P, C_out, ceil(H / stride), ceil(W / stride))`."""
        if self.same:
            x = pad_same(x, self.conv.kernel_size[0], self.conv.stride[0])
        return self.norm(self.conv(x))


class _Squeeze(nn.Module):
    """Squeeze-and-excitation: each channel is scaled by what the mean of all says."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(P, C, H, W)` to the same."""
        return x * self.expand(F.silu(self.reduce(x.mean((2, 3), keepdim=True)))).sigmoid()


class _Block(nn.Module):
    """Expand, filter each channel, squeeze, project; beside a shortcut for all but the first of a stage."""

    def __init__(
        self,
        width: int,
        out: int,
        kernel: int,
        stride: int,
        expansion: int,
        lite: bool,
        shortcut: bool,
        drop_path: float,
    ) -> None:
        super().__init__()
        inner = width * expansion
        self.shortcut, self.drop_path = shortcut, drop_path
        self.expand: Any = _ConvNorm(width, inner, 1) if expansion != 1 else None
        self.depth = _ConvNorm(inner, inner, kernel, stride, inner)
        self.squeeze: Any = None if lite else _Squeeze(inner, max(1, width // 4))
        self.project = _ConvNorm(inner, out, 1)
        self.activation = _ACTIVATIONS[lite]

    def forward(self, x: Tensor) -> Tensor:
        """`(P, C, H, W)` -> `(P, C_out, ceil(H / stride), ceil(W / stride))`."""
        y = x if self.expand is None else self.activation(self.expand(x))
        y = self.activation(self.depth(y))
        if self.squeeze is not None:
            y = self.squeeze(y)
        y = self.project(y)
        if not self.shortcut:
            return y
        if self.training and self.drop_path:
            stays = torch.rand(len(y), 1, 1, 1, device=y.device) >= self.drop_path
            y = y * (stays.to(y.dtype) / (1 - self.drop_path))
        return y + x


class EfficientNet(nn.Module):
    """Pictures, or spectrograms as pictures of one channel, to feature maps.

    In evaluation mode a picture's features do not depend on the others in the batch; in training they do, through batch norm.

    Args:
        variant: a name in `EFFICIENTNETS`.
        channels: of the pictures; 1 for spectrograms.
        classes: `K` of a linear layer on the mean feature; 0 = none.
        convention: how stride-2 layers pad and what the norms add; see the module.
        drop_path: how often the last block is left out in training (stochastic depth), falling linearly to 0 at the first;
            the authors train with 0.2.

    Raises:
        ConfigError: there is no such variant or convention.

    Example:
        >>> net = EfficientNet("tiny", channels=1).eval()
        >>> net.features(torch.zeros(2, 1, 64, 200)).shape, net.width
        (torch.Size([2, 320, 2, 7]), 320)
    """

    def __init__(
        self,
        variant: str,
        channels: int = 3,
        *,
        classes: int = 0,
        convention: Convention = "tf",
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        if variant not in EFFICIENTNETS:
            raise ConfigError(f"no EfficientNet {variant!r}; there are {', '.join(EFFICIENTNETS)}")
        if convention not in ("tf", "torch"):
            raise ConfigError(f"convention is {convention!r}; it can be tf or torch")
        shape = EFFICIENTNETS[variant]
        self.variant, self.lite = variant, shape.lite
        width = shape.channels(32)
        self.stem = _ConvNorm(channels, width, 3, 2)
        repeats = [math.ceil(count * shape.depth) for count, *_ in STAGES]
        blocks: list[nn.Module] = []
        for count, (_, kernel, stride, expansion, out) in zip(repeats, STAGES, strict=True):
            for i in range(count):
                rate = drop_path * len(blocks) / sum(repeats)
                wide, step = shape.channels(out), stride if i == 0 else 1
                blocks.append(_Block(width, wide, kernel, step, expansion, shape.lite, i > 0, rate))
                width = wide
        self.blocks = nn.Sequential(*blocks)
        self.width = shape.channels(1280)
        self.head = _ConvNorm(width, self.width, 1)
        self.activation = _ACTIVATIONS[shape.lite]
        self.dropout = nn.Dropout(shape.dropout)
        self.classes = nn.Linear(self.width, classes) if classes else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.follow(convention)

    def follow(self, convention: Convention, eps: float | None = None) -> None:
        """Pads and normalises as it says.

        Args:
            convention: see the class.
            eps: what the norms add to variances; None = what belongs to the convention.
        """
        self.convention: Convention = convention
        self.eps = dict(_KINDS[:2])[convention] if eps is None else eps
        for module in self.modules():
            if isinstance(module, _ConvNorm):
                module.follow(convention, self.eps)

    def get_extra_state(self) -> Tensor:
        """The convention, which no weight tells, travels with the weights."""
        return torch.tensor(_KINDS.index((self.convention, self.eps)))

    def set_extra_state(self, state: Tensor) -> None:
        """Follows the convention of the weights that are loaded."""
        self.follow(*_KINDS[int(state)])

    @property
    def mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What RGB in [0, 1] is standardised with before it goes in, as the published weights were trained."""
        if self.lite:
            return (127 / 255,) * 3, (128 / 255,) * 3
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def features(self, x: Tensor) -> Tensor:
        """`(P, C, H, W)` -> `(P, width, ceil(H / 32), ceil(W / 32))`."""
        # oneDNN and cuDNN run depthwise layers faster on this layout; it is the maps' alone, for safetensors takes no
        # weights in it
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.blocks(self.activation(self.stem(x)))
        return self.activation(self.head(x))

    def forward(self, x: Tensor) -> Tensor:
        """`(P, C, H, W)` -> mean feature `(P, width)`, or logits `(P, K)` where there are classes."""
        feature = self.features(x).mean((2, 3))
        return feature if self.classes is None else self.classes(self.dropout(feature))
