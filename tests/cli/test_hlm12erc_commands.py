"""HLM12ERC through the commands a user types: a small copy of MELD with bad clips, trained on, judged, answered for, exported."""

import csv
import json
from functools import partial

import numpy as np
import pytest
import torch
from tiny_encoders import write_encoder
from tiny_sights_and_sounds import write_image_encoder, write_speech_encoder
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.corpora import clip_table, read_manifest
from merkit.errors import ConfigError
from merkit.export import MerkitModel, MerkitProcessor
from merkit.features import FeatureStore, sources
from merkit.features.frame_layout import FrameLayout
from merkit.labels import EKMAN7
from merkit.media import probe, read_clip
from merkit.training.run import Run
from tests.made import write_clip
from tests.meld_tree import CORRUPT, MISSING, SOUND_ONLY, SPEAKERS, colour_of, tone_of, write_meld

SIZE = ("--height", 18, "--width", 32, "--frames", 3)


def merkit(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def _in_this_process():
    """The same chunks without a child process for each; that it is used is tested with `merkit extract`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, function in (("read_clip", read_clip), ("probe", probe)):
            patch.setattr(sources, name, partial(function, isolate=False))
        yield


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("hlm12erc")


@pytest.fixture(scope="module")
def prepared(work):
    root = write_meld(work / "MELD", dialogues=(3, 1, 1))
    made = json.loads(
        merkit("prepare", "meld", "--root", root, "--out", work / "out", "--media", *SIZE, "--workers", 1, "--json")
    )
    assert made["splits"] == {"train": 25, "valid": 7, "test": 7}
    assert made["run"]["frames"] == {"done": 36, "as_before": 0, "lost": 1}
    assert made["run"]["features"] == {"done": 37, "as_before": 0, "lost": 1}
    return work / "out"


def test_every_bad_clip_is_told_and_keeps_its_words(prepared):
    with (prepared / "rejected.csv").open() as file:
        told = {row["item"]: (row["left_out"], row["reason"]) for row in csv.DictReader(file)}
    assert set(told) == {CORRUPT, MISSING, SOUND_ONLY}
    assert told[CORRUPT][0] == "speech, scene" and "not readable as video" in told[CORRUPT][1]
    assert told[MISSING][0] == "face, scene, speech" and "no such file" in told[MISSING][1]
    assert told[SOUND_ONLY][0] == "face, scene"
    manifest = read_manifest(prepared)
    clips = {clip.id: clip for clip in manifest.clips}
    for name, kept in ((CORRUPT, {"face", "text"}), (MISSING, {"text"}), (SOUND_ONLY, {"speech", "text"})):
        assert {stream.modality for stream in clips[name].streams} == kept
        assert clips[name].targets and clips[name].context


def test_what_is_stored_is_what_was_seen_and_heard(prepared):
    manifest = read_manifest(prepared)
    frames, sound = FeatureStore.open(prepared / "frames"), FeatureStore.open(prepared / "features")
    table = clip_table(manifest, frames, ["scene"])
    layout = FrameLayout.of(table.provenance["scene"].source, table.streams["scene"].width)
    assert layout == FrameLayout(18, 32) and frames.dtype == np.uint8 and sound.dtype == np.float16
    seen = 0
    for clip in manifest.clips:
        label = EKMAN7.labels[int(clip.targets[0].value)]
        pictures = frames.read(clip.id, "scene") if clip.id in frames.clips else None
        if pictures is not None:
            want = [colour_of(label, share) for share in (0.0, 5 / 9, 1.0)]  # of ten frames, the first, sixth and last
            near = [colour_of(label, share) for share in (0.0, 4 / 9, 1.0)]
            got = layout.pictures(pictures.x).mean((1, 2))
            assert min(np.abs(got - want).max(), np.abs(got - near).max()) < 12, (clip.id, got, want)
            seen += 1
        if clip.id not in (CORRUPT, MISSING):
            wave = sound.read(clip.id, "speech").x.astype(np.float32).ravel()[:8000]
            pitch = np.abs(np.fft.rfft(wave)).argmax() * 16_000 / len(wave)
            assert pitch == pytest.approx(tone_of(label), rel=0.02)
    assert seen == 36


def test_a_run_goes_on_where_it_was(work, prepared):
    with pytest.raises(ConfigError, match="holds a manifest already; --force goes over it again"):
        merkit("prepare", "meld", "--root", work / "MELD", "--out", prepared, "--media", *SIZE)
    said = merkit(
        "prepare", "meld", "--root", work / "MELD", "--out", prepared, "--media", *SIZE, "--force", "--workers", 1
    )
    assert f"next:  merkit train hlm12erc data.root={prepared}" in said and "39 clips, 0 left out, 3 in part" in said
    assert read_manifest(prepared).facts["run"]["frames"] == {"done": 0, "as_before": 36, "lost": 1}


@pytest.fixture(scope="module")
def trained(work, prepared):
    words = sorted({word for text in clip_table(read_manifest(prepared)).texts for word in str(text).split()})
    encoders = {
        "text": write_encoder(work / "gpt2", "gpt2", positions=96, words=[*words, *SPEAKERS, ":"]),
        "speech": write_speech_encoder(work / "wav2vec2"),
        "scene": write_image_encoder(work / "resnet", "resnet"),
    }
    merkit(
        "train", "hlm12erc", f"data.root={prepared}", *(f"{name}.encoder={folder}" for name, folder in encoders.items()),
        "text.template=light", "speech.max_s=0.3", "scene.frames=3", "fusion=multi_headed_attn", "fusion_width=12",
        "fusion_heads=2", "modality_dropout=0.1", "optim.lr=0.01", "trainer.batch_size=9", "trainer.max_epochs=10",
        "trainer.accelerator=cpu", "--out", work / "run", "--json",
    )  # fmt: skip
    return work / "run"


def test_train_evaluate_predict(prepared, trained, work):
    run = Run(trained)
    assert sorted(run.record["modalities"]) == ["scene", "speech", "text"]
    found = json.loads(merkit("evaluate", trained, "--split", "test", "--json"))[-1]["measures"]
    # every class has words, a tone and a colour of its own; guessing is right in one of seven
    assert found["emotion.accuracy"][0] >= 0.5
    answers = json.loads(merkit("predict", trained, "--root", prepared, "--json", "--out", work / "said"))
    assert len(answers["clips"]) == 39, "clips that lost their video are answered for from their words"
    # a clip of somebody's own, of no dialogue, by a run that was trained on dialogues
    own = work / "own.csv"
    own.write_text("path,text\nMELD/train_splits/dia0_utt3.mp4,yes good day .\n")
    merkit("prepare", own, "--out", work / "own", "--for", "hlm12erc", *SIZE)
    (one,) = json.loads(merkit("predict", trained, "--root", work / "own", "--json", "--out", work / "said"))["clips"]
    assert one["clip"].endswith("dia0_utt3")


def test_export_and_reload_in_another_process(trained, work):
    made = json.loads(merkit("export", trained, "--to", "hf", "--out", work / "hf", "--json"))
    assert (work / "hf" / "config.json").is_file()
    parity = made["parity"]
    # another process loads it; clips of the valid split, with each modality missing in turn
    assert parity["difference"] <= 1e-6 and parity["clips"] >= 7 and not parity["made_clips"]
    # plain words through processor and model: what `merkit predict` answers, speaker and template included
    said, who = ["yes good day .", "no bad it ."], ["Ross", "Monica"]
    model, processor = MerkitModel.from_pretrained(work / "hf"), MerkitProcessor.from_pretrained(work / "hf")
    with torch.no_grad():
        found = model(
            **processor([{"text": words, "speaker": name} for words, name in zip(said, who, strict=True)])
        ).probs
    asked = [word for words, name in zip(said, who, strict=True) for word in ("--text", words, "--speaker", name)]
    clips = json.loads(merkit("predict", trained, *asked, "--json"))["clips"]
    wanted = [list(clip["answers"]["emotion"].values()) for clip in clips]
    np.testing.assert_allclose(found["emotion"].numpy(), wanted, atol=1e-5)


def test_clips_of_your_own(tmp_path):
    write_clip(tmp_path / "a.mp4", seconds=0.4, fps=10, size=(48, 48), rate=16_000, colour=lambda t: (200, 10, 10))
    write_clip(tmp_path / "b.wav", seconds=0.4, video=False, audio_codec="pcm_s16le", rate=16_000)
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:00,300\nHello there\n")
    (tmp_path / "clips.csv").write_text("path,text_path,text,label\na.mp4,a.srt,,joy\nb.wav,,Well,fear\n")
    out = tmp_path / "out"
    said = merkit(
        "prepare", tmp_path / "clips.csv", "--out", out, "--for", "hlm12erc", "--mosaic", *SIZE, "--most-seconds", 0.2
    )
    assert "next:  merkit train hlm12erc" in said
    table = clip_table(read_manifest(out), FeatureStore.open(out / "features"))
    assert table.texts.tolist() == ["Hello there", "Well"], "words of files stand in the manifest"
    assert table.streams["speech"].lengths.tolist() == [10, 10]
    mosaic = FeatureStore.open(out / "frames").read("a", "scene").x.reshape(54, 32, 3)
    assert mosaic[:, 7:25, 0].min() > 150 and not mosaic[:, :7].any() and not mosaic[:, 25:].any()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("meld",), "--root is needed"),
        (("none.csv", "--for", "hlm12erc"), "no such table"),
        (("meld", "--root", ".", "--media", "--faces", "hands"), "faces"),
        (("meld", "--root", ".", "--media", "--mosaic", "--fps", 2), "a mosaic is of one size"),
        (("ravdess", "--for", "hlm12erc", "--kaggle", "a/b"), "are for meld"),
        (("meld", "--root", "s3://a/b", "--kaggle", "a/b"), "give --root a folder"),
        (("meld", "--root", ".", "--labels", "ekman7"), "has its own labels"),
    ],
)
def test_what_cannot_be_meant(tmp_path, monkeypatch, words, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=reason):
        merkit("prepare", *words, "--out", "o")
    assert not (tmp_path / "o").exists(), "nothing is begun"


def test_no_room_is_told_before_anything_is_decoded(tmp_path, monkeypatch):
    from merkit.corpora.meld import prepare

    write_clip(tmp_path / "a.mp4", seconds=0.2, fps=10)
    (tmp_path / "clips.csv").write_text("path\na.mp4\n")
    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1 << 20}))
    with pytest.raises(ConfigError, match=r"pictures of 1 clips take 0\.0 GB.*smaller --height"):
        merkit("prepare", tmp_path / "clips.csv", "--out", tmp_path / "o", "--for", "hlm12erc")
    assert not (tmp_path / "o" / "frames").exists()
