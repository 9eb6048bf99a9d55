"""Where films are parted: bounds that hold, the strongest cut first, whole utterances."""

from itertools import pairwise

import numpy as np
import pytest

from merkit.corpora.film_scenes import cut_strengths, scene_spans
from merkit.errors import ConfigError


@pytest.mark.parametrize("seed", range(30))
def test_scenes_cover_the_film_and_keep_their_bounds(seed):
    rng = np.random.default_rng(seed)
    duration_s = float(rng.uniform(1, 3000))
    cuts_s = np.sort(rng.uniform(0, duration_s, rng.integers(0, 300)))
    min_s = float(rng.uniform(1, 40))
    max_s = min_s * float(rng.uniform(2, 5))
    spans = scene_spans(duration_s, cuts_s, rng.normal(size=len(cuts_s)), min_s=min_s, max_s=max_s)
    assert spans[0][0] == 0.0
    assert spans[-1][1] == duration_s
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    lengths = np.array([b - a for a, b in spans])
    assert lengths.max() <= max_s
    if len(spans) > 1:
        assert lengths.min() >= min_s - 1e-9


def test_the_strongest_cut_goes_first_wherever_it_lies():
    cuts_s = np.array([20.0, 50.0, 95.0, 140.0])
    strength = np.array([9.0, 1.0, 3.0, 2.0])
    # 20 s is too near to the start; 95 parts the film, then 50 is the only one that may part the longer part
    assert scene_spans(160.0, cuts_s, strength) == [(0.0, 50.0), (50.0, 95.0), (95.0, 160.0)]
    # after 140 s only 20 s are left: it is never taken
    assert all(span[0] != 140.0 for span in scene_spans(160.0, cuts_s, np.array([0.0, 0.0, 0.0, 9.0])))


def test_of_equal_cuts_the_middle_one_and_without_cuts_the_middle():
    assert scene_spans(100.0, np.array([35.0, 48.0, 65.0]), np.ones(3)) == [(0.0, 48.0), (48.0, 100.0)]
    assert scene_spans(100.0, np.zeros(0), np.zeros(0)) == [(0.0, 50.0), (50.0, 100.0)]
    assert scene_spans(90.0, np.array([45.0]), np.ones(1)) == [(0.0, 90.0)]


def test_bounds_that_cannot_be_kept_are_refused():
    for min_s, max_s in ((30.0, 59.0), (0.0, 10.0), (-1.0, 5.0), (30.0, np.inf)):
        with pytest.raises(ConfigError, match="twice"):
            scene_spans(100.0, np.zeros(0), np.zeros(0), min_s=min_s, max_s=max_s)
    with pytest.raises(ConfigError, match="no scenes"):
        scene_spans(0.0, np.zeros(0), np.zeros(0))


def test_a_conversation_between_two_cameras_holds_together():
    """Cuts every 3 s between two views, and one cut to another place: only that one is strong."""
    rng = np.random.default_rng(0)
    views = rng.normal(size=(3, 8)) * 5
    view = np.where(np.arange(120) < 60, (np.arange(120) // 3) % 2, 2)
    x = (views[view] + rng.normal(size=(120, 8))).astype(np.float32)
    cuts_s = np.array([*range(30, 60, 3), 60.0], float)
    strength = cut_strengths(cuts_s, x, np.arange(120.0))
    assert strength.argmax() == len(cuts_s) - 1
    assert strength[-1] == pytest.approx(1.0)
    assert strength[cuts_s <= 45].max() < 0.5


def test_cuts_within_an_utterance_come_last_and_constant_pictures_tell_nothing():
    cuts_s = np.array([5.0, 10.0, 15.0])
    strength = cut_strengths(cuts_s, None, np.zeros(0), [(9.0, 11.0), (15.0, 18.0)])
    assert strength.tolist() == [0.0, -2.0, 0.0]  # a cut where somebody begins to speak is not within
    still = cut_strengths(cuts_s, np.full((20, 3), 0.7, np.float32), np.arange(20.0))
    assert np.isfinite(still).all()
    assert still.tolist() == [0.0, 0.0, 0.0]
