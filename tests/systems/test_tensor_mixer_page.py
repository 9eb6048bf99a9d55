"""The page of the tensor mixer: keys, presets, fusions and tests that it names are there."""

import re
from typing import get_args

from system_pages import page_of, written_tests

from merkit.config import describe
from merkit.systems import find_system
from merkit.systems.tensor_mixer_config import TensorMixerConfig

PAGE, QUOTED = page_of("tensor_mixer")


def test_every_test_that_the_page_names_exists():
    named = {name for name in QUOTED if name.startswith("test_")}
    assert len(named) > 20 and named - written_tests() == set()


def test_keys_are_those_of_the_config():
    keys = {key for key, _, _ in describe(find_system("tensor_mixer").config)}
    groups = "data|labels|tune|mixer|physiology|optim|trainer"
    named = {
        word.split("=")[0]
        for quoted in QUOTED
        for word in quoted.split()
        if re.match(rf"({groups})\.\w", word) and "dataset" not in word
    }
    groups_themselves = {"data.split", "tune.lora"}
    assert len(named) > 40 and named - keys - groups_themselves == set()
    flat = {
        "validation_fold",
        "task",
        "fusion",
        "ones",
        "width",
        "rank",
        "contrast",
        "probe",
        "cls_loss",
        "reg_loss",
        "cls_coef",
    }
    assert flat <= keys and all(f"`{name}" in PAGE for name in flat)


def test_presets_and_fusions_are_all_told():
    table = PAGE.split("## Presets")[1].split("\n## ")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", "".join(rows))) == set(find_system("tensor_mixer").presets)
    table = PAGE.split("## The network")[1].split("\n**More")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", "".join(rows))) - {"fusion"} == set(
        get_args(TensorMixerConfig.model_fields["fusion"].annotation)
    )
