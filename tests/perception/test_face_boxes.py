"""Box arithmetic against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merkit.perception.boxes import iou, moved, squared, suppress


def _overlap(a: np.ndarray, b: np.ndarray, share_of: str) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    against = area_a + area_b - width * height if share_of == "union" else min(area_a, area_b)
    return width * height / against


def _greedy(boxes: np.ndarray, score: np.ndarray, group: np.ndarray, limit: float, share_of: str) -> list[int]:
    """One box after the other, as the textbook has it."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (group[i], -score[i], i)):
        rivals = [j for j in kept if group[j] == group[i]]
        if all(_overlap(boxes[i], boxes[j], share_of) <= limit for j in rivals):
            kept.append(i)
    return kept


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.sampled_from(["union", "smaller"]), st.floats(0.1, 0.9))
def test_suppression_equals_the_textbook_loop(seed: int, count: int, share_of: str, limit: float) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (count, 2))], axis=1)
    score, group = rng.permutation(count) / count, rng.integers(0, 4, count)
    assert suppress(boxes, score, group, limit, share_of).tolist() == _greedy(boxes, score, group, limit, share_of)


def test_suppression_of_nothing_is_nothing() -> None:
    assert suppress(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), 0.5).tolist() == []


def test_boxes_of_other_groups_do_not_suppress_even_with_negative_coordinates() -> None:
    boxes = np.array([[-5.0, -5, 5, 5]] * 3)
    assert suppress(boxes, np.array([0.5, 0.9, 0.7]), np.array([0, 1, 0]), 0.3).tolist() == [2, 1]


def test_iou_agrees_with_counting_pixels() -> None:
    a, b = np.array([[0.0, 0, 6, 4], [2, 2, 5, 9]]), np.array([[3.0, 1, 8, 6]])
    grid = np.zeros((2, 12, 12), bool)
    for canvas, (x0, y0, x1, y1) in zip(grid, a.astype(int), strict=True):
        canvas[y0:y1, x0:x1] = True
    other = np.zeros((12, 12), bool)
    other[1:6, 3:8] = True
    counted = [(canvas & other).sum() / (canvas | other).sum() for canvas in grid]
    assert iou(a, b)[:, 0] == pytest.approx(counted)


def test_squares_keep_centre_and_longer_side() -> None:
    rng = np.random.default_rng(3)
    corner = rng.uniform(-10, 50, (40, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 30, (40, 2))], axis=1)
    made = squared(boxes)
    sides = made[:, 2:] - made[:, :2]
    assert sides[:, 0] == pytest.approx(sides[:, 1])
    assert sides[:, 0] == pytest.approx((boxes[:, 2:] - boxes[:, :2]).max(axis=1))
    assert (made[:, :2] + made[:, 2:]) == pytest.approx(boxes[:, :2] + boxes[:, 2:])


def test_offsets_are_shares_of_each_axis() -> None:
    assert moved(np.array([[10.0, 20, 30, 60]]), np.array([[-0.5, 0.25, 1.0, -0.25]])).tolist() == [[0, 30, 50, 50]]
