"""A small table, its batches and models over it, for the tests of models."""

import itertools
from collections.abc import Sequence

import numpy as np
import torch

from merkit.data import Batch, ClipTable, TargetColumn, TokenColumn, collate
from merkit.models import FusionModel
from merkit.schema import TargetSpec

WIDTHS = {"text": 5, "speech": 4, "face": 3}
EMOTION = TargetSpec("emotion", "single_label", ("joy", "anger", "neutral"))
SOCIAL = TargetSpec("mood", "multi_label", ("kind", "tense"))
CONTEXTS = [("none", "gru"), *itertools.product(("streams", "fused"), ("gru", "lstm", "attention"))]
CLIPS = 24
SUBSETS = [s for n in (1, 2, 3) for s in itertools.combinations(WIDTHS, n)]


def table(complete: bool = False) -> ClipTable:
    """Four dialogues of six turns. Unless `complete`: in the first two each turn has another subset of the modalities,
    one of them none at all; nobody in the third has text and nobody in the fourth anything else."""
    rng = np.random.default_rng(0)
    has = [*SUBSETS, (), *SUBSETS[:4], *[("speech", "face")] * 6, *[("text",)] * 6]

    def stream(name: str, width: int) -> TokenColumn:
        return TokenColumn.of_sequences(
            [
                rng.normal(size=(rng.integers(1, 5), width)) * 3 + 1 if complete or name in has[i] else None
                for i in range(CLIPS)
            ],
            width,
        )

    columns = {
        "emotion": TargetColumn(EMOTION, rng.integers(0, 3, CLIPS), np.ones(CLIPS, bool)),
        "mood": TargetColumn(SOCIAL, rng.integers(0, 2, (CLIPS, 2)).astype(np.float32), np.ones((CLIPS, 2), bool)),
    }
    ids = np.array([f"clip-{i}" for i in range(CLIPS)])
    streams = {name: stream(name, width) for name, width in WIDTHS.items()}
    return ClipTable("made", ids, np.full(CLIPS, "train"), streams, columns)


def around(window: int = 2) -> np.ndarray:
    """`(n, 2 window + 1)` rows around each clip within its dialogue of six."""
    rows = np.arange(CLIPS)[:, None] + np.arange(-window, window + 1)
    return np.where((rows // 6 == np.arange(CLIPS)[:, None] // 6) & (rows >= 0), rows, -1)


def batch_of(
    clips: ClipTable, rows: Sequence[int], modalities: Sequence[str] = tuple(WIDTHS), context: str = "fused"
) -> Batch:
    return collate(
        clips,
        np.array(rows),
        modalities=tuple(modalities),
        context=None if context == "none" else around(),
    )


def model_of(
    fusion: str,
    context: tuple[str, str] = ("none", "gru"),
    modalities: Sequence[str] = tuple(WIDTHS),
    specs: Sequence[TargetSpec] = (EMOTION, SOCIAL),
    **options,
) -> FusionModel:
    torch.manual_seed(0)
    widths = {name: WIDTHS[name] for name in modalities}
    options = {"width": 8, "dropout": 0.0, "auxiliary": True, "late": True} | options
    model = FusionModel(widths, specs, fusion=fusion, context=context[0], context_kind=context[1], **options)
    model.fit_standardiser(table().streams)
    return model.eval()
