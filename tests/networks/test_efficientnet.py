"""EfficientNet against transformers' own, against the folded lite0, and against the sizes that the authors publish."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import EfficientNetConfig, EfficientNetModel

from merkit.networks import EfficientNetLite0, load_efficientnet_lite0
from merkit.networks.efficientnet import EfficientNet
from merkit.networks.efficientnet_shapes import EFFICIENTNETS
from merkit.networks.efficientnet_weights import convert_efficientnet, load_efficientnet

from .pictures import pictures
from .unsettled import unsettled

# parameters with 1000 classes; billions of multiply-adds (paper, table 2); width
PUBLISHED = {
    "b0": (5_288_548, 0.39, 1280),
    "b1": (7_794_184, 0.70, 1280),
    "b2": (9_109_994, 1.0, 1408),
    "b3": (12_233_232, 1.8, 1536),
    "b4": (19_341_616, 4.2, 1792),
    "b5": (30_389_784, 9.9, 2048),
    "b6": (43_040_704, 19.0, 2304),
    "b7": (66_347_960, 37.0, 2560),
    "lite0": (4_652_008, 0.39, 1280),
}


@pytest.mark.parametrize("variant", PUBLISHED)
def test_size_and_arithmetic_are_the_published_ones(variant: str) -> None:
    count, cost, width = PUBLISHED[variant]
    side = EFFICIENTNETS[variant].side
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        net = EfficientNet(variant, classes=1000)
        assert net.eval()(torch.zeros(1, 3, side, side)).shape == (1, 1000)
    assert sum(p.numel() for p in net.parameters()) == count
    assert counter.get_total_flops() / 2e9 == pytest.approx(cost, rel=0.05)
    assert net.width == width


@pytest.mark.parametrize(("variant", "width"), [("b4", 1792), ("b7", 2560)])
def test_a_spectrogram_of_400_frames_becomes_13_columns(variant: str, width: int) -> None:
    with torch.device("meta"):
        assert EfficientNet(variant, 1).features(torch.zeros(2, 1, 128, 400)).shape == (2, width, 4, 13)


def test_b0_of_full_size_agrees_with_transformers() -> None:
    torch.manual_seed(0)
    config = EfficientNetConfig(width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, image_size=64)
    theirs = unsettled(EfficientNetModel(config), torch.randn(8, 3, 64, 64))
    net = convert_efficientnet(theirs.state_dict(), EfficientNet("b0")).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        want = theirs(x).last_hidden_state
        torch.testing.assert_close(net.features(x), want, atol=1e-4 * float(want.abs().max()), rtol=1e-3)
    assert (want[0] - want[1]).std() > 0.1  # a net that has died out would agree with anything


@pytest.mark.parametrize("size", [(7, 10), (8, 9)])
@pytest.mark.parametrize("convention", ["tf", "torch"])
def test_a_stride_two_layer_pads_as_its_convention_says(size, convention) -> None:
    torch.manual_seed(0)
    stem = unsettled(EfficientNet("tiny", 1, convention=convention), torch.randn(8, 1, 64, 64)).stem
    x = torch.randn(1, 1, *size)
    kernel = stem.conv.weight.detach().double().numpy()[:, 0]
    height, width = (-(-n // 2) for n in size)
    want = np.zeros((len(kernel), height, width))
    before = [
        max((m - 1) * 2 + 3 - n, 0) // 2 if convention == "tf" else 1
        for m, n in zip((height, width), size, strict=True)
    ]
    for row, column in np.ndindex(height, width):
        for a, b in np.ndindex(3, 3):
            i, j = 2 * row - before[0] + a, 2 * column - before[1] + b
            if 0 <= i < size[0] and 0 <= j < size[1]:
                want[:, row, column] += kernel[:, a, b] * x[0, 0, i, j].item()
    norm = {name: value.double().numpy()[:, None, None] for name, value in stem.norm.state_dict().items() if value.ndim}
    eps = 1e-3 if convention == "tf" else 1e-5
    want = (want - norm["running_mean"]) / np.sqrt(norm["running_var"] + eps) * norm["weight"] + norm["bias"]
    np.testing.assert_allclose(stem(x)[0].detach().numpy(), want, atol=1e-4)


def test_lite0_is_the_network_that_features_are_read_from(weights) -> None:
    weights("efficientnet-lite0")
    rgb = torch.from_numpy(pictures(2, 224)).permute(0, 3, 1, 2) / 255
    net = load_efficientnet("lite0", weights="catalogue", classes=1000).eval()
    mean, std = (torch.tensor(part)[:, None, None] for part in net.mean_std)
    feature, logits = load_efficientnet_lite0()(EfficientNetLite0.prepare(pictures(2, 224)))
    with torch.no_grad():
        torch.testing.assert_close(net((rgb - mean) / std), logits, atol=5e-4, rtol=1e-3)
        torch.testing.assert_close(net.features((rgb - mean) / std).mean((2, 3)), feature, atol=5e-4, rtol=1e-3)


def test_a_picture_is_answered_the_same_alone_and_among_others() -> None:
    torch.manual_seed(0)
    net, x = unsettled(EfficientNet("tiny"), torch.randn(8, 3, 64, 64)), torch.randn(5, 3, 64, 64)
    together = net.features(x)
    torch.testing.assert_close(net.features(x[2:3]), together[2:3], atol=1e-4, rtol=1e-3)
    assert together.std(0).mean() > 0.1


def test_in_training_later_blocks_are_left_out_of_single_pictures_at_the_stated_rate() -> None:
    torch.manual_seed(0)
    block = [block for block in EfficientNet("b0", drop_path=0.5).blocks if block.shortcut][-1].train()
    assert block.drop_path == pytest.approx(0.5 * 14 / 16)  # the last block with a shortcut is the fifteenth of sixteen
    x = torch.randn(1, block.project.conv.out_channels, 2, 2).expand(800, -1, -1, -1)
    left = (block(x) == x).flatten(1).all(1)
    assert left.float().mean() == pytest.approx(block.drop_path, abs=0.04)
    assert not (block.eval()(x) == x).flatten(1).all(1).any()


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    net = EfficientNet("tiny", 1, classes=7, drop_path=0).train()
    net(torch.randn(4, 1, 64, 64)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
