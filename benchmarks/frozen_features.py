"""One epoch of SSE-FT over stored features against one that computes the frozen encoders anew, as the original does.

    merkit prepare clips.csv --out prepared
    OMP_NUM_THREADS=1 python -m benchmarks.frozen_features prepared
    OMP_NUM_THREADS=1 python -m benchmarks.frozen_features prepared --clips 48 --modalities speech,text --runs 3
    OMP_NUM_THREADS=1 python -m benchmarks.frozen_features prepared --speech facebook/wav2vec2-base --text roberta-base

`prepared` is a manifest, or a CSV as for `merkit extract`; the first clips by id are taken. First every clip is extracted once,
which gives the cost of each stage: reading the media, finding voice and faces in them, each encoder, the store. Then whole
epochs of `SSEFT` (forward, backward, AdamW), as the presets `mosei` (the published architecture, each modality in its own
width, batches of 4) and `context` (64 wide, batches of 64) make it, by turns over stored features and with the encoders run
anew on waveforms, words and face crops that lie ready in memory: reading the media and finding voice and faces is in neither
figure, though computing anew would pay them too; the last line adds them. Both ways give the model the same tokens, which is
checked. Labels are by chance: what is timed is the step, not what is learnt.

Seconds are CPU seconds of this process and its children, and beside them those of the clock: on a machine that others use
the former say more. Medians and spans of all epochs after a first one.
"""

import argparse
import dataclasses
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.machine import header, spread
from merkit.corpora import clip_table, read_manifest
from merkit.data.batch import collate
from merkit.data.table import ClipTable
from merkit.features import FeatureStore, extract_clip
from merkit.features.record import record_of
from merkit.inference.extraction import extraction_tools
from merkit.media import read_clip
from merkit.schema import Clip, TargetSpec
from merkit.systems import find_system

SPEC = TargetSpec("emotion", "single_label", ("neutral", "sadness", "anger", "joy", "surprise", "fear", "disgust"))
PRESETS = ("mosei", "context")


def cpu_s() -> float:
    """CPU seconds of this process and of the children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Clock:
    """Name -> CPU and clock seconds."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = defaultdict(float)
        self.wall: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        cpu, wall = cpu_s(), time.perf_counter()
        yield
        self.cpu[name] += cpu_s() - cpu
        self.wall[name] += time.perf_counter() - wall


class Heard:
    """An extractor that is timed, and that keeps what it was given."""

    def __init__(self, inner: Any, clock: Clock) -> None:
        self.inner, self.clock, self.calls = inner, clock, []
        if hasattr(inner, "timed"):
            self.timed = partial(self._call, inner.timed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(self, inputs: Any) -> Any:
        return self._call(self.inner, inputs)

    def _call(self, function: Callable[[Any], Any], inputs: Any) -> Any:
        self.calls.append(inputs)
        with self.clock(f"encoder: {self.inner.name}"):
            return function(inputs)

    def anew(self, calls: list[Any]) -> list[np.ndarray]:
        """What it says of these inputs, without being timed by itself."""
        return [np.atleast_2d(x) for inputs in calls for x in self.inner(inputs)]


def extracted(clips: list[Clip], tools: Any, clock: Clock, folder: str) -> dict[str, dict[str, list[Any]]]:
    """Fills the store; returns clip -> modality -> what its encoder was given."""
    store, given = FeatureStore.create(folder), {}
    records = []
    for clip in clips:
        for extractor in tools.extractors.values():
            extractor.calls = []
        for path in {stream.path for stream in clip.streams if stream.path is not None}:
            with clock("reading the media"):
                for _ in read_clip(path, fps=3.0, video=tools.face is not None, audio=tools.speech is not None):
                    pass
        with clock("extraction as a whole"):
            features = extract_clip(clip, tools)
        given[clip.id] = {name: extractor.calls for name, extractor in tools.extractors.items()}
        records.append(record_of(features, clip.id, clip.id))
    with clock("store: written"):
        for record in records:
            store.add(record)
        store.finalise()
    return given


def checked(given: dict[str, dict[str, list[Any]]], tools: Any, table: ClipTable) -> None:
    """Encoders that are asked again must say what the store holds."""
    for row in range(min(4, len(table))):
        for name, extractor in tools.extractors.items():
            calls = given[str(table.ids[row])][name]
            if not calls or name not in table.streams:
                continue
            tokens = np.concatenate(extractor.anew(calls))
            column = table.streams[name]
            mine = np.flatnonzero(column.clip == row)
            kept = np.concatenate([column.x[column.offsets[i] : column.offsets[i + 1]] for i in mine])
            # faces of several persons stand in another order in the store
            np.testing.assert_allclose(np.sort(tokens, 0), np.sort(kept, 0), atol=1e-4)


def epoch(
    table: ClipTable, model: nn.Module, batch_size: int, seed: int, before: Callable[[np.ndarray], object] | None
) -> tuple[float, float]:
    """CPU and clock seconds of one epoch; `before` is asked for each batch first."""
    rng = np.random.default_rng(seed)
    order, label = rng.permutation(len(table)), torch.from_numpy(rng.integers(0, len(SPEC.labels), len(table)))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-4)
    model.train()
    cpu, wall = cpu_s(), time.perf_counter()
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        if before is not None:
            before(rows)
        batch = collate(table, rows, modalities=tuple(table.streams), with_targets=False)
        loss = nn.functional.cross_entropy(model(batch)[SPEC.name], label[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return cpu_s() - cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--modalities", default="speech,text", help="of speech, text and face")
    parser.add_argument("--speech", default="whisper-tiny-en:4", help="encoders as `--encoder` takes them")
    parser.add_argument("--text", default="", help="none = MiniLM")
    parser.add_argument("--face", default="", help="none = the face net of the first model")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    print(header("torch", "transformers", "numpy"), f"; {torch.get_num_threads()} threads", sep="")
    wanted: Any = options.modalities.split(",")
    encoders: Any = {name: chosen for name in wanted if (chosen := getattr(options, name))}
    clock = Clock()
    manifest = read_manifest(options.manifest)
    clips = sorted(manifest.clips, key=lambda clip: clip.id)[: options.clips]
    tools = extraction_tools(wanted, encoders=encoders, asr=False)
    extract_clip(clips[0], tools)  # weights are loaded before anything is timed
    tools = dataclasses.replace(tools, **{name: Heard(each, clock) for name, each in tools.extractors.items()})
    with tempfile.TemporaryDirectory() as folder:
        given = extracted(clips, tools, clock, folder)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors")) / 2**20
        with clock("store: read, once a run"):
            table = clip_table(dataclasses.replace(manifest, clips=tuple(clips)), FeatureStore.open(folder))
    checked(given, tools, table)
    widths = {name: column.width for name, column in table.streams.items()}
    tokens = ", ".join(f"{name} {len(column.x)} x {column.width}" for name, column in table.streams.items())
    print(f"{len(clips)} clips; tokens: {tokens}; {size:.1f} MiB in the store")
    found = sum(clock.cpu[name] * sign for name, sign in _shares(clock).items())
    encoded = sum(s for name, s in clock.cpu.items() if name.startswith("encoder"))
    for name, seconds in {**clock.cpu, "finding voice and faces": found}.items():
        wall = f"{clock.wall[name]:8.3f} s by the clock" if name in clock.wall else ""
        print(f"  {name:32} {seconds:8.3f} s CPU, {1e3 * seconds / len(clips):8.2f} ms a clip {wall}")

    def anew(rows: np.ndarray) -> None:
        for row in rows:
            for name, extractor in tools.extractors.items():
                extractor.anew(given[str(table.ids[row])][name])

    system = find_system("sse_ft")
    for preset in PRESETS:
        config = system.presets[preset]()
        config = config.model_copy(update={"all_in": False})
        size = config.trainer.batch_size
        ways, cpu, wall = {"stored": None, "computed anew": anew}, defaultdict(list), defaultdict(list)
        for turn in range(options.runs + 1):
            for name, before in ways.items():
                torch.manual_seed(turn)
                model = system.build_model(config, widths, (SPEC,))
                taken = epoch(table, model, size, turn, before)
                if turn:  # the first round warms up
                    cpu[name].append(taken[0])
                    wall[name].append(taken[1])
        parameters = sum(p.numel() for p in model.parameters()) / 1e6
        print(f"{preset}: {parameters:.1f} M parameters, batches of {size}")
        for name in ways:
            print(
                f"  one epoch, {name:14} {spread(cpu[name], ' s', 3)} CPU, {spread(wall[name], ' s', 3)} by the clock"
            )
        stored_s, anew_s = (float(np.median(cpu[name])) for name in ways)
        print(
            f"  {anew_s / stored_s:.1f} times as long anew; the encoders alone cost {encoded / stored_s:.1f} such epochs"
        )
        whole = stored_s + clock.cpu["extraction as a whole"]
        print(
            f"  {whole / stored_s:.1f} times as long from the files, media read and voice and faces found every epoch"
        )


def _shares(clock: Clock) -> dict[str, int]:
    """What is left of the extraction when reading and encoding are taken away."""
    return {"extraction as a whole": 1, "reading the media": -1} | {
        name: -1 for name in clock.cpu if name.startswith("encoder")
    }


if __name__ == "__main__":
    main()
