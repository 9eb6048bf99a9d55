"""The expression and the recognition network of face-api.js.

Expression: four dense blocks of separable convolutions, a 256-d feature and seven classes. Recognition: dlib's
ResNet-29 face descriptor, 128-d; merkit uses it only to join tracks of one face within one clip.
Both take RGB minus `MEAN_RGB`, divided by 255. Constants and layout follow the MIT-licensed package
@vladmandic/face-api; scale layers and normalisation are folded into the convolutions. The expression network sees the
picture turned by 180 degrees with its kernels turned alike, for the reason that `efficientnet_lite` gives.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.networks.checkpoint import adopt
from merkit.networks.tfjs_weights import read_tfjs
from merkit.weights import locate

__all__ = [
    "FACE_API_LABELS",
    "FaceExpression",
    "FaceRecognition",
    "load_face_api_expression",
    "load_face_api_recognition",
    "prepare_faces",
]

FACE_API_LABELS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
MEAN_RGB = (122.782, 117.001, 104.298)


class _Separable(nn.Module):
    """Depthwise 3 x 3, then pointwise with bias."""

    def __init__(self, width: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.depth = nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False)
        self.point = nn.Conv2d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` -> `(B, C_out, H / stride, W / stride)`."""
        return self.point(self.depth(x))


class _DenseBlock(nn.Module):
    """A strided layer, then three that each see the sum of all before them."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, out, 3, 2, padding=1) if width == 3 else _Separable(width, out, 2)
        self.conv1, self.conv2, self.conv3 = (_Separable(out, out) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` -> `(B, C_out, H / 2, W / 2)`."""
        total = F.relu(self.conv0(x), inplace=True)
        total = self.conv1(total).add_(total)
        total = self.conv2(F.relu(total)).add_(total)
        return F.relu(self.conv3(F.relu(total)).add_(total), inplace=True)


class FaceExpression(nn.Module):
    """Expression of a face as raters would label it.

    Example:
        >>> feature, logits = FaceExpression().eval()(torch.zeros(2, 3, 112, 112))
        >>> feature.shape, logits.shape
        (torch.Size([2, 256]), torch.Size([2, 7]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_DenseBlock(a, b) for a, b in ((3, 32), (32, 64), (64, 128), (128, 256))))
        self.classes = nn.Linear(256, 7)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, 3, 112, 112)` from `prepare_faces` -> feature `(B, 256)`, logits `(B, 7)` as in `FACE_API_LABELS`.

        Raises:
            ValueError: a side is no multiple of 16 pixels.
        """
        if x.shape[2] % 16 or x.shape[3] % 16:
            raise ValueError(f"sides must be multiples of 16 pixels, not {tuple(x.shape[2:])}")
        feature = self.blocks(x.to(self.classes.weight.dtype).flip(2, 3)).mean((2, 3))
        return feature.float(), self.classes(feature).float()


class _Residual(nn.Module):
    """Two convolutions beside an identity, or beside a 2 x 2 average pool where the block halves the picture."""

    def __init__(self, width: int, out: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.conv1 = nn.Conv2d(width, out, 3, 2) if halve else nn.Conv2d(width, out, 3, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` -> `(B, C_out, H', W')`; a missing row, column or channel counts as zero."""
        y = self.conv2(F.relu(self.conv1(x), inplace=True))
        if self.halve:
            x = F.avg_pool2d(x, 2)
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            y = F.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
        return F.relu(y.add_(x), inplace=True)


class FaceRecognition(nn.Module):
    """Descriptor of a face; the Euclidean distance of two is small for one person, 0.6 being a loose limit.

    Example:
        >>> FaceRecognition().eval()(torch.zeros(2, 3, 150, 150)).shape
        torch.Size([2, 128])
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, 2)
        self.blocks = nn.Sequential(*(_Residual(width, out, halve) for _, width, out, halve in _RECOGNITION_BLOCKS))
        self.descriptor = nn.Linear(256, 128, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, 3, 150, 150)` from `prepare_faces` -> `(B, 128)`."""
        x = F.max_pool2d(F.relu(self.stem(x.to(self.stem.weight.dtype)), inplace=True), 3, 2)
        return self.descriptor(self.blocks(x).mean((2, 3))).float()


# (name in the manifest, channels in, channels out, halves the picture)
_RECOGNITION_BLOCKS = (
    ("conv32_1", 32, 32, False),
    ("conv32_2", 32, 32, False),
    ("conv32_3", 32, 32, False),
    ("conv64_down", 32, 64, True),
    ("conv64_1", 64, 64, False),
    ("conv64_2", 64, 64, False),
    ("conv64_3", 64, 64, False),
    ("conv128_down", 64, 128, True),
    ("conv128_1", 128, 128, False),
    ("conv128_2", 128, 128, False),
    ("conv256_down", 128, 256, True),
    ("conv256_1", 256, 256, False),
    ("conv256_2", 256, 256, False),
    ("conv256_down_out", 256, 256, True),
)


def prepare_faces(crops: np.ndarray, size: int = 112) -> Tensor:
    """Face crops as both networks want them.

    Args:
        crops: `(B, H, W, 3)` uint8 RGB, square.
        size: side in pixels: 112 for expression, 150 for recognition.

    Returns:
        `(B, 3, size, size)` float32, `(RGB - MEAN_RGB) / 255`.

    Example:
        >>> prepare_faces(np.zeros((1, 112, 112, 3), np.uint8))[0, :, 0, 0]
        tensor([-0.4815, -0.4588, -0.4090])
    """
    x = (torch.from_numpy(crops).float() - torch.tensor(MEAN_RGB)).div_(255.0).permute(0, 3, 1, 2)
    if x.shape[-2:] != (size, size):
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    return x


def load_face_api_expression(dtype: torch.dtype = torch.float32) -> FaceExpression:
    """The expression network with the catalogue's weights `face-api-expression`.

    Args:
        dtype: float32, or `fast_dtype()` where speed counts more than the third digit.

    Raises:
        WeightError: the weights are not in the cache or are damaged.

    Example:
        >>> load_face_api_expression().training  # doctest: +SKIP
        False
    """
    arrays, path = _arrays("face-api-expression", "face_expression_model")
    state = {
        "classes.weight": torch.from_numpy(arrays["fc/weights"].T.copy()),
        "classes.bias": _vector(arrays["fc/bias"]),
    }
    for i in range(4):
        for j in range(4):
            ours, theirs = f"blocks.{i}.conv{j}.", f"dense{i}/conv{j}/"
            if i == j == 0:
                state |= {ours + "weight": _kernel(arrays[theirs + "filters"]).flip(2, 3)}
                state |= {ours + "bias": _vector(arrays[theirs + "bias"])}
                continue
            state[ours + "depth.weight"] = _depthwise(arrays[theirs + "depthwise_filter"]).flip(2, 3)
            state[ours + "point.weight"] = _kernel(arrays[theirs + "pointwise_filter"])
            state[ours + "point.bias"] = _vector(arrays[theirs + "bias"])
    return adopt(FaceExpression(), state, path).to(dtype)


def load_face_api_recognition(dtype: torch.dtype = torch.float32) -> FaceRecognition:
    """The recognition network with the catalogue's weights `face-api-recognition`.

    Args:
        dtype: float32, or `fast_dtype()` where speed counts more than the third digit.

    Raises:
        WeightError: the weights are not in the cache or are damaged.

    Example:
        >>> load_face_api_recognition().training  # doctest: +SKIP
        False
    """
    arrays, path = _arrays("face-api-recognition", "face_recognition_model")
    state = {"descriptor.weight": torch.from_numpy(arrays["fc"].T.copy())}
    names = [("conv32_down", "stem")]
    names += [
        (f"{name}/conv{j}", f"blocks.{i}.conv{j}") for i, (name, *_) in enumerate(_RECOGNITION_BLOCKS) for j in (1, 2)
    ]
    for theirs, ours in names:
        # (w * x + b) * scale + shift, as one convolution
        scale = torch.from_numpy(arrays[f"{theirs}/scale/weights"])
        state[f"{ours}.weight"] = _kernel(arrays[f"{theirs}/conv/filters"]) * scale[:, None, None, None]
        state[f"{ours}.bias"] = _vector(arrays[f"{theirs}/conv/bias"]) * scale + _vector(
            arrays[f"{theirs}/scale/biases"]
        )
    return adopt(FaceRecognition(), state, path).to(dtype)


def _arrays(name: str, stem: str) -> tuple[dict[str, np.ndarray], Path]:
    folder = locate(name)
    path = folder / f"{stem}.bin"
    return read_tfjs(folder / f"{stem}-weights_manifest.json", path), path


def _kernel(array: np.ndarray) -> Tensor:
    """TensorFlow `(k, k, in, out)` -> `(out, in, k, k)`."""
    return torch.from_numpy(np.ascontiguousarray(array.transpose(3, 2, 0, 1)))


def _depthwise(array: np.ndarray) -> Tensor:
    """TensorFlow `(k, k, C, 1)` -> `(C, 1, k, k)`."""
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 3, 0, 1)))


def _vector(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.copy())
