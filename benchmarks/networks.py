"""What number type and memory layout cost: every network at the batch that the main path gives it.

    python -m benchmarks.networks --threads 1
    python -m benchmarks.networks --threads 2 --runs 15

Prints milliseconds a batch, median [min, max]. Weights must be in the cache (`merkit weights fetch`). The variants of
one network are timed in turns, so that a neighbour on the machine slows all of them alike.
"""

import argparse
import copy
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.machine import header, spread
from merkit.networks import (
    load_efficientnet_lite0,
    load_face_api_expression,
    load_face_api_recognition,
    load_mini_xception,
    load_minilm,
    load_mtcnn,
)

# name -> (loader, input of one batch)
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "PNet, 16 frames 192x108": (lambda: load_mtcnn().pnet, (16, 3, 108, 192)),
    "RNet, 64 crops": (lambda: load_mtcnn().rnet, (64, 3, 24, 24)),
    "ONet, 64 crops": (lambda: load_mtcnn().onet, (64, 3, 48, 48)),
    "mini-Xception, 16 faces": (load_mini_xception, (16, 1, 64, 64)),
    "face-api expression, 16 faces": (load_face_api_expression, (16, 3, 112, 112)),
    "face-api recognition, 16 faces": (load_face_api_recognition, (16, 3, 150, 150)),
    "EfficientNet-Lite0, 16 frames": (load_efficientnet_lite0, (16, 3, 224, 224)),
}
VARIANTS = [
    ("float32 contiguous", torch.float32, torch.contiguous_format),
    ("float32 channels-last", torch.float32, torch.channels_last),
    ("bfloat16 contiguous", torch.bfloat16, torch.contiguous_format),
    ("bfloat16 channels-last", torch.bfloat16, torch.channels_last),
]


def in_turns(calls: dict[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """Milliseconds of each call, `runs` rounds after two to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(runs + 2):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            if turn >= 2:
                times[name].append((time.perf_counter() - begun) * 1e3)
    return times


def convolutions(runs: int) -> None:
    for title, (load, shape) in CASES.items():
        generator = torch.Generator().manual_seed(0)
        x, calls = torch.randn(shape, generator=generator), {}
        for name, dtype, layout in VARIANTS:
            net = copy.deepcopy(load()).to(dtype)
            for parameter in net.parameters():
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=layout)
            batch = x.to(dtype).contiguous(memory_format=layout)
            calls[name] = lambda net=net, batch=batch: net(batch)
        report(title, in_turns(calls, runs))


def text(runs: int) -> None:
    words = ["the", "same", "words", "again", "until", "the", "line", "is", "long", "enough", "to", "count"]
    texts = [" ".join(words[i % 5 :] * (1 + i % 6)) for i in range(64)]
    calls = {}
    for dtype in (torch.float32, torch.bfloat16):
        net = load_minilm(dtype)
        calls[str(dtype).removeprefix("torch.")] = lambda net=net: net.sentences(texts)
    tokens = sum(map(len, load_minilm().tokenize(texts)))
    report(f"MiniLM, 64 texts, {tokens} tokens", in_turns(calls, runs))


def report(title: str, times: dict[str, list[float]]) -> None:
    print(f"\n{title}")
    for name, values in times.items():
        print(f"  {name:24} {spread(values, ' ms', 1)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(header("torch"), f"; {options.threads} threads", sep="")
    with torch.inference_mode():
        convolutions(options.runs)
        text(options.runs)
