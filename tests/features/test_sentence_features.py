"""Text features by name: what is remembered, what utterances are read with, and what tuned copies still say."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tiny_encoders import write_encoder

from merkit.atomic import replacing
from merkit.corpora.utterances import Said
from merkit.errors import ConfigError, WeightError
from merkit.features.kept_vectors import KeptVectors
from merkit.features.sentences import SentenceEncoder, save_fold, sentence_encoder, text_key
from merkit.networks.minilm import MiniLM

SAID = [
    Said("a", 0.0, 1.0, "yes no"),
    Said("b", 0.0, 1.0, "bad day"),
    Said("a", 1.0, 2.0, "the film"),
    Said("a", 2.0, 3.0, " "),
    Said("b", 2.0, 3.0, "the film"),
]


class Counting:
    """Length of a text and its place among what was asked, so that every mix-up shows."""

    id, width, fitted_on = "counting:1", 2, ()

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, texts):
        self.asked.append(list(texts))
        return np.array([[len(text), ord(text[0])] for text in texts], np.float32)

    def encode_joined(self, groups):
        self.asked.append([text for group in groups for text in group])
        return [np.array([[len(text), len(group)] for text in group], np.float32) for group in groups]


def test_a_text_is_read_once_by_any_process_and_in_any_company(tmp_path: Path) -> None:
    reader = Counting()
    first = SentenceEncoder(reader, cache=tmp_path)
    found = first(["bb", "a", "", "bb", " "])
    assert found.tolist() == [[2, 98], [1, 97], [0, 0], [2, 98], [0, 0]]
    again = SentenceEncoder(reader, cache=tmp_path)
    assert again(["ccc", "a"]).tolist() == [[3, 99], [1, 97]] and again(["bb"]).tolist() == [[2, 98]]
    assert sorted(text for texts in reader.asked for text in texts) == ["a", "bb", "ccc"]


def test_another_encoder_remembers_apart(tmp_path: Path) -> None:
    reader, other = Counting(), Counting()
    other.id = "counting:2"
    SentenceEncoder(reader, cache=tmp_path)(["a"])
    SentenceEncoder(other, cache=tmp_path)(["a"])
    assert other.asked == [["a"]]


def test_an_interrupted_encoding_keeps_what_it_had(tmp_path: Path) -> None:
    class Stopping(Counting):
        def encode(self, texts):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().encode(texts)

    texts = [f"text {i}" for i in range(3000)]
    with pytest.raises(KeyboardInterrupt):
        SentenceEncoder(Stopping(), cache=tmp_path)(texts)
    reader = Counting()
    found = SentenceEncoder(reader, cache=tmp_path)(texts)
    assert sum(map(len, reader.asked)) == 3000 - 2 * 1024
    assert found[:, 0].tolist() == [len(text) for text in texts]


def test_damaged_and_foreign_files_are_read_anew_not_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = KeptVectors(tmp_path, 2)
    kept.put(["a"], np.ones((1, 2)))
    kept.put(["b"], np.ones((1, 2)))
    damaged, whole = sorted(tmp_path.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-3])
    known = KeptVectors(tmp_path, 2).get(["a", "b"])
    assert len(known) == 1 and "encoded anew" in caplog.text
    assert KeptVectors(tmp_path, 3).get(["a", "b"]) == {}  # of another width
    assert load_file(whole)["keys"].shape == (1, 16)


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    KeptVectors(tmp_path, 2).put(["a"], np.ones((1, 2)))
    with replacing(tmp_path / "more.safetensors") as temporary:
        temporary.write_bytes(b"half of")
        assert KeptVectors(tmp_path, 2).get(["a", "b"]).keys() == {0}
    assert not caplog.records


def test_a_folder_that_cannot_be_written_costs_the_memory_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    encoder = SentenceEncoder(Counting(), cache=tmp_path / "file")
    assert encoder(["a"]).tolist() == [[1, 97]] and encoder(["a"]).tolist() == [[1, 97]]
    assert "not kept" in caplog.text


def test_utterances_are_read_alone_or_with_their_clip(tmp_path: Path) -> None:
    reader = Counting()
    encoder = SentenceEncoder(reader, cache=tmp_path)
    alone = encoder.per_utterance(SAID)
    assert alone[:, 0].tolist() == [6, 7, 8, 0, 8]
    joined = encoder.per_utterance(SAID, "concat")
    assert joined[:, 1].tolist() == [3, 2, 3, 3, 2]  # utterances of the clip
    asked = len(reader.asked)
    again = SentenceEncoder(reader, cache=tmp_path).per_utterance(SAID[::-1], "concat")
    assert len(reader.asked) == asked + 1  # another order is another scene
    assert again.shape == (5, 2)
    np.testing.assert_array_equal(SentenceEncoder(reader, cache=tmp_path).per_utterance(SAID, "concat"), joined)
    assert len(reader.asked) == asked + 1
    with pytest.raises(ConfigError, match="independent or concat"):
        encoder.per_utterance(SAID, "whole")  # ty: ignore[invalid-argument-type]
    assert encoder.per_utterance([], "concat").shape == (0, 2)


def test_a_folder_by_name_with_its_pooling(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "tiny", "bert")
    mean, pooler = (sentence_encoder(name, cache=tmp_path / "kept") for name in (str(folder), f"{folder}:pooler"))
    from transformers import AutoModel, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)("bad day", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        out = AutoModel.from_pretrained(folder).eval()(input_ids=ids)
    np.testing.assert_allclose(mean(["bad day"])[0], out.last_hidden_state[0].mean(0), atol=2e-6)
    np.testing.assert_allclose(pooler(["bad day"])[0], out.pooler_output[0], atol=2e-6)
    assert mean.fitted_on == () and mean.id != pooler.id
    joined = mean.per_utterance(SAID, "concat")
    assert np.abs(joined[2] - joined[4]).max() > 1e-3  # the same words after others
    np.testing.assert_array_equal(mean.per_utterance(SAID)[2], mean.per_utterance(SAID)[4])


def test_folders_that_hold_no_finished_run_are_refused(tmp_path: Path) -> None:
    def run(name: str, system: str = "text_encoder", status: str = "finished") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"system": system, "config": {}}))
        (folder / "record.json").write_text(json.dumps({"status": status}))
        return folder

    with pytest.raises(WeightError, match="a run of 'fusion'"):
        sentence_encoder(str(run("fusion", "fusion")))
    with pytest.raises(WeightError, match="not finished"):
        sentence_encoder(str(run("running", status="running")))
    several = run("several", status="seeds")
    (several / "seed-0").mkdir()
    with pytest.raises(WeightError, match="seed-0"):
        sentence_encoder(str(several))
    broken = run("broken")
    (broken / "record.json").write_text("{")
    with pytest.raises(WeightError, match="not readable"):
        sentence_encoder(str(broken))


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two copies of an untrained MiniLM, each with one fold left out, whose answer is its number."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"yes": 5, "no": 6, "?": 7}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    net = MiniLM(made)
    monkeypatch.setattr("merkit.features.tuned_copies.load_minilm", lambda: net)
    folds = []
    for fold in (0, 1):
        head = torch.nn.Linear(384, 1)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.constant_(head.bias, fold + 1)
        sha256 = save_fold(net, head, tmp_path / f"fold-{fold}.safetensors")
        folds.append({"fold": fold, "file": f"fold-{fold}.safetensors", "sha256": sha256})
    card = {"corpus": "made", "tuned_on": ["train"], "answers": ["n"], "folds": folds,
            "fold_of": {text_key("yes"): 0, text_key("no"): 1}}  # fmt: skip
    (tmp_path / "encoder.json").write_text(json.dumps(card))
    return tmp_path


def test_tuned_copies_answer_for_what_they_did_not_see(copies: Path) -> None:
    encoder = sentence_encoder(str(copies))
    assert encoder.fitted_on == ("train",) and encoder.id.startswith("minilm+tuned@")
    # of fold 0 answers the copy that left fold 0 out, of fold 1 the other; of a new text both
    assert encoder(["yes", "no", "yes no", ""]).round(4).tolist() == [[1.0], [2.0], [1.5], [0.0]]
    assert (copies / "said").is_dir()
    with pytest.raises(ConfigError, match="independent"):
        encoder.per_utterance(SAID, "concat")
    (copies / "fold-1.safetensors").write_bytes(b"other")
    with pytest.raises(WeightError, match=r"encoder\.json"):
        SentenceEncoder(encoder._reader, cache=copies / "elsewhere")(["new"])


def test_minilm_by_name_is_what_it_was(weights, tmp_path: Path) -> None:
    from merkit.networks.minilm import load_minilm

    weights("minilm-l6")
    encoder = sentence_encoder("minilm", cache=tmp_path)
    texts = ["Good morning!", "No.", "I can't believe you did that."]
    expected = np.stack([states[:, 0].mean(0).numpy() for states in load_minilm().token_states(texts)])
    np.testing.assert_allclose(encoder(texts), expected, atol=5e-6)
    digest = hashlib.sha256(encoder.id.encode()).hexdigest()[:16]
    assert [path.name for path in tmp_path.iterdir()] == [digest]
