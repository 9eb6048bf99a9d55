"""Text encoders by name: against transformers called directly, one text at a time."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import KINDS, write_encoder

from merkit.errors import ConfigError, WeightError
from merkit.networks.text_encoder import TextEncoder
from merkit.networks.text_pretrained import load_text_encoder
from merkit.networks.text_source import find_text_source

TEXTS = ["yes no good", "bad", "", "the film is very good . it was not bad", "  ", "joy"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: write_encoder(root / f"tiny-{kind}", kind) for kind in KINDS}


def reference(folder: Path, text: str, pooling: str) -> np.ndarray:
    """The text alone, without padding or mask, through transformers."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        out = model(input_ids=ids)
    states = out.last_hidden_state[0]
    pooled = {"cls": states[0], "mean": states.mean(0), "last": states[-1]}
    return (out.pooler_output[0] if pooling == "pooler" else pooled[pooling]).numpy()


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [(kind, pooling) for kind in KINDS for pooling in ("pooler", "cls", "mean", "last")
     if not (kind in ("gpt2", "distilbert") and pooling == "pooler") and (kind, pooling) != ("gpt2", "cls")],
)  # fmt: skip
def test_every_pooling_equals_transformers_text_by_text(folders, kind: str, pooling: str) -> None:
    encoder = load_text_encoder(str(folders[kind]), pooling=pooling)
    found = encoder.encode(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        expected = reference(folders[kind], text, pooling) if text.strip() else np.zeros(16)
        np.testing.assert_allclose(vector, expected, atol=2e-6)
    assert not encoder.training


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_its_ids_change_nothing(folders, kind: str) -> None:
    encoder = load_text_encoder(str(folders[kind]))
    tokens = encoder.tokeniser(TEXTS[:2]).ids
    for filler in (0, 7, 99_999):
        ids = torch.full((2, 15), filler)
        mask = torch.zeros(2, 15, dtype=torch.bool)
        for row, own in enumerate(tokens):
            ids[row, : len(own)], mask[row, : len(own)] = torch.tensor(own), True
        with torch.no_grad():
            np.testing.assert_allclose(encoder(ids, mask), encoder.encode(TEXTS[:2]), atol=2e-6)


def test_a_text_over_the_limit_keeps_its_last_special_token_and_is_reported(folders) -> None:
    encoder = load_text_encoder(str(folders["roberta"]))
    assert encoder.tokeniser.limit == 18  # 20 positions, of which padding takes the first two
    made = encoder.tokeniser(["yes", "good " * 16, "good " * 17, ""])
    assert made.cut == [2]
    assert [len(ids) for ids in made.ids] == [3, 18, 18, 0] and made.ids[1] == made.ids[2]
    assert made.ids[2][0] == 0 and made.ids[2][-1] == 2
    short = load_text_encoder(str(folders["roberta"]), max_tokens=5)
    assert [len(ids) for ids in short.tokeniser(["yes no good bad day"]).ids] == [5]
    assert load_text_encoder(str(folders["bert"])).tokeniser.limit == 20
    with pytest.raises(ConfigError, match="4 to 18"):
        load_text_encoder(str(folders["roberta"]), max_tokens=19)


def test_frozen_layers_get_no_gradient_and_no_dropout(folders) -> None:
    for kind in KINDS:
        for count, expected in ((1, True), (-1, False)):
            encoder = load_text_encoder(str(folders[kind]), freeze_layers=count).train()
            trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
            assert bool(trained) == expected
            assert not any("embed" in n or "wte" in n or "wpe" in n or ".0." in n for n in trained), (kind, trained)
            if expected:
                assert any(".1." in name for name in trained)
                on = {name for name, part in encoder.named_modules() if part.training and "dropout" in name.lower()}
                assert on and not any(".0." in name or "embeddings" in name for name in on)
            else:
                ids, mask = torch.tensor([[4, 5, 6]]), torch.ones(1, 3, dtype=torch.bool)
                assert torch.equal(encoder(ids, mask), encoder(ids, mask))
    with pytest.raises(ConfigError, match="2 layers"):
        load_text_encoder(str(folders["bert"]), freeze_layers=3)


def test_every_trainable_weight_gets_a_gradient(folders) -> None:
    for kind in KINDS:
        for pooling in ("mean", "pooler") if kind in ("bert", "roberta") else ("mean",):
            encoder = load_text_encoder(str(folders[kind]), pooling=pooling).train()
            ids, mask = torch.tensor([[4, 5, 6], [5, 6, 0]]), torch.tensor([[True] * 3, [True, True, False]])
            encoder(ids, mask).square().sum().backward()
            assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("kind", "pooling"), [("roberta", "pooler"), ("bert", "cls"), ("gpt2", "last"), ("gpt2", "mean")]
)
def test_a_text_without_tokens_is_zero_and_harms_no_gradient(folders, kind: str, pooling: str) -> None:
    encoder = load_text_encoder(str(folders[kind]), pooling=pooling).train()
    ids = torch.tensor([[4, 5, 6], [0, 0, 0]])
    mask = torch.tensor([[True] * 3, [False] * 3])
    out = encoder(ids, mask)
    assert not out[1].any() and out[0].any()
    out.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters())


def test_the_id_changes_with_weights_tokenizer_pooling_and_limit(folders, tmp_path: Path) -> None:
    base = load_text_encoder(str(folders["roberta"]))
    copy = shutil.copytree(folders["roberta"], tmp_path / "tiny-roberta")
    assert load_text_encoder(str(copy)).id == base.id  # the same files elsewhere are the same encoder
    other = write_encoder(tmp_path / "b" / "tiny-roberta", "roberta", seed=1)
    ids = {base.id, load_text_encoder(str(other)).id, load_text_encoder(str(copy), pooling="cls").id,
           load_text_encoder(str(copy), max_tokens=8).id}  # fmt: skip
    about = json.loads((copy / "tokenizer.json").read_text())
    vocabulary = about["model"]["vocab"]
    vocabulary["yes"], vocabulary["no"] = vocabulary["no"], vocabulary["yes"]
    (copy / "tokenizer.json").write_text(json.dumps(about))
    ids.add(load_text_encoder(str(copy)).id)
    assert len(ids) == 5


def test_weights_are_not_loaded_behind_another_tokenizer(folders, tmp_path: Path) -> None:
    state = load_text_encoder(str(folders["roberta"])).state_dict()
    other = write_encoder(tmp_path / "other", "roberta", words=[*"abcdefghijklmnopqrs", "yes"][:19])
    with pytest.raises(WeightError, match="another tokenizer"):
        load_text_encoder(str(other), weights=False).load_state_dict(state)


def test_what_cannot_be_used_is_said_plainly(folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightError, match=r"not on this machine.*hf download some/encoder"):
        find_text_source("some/encoder")
    with pytest.raises(ConfigError, match="there are pooler"):
        load_text_encoder(str(folders["bert"]), pooling="max")  # ty: ignore[invalid-argument-type]
    for kind, pooling in (("distilbert", "pooler"), ("gpt2", "cls")):
        with pytest.raises(ConfigError, match=f"pooling={pooling}"):
            load_text_encoder(str(folders[kind]), pooling=pooling)
    pickled = shutil.copytree(folders["bert"], tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(WeightError, match="pickle"):
        load_text_encoder(str(pickled))
    cut = shutil.copytree(folders["bert"], tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:500])
    with pytest.raises(WeightError, match="cannot be read"):
        load_text_encoder(str(cut))
    code = shutil.copytree(folders["bert"], tmp_path / "code")
    about = json.loads((code / "config.json").read_text())
    (code / "ran.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    about |= {"model_type": "unheard_of", "auto_map": {"AutoConfig": "ran.X", "AutoModel": "ran.Y"}}
    (code / "config.json").write_text(json.dumps(about))
    with pytest.raises(WeightError):
        load_text_encoder(str(code))
    assert not (tmp_path / "ran").exists()
    bare = shutil.copytree(folders["bert"], tmp_path / "bare")
    (bare / "tokenizer.json").unlink()
    with pytest.raises(WeightError, match="no tokenizer"):
        load_text_encoder(str(bare))


def test_a_name_is_looked_up_in_hugging_faces_cache(folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--some--encoder" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(folders["bert"], snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    encoder = load_text_encoder("some/encoder")
    assert encoder.name == "some/encoder"
    np.testing.assert_array_equal(encoder.encode(TEXTS), load_text_encoder(str(folders["bert"])).encode(TEXTS))
    with pytest.raises(WeightError, match="another/encoder"):
        load_text_encoder("another/encoder")


def test_a_pooler_without_weights_is_only_for_training(folders, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["roberta"], tmp_path / "headless")
    state = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("pooler.")}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightError, match="pooler"):
        load_text_encoder(str(folder), pooling="pooler")
    assert load_text_encoder(str(folder), pooling="pooler", training=True).encode(["yes"]).shape == (1, 16)
    np.testing.assert_allclose(
        load_text_encoder(str(folder)).encode(["yes"]), load_text_encoder(str(folders["roberta"])).encode(["yes"])
    )
    state.pop("encoder.layer.1.output.dense.weight")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightError, match=r"no weights for encoder\.layer\.1"):
        load_text_encoder(str(folder))


def test_minilm_by_name_equals_merkits_own(weights) -> None:
    from merkit.networks.minilm import load_minilm

    weights("minilm-l6")
    encoder = load_text_encoder("minilm")
    assert isinstance(encoder, TextEncoder) and encoder.tokeniser.limit == 256
    texts = ["Good morning!", "I can't believe you did that. How could you?", "word " * 300]
    expected = [states[:, 0].mean(0).numpy() for states in load_minilm().token_states(texts)]
    np.testing.assert_allclose(encoder.encode(texts), np.stack(expected), atol=5e-6)
    assert encoder.tokeniser(texts).cut == [2]


def test_what_is_saved_is_the_same_encoder_by_name(folders, tmp_path: Path) -> None:
    for kind, pooling in (("roberta", "pooler"), ("gpt2", "last")):
        encoder = load_text_encoder(str(folders[kind]), pooling=pooling)
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.mul_(1.1)
        saved = encoder.save(tmp_path / kind)
        again = load_text_encoder(str(saved), pooling=pooling)
        np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
        assert (
            np.abs(again.encode(TEXTS) - load_text_encoder(str(folders[kind]), pooling=pooling).encode(TEXTS)).max()
            > 0.01
        )
        with pytest.raises(WeightError, match="there already"):
            encoder.save(tmp_path / kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpt2", "roberta"]
