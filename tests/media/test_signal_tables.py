"""Tables of signals: units, gaps, beats, and errors that name the line."""

import numpy as np
import pytest

from merkit.errors import LimitError, MediaError
from merkit.media import Limits, read_physiology


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_with_units_become_signals_in_the_stated_unit(tmp_path) -> None:
    path = write(
        tmp_path / "a.csv",
        "time_ms,EDA_nS,Temp (C),ecg [uV],ibi_ms,comment\n0,1500,33.5,250,,x\n250,1600,33.6,300,812,\n500,,33.7,350,,y\n",
    )
    found = {s.name: s for s in read_physiology(path)}
    assert set(found) == {"eda", "temperature", "ecg", "ibi"}
    np.testing.assert_allclose(found["eda"].values, [1.5, 1.6])
    np.testing.assert_allclose(found["eda"].times_s, [0.0, 0.25])
    np.testing.assert_allclose(found["ecg"].values, [0.25, 0.3, 0.35])
    assert found["ecg"].rate_hz == pytest.approx(4.0)
    np.testing.assert_allclose(found["ibi"].values, [0.812])
    assert found["ibi"].rate_hz is None
    assert found["eda"].unit == "µS"


def test_a_rate_stands_in_for_a_time_column(tmp_path) -> None:
    path = write(tmp_path / "a.csv", "eda\n1\n2\n3\n")
    with pytest.raises(MediaError, match="no time column"):
        read_physiology(path)
    (signal,) = read_physiology(path, rate_hz=8.0)
    np.testing.assert_allclose(signal.times_s, [0, 0.125, 0.25])


def test_empatica_files(tmp_path) -> None:
    (eda,) = read_physiology(write(tmp_path / "EDA.csv", "1500000000.0\n4.0\n0.1\n0.2\n0.3\n"))
    np.testing.assert_allclose(eda.times_s, [0.0, 0.25, 0.5])
    (ibi,) = read_physiology(write(tmp_path / "IBI.csv", "1500000000.0, IBI\n1.5,0.8\n2.3,0.79\n"))
    np.testing.assert_allclose(ibi.values, [0.8, 0.79])
    np.testing.assert_allclose(ibi.times_s, [1.5, 2.3])


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("time_s,eda\n0,1\n1,2\n0.5,3\n", "line 4", "increase"),
        ("time_s,eda\n0,1\n,2\n", "line 3", "missing"),
        ("time_s,eda\n0,1\n1,2,3\n", "line 3", "cells"),
        ("time_s,loudness\n0,1\n", "line 1", "known signal"),
        ("time_s,eda\n", "a.csv", "no rows"),
        ("", "a.csv", "empty"),
    ],
)
def test_errors_name_the_line(tmp_path, text, where, reason) -> None:
    with pytest.raises(MediaError, match=reason) as caught:
        read_physiology(write(tmp_path / "a.csv", text))
    assert where in str(caught.value)


def test_size_is_checked_before_reading(tmp_path) -> None:
    with pytest.raises(LimitError):
        read_physiology(write(tmp_path / "a.csv", "time_s,eda\n0,1\n"), limits=Limits(max_table_bytes=3))


def test_a_calendar_clock_begins_at_zero(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("timestamp,eda_uS\n1600000000.00,1\n1600000000.25,2\n1600000000.50,3\n")
    (eda,) = read_physiology(path)
    np.testing.assert_allclose(eda.times_s, [0.0, 0.25, 0.5])
    assert eda.rate_hz == pytest.approx(4.0)


def test_a_quote_that_never_closes_is_explained(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('time_s,eda\n0,"' + "1" * 200_000)
    with pytest.raises(MediaError, match=r"a\.csv, line \d"):
        read_physiology(path)
