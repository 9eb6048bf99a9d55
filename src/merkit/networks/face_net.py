"""merkit's own expression network: a small residual CNN over 48x48 grey faces, trained on FER2013 by this project.

Five residual blocks (He et al. 2016), 0.89 M parameters, 192-d feature. It is small because it runs once per face: a
face of 48 pixels is all that FER2013 knows, and larger crops are brought down to that. The recipe is
`benchmarks/first_model/face.py`; the weights ship with merkit (non-commercial, as the training data are).
"""

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.weights.shipped import shipped_network

__all__ = ["FACE_NET_WIDTH", "FaceNet", "grey48", "load_face_net"]

_WIDTHS = (24, 48, 96, 192)
FACE_NET_WIDTH = _WIDTHS[-1]
# mean and deviation of FER2013's training pixels on [0, 1]
_MEAN, _DEVIATION = 0.5077, 0.2550


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)
        self.shortcut: nn.Module = nn.Identity()
        if inside != outside or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class FaceNet(nn.Module):
    """`(B, 1, 48, 48)` normalised grey faces to `(B, 192)` features.

    Example:
        >>> FaceNet().eval()(torch.zeros(2, 1, 48, 48)).shape
        torch.Size([2, 192])
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = _WIDTHS
        self.stem = nn.Sequential(nn.Conv2d(1, a, 3, 1, 1, bias=False), nn.BatchNorm2d(a), nn.ReLU())
        self.blocks = nn.Sequential(_Block(a, b, 2), _Block(b, b, 1), _Block(b, c, 2), _Block(c, c, 1), _Block(c, d, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x)).mean((2, 3))


def grey48(crops: np.ndarray) -> Tensor:
    """Face crops as the network takes them.

    Args:
        crops: `(n, S, S, 3)` RGB or `(n, S, S)` grey uint8, any square size.

    Returns:
        `(n, 1, 48, 48)` float32, normalised; shrunk by area (antialiased), enlarged bilinearly.

    Example:
        >>> x = grey48(np.full((1, 112, 112, 3), 255, np.uint8))
        >>> x.shape, round(float(x.mean()), 2)
        (torch.Size([1, 1, 48, 48]), 1.93)
    """
    x = torch.from_numpy(np.ascontiguousarray(crops))
    # ITU-R BT.601 luma, as Pillow and OpenCV make grey
    x = x.float() @ torch.tensor([0.299, 0.587, 0.114]) if crops.ndim == 4 else x.float()
    x = x[:, None] / 255.0
    if x.shape[-1] != 48:
        x = F.interpolate(x, (48, 48), mode="bilinear", antialias=True, align_corners=False)
    return (x - _MEAN) / _DEVIATION


def load_face_net() -> FaceNet:
    """The network with the weights that ship with merkit, in evaluation mode.

    Raises:
        WeightError: they are missing or damaged.
    """
    net = FaceNet()
    state = load(shipped_network("face-net"))
    net.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in state.items()})
    net.eval().requires_grad_(False)
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net
