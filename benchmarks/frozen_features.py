"""One epoch over stored features against one epoch that computes the frozen encoder anew, as the original does.

    python -m benchmarks.frozen_features RAVDESS_AUDIO_FOLDER
    python -m benchmarks.frozen_features FOLDER --clips 64 --encoder facebook/wav2vec2-base --runs 3

Clips are the first ones of the folder by name. Each clip's whole sound is one utterance, decoded once and held in memory for
both ways, so decoding is in neither figure (recomputing from files would pay that too). Speech states of Whisper tiny.en's
encoder (or of `--encoder`), a head of a projection, a pooled attention query and a linear layer, batches of 8, AdamW. Labels
are by chance: what is timed is the step, not what is learnt. Both ways give the head the same numbers, which is checked.
Prints the median and the span of all epochs, the two ways in turns, and what one extraction and its store cost.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import header, spread
from merkit.features import ClipRecord, FeatureStore, Row, SpeechExtractor, encoder_by_name
from merkit.media import AudioChunk, read_clip

BATCH = 8


class Head(nn.Module):
    """`(B, T, D)` tokens and their mask -> `(B, 8)`; stands in for the model that is trained on the features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, 128)
        self.query = nn.Parameter(torch.zeros(128))
        self.out = nn.Linear(128, 8)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = torch.tanh(self.project(x))
        weight = (x @ self.query).masked_fill(~mask, -torch.inf).softmax(1)
        return self.out((x * weight[..., None]).sum(1))


def sounds(folder: Path, count: int) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".wav", ".flac"))[:count]:
        chunks = [chunk.samples for chunk in read_clip(path, video=False) if isinstance(chunk, AudioChunk)]
        found[path.stem] = np.concatenate(chunks)
    return found


def stored(waves: dict[str, np.ndarray], extractor, folder: str) -> FeatureStore:
    store = FeatureStore.create(folder)
    for name, wave in waves.items():
        x = extractor([wave])[0]
        edges_s = np.linspace(0, len(wave) / 16_000, len(x) + 1)
        nowhere = np.full(len(x), -1, np.int32)
        row = Row("speech", None, extractor.id, x, edges_s[:-1], edges_s[1:], nowhere)
        store.add(ClipRecord(name, key=name, input_sha256=name, about={}, rows=(row,)))
    store.finalise()
    return FeatureStore.open(folder)


def batched(tokens: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    x = torch.zeros(len(tokens), max(map(len, tokens)), tokens[0].shape[1])
    mask = torch.zeros(x.shape[:2], dtype=torch.bool)
    for row, own in enumerate(tokens):
        x[row, : len(own)], mask[row, : len(own)] = torch.from_numpy(np.array(own)), True
    return x, mask


def epoch(names: list[str], tokens_of: Callable[[list[str]], list[np.ndarray]], head: Head, seed: int) -> float:
    """Seconds of one epoch."""
    rng = np.random.default_rng(seed)
    order, label = rng.permutation(len(names)), torch.from_numpy(rng.integers(0, 8, len(names)))
    optimiser = torch.optim.AdamW(head.parameters(), 1e-3)
    begun = time.perf_counter()
    for first in range(0, len(names), BATCH):
        some = order[first : first + BATCH]
        loss = nn.functional.cross_entropy(head(*batched(tokens_of([names[i] for i in some]))), label[some])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--encoder", default="", help="as `--encoder speech=` takes it; none = Whisper tiny.en")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(header("torch", "transformers", "numpy"), f"; {options.threads} threads", sep="")
    extractor = encoder_by_name("speech", options.encoder) if options.encoder else SpeechExtractor()
    waves = sounds(options.folder, options.clips)
    names = sorted(waves)
    total_s = sum(map(len, waves.values())) / 16_000
    print(f"{len(names)} clips, {total_s:.0f} s of sound, {extractor.id}, {extractor.width} numbers a token")
    with tempfile.TemporaryDirectory() as folder:
        extractor([waves[names[0]]])  # weights are loaded before anything is timed
        begun = time.perf_counter()
        store = stored(waves, extractor, folder)
        once_s = time.perf_counter() - begun
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors")) / 2**20

        def read(some: list[str]) -> list[np.ndarray]:
            return [store.x(store.row(name, "speech")) for name in some]

        def anew(some: list[str]) -> list[np.ndarray]:
            return [extractor([waves[name]])[0] for name in some]

        for kept, made in zip(read(names[:BATCH]), anew(names[:BATCH]), strict=True):
            np.testing.assert_array_equal(kept, made)
        ways, times = {"stored": read, "computed anew": anew}, {"stored": [], "computed anew": []}
        for turn in range(options.runs + 1):
            for name, tokens_of in ways.items():
                torch.manual_seed(turn)
                taken_s = epoch(names, tokens_of, Head(extractor.width), turn)
                if turn:  # the first round warms up
                    times[name].append(taken_s)
    for name, values in times.items():
        print(f"  one epoch, {name:14} {spread(values, ' s', 3)}")
    stored_s, anew_s = (float(np.median(times[name])) for name in ways)
    print(f"  {anew_s / stored_s:.0f} times as long anew; extraction once {once_s:.2f} s and {size:.1f} MiB")
    print(f"  32 epochs: {once_s + 32 * stored_s:.1f} s stored, {32 * anew_s:.1f} s anew")


if __name__ == "__main__":
    main()
