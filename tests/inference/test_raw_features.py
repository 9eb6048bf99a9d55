"""What is made of raw turns: tokens where something can be made, words in every case, a stream for all that a run asks for."""

import numpy as np

from merkit.corpora.storage import read_manifest
from merkit.corpora.table import clip_table
from merkit.features.store import FeatureStore
from merkit.inference.making import Making
from merkit.inference.raw_features import NOT_BROUGHT, prepare_turns
from merkit.inference.turns import Turn, manifest_of, turns_said


class Letters:
    """One token a text: how many letters it has."""

    name, version, modality, width, rate_hz, params, weights = "letters", 1, "text", 1, None, {}, ()
    id = "letters@0123456789ab"

    def __call__(self, inputs):
        return [np.array([[float(len(text))]], np.float32) for text in inputs]


def test_a_stream_that_no_clip_has_is_there_without_a_token(tmp_path):
    making = Making(words=True, looked_at={"scene": ("frames@0123456789ab", 7)})
    prepared = prepare_turns(manifest_of(turns_said(["Hi!", "You?"])), making, tmp_path)
    table = clip_table(read_manifest(tmp_path), FeatureStore.open(tmp_path / "features"), ["scene"])
    assert (table.streams["scene"].width, len(table.streams["scene"].x)) == (7, 0)
    assert table.provenance["scene"].source == "frames@0123456789ab"
    assert table.texts.tolist() == ["Hi!", "You?"]
    assert prepared.heard == frozenset()
    assert prepared.absent == {clip: {"scene": NOT_BROUGHT} for clip in ("turn 1", "turn 2")}
    # beside tokens that are there, which stay as they are
    making = Making({"text": Letters()}, looked_at={"text": (Letters.id, 1), "face": ("net@0123456789ab", 3)})
    prepare_turns(manifest_of(turns_said(["Hi!", "You?"])), making, tmp_path / "both")
    store = FeatureStore.open(tmp_path / "both/features")
    assert [float(store.read(clip, "text").x[0, 0]) for clip in ("turn 1", "turn 2")] == [3.0, 4.0]
    assert store.read("turn 1", "face").x.shape == (0, 3)


def test_a_turn_whose_clip_is_broken_keeps_the_tokens_of_its_words(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF" + bytes(400))
    turns = [
        Turn("said", words="Oh no.", clip=tmp_path / "a.wav"),
        Turn("unsaid", clip=tmp_path / "a.wav"),
        Turn("alone", words="Yes"),
    ]
    prepared = prepare_turns(manifest_of(turns), Making({"text": Letters()}, asr=False), tmp_path / "out")
    assert [clip.id for clip in prepared.manifest.clips] == ["said", "alone"]
    assert [(lost.item, "not readable" in lost.reason) for lost in prepared.manifest.rejected] == [("unsaid", True)]
    store = FeatureStore.open(tmp_path / "out/features")
    assert [float(store.read(clip, "text").x[0, 0]) for clip in ("said", "alone")] == [6.0, 3.0]
    assert prepared.absent == {"said": {}, "unsaid": {}, "alone": {}}


def test_subtitles_are_words_that_nobody_had_to_hear(tmp_path):
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nOh\n\n2\n00:00:02,000 --> 00:00:03,000\nno.\n")
    turns = [Turn("whole", words_file=tmp_path / "a.srt"), Turn("part", words_file=tmp_path / "a.srt", span=(1.5, 4.0))]
    prepared = prepare_turns(manifest_of(turns), Making(words=True), tmp_path / "out")
    texts = {clip.id: stream.text for clip in prepared.manifest.clips for stream in clip.streams}
    assert texts == {"whole": "Oh no.", "part": "no."}
    assert prepared.heard == frozenset()
    # a store of no tokens would be none that a run can read
    assert not (tmp_path / "out/features").exists()
