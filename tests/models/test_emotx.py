"""EmoTx against the published implementation's own numbers, and against the defects that it had."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError
from merkit.models.emotx import BIN_S, EmoTx, time_bins, who_is_there
from merkit.schema import TargetSpec

GOLDEN = Path(__file__).with_name("emotx.safetensors")
LABELS = tuple(f"label_{i}" for i in range(10))
SPECS = (TargetSpec("scene", "multi_label", LABELS), TargetSpec("character", "multi_label", LABELS, True))


def published() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN)


def with_published_weights(held: dict[str, torch.Tensor], **options) -> EmoTx:
    model = EmoTx({"scene": 24, "face": 32, "text": 16}, SPECS, width=64, **options)
    reference = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(64, 8, 2048, batch_first=True), 2, enable_nested_tensor=False
    )
    weights = {name.removeprefix("param."): value for name, value in held.items()}
    reference.load_state_dict(
        {name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")}
    )
    with torch.no_grad():
        for layer, theirs in zip(model.encoder.layers, reference.layers, strict=True):
            layer.load_torch(theirs)
        for ours, theirs in (("scene", "scene"), ("face", "char"), ("text", "srt")):
            model.projections[ours].weight.copy_(weights[f"{theirs}_dim_reduction.weight"])
            model.projections[ours].bias.copy_(weights[f"{theirs}_dim_reduction.bias"])
        for row, code in enumerate(("scene", "character", "text")):
            model.codes[code].copy_(weights["type_emb.weight"][row])
        model.character.copy_(weights["char_emb.weight"])
        model.query["scene"].copy_(weights["cls_emb_scene.weight"])
        model.query["character"].copy_(weights["cls_emb_char.weight"])
        model.norm.load_state_dict({"weight": weights["layer_norm.weight"], "bias": weights["layer_norm.bias"]})
        for k in range(10):
            model.head.weight[k].copy_(weights[f"logits.{k}.weight"][0])
            model.head.bias[k].copy_(weights[f"logits.{k}.bias"][0])
    return model.eval()


def published_batch(held: dict[str, torch.Tensor]) -> Batch:
    def tokens(name: str) -> Tokens:
        x, pad, bins = held[f"in.{name}"], held[f"in.{name}_pad"].bool(), held[f"in.{name}_bin"].long()
        if x.ndim == 3:
            x, pad, bins = x[:, None], pad[:, None], bins[:, None]
        return Tokens(x, ~pad, (bins + 0.5).double() * BIN_S)

    streams = {"scene": tokens("scene"), "face": tokens("char"), "text": tokens("dialog")}
    return Batch(("a", "b", "c"), 3, streams)


def test_positions_are_the_published_ones():
    held = published()
    table = EmoTx({"scene": 24}, SPECS[:1], width=64).position.table
    assert torch.allclose(table[:64], held["param.positional_encoder.pe"][0], atol=1e-5)


def test_logits_equal_the_published_ones_where_all_characters_are_there():
    held = published()
    model, batch = with_published_weights(held), published_batch(held)
    there = who_is_there(batch, ["face"])
    assert there.sum(1).tolist() == [4, 2, 1]
    logits = model(batch)
    assert (logits["scene"][0] - held["out.scene_logits"][0]).abs().max() < 1e-4
    assert (logits["character"][0] - held["out.char_logits"][:4]).abs().max() < 1e-4
    # with absent queries left out, the other two scenes are answered otherwise than published: the defect was real
    assert (logits["scene"][2] - held["out.scene_logits"][2]).abs().max() > 1e-3


def test_with_absent_queries_all_logits_equal_the_published_ones():
    held = published()
    model, batch = with_published_weights(held, absent_queries=True), published_batch(held)
    logits = model(batch)
    there = who_is_there(batch, ["face"])
    assert (logits["scene"] - held["out.scene_logits"]).abs().max() < 1e-4
    assert (logits["character"][there] - held["out.char_logits"]).abs().max() < 1e-4
    assert (logits["character"][~there] == 0).all()


def made(rng: np.random.Generator, lengths: dict[str, list[list[int]]], widths: dict[str, int]) -> Batch:
    """Tokens of given lengths `[clip][entity]` per stream."""
    tokens = {}
    for name, rows in lengths.items():
        n, t = max(map(len, rows)), max(max(row) for row in rows)
        mask = np.zeros((len(rows), n, t), bool)
        for b, row in enumerate(rows):
            for e, length in enumerate(row):
                mask[b, e, :length] = True
        x = rng.normal(size=(*mask.shape, widths[name])).astype(np.float32)
        times = np.sort(rng.uniform(0, 60, mask.shape), -1)
        tokens[name] = Tokens(torch.from_numpy(x), torch.from_numpy(mask), torch.from_numpy(times))
    size = len(next(iter(lengths.values())))
    return Batch(tuple(f"s{i}" for i in range(size)), size, tokens)


WIDTHS = {"scene": 6, "face": 5, "text": 4, "lines": 4}
LENGTHS = {
    "scene": [[9], [3], [0]],
    "face": [[4, 7, 1], [0, 2, 0], [1, 0, 0]],
    "text": [[5], [0], [2]],
    "lines": [[1, 0, 2], [0, 0, 3], [0, 0, 0]],
}


@pytest.mark.parametrize("queries", ["labels", "one"])
def test_attention_says_where_the_answer_comes_from(queries):
    """A token that attention gives nothing changes nothing, and what is given adds up over tokens and queries."""
    torch.manual_seed(0)
    batch = made(np.random.default_rng(1), LENGTHS, WIDTHS)
    model = EmoTx(WIDTHS, SPECS, queries=queries, width=16, heads=4, feedforward=16, layers=1).eval()
    out = model.outputs(batch)
    there = who_is_there(batch, WIDTHS)
    assert there.tolist() == [[True, True, True], [False, True, True], [True, False, False]]
    for name, tokens in batch.tokens.items():
        weight = out.attention[f"scene.{name}"]
        assert weight.min() >= 0 and (weight * ~tokens.mask[:, None]).sum() == 0
        assert (out.attention[f"character.{name}"][~there] == 0).all()
    total = sum(out.attention[f"scene.{name}"].flatten(2).sum(-1) for name in WIDTHS)
    assert (total < 1).all() and (total > 0).all()
    # independently: with one layer, attention from torch's own module over the same sequence of the second scene
    first = model.encoder.layers[0]
    seen: dict[str, torch.Tensor] = {}
    first.query.register_forward_hook(lambda module, args, result: seen.update(q=result))
    first.memory.register_forward_hook(lambda module, args, result: seen.update(k=result.chunk(2, -1)[0]))
    alone = Batch(batch.ids[1:2], 1, {k: Tokens(t.x[1:2], t.mask[1:2], t.times[1:2]) for k, t in batch.tokens.items()})
    again = model.outputs(alone).attention["scene.face"][0]
    q, k = (seen[name].unflatten(-1, (4, 4)).transpose(0, 1) for name in ("q", "k"))
    weights = (q @ k.transpose(-1, -2) / 2).softmax(-1).mean(0)
    count = 10 if queries == "labels" else 1
    first_face = 3 * count + 3  # queries of the scene and of two characters, then three tokens of the picture
    assert torch.allclose(again[:, 1, :2], weights[:count, first_face : first_face + 2], atol=1e-6)
    assert torch.allclose(out.attention["scene.face"][1][:, 1, :2], again[:, 1, :2], atol=1e-6)


def test_absent_characters_cost_nothing():
    batch = made(np.random.default_rng(1), {"face": [[3, 0, 0, 0]], "text": [[2]]}, WIDTHS)
    model = EmoTx({"face": 5, "text": 4}, SPECS, width=16, heads=4, feedforward=16).eval()
    rows: list[int] = []
    model.norm.register_forward_hook(lambda module, args, result: rows.append(len(result)))
    model(batch)
    assert rows == [2 * 10 + 3 + 2]


def test_times_beyond_the_published_table_have_a_code():
    """Published: an index error from 729.4 s on."""
    assert time_bins(torch.tensor([729.0, 729.6, 7200.0, 1e9], dtype=torch.float64)).tolist() == [
        2184,
        2186,
        8191,
        8191,
    ]
    batch = made(np.random.default_rng(1), {"scene": [[4]]}, WIDTHS)
    tokens = batch.tokens["scene"]
    late = Batch(batch.ids, 1, {"scene": Tokens(tokens.x, tokens.mask, tokens.times + 5000)})
    assert EmoTx({"scene": 6}, SPECS[:1], width=16, feedforward=8).eval()(late)["scene"].isfinite().all()


def test_published_frames_keep_their_bins():
    """Frame 8 i + 1 … 8 i + 8 share bin i, as `torch.bucketize` over the published edges has it."""
    fps = 24000 / 1001
    frames = torch.arange(0, 17496, dtype=torch.float64)
    edges = torch.cumsum(torch.full((2187,), 8 / fps, dtype=torch.float64), 0)
    # a hair below the frame's time: summed edges and products differ in their last bits
    expected = torch.bucketize(frames / fps - 1e-7, edges)
    assert torch.equal(time_bins(frames / fps), expected)


def test_streams_that_are_not_looked_at_still_say_who_is_there():
    rng = np.random.default_rng(2)
    batch = made(rng, {"face": [[4, 2], [0, 3]], "text": [[3], [2]]}, WIDTHS)
    model = EmoTx({"face": 5, "text": 4}, SPECS, looks=["text"], width=16, feedforward=8).eval()
    answers = model(batch)
    assert (answers["character"][1, 0] == 0).all() and (answers["character"][0, 1] != 0).all()
    noise = Tokens(batch.tokens["face"].x + 9, batch.tokens["face"].mask, batch.tokens["face"].times)
    other = model(Batch(batch.ids, 2, {**batch.tokens, "face": noise}))
    assert torch.equal(other["scene"], answers["scene"]) and torch.equal(other["character"], answers["character"])


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="knows the streams"):
        EmoTx({"speech": 3}, SPECS)
    with pytest.raises(ConfigError, match="same labels"):
        EmoTx({"face": 3}, (SPECS[0], TargetSpec("character", "multi_label", ("a", "b"), True)))
    with pytest.raises(ConfigError, match="no stream"):
        EmoTx({"face": 3}, SPECS, looks=["text"])
    model = EmoTx({"face": 5, "text": 4}, SPECS, width=16, feedforward=8)
    with pytest.raises(ConfigError, match="no text"):
        model(made(np.random.default_rng(0), {"face": [[1]]}, WIDTHS))
