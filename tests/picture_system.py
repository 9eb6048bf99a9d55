"""A tiny honest picture model as a system, and clips for it: bytes in, ImageNet's statistics inside, another stream beside."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from merkit.data.batch import Batch
from merkit.data.table import ClipTable, TargetColumn, TokenColumn
from merkit.models.classifier import Outputs
from merkit.models.losses import build_loss
from merkit.schema import TargetSpec
from merkit.systems.fusion import FusionConfig
from merkit.systems.system import System
from merkit.training.fit import Plan
from merkit.training.measuring import measure_of
from merkit.training.objective import Objective

SIDE = 6
LABELS = ("happy", "angry", "disgust", "fear", "sad", "neutral", "surprise")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PictureModel(nn.Module):
    """Flattened pictures `(B, 1, T, 3 S²)` and words `(B, 1, T, 4)` to logits; what is absent says nothing."""

    def __init__(self, widths: dict[str, int], specs: tuple[TargetSpec, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({name: nn.Linear(width, 9) for name, width in widths.items()})
        self.heads = nn.ModuleDict({spec.name: nn.Linear(9, len(spec.labels)) for spec in specs})

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        total = torch.zeros(batch.size, 9)
        for name, layer in self.layers.items():
            x, mask = batch.tokens[name].x[:, 0], batch.tokens[name].mask[:, 0, :, None]
            if name == "face":
                x = (x / 255 if x.dtype == torch.uint8 else x).unflatten(-1, (-1, 3))
                x = ((x - torch.tensor(MEAN)) / torch.tensor(STD)).flatten(-2)
            total = total + torch.tanh((layer(x) * mask).sum(1) / mask.sum(1).clamp(min=1))
        return {name: head(total) for name, head in self.heads.items()}

    def outputs(self, batch: Batch) -> Outputs:
        return Outputs(self(batch), torch.zeros(batch.size, 1), {}, {}, {})


def column(sequences: list[np.ndarray | None], width: int, kind: type) -> TokenColumn:
    """As `TokenColumn.of_sequences`, with numbers of a given type."""
    made = TokenColumn.of_sequences(sequences, width)
    return replace(made, x=made.x.astype(kind))


def picture_clips(n: int = 30, seed: int = 0, split: str = "", prefix: str = "clip") -> ClipTable:
    """Clip 3 has no pictures, clip 4 no words, clip 5 neither. Class 0 is twice as common as the others."""
    rng = np.random.default_rng(seed)
    label = np.maximum(np.arange(n) % (len(LABELS) + 1) - 1, 0)
    faces, words = [], []
    for i, k in enumerate(label):
        shift = np.arange(3 * SIDE * SIDE) % len(LABELS) == k
        pictures = rng.integers(0, 200, (1 + i % 3, 3 * SIDE * SIDE)) + 55 * shift
        faces.append(None if i in (3, 5) else pictures)
        words.append(None if i in (4, 5) else rng.normal(size=(1 + i % 2, 4)) + k)
    parts = np.array(["train", "train", "valid"])[np.arange(n) % 3] if not split else np.full(n, split)
    spec = TargetSpec("emotion", "single_label", LABELS)
    other = TargetSpec("face_emotion", "single_label", LABELS)
    known = np.full(n, True)
    return ClipTable(
        "pictures",
        np.array([f"{prefix}{i}" for i in range(n)]),
        parts,
        {"face": column(faces, 3 * SIDE * SIDE, np.uint8), "text": column(words, 4, np.float32)},
        {"emotion": TargetColumn(spec, label, known), "face_emotion": TargetColumn(other, label[::-1].copy(), known)},
    )


def plan(config: FusionConfig, table: ClipTable) -> Plan:
    specs = tuple(column.spec for column in table.targets.values())
    model = PictureModel({name: column.width for name, column in table.streams.items()}, specs)
    losses = {spec.name: build_loss(spec) for spec in specs}
    return Plan(
        table, tuple(table.streams), specs, model, Objective(specs, losses), config.optim, config.trainer,
        measure_of(specs, (config.trainer.watch,)),
    )  # fmt: skip


def picture_system(folders: dict[str, ClipTable]) -> System:
    """A system whose folders are tables: `data.modalities` and `data.targets` of the config are taken out of them."""

    def load(config: FusionConfig, *, root: Path | None = None, split: str | None = None) -> ClipTable:
        table = folders[str(root or config.data.root)]
        table = replace(
            table,
            streams={
                k: v for k, v in table.streams.items() if not config.data.modalities or k in config.data.modalities
            },
            targets={k: v for k, v in table.targets.items() if not config.data.targets or k in config.data.targets},
        )
        return table if split is None else table.where(split)

    return System("pictures", FusionConfig, plan, lambda config, widths, specs: PictureModel(widths, specs), load=load)
