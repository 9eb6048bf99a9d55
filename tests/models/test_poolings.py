"""Poolings against loops over the real tokens alone, and frame attention against the published implementation's numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from merkit.errors import ConfigError
from merkit.models import POOLINGS
from merkit.models.pooling import build_pooling

GOLDEN = load_file(Path(__file__).parent / "assets" / "merc2020.safetensors")
LENGTHS = (1, 4, 0, 7)


def ragged(width: int = 5) -> tuple[torch.Tensor, torch.Tensor, list[np.ndarray]]:
    """Rows whose real tokens lie anywhere, one of them without any."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(len(LENGTHS), 9, width, generator=generator)
    mask = torch.zeros(len(LENGTHS), 9, dtype=torch.bool)
    for row, length in enumerate(LENGTHS):
        mask[row, torch.randperm(9, generator=generator)[:length]] = True
    return x, mask, [x[row][mask[row]].numpy() for row in range(len(x))]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def reference(name: str, module: torch.nn.Module, tokens: np.ndarray) -> np.ndarray:
    weights = {key: value.numpy().astype(np.float64) for key, value in module.state_dict().items()}
    tokens = tokens.astype(np.float64)
    if name == "mean":
        return tokens.mean(0)
    if name == "max":
        return tokens.max(0)
    if name == "mean_max":
        return np.concatenate([tokens.mean(0), tokens.max(0)])
    if name == "first":
        return tokens[0]
    if name == "last":
        return tokens[-1]
    if name == "attention":
        score = np.exp(tokens @ weights["query.weight"][0])
        return sum(s * t for s, t in zip(score / score.sum(), tokens, strict=True))
    own = "frames.own" if name == "fan_relation" else "own"
    alpha = [sigmoid(weights[f"{own}.weight"][0] @ t + weights[f"{own}.bias"][0]) + 1e-3 for t in tokens]
    pooled = sum(a * t for a, t in zip(alpha, tokens, strict=True)) / sum(alpha)
    if name == "fan_self":
        return pooled
    both = [np.concatenate([pooled, t]) for t in tokens]
    beta = [sigmoid(weights["relation.weight"][0] @ t + weights["relation.bias"][0]) + 1e-3 for t in both]
    share = [a * b for a, b in zip(alpha, beta, strict=True)]
    return sum(s * t for s, t in zip(share, both, strict=True)) / sum(share)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_pooling_is_what_a_loop_over_the_real_tokens_gives(name: str) -> None:
    torch.manual_seed(0)
    x, mask, rows = ragged()
    module = POOLINGS[name](5)
    got = module(x, mask).detach().numpy()
    assert got.shape == (len(x), module.width)
    for row, tokens in enumerate(rows):
        want = reference(name, module, tokens) if len(tokens) else np.zeros(module.width)
        np.testing.assert_allclose(got[row], want, atol=1e-5)


@pytest.mark.parametrize("filler", [1e30, -1e30, float("inf"), float("nan")])
@pytest.mark.parametrize("name", POOLINGS)
def test_what_stands_under_the_mask_reaches_neither_the_result_nor_a_gradient(name: str, filler: float) -> None:
    torch.manual_seed(0)
    x, mask, _ = ragged()
    module = POOLINGS[name](5)
    spoilt = x.masked_fill(~mask[..., None], filler).requires_grad_()
    torch.testing.assert_close(module(spoilt, mask), module(x, mask))
    module(spoilt, mask).square().sum().backward()
    assert torch.isfinite(spoilt.grad).all() and not spoilt.grad[~mask].any()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())


@pytest.mark.parametrize(("mode", "name"), [("self", "fan_self"), ("relation", "fan_relation")])
def test_frame_attention_agrees_with_the_published_implementation(mode: str, name: str) -> None:
    frames = GOLDEN["in.frames"]
    module = POOLINGS[name](frames.shape[-1])
    first = "own" if mode == "self" else "frames.own"
    names = {f"{first}.{kind}": f"fan_{mode}.param.l1.{kind}" for kind in ("weight", "bias")}
    if mode == "relation":
        names |= {f"relation.{kind}": f"fan_relation.param.l2.{kind}" for kind in ("weight", "bias")}
    module.load_state_dict({ours: GOLDEN[theirs] for ours, theirs in names.items()})
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    torch.testing.assert_close(module(frames, mask), GOLDEN[f"fan_{mode}.out"], atol=1e-5, rtol=1e-5)


def test_an_unknown_pooling_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"meen.*fan_relation"):
        build_pooling("meen", 4)
