"""SSE-FT against the published way of computing it: padded, every position looking, torch's own attention."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError
from merkit.models.inter_modal import InterModalLayer, InterModalStack
from merkit.models.sse_ft import SSEFT
from merkit.models.streams import over_clips
from merkit.schema import TargetSpec

EMOTION = TargetSpec("emotion", "single_label", ("neutral", "sadness", "anger"))
WIDTHS = {"text": 8, "speech": 12, "face": 4}
LENGTHS = {"text": (5, 2, 7), "speech": (9, 4, 1), "face": (3, 6, 2)}


def batch(lengths: dict[str, tuple[int, ...]] = LENGTHS, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    tokens = {}
    for name, counts in lengths.items():
        mask = torch.arange(max(max(counts), 1)) < torch.tensor(counts)[:, None]
        x = torch.randn(*mask.shape, WIDTHS[name], generator=generator)
        tokens[name] = Tokens(x[:, None], mask[:, None])
    size = len(next(iter(lengths.values())))
    return Batch(tuple(map(str, range(size))), size, tokens)


def attention(layer: nn.Module, x: torch.Tensor, memory: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """One inter-modal layer with torch's attention for unequal widths; `x (B, S, D_m)`, all positions look."""
    width, other = x.shape[-1], memory.shape[-1]
    theirs = nn.MultiheadAttention(width, layer.heads, kdim=other, vdim=other, batch_first=True)
    with torch.no_grad():
        theirs.q_proj_weight.copy_(layer.query.weight)
        theirs.k_proj_weight.copy_(layer.memory.weight[:width])
        theirs.v_proj_weight.copy_(layer.memory.weight[width:])
        theirs.in_proj_bias.copy_(torch.cat([layer.query.bias, layer.memory.bias]))
        theirs.out_proj.load_state_dict(layer.out.state_dict())
    found, _ = theirs(x, memory, memory, key_padding_mask=~real, need_weights=False)
    x = layer.norms[0](x + found)
    return layer.norms[1](x + layer.outer(F.gelu(layer.inner(x))))


def test_the_class_token_finds_what_it_found_when_all_positions_looked():
    torch.manual_seed(0)
    model = SSEFT(WIDTHS, [EMOTION], self_layers={"text": 0}, cls={"text": "first"}, heads=2, feedforward=10).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    data = batch()
    sequences, real = {}, {}
    for name, tokens in data.tokens.items():
        stage = model.stages[name]
        x, mask = tokens.x[:, 0], tokens.mask[:, 0]
        x = x + stage.position(torch.arange(x.shape[1]))
        if name != "text":
            x = torch.cat([stage.token.expand(3, 1, -1), x], 1)
            mask = torch.cat([torch.ones(3, 1, dtype=torch.bool), mask], 1)
        x = stage.norm(x)
        for layer in stage.encoder.layers:
            theirs = nn.TransformerEncoderLayer(x.shape[-1], 2, 10, batch_first=True, activation="gelu").eval()
            layer_state = {"in_proj_weight": torch.cat([layer.query.weight, layer.memory.weight]),
                           "in_proj_bias": torch.cat([layer.query.bias, layer.memory.bias])}  # fmt: skip
            with torch.no_grad():
                theirs.self_attn.in_proj_weight.copy_(layer_state["in_proj_weight"])
                theirs.self_attn.in_proj_bias.copy_(layer_state["in_proj_bias"])
                theirs.self_attn.out_proj.load_state_dict(layer.out.state_dict())
                for one, other in (("linear1", layer.inner), ("linear2", layer.outer), ("norm1", layer.norms[0]),
                                   ("norm2", layer.norms[1])):  # fmt: skip
                    getattr(theirs, one).load_state_dict(other.state_dict())
            x = theirs(x, src_key_padding_mask=~mask)
        sequences[name], real[name] = x, mask
    parts = []
    for name in WIDTHS:
        product = torch.ones(3, WIDTHS[name])
        for other in WIDTHS:
            if other != name:
                x = sequences[name]
                for layer in model.stacks[f"{name}_to_{other}"].layers:
                    x = attention(layer, x, sequences[other], real[other])
                product = product * x[:, 0]
        parts.append(product)
    fused = torch.cat(parts, 1)
    out = model.outputs(data)
    torch.testing.assert_close(out.embedding, fused, atol=1e-5, rtol=1e-4)
    expected = model.heads.linears[0](torch.tanh(model.hidden(fused)))
    torch.testing.assert_close(out.logits["emotion"], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("names", "inter", "width"),
    [
        (("text", "speech", "face"), "hadamard", 24),  # D_t + D_a + D_v: 1792 as published
        (("text", "speech"), "concat", 20),
        (("text", "speech", "face"), "concat", 48),
        (("text", "face"), "none", 12),
        (("speech",), "hadamard", 12),
    ],
)
def test_no_width_is_given_by_hand(names, inter, width):
    model = SSEFT({name: WIDTHS[name] for name in names}, [EMOTION], inter=inter, feedforward=8).eval()
    assert model.width == width
    assert model(batch())["emotion"].shape == (3, 3)


def test_a_clip_without_a_modality_is_answered_as_a_model_without_it_would_fuse():
    """The product leaves out what is not there, and what is not there brings zeros."""
    model = SSEFT(WIDTHS, [EMOTION], feedforward=8).eval()
    lengths = {**LENGTHS, "face": (3, 0, 2)}
    out = model.outputs(batch(lengths))
    assert out.present["face"].tolist() == [True, False, True]
    assert (out.embedding[1, 20:] == 0).all() and (out.embedding[[0, 2], 20:] != 0).all()
    data = batch(lengths)
    cls = {
        name: model.stages[name](model._rows(name, over_clips(data.tokens[name]), data), 3)
        for name in ("text", "speech")
    }
    alone = model.stacks["text_to_speech"](cls["text"][0], *cls["speech"][1:])
    torch.testing.assert_close(out.embedding[1, :8], alone[1])
    nothing = model(batch({"text": (2, 0, 1), "speech": (1, 0, 1), "face": (1, 0, 1)}))["emotion"]
    assert nothing.isfinite().all()


def test_turns_around_a_clip_join_its_tokens():
    torch.manual_seed(0)
    model = SSEFT({"text": 8}, [EMOTION], cls={"text": "mean"}, layers=1, feedforward=8, farthest=2).eval()
    data = batch({"text": (1, 1, 1)})
    context = torch.tensor([[0, 1, -1], [0, 1, 2], [1, 2, -1]])
    position = torch.tensor([[0, 1, 2], [-1, 0, 1], [-1, 0, 1]])
    together = Batch(data.ids, 3, data.tokens, context, position)
    found = model(together)["emotion"]
    assert not torch.allclose(found, model(data)["emotion"])
    # the first clip does not see the third
    other = data.tokens["text"].x.clone()
    other[2] = other[2].flip(-1)  # a constant would be taken away by the LayerNorm
    moved = model(Batch(data.ids, 3, {"text": Tokens(other, data.tokens["text"].mask)}, context, position))["emotion"]
    torch.testing.assert_close(moved[0], found[0])
    assert not torch.allclose(moved[1], found[1])
    # the same two turns in another order are another conversation
    swapped = model(Batch(data.ids, 3, data.tokens, context, -position))["emotion"]
    assert not torch.allclose(swapped[0], found[0])


def test_clips_of_many_chunks_look_as_with_keys_and_values_written_out():
    layer = InterModalLayer(8, 6, heads=2).eval()
    torch.nn.init.normal_(layer.memory.bias)
    counts = torch.tensor([3, 0, 5, 1, 0, 2, 4, 1, 7, 0, 3])
    row, memory, x = torch.repeat_interleave(torch.arange(11), counts), torch.randn(26, 6), torch.randn(11, 8)
    found = layer(x, memory, row)
    for clip, count in enumerate(counts.tolist()):
        query = layer.query(x[clip]).reshape(2, 1, 4)
        key, value = layer.memory(memory[row == clip]).reshape(count, 2, 2, 4).permute(1, 2, 0, 3)
        seen = F.scaled_dot_product_attention(query, key, value).reshape(8) if count else torch.zeros(8)
        middle = layer.norms[0](x[clip] + layer.out(seen))
        want = layer.norms[1](middle + layer.outer(F.gelu(layer.inner(middle))))
        torch.testing.assert_close(found[clip], want)


def test_gradients_reach_every_stack_and_masks_hold_in_training():
    model = SSEFT(WIDTHS, [EMOTION], dropout=0.0, head_dropout=0.0, feedforward=8).train()
    data = batch()
    model(data)["emotion"].sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    noisy = {n: Tokens(t.x.masked_fill(~t.mask[..., None], float("nan")), t.mask) for n, t in data.tokens.items()}
    torch.testing.assert_close(model(Batch(data.ids, 3, noisy))["emotion"], model(data)["emotion"])
    stack = InterModalStack(4, 6, 1)
    assert sum(p.numel() for p in stack.parameters()) > 0


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="cls names voice"):
        SSEFT(WIDTHS, [EMOTION], cls={"voice": "first"})
    with pytest.raises(ConfigError, match="no face"):
        SSEFT(WIDTHS, [EMOTION])(batch({"text": (1,), "speech": (1,)}))
