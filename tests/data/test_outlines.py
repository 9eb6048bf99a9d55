"""Columns on a small scale: pictures are compared by evenly spaced pixels, in memory as on disk."""

import numpy as np
import pytest

from merkit.corpora.table import stored_column
from merkit.data.leakage import check_leakage
from merkit.data.outline import outline
from merkit.data.table import ClipTable, TokenColumn
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore

SIDE = 48
CLIPS = 30


def pictures() -> list[np.ndarray]:
    """Two pictures a clip; the last is a copy of the first, the one before nearly one of the second."""
    rng = np.random.default_rng(0)
    made = [rng.integers(0, 255, (2, 3 * SIDE * SIDE), dtype=np.uint8) for _ in range(CLIPS)]
    made[-1] = made[0]
    made[-2] = (made[1].astype(int) + rng.integers(-1, 2, made[1].shape)).clip(0, 255).astype(np.uint8)
    return made


@pytest.fixture(params=["memory", "disk"])
def column(request, tmp_path) -> TokenColumn:
    made = pictures()
    if request.param == "memory":
        return TokenColumn.of_sequences(made)
    store = FeatureStore.create(tmp_path, dtype="uint8")
    for i, x in enumerate(made):
        row = Row("face", None, "f@0", x, np.arange(2.0), np.arange(2.0), np.zeros(2, int))
        store.add(ClipRecord(f"c{i:02}", "k", "", {}, (row,)))
    store.finalise()
    return stored_column(store, "face", [(i, 0, i) for i in range(CLIPS)], False, in_memory=False)


def test_wide_tokens_are_seen_at_evenly_spaced_places_of_all_colours(column):
    small = outline(column, CLIPS)
    assert small.x.dtype == np.uint8 and small.x.shape == (2 * CLIPS, 4096)
    whole = np.concatenate(pictures())
    places = [int(np.floor((i + 0.5) * whole.shape[1] / 4096)) for i in range(4096)]
    np.testing.assert_array_equal(small.x, whole[:, places])
    # every row, column and colour of the picture is looked at
    rows, columns, colours = np.unravel_index(places, (SIDE, SIDE, 3))
    assert [len(np.unique(each)) for each in (rows, columns, colours)] == [SIDE, SIDE, 3]


def test_copies_of_pictures_are_found(column):
    split = np.where(np.arange(CLIPS) < 20, "train", "valid")
    table = ClipTable("t", np.array([f"c{i:02}" for i in range(CLIPS)]), split, {"face": column}, {})
    found = {
        finding.kind: (finding.severity, finding.count, finding.examples) for finding in check_leakage(table).findings
    }
    assert found["duplicate_features"] == ("error", 1, ("c00", "c29"))
    assert found["near_duplicate_features"] == ("error", 1, ("c01", "c28"))
