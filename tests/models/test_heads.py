"""Shipped heads: whole, calibrated distributions, honest about what they stand on."""

import json
from importlib.resources import files

import numpy as np
import pytest
import torch
from safetensors.torch import save
from scipy.special import softmax

from merkit.errors import WeightError
from merkit.features import EXTRACTORS
from merkit.labels import EKMAN7
from merkit.models import EmotionHead

NAMES = ("text", "speech", "face", "face-permissive")


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_head_fits_the_extractor_it_was_trained_behind(name: str) -> None:
    head = EmotionHead.load(name)
    extractor = EXTRACTORS[head.extractor_name](**head.extractor_params)
    assert extractor.id == head.extractor_id
    assert extractor.width == head.facts["network"]["width"]
    assert extractor.modality == head.modality


@pytest.mark.parametrize("name", NAMES)
def test_what_it_says_is_a_distribution_and_does_not_depend_on_the_batch(name: str) -> None:
    head = EmotionHead.load(name)
    rng = np.random.default_rng(0)
    width = head.facts["network"]["width"]
    longest = 1 if head.modality == "face" else 30
    tokens = [rng.normal(size=(int(t), width)).astype(np.float32) for t in rng.integers(1, longest + 1, size=40)]
    said = head(tokens)
    np.testing.assert_allclose(np.exp(said.log_prob.astype(float)).sum(-1), 1.0, atol=1e-4)
    np.testing.assert_allclose(np.exp(said.members.astype(float)).sum(-1), 1.0, atol=1e-4)
    for i in (0, 7, 39):
        np.testing.assert_allclose(head([tokens[i]]).log_prob[0], said.log_prob[i], atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_a_card_must(name: str) -> None:
    card = (files("merkit.weights") / "shipped" / f"{name}.md").read_text(encoding="utf-8")
    facts = EmotionHead.load(name).facts
    for words in ("On the valid part", "95 %", "not evaluated on", "Art. 5(1)(f)", "raters", facts["sha256"][:16]):
        assert words in card
    for measure in ("accuracy", "macro_f1", "ece"):
        value, low, high = facts["figures"][measure]
        assert low <= value <= high
        assert f"{value:.3f}" in card
    assert facts["non_commercial"] == ("non-commercial" in card)


@pytest.mark.parametrize("name", ["text", "speech", "face"])
def test_a_head_beats_its_floor(name: str) -> None:
    floor = EmotionHead.load(name).facts["floor"]
    assert floor["ours"] > floor["value"]


def test_together_they_are_small() -> None:
    folder = files("merkit.weights") / "shipped"
    assert sum(len(file.read_bytes()) for file in folder.iterdir() if file.name.endswith(".safetensors")) < 10e6


def made(**changes) -> tuple[dict, dict[str, torch.Tensor]]:
    """A head of two inputs and three native classes, one of which has no place among the seven."""
    facts = {
        "name": "made", "version": "1", "modality": "speech", "licence": "x", "non_commercial": False,
        "permissive": True, "skill": 0.5, "temperature": 2.0, "classes": ["calm", "neutral", "boredom", "happy"],
        "to_label": ["neutral", "neutral", None, "joy"], "extractor": {"name": "e", "params": {}, "id": "e@1"},
        "network": {"width": 2, "pooling": "mean", "hidden": 0, "heads": 0},
    }  # fmt: skip
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0], [1.0, 1.0]])
    state = {
        "centre": torch.zeros(2), "scale": torch.ones(2), "pooled_centre": torch.zeros(2),
        "pooled_scale": torch.ones(2), "out.weight": weight, "out.bias": torch.zeros(4),
        "members.weight": weight[None].repeat(3, 1, 1), "members.bias": torch.zeros(3, 4),
    }  # fmt: skip
    return facts | changes, state


def test_native_classes_are_summed_into_labels_and_homeless_ones_left_out() -> None:
    facts, state = made()
    said = EmotionHead(facts, state, "")([np.array([[2.0, 4.0]], np.float32)])
    calm, neutral, happy = softmax(np.array([2.0, 4.0, 6.0]) / 2.0)
    prob = np.exp(said.log_prob[0])
    assert prob[EKMAN7.index("neutral")] == pytest.approx(calm + neutral, abs=1e-5)
    assert prob[EKMAN7.index("joy")] == pytest.approx(happy, abs=1e-5)
    assert prob[EKMAN7.index("anger")] == pytest.approx(1e-6)
    np.testing.assert_allclose(said.members[0], said.log_prob.repeat(3, 0), atol=1e-6)


def test_clips_and_valid_part_have_their_own_temperatures() -> None:
    facts, state = made(on_clips={"temperature": 4.0})
    tokens = [np.array([[2.0, 4.0]], np.float32)]
    sure = EmotionHead(facts, state, "", on="valid")(tokens).log_prob.max()
    unsure = EmotionHead(facts, state, "")(tokens).log_prob.max()
    assert unsure < sure


def test_weights_that_do_not_belong_to_the_record_are_refused(tmp_path, monkeypatch) -> None:
    facts, state = made()
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "made.safetensors").write_bytes(save(state))
    (folder / "made.json").write_text(json.dumps(facts | {"sha256": "0" * 64}))
    monkeypatch.setattr("merkit.models.heads.files", lambda package: tmp_path)
    with pytest.raises(WeightError, match="sha256"):
        EmotionHead.load("made")
    with pytest.raises(WeightError, match="no shipped head"):
        EmotionHead.load("nothing")
