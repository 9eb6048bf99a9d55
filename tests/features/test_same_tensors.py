"""The same clip, the same tensors: in `analyze`, in a store for training, and from a worker process."""

from functools import partial

import numpy as np
import pytest
import torch
from made import write_clip

from merkit.features import ClipExtraction, FeatureStore, extract_many
from merkit.inference import Predictor
from merkit.inference.first import needed_weights
from merkit.schema import Clip

MODALITIES = ("face", "speech", "text", "physiology")


def _tools():
    return Predictor.load("first", modalities=MODALITIES).tools


def _same(predictor: Predictor, store: FeatureStore, clip: Clip) -> set[str]:
    """Compares every token byte for byte; gives the modalities there were."""
    features = predictor.features(clip)
    kept = {(store.index["modality"][i].as_py(), store.index["entity"][i].as_py()) for i in store.rows()}
    assert kept == set(features.tokens)
    for (modality, entity), tokens in features.tokens.items():
        mine = store.read(clip.id, modality, entity, extractor_id=features.extractor_ids[modality])
        for part in ("x", "start_s", "end_s"):
            assert getattr(mine, part).dtype == getattr(tokens, part).dtype
            assert getattr(mine, part).tobytes() == getattr(tokens, part).tobytes(), (modality, part)
        if modality in features.segment_of:
            np.testing.assert_array_equal(
                store.segment_of(store.row(clip.id, modality, entity)), features.segment_of[modality]
            )
    assert [s["text"] for s in store.about(clip.id)["segments"]] == [s.text for s in features.segments]
    return {modality for modality, _ in features.tokens}


@pytest.fixture(scope="module")
def predictor(weights):
    """In one thread, as extraction runs: more of them add in another order."""
    weights(*needed_weights())
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Predictor.load("first", modalities=MODALITIES)
    torch.set_num_threads(before)


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_words_and_signals_of_a_made_clip(tmp_path, predictor, engine):
    media = write_clip(tmp_path / "talk.mp4")
    (tmp_path / "talk.srt").write_text("1\n00:00:00,200 --> 00:00:01,400\nWell, that is simply wonderful.\n")
    rows = "\n".join(f"{i / 4},{2 + 0.1 * np.sin(i)}" for i in range(200))
    (tmp_path / "talk.csv").write_text(f"time_s,eda_uS\n{rows}\n")
    clip = Clip.from_files(media, subtitles=tmp_path / "talk.srt", physio=tmp_path / "talk.csv")
    store = FeatureStore.create(tmp_path / "store")
    report = extract_many([clip], ClipExtraction(partial(_tools)), store, engine=engine, workers=1)
    assert (report.done, report.skipped) == (("talk",), ())
    assert _same(predictor, store, clip) == {"text", "physiology"}


@pytest.mark.data
def test_faces_and_voice_of_a_real_clip(tmp_path, predictor, real_data):
    media = sorted((real_data / "av_samples" / "crema_d").glob("*.flv"))[0]
    clip = Clip.from_files(media)
    store = FeatureStore.create(tmp_path / "store")
    assert extract_many([clip], ClipExtraction(_tools), store).done == (clip.id,)
    assert _same(predictor, store, clip) == {"face", "speech", "text"}
    store = FeatureStore.create(tmp_path / "store")
    assert extract_many([clip], ClipExtraction(_tools), store).reused == (clip.id,)
