"""Answers of folds put side by side: every clip once, with its own truth, group and persons."""

import numpy as np
import pytest

from merkit.errors import ConfigError
from merkit.training.folds import are_folds, over_folds, side_by_side
from merkit.training.predictions import Predictions


def fold(number: int, labels: int = 3) -> Predictions:
    rng = np.random.default_rng(number)
    clips, people = 4 + number, 6
    return Predictions(
        np.array([f"{number}-{i}" for i in range(clips)]),
        {"emotion": rng.random((clips, labels)), "person": rng.random((people, 2))},
        {"emotion": rng.integers(0, labels, clips), "person": rng.integers(0, 2, (people, 2))},
        {"emotion": rng.random(clips) < 0.7, "person": np.ones((people, 2), bool)},
        np.array([f"speaker {number}"] * clips),
        {"person": np.sort(rng.integers(0, clips, people))},
        {"emotion": np.ones(clips, bool)},
    )


def test_every_answer_keeps_its_clip_its_truth_and_its_group() -> None:
    folds = [fold(0), fold(1), fold(2)]
    whole = side_by_side(folds)
    assert are_folds(folds) and len(whole.ids) == 4 + 5 + 6
    at = {item: i for i, item in enumerate(whole.ids.tolist())}
    for made in folds:
        for i, item in enumerate(made.ids.tolist()):
            assert (whole.output["emotion"][at[item]] == made.output["emotion"][i]).all()
            assert whole.target["emotion"][at[item]] == made.target["emotion"][i]
            assert whole.valid["emotion"][at[item]] == made.valid["emotion"][i]
            assert whole.groups is not None and whole.groups[at[item]] == f"speaker {item[0]}"
        # persons still belong to their clip
        own = {tuple(row): made.ids[k] for row, k in zip(made.output["person"], made.owner["person"], strict=True)}
        found = {tuple(row): whole.ids[k] for row, k in zip(whole.output["person"], whole.owner["person"], strict=True)}
        assert own.items() <= found.items()
    assert (np.diff(whole.owner["person"]) >= 0).all() and set(whole.seen) == {"emotion"}


def test_what_is_no_division() -> None:
    assert not are_folds([fold(0), fold(0)]) and not are_folds([fold(0)])
    soft = fold(1)
    soft.target["emotion"] = soft.output["emotion"]  # ty: ignore[invalid-assignment]
    for other in (soft, fold(1, labels=4)):
        with pytest.raises(ConfigError, match="same questions"):
            side_by_side([fold(0), other])


def test_a_measure_that_one_fold_lacks_is_undefined() -> None:
    found = over_folds([{"uar": 0.4, "ccc": 0.2}, {"uar": 0.6, "ccc": float("nan")}, {"uar": 0.8, "ccc": 0.1}])
    assert found["uar"].value == pytest.approx(0.6) and np.isnan(found["ccc"].value)
    assert (found["uar"].low, found["uar"].high) == pytest.approx((0.6 - 0.2, 0.6 + 0.2))
