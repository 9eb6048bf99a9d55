"""A network that begins with what another one has learned, as far as the two are alike."""

import logging
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from merkit.errors import WeightError

__all__ = ["load_fitting"]

_log = logging.getLogger(__name__)


def load_fitting(model: nn.Module, source: str | Path, prefixes: Mapping[str, str] | None = None) -> list[str]:
    """Takes over all weights of the same name and shape; others stay, and how many is said.

    Args:
        model: the network, changed in place.
        source: a run's folder, or a `.safetensors` file.
        prefixes: how names begin there -> how they begin here, for what another network has under another name.

    Returns:
        The names of what was taken over.

    Raises:
        WeightError: there are no weights, or none that fit.
    """
    path = Path(source).expanduser()
    file = path / "model.safetensors" if path.is_dir() else path
    try:
        held = load_file(file)
    except (OSError, SafetensorError) as error:
        raise WeightError(f"{source}: no weights to begin with ({error})") from None
    for there, here in (prefixes or {}).items():
        held = {here + name.removeprefix(there) if name.startswith(there) else name: x for name, x in held.items()}
    own = model.state_dict()
    fitting = {name: value for name, value in held.items() if name in own and own[name].shape == value.shape}
    if not any(name in fitting for name, _ in model.named_parameters()):
        raise WeightError(f"{source}: none of its {len(held)} weights fits this network")
    model.load_state_dict(fitting, strict=False)
    _log.info("%s: %d of %d weights taken over", source, len(fitting), len(own))
    return sorted(fitting)
