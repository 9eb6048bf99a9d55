"""EfficientNet with weights: from the catalogue, or from a file that somebody has, whatever package wrote it."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from merkit.errors import ConfigError, WeightError
from merkit.networks.checkpoint import read_state
from merkit.networks.efficientnet import Convention, EfficientNet
from merkit.networks.efficientnet_shapes import EFFICIENTNETS, STAGES
from merkit.weights import locate

__all__ = ["convert_efficientnet", "load_efficientnet", "read_tensors"]


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Name -> tensor of a safetensors file, or of a torch file that holds nothing but tensors.

    Raises:
        WeightError: it is neither, or not there.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        return read_state(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightError(f"{path}: not a safetensors file ({error})") from error


_SIGNS = {
    "efficientnet_pytorch": "_conv_stem.weight",
    "timm": "conv_stem.weight",
    "torchvision": "features.0.0.weight",
    "transformers": "embeddings.convolution.weight",
    "merkit": "stem.conv.weight",
}
_CLASSES = {
    "efficientnet_pytorch": "_fc",
    "timm": "classifier",
    "torchvision": "classifier.1",
    "transformers": "classifier",
    "merkit": "classes",
}
_CATALOGUE = {"lite0": ("efficientnet-lite0", "efficientnet-lite0-57934424.pth")}


def _outer(source: str) -> tuple[str, str, str, str]:
    """Their names of the first convolution and norm and of the last ones."""
    return {
        "efficientnet_pytorch": ("_conv_stem", "_bn0", "_conv_head", "_bn1"),
        "timm": ("conv_stem", "bn1", "conv_head", "bn2"),
        "torchvision": ("features.0.0", "features.0.1", "features.8.0", "features.8.1"),
        "transformers": ("embeddings.convolution", "embeddings.batchnorm", "encoder.top_conv", "encoder.top_bn"),
        "merkit": ("stem.conv", "stem.norm", "head.conv", "head.norm"),
    }[source]


def _inner(source: str, stage: int, place: int, count: int) -> dict[str, str]:
    """Our names within a block -> their full names.

    Args:
        source: a key of `_SIGNS`.
        stage: of the block, from 0; the blocks of stage 0 do not expand.
        place: of the block within its stage.
        count: of the block among all.
    """
    parts = ("expand.conv", "expand.norm", "depth.conv", "depth.norm", "squeeze.reduce", "squeeze.expand")
    parts = (*parts, "project.conv", "project.norm")
    if source == "merkit":
        return {part: f"blocks.{count}.{part}" for part in parts}
    if source == "torchvision":
        at = [i - (stage == 0) for i in range(4)]
        names = [f"{at[0]}.0", f"{at[0]}.1", f"{at[1]}.0", f"{at[1]}.1", f"{at[2]}.fc1", f"{at[2]}.fc2"]
        block = f"features.{stage + 1}.{place}.block."
        names += [f"{at[3]}.0", f"{at[3]}.1"]
    elif source == "timm":
        names = ["conv_pw", "bn1", "conv_dw", "bn2", "se.conv_reduce", "se.conv_expand", "conv_pwl", "bn3"]
        if stage == 0:
            names = ["", "", "conv_dw", "bn1", "se.conv_reduce", "se.conv_expand", "conv_pw", "bn2"]
        block = f"blocks.{stage}.{place}."
    elif source == "efficientnet_pytorch":
        names = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_se_reduce", "_se_expand", "_project_conv", "_bn2"]
        block = f"_blocks.{count}."
    else:
        names = ["expansion.expand_conv", "expansion.expand_bn"]
        names += ["depthwise_conv.depthwise_conv", "depthwise_conv.depthwise_norm"]
        names += ["squeeze_excite.reduce", "squeeze_excite.expand", "projection.project_conv", "projection.project_bn"]
        block = f"encoder.blocks.{count}."
    return {part: block + name for part, name in zip(parts, names, strict=True)}


def _pairs(variant: str, source: str) -> Iterator[tuple[str, str]]:
    """Our module names and theirs."""
    yield from zip(_outer("merkit"), _outer(source), strict=True)
    yield "classes", _CLASSES[source]
    count = 0
    for stage, (repeats, *_) in enumerate(STAGES):
        for place in range(math.ceil(repeats * EFFICIENTNETS[variant].depth)):
            for part, name in _inner(source, stage, place, count).items():
                yield f"blocks.{count}.{part}", name
            count += 1


def _source(state: Mapping[str, Tensor], path: Path) -> str:
    for source, sign in _SIGNS.items():
        if sign in state:
            return source
    raise WeightError(
        f"{path}: no EfficientNet of {', '.join(_SIGNS)}: none of {', '.join(_SIGNS.values())} is in it; "
        f"it begins with {', '.join(list(state)[:3]) or 'nothing'}"
    )


def convert_efficientnet(
    theirs: Mapping[str, Tensor], net: EfficientNet, path: Path = Path("state dict")
) -> EfficientNet:
    """`net` with the weights of another package's EfficientNet of the same variant; every number must find its place.

    A stem for one channel gets the sum of the filters for red, green and blue: what it gave for a grey picture. The
    classifier is taken where `net` has one of that size.

    Args:
        theirs: state dict of timm, torchvision, transformers, efficientnet_pytorch or this package.
        net: takes them in place.
        path: where they came from, for the error.

    Raises:
        WeightError: of another variant, or of no known package.
    """
    # transformers puts its classifier beside a body called efficientnet
    theirs = {key.removeprefix("efficientnet."): value for key, value in theirs.items()}
    source = _source(theirs, path)
    ours, state, used = net.state_dict(), {}, set()
    for mine, name in _pairs(net.variant, source):
        for part in ("weight", "bias", "running_mean", "running_var"):
            key, found = f"{mine}.{part}", theirs.get(f"{name}.{part}")
            used.add(f"{name}.{part}")
            if key not in ours or (mine == "classes" and (found is None or found.shape != ours[key].shape)):
                continue
            if found is None:
                raise WeightError(f"{path}: lacks {name}.{part} of {source}'s EfficientNet {net.variant}")
            if key == "stem.conv.weight" and found.shape[1] == 3 and ours[key].shape[1] == 1:
                found = found.sum(1, keepdim=True)
            if found.shape != ours[key].shape:
                raise WeightError(
                    f"{path}: {name}.{part} is {tuple(found.shape)}; EfficientNet {net.variant} has {tuple(ours[key].shape)}"
                )
            state[key] = found
    used.add("_extra_state")
    if source == "merkit" and "_extra_state" in theirs:
        net.set_extra_state(theirs["_extra_state"])
    over = [key for key in theirs if key not in used and not key.endswith("num_batches_tracked")]
    if over:
        raise WeightError(
            f"{path}: EfficientNet {net.variant} has no place for {', '.join(over[:3])} ({len(over)} in all)"
        )
    net.load_state_dict(state, strict=False)
    return net


def load_efficientnet(
    variant: str,
    channels: int = 3,
    weights: str | Path = "none",
    *,
    classes: int = 0,
    convention: Literal["auto", "tf", "torch"] = "auto",
    drop_path: float = 0.2,
) -> EfficientNet:
    """An EfficientNet to be trained.

    Args:
        variant: a name in `EFFICIENTNETS`.
        channels: of the pictures: 3, or 1.
        weights: `none` = random; `catalogue` = ImageNet's, where merkit's catalogue has them (lite0); or a file, safetensors
            or torch, that timm, torchvision, transformers or efficientnet_pytorch wrote.
        classes: see `EfficientNet`.
        convention: see `EfficientNet`. `auto` takes that of the package that the weights come from; timm has both, and
            the file's or folder's name says which: `tf_efficientnet…` or `efficientnet…`.
        drop_path: see `EfficientNet`.

    Raises:
        ConfigError: the catalogue has no weights for this variant, or a timm file's name does not say its convention.
        WeightError: the file is not there, not readable, or does not fit.

    Example:
        >>> load_efficientnet("tiny", 1).stem.conv.weight.shape
        torch.Size([8, 1, 3, 3])
        >>> load_efficientnet("b4", weights="catalogue")
        Traceback (most recent call last):
        ...
        merkit.errors.ConfigError: the catalogue has no weights for EfficientNet b4; it has them for lite0
    """
    path, theirs, source = None, None, ""
    if weights == "catalogue":
        if variant not in _CATALOGUE:
            raise ConfigError(
                f"the catalogue has no weights for EfficientNet {variant}; it has them for {', '.join(_CATALOGUE)}"
            )
        entry, name = _CATALOGUE[variant]
        path = locate(entry) / name
    elif weights != "none":
        path = Path(weights).expanduser()
    if path is not None:
        theirs = read_tensors(path)
        source = _source({key.removeprefix("efficientnet."): value for key, value in theirs.items()}, path)
    told: Convention = _convention(source, path) if convention == "auto" else convention
    net = EfficientNet(variant, channels, classes=classes, convention=told, drop_path=drop_path)
    if source == "torchvision" and variant in ("b5", "b6", "b7"):
        net.follow("torch", 1e-3)  # these three were trained with the authors' norms and symmetric padding
    return net if theirs is None or path is None else convert_efficientnet(theirs, net, path)


def _convention(source: str, path: Path | None) -> Convention:
    if source == "torchvision":
        return "torch"
    if source != "timm" or path is None:
        return "tf"
    for name in (path.name, path.parent.name):
        if "efficientnet" in name:
            return "tf" if "tf_efficientnet" in name else "torch"
    raise ConfigError(
        f"{path}: timm's EfficientNets are of two conventions; say convention=tf for a tf_efficientnet, else convention=torch"
    )
