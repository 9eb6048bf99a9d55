"""Equation 9 by hand: which scenes count, what is divided by what, what is left out."""

import numpy as np
import pytest

from merkit.evaluation.expressiveness import attention_sums, expressiveness


def scenes() -> list[dict[str, np.ndarray]]:
    """Three scenes, two labels; the first has two characters of whom one has a single token, the last has no dialog."""
    return [
        {
            "scene": np.array([[[0.1, 0.1]], [[0.2, 0.0]]]),
            "face": np.array([[[0.3, 0.1], [0.05, 0.0]], [[0.0, 0.1], [0.3, 0.0]]]),
            "text": np.array([[[0.05]], [[0.2]]]),
            "lines": np.array([[[0.05], [0.0]], [[0.1], [0.1]]]),
        },
        {"scene": np.array([[[0.25]], [[0.5]]]), "face": np.array([[[0.5]], [[0.1]]]), "text": np.zeros((2, 1, 1))},
        {"scene": np.array([[[0.4, 0.1]], [[0.1, 0.1]]]), "face": np.zeros((2, 0, 3))},
    ]


def test_sums_by_stream() -> None:
    paid = attention_sums(scenes())
    assert paid["scene"] == pytest.approx(np.array([[0.2, 0.2], [0.25, 0.5], [0.5, 0.2]]))
    assert paid["face"] == pytest.approx(np.array([[0.45, 0.4], [0.5, 0.1], [0, 0]]))
    assert paid["text"] == pytest.approx(np.array([[0.05, 0.2], [0, 0], [0, 0]]))
    assert paid["lines"] == pytest.approx(np.array([[0.05, 0.2], [0, 0], [0, 0]]))


def test_the_ratio_is_averaged_over_scenes_with_the_label() -> None:
    target = np.array([[1, 1], [1, 0], [0, 1]])
    found = expressiveness(attention_sums(scenes()), target, draws=50)
    first, second = (0.45 + 0.05) / 0.25, 0.5 / 0.25
    assert found.value[0] == pytest.approx((first + second) / 2)
    # a scene without characters looks at none: its ratio is 0, and it counts
    assert found.value[1] == pytest.approx(((0.4 + 0.2) / 0.4 + 0.0) / 2)
    assert found.scenes.tolist() == [2, 2] and found.left_out.tolist() == [0, 0]


def test_without_lines_only_faces_count() -> None:
    target = np.array([[1, 0], [0, 0], [0, 0]])
    found = expressiveness(attention_sums(scenes()), target, characters=("face",), draws=50)
    assert found.value[0] == pytest.approx(0.45 / 0.25)
    assert found.scenes.tolist() == [1, 0] and np.isnan(found.value[1])
    assert np.isnan(found.low).all()  # one scene says nothing about others


def test_a_zero_below_is_left_out_and_counted() -> None:
    paid = {"face": np.array([[0.5], [0.4], [0.2]]), "scene": np.array([[0.0], [0.2], [0.1]])}
    found = expressiveness(paid, np.array([[1], [1], [0]]), draws=50)
    assert found.value[0] == pytest.approx(2.0)
    assert found.scenes.tolist() == [1] and found.left_out.tolist() == [1]


def test_what_is_not_known_of_a_label_does_not_count() -> None:
    paid = {"face": np.array([[0.5], [0.4]]), "text": np.array([[0.5], [0.2]])}
    found = expressiveness(paid, np.ones((2, 1)), np.array([[True], [False]]), draws=50)
    assert found.value[0] == pytest.approx(1.0) and found.scenes.tolist() == [1]


def test_groups_are_drawn_whole() -> None:
    rng = np.random.default_rng(0)
    movie = np.repeat(np.arange(5), 40)
    face = np.repeat([0.1, 0.2, 0.4, 0.8, 1.6], 40)[:, None] + 0.01 * rng.random((200, 1))
    paid = {"face": face, "scene": np.ones((200, 1))}
    by_scene = expressiveness(paid, np.ones((200, 1)), draws=300)
    by_movie = expressiveness(paid, np.ones((200, 1)), groups=movie, draws=300)
    assert by_movie.value == pytest.approx(by_scene.value)
    assert (by_movie.high - by_movie.low)[0] > 3 * (by_scene.high - by_scene.low)[0]
    assert by_scene.low[0] < face.mean() < by_scene.high[0]
    one_movie = expressiveness(paid, (movie == 0)[:, None].astype(float), groups=movie, draws=50)
    assert np.isnan(one_movie.low[0]) and one_movie.scenes[0] == 40


def test_a_model_without_picture_and_dialog_has_no_ratio() -> None:
    with pytest.raises(ValueError, match="no attention to scene or text; there is attention to face"):
        expressiveness({"face": np.ones((2, 1))}, np.ones((2, 1)))


def test_attention_of_one_query_is_not_spread_over_labels() -> None:
    with pytest.raises(ValueError, match=r"\(4, 1\) scenes and labels for a target of \(4, 7\)"):
        expressiveness({"scene": np.ones((4, 1))}, np.ones((4, 7)))


def test_scenes_must_share_their_labels() -> None:
    with pytest.raises(ValueError, match="number of labels: 2, 3"):
        attention_sums([{"face": np.ones((2, 1, 1))}, {"face": np.ones((3, 1, 1))}])
