"""The face networks against the originals: fer's Keras model and face-api.js in TensorFlow.js."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from merkit.errors import WeightError
from merkit.networks import (
    MiniXception,
    load_face_api_expression,
    load_face_api_recognition,
    load_mini_xception,
    prepare_faces,
)
from merkit.networks.folding import fold_norm, pad_same
from merkit.networks.tfjs_weights import read_tfjs

from .pictures import pictures

GOLDEN = Path(__file__).parent / "golden"


def test_mini_xception_equals_keras(weights):
    weights("mini-xception")
    golden = np.load(GOLDEN / "mini_xception.npz")
    x = torch.from_numpy(pictures(3, 64, 1)).permute(0, 3, 1, 2).float()
    feature, logits = load_mini_xception()((x / 255 - 0.5) * 2)
    np.testing.assert_allclose(feature, golden["feature"], atol=1e-5)
    np.testing.assert_allclose(logits, golden["logits"], atol=2e-5)
    np.testing.assert_allclose(logits.softmax(1), golden["prob"], atol=1e-6)


def test_mini_xception_prepare_is_luma():
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[..., 1] = 255
    np.testing.assert_allclose(MiniXception.prepare(image), 2 * 0.587 - 1, atol=1e-6)


def test_face_api_expression_equals_the_original(weights):
    weights("face-api-expression")
    golden = np.load(GOLDEN / "face_api.npz")
    feature, logits = load_face_api_expression()(prepare_faces(pictures(2, 112)))
    np.testing.assert_allclose(feature, golden["feature"], atol=5e-5)
    np.testing.assert_allclose(logits, golden["logits"], atol=5e-5)


def test_face_api_recognition_equals_the_original(weights):
    weights("face-api-recognition")
    golden = np.load(GOLDEN / "face_api.npz")
    descriptor = load_face_api_recognition()(prepare_faces(pictures(2, 150), 150))
    np.testing.assert_allclose(descriptor, golden["descriptor"], atol=2e-5)


def test_bfloat16_stays_within_the_stated_distance(weights):
    weights("face-api-expression", "face-api-recognition")
    x, y = prepare_faces(pictures(4, 112)), prepare_faces(pictures(4, 150), 150)
    (exact, logits), (rounded, other) = (load_face_api_expression(t)(x) for t in (torch.float32, torch.bfloat16))
    assert ((exact - rounded).norm(dim=1) / exact.norm(dim=1)).max() < 0.05
    assert (logits.softmax(1) - other.softmax(1)).abs().max() < 0.03
    near, far = (load_face_api_recognition(t)(y) for t in (torch.float32, torch.bfloat16))
    assert (near - far).norm(dim=1).max() < 0.03  # where 0.6 is the limit for one person


def test_a_batch_is_its_members(weights):
    weights("face-api-expression")
    net, x = load_face_api_expression(), prepare_faces(pictures(3, 112))
    together = net(x)[1]
    apart = torch.cat([net(x[i : i + 1])[1] for i in range(3)])
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(6, 3, 2), (7, 3, 2), (8, 5, 2), (9, 5, 2), (5, 3, 1), (15, 1, 2)]
)
def test_pad_same_places_windows_as_tensorflow_does(size, kernel, stride):
    """By its definition: `ceil(size / stride)` windows, padding shared with the odd pixel at the end."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    signal = np.pad(np.arange(1.0, size + 1), (total // 2, total - total // 2))
    expected = [signal[i * stride : i * stride + kernel].sum() for i in range(out)]
    x = torch.arange(1.0, size + 1).expand(1, 1, size, size)
    padded = pad_same(x, kernel, stride)
    ones = torch.ones(1, 1, 1, kernel)
    found = torch.nn.functional.conv2d(padded, ones, stride=stride)[0, 0, (padded.shape[2] - 1) // stride // 2]
    np.testing.assert_allclose(found, expected)


def test_folded_norm_equals_convolution_then_norm():
    torch.manual_seed(0)
    conv, norm = torch.nn.Conv2d(3, 5, 3, bias=False), torch.nn.BatchNorm2d(5, eps=1e-3)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        torch.nn.init.normal_(tensor)
    torch.nn.init.uniform_(norm.running_var, 0.1, 2.0)
    norm.eval()
    x = torch.randn(2, 3, 9, 9)
    weight, bias = fold_norm(conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var, eps=1e-3)
    torch.testing.assert_close(torch.nn.functional.conv2d(x, weight, bias), norm(conv(x)), atol=1e-5, rtol=1e-5)


def manifest(folder: Path, entries: list[dict], raw: bytes) -> tuple[Path, Path]:
    (folder / "m.json").write_text(json.dumps([{"weights": entries, "paths": ["w.bin"]}]))
    (folder / "w.bin").write_bytes(raw)
    return folder / "m.json", folder / "w.bin"


def test_tfjs_weights_are_dequantised(tmp_path):
    entries = [
        {"name": "q", "shape": [3], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
        {"name": "f", "shape": [1, 2], "dtype": "float32"},
    ]
    raw = bytes([0, 2, 255]) + np.array([1.5, -2.0], "<f4").tobytes()  # the floats start at an odd offset
    arrays = read_tfjs(*manifest(tmp_path, entries, raw))
    np.testing.assert_array_equal(arrays["q"], np.float32([-1.0, 0.0, 126.5]))
    np.testing.assert_array_equal(arrays["f"], np.float32([[1.5, -2.0]]))


@pytest.mark.parametrize("raw", [b"\0" * 3, b"\0" * 9])
def test_tfjs_manifest_must_cover_the_file(tmp_path, raw):
    with pytest.raises(WeightError, match=r"m\.json"):
        read_tfjs(*manifest(tmp_path, [{"name": "f", "shape": [2], "dtype": "float32"}], raw))
