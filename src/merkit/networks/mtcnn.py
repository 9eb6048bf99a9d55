"""The three networks of MTCNN. The cascade that runs them over a picture is `merkit.perception.faces`.

Zhang et al. 2016 (arXiv:1604.02878), with the weights that facenet-pytorch converted from the authors' Caffe files.
All three take RGB, channels first, as `(pixel - 127.5) / 128`, and return probabilities and offsets.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from merkit.networks.checkpoint import load_state
from merkit.weights import locate

__all__ = ["MTCNNNets", "ONet", "PNet", "RNet", "load_mtcnn"]


class PNet(nn.Module):
    """Proposal network, fully convolutional: cell `(i, j)` judges the 12 x 12 pixels from row `2 i`, column `2 j`.

    Example:
        >>> prob, offsets = PNet()(torch.zeros(2, 3, 30, 40))
        >>> prob.shape, offsets.shape
        (torch.Size([2, 10, 15]), torch.Size([2, 4, 10, 15]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, 3, H, W)` -> probability of a face `(B, h, w)`, offsets x0 y0 x1 y1 `(B, 4, h, w)` in shares of 12 px.

        `h = ceil((H - 2) / 2) - 4`, likewise `w`.
        """
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return _face_prob(self.conv4_1(x)), self.conv4_2(x)


class RNet(nn.Module):
    """Refinement network for crops of 24 x 24 pixels.

    Example:
        >>> prob, offsets = RNet()(torch.zeros(5, 3, 24, 24))
        >>> prob.shape, offsets.shape
        (torch.Size([5]), torch.Size([5, 4]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, 3, 24, 24)` -> probability of a face `(B,)`, offsets x0 y0 x1 y1 `(B, 4)` in shares of the box."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = _flatten_as_trained(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.dense4(x))
        return _face_prob(self.dense5_1(x)), self.dense5_2(x)


class ONet(nn.Module):
    """Output network for crops of 48 x 48 pixels: final box and five points.

    Example:
        >>> prob, offsets, points = ONet()(torch.zeros(5, 3, 48, 48))
        >>> prob.shape, offsets.shape, points.shape
        (torch.Size([5]), torch.Size([5, 4]), torch.Size([5, 5, 2]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(B, 3, 48, 48)` -> face probability `(B,)`, offsets `(B, 4)`, points `(B, 5, 2)`.

        Offsets and points are shares of the box; points are x, y of left eye, right eye, nose, left and right corner
        of the mouth, left and right as seen in the picture.
        """
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = _flatten_as_trained(self.prelu4(self.conv4(x)))
        x = self.prelu5(self.dense5(x))
        points = self.dense6_3(x).unflatten(1, (2, 5)).transpose(1, 2)  # five x, then five y
        return _face_prob(self.dense6_1(x)), self.dense6_2(x), points


@dataclass(frozen=True, slots=True, eq=False)
class MTCNNNets:
    """The three stages, in eval mode.

    Args:
        pnet: proposals over the whole picture.
        rnet: refinement of 24 px crops.
        onet: final box and points from 48 px crops.
    """

    pnet: PNet
    rnet: RNet
    onet: ONet


def load_mtcnn() -> MTCNNNets:
    """The three networks with the catalogue's weights `mtcnn`.

    Raises:
        WeightError: the weights are not in the cache or are damaged.

    Example:
        >>> load_mtcnn().pnet.training  # doctest: +SKIP
        False
    """
    folder = locate("mtcnn")
    return MTCNNNets(
        load_state(PNet(), folder / "pnet.pt"),
        load_state(RNet(), folder / "rnet.pt"),
        load_state(ONet(), folder / "onet.pt"),
    )


def _flatten_as_trained(x: Tensor) -> Tensor:
    """`(B, C, H, W)` -> `(B, W H C)`: the dense layers were trained on Caffe's MATLAB layout, columns first."""
    return x.permute(0, 3, 2, 1).flatten(1)


def _face_prob(logits: Tensor) -> Tensor:
    """Softmax over the two classes of dim 1 (no face, face), as one sigmoid."""
    return torch.sigmoid(logits[:, 1] - logits[:, 0])
