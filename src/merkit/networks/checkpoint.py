"""Weight files into modules without ever unpickling an object, and frozen for inference."""

import pickle
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from merkit.errors import WeightError

__all__ = ["adopt", "fast_dtype", "load_state", "read_state"]

Net = TypeVar("Net", bound=nn.Module)


def load_state(net: Net, path: Path) -> Net:
    """`net` with the state dict in `path`, every key matched, in eval mode.

    Args:
        net: a module.
        path: a torch file that holds tensors only.

    Raises:
        WeightError: the file holds anything but tensors, or keys or shapes differ from the module's.

    Example:
        >>> load_state(nn.Linear(1, 1), Path("no such.pt"))
        Traceback (most recent call last):
        ...
        merkit.errors.WeightError: no such.pt: not a plain file of tensors ([Errno 2] No such file ...)
    """
    return adopt(net, read_state(path), path)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch file, without unpickling anything else.

    Raises:
        WeightError: the file holds anything but tensors.

    Example:
        >>> read_state(Path("no such.pt"))
        Traceback (most recent call last):
        ...
        merkit.errors.WeightError: no such.pt: not a plain file of tensors ([Errno 2] No such file ...)
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightError(f"{path}: not a plain file of tensors ({error})") from error


def adopt(net: Net, state: dict[str, Tensor], path: Path) -> Net:
    """`net` with the tensors of `state`, every key matched, in eval mode and without gradients.

    Args:
        net: a module.
        state: name -> tensor.
        path: where the tensors came from, for the error.

    Raises:
        WeightError: keys or shapes differ from the module's.

    Example:
        >>> net = adopt(nn.Linear(1, 1), {"weight": torch.ones(1, 1), "bias": torch.zeros(1)}, Path("a.pt"))
        >>> net.training, net.weight.requires_grad
        (False, False)
    """
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise WeightError(f"{path}: does not fit {type(net).__name__} ({error})") from error
    # oneDNN runs most convolutions here 1.2 to 3.5 times as fast on this layout (benchmarks/networks.py)
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net.eval().requires_grad_(False)


def fast_dtype() -> torch.dtype:
    """The number type in which the larger networks run fastest on this machine's CPU.

    bfloat16 where the CPU multiplies it in AMX tiles, for there it takes a third to a half of the time; elsewhere it is
    slower, so float32. Features move by up to 5 % of their length and probabilities by up to 0.03, and other machines
    give other digits: the loaders therefore take float32 unless told otherwise, and who asks for this keeps the type
    in the extractor's id.

    Example:
        >>> fast_dtype() in (torch.bfloat16, torch.float32)
        True
    """
    amx = torch.cpu.get_capabilities().get("amx_bf16", False) and torch.backends.mkldnn.is_available()
    return torch.bfloat16 if amx else torch.float32
