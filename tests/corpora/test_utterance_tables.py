"""Utterances survive a round trip, and damage is named."""

import pytest

from merkit.corpora.utterances import Said, read_utterances, write_utterances
from merkit.errors import MediaError


def test_round_trip_orders_by_clip_and_time(tmp_path):
    said = [
        Said("b", 0.0, 1.0, "zwei", "person_2"),
        Said("a", 5.0, 6.0, "drei é"),
        Said("a", 1.0, 2.0, "eins"),
    ]
    write_utterances(said, tmp_path)
    assert read_utterances(tmp_path) == [said[2], said[1], said[0]]
    assert [path.name for path in tmp_path.iterdir()] == ["utterances.parquet"]


def test_damage_and_absence_name_the_file(tmp_path):
    with pytest.raises(MediaError, match=r"utterances\.parquet"):
        read_utterances(tmp_path)
    (tmp_path / "utterances.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(MediaError, match="damaged"):
        read_utterances(tmp_path)
