"""The baselines against the same maths written out, sequence by sequence."""

import pytest
import torch
from torch import nn

from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError
from merkit.models.emotx import time_bins
from merkit.models.scene_baselines import SingleStreamModel
from merkit.schema import TargetSpec

LABELS = ("a", "b", "c")
SCENE, CHARACTER = TargetSpec("scene", "multi_label", LABELS), TargetSpec("character", "multi_label", LABELS, True)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    lengths = {"text": torch.tensor([[3], [5]]), "face": torch.tensor([[2, 0, 4], [1, 3, 0]])}
    tokens = {}
    for name, count in lengths.items():
        mask = torch.arange(int(count.max())) < count[..., None]
        x = torch.randn(*mask.shape, 8, generator=generator)
        tokens[name] = Tokens(x, mask, torch.rand(mask.shape, generator=generator, dtype=torch.float64).sort(-1)[0] * 9)
    return Batch(("x", "y"), 2, tokens)


def test_mlp_is_the_maximum_and_two_linear_layers():
    model = SingleStreamModel({"text": 8, "face": 8}, [SCENE, CHARACTER], kind="mlp", hidden=16).eval()
    data = batch()
    found = model(data)
    for which, name, spec in ((0, "text", SCENE), (1, "face", CHARACTER)):
        net = model.networks[which]
        tokens = data.tokens[name]
        for b, n in tokens.present.nonzero().tolist():
            largest = tokens.x[b, n][tokens.mask[b, n]].max(0).values
            expected = net.outer(net.inner(largest))
            got = found[spec.name][b, n] if spec.per_entity else found[spec.name][b]
            torch.testing.assert_close(got, expected)
    assert (found["character"][~data.tokens["face"].present] == 0).all()


def test_transformer_is_a_class_token_over_one_stream():
    torch.manual_seed(0)
    model = SingleStreamModel({"text": 8, "face": 8}, [SCENE, CHARACTER], feedforward=16).eval()
    data = batch()
    found = model(data)
    tokens, net = data.tokens["face"], model.networks[1]
    theirs = nn.TransformerEncoderLayer(8, 8, 16, batch_first=True).eval()
    with torch.no_grad():
        net.encoder.layers[0].load_torch(theirs)
    found = model(data)
    for b, n in tokens.present.nonzero().tolist():
        real = tokens.mask[b, n]
        x = tokens.x[b, n][real] + net.position.table[time_bins(tokens.times[b, n][real])]
        expected = net.head(theirs(torch.cat([net.token, x])[None])[0, 0])
        torch.testing.assert_close(found["character"][b, n], expected, atol=1e-5, rtol=1e-5)


def test_a_scene_is_judged_from_its_own_stream_alone():
    model = SingleStreamModel({"text": 8, "face": 8}, [SCENE]).eval()
    data = batch()
    other = Tokens(data.tokens["face"].x + 1, data.tokens["face"].mask, data.tokens["face"].times)
    assert torch.equal(model(data)["scene"], model(Batch(data.ids, 2, {**data.tokens, "face": other}))["scene"])
    assert model.outputs(data).embedding.shape == (2, 3)


def test_a_level_without_a_stream_is_refused():
    with pytest.raises(ConfigError, match="character"):
        SingleStreamModel({"text": 8}, [CHARACTER])
    with pytest.raises(ConfigError, match="streams"):
        SingleStreamModel({"speech": 8}, [SCENE])
