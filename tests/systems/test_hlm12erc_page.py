"""The page of HLM12ERC: keys, presets, configurations and tests that it names are there."""

import json
import re

from system_pages import ROOT, page_of, written_tests

from merkit.config import describe
from merkit.systems import find_system

PAGE, QUOTED = page_of("hlm12erc")


def test_every_test_that_the_page_names_exists():
    named = {name for name in QUOTED if name.startswith("test_")}
    assert len(named) > 25 and named - written_tests() == set()


def test_keys_are_those_of_the_config():
    keys = {key for key, _, _ in describe(find_system("hlm12erc").config)}
    words = [word.split("=")[0].strip("'") for quoted in QUOTED for word in quoted.split()]
    named = {word for word in words if re.fullmatch(r"(data|text|speech|scene|face|optim|trainer)\.[a-z_0-9]+", word)}
    assert len(named) > 35 and named - keys == set()
    flat = {key for key in keys if "." not in key}
    assert {f for f in flat if f"`{f}" in PAGE} >= flat - {"fusion_dropout", "contrast_weight", "contrast_params"}


def test_presets_and_published_configurations_are_all_told():
    rows = PAGE.split("## Presets")[1].split("\n## ")[0].splitlines()
    told = [set(re.findall(r"`([^`]+)`", row.split("|")[1])) for row in rows if row.startswith("| `")]
    presets = set(find_system("hlm12erc").presets)
    held = json.loads((ROOT / "benchmarks" / "hlm12erc" / "published.json").read_text(encoding="utf-8"))
    named = set().union(*told)
    assert named - {"final"} == presets | set(held)
