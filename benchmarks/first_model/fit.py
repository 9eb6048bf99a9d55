"""Training of one head: frozen tokens in, a calibrated head with members, figures and a card out."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from merkit.atomic import replacing
from merkit.evaluation import resample
from merkit.models import PooledClassifier, pad

SHIPPED = Path(__file__).resolve().parents[2] / "src" / "merkit" / "weights" / "shipped"
MEMBERS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Ragged token arrays in one flat block, as the store keeps them: `flat (sum T, D)` and `edges (n + 1,)`."""

    flat: np.ndarray
    edges: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[np.ndarray]) -> "Tokens":
        return cls(np.concatenate(parts), np.concatenate([[0], np.cumsum([len(part) for part in parts])]))

    def __len__(self) -> int:
        return len(self.edges) - 1

    def rows(self, index: Sequence[int]) -> list[np.ndarray]:
        return [self.flat[self.edges[i] : self.edges[i + 1]].astype(np.float32) for i in index]

    def lengths(self) -> np.ndarray:
        return np.diff(self.edges)


def cached(path: Path, make: Callable[[], Tokens]) -> Tokens:
    """Frozen features are computed once: `path` (npz) where it is there, else `make()` and keep."""
    if not path.is_file():
        begun = time.time()
        tokens = make()
        with replacing(path) as unfinished:
            np.savez(unfinished, flat=tokens.flat, edges=tokens.edges)
        print(f"{path.name}: {tokens.flat.shape} in {time.time() - begun:.0f} s", flush=True)
    with np.load(path) as data:
        return Tokens(data["flat"], data["edges"])


def standardise(net: PooledClassifier, tokens: Tokens, rows: np.ndarray) -> None:
    """Token and pooled statistics from the training rows alone."""
    some = np.random.default_rng(0).permutation(rows)[:4000]
    block = np.concatenate(tokens.rows(some))
    net.centre.copy_(torch.from_numpy(block.mean(0)))
    net.scale.copy_(torch.from_numpy(block.std(0) + 1e-5))
    if net.pooling == "statistics":
        with torch.no_grad():
            pooled = net.pool(*pad(tokens.rows(some)))
        net.pooled_centre.copy_(pooled.mean(0))
        net.pooled_scale.copy_(pooled.std(0) + 1e-5)


def train(
    net: PooledClassifier,
    tokens: Tokens,
    target: np.ndarray,
    rows: np.ndarray,
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
    batch: int = 128,
    seed: int = 0,
    allowed: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    say: Callable[[int, PooledClassifier], None] | None = None,
) -> PooledClassifier:
    """AdamW with a one-cycle schedule on the cross-entropy of soft labels; length-bucketed batches.

    Args:
        net: the network; its statistics are set here.
        tokens: features of all rows.
        target: `(n, K)` soft labels.
        rows: training rows.
        epochs: passes.
        lr: peak learning rate.
        weight_decay: of AdamW.
        batch: rows a step.
        seed: order of the batches and dropout.
        allowed: `(n, K)` bool: classes that the row's corpus knows; the others take no part in its softmax.
        weight: `(n,)` weight of each row in the loss.
        say: called after each epoch.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    standardise(net, tokens, rows)
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=weight_decay)
    steps = epochs * -(-len(rows) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.2)
    lengths = tokens.lengths()
    truth = torch.from_numpy(target.astype(np.float32))
    for epoch in range(epochs):
        net.train()
        shuffled = rng.permutation(rows)
        # sorted within pools of 32 batches: little padding, still a fresh order every epoch
        pools = [pool[np.argsort(lengths[pool], kind="stable")] for pool in _pieces(shuffled, batch * 32)]
        batches = [part for pool in pools for part in _pieces(pool, batch)]
        for i in rng.permutation(len(batches)):
            index = batches[i]
            logit = net(*pad(tokens.rows(index)))
            if allowed is not None:
                logit = logit.masked_fill(~torch.from_numpy(allowed[index]), -1e4)
            loss = -(truth[index] * F.log_softmax(logit, -1)).sum(-1)
            loss = (loss * torch.from_numpy(weight[index])).mean() if weight is not None else loss.mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
        net.eval()
        if say:
            say(epoch, net)
    return net.eval()


@torch.inference_mode()
def embed(net: PooledClassifier, tokens: Tokens, rows: np.ndarray, batch: int = 512) -> Tensor:
    """What the last layer sees, `(len(rows), E)`, in the order of `rows`."""
    order = np.argsort(tokens.lengths()[rows], kind="stable")
    parts = [net.embed(*pad(tokens.rows(part))) for part in _pieces(rows[order], batch)]
    out = torch.empty(len(rows), parts[0].shape[1])
    out[torch.from_numpy(order)] = torch.cat(parts)
    return out


def refit_members(
    net: PooledClassifier,
    embedded: Tensor,
    target: np.ndarray,
    groups: np.ndarray | None,
    *,
    penalty: float,
    allowed: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """The last layer fitted anew on bootstrap resamples (of groups where given), each started at the trained one.

    Refits without the trained layer's dropout and schedule are all bolder than it, in the same way; that is no
    uncertainty. So the members are centred: what ships is the trained layer plus each refit's distance to their mean.
    """
    truth = torch.from_numpy(target.astype(np.float32))
    weights, biases = [], []
    for member in range(MEMBERS):
        rows = torch.from_numpy(resample(len(embedded), groups, np.random.default_rng(seed + member)))
        weight = net.out.weight.detach().clone().requires_grad_()
        bias = net.out.bias.detach().clone().requires_grad_()
        x, y = embedded[rows].clone(), truth[rows]
        barred = None if allowed is None else ~torch.from_numpy(allowed[rows.numpy()])
        optimiser = torch.optim.LBFGS([weight, bias], max_iter=60, history_size=10, line_search_fn="strong_wolfe")

        def loss(
            x: Tensor = x, y: Tensor = y, barred: Tensor | None = barred, weight: Tensor = weight, bias: Tensor = bias
        ) -> Tensor:
            logit = x @ weight.T + bias
            if barred is not None:
                logit = logit.masked_fill(barred, -1e4)
            fit = -(y * F.log_softmax(logit, -1)).sum(-1).mean()
            return fit + penalty * (weight - net.out.weight.detach()).square().sum()

        def closure(optimiser: Any = optimiser, loss: Any = loss) -> Tensor:
            optimiser.zero_grad()
            value = loss()
            value.backward()
            return value

        optimiser.step(closure)
        weights.append(weight.detach())
        biases.append(bias.detach())
    weight_stack, bias_stack = torch.stack(weights), torch.stack(biases)
    return (
        weight_stack - weight_stack.mean(0) + net.out.weight.detach(),
        bias_stack - bias_stack.mean(0) + net.out.bias.detach(),
    )


def ship(name: str, net: PooledClassifier, members: tuple[Tensor, Tensor], facts: dict[str, Any]) -> dict[str, Any]:
    """Writes `NAME.safetensors` (half precision) and `NAME.json`; returns the complete facts."""
    state = {key: value.detach().half().contiguous() for key, value in net.state_dict().items()}
    state["members.weight"], state["members.bias"] = (part.half().contiguous() for part in members)
    data = save(state)
    facts = {
        "name": name,
        **facts,
        "members": MEMBERS,
        "network": {
            "width": net.centre.shape[0],
            "pooling": net.pooling,
            "hidden": net.hidden.out_features if net.hidden is not None else 0,
            "heads": net.query.out_features if net.query is not None else 0,
        },
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
    }
    for suffix, content in (
        (".safetensors", data),
        (".json", json.dumps(facts, indent=1, ensure_ascii=False).encode()),
    ):
        with replacing(SHIPPED / f"{name}{suffix}") as unfinished:
            unfinished.write_bytes(content)
    return facts


def _pieces(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[first : first + size] for first in range(0, len(rows), size)]
