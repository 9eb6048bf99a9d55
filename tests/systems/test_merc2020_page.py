"""The page of MERC2020: keys, presets and tests that it names are there."""

import re

from system_pages import page_of, written_tests

from merkit.config import describe
from merkit.systems import find_system

PAGE, QUOTED = page_of("merc2020")


def test_every_test_that_the_page_names_exists():
    named = {name for name in QUOTED if name.startswith("test_") and name != "test_merc"}
    assert len(named) > 20 and named - written_tests() == set()


def test_keys_and_presets_are_those_of_the_config():
    recipe = find_system("merc2020")
    keys = {key for key, _, _ in describe(recipe.config)}
    groups = ("speech", "face", "text", "optim", "trainer", "data")
    named = {
        word.split("=")[0]
        for quoted in QUOTED
        for word in quoted.split()
        if re.match(rf"({'|'.join(groups)})\.\w", word)
    }
    assert len(named) > 30 and named - keys == set()
    flat = {
        "mode",
        "lam",
        "mixup_per",
        "attention",
        "dropout",
        "augment",
        "standardise",
        "modality_dropout",
    }
    assert all(f"`{name}" in PAGE and name in keys for name in flat)
    table = PAGE.split("## Presets")[1].split("\n## ")[0]
    assert set(
        re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `")))
    ) == set(recipe.presets)
