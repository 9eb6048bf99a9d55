"""The page of MELD: its example runs, its options, sizes and bad clips are the true ones."""

import doctest
import re
from pathlib import Path

from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.corpora import CORPORA
from merkit.corpora.meld.prepare import SOUND_BYTES_PER_S
from merkit.features.frame_stack import FrameStackConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "meld.md"
TEXT = PAGE.read_text(encoding="utf-8")
UTTERANCES = 9_989 + 1_109 + 2_610


def test_the_example_runs():
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted == 5 and done.failed == 0


def test_options_are_those_of_the_command():
    shown = CliRunner().invoke(app, ["prepare", "meld", "--help"], terminal_width=200).stdout
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    assert len(named) > 14 and [option for option in named if option not in shown] == []


def test_sizes():
    said = re.findall(r"^\| (5 of .*?) \| ([\d.]+) MB \| ([\d.]+) GB", TEXT, re.M)
    rows = {name: (float(one), float(all_)) for name, one, all_ in said}
    made = [
        FrameStackConfig(),
        FrameStackConfig(faces="black"),
        FrameStackConfig(faces="crop"),
        FrameStackConfig(height=112, width=199),
    ]
    want = [(round(c.bytes_per_clip / 1e6, 2), round(c.bytes_per_clip * UTTERANCES / 1e9, 1)) for c in made]
    assert list(rows.values()) == want
    assert f"{SOUND_BYTES_PER_S / 1e3:.0f} kB a second" in TEXT


def test_every_bad_clip_is_named():
    for bad in CORPORA["meld"].known_bad:
        assert bad.item in TEXT, bad.item
