"""Window statistics against numpy and scipy taken window by window, and beats against beats put there by hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from merkit.features.heart import heart_statistics, pulse_peaks, r_peaks
from merkit.features.physiology import PHYSIOLOGY_COLUMNS, PhysiologyExtractor
from merkit.media import Signal

GOLDEN = Path(__file__).parent / "golden" / "neurokit2.npz"
AT = {name: i for i, name in enumerate(PHYSIOLOGY_COLUMNS)}


def signal(name: str, values: np.ndarray, times_s: np.ndarray | None = None, rate_hz: float | None = None) -> Signal:
    if times_s is None:
        assert rate_hz
        times_s = np.arange(len(values)) / rate_hz
    return Signal(name, "", np.asarray(values, float), times_s, rate_hz)


def spikes(beats_s: np.ndarray, duration_s: float, rate_hz: float, noise: float = 0.0) -> np.ndarray:
    """An ECG-like wave: a narrow R wave and a broad T wave after each beat, on a wandering line."""
    times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    wave = 0.4 * np.sin(2 * np.pi * 0.2 * times_s)
    for beat_s in beats_s:
        wave += np.exp(-0.5 * ((times_s - beat_s) / 0.012) ** 2)
        wave += 0.25 * np.exp(-0.5 * ((times_s - beat_s - 0.25) / 0.05) ** 2)
    return wave + noise * np.random.default_rng(0).standard_normal(len(times_s))


def test_moments_equal_numpy_in_every_window():
    numbers = np.random.default_rng(0)
    even = signal("temperature", 33 + np.cumsum(numbers.standard_normal(400)) * 0.01, rate_hz=4.0)
    times_s = np.sort(numbers.random(150)) * 100
    uneven = signal("resp", 1e6 + numbers.standard_normal(150), times_s)
    tokens = PhysiologyExtractor(window_s=20.0, hop_s=7.0)([even, uneven])
    assert len(tokens) == 12
    for one in (even, uneven):
        for x, start_s, end_s in zip(tokens.x, tokens.start_s, tokens.end_s, strict=True):
            mine = (one.times_s >= start_s - 1e-9) & (one.times_s < end_s - 1e-9)
            v, t = one.values[mine], one.times_s[mine]
            expected = [1.0, v.mean(), v.std(), v.min(), v.max(), stats.linregress(t, v).slope]
            at = AT[f"{one.name}_present"]
            np.testing.assert_allclose(x[at : at + 6], expected, rtol=2e-5, atol=1e-6)


def test_absent_signals_are_zero_and_say_so():
    tokens = PhysiologyExtractor(10.0, 10.0)([signal("temperature", np.full(80, 30.0), rate_hz=4.0)])
    x = dict(zip(PHYSIOLOGY_COLUMNS, tokens.x[0], strict=True))
    assert x.pop("temperature_present") == 1
    assert [x.pop(f"temperature_{part}") for part in ("mean", "min", "max")] == [30, 30, 30]
    assert set(x.values()) == {0.0}


def test_a_hole_in_a_signal_is_an_absent_window():
    times_s = np.concatenate([np.arange(0, 10, 0.25), np.arange(30, 40, 0.25)])
    signals = [signal("eda", np.full(80, 2.0), times_s), signal("temperature", np.full(160, 30.0), rate_hz=4.0)]
    x = PhysiologyExtractor(10.0, 10.0)(signals).x
    assert x[:, AT["eda_present"]].tolist() == [1, 0, 0, 1]
    assert x[:, AT["eda_mean"]].tolist() == [2, 0, 0, 2]
    assert np.isfinite(x).all()


def test_skin_has_neither_level_nor_responses_where_it_was_not_measured():
    """Two stretches of another level, half a minute apart: each is split as it is alone, and the gap is no ramp."""
    t = np.arange(240) / 4
    first, second = 2.0 + 0.3 * np.sin(t), 9.0 + 0.3 * np.sin(t)
    gapped = signal("eda", np.concatenate([first, second]), np.concatenate([t, t + 90.0]))
    warm = signal("temperature", np.full(600, 30.0), rate_hz=4.0)
    x = PhysiologyExtractor(10.0, 10.0)([gapped, warm]).x
    skin = x[:, AT["eda_tonic_mean"] : AT["eda_responses_per_min"] + 1]
    assert x[:, AT["eda_present"]].tolist() == [1] * 6 + [0] * 3 + [1] * 6
    assert not skin[6:9].any()
    for place, values in ((0, first), (9, second)):
        alone = PhysiologyExtractor(10.0, 10.0)([signal("eda", values, t, 4.0)]).x[:, AT["eda_tonic_mean"] :][:, :4]
        np.testing.assert_allclose(skin[place : place + 6], alone, atol=1e-4)


def test_a_table_that_says_little_about_years_is_read_in_a_moment():
    times_s = np.concatenate([np.arange(240) / 4, 3e7 + np.arange(240) / 4])
    tokens = PhysiologyExtractor(30.0, 30.0)(
        [signal("eda", np.ones(480), times_s), signal("ecg", np.ones(480), times_s)]
    )
    assert len(tokens) <= 5 and tokens.start_s[-1] >= 3e7 - 30


def test_an_unevenly_sampled_wave_has_the_beats_that_it_has():
    """Stamps that shake by a tenth of a step, and half a minute of nothing: no beat is made up across it."""
    beats_s = np.concatenate([np.arange(0.5, 30, 0.8), np.arange(60.5, 90, 0.6)])
    wave = spikes(beats_s, 90.0, 250.0)
    times_s = np.arange(len(wave)) / 250 + np.random.default_rng(0).uniform(-2e-4, 2e-4, len(wave))
    kept = (times_s < 30) | (times_s > 60)
    uneven = signal("ecg", wave[kept], times_s[kept])
    x = PhysiologyExtractor(30.0, 30.0)([uneven, signal("temperature", np.full(360, 30.0), rate_hz=4.0)]).x
    heart = x[:, AT["heart_present"] :]
    assert heart[:, 0].tolist() == [1, 0, 1]
    np.testing.assert_allclose(heart[[0, 2], 1], [75, 100], rtol=0.01)
    assert heart[[0, 2], 2].max() < 10  # ms: an even beat stays even


@pytest.mark.parametrize("length", [1, 2, 3, 7, 9, 39])
def test_a_recording_shorter_than_a_window_gives_one_window_of_its_length(length):
    signals = [signal(name, np.arange(length) + 1.0, rate_hz=4.0) for name in ("eda", "ecg", "bvp", "temperature")]
    tokens = PhysiologyExtractor(30.0, 5.0)(signals)
    assert len(tokens) == 1
    assert tokens.end_s[0] == pytest.approx(length / 4)
    assert np.isfinite(tokens.x).all()
    assert tokens.x[0, AT["temperature_mean"]] == pytest.approx((length + 1) / 2)


def test_no_known_signal_gives_no_token():
    assert PhysiologyExtractor()([]).x.shape == (0, len(PHYSIOLOGY_COLUMNS))
    assert len(PhysiologyExtractor()([signal("altitude", np.ones(9), rate_hz=1.0)])) == 0


def test_heart_statistics_by_hand():
    # 0.8, 1.0, 0.9, [3.0: a missed stretch], 1.0, 0.8: differences +0.2, -0.1 and -0.2; none across the gap
    rate, sdnn, rmssd = heart_statistics(np.array([0.8, 1.0, 0.9, 3.0, 1.0, 0.8]))
    assert rate == pytest.approx(60 / 0.9)
    assert sdnn == pytest.approx(1e3 * np.std([0.8, 1.0, 0.9, 1.0, 0.8], ddof=1))
    assert rmssd == pytest.approx(1e3 * np.sqrt((0.04 + 0.01 + 0.04) / 3))
    assert heart_statistics(np.array([0.8, 0.9, 5.0])) is None


@pytest.mark.parametrize("rate_hz", [128.0, 250.0, 700.0])
@pytest.mark.parametrize("polarity", [1, -1])
def test_r_peaks_are_where_they_were_put(rate_hz, polarity):
    numbers = np.random.default_rng(1)
    beats_s = 0.7 + np.cumsum(0.8 + 0.15 * numbers.standard_normal(60).clip(-2, 2))
    wave = polarity * spikes(beats_s, beats_s[-1] + 1.0, rate_hz, noise=0.05)
    wave[round(20 * rate_hz) : round(20.3 * rate_hz)] += 4.0  # the wearer knocks against something
    found_s = r_peaks(wave, rate_hz) / rate_hz
    quiet = np.abs(beats_s - 20.15) > 1.0
    nearest = np.abs(found_s[:, None] - beats_s).min(0)
    assert nearest[quiet].max() <= 1.5 / rate_hz + 0.004
    assert len(found_s) <= len(beats_s) + 3


def test_pulse_peaks_are_where_they_were_put():
    beats_s = 0.9 + np.cumsum(np.random.default_rng(2).uniform(0.7, 1.0, 40))
    times_s = np.arange(round(64 * (beats_s[-1] + 1))) / 64
    wave = sum(np.exp(-0.5 * ((times_s - b) / 0.09) ** 2) for b in beats_s)
    wave = wave + sum(0.35 * np.exp(-0.5 * ((times_s - b - 0.3) / 0.09) ** 2) for b in beats_s) + 0.2 * np.sin(times_s)
    found_s = pulse_peaks(wave, 64.0) / 64
    assert len(found_s) == len(beats_s)
    np.testing.assert_allclose(found_s, beats_s, atol=0.06)
    np.testing.assert_allclose(np.diff(found_s).mean(), np.diff(beats_s).mean(), rtol=0.005)


def test_the_heart_is_read_from_intervals_before_ecg():
    beats_s = np.arange(1, 60, 0.75)
    ecg = signal("ecg", spikes(beats_s, 60.0, 250.0), rate_hz=250.0)
    ibi = signal("ibi", np.full(59, 1.0), np.arange(1.0, 60.0))
    from_ecg = PhysiologyExtractor(30.0, 30.0)([ecg]).x[:, AT["heart_present"] :]
    from_ibi = PhysiologyExtractor(30.0, 30.0)([ecg, ibi]).x[:, AT["heart_present"] :]
    np.testing.assert_allclose(from_ecg[:, :2], [[1, 80]] * 2, rtol=1e-3)
    np.testing.assert_allclose(from_ibi, [[1, 60, 0, 0]] * 2, atol=1e-4)


def test_skin_conductance_splits_into_level_and_responses():
    """A rising level with four responses put on it; the level is found again, and so are the four."""
    times_s = np.arange(120 * 4) / 4
    level = 4.0 + 0.01 * times_s
    onsets_s = (20.0, 45.0, 70.0, 95.0)
    after = [np.clip(times_s - onset_s, 0, None) for onset_s in onsets_s]
    responses = sum(0.6 * (np.exp(-a / 3.0) - np.exp(-a / 0.75)) for a in after)
    x = PhysiologyExtractor(120.0, 120.0)([signal("eda", level + responses, times_s, 4.0)]).x[0]
    assert x[AT["eda_responses_per_min"]] == pytest.approx(2.0)
    assert x[AT["eda_tonic_mean"]] == pytest.approx((level + responses).mean(), rel=0.01)
    assert x[AT["eda_tonic_slope_per_s"]] == pytest.approx(0.01, rel=0.15)
    calm = PhysiologyExtractor(120.0, 120.0)([signal("eda", level, times_s, 4.0)]).x[0]
    assert calm[AT["eda_responses_per_min"]] == 0
    assert calm[AT["eda_phasic_std"]] < 0.1 * x[AT["eda_phasic_std"]]


def test_options_are_part_of_the_identity():
    ids = {PhysiologyExtractor(w, h).id for w, h in ((30.0, 5.0), (30, 5), (20.0, 5.0), (30.0, 4.0))}
    assert len(ids) == 3
    for wrong in ((0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="above 0"):
            PhysiologyExtractor(*wrong)


def test_beats_and_variability_agree_with_neurokit():
    golden = np.load(GOLDEN)
    found = r_peaks(golden["ecg_uv"] / 1000.0, 250.0)
    theirs = golden["r_peaks"]
    # both find every beat; neurokit's peak may lie a sample beside the tallest of the filtered wave
    assert len(found) == len(theirs)
    assert np.abs(found - theirs).max() <= 2
    rate, sdnn, rmssd = heart_statistics(np.diff(theirs) / 250.0)
    np.testing.assert_allclose([60_000 / rate, sdnn, rmssd], golden["hrv"], rtol=1e-9)
    tokens = PhysiologyExtractor(60.0, 60.0)([signal("ecg", golden["ecg_uv"] / 1000.0, rate_hz=250.0)])
    mean_ms, sdnn, rmssd = golden["hrv"]
    mine = tokens.x[0, AT["heart_present"] :]
    np.testing.assert_allclose(mine[1], 60_000 / mean_ms, rtol=1e-3)
    np.testing.assert_allclose(mine[2:], [sdnn, rmssd], atol=2.0)


def test_the_level_of_skin_conductance_follows_neurokits():
    """Both take what is slower than 0.05 Hz; they settle differently at the ends."""
    golden = np.load(GOLDEN)
    eda = signal("eda", golden["eda"] / 1e4, rate_hz=8.0)
    tokens = PhysiologyExtractor(10.0, 10.0)([eda])
    theirs = golden["tonic"].reshape(9, 80).mean(1)
    mine = tokens.x[:, AT["eda_tonic_mean"]]
    assert np.corrcoef(mine[1:-1], theirs[1:-1])[0, 1] > 0.99
    np.testing.assert_allclose(mine[1:-1], theirs[1:-1], atol=0.06)
    assert tokens.x[:, AT["eda_responses_per_min"]].sum() / 6 == 7
