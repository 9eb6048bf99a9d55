"""Encoders by name in the pass over a clip: what the store gets is what a direct call gives, at the times it is made of."""

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import write_encoder
from tiny_sights_and_sounds import write_image_encoder, write_speech_encoder

from merkit.corpora.manifest import Manifest
from merkit.errors import ConfigError, WeightError
from merkit.features import ClipExtraction, FeatureStore, Tools, encoder_by_name, extract_clip, extract_many
from merkit.features.pictures_by_name import FabNetExtractor, FaceEncoderExtractor, SceneEncoderExtractor
from merkit.features.speech_by_name import SpeechEncoderExtractor
from merkit.features.text_by_name import TextEncoderExtractor
from merkit.features.unit_tokens import SpeechUnitsExtractor, write_unit_store
from merkit.features.units import fit_units
from merkit.inference.extraction import extraction_tools
from merkit.media import AudioChunk, VideoChunk, read_clip
from merkit.networks import load_silero
from merkit.networks.fabnet import FabNet, convert_fabnet
from merkit.perception import VoiceActivity
from merkit.schema import Clip, Stream

LINES = ["yes no good", "the film is very bad . it was not good", "joy"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("named")
    torch.save({"state_dict": {f"encoder.{k[7:]}": v for k, v in FabNet().state_dict().items()}}, root / "a.pth")
    return {
        "speech": str(write_speech_encoder(root / "speech", norm="layer")),
        "scene": str(write_image_encoder(root / "vit")),
        "text": str(write_encoder(root / "text")),
        "fabnet": str(convert_fabnet(root / "a.pth", root / "fabnet")),
    }


@pytest.fixture(scope="module")
def voice() -> list:
    """Spans of voice in the demo's sound, found anew."""
    with as_file(files("merkit.demo") / "speech.flac") as path:
        activity, spans = VoiceActivity(load_silero()), []
        for chunk in read_clip(path, video=False):
            if isinstance(chunk, AudioChunk):
                spans += activity.feed(chunk.samples, chunk.start_s)
    return spans + activity.finish()


def spoken(name: str = "talk", split: str = "train", words: str | None = None) -> Clip:
    streams = [Stream("speech", Path(str(files("merkit.demo") / "speech.flac")))]
    if words:
        streams.append(Stream("text", None, text=words))
    return Clip(name, tuple(streams), split=split)


def tools(extractor, **others) -> Tools:
    silero = load_silero()
    return Tools(voice=lambda: VoiceActivity(silero), speech=extractor, **others)


@pytest.mark.parametrize("words", [None, "one line over the whole clip"])
def test_speech_tokens_are_those_of_a_direct_call_at_their_own_times(folders, voice, words) -> None:
    from transformers import AutoFeatureExtractor, AutoModel

    extractor = SpeechEncoderExtractor(folders["speech"], layer=2)
    tokens = extract_clip(spoken(words=words), tools(extractor)).tokens["speech", None]
    model = AutoModel.from_pretrained(folders["speech"]).eval()
    prepare = AutoFeatureExtractor.from_pretrained(folders["speech"])
    x, start_s = [], []
    assert voice
    for span in voice:
        assert span.end_s - span.start_s < 8  # else it is cut
        values = prepare(span.samples, sampling_rate=16_000, return_tensors="pt").input_values
        with torch.no_grad():
            x.append(model(values, output_hidden_states=True).hidden_states[2][0].numpy())
        start_s.append(span.start_s + np.arange(len(x[-1])) * 20 / 16_000)
    np.testing.assert_allclose(tokens.x, np.concatenate(x), atol=1e-4)
    np.testing.assert_allclose(tokens.start_s, np.concatenate(start_s), atol=1e-9)
    np.testing.assert_allclose(tokens.end_s - tokens.start_s, 40 / 16_000, atol=1e-9)


def test_voice_that_is_too_short_for_the_encoder_is_said_to_be(folders) -> None:
    extractor = SpeechEncoderExtractor(folders["speech"])
    assert extractor.least_s == 40 / 16_000 and extractor.rate_hz == 800

    class Patient:
        least_s = 1000.0

        def __getattr__(self, name):
            return getattr(extractor, name)

    features = extract_clip(spoken(), tools(Patient()))
    assert ("speech", None) not in features.tokens
    reason = next(row.reason for row in features.presence if row.modality == "speech")
    assert reason == "every stretch of speech is shorter than 1000 s"


def test_units_are_the_same_from_sound_and_from_stored_states(folders, tmp_path) -> None:
    states = SpeechEncoderExtractor(folders["speech"], layer=2)
    store = FeatureStore.create(tmp_path / "states")
    report = extract_many([spoken()], ClipExtraction(lambda: tools(states)), store)
    assert report.done == ("talk",)
    units = fit_units(Manifest("one", (spoken(),), (), Path()), store, folders["speech"] + ":2", 8)
    folder = str(units.save(tmp_path / "units"))
    for suffix in ("", ":collapse"):
        extractor = encoder_by_name("speech", folder + suffix)
        assert isinstance(extractor, SpeechUnitsExtractor)
        heard = extract_clip(spoken(), tools(extractor))
        made = write_unit_store(store, folder, tmp_path / f"units{len(suffix)}", collapse=bool(suffix))
        kept = made.read("talk", "speech", extractor_id=extractor.id)
        for part in ("x", "start_s", "end_s"):
            np.testing.assert_array_equal(getattr(kept, part), getattr(heard.tokens["speech", None], part))
        assert set(np.unique(kept.x)) <= set(range(8)) and len(np.unique(kept.x)) > 2
    assert (kept.x[1:] != kept.x[:-1]).all() or len(voice_segments(made)) > 1


def voice_segments(store: FeatureStore) -> np.ndarray:
    return np.unique(store.segment_of(store.row("talk", "speech")))


def test_text_tokens_are_those_of_transformers_line_by_line(folders) -> None:
    from transformers import AutoModel, AutoTokenizer

    found = TextEncoderExtractor(folders["text"])([*LINES, " "])
    model, tokenizer = AutoModel.from_pretrained(folders["text"]).eval(), AutoTokenizer.from_pretrained(folders["text"])
    for line, x in zip(LINES, found, strict=False):
        with torch.no_grad():
            expected = model(**tokenizer(line, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(x, expected, atol=1e-5)
    assert found[3].shape == (0, 16)


def test_a_name_says_what_is_made(folders) -> None:
    kinds = {
        ("speech", folders["speech"]): (SpeechEncoderExtractor, {"layer": -1}),
        ("speech", folders["speech"] + ":1"): (SpeechEncoderExtractor, {"layer": 1}),
        ("scene", folders["scene"]): (SceneEncoderExtractor, {"pooling": "auto"}),
        ("face", folders["scene"] + ":mean"): (FaceEncoderExtractor, {"pooling": "mean"}),
        ("face", folders["fabnet"]): (FabNetExtractor, {}),
        ("text", folders["text"]): (TextEncoderExtractor, {}),
    }
    ids = set()
    for (modality, name), (kind, params) in kinds.items():
        extractor = encoder_by_name(modality, name)
        assert type(extractor) is kind and extractor.modality == modality
        assert {key: extractor.params[key] for key in params} == params
        assert extractor.width in (16, 256)
        ids.add(extractor.id)
    assert len(ids) == len(kinds)
    with pytest.raises(ConfigError, match="reads faces"):
        encoder_by_name("scene", folders["fabnet"])
    with pytest.raises(WeightError, match="image encoder 'nobody/nothing' is not on this machine"):
        encoder_by_name("face", "nobody/nothing:mean")


def test_a_copy_elsewhere_is_the_same_encoder(folders, tmp_path) -> None:
    import shutil

    shutil.copytree(folders["speech"], tmp_path / "copy")
    assert SpeechEncoderExtractor(str(tmp_path / "copy")).id == SpeechEncoderExtractor(folders["speech"]).id


def test_tools_take_encoders_in_place_of_defaults(folders) -> None:
    made = extraction_tools(("speech", "scene"), encoders={"speech": folders["speech"], "scene": folders["scene"]})
    assert isinstance(made.speech, SpeechEncoderExtractor) and isinstance(made.scene, SceneEncoderExtractor)
    assert made.voice is not None and made.face is None and made.text is None
    with pytest.raises(ConfigError, match="scene wanted are speech"):
        extraction_tools(("speech",), encoders={"scene": folders["scene"]})
    with pytest.raises(ConfigError, match="speech has an extractor already"):
        extraction_tools(("speech",), chosen={"speech": "whisper-encoder"}, encoders={"speech": folders["speech"]})
    with pytest.raises(ConfigError, match="not physiology"):
        extraction_tools(("physiology",), encoders={"physiology": "x"})


def test_scene_tokens_are_one_a_frame(folders, tmp_path) -> None:
    from made import write_clip

    extractor = SceneEncoderExtractor(folders["scene"])
    media = write_clip(tmp_path / "a.mp4", audio=False)
    tokens = extract_clip(Clip.from_files(media), Tools(scene=extractor), fps=2.0).tokens["scene", None]
    frames = np.concatenate(
        [chunk.frames for chunk in read_clip(media, fps=2.0, audio=False) if isinstance(chunk, VideoChunk)]
    )
    np.testing.assert_allclose(tokens.x, extractor.model.encode(frames), atol=1e-5)
