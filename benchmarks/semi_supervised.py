"""Do words without labels help? Consistency and representation mixup, as the BERT-like repository's abandoned branch had them.

    python -m benchmarks.semi_supervised prepared/meld --seeds 5

MELD's words through frozen MiniLM, token by token; labels of one training dialogue in ten, the rest without. Every arm has the
same labelled dialogues, the same first weights and the same number of steps; what is reported is the paired difference to
training on the labelled tenth alone. Judged on the official valid split at the last step, so nothing is chosen by it but
the arm itself.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.machine import header
from merkit.corpora import clip_table, read_manifest
from merkit.data.batch import Batch, Tokens, collate
from merkit.data.table import ClipTable, TokenColumn
from merkit.evaluation.seeds import seed_interval
from merkit.features.text import TextExtractor
from merkit.models.sse_ft import SSEFT

BATCH, UNLABELLED, DROPPED, ALPHA, SHARP = 32, 64, 0.1, 0.75, 0.5


def corpus(folder: Path, cache: Path | None) -> ClipTable:
    """MELD with MiniLM's states of every word piece."""
    table = clip_table(read_manifest(folder))
    if cache is not None and cache.is_file():
        held = np.load(cache)
        states = np.split(held["x"], held["ends"][:-1])
    else:
        states = [x.astype(np.float16) for x in TextExtractor()([str(text) for text in table.texts])]
        if cache is not None:
            np.savez(cache, x=np.concatenate(states), ends=np.cumsum([len(x) for x in states]))
    streams = {"text": TokenColumn.of_sequences(states)}
    return ClipTable(
        table.name, table.ids, table.split, streams, {"emotion": table.targets["emotion"]}, dialogue=table.dialogue
    )


def dropped(batch: Batch) -> Batch:
    """The batch with one token in ten out of sight; never all of a clip's."""
    text = batch.tokens["text"]
    luck = torch.rand(text.mask.shape).masked_fill(~text.mask, -1.0)
    kept = text.mask & ((luck >= DROPPED) | (luck == luck.amax(-1, keepdim=True)))
    return Batch(batch.ids, batch.size, {"text": Tokens(text.x, kept)}, targets=batch.targets, valid=batch.valid)


def answer(model: SSEFT, fused: Tensor) -> Tensor:
    """Logits of fused vectors."""
    return model.heads(model.dropout(torch.tanh(model.hidden(model.dropout(fused)))))["emotion"]


def sharpened(p: Tensor) -> Tensor:
    """`p^(1 / T)`, summing to one (Berthelot et al. 2019, eq. 7)."""
    p = p ** (1 / SHARP)
    return p / p.sum(1, keepdim=True)


def supervised(model: SSEFT, known: Batch, unknown: Batch, ramp: float) -> Tensor:
    """Cross entropy of the labelled."""
    return F.cross_entropy(model(known)["emotion"], known.targets["emotion"])


def key_dropping(model: SSEFT, known: Batch, unknown: Batch, ramp: float) -> Tensor:
    """The same with tokens dropped: augmentation alone."""
    return supervised(model, dropped(known), unknown, ramp)


def consistency(weight: float) -> Callable[[SSEFT, Batch, Batch, float], Tensor]:
    """And the unlabelled are to be answered with dropped tokens as they are without (UDA; Xie et al. 2020)."""

    def loss(model: SSEFT, known: Batch, unknown: Batch, ramp: float) -> Tensor:
        with torch.no_grad():
            model.eval()
            told = sharpened(model(unknown)["emotion"].softmax(1))
            model.train()
        said = model(dropped(unknown))["emotion"].log_softmax(1)
        return key_dropping(model, known, unknown, ramp) + weight * ramp * F.kl_div(said, told, reduction="batchmean")

    return loss


def _mixed(x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    share = torch.distributions.Beta(ALPHA, ALPHA).sample((len(x), 1))
    share = torch.maximum(share, 1 - share)
    other = torch.randperm(len(x))
    return share * x + (1 - share) * x[other], share * p + (1 - share) * p[other]


def mixup(model: SSEFT, known: Batch, unknown: Batch, ramp: float) -> Tensor:
    """Fused vectors of the labelled mixed with one another: representation mixup alone."""
    p = F.one_hot(known.targets["emotion"], 7).float()
    x, p = _mixed(model.outputs(dropped(known)).embedding, p)
    return F.cross_entropy(answer(model, x), p)


def mixmatch(weight: float) -> Callable[[SSEFT, Batch, Batch, float], Tensor]:
    """And with those of the unlabelled under guessed labels: the mean of two augmentations, sharpened (MixMatch)."""

    def loss(model: SSEFT, known: Batch, unknown: Batch, ramp: float) -> Tensor:
        with torch.no_grad():
            guessed = [model(dropped(unknown))["emotion"].softmax(1) for _ in range(2)]
        told = sharpened(torch.stack(guessed).mean(0))
        own = F.one_hot(known.targets["emotion"], 7).float()
        fused = [model.outputs(dropped(each)).embedding for each in (known, unknown)]
        x, p = _mixed(torch.cat(fused), torch.cat([own, told]))
        logit, n = answer(model, x), len(own)
        far = (logit[n:].softmax(1) - p[n:]).square().sum(1).mean()
        return F.cross_entropy(logit[:n], p[:n]) + weight * ramp * far

    return loss


# arm -> loss, and whether it looks at clips without labels
ARMS = {
    "labelled alone": (supervised, False),
    "tokens dropped": (key_dropping, False),
    "mixup of labelled": (mixup, False),
    "consistency": (consistency(1.0), True),
    "mixup with unlabelled": (mixmatch(10.0), True),
}


def run(table: ClipTable, arm: str, seed: int, asked: argparse.Namespace) -> dict[str, float]:
    """Measures on valid after training."""
    (loss, looks), steps, lr = ARMS[arm], asked.steps, asked.lr
    train, valid = np.flatnonzero(table.split == "train"), np.flatnonzero(table.split == "valid")
    rng = np.random.default_rng(seed)
    names = np.unique(table.dialogue[train])
    chosen = rng.choice(names, round(asked.share * len(names)), replace=False)
    known = train[np.isin(table.dialogue[train], chosen)]
    unknown = np.setdiff1d(train, known)
    torch.manual_seed(seed)
    spec = table.targets["emotion"].spec
    model = SSEFT({"text": 384}, [spec], width=64, cls={"text": "mean"}, layers=1, feedforward=128, dropout=0.3,
                  head_dropout=0.3, max_positions=64)  # fmt: skip
    model.fit_standardiser(table.take(train).streams)
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
    model.train()
    for step in range(steps):
        some, others = rng.choice(known, BATCH, replace=False), rng.choice(unknown, UNLABELLED, replace=False)
        one = collate(table, some, modalities=("text",))
        other = collate(table, others, modalities=("text",), with_targets=False) if looks else one
        optimiser.zero_grad()
        loss(model, one, other, asked.factor * min(1.0, step / (0.4 * steps))).backward()
        optimiser.step(), schedule.step()
    model.eval()
    with torch.inference_mode():
        parts = [model(collate(table, rows, modalities=("text",)))["emotion"] for rows in np.array_split(valid, 8)]
    return measures(torch.cat(parts).argmax(1).numpy(), table.targets["emotion"].value[valid])


def measures(said: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Accuracy, weighted and macro F1."""
    from sklearn.metrics import f1_score

    return {
        "accuracy": float((said == true).mean()),
        "weighted F1": float(f1_score(true, said, average="weighted")),
        "macro F1": float(f1_score(true, said, average="macro", zero_division=0)),
    }


def interval(values: np.ndarray) -> str:
    """Mean and its 95 % t interval over seeds."""
    found = seed_interval(values)
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def main() -> None:
    """Prints a table of paired differences."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("folder", type=Path, help="MELD from `merkit prepare`")
    ask.add_argument("--seeds", type=int, default=5)
    ask.add_argument("--first", type=int, default=0, help="the first seed")
    ask.add_argument("--steps", type=int, default=300)
    ask.add_argument("--share", type=float, default=0.1, help="of training dialogues that have labels")
    ask.add_argument("--lr", type=float, default=5e-4)
    ask.add_argument("--factor", type=float, default=1.0, help="of what clips without labels add to the loss")
    ask.add_argument("--cache", type=Path, help="keep the features in this .npz")
    ask.add_argument("--arms", nargs="*", default=list(ARMS))
    asked = ask.parse_args()
    torch.set_num_threads(1)
    print(header("torch"), flush=True)
    begun = time.perf_counter()
    table = corpus(asked.folder, asked.cache)
    print(f"{len(table)} clips, features in {time.perf_counter() - begun:.0f} s", flush=True)
    found: dict[str, list[dict[str, float]]] = {}
    for arm in asked.arms:
        begun = time.perf_counter()
        seeds = range(asked.first, asked.first + asked.seeds)
        found[arm] = [run(table, arm, seed, asked) for seed in seeds]
        took = (time.perf_counter() - begun) / asked.seeds
        line = f"{arm:26s} {took:5.1f} s a run"
        for name in found[arm][0]:
            own = np.array([each[name] for each in found[arm]])
            base = np.array([each[name] for each in found[asked.arms[0]]])
            line += f"  {name} {own.mean():.4f}" + (f" {interval(own - base)}" if arm != asked.arms[0] else "")
        print(line, flush=True)


if __name__ == "__main__":
    main()
