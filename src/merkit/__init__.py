"""merkit: multimodal emotion recognition, from a clip to a timeline with honest probabilities.

Importing this package loads neither torch nor PyAV: public names are resolved on first use, so that `merkit --help`
answers at once. The public face is `__all__`; everything else may change between minor versions.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from merkit.export.auto import introduce

if TYPE_CHECKING:
    from merkit.errors import MediaError, MerkitError, WeightError
    from merkit.inference import analyze
    from merkit.schema import Clip, Stream, Timeline

__version__ = "0.1.0"

# public name -> module that defines it
_HOME = {
    "Clip": "merkit.schema",
    "MediaError": "merkit.errors",
    "MerkitError": "merkit.errors",
    "Stream": "merkit.schema",
    "Timeline": "merkit.schema",
    "WeightError": "merkit.errors",
    "analyze": "merkit.inference",
}

__all__ = ["Clip", "MediaError", "MerkitError", "Stream", "Timeline", "WeightError", "__version__", "analyze"]


# `AutoModel.from_pretrained` reads exported models; transformers itself is not imported for it
introduce()


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'merkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
