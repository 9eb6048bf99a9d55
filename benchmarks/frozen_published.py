"""The same question at the published sizes: a training step of SSE-FT, and its three frozen encoders on the same clips.

    OMP_NUM_THREADS=1 python -m benchmarks.frozen_published
    OMP_NUM_THREADS=1 python -m benchmarks.frozen_published --seconds 9.4 --words 60 --runs 3

RoBERTa-large (1024 wide), the 2019 wav2vec-large (seven and twelve convolutions, 512 wide, 100 tokens a second), and FAb-Net on
25 pictures a second of 256 x 256 (256 wide): what costs time is their size, so their weights are random and nothing is fetched.
`--padded` gives the encoders what the original gives them: 512 word pieces, 150,000 samples and 300 pictures of every clip. The
steps are those of the presets `mosei` (batches of 4) and `context` (64): forward, backward, AdamW, on real tokens, which lie
in memory. CPU seconds, and those of the clock; median and span.
"""

import argparse
import time

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import header, spread
from merkit.data.batch import Batch, Tokens
from merkit.networks.fabnet import FabNet
from merkit.schema import TargetSpec
from merkit.systems import find_system

PRESETS = ("mosei", "context")
SPEC = TargetSpec("sentiment", "regression", ("sentiment",))
WIDTHS = {"text": 1024, "speech": 512, "face": 256}


class Wav2VecLarge(nn.Module):
    """`(B, n)` samples -> `(B, T, 512)`: features of 10 ms and their convolutional context, as published in 2019."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for kernel, stride in ((10, 5), (8, 4), (4, 2), (4, 2), (4, 2), (1, 1), (1, 1)):
            layers += [nn.Conv1d(512 if layers else 1, 512, kernel, stride), nn.GroupNorm(1, 512), nn.ReLU()]
        for kernel in range(2, 14):
            layers += [
                nn.ConstantPad1d((kernel - 1, 0), 0.0),
                nn.Conv1d(512, 512, kernel),
                nn.GroupNorm(1, 512),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, wave: Tensor) -> Tensor:
        return self.layers(wave[:, None]).transpose(1, 2)


def roberta_large() -> nn.Module:
    """Randomly initialised, without its pooler."""
    from transformers import RobertaConfig, RobertaModel

    size = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    config = RobertaConfig(vocab_size=50_265, max_position_embeddings=514, pad_token_id=1, **size)
    return RobertaModel(config, add_pooling_layer=False)


def timed(function, *inputs) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    function(*inputs)
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=7.0, help="of a clip; MOSEI's are 7.3 s on average")
    parser.add_argument("--words", type=int, default=25, help="word pieces of a clip")
    parser.add_argument("--padded", action="store_true", help="encoders get the fixed lengths of the original")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    print(header("torch", "transformers"), f"; {torch.get_num_threads()} threads", sep="")
    lengths = {"text": options.words, "speech": int(options.seconds * 100), "face": int(options.seconds * 25)}
    asked = {"text": 512, "speech": 935, "face": 300} if options.padded else lengths
    inputs = {
        "text": torch.randint(5, 50_000, (1, asked["text"])),
        "speech": torch.randn(1, asked["speech"] * 160 + 400),
        "face": torch.rand(asked["face"], 3, 256, 256),
    }
    anew: list[tuple[float, float]] = [(0.0, 0.0)] * options.runs
    for name, make in (("text", roberta_large), ("speech", Wav2VecLarge), ("face", FabNet)):
        encoder = make().eval()
        with torch.inference_mode():
            encoder(inputs[name][:1, : 4 if name == "text" else None])  # warm
            taken = [timed(encoder, inputs[name]) for _ in range(options.runs)]
        parameters = sum(p.numel() for p in encoder.parameters()) / 1e6
        print(f"  {name:7} {parameters:6.1f} M, {asked[name]:4} tokens: {_said(taken)} a clip")
        anew = [(a + c, b + d) for (a, b), (c, d) in zip(anew, taken, strict=True)]
    encoders_s = float(np.median([cpu for cpu, _ in anew]))
    system = find_system("sse_ft")
    for preset in PRESETS:
        config = system.presets[preset]()
        size = config.trainer.batch_size
        model = system.build_model(config, WIDTHS, (SPEC,)).train()
        optimiser = torch.optim.AdamW(model.parameters(), 1e-4)
        tokens = {
            name: Tokens(torch.randn(size, 1, n, WIDTHS[name]), torch.ones(size, 1, n, dtype=torch.bool))
            for name, n in lengths.items()
        }
        batch, truth = Batch(tuple(map(str, range(size))), size, tokens), torch.zeros(size, 1)

        def step(model=model, optimiser=optimiser, batch=batch, truth=truth) -> None:
            optimiser.zero_grad()
            nn.functional.l1_loss(model(batch)[SPEC.name], truth).backward()
            optimiser.step()

        step()
        each = [(cpu / size, wall / size) for cpu, wall in (timed(step) for _ in range(options.runs))]
        step_s = float(np.median([cpu for cpu, _ in each]))
        millions = sum(p.numel() for p in model.parameters()) / 1e6
        print(f"  step of {preset}, {millions:.1f} M, batches of {size}: {_said(each)} a clip")
        print(f"    {(encoders_s + step_s) / step_s:.1f} times as long an epoch with the encoders computed anew")


def _said(taken: list[tuple[float, float]]) -> str:
    cpu, wall = ([each[i] for each in taken] for i in (0, 1))
    return f"{spread(cpu, ' s', 3)} CPU, {spread(wall, ' s', 3)} by the clock"


if __name__ == "__main__":
    main()
