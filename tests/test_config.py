"""Configs: what is said on the command line, and what stands in the config afterwards."""

import json
from typing import Any, Literal

import pytest

from merkit.config import Config, config_from, describe, override
from merkit.errors import ConfigError
from merkit.systems.hlm12erc import HLM12ERCConfig
from merkit.systems.system import find_system


class Optim(Config):
    """Inner group."""

    lr: float = 1e-3
    """Rate."""
    module_lr: dict[str, float] = {"head": 1.0}  # noqa: RUF012  pydantic copies defaults
    """Factors."""


class Study(Config):
    """Outer group."""

    optim: Optim = Optim()
    loss_params: dict[str, Any] = {}  # noqa: RUF012
    """Options of the loss."""
    targets: tuple[str, ...] = ()
    """Names."""
    speaker: str = ""
    """Who."""
    precision: Literal["32", "16"] = "32"
    """Bits."""
    epochs: int = 3
    """How many."""
    shuffle: bool = False
    """In another order each time."""


PRESET = Study(loss_params={"smoothing": 0.1, "class_weight": "root"})


def test_a_mapping_given_whole_replaces_the_one_of_the_preset() -> None:
    # merged, `class_weight` would go on weighting and `smoothing` reach a loss that has none
    assert override(PRESET, ["loss_params={gamma: 2}"]).loss_params == {"gamma": 2}
    assert override(PRESET, ["loss_params={}"]).loss_params == {}
    assert override(PRESET, ["optim.module_lr={text: 0.5}"]).optim.module_lr == {"text": 0.5}


def test_so_it_does_below_a_mapping_in_a_group_and_said_twice() -> None:
    by_target = Study(loss_params={"emotion": {"smoothing": 0.1}, "face": {"smoothing": 0.2}})
    said = override(by_target, ["loss_params.emotion={gamma: 2}"]).loss_params
    assert said == {"emotion": {"gamma": 2}, "face": {"smoothing": 0.2}}
    assert override(by_target, ["loss_params.emotion={}"]).loss_params["emotion"] == {}
    assert override(PRESET, ["optim={module_lr: {text: 0.5}}"]).optim == Optim(module_lr={"text": 0.5})
    assert override(PRESET, ["loss_params={gamma: 2}", "loss_params={}"]).loss_params == {}
    assert override(PRESET, ["loss_params.smoothing=0.3", "loss_params={}"]).loss_params == {}
    assert override(PRESET, ["loss_params={}", "loss_params.smoothing=0.3"]).loss_params == {"smoothing": 0.3}


def test_one_entry_of_a_mapping_leaves_the_others() -> None:
    assert override(PRESET, ["loss_params.smoothing=0.2"]).loss_params == {"smoothing": 0.2, "class_weight": "root"}
    assert override(PRESET, ["loss_params={gamma: 1}", "loss_params.alpha=3"]).loss_params == {"gamma": 1, "alpha": 3}


def test_a_group_given_whole_keeps_the_keys_that_are_not_said() -> None:
    assert override(PRESET, ["optim={lr: 0.5}"]).optim == Optim(lr=0.5)


def test_the_loss_of_a_preset_can_be_changed_for_another() -> None:
    preset = find_system("hlm12erc").preset("conversation")
    assert isinstance(preset, HLM12ERCConfig) and "smoothing" in preset.loss_params
    assert override(preset, ["loss=focal", "loss_params={gamma: 2}"]).loss_params == {"gamma": 2}


def test_what_is_said_is_read_as_its_key_wants_it() -> None:
    said = override(
        PRESET, ["speaker=01", "precision=16", "targets=joy,fear", "--epochs=5", "+optim.lr=3e-4", "shuffle"]
    )
    assert (said.speaker, said.precision, said.targets) == ("01", "16", ("joy", "fear"))
    assert (said.epochs, said.optim.lr, said.shuffle) == (5, 3e-4, True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("lr=1", "unknown key `lr`; did you mean `optim.lr`"),
        ("epochs=many", "`epochs`"),
        ("epochs.more=1", "unknown key `epochs.more`"),
        ("precision=64", "`precision`"),
        ("optim.module_lr={text: fast}", "`optim.module_lr.text`"),
        ("loss_params={gamma", "cannot read"),
        ("optim=3", "`optim` is a group of keys; say `optim.NAME=VALUE`"),
        ("optim={rate: 1}", "unknown key `optim.rate`"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_key(change: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        override(PRESET, [change])


def test_what_ran_reads_back_equal_from_its_file() -> None:
    said = override(PRESET, ["targets=joy", "loss_params={gamma: 2.5}"])
    assert config_from(Study, json.loads(json.dumps(said.to_dict()))) == said


def test_every_key_is_described_by_its_path() -> None:
    rows = {key: (default, about) for key, default, about in describe(Study)}
    assert rows["optim.lr"] == ("0.001", "Rate.")
    assert "optim" not in rows and rows["targets"] == ("[]", "Names.")
