"""Texts that are read together: whose each token is, with tokenizers of every kind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import KINDS, write_encoder

from merkit.networks.text_pretrained import load_text_encoder
from merkit.networks.text_tokens import Tokeniser


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: write_encoder(root / f"tiny-{kind}", kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_joined_texts_are_the_means_of_their_own_tokens(folders, kind: str) -> None:
    """Two texts as one, by hand."""
    from transformers import AutoModel, AutoTokenizer

    encoder = load_text_encoder(str(folders[kind]))
    first, second = "yes no", "the film ."
    found, alone = encoder.encode_joined([[first, " ", second], [second]])
    tokenizer = AutoTokenizer.from_pretrained(folders[kind])
    model = AutoModel.from_pretrained(folders[kind]).eval()
    ids = tokenizer(f"{first} {second}", return_tensors="pt")["input_ids"]
    front = 0 if kind == "gpt2" else 1
    with torch.no_grad():
        states = model(input_ids=ids).last_hidden_state[0].numpy()
    np.testing.assert_allclose(found[0], states[front : front + 2].mean(0), atol=2e-6)
    np.testing.assert_allclose(found[2], states[front + 2 : front + 5].mean(0), atol=2e-6)
    assert not found[1].any()
    assert np.abs(alone[0] - found[2]).max() > 1e-3  # what was said before is heard


def test_a_long_scene_is_read_in_windows_of_whole_texts(folders) -> None:
    encoder = load_text_encoder(str(folders["bert"]))  # 18 words a window
    texts = ["yes no good bad day"] * 7 + ["joy"] + ["good " * 30]
    windows = encoder.tokeniser.windows(texts)
    assert [sorted(set(w.owner[w.owner >= 0].tolist())) for w in windows] == [[0, 1, 2], [3, 4, 5], [6, 7], [8]]
    assert [len(w.ids) for w in windows] == [17, 17, 8, 20]
    found = encoder.encode_joined([texts])[0]
    np.testing.assert_allclose(found[:3], encoder.encode_joined([texts[:3]])[0], atol=2e-6)
    np.testing.assert_allclose(found[6:8], encoder.encode_joined([texts[6:8]])[0], atol=2e-6)
    assert encoder.encode_joined([[], [""]])[0].shape == (0, 16)


LINES = [
    "I can't believe it!",
    "  Oh, no…  ",
    "",
    "😀 très bien, naïve café",
    "What?! Well -- OK.",
    "non\u00a0breaking",
]


def trained(kind: str, trim: bool = True):
    """A subword tokenizer, trained on the lines themselves."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if kind == "byte-level":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=trim)
        trainer = trainers.BpeTrainer(
            vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )
        made.decoder = decoders.ByteLevel()
    else:
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=80, show_progress=False, unk_token="<unk>", special_tokens=["<unk>"]
        )
        made.decoder = decoders.Metaspace()
    made.train_from_iterator(LINES * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made)


@pytest.mark.parametrize(("kind", "trim"), [("byte-level", True), ("byte-level", False), ("metaspace", True)])
@pytest.mark.parametrize("limit", [400, 24])
def test_every_token_belongs_to_the_text_that_it_spells(kind: str, trim: bool, limit: int) -> None:
    tokeniser = Tokeniser(trained(kind, trim), limit)
    windows = tokeniser.windows(LINES)
    spelt = dict.fromkeys(range(len(LINES)), "")
    for window in windows:
        assert 0 < len(window.ids) <= limit and len(window.owner) == len(window.ids)
        for i in np.unique(window.owner):
            assert not spelt[i]  # no text is cut in two
            spelt[i] = tokeniser.tokenizer.decode(np.array(window.ids)[window.owner == i].tolist())
    whole = {i: len(tokeniser([text]).ids[0]) < limit for i, text in enumerate(LINES)}
    assert sum(whole.values()) >= 5 and (len(windows) == 1) == (limit == 400)
    for i, text in enumerate(LINES):
        if whole[i]:
            assert spelt[i].split() == text.split(), i
