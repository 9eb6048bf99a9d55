"""A network that begins with what another one has learned, as far as the two are alike."""

import logging
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from merkit.errors import WeightError

__all__ = ["load_fitting"]

_log = logging.getLogger(__name__)


def load_fitting(model: nn.Module, source: str | Path) -> list[str]:
    """Takes over all weights of the same name and shape; others stay, and how many is said.

    Args:
        model: the network, changed in place.
        source: a run's folder, or a `.safetensors` file.

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
    own = model.state_dict()
    fitting = {name: value for name, value in held.items() if name in own and own[name].shape == value.shape}
    if not any(name in fitting for name, _ in model.named_parameters()):
        raise WeightError(f"{source}: none of its {len(held)} weights fits this network")
    model.load_state_dict(fitting, strict=False)
    _log.info("%s: %d of %d weights taken over", source, len(fitting), len(own))
    return sorted(fitting)
