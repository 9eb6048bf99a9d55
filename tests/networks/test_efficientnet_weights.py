"""EfficientNet's weights as four packages write them: taken whole, or refused by what is wrong."""

import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import EfficientNetConfig, EfficientNetModel

from merkit.errors import ConfigError, WeightError
from merkit.networks.efficientnet import EfficientNet
from merkit.networks.efficientnet_weights import _pairs, load_efficientnet

from .unsettled import unsettled

BLOCKS = {0: (0, 0), 1: (1, 0), 2: (2, 0), 3: (3, 0), 4: (4, 0), 5: (5, 0), 6: (5, 1), 7: (6, 0)}


def as_timm(name: str) -> str:
    """transformers' names as timm writes them."""
    inside = re.match(r"encoder\.blocks\.(\d+)\.(.+)", name)
    if not inside:
        for old, new in (
            ("embeddings.convolution", "conv_stem"),
            ("embeddings.batchnorm", "bn1"),
            ("encoder.top_conv", "conv_head"),
            ("encoder.top_bn", "bn2"),
        ):
            name = name.replace(old, new)
        return name
    stage, place = BLOCKS[int(inside[1])]
    # the first stage has no expansion: its norms are counted from the depthwise one, its last layer is no "linear" one
    first, names = stage == 0, inside[2]
    for old, new in (
        ("expansion.expand_conv", "conv_pw"),
        ("expansion.expand_bn", "bn1"),
        ("depthwise_conv.depthwise_conv", "conv_dw"),
        ("depthwise_conv.depthwise_norm", "bn1" if first else "bn2"),
        ("squeeze_excite.reduce", "se.conv_reduce"),
        ("squeeze_excite.expand", "se.conv_expand"),
        ("projection.project_conv", "conv_pw" if first else "conv_pwl"),
        ("projection.project_bn", "bn2" if first else "bn3"),
    ):
        names = names.replace(old, new)
    return f"blocks.{stage}.{place}.{names}"


def as_torchvision(name: str) -> str:
    inside = re.match(r"encoder\.blocks\.(\d+)\.(\w+)\.(\w+)\.(\w+)", name)
    if not inside:
        for old, new in (
            ("embeddings.convolution", "features.0.0"),
            ("embeddings.batchnorm", "features.0.1"),
            ("encoder.top_conv", "features.8.0"),
            ("encoder.top_bn", "features.8.1"),
        ):
            name = name.replace(old, new)
        return name
    stage, place = BLOCKS[int(inside[1])]
    part = ["expansion", "depthwise_conv", "squeeze_excite", "projection"].index(inside[2]) - (stage == 0)
    squeeze = {"reduce": "fc1", "expand": "fc2"}
    layer = squeeze[inside[3]] if inside[2] == "squeeze_excite" else "0" if inside[3].endswith("conv") else "1"
    return f"features.{stage + 1}.{place}.block.{part}.{layer}.{inside[4]}"


def as_efficientnet_pytorch(name: str) -> str:
    for old, new in (
        ("embeddings.convolution", "_conv_stem"),
        ("embeddings.batchnorm", "_bn0"),
        ("encoder.top_conv", "_conv_head"),
        ("encoder.top_bn", "_bn1"),
        ("encoder.blocks", "_blocks"),
        ("expansion.expand_conv", "_expand_conv"),
        ("expansion.expand_bn", "_bn0"),
        ("depthwise_conv.depthwise_conv", "_depthwise_conv"),
        ("depthwise_conv.depthwise_norm", "_bn1"),
        ("squeeze_excite.reduce", "_se_reduce"),
        ("squeeze_excite.expand", "_se_expand"),
        ("projection.project_conv", "_project_conv"),
        ("projection.project_bn", "_bn2"),
    ):
        name = name.replace(old, new)
    return name


PACKAGES = {"timm": as_timm, "torchvision": as_torchvision, "efficientnet_pytorch": as_efficientnet_pytorch}
# names that stand in those packages' published B0 files, with their shapes there
KNOWN = {
    "timm": {
        "conv_stem.weight": (32, 3, 3, 3),
        "blocks.0.0.conv_dw.weight": (32, 1, 3, 3),
        "blocks.0.0.se.conv_reduce.weight": (8, 32, 1, 1),
        "blocks.0.0.conv_pw.weight": (16, 32, 1, 1),
        "blocks.0.0.bn2.running_var": (16,),
        "blocks.1.0.conv_pw.weight": (96, 16, 1, 1),
        "blocks.1.0.conv_pwl.weight": (24, 96, 1, 1),
        "blocks.1.0.bn3.weight": (24,),
        "conv_head.weight": (1280, 320, 1, 1),
        "bn2.weight": (1280,),
    },
    "torchvision": {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.0.block.0.0.weight": (32, 1, 3, 3),
        "features.1.0.block.1.fc1.weight": (8, 32, 1, 1),
        "features.1.0.block.2.0.weight": (16, 32, 1, 1),
        "features.2.0.block.0.0.weight": (96, 16, 1, 1),
        "features.2.0.block.3.0.weight": (24, 96, 1, 1),
        "features.8.1.weight": (1280,),
    },
    "efficientnet_pytorch": {
        "_conv_stem.weight": (32, 3, 3, 3),
        "_blocks.0._bn1.running_mean": (32,),
        "_blocks.0._se_reduce.weight": (8, 32, 1, 1),
        "_blocks.0._se_expand.bias": (32,),
        "_blocks.0._project_conv.weight": (16, 32, 1, 1),
        "_conv_head.weight": (1280, 320, 1, 1),
        "_bn1.weight": (1280,),
    },
}


@pytest.fixture(scope="module")
def theirs() -> EfficientNetModel:
    torch.manual_seed(0)
    config = EfficientNetConfig(width_coefficient=0.25, depth_coefficient=0.3, hidden_dim=320, image_size=64)
    return unsettled(EfficientNetModel(config), torch.randn(16, 3, 64, 64))


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file({f"efficientnet.{name}": value for name, value in theirs.state_dict().items()}, path)
    return path


def test_same_weights_same_features_as_transformers(theirs, file) -> None:
    x = torch.randn(2, 3, 64, 96)
    net = load_efficientnet("tiny", weights=file).eval()
    with torch.no_grad():
        want = theirs(x).last_hidden_state
        torch.testing.assert_close(net.features(x), want, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(net(x), want.mean((2, 3)), atol=1e-4, rtol=1e-4)
    assert (want[0] - want[1]).abs().max() > 0.1  # a net that has died out would agree with anything
    assert (load_efficientnet("tiny", weights=file, convention="torch").eval()(x) - net(x)).abs().max() > 1e-3


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_the_same_weights_under_another_packages_names(package: str, suffix: str, theirs, tmp_path) -> None:
    state = {PACKAGES[package](name): value for name, value in theirs.state_dict().items()}
    assert len(state) == len(theirs.state_dict()) and set(KNOWN[package]) <= set(state)
    path = tmp_path / f"tf_efficientnet_b0{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        got = load_efficientnet("tiny", weights=path, convention="tf").eval().features(x)
        torch.testing.assert_close(got, theirs(x).last_hidden_state, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("package", PACKAGES)
def test_names_and_shapes_of_published_b0_files_are_those_looked_for(package: str) -> None:
    with torch.device("meta"):
        ours = EfficientNet("b0").state_dict()
    there = {name: mine for mine, name in _pairs("b0", package)}
    for key, shape in KNOWN[package].items():
        module, part = key.rsplit(".", 1)
        assert ours[f"{there[module]}.{part}"].shape == shape


@pytest.mark.parametrize(
    ("package", "name", "convention", "eps"),
    [
        ("timm", "tf_efficientnet_b5.ns_jft_in1k.safetensors", "tf", 1e-3),
        ("timm", "efficientnet_b0.ra_in1k.safetensors", "torch", 1e-5),
        ("torchvision", "efficientnet_b0_rwightman-7f5810bc.safetensors", "torch", 1e-5),
        ("efficientnet_pytorch", "efficientnet-b0-355c32eb.safetensors", "tf", 1e-3),
    ],
)
def test_the_convention_follows_from_where_weights_come(package, name, convention, eps, theirs, tmp_path) -> None:
    save_file({PACKAGES[package](key): value for key, value in theirs.state_dict().items()}, tmp_path / name)
    net = load_efficientnet("tiny", weights=tmp_path / name)
    assert net.convention == convention
    assert {m.eps for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {eps}


def test_a_timm_file_that_does_not_say_which_is_refused(theirs, tmp_path) -> None:
    save_file({as_timm(key): value for key, value in theirs.state_dict().items()}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match="convention=tf"):
        load_efficientnet("tiny", weights=tmp_path / "model.safetensors")


def test_one_channel_answers_as_three_equal_ones(file) -> None:
    x = torch.rand(2, 1, 64, 50)
    grey, colour = (load_efficientnet("tiny", channels, file).eval() for channels in (1, 3))
    torch.testing.assert_close(grey(x), colour(x.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("encoder.blocks.1.expansion.expand_bn.running_var"),
            r"lacks encoder.blocks.1.expansion.*tiny",
        ),
        (lambda s: s.update({"encoder.blocks.9.x.weight": torch.zeros(1)}), r"no place for encoder.blocks.9.x.weight"),
        (
            lambda s: s.update({"encoder.top_conv.weight": torch.zeros(2, 2, 1, 1)}),
            r"top_conv.weight is \(2, 2, 1, 1\)",
        ),
        (lambda s: s.pop("embeddings.convolution.weight"), "no EfficientNet of"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_what_is_wrong(change, message, theirs, tmp_path) -> None:
    state = dict(theirs.state_dict())
    change(state)
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(WeightError, match=message):
        load_efficientnet("tiny", weights=tmp_path / "a.safetensors")


def test_files_that_are_none_are_refused(tmp_path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    torch.save({"a": object}, tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt", "missing.safetensors"):
        with pytest.raises(WeightError, match=name):
            load_efficientnet("tiny", weights=tmp_path / name)
    with pytest.raises(ConfigError, match=r"b9.*tiny"):
        EfficientNet("b9")
    with pytest.raises(ConfigError, match="keras"):
        EfficientNet("tiny", convention="keras")


@pytest.mark.parametrize("kind", [("tf", None), ("torch", None), ("torch", 1e-3)])
def test_what_it_saves_it_reads_convention_included(kind, tmp_path) -> None:
    net = unsettled(EfficientNet("tiny", 1, classes=7), torch.randn(8, 1, 64, 64))
    net.follow(*kind)
    save_file(net.state_dict(), tmp_path / "own.safetensors")
    other = load_efficientnet("tiny", 1, tmp_path / "own.safetensors", classes=7).eval()
    assert torch.equal(net(torch.ones(1, 1, 64, 64)), other(torch.ones(1, 1, 64, 64)))
    assert load_file(tmp_path / "own.safetensors").keys() == other.state_dict().keys()
    plain = EfficientNet("tiny", 1, classes=7).eval()
    plain.load_state_dict(load_file(tmp_path / "own.safetensors"))
    assert torch.equal(net(torch.ones(1, 1, 64, 64)), plain(torch.ones(1, 1, 64, 64)))
    assert (plain.convention, plain.eps) == (net.convention, net.eps)
