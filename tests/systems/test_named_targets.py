"""Losses and factors of a target that is not there are refused: a misspelt name would have trained with the default."""

from pathlib import Path

import pytest
from small_corpus import small_table

from merkit.config import override
from merkit.errors import ConfigError
from merkit.systems import find_system

KEYS = ("losses={emotoin: focal}", "loss_params={emotoin: {smoothing: 0.9}}", "weights={emotoin: 100}")


@pytest.mark.parametrize("system", ["fusion", "text_encoder"])
def test_a_misspelt_target_is_refused(system: str, tmp_path: Path) -> None:
    made = find_system(system)
    table = small_table(tmp_path)
    for change in KEYS:
        for subset in ((), ("data.targets=[emotion]",)):
            config = override(made.config(), [f"objective.{change}", *subset])
            with pytest.raises(
                ConfigError, match=r"objective\.\w+: no emotoin; did you mean emotion\? There are emotion"
            ):
                made.plan(config, table)


def test_a_study_over_subsets_of_the_targets_keeps_one_set_of_losses(tmp_path: Path) -> None:
    made, table = find_system("fusion"), small_table(tmp_path)
    changes = ["objective.losses={emotion: focal, sentiment: ccc}", "model.width=4"]
    assert made.plan(override(made.config(), [*changes, "data.targets=[emotion]"]), table).specs
    with pytest.raises(ConfigError, match="no sentiment"):  # where all targets are asked for, there is none
        made.plan(override(made.config(), changes), table)
