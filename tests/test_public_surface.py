"""Every `__all__` names what is there, every room has one, and importing merkit stays light."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import merkit

ROOMS = sorted(
    module.name
    for module in pkgutil.walk_packages(merkit.__path__, "merkit.")
    if not any(part.startswith("_") for part in module.name.split("."))
)


@pytest.mark.parametrize("name", ["merkit", *ROOMS])
def test_all_is_sorted_true_and_complete(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", None)
    assert exported is not None, f"{name} has no __all__"
    assert len(set(exported)) == len(exported)
    for symbol in exported:
        assert hasattr(module, symbol), f"{name}.__all__ names {symbol}, which is not there"


def test_public_symbols_have_docstrings() -> None:
    missing = []
    for name in ROOMS:
        module = importlib.import_module(name)
        for symbol in module.__all__:
            thing = getattr(module, symbol)
            # type aliases carry no docstring of their own
            if (inspect.isclass(thing) or inspect.isfunction(thing)) and not (
                getattr(thing, "__doc__", None) or ""
            ).strip():
                missing.append(f"{name}.{symbol}")
    assert missing == []


def test_importing_merkit_and_the_cli_loads_no_heavy_library() -> None:
    code = (
        "import sys, merkit, merkit.schema, merkit.labels, merkit.errors, merkit.cli.main\n"
        "print([m for m in ('torch', 'av', 'transformers', 'scipy', 'pyarrow', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_attribute_names_the_module() -> None:
    with pytest.raises(AttributeError, match="merkit"):
        merkit.nothing_of_the_kind  # noqa: B018
