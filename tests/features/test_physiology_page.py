"""What docs/physiology.md shows is what happens."""

import doctest
import re
from pathlib import Path

from merkit.features import EXTRACTORS

PAGE = Path(__file__).parents[2] / "docs" / "physiology.md"


def test_the_examples_run() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert done.attempted > 10 and done.failed == 0


def test_the_table_of_tokens_is_true() -> None:
    rows = re.findall(
        r"^\| `(physiology-\w+)` \| (\d+) s .*?, every (\d+) s.*?\| (\d+) \|", PAGE.read_text("utf-8"), re.M
    )
    stated = {name: tuple(map(float, numbers)) for name, *numbers in rows}
    made = {name: EXTRACTORS[name]() for name in EXTRACTORS if name.startswith("physiology-")}
    assert stated == {name: (each.window_s, each.hop_s, each.width) for name, each in made.items()}
