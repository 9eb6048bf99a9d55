"""Small networks of every kind with the config that an export of them would have, and batches of many shapes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from merkit.export.clips import Check, made_batch
from merkit.export.config import MerkitConfig
from merkit.export.model import answer_of
from merkit.models.classifier import FusionModel
from merkit.models.emotx import EmoTx
from merkit.models.members import Members
from merkit.models.merc2020 import MERC2020Model
from merkit.models.physiology import PhysiologyEncoder
from merkit.models.scene_baselines import SingleStreamModel
from merkit.models.sse_ft import SSEFT
from merkit.models.tensor_mixer import TensorMixer
from merkit.models.unit_encoder import UnitEncoder
from merkit.schema import TargetSpec
from merkit.training.run import facts_of

EMOTION = TargetSpec("emotion", "single_label", ("joy", "anger", "calm"))
RATING = TargetSpec("rating", "regression", ("valence", "arousal"))
SCENE = TargetSpec("scene", "multi_label", ("joy", "anger"))
CHARACTER = TargetSpec("character", "multi_label", ("joy", "anger"), True)
TWO = {"text": 7, "speech": 5}
THREE = {**TWO, "face": 4}
FILM = {"scene": 6, "face": 5, "text": 4}
SIGNALS = {"text": 7, "physiology": 170}
_CLIP = {"speech": 64, "face": 3 * 32 * 32, "text": 20}
_SMALL: dict[str, dict[str, Any]] = {
    "speech": {"backbone": "tiny", "frames": 64, "hidden": 4},
    "face": {"backbone": "tiny", "hidden": 4},
    "text": {"layers": 2, "heads": 4, "feedforward": 8},
}


@dataclass(frozen=True)
class Case:
    """How one network is made, and what it takes."""

    make: Callable[[], nn.Module]
    widths: Mapping[str, int]
    specs: tuple[TargetSpec, ...] = (EMOTION,)
    personal: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    dtype: Mapping[str, str] = field(default_factory=dict)
    context: tuple[int, int] = (0, 0)


def _fusion(name: str, **options: Any) -> Case:
    return Case(lambda: FusionModel(TWO, (EMOTION,), fusion=name, width=8, **options), TWO)


def _around(where: Any, kind: Any) -> Case:
    return Case(lambda: FusionModel(TWO, (EMOTION,), width=8, context=where, context_kind=kind), TWO, context=(1, 1))


def _mixer() -> nn.Module:
    encoder = PhysiologyEncoder({"ecg": 128, "eda": 40}, width=8)
    widths, encoders = {"text": 7, "physiology": 8}, {"physiology": encoder}
    return TensorMixer(widths, (EMOTION,), fusion="cross_attention", width=8, encoders=encoders)


CASES: dict[str, Case] = {
    **{name: _fusion(name) for name in ("concat", "modality_attention", "tensor", "cross_modal", "cross_attention")},
    "label_query": _fusion("label_query", fusion_params={"joint": True}),
    "pool-first": _fusion("concat", pooling="first"),
    "pool-last": _fusion("concat", pooling="last"),
    "members": Case(
        lambda: Members(lambda: FusionModel(TWO, (EMOTION, RATING), late=True, width=8), 2), TWO, (EMOTION, RATING)
    ),
    "persons": Case(
        lambda: FusionModel({"text": 3, "face": 4}, (SCENE, CHARACTER), width=8),
        {"text": 3, "face": 4},
        (SCENE, CHARACTER),
        personal=("face",),
    ),
    "context-gru": _around("streams", "gru"),
    "context-lstm": _around("fused", "lstm"),
    "context-attention": _around("fused", "attention"),
    "sse_ft": Case(lambda: SSEFT(THREE, (EMOTION,), feedforward=8), THREE),
    "sse_ft-concat": Case(
        lambda: SSEFT(TWO, (EMOTION,), feedforward=8, cls={"text": "first", "speech": "mean"}, inter="concat", width=8), TWO
    ),
    "sse_ft-context": Case(
        lambda: SSEFT(TWO, (EMOTION,), feedforward=8, cls={"text": "mean"}, inter="none", farthest=3),
        TWO,
        context=(1, 1),
    ),
    "sse_ft-units": Case(
        lambda: SSEFT(
            {"text": 7, "speech": 8}, (EMOTION,), feedforward=8, cls={"speech": "first"}, inter="none",
            encoders={"speech": UnitEncoder(9, width=8)},
        ),
        {"text": 7, "speech": 1},
        dtype={"speech": "ids"},
    ),
    "tensor_mixer": Case(_mixer, SIGNALS),
    **{
        f"merc2020-{mode}": Case(
            lambda mode=mode: MERC2020Model(mode, _CLIP, (EMOTION,), **_SMALL),
            {name: width for name, width in _CLIP.items() if mode in (name, "multimodal")},
            dtype={"face": "uint8"},
        )
        for mode in ("text", "multimodal")
    },
    "emotx": Case(
        lambda: EmoTx(FILM, (SCENE, CHARACTER), width=16, feedforward=8), FILM, (SCENE, CHARACTER), ("face",), tuple(FILM)
    ),
    "emotx-1cls": Case(
        lambda: EmoTx(FILM, (CHARACTER,), width=16, feedforward=8, queries="one", absent_queries=True),
        FILM,
        (CHARACTER,),
        ("face",),
        tuple(FILM),
    ),
    **{
        f"emotx-{kind}": Case(
            lambda kind=kind: SingleStreamModel(FILM, (SCENE, CHARACTER), kind=kind),
            FILM,
            (SCENE, CHARACTER),
            ("face",),
            ("face", "scene") if kind == "transformer" else (),
        )
        for kind in ("transformer", "mlp")
    },
}  # fmt: skip


def network(case: Case) -> nn.Module:
    """With nothing left at zero, and standardisation that does something."""
    torch.manual_seed(0)
    model = case.make().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim < 2 or not parameter.abs().max():
                parameter.add_(torch.randn_like(parameter) * 0.2)
        for name, buffer in model.named_buffers():
            if name.endswith("centre"):
                buffer.add_(0.3)
            elif name.endswith("scale"):
                buffer.mul_(1.7)
    return model


def config_of(case: Case) -> MerkitConfig:
    """As `merkit export` would write it."""
    return MerkitConfig(
        system="fusion",
        modalities=list(case.widths),
        widths=dict(case.widths),
        targets=facts_of(case.specs),
        temperature=[{"emotion": 1.7, "scene": 0.6}],
        context=list(case.context),
        times=list(case.times),
        streams={
            name: {
                "source": "",
                "dtype": case.dtype.get(name, "float32"),
                "per_entity": name in case.personal,
            }
            for name in case.widths
        },
    )


def checks_for(case: Case, model: nn.Module) -> list[Check]:
    """Batches of one and more clips, of one and more tokens."""
    sizes = ((1, 1), (2, 4), (5, 13))
    batches = [made_batch(config_of(case), size, length, model, seed=size) for size, length in sizes]
    return [Check(f"{batch.size} clips", batch) for batch in batches]


def said(case: Case, model: nn.Module, check: Check) -> dict[str, torch.Tensor]:
    """What the network answers, as graphs name it."""
    config = config_of(case)
    with torch.no_grad():
        logits, probs = answer_of([model(check.batch)], config.specs, config.temperature)
    return {f"{name}.logits": x for name, x in logits.items()} | {f"{name}.probs": x for name, x in probs.items()}
