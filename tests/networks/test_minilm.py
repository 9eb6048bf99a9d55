"""MiniLM against transformers' BertModel: with random weights always, with the real ones where they can be had."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from merkit.errors import WeightError
from merkit.networks import minilm, minilm_emotions
from merkit.networks.checkpoint import adopt
from merkit.networks.minilm import MiniLM, _renamed, batches_by_length, load_minilm
from merkit.networks.text_pretrained import load_text_encoder
from merkit.weights import locate
from merkit.weights.shipped import shipped_network, shipped_sha256

GOLDEN = Path(__file__).parent / "golden" / "minilm.npz"
TEXTS = [
    "Good morning!",
    "I can't believe you did that. How could you?",
    "",
    "Kids are talking by the door.",
    "word " * 300,
]


def test_every_layer_equals_bert_on_random_weights():
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, layer_norm_eps=1e-12
    )
    theirs = BertModel(config, add_pooling_layer=False).eval()
    ours = adopt(MiniLM(), _renamed(theirs.state_dict(), Path("random")), Path("random"))
    ids = torch.randint(1000, 20000, (3, 17))
    mask = torch.arange(17) < torch.tensor([[17], [9], [3]])
    with torch.no_grad():
        expected = theirs(ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        found = ours(ids, mask, layers=range(7))
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a[mask], b[mask], atol=2e-5, rtol=1e-4)


def test_sentences_and_states_equal_the_original(weights):
    weights("minilm-l6")
    golden, net = np.load(GOLDEN), load_minilm()
    np.testing.assert_allclose(net.sentences(TEXTS), golden["sentences"], atol=2e-6)
    states = net.token_states(TEXTS, layers=(0, 3, 6))
    np.testing.assert_allclose(states[1][..., ::8], golden["states"], atol=2e-5)
    assert [len(s) for s in states] == [5, 15, 2, 9, 256]


def test_company_and_order_do_not_change_a_text(weights):
    weights("minilm-l6")
    net = load_minilm()
    texts = [f"{'very ' * (i % 7)}good, number {i}" for i in range(40)]
    together = net.sentences(texts)
    torch.testing.assert_close(together, net.sentences(texts[::-1]).flip(0), atol=2e-6, rtol=0)
    torch.testing.assert_close(together[11], net.sentences([texts[11]])[0], atol=2e-6, rtol=0)


def test_bfloat16_stays_close(weights):
    weights("minilm-l6")
    exact, rounded = load_minilm().sentences(TEXTS), load_minilm(torch.bfloat16).sentences(TEXTS)
    assert (exact * rounded).sum(-1).min() > 0.999


def test_nothing_to_encode():
    assert MiniLM().sentences([]).shape == (0, 384)


def test_without_a_tokenizer_texts_are_refused():
    with pytest.raises(ValueError, match="no tokenizer"):
        MiniLM().tokenize(["a"])


def test_batches_cover_all_and_bound_the_padding():
    lengths = np.random.default_rng(0).integers(2, 257, 500).tolist()
    batches = batches_by_length(lengths)
    assert sorted(i for batch in batches for i in batch) == list(range(500))
    computed = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    assert computed < 1.06 * sum(lengths)
    assert all(len(batch) * max(lengths[i] for i in batch) <= 2048 for batch in batches)


def test_tuned_layers_that_were_changed_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(minilm, "shipped_network", partial(shipped_network, folder=tmp_path))
    with pytest.raises(WeightError, match="missing: reinstall"):
        shipped_sha256("text-net", tmp_path)
    (tmp_path / "text-net.sha256").write_text("0" * 64 + "\n")
    with pytest.raises(WeightError, match="missing: reinstall"):
        minilm.tuned_layers()
    (tmp_path / "text-net.safetensors").write_bytes(b"something")
    with pytest.raises(WeightError, match="not the file that was shipped"):
        minilm.tuned_layers()


def test_minilm_with_tuned_layers_is_an_encoder_by_name(weights, tmp_path, monkeypatch):
    weights("minilm-l6")
    source = locate("minilm-l6")
    monkeypatch.setattr(minilm_emotions, "locate", lambda name: tmp_path / "cache" / "minilm-l6")
    shutil.copytree(source, tmp_path / "cache" / "minilm-l6")
    encoder = load_text_encoder("minilm-emotions")
    texts = [text for text in TEXTS if text]
    want = np.stack([own[:, 0].mean(0).numpy() for own in load_minilm(tuned=True).token_states(texts)])
    np.testing.assert_allclose(encoder.encode(texts), want, atol=2e-5)
    assert np.abs(want - load_text_encoder("minilm").encode(texts)).max() > 0.1
    assert encoder.tokeniser.limit == 256 and encoder.name == "minilm-emotions"
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if "emotions" in path.name)
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    load_text_encoder("minilm-emotions")
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp, "made once"
    assert {path.name for path in folder.iterdir()} >= {"config.json", "tokenizer.json"}
