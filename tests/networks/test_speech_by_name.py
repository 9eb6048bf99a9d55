"""Speech encoders by name: against transformers called directly, one waveform at a time, and by what each sample moves."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_sights_and_sounds import SPEECH, write_speech_encoder

from merkit.errors import ConfigError, MediaError, WeightError
from merkit.networks import speech_encoder as module
from merkit.networks.hub_model import find_model, model_sha256
from merkit.networks.speech_clock import SpeechClock
from merkit.networks.speech_pretrained import load_speech_encoder

LENGTHS = (1600, 900, 1600, 2500)
# kind, normalisation of the convolutions, normalisation before or behind each block
BUILDS = [(kind, norm, stable) for kind in SPEECH[:3] for norm, stable in (("group", False), ("layer", True))]
BUILDS += [("wav2vec2", "layer", False), ("data2vec-audio", "layer", False)]


def waves(lengths=LENGTHS) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=n) * 0.1 + 0.02).astype(np.float32) for n in lengths]


def padded(clips: list[np.ndarray], filler: float) -> tuple[torch.Tensor, torch.Tensor]:
    samples = torch.full((len(clips), max(map(len, clips))), filler)
    mask = torch.zeros(samples.shape, dtype=torch.bool)
    for row, wave in enumerate(clips):
        samples[row, : len(wave)], mask[row, : len(wave)] = torch.from_numpy(wave), True
    return samples, mask


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple, Path]:
    root = tmp_path_factory.mktemp("speech")
    return {
        build: write_speech_encoder(root / "-".join(map(str, build)), build[0], norm=build[1], stable=build[2])
        for build in BUILDS
    }


def reference(folder: Path, wave: np.ndarray, layer: int) -> np.ndarray:
    """The waveform alone, without padding or mask, through transformers."""
    from transformers import AutoFeatureExtractor, AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    values = AutoFeatureExtractor.from_pretrained(folder)(wave, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        out = model(values, output_hidden_states=True)
    return (out.last_hidden_state if layer == -1 else out.hidden_states[layer])[0].numpy()


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: "-".join(map(str, build)))
@pytest.mark.parametrize("layer", [-1, 0, 2, 3])
def test_states_are_those_of_transformers_alone_and_in_any_company(folders, build, layer: int) -> None:
    encoder = load_speech_encoder(str(folders[build]), layer=layer)
    alone = encoder.encode(waves())
    expected = reference(folders[build], waves()[1], layer)
    np.testing.assert_allclose(alone[1], expected, atol=1e-5 * np.abs(expected).max())
    for filler in (0.0, 3.0):
        with torch.no_grad():
            states, tokens = encoder(*padded(waves(), filler))
        assert tokens.sum(1).tolist() == [len(x) for x in alone]
        assert not states[~tokens].any()
        for row, x in enumerate(alone):
            np.testing.assert_allclose(states[row, tokens[row]], x, atol=1e-5 * np.abs(x).max())


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: "-".join(map(str, build)))
def test_only_kinds_that_padding_leaves_alone_are_padded(folders, build) -> None:
    encoder = load_speech_encoder(str(folders[build]))
    samples, mask = padded(waves(), 0.0)
    with torch.no_grad():
        prepared = encoder._prepared(samples, mask)
        found = encoder.backbone(prepared, attention_mask=mask.long()).last_hidden_state[1]
    alone = encoder.encode(waves())[1]
    moved = np.abs(found[: len(alone)].numpy() - alone).max() / np.abs(alone).max()
    assert encoder.paddable == (moved < 1e-4), moved
    assert encoder.paddable == (build[1] == "layer" and build[0] != "data2vec-audio")


def test_a_token_is_made_of_the_samples_that_its_times_say(folders) -> None:
    encoder = load_speech_encoder(str(folders["wav2vec2", "layer", True]))
    base = torch.from_numpy(waves((130,))[0])
    nudged = base.repeat(130, 1) + torch.eye(130)
    with torch.no_grad():
        still, moved = (encoder.backbone.feature_extractor(x) for x in (base[None], nudged))
    touched = ((moved - still).abs().amax(1) > 1e-4).numpy()  # (sample, token)
    start_s, end_s = encoder.spans_s(130)
    assert touched.shape[1] == len(start_s) == 5
    for token in range(5):
        samples = np.flatnonzero(touched[:, token])
        assert samples[0] == round(start_s[token] * 16_000)
        assert samples[-1] == round(end_s[token] * 16_000) - 1


def test_tokens_are_counted_as_transformers_counts_them() -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    for kernels, strides in (((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)), ((7, 4), (3, 4)), ((1,), (1,))):
        size = {"conv_dim": (4,) * len(kernels), "conv_kernel": kernels, "conv_stride": strides}
        config = Wav2Vec2Config(
            **size, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, num_conv_pos_embedding_groups=2
        )
        theirs = Wav2Vec2Model(config)._get_feat_extract_output_lengths
        clock = SpeechClock.of(kernels, strides)
        for n in (*range(clock.reach, clock.reach + 3 * clock.hop), 16_000):
            assert clock.count(n) == int(theirs(n))
        assert [clock.count(n) for n in (0, clock.reach - 1, clock.reach)] == [0, 0, 1]


def test_a_waveform_below_the_reach_has_no_token_and_harms_no_other(folders) -> None:
    for build in BUILDS[:2]:
        encoder = load_speech_encoder(str(folders[build]))
        short = waves((39, 900, 40, 0))
        found = encoder.encode(short)
        assert [len(x) for x in found] == [0, 44, 1, 0]
        with torch.no_grad():
            states, tokens = encoder(*padded(short, 0.0))
        assert tokens.sum(1).tolist() == [0, 44, 1, 0]
        np.testing.assert_allclose(states[1, tokens[1]], found[1], atol=1e-4)
        assert encoder(*padded(short[:1], 0.0))[0].shape == (1, 0, 16)


def test_long_waveforms_are_encoded_in_equal_parts(folders, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_S", 0.1)
    encoder = load_speech_encoder(str(folders["hubert", "group", False]))
    (long,) = waves((4000,))
    assert encoder.parts(4000) == [(0, 1333), (1333, 2667), (2667, 4000)]
    expected = np.concatenate([encoder.encode([long[a:b]])[0] for a, b in encoder.parts(4000)])
    found = encoder.encode([long])[0]
    np.testing.assert_array_equal(found, expected)
    start_s, _ = encoder.spans_s(4000)
    assert len(start_s) == len(found)
    assert start_s[encoder.clock.count(1333)] == 1333 / 16_000


def test_the_checkpoint_says_whether_waveforms_are_normalised(tmp_path) -> None:
    (wave,) = waves((900,))
    for normalise in (True, False):
        folder = write_speech_encoder(tmp_path / str(normalise), norm="layer", normalise=normalise)
        encoder = load_speech_encoder(str(folder))
        np.testing.assert_allclose(encoder.encode([wave])[0], reference(folder, wave, -1), atol=2e-5)
        same = np.allclose(encoder.encode([wave])[0], encoder.encode([3 * wave + 0.1])[0], atol=1e-3)
        assert same == normalise
    # the convolutions' own normalisation would hide a wrong scale
    from transformers import AutoFeatureExtractor

    encoder = load_speech_encoder(str(tmp_path / "True"))
    quiet = [wave * 1e-3 for wave in waves((900, 40))]
    prepared = encoder._prepared(*padded(quiet, 9.0))
    for row, wave in enumerate(quiet):
        theirs = AutoFeatureExtractor.from_pretrained(tmp_path / "True")(wave, sampling_rate=16_000)["input_values"][0]
        np.testing.assert_allclose(prepared[row, : len(wave)], theirs, atol=1e-4)
        assert not prepared[row, len(wave) :].any()
    assert model_sha256(find_model(str(tmp_path / "True"), "x")) != model_sha256(
        find_model(str(tmp_path / "False"), "x")
    )


def test_other_rates_and_channels_are_refused(folders) -> None:
    encoder = load_speech_encoder(str(folders[BUILDS[0]]))
    with pytest.raises(MediaError, match="16000 Hz, not 44100"):
        encoder.encode(waves(), rate_hz=44_100)
    with pytest.raises(MediaError, match="one channel"):
        encoder.encode([np.zeros((2, 900), np.float32)])


@pytest.mark.parametrize("freeze_layers", [0, 2])
@pytest.mark.parametrize(("build", "layer"), [(BUILDS[0], -1), (BUILDS[1], -1), (BUILDS[1], 2), (BUILDS[4], -1)])
def test_tuning_moves_what_is_not_frozen_and_nothing_else(folders, build, layer: int, freeze_layers: int) -> None:
    encoder = load_speech_encoder(str(folders[build]), layer=layer, freeze_layers=freeze_layers).train()
    assert not encoder.backbone.feature_extractor.training
    if layer == freeze_layers:
        return
    states, _ = encoder(*padded(waves(), 0.0))
    (states * torch.linspace(-1, 1, 16) ** 3).sum().backward()
    trainable = {key for key, value in encoder.named_parameters() if value.requires_grad}
    moved = {key for key, value in encoder.named_parameters() if value.grad is not None}
    assert trainable and moved == trainable
    blocks = {key.split("layers.")[1][0] for key in moved if "encoder.layers." in key}
    assert blocks == {str(i) for i in range(freeze_layers, len(encoder.backbone.encoder.layers))}
    assert not any("feature_extractor" in key for key in moved)


def test_a_frozen_encoder_stays_in_evaluation_mode_and_has_nothing_to_train(folders) -> None:
    encoder = load_speech_encoder(str(folders[BUILDS[0]])).train()
    assert not encoder.backbone.training
    assert not any(value.requires_grad for value in encoder.parameters())
    with torch.no_grad():
        states = encoder(*padded(waves(), 0.0))[0]
    np.testing.assert_allclose(states[3], encoder.encode(waves())[3], atol=1e-4)
    assert encoder.training


def test_older_checkpoints_are_read_as_tensors_only(folders, tmp_path) -> None:
    from safetensors.torch import load_file

    folder = tmp_path / "old"
    shutil.copytree(folders[BUILDS[0]], folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    expected = load_speech_encoder(str(folders[BUILDS[0]])).encode(waves())
    for found, x in zip(load_speech_encoder(str(folder)).encode(waves()), expected, strict=True):
        np.testing.assert_array_equal(found, x)

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was here"),)

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Evil()}))
    with pytest.raises(WeightError, match="not a plain file of tensors"):
        load_speech_encoder(str(folder))
    assert not (tmp_path / "was here").exists()
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(WeightError, match="holds no weights"):
        load_speech_encoder(str(folder))


def test_checkpoints_of_2020_are_read_under_their_old_names_and_without_their_heads(tmp_path) -> None:
    import transformers as t
    from tiny_sights_and_sounds import CONV

    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
            "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "codevector_dim": 8}  # fmt: skip
    config = t.Wav2Vec2Config(**size, proj_codevector_dim=8, num_codevectors_per_group=4, **CONV)
    model = t.Wav2Vec2ForPreTraining(config).eval()
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = {}
    for key, value in model.state_dict().items():
        for new, name in old.items():
            key = key.replace(new, name)
        state[key] = value
    assert "wav2vec2.encoder.pos_conv_embed.conv.weight_g" in state and "project_q.weight" in state
    config.save_pretrained(tmp_path)
    t.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path)
    torch.save(state, tmp_path / "pytorch_model.bin")
    (wave,) = waves((900,))
    with torch.no_grad():
        expected = model.wav2vec2(torch.from_numpy(wave)[None]).last_hidden_state[0]
    np.testing.assert_allclose(load_speech_encoder(str(tmp_path)).encode([wave])[0], expected, atol=1e-5)


def test_what_cannot_be_used_is_refused_in_plain_words(folders, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    with pytest.raises(WeightError, match="speech encoder 'nobody/nothing' is not on this machine"):
        load_speech_encoder("nobody/nothing")
    with pytest.raises(ConfigError, match="has 3 blocks"):
        load_speech_encoder(str(folders[BUILDS[0]]), layer=4)
    folder = tmp_path / "broken"
    shutil.copytree(folders[BUILDS[0]], folder)
    about = json.loads((folder / "preprocessor_config.json").read_text())
    for change, message in (
        ({"sampling_rate": 8000}, "at 8000 Hz"),
        ({"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80}, "80 feature"),
    ):
        (folder / "preprocessor_config.json").write_text(json.dumps(about | change))
        with pytest.raises(WeightError, match=message):
            load_speech_encoder(str(folder))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightError, match=r"no preprocessor_config\.json"):
        load_speech_encoder(str(folder))
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": about}))
    state = load_file(folder / "model.safetensors")
    state.pop("encoder.layers.1.layer_norm.weight")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightError, match=r"no weights for encoder\.layers\.1\.layer_norm\.weight"):
        load_speech_encoder(str(folder))


def test_a_model_of_another_build_is_refused(tmp_path) -> None:
    from tiny_encoders import write_encoder

    folder = write_encoder(tmp_path / "words", "bert")
    (folder / "preprocessor_config.json").write_text("{}")
    with pytest.raises(WeightError, match="is a bert, not convolutions over samples"):
        load_speech_encoder(str(folder))
