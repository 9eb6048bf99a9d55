"""SSE-FT with encoders that are trained along: what they accept as input, whom units were fitted on, and that they learn."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_encoders import WORDS, write_encoder
from tiny_sights_and_sounds import write_speech_encoder
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.config import override
from merkit.corpora import write_manifest
from merkit.corpora.manifest import Manifest
from merkit.corpora.token_ids import TokenIds, write_token_ids
from merkit.data.batch import collate
from merkit.data.leakage import check_leakage
from merkit.errors import ConfigError, WeightError
from merkit.features import ClipRecord, FeatureStore, Row
from merkit.features.speech_by_name import SpeechEncoderExtractor
from merkit.features.unit_tokens import unit_ids
from merkit.features.units import SpeechUnits
from merkit.features.waveform import FRAME, WaveformExtractor
from merkit.schema import Clip, Stream, Target, TargetSpec
from merkit.systems import find_system, sse_ft

EMOTION = TargetSpec("emotion", "single_label", ("neutral", "anger", "sadness"))
SMALL = (
    "tune_text=''", "target=as_it_is", "data.label_map=''", "data.split.kind=official", "encoder_ffn_embed_dim=16", "dropout=0",
    "pooler_dropout=0", "encoder_attention_heads=0", "unit_width=16", "unit_layers=1", "trainer.accelerator=cpu",
    "trainer.batch_size=12", "trainer.accumulate=1", "optim.schedule=constant", "optim.lr=0.01", "data.allow_leaks=[group]",
)  # fmt: skip
K = 5


def corpus(folder: Path, made_by: str, tokens, count: int = 60, about: dict | None = None) -> Path:
    """Prepared clips with three classes; `tokens(clip, class) -> (T, D)` are their speech. Every clip says a line."""
    folder.mkdir(parents=True)
    (folder / "a.wav").write_bytes(b"")
    split = np.repeat(["train", "valid", "test"], [count - 24, 12, 12])
    clips = []
    store = FeatureStore.create(folder / "features")
    for i in range(count):
        target = Target(EMOTION, np.array(i % 3))
        rng = np.random.default_rng(i)
        line = " ".join(rng.choice(WORDS[:15], 12)) + " " + ["joy", "anger", "calm"][i % 3]
        text = () if about else (Stream("text", None, text=line),)
        streams = (Stream("speech", folder / "a.wav"), *text)
        groups = {"session": str(i % 4), "speaker": str(i % 4)}
        clips.append(Clip(f"c{i}", streams, split=str(split[i]), targets=(target,), groups=groups))
        x = tokens(rng, i % 3).astype(np.float32)
        at = np.arange(len(x)) * 0.02
        rows = [Row("speech", None, made_by, x, at, at + 0.02, np.zeros(len(x), np.int32))]
        words = rng.normal(size=(4, 6)).astype(np.float32)
        rows.append(
            Row("text", None, "text-encoder@0", words, at[:1].repeat(4), at[:1].repeat(4), np.zeros(4, np.int32))
        )
        store.add(ClipRecord(f"c{i}", f"k{i}", f"h{i}", about or {}, tuple(rows)))
    store.finalise()
    write_manifest(Manifest("made", tuple(clips), (EMOTION,), folder), folder)
    return folder


def as_units(rng: np.random.Generator, label: int) -> np.ndarray:
    """The class is which of two units comes first, not how often they come: order must be read."""
    x = rng.permutation([0, 1, 2, 3, 4, 3, 4])
    first = {0: (0, 1), 1: (1, 0), 2: (2, 0)}[label]
    return np.array([*first, *x[: rng.integers(3, 8)]])[:, None]


def as_samples(rng: np.random.Generator, label: int) -> np.ndarray:
    time = np.arange(4 * FRAME) / 16_000
    wave = 0.3 * np.sin(2 * np.pi * (200, 1200, 4000)[label] * time + rng.uniform(0, 6)) + 0.02 * rng.normal(
        size=len(time)
    )
    return wave.reshape(-1, FRAME)[: rng.integers(3, 5)]


def units_of(folder: Path, clips: list[str]) -> SpeechUnits:
    about = {"encoder": "e", "states": "speech-encoder@0", "statistics_on": ["train"], "clips": clips, "corpus": "made"}
    units = SpeechUnits(np.arange(K, dtype=np.float32)[:, None], about)
    units.save(folder)
    return units


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Units of the first twenty clips, all of them for training; and what the store says they are."""
    folder = tmp_path_factory.mktemp("units")
    units = units_of(folder / "units", [f"c{i}" for i in range(20)])
    return corpus(folder / "made", unit_ids(units)[0], as_units)


def config(root: Path, *changes: str, preset: str = "bert_like") -> sse_ft.SSEFTConfig:
    made = find_system("sse_ft").presets[preset]()
    return override(made, [*SMALL, f"data.root={root}", f"speech_units={K}", *changes])


def trained(chosen: sse_ft.SSEFTConfig, tmp_path: Path) -> dict:
    (tmp_path / "config.json").write_text(json.dumps({"system": "sse_ft", "config": chosen.to_dict()}))
    run = tmp_path / "run"
    for words in (
        ("train", "sse_ft", "--config", tmp_path / "config.json", "--out", run, "--json"),
        ("evaluate", run, "--split", "valid", "--json"),
        ("predict", run, "--root", chosen.data.root, "--json"),
    ):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output + str(done.exception or "")
        if words[0] == "evaluate":
            found = json.loads(done.stdout)[-1]["measures"]
    return {name: values[0] for name, values in found.items()}


def test_the_small_bert_learns_from_the_order_of_units(prepared, tmp_path):
    """Text is noise in this corpus, units alone say the class, and counting them would not do."""
    chosen = config(prepared, f"units={prepared.parent / 'units'}", "trainer.max_epochs=25", "optim.lr=0.003")
    assert trained(chosen, tmp_path)["emotion.accuracy"] > 0.7
    # a second run over the same units begins where this one ended
    again = override(chosen, [f"unit_weights={tmp_path / 'run'}"])
    table = sse_ft.load(again)
    begun = sse_ft.plan(again, table).model.encoders["speech"].state_dict()
    from safetensors.torch import load_file

    ended = load_file(tmp_path / "run" / "model.safetensors")
    assert all(np.array_equal(ended[f"encoders.speech.{name}"], value) for name, value in begun.items())


def test_units_are_flagged_where_another_division_judges_what_they_were_fitted_on(prepared):
    units = f"units={prepared.parent / 'units'}"
    table = sse_ft.load(config(prepared, units))
    assert table.provenance["speech"].statistics_on == ("train",)
    assert not [each for each in check_leakage(table).findings if each.kind == "statistics"]
    folds = ("data.split.kind=group_fold", "data.split.by=session", "data.split.fold=1")
    table = sse_ft.load(config(prepared, units, *folds))
    assert table.provenance["speech"].statistics_on == ("test", "train", "valid")
    (finding,) = [each for each in check_leakage(table).findings if each.kind == "statistics"]
    assert finding.splits == ("valid", "test") and "speech" in finding.explanation
    # nothing is known where the folder is not named
    assert sse_ft.load(config(prepared, *folds)).provenance["speech"].statistics_on == ()


def test_what_is_not_units_is_refused(prepared, tmp_path):
    def said(*changes: str) -> str:
        with pytest.raises((ConfigError, WeightError)) as caught:
            sse_ft.load(config(prepared, *changes))
        return str(caught.value)

    folder = prepared.parent / "units"
    assert "goes from 0 to 4" in said("speech_units=4")
    assert f"{folder} has 5" in said("speech_units=6", f"units={folder}")
    assert "no speech units" in said(f"units={tmp_path}")
    other = units_of(tmp_path / "other", [])
    replace(other, about={**other.about, "states": "speech-encoder@1"}).save(tmp_path / "other")
    assert "not of them" in said(f"units={tmp_path / 'other'}")
    assert "take one of them" in said("tune_speech=x")
    assert "not samples" in said("speech_units=0", "tune_speech=x", "cls={text: first, speech: mean}")
    assert "say how many" in said("speech_units=0", "speech_ids=true")
    states = corpus(tmp_path / "states", "speech-encoder@0", lambda rng, _: rng.normal(size=(3, 4)))
    with pytest.raises(ConfigError, match="4 wide, not ids"):
        sse_ft.load(config(states))
    # a folder that has gone does not keep a finished run from answering
    gone = config(prepared, f"units={tmp_path / 'gone'}")
    assert len(sse_ft.load(gone, split="valid")) == 12


def test_a_class_token_has_to_be_one(prepared, tmp_path):
    features = ("speech_units=0",)
    with pytest.raises(ConfigError, match="first token alone"):
        sse_ft.load(config(prepared, *features))
    assert len(sse_ft.load(config(prepared, *features, "cls={text: first, speech: mean}"))) == 60
    assert len(sse_ft.load(config(prepared, *features), split="valid")) == 12
    said = [{"text": "yes"}, {"text": None}, {"text": "no"}]
    several = corpus(tmp_path / "several", "s@0", lambda rng, _: rng.normal(size=(1, 1)), about={"segments": said})
    chosen = ("t_only=true", "a_only=false", "speech_units=0")
    with pytest.raises(ConfigError, match="60 clips say several lines"):
        sse_ft.load(config(several, *chosen))
    assert len(sse_ft.load(config(several, *chosen, "cls={text: mean}"))) == 60
    one = corpus(tmp_path / "one", "s@0", lambda rng, _: rng.normal(size=(1, 1)), about={"segments": said[:2]})
    assert len(sse_ft.load(config(one, *chosen))) == 60


def test_published_ids_are_read_as_units(prepared, tmp_path):
    """No store at all: words and sounds are what the lists say."""
    words = write_encoder(tmp_path / "words")
    folder = tmp_path / "lists"
    clips = [Clip(f"c{i}", (Stream("text", None, text=f"{' '.join(WORDS[i : i + 4])} film"),), split=split,
                  targets=(Target(EMOTION, np.array(i % 3)),))
             for i, split in enumerate(["train"] * 6 + ["valid"] * 3)]  # fmt: skip
    write_manifest(Manifest("lists", tuple(clips), (EMOTION,), tmp_path), folder)
    ids = [TokenIds(f"c{i}", "speech", (0, 4 + i, 4, 2)) for i in range(8)]
    write_token_ids([*ids, TokenIds("c8", "text", (0, 99, 2))], folder)
    chosen = config(folder, "speech_units=12", "speech_ids=true", f"tune_text={words}")
    table = sse_ft.load(chosen)
    assert list(table.streams) == ["text", "speech"]
    speech = table.streams["speech"]
    np.testing.assert_array_equal(speech.x[:8].ravel(), [0, 4, 4, 2, 0, 5, 4, 2])
    assert speech.clip.tolist() == list(range(8))
    made = sse_ft.plan(chosen, table)
    assert made.model(collate(table, np.arange(9), modalities=made.modalities))["emotion"].shape == (9, 3)
    with pytest.raises(ConfigError, match="goes from 0 to 11"):
        sse_ft.load(override(chosen, ["speech_units=11"]))


def test_both_encoders_are_tuned_together(tmp_path):
    """The class is the pitch of a tone and the last word; encoders begin with random weights and both of them move."""
    sound = write_speech_encoder(tmp_path / "sound", norm="layer")
    words = write_encoder(tmp_path / "words")
    root = corpus(tmp_path / "made", WaveformExtractor().id, as_samples)
    chosen = config(
        root, "speech_units=0", f"tune_speech={sound}", f"tune_text={words}", "freeze_speech_layers=1", "freeze_layers=1",
        "cls={text: first, speech: mean}", "trainer.max_epochs=12",
    )  # fmt: skip
    assert trained(chosen, tmp_path)["emotion.accuracy"] > 0.7
    from safetensors.torch import load_file

    begun = sse_ft.plan(chosen, sse_ft.load(chosen)).model.state_dict()
    ended = load_file(tmp_path / "run" / "model.safetensors")
    moved = {name for name, value in begun.items() if not np.array_equal(ended[name], value)}
    front = {
        "text": "encoders.text.encoder.backbone.encoder.layer.",
        "speech": "encoders.speech.encoder.backbone.encoder.layers.",
    }
    for name in front.values():
        assert {int(key[len(name)]) for key in moved if key.startswith(name)} == ({1} if "text" in name else {1, 2})
    assert not any("feature_extractor" in name or "embeddings" in name for name in moved)


def test_units_of_a_fold_are_fitted_on_its_training_clips(tmp_path):
    """`merkit units --by session --fold 1`: what the manifest calls train is passed over."""
    sound = write_speech_encoder(tmp_path / "sound")
    made_by = SpeechEncoderExtractor(str(sound), layer=2).id
    root = corpus(tmp_path / "made", made_by, lambda rng, _: rng.normal(size=(9, 16)))
    said = ["units", root, "--states", root / "features", "--encoder", f"{sound}:2", "--units", K, "--out", tmp_path / "u",
            "--by", "session", "--fold", 1, "--store", tmp_path / "tokens"]  # fmt: skip
    done = CliRunner().invoke(app, [str(word) for word in said])
    assert done.exit_code == 0, done.output + str(done.exception or "")
    assert sorted(SpeechUnits.load(tmp_path / "u").about["clips"]) == sorted(
        f"c{i}" for i in range(60) if i % 4 in (0, 3)
    )
    folds = (
        "data.split.kind=group_fold",
        "data.split.by=session",
        f"units={tmp_path / 'u'}",
        f"data.store={tmp_path / 'tokens'}",
    )
    for fold, fitted in ((1, ("train",)), (2, ("train", "valid"))):
        table = sse_ft.load(config(root, *folds, f"data.split.fold={fold}"))
        assert table.provenance["speech"].statistics_on == fitted
