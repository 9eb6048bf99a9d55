"""Each fusion family against a reference that is written out row by row, and against published numbers."""

import itertools
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from merkit.data import Tokens
from merkit.errors import ConfigError
from merkit.models import FUSIONS
from merkit.models.attention import AttentionLayer
from merkit.models.fusion import Fused, build_fusion
from merkit.models.mixer import MlpMixer

WIDTHS = {"text": 6, "speech": 8, "face": 5}
LENGTHS = {"text": 3, "speech": 4, "face": 1}
SUBSETS = [s for n in (1, 2, 3) for s in itertools.combinations(WIDTHS, n)]


def tokens_for(rows: int = 7, seed: int = 0) -> dict[str, Tokens]:
    """Row `i` has the modalities of subset `i`."""
    generator = torch.Generator().manual_seed(seed)
    batch = {}
    for name, width in WIDTHS.items():
        x = torch.randn(rows, LENGTHS[name], width, generator=generator)
        mask = torch.rand(rows, LENGTHS[name], generator=generator) < 0.7
        mask[:, 0] = True
        here = torch.tensor([name in SUBSETS[i % len(SUBSETS)] for i in range(rows)])
        batch[name] = Tokens(x, mask & here[:, None])
    return batch


def made(name: str, **params) -> nn.Module:
    torch.manual_seed(1)
    module = FUSIONS[name](WIDTHS, width=8, labels=4, **params).eval()
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if "absent" in key or "neutral" in key:
                parameter.normal_()  # so that a wrong use of them shows
    return module


def attend(layer: AttentionLayer, query: torch.Tensor, memory: torch.Tensor, group: int | None = None) -> torch.Tensor:
    """`AttentionLayer` for one row `(Q, D)`, `(L, D)` by `torch.nn.MultiheadAttention`, from the layer's parameters."""

    def linear(part: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        if group is None:
            return part.weight, part.bias
        return part.weight[group].T, part.bias[group, 0]

    def norm(part: nn.Module, x: torch.Tensor) -> torch.Tensor:
        weight, bias = (part.weight, part.bias) if group is None else (part.weight[group], part.bias[group])
        return F.layer_norm(x, x.shape[-1:], weight, bias)

    width = query.shape[-1]
    torchs = nn.MultiheadAttention(width, layer.heads, batch_first=True)
    with torch.no_grad():
        (q, qb), (kv, kvb), (o, ob) = linear(layer.query), linear(layer.memory), linear(layer.out)
        torchs.in_proj_weight.copy_(torch.cat([q, kv]))
        torchs.in_proj_bias.copy_(torch.cat([qb, kvb]))
        torchs.out_proj.weight.copy_(o)
        torchs.out_proj.bias.copy_(ob)
    found, _ = torchs(query[None], memory[None], memory[None])
    x = norm(layer.norms[0], query + found[0])
    return norm(layer.norms[1], x + F.linear(F.relu(F.linear(x, *linear(layer.inner))), *linear(layer.outer)))


def sinusoid(place: int, width: int) -> torch.Tensor:
    return torch.tensor(
        [(np.sin if i % 2 == 0 else np.cos)(place / 10_000 ** ((i - i % 2) / width)) for i in range(width)],
        dtype=torch.float32,
    )


def real(tokens: dict[str, Tokens], name: str, row: int) -> torch.Tensor:
    return tokens[name].x[row][tokens[name].mask[row]]


def pooled(module: nn.Module, tokens: dict[str, Tokens], name: str, row: int) -> torch.Tensor:
    x = real(tokens, name, row)
    if len(x):
        return x.mean(0)
    return torch.zeros(WIDTHS[name]) if module.streams.absent is None else module.streams.absent[name]


def placed(module: nn.Module, tokens: dict[str, Tokens], name: str, row: int) -> torch.Tensor:
    x = module.inward[name](real(tokens, name, row))
    return x + torch.stack([sinusoid(i, x.shape[-1]) for i in range(len(x))]) if len(x) else x


def concat(module: nn.Module, tokens: dict[str, Tokens], row: int) -> torch.Tensor:
    return torch.cat([pooled(module, tokens, name, row) for name in WIDTHS])


def modality_attention(module: nn.Module, tokens: dict[str, Tokens], row: int) -> torch.Tensor:
    x = torch.stack([module.inward[name](pooled(module, tokens, name, row)) for name in WIDTHS])
    here = [i for i, name in enumerate(WIDTHS) if tokens[name].mask[row].any()]
    for layer in module.layers:
        x = attend(layer, x, torch.cat([module.always[0], x[here]]))
    return x.flatten()


def tensor(module: nn.Module, tokens: dict[str, Tokens], row: int) -> torch.Tensor:
    vectors = []
    for name in WIDTHS:
        here = tokens[name].mask[row].any()
        x = module.inward[name](pooled(module, tokens, name, row))
        if module.ones:
            vectors.append(torch.cat([x if here else torch.zeros_like(x), torch.ones(1)]))
        else:
            vectors.append(x if here else module.neutral[name])
    return module.reduce(torch.einsum("i,j,k->ijk", *vectors).flatten()[None])[0]


def low_rank(module: nn.Module, tokens: dict[str, Tokens], row: int) -> torch.Tensor:
    terms = [module.inward[n](pooled(module, tokens, n, row)) for n in WIDTHS if tokens[n].mask[row].any()]
    product = reduce(torch.mul, terms).view(module.width, module.rank)
    return (product * module.reduce.weight[0]).sum(-1) + module.reduce.bias


def cross_modal(module: nn.Module, tokens: dict[str, Tokens], row: int) -> torch.Tensor:
    """ALL query positions go through the inter-modal stages, and position 0 is taken at the end, as published."""
    names = list(WIDTHS)
    states = {}
    for i, name in enumerate(names):
        x = torch.cat([module.summary[name][0], placed(module, tokens, name, row)])
        for layer in module.within.layers:
            x = attend(layer, x, x, i)
        states[name] = x
    here = {name: bool(tokens[name].mask[row].any()) for name in names}
    out = []
    for m in names:
        found = []
        for pair, (a, b) in enumerate(module.pairs):
            if a == m:
                x = states[m]
                for layer in module.between.layers:
                    x = attend(layer, x, states[b], pair)
                found.append((here[b], x[0]))
        alone = not any(there for there, _ in found)
        if not here[m]:
            out.append(module.absent[m])
        elif module.combine == "hadamard":
            out.append(states[m][0] if alone else reduce(torch.mul, [x for there, x in found if there]))
        else:
            empty = states[m][0] if alone else torch.zeros(module.absent[m].numel() // 2)
            out.append(torch.cat([x if there else empty for there, x in found]))
    return torch.cat(out)


def cross_attention(module: nn.Module, tokens: dict[str, Tokens], row: int) -> torch.Tensor:
    own = {n: placed(module, tokens, n, row) for n in WIDTHS if tokens[n].mask[row].any()}
    out = []
    for m in WIDTHS:
        if m not in own:
            out.append(module.streams.absent[m])
            continue
        found = []
        for n in own:
            if n != m:
                x = own[m]
                for layer in module.pairs[f"{m}_from_{n}"]:
                    x = attend(layer, x, own[n])
                found.append(x)
        out.append((torch.stack(found).mean(0) if found else own[m]).mean(0))
    return torch.cat(out)


def label_query(module: nn.Module, tokens: dict[str, Tokens], row: int) -> torch.Tensor:
    memory = [module.always[0]]
    memory += [placed(module, tokens, name, row) + module.code[name] for name in WIDTHS]
    memory, x = torch.cat(memory), module.queries[0]
    for layer in module.layers:
        if module.joint:
            x = attend(layer, both := torch.cat([x, memory]), both)
            x, memory = x[:4], x[4:]
        else:
            x = attend(layer, x, memory)
    return x


REFERENCES = [
    ("concat", {}, concat),
    ("modality_attention", {}, modality_attention),
    ("modality_attention", {"layers": 2, "heads": 2, "feedforward": 12}, modality_attention),
    ("tensor", {"factor": 4}, tensor),
    ("tensor", {"factor": 4, "ones": False}, tensor),
    ("tensor", {"factor": 4, "reducer": "mixer", "patch": 2}, tensor),
    ("tensor", {"rank": 3}, low_rank),
    ("cross_modal", {}, cross_modal),
    ("cross_modal", {"self_layers": 2, "cross_layers": 2}, cross_modal),
    ("cross_modal", {"combine": "concat"}, cross_modal),
    ("cross_attention", {}, cross_attention),
    ("cross_attention", {"layers": 2, "heads": 4}, cross_attention),
    ("label_query", {}, label_query),
    ("label_query", {"layers": 2, "joint": True}, label_query),
]


@pytest.mark.parametrize(("name", "params", "reference"), REFERENCES)
def test_a_family_is_what_its_reference_gives_row_by_row_for_every_subset(name: str, params: dict, reference) -> None:
    module, tokens = made(name, **params), tokens_for()
    fused = module(tokens)
    assert fused.x.shape == (7, module.width)
    for row in range(7):
        want = reference(module, tokens, row)
        if fused.per_label is not None:
            torch.testing.assert_close(fused.per_label[row], want, atol=1e-5, rtol=1e-4)
            want = want.mean(0)
        torch.testing.assert_close(fused.x[row], want, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "params", "reference"), REFERENCES)
def test_a_row_without_any_modality_is_answered_with_finite_numbers(name: str, params: dict, reference) -> None:
    module, tokens = made(name, **params), tokens_for()
    nothing = {key: Tokens(t.x, torch.zeros_like(t.mask)) for key, t in tokens.items()}
    fused = module(nothing)
    assert torch.isfinite(fused.x).all() and torch.equal(fused.x, fused.x[:1].expand_as(fused.x))
    assert all(torch.isfinite(weights).all() for weights in fused.attention.values())


@pytest.mark.parametrize(("name", "params", "reference"), REFERENCES)
def test_streams_of_equal_length_run_together_and_give_the_same(name: str, params: dict, reference) -> None:
    module, tokens = made(name, **params), tokens_for()
    even = {
        key: Tokens(F.pad(t.x, (0, 0, 0, 6 - t.x.shape[1])), F.pad(t.mask, (0, 6 - t.mask.shape[1])))
        for key, t in tokens.items()
    }
    torch.testing.assert_close(module(even).x, module(tokens).x, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["modality_attention", "cross_modal", "cross_attention", "label_query"])
def test_attention_is_a_distribution_over_what_is_there_and_nothing_else(name: str) -> None:
    module, tokens = made(name), tokens_for()
    attention = module(tokens).attention
    if name == "label_query":
        for key, weights in attention.items():
            assert not weights.masked_select(~tokens[key].mask[:, None]).any()
        total = sum(weights.sum(-1) for weights in attention.values())
        assert (total < 1).all() and (total > 0).all()  # the rest lies on the learned token
    else:
        for key, weights in attention.items():
            total = torch.ones_like(weights[..., 0])
            if name == "cross_attention":  # without a summary token, nobody looks where there is nothing
                one, other = key.split(">")
                total = (tokens[one].present & tokens[other].present).float()
                assert not weights[~tokens[other].mask].any()
            torch.testing.assert_close(weights.sum(-1), total)
            if name == "cross_modal":
                assert not weights[:, 1:][~tokens[key.split(">")[1]].mask].any()
    assert module.train()(tokens).attention == {}


def test_appended_ones_keep_the_product_of_those_that_are_there() -> None:
    """With the last index of an absent modality fixed, the product IS the smaller outer product."""
    module, tokens = made("tensor", factor=4), tokens_for()
    product = module.product(tokens).view(7, 4, 4, 4)
    row = SUBSETS.index(("text", "face"))
    text, face = (module.inward[n](pooled(module, tokens, n, row)) for n in ("text", "face"))
    one = torch.ones(1)
    want = torch.outer(torch.cat([text, one]), torch.cat([face, one]))
    torch.testing.assert_close(product[row, :, 3], want)
    assert not product[row, :, :3].any()


def test_the_mixer_agrees_with_the_published_implementation() -> None:
    golden = load_file(Path(__file__).parent / "assets" / "tensor_mixer.safetensors")
    speech, text = golden["in.speech"], golden["in.text"]
    mixer = MlpMixer(32, 32, patch=8, width=24, depth=2)
    state = {
        "embed.weight": golden["param.1.weight"],
        "embed.bias": golden["param.1.bias"],
        "norm.weight": golden["param.4.weight"],
        "norm.bias": golden["param.4.bias"],
    }
    for block, half, kind in itertools.product(range(2), range(2), ("weight", "bias")):
        part, theirs = ("tokens", "channels")[half], f"param.{block + 2}.{half}"
        state[f"blocks.{block}.norms.{half}.{kind}"] = golden[f"{theirs}.norm.{kind}"]
        for layer, place in ((0, 0), (1, 3)):
            # theirs mixes tokens by a convolution with a kernel of one
            value = golden[f"{theirs}.fn.{place}.{kind}"]
            state[f"blocks.{block}.{part}.{layer}.{kind}"] = value.squeeze(-1) if value.ndim == 3 else value
    mixer.load_state_dict(state)
    out = F.linear(mixer(speech[:, :, None] * text[:, None]), golden["param.6.weight"], golden["param.6.bias"])
    torch.testing.assert_close(out, golden["out.logits"], atol=1e-4, rtol=1e-4)


def test_the_product_stays_small_whatever_the_number_of_modalities() -> None:
    for many, reducer in itertools.product(range(1, 6), ("mlp", "mixer")):
        widths = {f"m{i}": 4 for i in range(many)}
        fusion = FUSIONS["tensor"](widths, width=64, reducer=reducer)
        tokens = {name: Tokens(torch.randn(2, 1, 4), torch.ones(2, 1) > 0) for name in widths}
        assert fusion.product(tokens).shape[1] <= 2048 and fusion(tokens).x.shape == (2, 64)


def test_layers_in_groups_start_as_plain_layers_do() -> None:
    torch.manual_seed(0)
    grouped, plain = AttentionLayer(64, groups=50), AttentionLayer(64)
    for (name, many), one in zip(grouped.named_parameters(), plain.parameters(), strict=True):
        assert many.numel() == 50 * one.numel(), name
        if one.std() > 0:
            assert many.std().item() == pytest.approx(one.std().item(), rel=0.25), name


def test_a_fusion_of_ones_own_is_a_class_with_two_methods() -> None:
    class Mine(nn.Module):
        def __init__(self, widths, *, width, labels, dropout, scale=1.0):
            super().__init__()
            self.width, self.scale = width, scale
            self.out = nn.Linear(sum(widths.values()), width)

        def forward(self, tokens):
            return Fused(self.scale * self.out(torch.cat([t.x.mean(1) for t in tokens.values()], -1)))

    common = {"width": 8, "labels": 4, "dropout": 0.1, "pooling": "mean"}
    fusion = build_fusion(Mine, WIDTHS, **common, params={"scale": 2.0})
    assert fusion(tokens_for()).x.shape == (7, 8) and fusion.scale == 2.0
    with pytest.raises(ConfigError, match=r"Mine.*'scal'.*'scale'"):
        build_fusion(Mine, WIDTHS, **common, params={"scal": 2.0})


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("concatenation", {}, "label_query"),
        ("tensor", {"rnak": 2}, "rank"),
        ("tensor", {"reducer": "cnn"}, "mixer"),
        ("tensor", {"factor": 1}, "no room"),
        ("tensor", {"factor": 6, "reducer": "mixer"}, "do not tile"),
        ("cross_modal", {"combine": "sum"}, "hadamard"),
        ("modality_attention", {"heads": 3}, "no multiple of 3"),
    ],
)
def test_a_wrong_fusion_is_refused_in_words(name: str, params: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build_fusion(name, WIDTHS, width=8, labels=4, dropout=0.1, pooling="mean", params=params)


def test_low_rank_is_the_product_with_a_weight_of_that_rank() -> None:
    """Liu et al. 2018, eq. 2 to 7: the outer product of all `[z 1]` under a weight that is a sum of rank-one terms."""
    module, tokens = made("tensor", rank=3), tokens_for()
    row = SUBSETS.index(("text", "speech", "face"))
    z = {name: torch.cat([pooled(module, tokens, name, row), torch.ones(1)]) for name in WIDTHS}
    factors = {}
    for name in WIDTHS:
        linear = module.inward[name]
        factors[name] = torch.cat([linear.weight, linear.bias[:, None]], 1).view(8, 3, -1)  # (width, rank, D + 1)
    weight = torch.einsum("r,hra,hrb,hrc->habc", module.reduce.weight[0], *factors.values())
    want = torch.einsum("habc,a,b,c->h", weight, *z.values()) + module.reduce.bias
    torch.testing.assert_close(module(tokens).x[row], want, atol=1e-5, rtol=1e-4)
