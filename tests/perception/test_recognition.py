"""Transcription: the decoding rules against transformers' own, the words against what was said."""

from difflib import SequenceMatcher

import numpy as np
import pytest
import torch

from merkit.errors import WeightError
from merkit.media import AudioChunk, read_clip
from merkit.networks.whisper import load_whisper
from merkit.perception.decoding import END, TIME_0, Heard, _Rules
from merkit.perception.recognition import HubRecogniser, Recogniser, _joined
from merkit.perception.voice import VoiceActivity
from tests.perception.speech_sample import SAMPLE_RATE, SENTENCES, demo_speech


def words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c in " '" else " " for c in text.lower()).split()


def likeness(heard: str, said: str) -> float:
    """Share of the said words that were heard in order."""
    blocks = SequenceMatcher(None, words(said), words(heard), autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(words(said))


@pytest.fixture(scope="module")
def recogniser(weights) -> Recogniser:
    weights("whisper-tiny-en")
    return Recogniser(load_whisper())  # float32: the same words on every machine


@pytest.mark.parametrize("seed", range(4))
def test_rules_equal_the_published_ones_on_random_logits(seed: int) -> None:
    """transformers' processor looks at whole sequences; ours keeps a state: both must choose alike at every step."""
    from transformers import GenerationConfig
    from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor

    config = GenerationConfig(eos_token_id=END, no_timestamps_token_id=TIME_0 - 1, max_initial_timestamp_index=50)
    theirs = WhisperTimeStampLogitsProcessor(config, begin_index=1)
    generator = torch.Generator().manual_seed(seed)
    batch, vocabulary = 6, TIME_0 + 1501
    rules = _Rules(torch.full((batch,), 1500), torch.arange(END + 1, TIME_0))
    said = torch.full((batch, 1), TIME_0 - 6)
    kinds = set()
    for _ in range(40):
        logit = torch.randn(batch, vocabulary, generator=generator)
        # steered, so that words, pairs of timestamps and ends all occur
        logit[:, TIME_0:] += torch.rand(batch, 1, generator=generator) * 6 - 3
        logit[:, END] += torch.rand(batch, generator=generator) * 4
        logit[:, END + 1 : TIME_0] = -torch.inf  # languages and tasks, which the recogniser bars
        expected = torch.log_softmax(theirs(said, logit.clone()), -1).max(-1)
        chosen, log_prob = rules.choose(logit.clone())
        torch.testing.assert_close(chosen, expected.indices)
        torch.testing.assert_close(log_prob, expected.values, atol=1e-4, rtol=1e-4)
        kinds |= {("time" if t >= TIME_0 else "end" if t == END else "word") for t in chosen.tolist()}
        said = torch.cat([said, chosen[:, None]], 1)
        going = torch.nonzero(chosen != END)[:, 0]
        if not len(going):
            break
        rules.keep(going)
        said, batch = said[going], len(going)
    assert kinds == {"time", "end", "word"}


def test_no_timestamp_lies_behind_the_voice() -> None:
    rules = _Rules(torch.tensor([100]), torch.tensor([], dtype=torch.long))
    for step in range(6):
        logit = torch.full((1, TIME_0 + 1501), -5.0)
        logit[0, TIME_0 + 700] = 20.0 if step % 3 != 1 else -5.0  # a wish to jump to 14 s
        logit[0, 440] = 10.0 if step % 3 == 1 else -5.0
        chosen, _ = rules.choose(logit)
        assert int(chosen) < TIME_0 or int(chosen) - TIME_0 <= 100


def test_the_synthetic_voice_is_understood(recogniser: Recogniser) -> None:
    voice = VoiceActivity()
    spans = voice.feed(demo_speech(), 0.0) + voice.finish()
    phrases = recogniser.transcribe([span.samples for span in spans])
    assert len(phrases) == len(spans) == 3
    for said, cues, span in zip(SENTENCES, phrases, spans, strict=False):
        assert likeness(" ".join(cue.text for cue in cues), said) >= 0.75
        assert 0.0 <= cues[0].start_s < 0.5
        assert cues[-1].end_s <= len(span.samples) / SAMPLE_RATE
        assert all(cue.start_s < cue.end_s for cue in cues)


def test_words_do_not_depend_on_the_batch(recogniser: Recogniser) -> None:
    speech = demo_speech()
    first, second = speech[: round(3.6 * SAMPLE_RATE)], speech[round(3.9 * SAMPLE_RATE) : round(8.2 * SAMPLE_RATE)]
    alone = [recogniser.transcribe([first])[0], recogniser.transcribe([second])[0]]
    together = recogniser.transcribe([first, speech, second, first])
    assert [together[0], together[2]] == alone
    assert together[3] == alone[0]
    assert alone[0] and alone[1]


def test_a_long_waveform_keeps_its_clock(recogniser: Recogniser) -> None:
    speech = demo_speech()[: round(3.6 * SAMPLE_RATE)]
    wave = np.zeros(36 * SAMPLE_RATE, np.float32)
    wave[: len(speech)] = speech
    wave[32 * SAMPLE_RATE : 32 * SAMPLE_RATE + len(speech)] = speech
    cues = recogniser.transcribe([wave])[0]
    early, late = [c for c in cues if c.end_s <= 30], [c for c in cues if c.start_s >= 30]
    assert likeness(" ".join(c.text for c in early), SENTENCES[0]) >= 0.75
    assert likeness(" ".join(c.text for c in late), SENTENCES[0]) >= 0.75
    assert 34.0 <= late[-1].end_s <= 36.0


def test_nothing_is_heard_where_nothing_is(recogniser: Recogniser) -> None:
    assert recogniser.transcribe([]) == []
    assert recogniser.transcribe([np.zeros(0, np.float32)]) == [[]]


def test_loops_are_told_from_repetition(recogniser: Recogniser) -> None:
    loop = recogniser._words.encode(" I am sorry." * 12, add_special_tokens=False).ids
    slow = Heard(tuple(loop), -0.2, 0.0, finished=True)
    assert not recogniser._loops(slow, duration_s=24.0)  # said twelve times in 24 s
    assert recogniser._loops(slow, duration_s=3.0)  # nobody says it twelve times in 3 s
    assert recogniser._loops(Heard(tuple(loop), -0.2, 0.0, finished=False), duration_s=24.0)
    plain = recogniser._words.encode(" Kids are talking by the door.", add_special_tokens=False).ids
    assert not recogniser._loops(Heard(tuple(plain), -0.2, 0.0, finished=True), duration_s=0.5)


def test_phrases_lie_between_their_timestamps(recogniser: Recogniser) -> None:
    ids = [recogniser._words.encode(text, add_special_tokens=False).ids for text in (" One two.", " Three.", " ...")]
    tokens = (TIME_0, *ids[0], TIME_0 + 60, TIME_0 + 70, *ids[1], TIME_0 + 120, TIME_0 + 120, *ids[2])
    cues = recogniser._phrases(Heard(tokens, -0.1, 0.0, finished=True), duration_s=4.0)
    assert [cue.text for cue in cues] == ["One two.", "Three."]
    assert [(cue.start_s, cue.end_s) for cue in cues] == [(0.0, pytest.approx(1.2)), pytest.approx((1.4, 2.4))]


def test_real_clips_are_understood(recogniser: Recogniser, real_data) -> None:
    clips = sorted((real_data / "av_samples" / "crema_d").glob("*.flv"))
    if not clips:
        pytest.skip("no real clips in the development data")
    for clip in clips:
        voice, spans = VoiceActivity(), []
        for chunk in read_clip(clip, video=False):
            if isinstance(chunk, AudioChunk):
                spans += voice.feed(chunk.samples, chunk.start_s)
        spans += voice.finish()
        text = " ".join(c.text for cues in recogniser.transcribe([s.samples for s in spans]) for c in cues)
        assert likeness(text, "Don't forget a jacket") >= 0.5, (clip.name, text)


@pytest.fixture(scope="module")
def tiny_hub_folder(tmp_path_factory):
    """A recogniser of the CTC kind with random parameters, saved as the hub would hand it out."""
    import json

    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder = tmp_path_factory.mktemp("hub")
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefgh"]
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    torch.manual_seed(1)
    model = Wav2Vec2ForCTC(
        Wav2Vec2Config(
            vocab_size=len(letters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            conv_dim=(8, 8), conv_stride=(20, 16), conv_kernel=(20, 16), num_feat_extract_layers=2,
            num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, pad_token_id=0,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)
    return folder


def test_a_hub_recogniser_gives_the_greedy_words_of_its_model(tiny_hub_folder) -> None:
    from transformers import AutoModelForCTC, AutoTokenizer, Wav2Vec2FeatureExtractor

    wave = np.random.default_rng(0).normal(size=2 * SAMPLE_RATE).astype(np.float32)
    cues = HubRecogniser(str(tiny_hub_folder)).transcribe([wave, wave[:SAMPLE_RATE]])
    inputs = Wav2Vec2FeatureExtractor()(wave, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_values
    with torch.inference_mode():
        ids = AutoModelForCTC.from_pretrained(tiny_hub_folder).eval()(inputs).logits.argmax(-1)[0]
    expected = AutoTokenizer.from_pretrained(tiny_hub_folder).decode(ids)
    assert words(expected)  # the random model does say something
    assert " ".join(cue.text for cue in cues[0]).split() == expected.split()
    for some, length_s in zip(cues, (2.0, 1.0), strict=True):
        assert all(0.0 <= cue.start_s < cue.end_s <= length_s for cue in some)


def test_single_words_are_joined_until_a_pause() -> None:
    pieces = [
        {"text": "one", "timestamp": (0.1, 0.4)},
        {"text": "two", "timestamp": (0.6, 0.9)},
        {"text": "three", "timestamp": (2.0, None)},
    ]
    assert _joined(pieces, 2.5, " ") == [(0.1, 0.9, "one two"), (2.0, 2.5, "three")]
    assert len(_joined(pieces, 2.5, "")) == 3


def test_a_recogniser_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(WeightError, match="no recogniser"):
        HubRecogniser(str(tmp_path))
