"""The page about features: its examples run, and its tables name every extractor and index column there is."""

import doctest
import re
from pathlib import Path

from made import write_clip

from merkit.features import EXTRACTORS, Tools, extract_clip, extractor_id
from merkit.features.index import INDEX_SCHEMA
from merkit.schema import Clip

PAGE = Path(__file__).resolve().parents[2] / "docs" / "features.md"


def test_the_examples_run():
    done = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert done.attempted > 20 and done.failed == 0


def test_the_tables_are_true():
    text = PAGE.read_text(encoding="utf-8")
    assert [column for column in INDEX_SCHEMA.names if f"`{column}`" not in text] == []
    rows = {
        name: (modality, width)
        for modality, name, width in re.findall(r"^\| (\w+) \| `([\w-]+)` \|.*?\| (\d+)", text, re.M)
    }
    assert rows == {name: (kind.modality, str(kind().width)) for name, kind in EXTRACTORS.items()} | {
        "whisper-encoder": ("speech", "384")  # the page states the width of one layer; four are the default
    }


def test_an_extractor_of_ones_own_takes_part_in_the_pass(tmp_path):
    class Brightness:
        name, version, modality, width, rate_hz, weights = "brightness", 1, "scene", 3, None, ()
        params: dict = {}  # noqa: RUF012
        id = extractor_id(name, version, params)

        def __call__(self, frames):
            return frames.mean((1, 2)).astype("float32") / 255

    media = write_clip(
        tmp_path / "a.mp4", colour=lambda time_s: (250, 0, 0) if time_s < 1 else (0, 0, 250), audio=False
    )
    features = extract_clip(Clip.from_files(media), Tools(scene=Brightness()), fps=2.0)
    tokens = features.tokens["scene", None]
    assert features.extractor_ids == {"scene": Brightness.id}
    red_first = tokens.start_s < 0.99
    assert 0 < red_first.sum() < len(tokens)
    assert (tokens.x[red_first, 0] > 0.8).all() and (tokens.x[~red_first, 0] < 0.2).all()
