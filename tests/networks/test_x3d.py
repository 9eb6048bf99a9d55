"""X3D against the sizes that its author publishes, and against one block written out."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from merkit.errors import ConfigError
from merkit.networks.x3d import X3D, X3DS

from .unsettled import unsettled

# millions of parameters with 400 classes, billions of multiply-adds for one clip of the published size
PUBLISHED = {"s": (3.79, 1.96), "m": (3.79, 4.73), "xl": (11.09, 35.84)}


@pytest.mark.parametrize("variant", PUBLISHED)
def test_size_and_arithmetic_are_the_published_ones(variant: str) -> None:
    shape = X3DS[variant]
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        net = X3D(variant, classes=400).eval()
        assert net(torch.zeros(1, 3, shape.frames, shape.side, shape.side)).shape == (1, 400)
    size, cost = PUBLISHED[variant]
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(size, abs=0.01)
    assert counter.get_total_flops() / 2e9 == pytest.approx(cost, abs=0.01)
    assert net.width == 2048


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_block_is_what_its_formula_says(place: int) -> None:
    """Written out in numpy: blocks 2 and 3 of the tiny network are the third stage, of which only the first squeezes."""
    torch.manual_seed(place)
    net = X3D("tiny")
    block = net.blocks[place].double().eval()
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.running_var, 0.1, 1)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.normal_(module.bias, std=0.2)
    assert (block.squeeze is not None) == (place != 3)
    weight = {name: value.numpy() for name, value in block.state_dict().items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        part = {
            k: weight[f"{name}.{k}"][:, None, None, None] for k in ("running_mean", "running_var", "weight", "bias")
        }
        scaled = (x - part["running_mean"]) / np.sqrt(part["running_var"] + 1e-5)
        return scaled * part["weight"] + part["bias"]

    def mix(x: np.ndarray, name: str) -> np.ndarray:
        return np.einsum("oc,cthw->othw", weight[name][:, :, 0, 0, 0], x)

    step = 1 if place == 3 else 2
    x = np.random.default_rng(0).normal(size=(block.expand.in_channels, 3, 6, 6))
    y = np.maximum(norm(mix(x, "expand.weight"), "expand_norm"), 0)
    wide = np.pad(y, ((0, 0), (1, 1), (1, 1), (1, 1)))
    y = np.zeros((len(y), 3, 6 // step, 6 // step))
    for t, i, j in np.ndindex(*y.shape[1:]):
        window = wide[:, t : t + 3, step * i : step * i + 3, step * j : step * j + 3]
        y[:, t, i, j] = (window * weight["depth.weight"][:, 0]).sum((1, 2, 3))
    y = norm(y, "depth_norm")
    if place != 3:
        mean = y.mean((1, 2, 3))
        inner = np.maximum(weight["squeeze.0.weight"][:, :, 0, 0, 0] @ mean + weight["squeeze.0.bias"], 0)
        y *= sigmoid(weight["squeeze.2.weight"][:, :, 0, 0, 0] @ inner + weight["squeeze.2.bias"])[:, None, None, None]
    y = norm(mix(y * sigmoid(y), "project.weight"), "project_norm")
    beside = x if place == 3 else norm(mix(x[:, :, ::step, ::step], "shortcut.0.weight"), "shortcut.1")
    for gradients in (True, False):  # training takes another way through the filters than prediction
        with torch.set_grad_enabled(gradients):
            got = block(torch.from_numpy(x)[None])[0].detach().numpy()
        np.testing.assert_allclose(got, np.maximum(y + beside, 0), atol=1e-9)


def test_the_stem_is_a_filter_of_places_and_then_one_of_times() -> None:
    torch.manual_seed(0)
    net = X3D("tiny").double().eval()
    net.blocks = torch.nn.Identity()
    net.head, net.head_norm = torch.nn.Identity(), torch.nn.Identity()
    x = torch.randn(2, 3, 6, 9, 10, dtype=torch.float64)
    # the two as one (5, 3, 3) filter, which is how the paper's table writes them
    both = torch.einsum("ocahw,odtbe->octhw", net.stem_place.weight, net.stem_time.weight)
    want = torch.nn.functional.conv3d(x, both, stride=(1, 2, 2), padding=(2, 1, 1))
    torch.testing.assert_close(net.features(x), (want / (1 + 1e-5) ** 0.5).relu(), atol=1e-9, rtol=1e-9)


def test_a_clip_is_answered_the_same_alone_and_among_others() -> None:
    torch.manual_seed(0)
    net, x = unsettled(X3D("tiny"), torch.randn(8, 3, 5, 32, 32)), torch.randn(3, 3, 5, 32, 32)
    together = net(x)
    torch.testing.assert_close(net(x[1:2]), together[1:2], atol=1e-4, rtol=1e-3)
    assert together.std(0).mean() > 0.01


def test_every_frame_keeps_its_place_and_looks_at_its_neighbours() -> None:
    torch.manual_seed(0)
    net, x = X3D("tiny").eval(), torch.randn(1, 3, 40, 32, 32)
    other = x.clone()
    other[:, :, 20] += 1
    # one squeeze sees all of time; without it the reach is 2 frames of the stem and 1 of each of five blocks
    for block in net.blocks:
        block.squeeze = None
    moved = (net.features(x) - net.features(other)).abs().amax((0, 1, 3, 4)) > 0
    assert moved.nonzero()[:, 0].tolist() == list(range(13, 28))


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    net = X3D("tiny", classes=7).train()
    net(torch.randn(4, 3, 4, 64, 64)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"xxl.*s, m, xl"):
        X3D("xxl")
