"""EfficientNet-Lite0 against the package that its weights were published with."""

from pathlib import Path

import numpy as np
import torch

from merkit.networks import EfficientNetLite0, load_efficientnet_lite0

from .pictures import pictures

GOLDEN = Path(__file__).parent / "golden" / "efficientnet_lite0.npz"


def test_feature_and_logits_equal_the_original(weights):
    weights("efficientnet-lite0")
    golden = np.load(GOLDEN)
    feature, logits = load_efficientnet_lite0()(EfficientNetLite0.prepare(pictures(2, 224)))
    np.testing.assert_allclose(feature[:1], golden["feature"], atol=5e-5)
    np.testing.assert_allclose(logits, golden["logits"], atol=5e-5)


def test_bfloat16_stays_within_the_stated_distance(weights):
    weights("efficientnet-lite0")
    x = EfficientNetLite0.prepare(pictures(2, 224))
    (exact, logits), (rounded, other) = (load_efficientnet_lite0(t)(x) for t in (torch.float32, torch.bfloat16))
    assert ((exact - rounded).norm(dim=1) / exact.norm(dim=1)).max() < 0.05
    assert (logits.softmax(1) - other.softmax(1)).abs().max() < 0.03


def test_prepare_maps_grey_and_white():
    image = np.array([127, 255], np.uint8).reshape(2, 1, 1, 1).repeat(224, 1).repeat(224, 2).repeat(3, 3)
    assert EfficientNetLite0.prepare(image)[:, 0, 0, 0].tolist() == [0.0, 1.0]


def test_prepare_squeezes_without_moving_the_middle():
    image = np.zeros((1, 448, 896, 3), np.uint8)
    image[:, :, 448:] = 255
    x = EfficientNetLite0.prepare(image)
    assert x[..., :111].max() < -0.98
    assert x[..., 113:].min() > 0.99


def test_weights_hold_the_published_number_of_parameters():
    """4.65 M parameters; folding turns each of the 49 norms' scale and shift into one bias."""
    count = sum(p.numel() for p in EfficientNetLite0().parameters())
    norms = sum(m.bias.numel() for m in EfficientNetLite0().modules() if isinstance(m, torch.nn.Conv2d))
    assert count + norms == 4_652_008
