"""docs/augmentation.md: its example runs, and the script that it names draws each of its pictures from the code it describes."""

import doctest
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from merkit.data import augment

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "augmentation.md"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(
        "augmentation_pictures", ROOT / "examples" / "augmentation_pictures.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_runs() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted >= 10 and done.failed == 0


def test_the_script_makes_every_picture_of_the_page(script) -> None:
    made = script.figures()
    shown = re.findall(r"\(assets/(augment-[\w-]+)\.png\)", PAGE.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(made) and all((ROOT / "docs" / "assets" / f"{name}.png").is_file() for name in made)
    # what is drawn is what the steps make: the last strip of cutmix has pixels of both faces, as its answer says
    strip = made["augment-cutmix"].axes[4].images[0].get_array()
    ours, theirs = (np.asarray(made["augment-cutmix"].axes[row].images[0].get_array()) for row in (0, 2))
    cut = (strip != ours).any(-1)
    assert cut.any() and (strip[cut] == theirs[cut]).all()
    assert not cut[:, 3 * (script.SIDE + 4) :].any()  # the partner has three pictures


def test_every_augmentation_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in set(augment.__all__) - {"Augment", "unit_range"}:
        assert f"{name}(" in text, name


def test_drawn_faces_and_sounds_are_what_the_steps_take(script) -> None:
    assert script.face(3).shape == (3, script.SIDE, script.SIDE, 3) and script.face(3).dtype == np.uint8
    x = script.spectrogram(50)
    assert x.shape == (50, 128) and x.min() >= 0 and x.max() <= 1
    batch = script.batch_of(speech=[x, x[:20]])
    assert torch.equal(batch.tokens["speech"].mask.sum(-1).flatten(), torch.tensor([50, 20]))
