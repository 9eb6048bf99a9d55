"""Our Whisper against transformers' with the same parameters, and our mel against its feature extractor."""

import numpy as np
import pytest
import torch

from merkit.errors import WeightError
from merkit.networks.ctranslate2 import read_ctranslate2
from merkit.networks.mel import log_mel
from merkit.networks.whisper import Whisper, load_whisper


@pytest.fixture(scope="module")
def model(weights) -> Whisper:
    weights("whisper-tiny-en")
    return load_whisper()


@pytest.fixture(scope="module")
def reference(model: Whisper):
    """transformers' implementation with our parameters copied in by name."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=model.tokens.num_embeddings,
        d_model=384,
        encoder_layers=4,
        decoder_layers=4,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_ffn_dim=1536,
    )
    theirs = WhisperForConditionalGeneration(config).eval()
    state = theirs.state_dict()
    ours = model.state_dict()
    state["model.encoder.embed_positions.weight"] = ours["places"]
    state["model.decoder.embed_tokens.weight"] = state["proj_out.weight"] = ours["tokens.weight"]
    state["model.decoder.embed_positions.weight"] = ours["token_places"]
    for kind in ("weight", "bias"):
        for conv in ("conv1", "conv2"):
            state[f"model.encoder.{conv}.{kind}"] = ours[f"{conv}.{kind}"]
        for side in ("encoder", "decoder"):
            state[f"model.{side}.layer_norm.{kind}"] = ours[f"{side}_norm.{kind}"]
            for i in range(4):
                a, b = f"model.{side}.layers.{i}", f"{side}.{i}"
                state[f"{a}.self_attn_layer_norm.{kind}"] = ours[f"{b}.self_norm.{kind}"]
                state[f"{a}.final_layer_norm.{kind}"] = ours[f"{b}.ffn_norm.{kind}"]
                state[f"{a}.fc1.{kind}"], state[f"{a}.fc2.{kind}"] = (
                    ours[f"{b}.ffn_in.{kind}"],
                    ours[f"{b}.ffn_out.{kind}"],
                )
                pairs = [("self_attn", "self_attention")]
                if side == "decoder":
                    pairs.append(("encoder_attn", "cross_attention"))
                    state[f"{a}.encoder_attn_layer_norm.{kind}"] = ours[f"{b}.cross_norm.{kind}"]
                for there, here in pairs:
                    key, value = ours[f"{b}.{here}.keyvalue.{kind}"].chunk(2)
                    state[f"{a}.{there}.q_proj.{kind}"] = ours[f"{b}.{here}.query.{kind}"]
                    if kind == "weight":
                        state[f"{a}.{there}.k_proj.weight"] = key
                    else:
                        assert key.abs().max() == 0  # Whisper's keys have no bias
                    state[f"{a}.{there}.v_proj.{kind}"] = value
                    state[f"{a}.{there}.out_proj.{kind}"] = ours[f"{b}.{here}.out.{kind}"]
    theirs.load_state_dict(state)
    return theirs


def test_log_mel_equals_the_published_feature_extractor() -> None:
    from transformers import WhisperFeatureExtractor

    rng = np.random.default_rng(0)
    time_s = np.arange(5 * 16_000) / 16_000
    wave = (0.3 * np.sin(2 * np.pi * 440 * time_s * (1 + 0.1 * time_s)) + 0.01 * rng.normal(size=len(time_s))).astype(
        np.float32
    )
    theirs = WhisperFeatureExtractor(feature_size=80)(wave, sampling_rate=16_000, return_tensors="np").input_features[0]
    np.testing.assert_allclose(log_mel(wave, 480_000).numpy(), theirs, atol=1e-4)


def test_encoder_and_decoder_equal_transformers(model: Whisper, reference) -> None:
    torch.manual_seed(0)
    mel = torch.randn(2, 80, 3000) * 0.5
    tokens = torch.tensor([[50257, 50363, 440, 995, 13], [50257, 50363, 2, 11, 50256]])
    with torch.no_grad():
        theirs = reference(input_features=mel, decoder_input_ids=tokens, output_hidden_states=True)
        states = model.encode(mel)
        for ours, hidden in zip(states, theirs.encoder_hidden_states, strict=True):
            torch.testing.assert_close(ours, hidden, atol=1e-4, rtol=1e-4)
        cache = model.begin(states[-1])
        logits = [model.step(tokens[:, :2], cache)] + [model.step(tokens[:, i : i + 1], cache) for i in (2, 3, 4)]
    torch.testing.assert_close(torch.stack(logits, 1), theirs.logits[:, 1:], atol=1e-3, rtol=1e-3)


def test_states_of_an_utterance_are_not_padded(model: Whisper) -> None:
    wave = np.random.default_rng(1).normal(size=24_000).astype(np.float32) * 0.1
    states = model.states(wave)
    assert [state.shape for state in states] == [(75, 384)] * 5  # 1.5 s at 50 states a second


def test_a_file_that_is_not_a_model_is_refused(tmp_path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"\x06\x00\x00\x00" + b"\xff" * 40)
    with pytest.raises(WeightError, match=r"model\.bin"):
        read_ctranslate2(path)


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"\7" + data[1:]]
)
def test_damaged_weights_are_refused(weights, tmp_path, damage) -> None:
    (folder,) = weights("whisper-tiny-en")
    (tmp_path / "model.bin").write_bytes(damage((folder / "model.bin").read_bytes()[:3_000_000]))
    with pytest.raises(WeightError, match=r"model\.bin"):
        load_whisper(tmp_path)
