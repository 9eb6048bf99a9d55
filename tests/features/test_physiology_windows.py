"""Raw windows against signals that are known at every instant, and against scipy's own filter response."""

import numpy as np
import pytest

from merkit.features.extractor import extractor_id
from merkit.features.physiology_windows import DEFAULT_RATES_HZ, PhysiologyWindowsExtractor, window_layout
from merkit.media import Signal, read_physiology


def signal(name: str, values: np.ndarray, times_s: np.ndarray | None = None, rate_hz: float | None = None) -> Signal:
    if times_s is None:
        assert rate_hz
        times_s = np.arange(len(values)) / rate_hz
    return Signal(name, "", np.asarray(values, float), times_s, rate_hz)


def channel(extract: PhysiologyWindowsExtractor, x: np.ndarray, name: str) -> np.ndarray:
    return x[:, extract.layout.slices()[name]]


def there(extract: PhysiologyWindowsExtractor, x: np.ndarray) -> dict[str, list[float]]:
    return dict(zip(extract.layout.rates_hz, x[:, extract.layout.present_at].T.tolist(), strict=True))


def test_a_slow_wave_is_the_same_wave_at_any_rate_even_or_not():
    """0.3 Hz, measured at 700 Hz, at 7 Hz and at random instants: each is that sine at the window's own instants."""

    def wave(t: np.ndarray) -> np.ndarray:
        return 3.0 + np.sin(2 * np.pi * 0.3 * t)

    random_s = np.sort(np.random.default_rng(0).random(2000) * 40)
    signals = [
        signal("ecg", wave(np.arange(28_000) / 700), rate_hz=700.0),
        signal("eda", wave(np.arange(280) / 7), rate_hz=7.0),
        signal("resp", wave(random_s), random_s),
    ]
    extract = PhysiologyWindowsExtractor(10.0, 7.5, {"ecg": 64.0, "eda": 4.0, "resp": 16.0})
    tokens = extract(signals)
    assert tokens.start_s == pytest.approx(tokens.start_s[0] + 7.5 * np.arange(len(tokens)))
    assert len(tokens) == 5
    for name, rate_hz in extract.layout.rates_hz.items():
        at_s = tokens.start_s[:, None] + np.arange(round(10 * rate_hz)) / rate_hz
        got = channel(extract, tokens.x, name)
        # the outermost second and a half is where a filter has only one side to look at
        inner = (at_s > 1.5) & (at_s < 38.5)
        np.testing.assert_allclose(got[inner], wave(at_s)[inner], atol=0.03)
    assert there(extract, tokens.x) == {name: [1.0] * 5 for name in ("ecg", "eda", "resp")}


def test_what_the_new_rate_cannot_hold_is_gone_and_not_folded_down():
    """At 32 samples a second 50 Hz would look like 14 Hz; 3 Hz stays as it is."""
    t = np.arange(256 * 20) / 256
    extract = PhysiologyWindowsExtractor(20.0, 20.0, {"bvp": 32.0})
    hum = channel(extract, extract([signal("bvp", np.sin(2 * np.pi * 50 * t), rate_hz=256.0)]).x, "bvp")
    pulse = channel(extract, extract([signal("bvp", np.sin(2 * np.pi * 3 * t), rate_hz=256.0)]).x, "bvp")
    assert np.abs(hum[:, 32:-32]).max() < 0.01
    spectrum = np.abs(np.fft.rfft(pulse[0]))
    assert spectrum.argmax() == 60  # 3 Hz of 20 s
    assert pulse[0, 32:-32].std() == pytest.approx(np.sqrt(0.5), rel=0.03)


def test_beat_intervals_are_joined_by_straight_lines():
    beats_s = np.array([1.0, 2.0, 2.8, 4.0])
    extract = PhysiologyWindowsExtractor(3.0, 3.0, {"ibi": 5.0})
    tokens = extract([signal("ibi", np.array([1.0, 1.0, 0.8, 1.2]), beats_s)])
    assert tokens.start_s.tolist() == [1.0]
    at_s = 1.0 + np.arange(15) / 5
    np.testing.assert_allclose(tokens.x[0, :15], np.interp(at_s, beats_s, [1.0, 1.0, 0.8, 1.2]), atol=1e-6)
    assert tokens.x[0, 6] == pytest.approx(0.95)  # 2.2 s: a quarter of the way from 1.0 to 0.8


def test_a_channel_with_a_hole_is_absent_there_and_zero():
    times_s = np.concatenate([np.arange(0, 10, 0.25), np.arange(30, 40, 0.25)])
    signals = [signal("eda", 5.0 + times_s, times_s), signal("temperature", np.full(160, 30.0), rate_hz=4.0)]
    extract = PhysiologyWindowsExtractor(10.0, 10.0, {"eda": 4.0, "temperature": 4.0, "ecg": 10.0})
    tokens = extract(signals)
    assert there(extract, tokens.x) == {"ecg": [0, 0, 0, 0], "eda": [1, 0, 0, 1], "temperature": [1, 1, 1, 1]}
    assert not channel(extract, tokens.x, "eda")[1:3].any()
    assert not channel(extract, tokens.x, "ecg").any()
    np.testing.assert_allclose(channel(extract, tokens.x, "eda")[3], 35.0 + np.arange(40) / 4, atol=1e-5)


def test_windows_in_which_nothing_was_measured_are_no_tokens():
    """Two minutes a day apart are two minutes of tokens, whatever lies between them."""
    day_s = 86_400.0
    times_s = np.concatenate([np.arange(241) / 4, day_s + np.arange(241) / 4])
    extract = PhysiologyWindowsExtractor(10.0, 10.0, {"eda": 4.0})
    tokens = extract([signal("eda", np.ones(482), times_s)])
    assert tokens.start_s.tolist() == [*np.arange(0, 60, 10.0), *(day_s + np.arange(0, 60, 10.0))]


@pytest.mark.parametrize("length", [1, 2, 5, 17])
def test_a_short_recording_is_one_window_that_holds_its_last_value(length):
    extract = PhysiologyWindowsExtractor(10.0, 5.0, {"ecg": 8.0, "eda": 4.0})
    tokens = extract([signal("eda", np.arange(length) + 1.0, rate_hz=4.0)])
    assert len(tokens) == 1 and tokens.end_s[0] == pytest.approx(length / 4)
    got = channel(extract, tokens.x, "eda")[0]
    np.testing.assert_allclose(got, np.minimum(np.arange(40) + 1.0, length), atol=1e-5)
    assert there(extract, tokens.x) == {"ecg": [0.0], "eda": [1.0]}


def test_nothing_known_gives_no_token():
    extract = PhysiologyWindowsExtractor()
    assert extract([]).x.shape == (0, extract.width)
    assert len(extract([signal("altitude", np.ones(9), rate_hz=1.0)])) == 0


def test_the_layout_is_told_by_the_parameters_and_does_not_hang_on_their_order():
    one = PhysiologyWindowsExtractor(5.0, 1.0, {"ibi": 4.0, "ecg": 100.0})
    other = PhysiologyWindowsExtractor(5, 1, {"ecg": 100, "ibi": 4})
    assert one.id == other.id == extractor_id(one.name, one.version, one.params)
    layout = window_layout(one.params)
    assert list(layout.samples.items()) == [("ecg", 500), ("ibi", 20)]
    assert (layout.width, layout.present_at) == (522, slice(520, 522)) and one.width == 522
    assert window_layout({}).width == 10 * sum(DEFAULT_RATES_HZ.values()) + 6
    assert len({PhysiologyWindowsExtractor(w, h, r).id for w, h, r in ((5, 1, None), (6, 1, None), (5, 2, None))}) == 3


@pytest.mark.parametrize(
    "wrong", [(0.0, 1.0, None), (1.0, -1.0, None), (1.0, 1.0, {"eda": 0.0}), (1.0, 1.0, {}), (float("nan"), 1.0, None)]
)
def test_numbers_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="above 0"):
        PhysiologyWindowsExtractor(*wrong)


def test_a_signal_that_nobody_knows_is_refused_by_name():
    with pytest.raises(ValueError, match="no signal altitude; there are ecg"):
        PhysiologyWindowsExtractor(rates_hz={"altitude": 1.0})


def test_a_table_on_disk_goes_through(tmp_path):
    rows = "\n".join(f"{i / 8},{2 + i / 80},{'' if i % 8 else 0.8}" for i in range(160))
    (tmp_path / "a.csv").write_text(f"time_s,eda_uS,ibi\n{rows}\n", encoding="utf-8")
    extract = PhysiologyWindowsExtractor(10.0, 10.0, {"eda": 4.0, "ibi": 4.0})
    tokens = extract(read_physiology(tmp_path / "a.csv"))
    assert there(extract, tokens.x) == {"eda": [1, 1], "ibi": [1, 1]}
    np.testing.assert_allclose(channel(extract, tokens.x, "ibi"), 0.8, atol=1e-6)
    np.testing.assert_allclose(channel(extract, tokens.x, "eda")[1, 8:-8], 3 + np.arange(8, 32) / 40, atol=0.01)
