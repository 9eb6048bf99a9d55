"""docs/figures.md: its examples run, its commands exist, and the script that it names makes its pictures."""

import doctest
import functools
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from merkit.cli.main import app
from merkit.report.figures import Drawing

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "figures.md"


def test_the_examples_run() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted >= 8 and done.failed == 0


def test_every_command_and_option_exists() -> None:
    commands = get_command(app).commands  # ty: ignore
    lines = re.findall(r"^merkit (\w+)([^#\n]*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for name, _ in lines} >= {"figures", "evaluate", "train"}
    for name, rest in lines:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        for option in re.findall(r"--[\w-]+", rest):
            assert option in known, f"merkit {name} has no {option}"


def test_the_script_makes_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, int] = {}
    monkeypatch.setattr(Drawing, "write", lambda self, folder: made.update({self.name: len(self.rows)}))
    spec = importlib.util.spec_from_file_location("invented_figures", ROOT / "examples" / "invented_figures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.timeline(np.random.default_rng(4), tmp_path)
    module.by_class = functools.partial(module.by_class, draws=100)
    module.bars(np.random.default_rng(4), tmp_path, scenes=60)
    assert made == {"figures-attention": 5 * (60 + 63 + 54 + 8), "figures-average-precision": 2 * 10}
    for picture in re.findall(r"\(assets/(figures-[\w-]+\.png)\)", PAGE.read_text(encoding="utf-8")):
        assert (ROOT / "docs" / "assets" / picture).is_file() and picture.removesuffix(".png") in made
