"""Speech tokens: what they are made of, how they are averaged, and that neighbours do not matter."""

import numpy as np
import pytest

from merkit.features.speech import SpeechExtractor, SpeechStatisticsExtractor
from merkit.networks.whisper import Whisper, load_whisper
from tests.perception.speech_sample import SAMPLE_RATE, demo_speech


@pytest.fixture(scope="module")
def model(weights) -> Whisper:
    weights("whisper-tiny-en")
    return load_whisper()


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    return demo_speech()[: round(2.5 * SAMPLE_RATE)]


def test_tokens_are_the_chosen_layers_side_by_side(model: Whisper, wave: np.ndarray) -> None:
    (tokens,) = SpeechExtractor(layers=(3, 1))([wave])
    states = model.states(wave)
    np.testing.assert_array_equal(tokens, np.concatenate([states[3], states[1]], 1))
    assert tokens.shape == (125, 768) and tokens.dtype == np.float32
    assert np.ptp(tokens, axis=0).min() > 0  # every number says something


def test_a_lower_rate_averages_and_the_rest_counts(wave: np.ndarray, model: Whisper) -> None:
    (full,) = SpeechExtractor(layers=(2,))([wave])
    (slow,) = SpeechExtractor(layers=(2,), rate_hz=10)([wave])
    (odd,) = SpeechExtractor(layers=(2,), rate_hz=10)([wave[: -round(0.04 * SAMPLE_RATE)]])
    np.testing.assert_allclose(slow, full.reshape(25, 5, 384).mean(1), atol=1e-5)
    (part,) = SpeechExtractor(layers=(2,))([wave[: -round(0.04 * SAMPLE_RATE)]])
    assert len(part) == 123 and len(odd) == 25
    np.testing.assert_allclose(odd[-1], part[120:].mean(0), atol=1e-5)


def test_an_utterance_does_not_see_its_neighbours(wave: np.ndarray, model: Whisper) -> None:
    extractor = SpeechExtractor(layers=(1, 4))
    noise = np.random.default_rng(0).normal(size=5 * SAMPLE_RATE).astype(np.float32)
    (alone,) = extractor([wave])
    _, among, _ = extractor([noise, wave, noise])
    np.testing.assert_array_equal(among, alone)


def test_long_and_very_short_voices_are_covered(wave: np.ndarray, model: Whisper) -> None:
    extractor = SpeechExtractor(layers=(0,))
    long = np.tile(wave, 13)  # 32.5 s: two equal parts
    tokens, click, nothing = extractor([long, wave[:100], np.zeros(0, np.float32)])
    assert abs(len(tokens) - 50 * 32.5) <= 2
    halves = extractor(np.array_split(long, 2))
    np.testing.assert_array_equal(tokens, np.concatenate(halves))
    assert click.shape == nothing.shape == (1, 384)
    assert extractor([]) == []


def test_the_id_says_what_was_computed() -> None:
    ids = {
        SpeechExtractor(layers=layers, rate_hz=rate).id for layers in ((1,), (2,), (1, 2), (2, 1)) for rate in (50, 10)
    }
    assert len(ids) == 8
    assert SpeechExtractor(layers=[1, 2]).id == SpeechExtractor(layers=(1, 2)).id


@pytest.mark.parametrize("wrong", [{"layers": ()}, {"layers": (5,)}, {"rate_hz": 15}, {"rate_hz": 0}])
def test_wrong_options_are_named(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SpeechExtractor(**wrong)


def test_statistics_are_the_mean_and_deviation_of_the_states(weights):
    weights("whisper-tiny-en")
    wave = np.random.default_rng(3).normal(size=2 * SAMPLE_RATE).astype(np.float32) * 0.1
    (states,) = SpeechExtractor(layers=(1, 3))([wave])
    (token,) = SpeechStatisticsExtractor(layers=(1, 3))([wave])
    assert token.shape == (1, 4 * 384)
    np.testing.assert_allclose(token[0], np.concatenate([states.mean(0), states.std(0)]), atol=1e-6)
