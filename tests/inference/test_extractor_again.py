"""From what a run's record says of its features back to what makes them, or to the reason why nothing does."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from merkit.corpora.meld.prepare import FEATURES as MELD_FEATURES
from merkit.corpora.meld.prepare import FRAMES as MELD_FRAMES
from merkit.corpora.merc2020.prepare import FACES as MERC_FACES
from merkit.corpora.merc2020.prepare import FEATURES as MERC_FEATURES
from merkit.errors import ConfigError
from merkit.features.extraction_note import note_of_run, write_note
from merkit.features.extractors import EXTRACTORS
from merkit.features.face_pictures import PictureConfig
from merkit.features.frame_stack import FrameStackConfig, FrameStackExtraction
from merkit.features.log_mel import LogMelExtractor
from merkit.features.raw_inputs import SeenExtraction
from merkit.features.waveform import WaveformExtractor
from merkit.features.whole_sound import SoundExtraction
from merkit.inference import inputs_again
from merkit.inference.inputs_again import passes_again
from merkit.inference.regenerated import Named, extractor_again, streams_of
from merkit.systems.data import DataConfig


def _run(sources: dict[str, str], text_encoder: str = ""):
    about = {name: {"source": source} for name, source in sources.items()}
    record = {"modalities": list(sources), "data": {"provenance": about}}
    return SimpleNamespace(record=record, config=SimpleNamespace(data=DataConfig(text_encoder=text_encoder)))


@pytest.mark.parametrize(
    ("name", "source", "encoder", "kind"),
    [
        ("speech", "whisper-statistics@5999a64e99cf", "", "stored"),
        ("speech", "whisper-statistics@5999a64e99cf, scaled by each speaker", "", "stored"),
        ("text", "minilm@46b5da547cb8", "", "stored"),
        ("text", "minilm@46b5da547cb8.214be9:mean:256", "minilm", "words"),
        ("text", "minilm+tuned@8a7ce93a02a0", "runs/tuned", "words"),
        ("lines", "minilm@46b5da547cb8.214be9:mean:256", "", "words"),
        ("text", "token ids of minilm (214be9a5c1d2), up to 256; 3 of 9 texts lose their end", "", "words"),
        ("text", "numbers of words in word-vectors@46b5da547cb8", "", "words"),
        ("text", "token ids of token_ids.parquet", "", "foreign"),
        ("speech", "token ids of token_ids.parquet", "", "foreign"),
        ("text", "Poria et al. 2017 utterance features", "", "foreign"),
        ("face", "fer2013-pictures@48", "", "foreign"),
        ("face", "", "", "foreign"),
    ],
)
def test_what_a_record_says_of_a_stream_tells_how_it_comes_about(name, source, encoder, kind):
    streams = streams_of(_run({name: source}, encoder))
    found = {"words": streams.words, "stored": tuple(streams.stored), "foreign": tuple(streams.foreign)}
    assert found == {**dict.fromkeys(found, ()), kind: (name,)}
    if kind == "stored":
        assert streams.stored[name] == source.split(",")[0]


def test_extractors_are_found_by_id_whatever_they_were_made_with():
    windows = EXTRACTORS["physiology-windows"](5.0, rates_hz={"eda": 8.0})
    params = {"window_s": 5.0, "rates_hz": {"eda": 8.0}}
    again = extractor_again("physiology", windows.id, Named(), Named(), params=params)
    assert again.params == windows.params
    for one in (EXTRACTORS["minilm"](pool="sentence"), EXTRACTORS["whisper-encoder"](layers=(2,)), WaveformExtractor()):
        assert extractor_again(one.modality, one.id, Named()).id == one.id
    one = EXTRACTORS["whisper-encoder"](layers=(1, 3))
    with pytest.raises(ConfigError, match=f"no extractor here is {one.id}"):
        extractor_again("speech", one.id, Named())


def test_what_the_user_names_must_be_what_the_run_was_trained_on():
    wave = WaveformExtractor().id
    assert extractor_again("speech", wave, Named(encoders={"speech": "waveform"})).id == wave
    with pytest.raises(ConfigError, match=f"trained on {wave}, but what you name is whisper-statistics@"):
        extractor_again("speech", wave, Named(extractors={"speech": "whisper-statistics"}))
    with pytest.raises(ConfigError, match="extractor speech=minilm: there is"):
        extractor_again("speech", wave, Named(extractors={"speech": "minilm"}))
    # what a note names is tried, and passed over where it is another one by now
    assert extractor_again("speech", wave, Named(), Named(extractors={"speech": "whisper-statistics"})).id == wave


def test_passes_of_end_to_end_networks_come_back_with_their_options():
    assert (inputs_again.FEATURES, inputs_again.FACES, inputs_again.FRAMES) == (MERC_FEATURES, MERC_FACES, MELD_FRAMES)
    assert MELD_FEATURES == MERC_FEATURES
    small = SeenExtraction(PictureConfig(side=48, crop="picture"))
    stored = {"speech": LogMelExtractor().id, "face": small.id, "scene": "image-encoder@0123456789ab"}
    (heard, seen), made = passes_again(stored, {"speech": 128, "face": 3 * 48 * 48, "scene": 16}, {})
    assert (heard.store, heard.makes, heard.dtype) == ("features", ("speech",), "float16")
    assert (seen.store, seen.extract.config, seen.dtype) == ("faces", small.config, "uint8")
    assert made == {"speech", "face"}

    frames = FrameStackExtraction(FrameStackConfig(frames=3, height=20, width=30, faces="crop", side=32))
    whole = SoundExtraction(7.0)
    stored = {"speech": whole.id, **frames.ids}
    widths = {"speech": 320, "scene": 3 * 20 * 30, "face": 3 * 32 * 32}
    note = {"inputs": {"features": dict(whole.identity), "frames": dict(frames.identity)}}
    (sound, pictures), made = passes_again(stored, widths, note)
    assert (sound.extract.most_s, pictures.extract.config, made) == (7.0, frames.config, set(stored))
    # samples of `merkit extract` are of the stretches with voice: another thing, for its own extractor
    assert passes_again({"speech": WaveformExtractor().id}, widths, {}) == ((), set())
    (usual,), _ = passes_again({"speech": SoundExtraction().id}, widths, {})
    assert usual.extract == SoundExtraction()
    for lost in (dict(frames.ids), {"speech": whole.id}):
        with pytest.raises(ConfigError, match="nothing notes any more"):
            passes_again(lost, widths, {})
    with pytest.raises(ConfigError, match="no words here give"):
        passes_again({"speech": LogMelExtractor().id, "text": "minilm@0123456789ab"}, {}, {})


def test_a_run_remembers_how_its_features_were_made_when_the_store_has_gone(tmp_path):
    data = DataConfig(root=tmp_path)
    assert note_of_run(data) == {}
    (tmp_path / "features").mkdir()
    write_note(tmp_path / "features", {"fps": 5.0})
    (tmp_path / "manifest.json").write_text('{"facts": {"inputs": {"features": {"most_s": 7.0}}}}')
    told = {"fps": 5.0, "inputs": {"features": {"most_s": 7.0}}}
    assert note_of_run(data) == told
    assert note_of_run(DataConfig(root=Path("gone")), {"data": {"extraction": told}}) == told
    (tmp_path / "features/extraction.json").write_text("[broken")
    assert "fps" not in note_of_run(data)
