"""How `AutoModel`, `AutoConfig` and `AutoProcessor` come to know merkit's classes without anyone paying for it.

transformers is a lazy package: a module of it is imported when one of its names is first asked for. `introduce` puts a finder
in front of the import system that waits for the three modules in which the Auto classes live and registers merkit's
class behind each, so that `import merkit` costs nothing and the order of imports does not matter.
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

__all__ = ["introduce"]


def _config() -> None:
    from merkit.export.config import MerkitConfig

    import_module("transformers.models.auto.configuration_auto").AutoConfig.register(
        MerkitConfig.model_type, MerkitConfig, exist_ok=True
    )


def _model() -> None:
    from merkit.export.config import MerkitConfig
    from merkit.export.model import MerkitModel

    import_module("transformers.models.auto.modeling_auto").AutoModel.register(MerkitConfig, MerkitModel, exist_ok=True)


def _processor() -> None:
    from merkit.export.config import MerkitConfig
    from merkit.export.processor import MerkitProcessor

    import_module("transformers.models.auto.processing_auto").AutoProcessor.register(
        MerkitConfig, MerkitProcessor, exist_ok=True
    )


# the order is that in which they import one another
_INTRODUCTIONS: dict[str, Callable[[], None]] = {
    "transformers.models.auto.configuration_auto": _config,
    "transformers.models.auto.modeling_auto": _model,
    "transformers.models.auto.processing_auto": _processor,
}


def introduce() -> None:
    """Registers merkit's classes with transformers, now where its Auto classes are loaded already, else when they are.

    Example:
        >>> introduce()
        >>> from transformers import AutoConfig
        >>> type(AutoConfig.for_model("merkit")).__name__
        'MerkitConfig'
    """
    if not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())
    for name in _INTRODUCTIONS:
        if name in sys.modules:
            _made_known(name)


def _made_known(name: str) -> None:
    try:
        _INTRODUCTIONS[name]()
    except Exception as error:  # noqa: BLE001  transformers must go on whatever happens here
        warnings.warn(
            f"merkit's models are not known to transformers ({error}); import merkit.export",
            RuntimeWarning,
            stacklevel=2,
        )


class _Waiting(MetaPathFinder):
    """Finds nothing itself: it lets the others find, and has the module registered with once it is loaded."""

    def __init__(self) -> None:
        self._looking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _INTRODUCTIONS or self._looking:
            return None
        self._looking = True
        try:
            spec = find_spec(fullname)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Telling(spec.loader)
        return spec


class _Telling(Loader):
    """The module's own loader, and a word to its registry afterwards."""

    def __init__(self, own: Loader) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._own.exec_module(module)
        _made_known(module.__name__)
