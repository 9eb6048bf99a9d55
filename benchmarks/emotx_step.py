"""One training step of EmoTx: ragged sequences against a plain padded implementation of the same maths.

python -m benchmarks.emotx_step [--steps 5] [--threads 2]

Batch of 4 scenes, K 10, 4 places for characters, D 512, 2 layers, 8 heads, feed-forward 2048, no dropout. Scenes have 40 to
120 tokens of the picture (768 wide), 1 to 4 characters with 20 to 150 faces each (2048 wide), 5 to 30 utterances (768 wide),
drawn with a fixed seed. The padded implementation lays every scene out on (N + 2) * 300 + (N + 1) * K = 1850 places, as
published, with `torch.nn.TransformerEncoder` and a key padding mask; the queries of absent characters are masked, so both
give the same logits, which is checked first. Each implementation runs in a process of its own: peak memory is that of the
process (VmHWM), less what it held before its first step.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.machine import header, spread
from merkit.data.batch import Batch, Tokens
from merkit.models.emotx import EmoTx, time_bins
from merkit.schema import TargetSpec

K, N, PLACES, WIDTH = 10, 4, 300, 512
WIDTHS = {"scene": 768, "face": 2048, "text": 768}
LABELS = tuple(f"label_{i}" for i in range(K))
SPECS = (TargetSpec("scene", "multi_label", LABELS), TargetSpec("character", "multi_label", LABELS, True))


def batch(seed: int = 0, scenes: int = 4) -> Batch:
    """Scenes of many lengths."""
    rng = np.random.default_rng(seed)
    lengths = {
        "scene": rng.integers(40, 121, (scenes, 1)),
        "face": rng.integers(20, 151, (scenes, N)) * (np.arange(N) < rng.integers(1, N + 1, scenes)[:, None]),
        "text": rng.integers(5, 31, (scenes, 1)),
    }
    tokens = {}
    for name, count in lengths.items():
        mask = torch.from_numpy(np.arange(count.max()) < count[..., None])
        x = torch.from_numpy(rng.normal(size=(*mask.shape, WIDTHS[name])).astype(np.float32)) * mask[..., None]
        times = torch.from_numpy(np.sort(rng.uniform(0, 60, mask.shape), -1))
        tokens[name] = Tokens(x, mask, times)
    there = torch.from_numpy(lengths["face"] > 0)
    targets = {
        "scene": torch.from_numpy(rng.integers(0, 2, (scenes, K)).astype(np.float32)),
        "character": torch.from_numpy(rng.integers(0, 2, (scenes, N, K)).astype(np.float32)),
    }
    valid = {"scene": torch.ones(scenes, K, dtype=torch.bool), "character": there[..., None].expand(-1, -1, K)}
    return Batch(tuple(map(str, range(scenes))), scenes, tokens, targets=targets, valid=valid)


class Padded(nn.Module):
    """EmoTx on a sequence of fixed length."""

    def __init__(self) -> None:
        super().__init__()
        self.inward = nn.ModuleDict({name: nn.Linear(width, WIDTH) for name, width in WIDTHS.items()})
        self.code = nn.Parameter(torch.zeros(3, WIDTH))
        self.character = nn.Parameter(torch.zeros(N, WIDTH))
        self.scene_query, self.character_query = (
            nn.Parameter(torch.zeros(K, WIDTH)),
            nn.Parameter(torch.zeros(K, WIDTH)),
        )
        self.register_buffer("table", torch.zeros(8192, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 8, 2048, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.heads = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(K))

    @torch.no_grad()
    def take(self, model: EmoTx) -> "Padded":
        """The weights of ours."""
        for name, linear in self.inward.items():
            linear.load_state_dict(model.projections[name].state_dict())
        self.code.copy_(torch.stack([model.codes[name] for name in ("scene", "character", "text")]))
        self.character.copy_(model.character)
        self.scene_query.copy_(model.query["scene"])
        self.character_query.copy_(model.query["character"])
        self.table.copy_(model.position.table)
        self.norm.load_state_dict(model.norm.state_dict())
        for theirs, ours in zip(self.encoder.layers, model.encoder.layers, strict=True):
            theirs.self_attn.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.memory.weight]))
            theirs.self_attn.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.memory.bias]))
            theirs.self_attn.out_proj.load_state_dict(ours.out.state_dict())
            theirs.linear1.load_state_dict(ours.inner.state_dict())
            theirs.linear2.load_state_dict(ours.outer.state_dict())
            theirs.norm1.load_state_dict(ours.norms[0].state_dict())
            theirs.norm2.load_state_dict(ours.norms[1].state_dict())
        for k, head in enumerate(self.heads):
            head.weight.copy_(model.head.weight[k][None])
            head.bias.copy_(model.head.bias[k][None])
        return self

    def forward(self, data: Batch) -> dict[str, torch.Tensor]:
        """Everything on 1850 places a scene."""
        streams = {name: self._padded(name, tokens) for name, tokens in data.tokens.items()}
        there = data.tokens["face"].mask.any(-1)
        size = data.size
        parts = [(self.scene_query + self.code[0]).expand(size, -1, -1), streams["scene"][0][:, 0]]
        masks = [torch.ones(size, K, dtype=torch.bool), streams["scene"][1][:, 0]]
        for i in range(N):
            parts += [
                (self.character_query + self.code[1] + self.character[i]).expand(size, -1, -1),
                streams["face"][0][:, i] + self.character[i],
            ]
            masks += [there[:, i, None].expand(-1, K), streams["face"][1][:, i]]
        parts.append(streams["text"][0][:, 0])
        masks.append(streams["text"][1][:, 0])
        x = self.encoder(self.norm(torch.cat(parts, 1)), src_key_padding_mask=~torch.cat(masks, 1))
        first = torch.tensor([i * (K + PLACES) for i in range(N + 1)])
        asked = x[:, (first[:, None] + torch.arange(K)).flatten()].view(size, N + 1, K, WIDTH)
        logits = torch.cat([head(asked[:, :, k]) for k, head in enumerate(self.heads)], -1)
        return {"scene": logits[:, 0], "character": logits[:, 1:] * there[..., None]}

    def _padded(self, name: str, tokens: Tokens) -> tuple[torch.Tensor, torch.Tensor]:
        more = PLACES - tokens.mask.shape[-1]
        x, mask = F.pad(tokens.x, (0, 0, 0, more)), F.pad(tokens.mask, (0, more))
        bins = time_bins(F.pad(tokens.times, (0, more)))
        return self.inward[name](x) + self.code[list(WIDTHS).index(name)] + self.table[bins], mask


def models() -> tuple[EmoTx, Padded]:
    """Both, with the same weights."""
    torch.manual_seed(0)
    ours = EmoTx(WIDTHS, SPECS, dropout=0.0)
    return ours, Padded().take(ours)


def steps(which: str, count: int) -> dict[str, float]:
    """Times of whole steps and the memory they took, in this process."""
    data = batch()
    model = dict(zip(("ragged", "padded"), models(), strict=True))[which]
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-5)
    before = _kib("VmRSS")
    times = []
    for _ in range(count + 1):
        start = time.perf_counter()
        logits = model(data)
        rows = [
            (logits[name].flatten(0, -2), data.targets[name].flatten(0, -2), data.valid[name].flatten(0, -2))
            for name in ("scene", "character")
        ]
        logit, target, valid = (torch.cat(each) for each in zip(*rows, strict=True))
        F.binary_cross_entropy_with_logits(logit[valid], target[valid]).backward()
        optimiser.step()
        optimiser.zero_grad()
        times.append(time.perf_counter() - start)
    after = _kib("VmHWM")
    return {"times": times[1:], "own_mib": (after - before) / 1024, "whole_mib": after / 1024}


def _kib(name: str) -> int:
    """Of this process; `ru_maxrss` would begin with what the parent held."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def main() -> None:
    """Prints medians, spread, memory and their ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("ragged", "padded"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.only:
        print(json.dumps(steps(given.only, given.steps)))
        return
    print(header("torch"), f"{given.threads} threads")
    ours, padded = (model.eval() for model in models())
    data = batch()
    with torch.no_grad():
        one, other = ours(data), padded(data)
    print("largest difference of logits:", max(float((one[name] - other[name]).abs().max()) for name in one))
    found = {}
    for which in ("ragged", "padded"):
        command = [sys.executable, "-m", "benchmarks.emotx_step", "--only", which, "--steps", str(given.steps),
                   "--threads", str(given.threads)]  # fmt: skip
        found[which] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        print(
            f"{which}: {spread(found[which]['times'], ' s a step', 3)}, {found[which]['own_mib']:.0f} MiB for steps, "
            f"{found[which]['whole_mib']:.0f} MiB the process"
        )
    times = np.median(found["padded"]["times"]) / np.median(found["ragged"]["times"])
    print(f"padded / ragged: time {times:.1f}, memory for steps {found['padded']['own_mib'] / found['ragged']['own_mib']:.1f}, "
          f"memory of the process {found['padded']['whole_mib'] / found['ragged']['whole_mib']:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
