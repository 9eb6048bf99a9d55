"""Views of pictures against arrays turned by numpy, and what is not touched by them."""

import itertools

import numpy as np
import pytest
import torch

from merkit.data.batch import Batch, Tokens
from merkit.data.columns import TokenColumn
from merkit.errors import ConfigError
from merkit.training.views import VIEWS, PictureView, find_views, picture_streams

SIDE = 5


def batch_of(pictures: np.ndarray) -> Batch:
    """`(B, T, S, S, 3)` as the stream `face`, beside a stream of words."""
    face = torch.from_numpy(pictures.reshape(len(pictures), 1, pictures.shape[1], -1))
    mask = torch.ones(face.shape[:3], dtype=torch.bool)
    words = Tokens(torch.randn(len(pictures), 1, 4, 7), torch.ones(len(pictures), 1, 4, dtype=torch.bool))
    return Batch(tuple(map(str, range(len(pictures)))), len(pictures), {"face": Tokens(face, mask), "text": words})


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (2, 3, SIDE, SIDE, 3)).astype(np.uint8)


def in_unit(x: torch.Tensor) -> np.ndarray:
    values = x.numpy().reshape(2, 3, SIDE, SIDE, 3)
    return values / np.float32(255) if x.dtype == torch.uint8 else values


@pytest.mark.parametrize("floats", [False, True])
def test_twelve_views_are_two_flips_by_three_factors(pictures, floats):
    given = (pictures / 255).astype(np.float32) if floats else pictures
    batch = batch_of(given.copy())
    made = [in_unit(view(batch, ("face",)).tokens["face"].x) for view in find_views("12")]
    expected = []
    for left_right, upside_down, factor in itertools.product((0, 1), (0, 1), (0.9, 1.0, 1.1)):
        turned = pictures / 255
        turned = turned[:, :, :, ::-1] if left_right else turned
        turned = turned[:, :, ::-1] if upside_down else turned
        expected.append(np.minimum(turned * factor, 1.0))
    distances = np.array([[np.abs(one - other).max() for other in expected] for one in made])
    # each is one of them, and each of them is made: a permutation
    np.testing.assert_array_equal((distances < 1e-6).sum(0), np.ones(12))
    np.testing.assert_array_equal((distances < 1e-6).sum(1), np.ones(12))
    np.testing.assert_array_equal(batch.tokens["face"].x.numpy().reshape(given.shape), given)  # not written to


def test_named_sets_hold_what_their_names_say():
    assert {name: len(views) for name, views in VIEWS.items()} == {
        "none": 1,
        "hflip": 2,
        "hflip+multiply": 6,
        "all": 12,
    }
    assert not any(view.flip_y for name in ("none", "hflip", "hflip+multiply") for view in VIEWS[name])
    assert {view.brightness for view in VIEWS["hflip"]} == {1.0}
    assert all(views[0] == PictureView() and len(set(views)) == len(views) for views in VIEWS.values())
    assert find_views("6") == find_views("hflip+multiply")
    with pytest.raises(ConfigError, match=r"'7'.*none \(1\), hflip \(2\), hflip\+multiply \(6\), all \(12\)"):
        find_views("7")


def test_brightness_is_that_of_the_picture_and_not_of_what_a_network_normalises(pictures):
    """Defect of the published code: 1.1 times a normalised tensor moves values away from the mean, up and down."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    dark = (pictures // 4).astype(np.uint8)
    seen = in_unit(PictureView(brightness=1.1)(batch_of(dark), ("face",)).tokens["face"].x)
    normalised = (seen - mean) / std
    published = 1.1 * ((dark / 255 - mean) / std)
    assert (normalised >= (dark / 255 - mean) / std - 1e-6).all()  # brighter everywhere
    assert (published < (dark / 255 - mean) / std).all()  # darker everywhere: all of it lies under the mean
    bright = in_unit(PictureView(brightness=1.1)(batch_of(np.full_like(dark, 250)), ("face",)).tokens["face"].x)
    assert bright.max() == 1.0


def test_everything_but_the_pictures_is_the_same_object(pictures):
    batch = batch_of(pictures)
    seen = PictureView(flip_x=True, brightness=0.9)(batch, ("face",))
    assert seen.tokens["text"] is batch.tokens["text"]
    assert seen.tokens["face"].mask is batch.tokens["face"].mask
    assert PictureView()(batch, ("face",)) is batch
    assert PictureView(flip_x=True)(batch, ("face",)).tokens["face"].x.dtype == torch.uint8
    twice = PictureView(flip_x=True)(PictureView(flip_x=True)(batch, ("face",)), ("face",))
    assert torch.equal(twice.tokens["face"].x, batch.tokens["face"].x)
    with pytest.raises(ConfigError, match="text tokens are 7 wide"):
        PictureView(flip_y=True)(batch, ("text",))


def test_features_that_happen_to_be_as_wide_as_a_picture_are_none():
    def column(x):
        return TokenColumn(x, np.arange(2), np.zeros(1, np.int64), np.zeros(1, np.int64))

    streams = {
        "face": column(np.zeros((1, 768), np.uint8)),  # 16 x 16 pictures
        "scene": column(np.zeros((1, 768), np.float32)),  # features of a vision transformer
        "text": column(np.zeros((1, 512), np.uint8)),
    }
    assert picture_streams(streams, ("scene", "face", "text")) == ("face",)
    assert picture_streams(streams, ("scene", "text")) == ()
