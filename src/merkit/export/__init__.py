"""Trained runs in forms that travel: a Hugging Face model, an ONNX graph, a torch.export program; each checked against the run.

Names are resolved on first use: `import merkit` reaches into this room to tell transformers of merkit's classes, and must
not load torch for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from merkit.export.config import MerkitConfig
    from merkit.export.folder import Exported, export_run
    from merkit.export.model import MerkitModel, MerkitOutput
    from merkit.export.processor import MerkitProcessor

# public name -> module that defines it
_HOME = {
    "Exported": "merkit.export.folder",
    "MerkitConfig": "merkit.export.config",
    "MerkitModel": "merkit.export.model",
    "MerkitOutput": "merkit.export.model",
    "MerkitProcessor": "merkit.export.processor",
    "export_run": "merkit.export.folder",
}

__all__ = ["Exported", "MerkitConfig", "MerkitModel", "MerkitOutput", "MerkitProcessor", "export_run"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'merkit.export' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
