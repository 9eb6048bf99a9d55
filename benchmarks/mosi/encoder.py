"""Tunes MiniLM on the transcripts of CMU-MOSI's training videos: copies, each with a fold of videos left out.

    python -m benchmarks.mosi.encoder --root ../shared/data/cmu_mosi_utt --out .work/mosi-encoder

Settings were fixed after three-fold runs over train and valid transcripts (docs/lab/fusion.md) and are not tuned on
valid here. A copy that is finished is not tuned again. About 2 minutes a copy on one core with bf16.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.machine import header
from merkit.features.sentences import save_fold, text_key
from merkit.networks.minilm import MiniLM, load_minilm

FOLDS, EPOCHS, BATCH, LR, HEAD_LR, DROPOUT = 5, 4, 16, 5e-5, 1e-3, 0.2


def mean_states(model: MiniLM, tokens: list[list[int]]) -> Tensor:
    longest = max(map(len, tokens))
    ids = torch.zeros(len(tokens), longest, dtype=torch.long)
    mask = torch.zeros(len(tokens), longest, dtype=torch.bool)
    for row, text in enumerate(tokens):
        ids[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = True
    with torch.autocast("cpu", torch.bfloat16):
        states = model(ids, mask)[0]
    real = mask[..., None].float()
    return (states.float() * real).sum(1) / real.sum(1)


def tune(texts: list[str], positive: np.ndarray, value: np.ndarray, seed: int) -> tuple[MiniLM, torch.nn.Linear]:
    """One copy: sentiment as a number (MSE) and as a sign (BCE) from the mean token state."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = load_minilm().requires_grad_(True)
    head = torch.nn.Linear(384, 2)
    tokens = model.tokenize(texts)
    groups = [{"params": model.parameters(), "lr": LR}, {"params": head.parameters(), "lr": HEAD_LR}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    total, step = EPOCHS * -(-len(texts) // BATCH), 0
    rates = [group["lr"] for group in optimiser.param_groups]
    model.train()
    for _ in range(EPOCHS):
        order = rng.permutation(len(texts))
        for first in range(0, len(order), BATCH):
            rows = order[first : first + BATCH]
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, (step + 1) / (0.1 * total)) * (1 - step / total)
            answer = head(F.dropout(mean_states(model, [tokens[i] for i in rows]), DROPOUT))
            loss = F.mse_loss(answer[:, 0], torch.from_numpy(value[rows])) + F.binary_cross_entropy_with_logits(
                answer[:, 1], torch.from_numpy(positive[rows])
            )
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
    return model.eval(), head.eval()


def right(model: MiniLM, head: torch.nn.Linear, texts: list[str], positive: np.ndarray) -> int:
    """How many signs are right."""
    with torch.inference_mode():
        tokens = model.tokenize(texts)
        answers = torch.cat([head(mean_states(model, tokens[i : i + 32])) for i in range(0, len(tokens), 32)])
    return int(((answers[:, 0] >= 0).numpy() == (positive > 0.5)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("../shared/data/cmu_mosi_utt"))
    parser.add_argument("--out", type=Path, default=Path(".work/mosi-encoder"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--copies", type=int, default=2, help="copies a fold, from different seeds")
    asked = parser.parse_args()
    print(header())
    asked.out.mkdir(parents=True, exist_ok=True)
    pack = np.load(asked.root / "data.npz", allow_pickle=False)
    train = pack["split"] == "train"
    texts = [str(text) for text in pack["transcript"][train]]
    positive = pack["label_bin"][train].astype(np.float32)
    value = pack["label_reg"][train].astype(np.float32)
    videos = np.unique(pack["video_id"][train])
    order = np.random.default_rng(asked.seed).permutation(len(videos))
    fold_of_video = {video: int(place) % FOLDS for video, place in zip(videos[order], range(len(videos)), strict=True)}
    fold = np.array([fold_of_video[video] for video in pack["video_id"][train]])
    folds = []
    for copy in range(asked.copies):
        for k in range(FOLDS):
            path = asked.out / f"fold-{k}-{copy}.safetensors"
            inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            if not path.is_file():
                seed = (asked.seed + copy) * FOLDS + k
                model, head = tune([texts[i] for i in inside], positive[inside], value[inside], seed)
                hits = right(model, head, [texts[i] for i in outside], positive[outside])
                print(
                    f"fold {k}, copy {copy}: {hits / len(outside):.3f} of {len(outside)} utterances of unseen videos",
                    flush=True,
                )
                save_fold(model, head, path)
            folds.append({"fold": k, "file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    card = {
        "corpus": "CMU-MOSI", "tuned_on": ["train"], "answers": ["sentiment", "positive"], "folds": folds,
        "fold_of": {text_key(text): int(k) for text, k in zip(texts, fold, strict=True)},
    }  # fmt: skip
    (asked.out / "encoder.json").write_text(json.dumps(card) + "\n")
    print(f"kept in {asked.out}: {len(folds)} copies")


if __name__ == "__main__":
    main()
