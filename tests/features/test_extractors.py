"""Every extractor against its network, alone and in company; identities that change with what they stand for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from networks.pictures import pictures

from merkit.errors import WeightError
from merkit.features import EXTRACTORS, FaceApiExtractor, FaceNetExtractor, MiniXceptionExtractor
from merkit.features.extractor import extractor_id
from merkit.features.scene import SceneExtractor
from merkit.features.text import TextExtractor
from merkit.networks import FACE_API_LABELS, load_face_api_expression, load_minilm, prepare_faces

GOLDEN = Path(__file__).parents[1] / "networks" / "golden"
OTHER_PARAMS = {
    "minilm": {"pool": "sentence"},
    "whisper-encoder": {"rate_hz": 10},
    "whisper-statistics": {"layers": [2]},
    "efficientnet-lite0": {"dtype": "bfloat16"},
    "physiology-statistics": {"hop_s": 1.0},
    "physiology-windows": {"rates_hz": {"eda": 8.0}},
}
TEXTS = ["That is wonderful!", "", "no", "I cannot believe that you really did that to your own brother.", "no"]


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_an_extractor_can_be_made_again_from_what_it_declares(name):
    first = EXTRACTORS[name]()
    again = EXTRACTORS[name](**first.params)
    assert (first.name, again.id) == (name, first.id)
    assert first.id.startswith(f"{name}@") and len(first.id) == len(name) + 13
    assert first.width > 0
    if name in OTHER_PARAMS:
        assert EXTRACTORS[name](**OTHER_PARAMS[name]).id != first.id


def test_identity_changes_with_every_part():
    parts = ("a", 1, {"x": 1, "y": [2]}, ["00"])
    ids = {extractor_id(*parts)}
    for i, other in enumerate(("b", 2, {"x": 1, "y": [3]}, ["01"])):
        ids.add(extractor_id(*parts[:i], other, *parts[i + 1 :]))
    assert len(ids) == 5
    assert extractor_id("a", 1, {"y": [2], "x": 1}, ["00"]) == extractor_id(*parts)


def test_text_tokens_are_the_layers_side_by_side(weights):
    weights("minilm-l6")
    tokens = TextExtractor(pool="token", layers=(2, 6))(TEXTS)
    net = load_minilm()
    for text, x in zip(TEXTS, tokens, strict=True):
        ids = torch.tensor([net.tokenize([text])[0]])
        second, last = (states[0].numpy() for states in net(ids, layers=(2, 6)))
        np.testing.assert_allclose(x[:, :384], second, atol=1e-5)
        np.testing.assert_allclose(x[:, 384:], last, atol=1e-5)
    assert tokens[0].dtype == np.float32


def test_a_sentence_is_the_unit_mean_of_its_tokens(weights):
    weights("minilm-l6")
    vectors = TextExtractor(pool="sentence")(TEXTS)
    for x, tokens in zip(vectors, TextExtractor()(TEXTS), strict=True):
        mean = tokens.mean(0)
        np.testing.assert_allclose(x, (mean / np.linalg.norm(mean))[None], atol=1e-6)
    assert TextExtractor(pool="sentence")([]) == TextExtractor()([]) == []


def test_tuned_layers_take_the_place_of_the_upper_three(weights):
    weights("minilm-l6")
    plain, tuned = (TextExtractor(layers=(3, 6), tuned=tuned) for tuned in (False, True))
    assert plain.id != tuned.id and "tuned" not in plain.params
    for before, after in zip(plain(TEXTS), tuned(TEXTS), strict=True):
        np.testing.assert_array_equal(before[:, :384], after[:, :384])
        assert np.abs(before[:, 384:] - after[:, 384:]).mean() > 0.1
    # tuned for what raters see: two sentences of one emotion are nearer than two on one subject
    happy, also, sad = (
        x.mean(0) for x in TextExtractor(tuned=True)(["My dog is so happy!", "What a lovely day.", "My dog has died."])
    )
    near, far = (np.corrcoef(happy, other)[0, 1] for other in (also, sad))
    was = [x.mean(0) for x in TextExtractor()(["My dog is so happy!", "What a lovely day.", "My dog has died."])]
    assert near > far and np.corrcoef(was[0], was[1])[0, 1] < np.corrcoef(was[0], was[2])[0, 1]


def test_a_long_text_is_cut_and_said_to_be(weights):
    weights("minilm-l6")
    extractor = TextExtractor()
    texts = ["short", "word " * 254, "word " * 255]
    assert [len(x) for x in extractor(texts)] == [3, 256, 256]
    assert extractor.truncated(texts) == [2]


def test_scene_tokens_equal_the_original_and_do_not_depend_on_company(weights):
    weights("efficientnet-lite0")
    frames = pictures(6, 224)
    extractor = SceneExtractor()
    x = extractor(frames)
    np.testing.assert_allclose(x[:1], extractor(frames[:1]), atol=1e-4)
    np.testing.assert_allclose(
        extractor(pictures(2, 224))[:1], np.load(GOLDEN / "efficientnet_lite0.npz")["feature"], atol=5e-5
    )
    np.testing.assert_allclose(x, np.concatenate([extractor(frame[None]) for frame in frames]), atol=1e-4)
    assert extractor(frames[:0]).shape == (0, 1280)
    assert extractor(frames).tobytes() == SceneExtractor()(frames).tobytes()


def test_a_scene_twice_as_large_is_nearly_the_same_scene(weights):
    weights("efficientnet-lite0")
    small = pictures(3, 224)
    large = small.repeat(2, 1).repeat(2, 2)
    a, b = SceneExtractor()(small), SceneExtractor()(large)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() > 0.98


def test_face_api_tokens_are_its_logits(weights):
    weights("face-api-expression")
    crops = pictures(70, 112)
    x = FaceApiExtractor()(crops)
    assert x.shape == (70, len(FACE_API_LABELS))
    with torch.inference_mode():
        for i in (0, 63, 64, 69):
            np.testing.assert_allclose(
                x[i], load_face_api_expression()(prepare_faces(crops[i : i + 1]))[1][0], atol=1e-4
            )
    assert FaceApiExtractor()(crops[:0]).shape == (0, 7)


def test_mini_xception_tokens_equal_the_original(weights):
    weights("mini-xception")
    grey = pictures(3, 64, 1).repeat(3, 3)
    extractor = MiniXceptionExtractor()
    np.testing.assert_allclose(extractor(grey), np.load(GOLDEN / "mini_xception.npz")["feature"], atol=1e-4)
    assert extractor(grey[:0]).shape == (0, 128)


def test_our_face_tokens_do_not_know_left_from_right_and_not_their_company():
    crops = pictures(66, 112)
    extractor = FaceNetExtractor()
    try:
        x = extractor(crops)
    except WeightError as error:
        pytest.skip(str(error))
    np.testing.assert_allclose(extractor(crops[:, :, ::-1]), x, atol=1e-4)
    np.testing.assert_allclose(extractor(crops[65:]), x[65:], atol=1e-4)
    assert np.abs(x[0] - x[1]).max() > 0.01
    assert extractor(crops[:0]).shape == (0, 192)
