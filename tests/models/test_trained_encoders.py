"""Encoders that are trained along, against torch's own transformer and against what frozen encoders store."""

import numpy as np
import pytest
import torch
from tiny_encoders import write_encoder
from tiny_sights_and_sounds import write_speech_encoder
from torch import nn

from merkit.data.batch import Tokens
from merkit.errors import WeightError
from merkit.features.waveform import FRAME, WaveformExtractor
from merkit.models.tuned import TextStates, WaveStates
from merkit.models.unit_encoder import UnitEncoder, load_units_into
from merkit.networks.speech_pretrained import load_speech_encoder
from merkit.networks.text_pretrained import load_text_encoder

LENGTHS = (4, 0, 7, 1)


def rows_of_units(k: int = 6, rubbish: float = 99.0) -> Tokens:
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    ids = torch.randint(0, k, mask.shape, generator=torch.Generator().manual_seed(0)).float()
    return Tokens(torch.where(mask, ids, rubbish)[..., None], mask)


def shaken(module: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return module.eval()


def test_units_are_read_as_torchs_own_transformer_reads_them():
    encoder = shaken(UnitEncoder(6, width=8, layers=2, max_positions=5))
    layers = [nn.TransformerEncoderLayer(8, 4, 32, activation="gelu", batch_first=True).eval() for _ in range(2)]
    for own, theirs in zip(encoder.encoder.layers, layers, strict=True):
        theirs.load_state_dict(torch_names(own))
    found, units = encoder(rows_of_units()), rows_of_units()
    assert found.mask.sum(1).tolist() == [5, 0, 8, 2]  # a clip without voice has no class token either
    for row, length in enumerate(LENGTHS):
        if not length:
            assert not found.x[row].any()
            continue
        ids = units.x[row, :length, 0].long()
        x = torch.cat([encoder.begin, encoder.unit.weight[ids]])
        x = x + encoder.position.weight[[min(place, 4) for place in range(length + 1)]]
        x = encoder.norm(x)[None]
        for layer in layers:
            x = layer(x)
        torch.testing.assert_close(found.x[row, : length + 1], x[0], atol=1e-5, rtol=1e-5)


def torch_names(layer: nn.Module) -> dict[str, torch.Tensor]:
    """A ragged layer's weights as torch.nn.TransformerEncoderLayer calls them."""
    return {
        "self_attn.in_proj_weight": torch.cat([layer.query.weight, layer.memory.weight]),
        "self_attn.in_proj_bias": torch.cat([layer.query.bias, layer.memory.bias]),
        "self_attn.out_proj.weight": layer.out.weight, "self_attn.out_proj.bias": layer.out.bias,
        "linear1.weight": layer.inner.weight, "linear1.bias": layer.inner.bias,
        "linear2.weight": layer.outer.weight, "linear2.bias": layer.outer.bias,
        "norm1.weight": layer.norms[0].weight, "norm1.bias": layer.norms[0].bias,
        "norm2.weight": layer.norms[1].weight, "norm2.bias": layer.norms[1].bias,
    }  # fmt: skip


def test_no_units_at_all_are_no_tokens():
    none = Tokens(torch.full((2, 3, 1), 99.0), torch.zeros(2, 3, dtype=torch.bool))
    assert not UnitEncoder(4, width=8)(none).mask.any()


def test_a_run_of_other_units_is_not_taken_over(tmp_path):
    from safetensors.torch import save_file

    first = shaken(UnitEncoder(6, width=8, layers=1))
    whole = {f"encoders.speech.{key}": value for key, value in first.state_dict().items()}
    save_file({**whole, "heads.bias": torch.ones(2)}, tmp_path / "model.safetensors")
    save_file(first.state_dict(), tmp_path / "bare.safetensors")
    for path in (tmp_path, tmp_path / "bare.safetensors"):
        again = load_units_into(UnitEncoder(6, width=8, layers=1), path).eval()
        assert torch.equal(again(rows_of_units()).x, first(rows_of_units()).x)
    with pytest.raises(WeightError, match=r"unit\.weight \(\d, 8\)"):
        load_units_into(UnitEncoder(5, width=8, layers=1), tmp_path)
    with pytest.raises(WeightError, match="no weights of a unit encoder"):
        load_units_into(first, tmp_path / "nowhere")


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """A tiny encoder of forty samples a state, whose answers padding would change."""
    return str(write_speech_encoder(tmp_path_factory.mktemp("waves") / "tiny"))


def waves(*frames: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=n * FRAME + 17 * i) * 0.1).astype(np.float32) for i, n in enumerate(frames)]


def test_a_tuned_encoder_begins_with_the_states_that_a_frozen_one_stores(speech):
    """One clip of two utterances with silence between, one of a single utterance, one without voice."""
    encoder = load_speech_encoder(speech)
    a, b, c = waves(5, 3, 9)
    said = WaveformExtractor().timed([a, b, c])
    assert [tokens.x.shape for tokens in said] == [(5, FRAME), (3, FRAME), (9, FRAME)]
    np.testing.assert_array_equal(said[1].x.ravel(), b[: 3 * FRAME])
    x, mask, times = torch.full((3, 9, FRAME), 7.0), torch.zeros(3, 9, dtype=torch.bool), torch.zeros(3, 9).double()
    x[0, :8] = torch.from_numpy(np.concatenate([said[0].x, said[1].x]))
    times[0, :8] = torch.from_numpy(np.concatenate([said[0].start_s, said[1].start_s + 2.5]))
    x[2], times[2] = torch.from_numpy(said[2].x), torch.from_numpy(said[2].start_s)
    mask[0, :8], mask[2] = True, True
    found = WaveStates(encoder)(Tokens(x, mask, times))
    stored = encoder.encode([wave[: len(wave) // FRAME * FRAME] for wave in (a, b, c)])
    expected = [np.concatenate(stored[:2]), np.zeros((0, 16)), stored[2]]
    for row, states in enumerate(expected):
        assert found.mask[row].sum() == len(states)
        np.testing.assert_allclose(found.x[row, : len(states)].detach(), states, atol=1e-5)
    # without times nobody knows of the silence, and one waveform has other states than two
    joined = WaveStates(encoder)(Tokens(x, mask))
    assert joined.mask[0].sum() == len(encoder.encode([x[0, :8].flatten().numpy()])[0])


def test_what_is_shorter_than_a_state_is_absent(tmp_path):
    long = write_speech_encoder(tmp_path / "e", conv_kernel=(10, 3, 50))
    tokens = Tokens(torch.ones(1, 1, FRAME), torch.ones(1, 1, dtype=torch.bool))
    assert not WaveStates(load_speech_encoder(str(long)))(tokens).mask.any()


@pytest.mark.parametrize(("freeze", "moved"), [(0, {0, 1, 2}), (2, {2}), (-1, set())])
def test_blocks_below_stay_and_the_others_move(speech, freeze, moved):
    states = WaveStates(load_speech_encoder(speech, freeze_layers=freeze)).train()
    before = {name: p.detach().clone() for name, p in states.named_parameters()}
    x = torch.from_numpy(np.stack([wave[: 4 * FRAME].reshape(4, FRAME) for wave in waves(4, 4)]))
    free = [p for p in states.parameters() if p.requires_grad]
    if not free:
        assert freeze == -1
        return
    optimiser = torch.optim.SGD(free, lr=0.1)
    states(Tokens(x, torch.ones(2, 4, dtype=torch.bool))).x.square().sum().backward()
    assert all(p.grad is not None for p in free)
    optimiser.step()
    changed = {name for name, p in states.named_parameters() if not torch.equal(p, before[name])}
    assert {int(name.split("layers.")[1].split(".")[0]) for name in changed if ".layers." in name} == moved
    assert not any("feature_extractor" in name for name in changed)


def test_words_keep_the_states_of_their_encoder(tmp_path):
    encoder = load_text_encoder(str(write_encoder(tmp_path / "words")))
    ids = torch.tensor([[0, 5, 6, 2], [0, 7, 2, 0]])
    mask = torch.tensor([[True] * 4, [True, True, True, False]])
    found = TextStates(encoder)(Tokens(ids[..., None].float(), mask))
    torch.testing.assert_close(found.x[mask], encoder.states(ids, mask)[mask])
    assert torch.equal(found.mask, mask)
