"""`merkit export` by its public face: a graph of a trained run, and an upload that is asked for, refused, or pretended."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_corpus import ARRAYS, write_arrays
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.config import config_from
from merkit.errors import ConfigError, StoreError
from merkit.systems.fusion import FusionConfig
from merkit.training.run import Run
from merkit.training.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    values = {
        "data": {"root": str(write_arrays(folder / "corpus")), "arrays": ARRAYS.to_dict()},
        "model": {"width": 8},
        "trainer": {"max_epochs": 1, "accelerator": "cpu"},
    }
    return train("fusion", config_from(FusionConfig, values), folder / "run").path


def _called(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["export", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_graph_of_a_run_needs_no_merkit_to_answer(run: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    said = json.loads(_called(run, "--to", "onnx", "--out", tmp_path / "onnx", "--json"))
    assert said["parity"]["difference"] < 1e-4
    assert said["parity"]["clips"] == 24
    assert {"model.onnx", "config.json", "README.md", "processor_config.json", "graph.json"} <= set(said["files"])
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"))
    rng = np.random.default_rng(0)
    given = {
        "text": rng.normal(size=(4, 6, 7)).astype(np.float32),
        "text_mask": np.ones((4, 6), bool),
        "speech": np.full((4, 1, 5), np.nan, np.float32),
        "speech_mask": np.zeros((4, 1), bool),
    }
    logits, probs = session.run(["emotion.logits", "emotion.probs"], given)
    scaled = logits / Run(run).record["temperature"]["emotion"]
    odds = np.exp(scaled - scaled.max(-1, keepdims=True))
    np.testing.assert_allclose(probs, odds / odds.sum(-1, keepdims=True), atol=1e-6)
    assert np.isfinite(probs).all()
    # standardisation is inside: the same clip told in other units is another clip
    shifted = session.run(["emotion.logits"], {**given, "text": given["text"] + 1})[0]
    assert np.abs(shifted - logits).max() > 1e-3


def test_an_upload_is_refused_before_anything_is_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "pushed"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(ConfigError, match="nobody is logged in"):
        _called(run, "--out", out, "--push", "me/mine")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):
        _called(run, "--out", out, "--push", "me/mine")
    with pytest.raises(ConfigError, match="is called OWNER/NAME"):
        _called(run, "--out", out, "--push", "mine")
    assert not out.exists()


def test_an_upload_is_of_the_whole_folder_private_unless_asked(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    class Api:
        def create_repo(self, name: str, **options: object) -> str:
            seen.append((name, options["private"], options["exist_ok"]))
            return f"https://huggingface.co/{name}"

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
            if repo_id == "me/full":
                raise OSError("no room")
            seen.append(sorted(path.name for path in folder_path.iterdir()))

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "a token")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    # the other process is tried elsewhere
    monkeypatch.setattr("merkit.export.folder.reloaded", _as_it_is)
    said = json.loads(_called(run, "--out", tmp_path / "a", "--push", "me/mine", "--json"))
    assert said["pushed"] == "https://huggingface.co/me/mine"
    assert seen == [
        ("me/mine", True, True),
        ["README.md", "config.json", "model.safetensors", "processor_config.json", "record.json"],
    ]
    with pytest.raises(StoreError, match=r"me/full: not uploaded \(no room\)"):
        _called(run, "--out", tmp_path / "b", "--push", "me/full", "--public")
    assert seen[-1] == ("me/full", False, True)
    assert (tmp_path / "b" / "model.safetensors").is_file()


def _as_it_is(folder: Path, config: object, batches: object) -> list[dict]:
    from merkit.export.model import MerkitModel
    from merkit.export.tensors import tensors_of

    model = MerkitModel.from_pretrained(folder)
    found = []
    for batch in batches:  # type: ignore[attr-defined]
        out = model(**tensors_of(model.config, batch))
        found.append({f"{name}.{kind}": x for kind in ("logits", "probs") for name, x in out[kind].items()})
    return found


def test_help_shows_examples() -> None:
    said = CliRunner().invoke(app, ["export", "--help"]).stdout
    assert "merkit export runs/mine --to onnx" in " ".join(said.split())
