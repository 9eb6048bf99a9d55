"""Agreement of raters: published worked examples, the formulas written out pair by pair, and what has no answer."""

import io
from itertools import permutations

import matplotlib
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score

from merkit.errors import ConfigError
from merkit.evaluation.agreement import agreement, fleiss_kappa, krippendorff_alpha, rater_correlation, rater_kappa
from merkit.evaluation.agreement_picture import picture_of_raters

NAN = np.nan
# Fleiss 1971, table 1: 30 patients, 6 psychiatrists each, 5 diagnoses; kappa .430
FLEISS_1971 = [
    (0, 0, 0, 6, 0),
    (0, 3, 0, 0, 3),
    (0, 1, 4, 0, 1),
    (0, 0, 0, 0, 6),
    (0, 3, 0, 3, 0),
    (2, 0, 4, 0, 0),
    (0, 0, 4, 0, 2),
    (2, 0, 3, 1, 0),
    (2, 0, 0, 4, 0),
    (0, 0, 0, 0, 6),
    (1, 0, 0, 5, 0),
    (1, 1, 0, 4, 0),
    (0, 3, 3, 0, 0),
    (1, 0, 0, 5, 0),
    (0, 2, 0, 3, 1),
    (0, 0, 5, 0, 1),
    (3, 0, 0, 1, 2),
    (5, 1, 0, 0, 0),
    (0, 2, 0, 4, 0),
    (1, 0, 2, 0, 3),
    (0, 0, 0, 0, 6),
    (0, 1, 0, 5, 0),
    (0, 2, 0, 1, 3),
    (2, 0, 0, 4, 0),
    (1, 0, 0, 4, 1),
    (0, 5, 0, 1, 0),
    (4, 0, 0, 0, 2),
    (0, 2, 0, 4, 0),
    (1, 0, 5, 0, 0),
    (0, 0, 0, 0, 6),
]
# the worked example of the encyclopaedia's article on the kappa: 10 items, 14 raters, .210
FOURTEEN = [
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
]
# Krippendorff 2011, section C: 12 units, 4 observers, values missing; nominal .743, interval .849
KRIPPENDORFF_2011 = np.array(
    [
        (1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN),
        (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3),
        (NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN),
        (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN),
    ]
).T
# the same paper, section A: two observers, ten units, binary; .095
TWO_BINARY = np.array([(0, 1, 0, 0, 0, 0, 0, 0, 1, 0), (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)], float).T


def alpha_by_pairs(values, distance) -> float:
    """The definition, over every ordered pair."""
    units = [[x for x in row if x == x] for row in values]
    units = [unit for unit in units if len(unit) >= 2]
    everything = [x for unit in units for x in unit]
    n = len(everything)
    observed = sum(sum(distance(a, b) for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units) / n
    expected = sum(distance(a, b) for a, b in permutations(everything, 2)) / (n * (n - 1))
    return 1 - observed / expected


def kappa_by_pairs(counts) -> float:
    """The share of ordered pairs of raters who agree, against that of two raters drawn from all answers."""
    agree = []
    for row in counts:
        said = [k for k, count in enumerate(row) for _ in range(count)]
        agree.append(np.mean([a == b for a, b in permutations(said, 2)]))
    shares = np.sum(counts, 0) / np.sum(counts)
    return (np.mean(agree) - (shares**2).sum()) / (1 - (shares**2).sum())


NOMINAL, INTERVAL = (lambda a, b: float(a != b)), (lambda a, b: (a - b) ** 2)


def random_ratings(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.clip(np.rint(rng.integers(1, 6, (20, 1)) + rng.normal(0, 1, (20, 5))), 1, 5)
    values[rng.random(values.shape) < 0.3] = NAN
    return values


# -- published figures


def test_fleiss_published() -> None:
    assert fleiss_kappa(np.array(FLEISS_1971)) == pytest.approx(0.430, abs=5e-4)
    assert fleiss_kappa(np.array(FOURTEEN)) == pytest.approx(0.210, abs=5e-4)


def test_krippendorff_published() -> None:
    assert krippendorff_alpha(KRIPPENDORFF_2011) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(KRIPPENDORFF_2011, "interval") == pytest.approx(0.849, abs=5e-4)
    assert krippendorff_alpha(TWO_BINARY) == pytest.approx(0.095, abs=5e-4)


# -- the definitions


@pytest.mark.parametrize("seed", range(5))
def test_against_every_pair(seed) -> None:
    values = random_ratings(seed)
    assert krippendorff_alpha(values) == pytest.approx(alpha_by_pairs(values, NOMINAL), abs=1e-12)
    assert krippendorff_alpha(values, "interval") == pytest.approx(alpha_by_pairs(values, INTERVAL), abs=1e-12)
    # numbers far from zero lose no digits; an interval's zero and unit are free
    shifted = krippendorff_alpha(1e6 + 3 * values, "interval")
    assert shifted == pytest.approx(krippendorff_alpha(values, "interval"), abs=1e-9)
    counts = np.random.default_rng(seed).multinomial(6, [0.5, 0.2, 0.2, 0.1], size=15)
    assert fleiss_kappa(counts) == pytest.approx(kappa_by_pairs(counts), abs=1e-12)


def test_correlation_against_numpy_and_with_gaps() -> None:
    values = np.random.default_rng(3).normal(size=(40, 4))
    assert rater_correlation(values) == pytest.approx(np.corrcoef(values.T), abs=1e-12)
    values[:10, 0], values[30:, 1] = NAN, NAN
    found = rater_correlation(values)
    assert found[0, 1] == found[1, 0] == pytest.approx(np.corrcoef(values[10:30, 0], values[10:30, 1])[0, 1])


def test_kappa_of_two_against_scikit_learn() -> None:
    values = random_ratings(7)
    found = rater_kappa(values)
    for a in range(5):
        for b in range(5):
            both = np.isfinite(values[:, a]) & np.isfinite(values[:, b])
            want = cohen_kappa_score(values[both, a], values[both, b])
            assert found[a, b] == pytest.approx(want, abs=1e-12)
    values[:, 0] = NAN
    assert np.isnan(rater_kappa(values)[0]).all()
    assert np.isnan(rater_kappa(np.ones((4, 2)))).all()


# -- the picture


def test_the_picture_shows_the_numbers() -> None:
    """Cells are as dark as their numbers, on the side of their sign; what is not known is grey."""
    raters = [f"Eval{i:02d}F" for i in range(20)]  # too many for numbers in cells
    quarters = np.kron(np.array([[0.9, 0.4], [-0.9, NAN]]), np.ones((10, 10)))
    png = picture_of_raters({"valence": quarters}, raters, notes="made up")
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    scale = matplotlib.colormaps["PuOr"]
    areas = []
    for colour in (*(scale((value + 1) / 2)[:3] for value in (0.9, 0.4, -0.9)), (0.85, 0.85, 0.85)):
        near = np.abs(picture - np.array(colour) * 255).max(-1) <= 2
        areas.append((np.mean(np.nonzero(near), 1), near.sum()))
    (top, size), (right, _), (low, _), (unknown, _) = areas
    assert all(count == pytest.approx(size, rel=0.1) for _, count in areas)
    assert top[1] < right[1] and top[0] < low[0] and unknown == pytest.approx([low[0], right[1]], abs=8)
    for matrices in ({}, {"valence": np.eye(3)}):
        with pytest.raises(ConfigError):
            picture_of_raters(matrices, raters)


# -- edges


def test_all_agree_and_chance() -> None:
    same = np.repeat(np.arange(6.0)[:, None], 4, 1)
    assert krippendorff_alpha(same) == krippendorff_alpha(same, "interval") == 1.0
    assert fleiss_kappa(4 * np.eye(6)) == 1.0
    chance = np.random.default_rng(0).integers(0, 3, (4000, 5)).astype(float)
    assert abs(krippendorff_alpha(chance)) < 0.02 and abs(krippendorff_alpha(chance, "interval")) < 0.02


def test_what_has_no_answer() -> None:
    for values in (np.ones((5, 3)), np.full((5, 3), NAN), np.zeros((0, 3)), np.array([[1, NAN], [NAN, 2]])):
        assert np.isnan(krippendorff_alpha(values)) and np.isnan(krippendorff_alpha(values, "interval"))
    assert np.isnan(krippendorff_alpha(np.full((5, 3), 0.1), "interval"))  # 0.1 is no exact number
    assert np.isnan(fleiss_kappa(np.array([[3, 0], [3, 0]]))) and np.isnan(fleiss_kappa(np.zeros((0, 3))))
    assert np.isnan(rater_correlation(np.array([[1, 2.0], [1, 3]]))[0, 1])


def test_wrong_shapes() -> None:
    for bad in (np.array([[2, 1], [1, 1]]), np.array([[1, 0], [0, 1]]), np.array([[3, -1], [1, 1]]), np.zeros(3)):
        with pytest.raises(ConfigError):
            fleiss_kappa(bad)
    with pytest.raises(ConfigError, match="level"):
        krippendorff_alpha(np.ones((2, 2)), "ordinal")
    for wrong in (krippendorff_alpha, rater_correlation, rater_kappa):
        with pytest.raises(ConfigError, match=r"\(n, R\)"):
            wrong(np.ones(3))


def test_a_corpus_in_figures() -> None:
    """One item lacks a rater: alpha takes what there is, kappa the items that have as many as most."""
    classes = np.array([[0, 0, 1], [1, 1, 1], [2, 2, 0], [0, 0, NAN]])
    valence = np.array([[1, 2, 1], [3, 3, 4], [5, 4, 5], [1, 1, NAN]], float)
    found = agreement(classes, {"valence": valence})
    assert (found["items"], found["raters"], found["fleiss_items"]) == (4, 3, 3)
    assert found["fleiss_kappa"] == pytest.approx(kappa_by_pairs([[2, 1, 0], [0, 3, 0], [1, 0, 2]]), abs=1e-6)
    assert found["alpha_nominal"] == pytest.approx(alpha_by_pairs(classes, NOMINAL), abs=1e-6)
    assert found["alpha_valence"] == pytest.approx(alpha_by_pairs(valence, INTERVAL), abs=1e-6)
    pairs = [np.corrcoef(valence[: 4 if b == 1 else 3, [a, b]].T)[0, 1] for a, b in ((0, 1), (0, 2), (1, 2))]
    assert found["mean_correlation_valence"] == pytest.approx(np.mean(pairs), abs=1e-6)
    nobody = agreement(np.full((3, 2), NAN), {"arousal": np.full((3, 2), NAN)})
    assert nobody["fleiss_kappa"] is None and nobody["alpha_arousal"] is None and nobody["fleiss_items"] == 0
