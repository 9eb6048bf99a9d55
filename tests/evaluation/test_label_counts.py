"""Counts of labels against loops that are too plain to be wrong."""

import numpy as np

from merkit.evaluation.label_counts import (
    any_of_entities,
    co_occurrence,
    histogram,
    label_frequency,
    scenes_of_characters,
)


def test_co_occurrence_equals_counting_by_hand() -> None:
    rng = np.random.default_rng(0)
    rows, columns = rng.random((50, 3)) < 0.4, rng.random((50, 4)) < 0.5
    rows_known, columns_known = rng.random((50, 3)) < 0.8, rng.random((50, 4)) < 0.7
    found = co_occurrence(rows, columns, rows_known, columns_known)
    for r in range(3):
        for c in range(4):
            base = [i for i in range(50) if rows_known[i, r] and columns_known[i, c] and rows[i, r]]
            both = [i for i in base if columns[i, c]]
            assert found.rows[r, c] == len(base) and found.both[r, c] == len(both)
            assert found.share[r, c] == len(both) / len(base)


def test_the_share_is_of_the_row_not_of_the_column() -> None:
    """Every scared scene is serious; few serious ones are scared."""
    there = np.array([[True, True], [False, True], [False, True], [False, True]])  # scared, serious
    found = co_occurrence(there, there)
    assert found.share.tolist() == [[1.0, 1.0], [0.25, 1.0]]


def test_a_label_that_is_never_there_has_no_share() -> None:
    there = np.array([[True, False], [True, False]])
    found = co_occurrence(there, there)
    assert np.isnan(found.share[1]).all() and found.share[0, 1] == 0


def test_a_scene_has_what_a_known_character_of_it_has() -> None:
    there = np.zeros((3, 2, 2), bool)
    valid = np.ones((3, 2, 2), bool)
    there[0, 1, 0] = True
    there[1, 0, 0] = True
    valid[1, 0] = False  # not known: no answer, though the array says something
    valid[2] = False
    some, known = any_of_entities(there, valid)
    assert some.tolist() == [[True, False], [False, False], [False, False]]
    assert known.tolist() == [[True, True], [True, True], [False, False]]


def test_every_character_is_an_answer_of_its_own() -> None:
    there = np.array([[[1, 0], [1, 1]], [[1, 1], [0, 0]]], bool)
    valid = np.array([[[1, 1], [1, 1]], [[1, 0], [0, 0]]], bool)
    on, known = label_frequency(there, valid)
    assert on.tolist() == [3, 1] and known.tolist() == [3, 2]


def test_histogram_counts_from_nought() -> None:
    assert histogram(np.array([3, 0, 3])).tolist() == [1, 0, 0, 2]
    assert histogram(np.array([], int)).tolist() == []


def test_the_same_name_in_two_movies_is_two_persons() -> None:
    found = scenes_of_characters(["b", "a", "a", "a"], [("Ann",), ("Zoe", "Ann"), ("Zoe",), ("Zoe", "Bob")])
    assert found == {"b": {"Ann": 1}, "a": {"Zoe": 3, "Ann": 1, "Bob": 1}}
    assert list(found["a"]) == ["Zoe", "Ann", "Bob"]  # most first, ties by name
