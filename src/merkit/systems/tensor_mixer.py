"""Tensor mixer: voice, words and physiology multiplied, and seven classes with valence and arousal read from the product.

Cho, Ryu, Wallraven 2023 (ETRI human-understanding competition; KEMDy19 and KEMDy20), whole and corrected, with the rivals
it was compared with. Read downwards: clips → which tokens → encoders → model → losses → plan. docs/systems/tensor_mixer.md
maps every command and key of the original and names what was wrong in it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from merkit.data.batch import Batch
from merkit.data.leakage import check_standardiser
from merkit.data.table import ClipTable, TargetColumn
from merkit.data.token_sampling import Sampling, TokenSampling
from merkit.errors import ConfigError
from merkit.models.losses import build_loss
from merkit.models.low_rank import adapt
from merkit.models.started import load_fitting
from merkit.models.tensor_mixer import TensorMixer
from merkit.models.tuned import TextStates, WaveStates
from merkit.networks.speech_clock import SAMPLE_RATE
from merkit.networks.speech_pretrained import load_speech_encoder
from merkit.networks.text_pretrained import load_text_encoder
from merkit.schema import TargetSpec
from merkit.systems.physiology import check_windows, windows_encoder
from merkit.systems.tensor_mixer_config import TensorMixerConfig
from merkit.systems.tensor_mixer_data import load
from merkit.systems.tensor_mixer_presets import PRESETS
from merkit.training.fit import Plan
from merkit.training.measuring import measure_of
from merkit.training.objective import Objective
from merkit.training.optim import OptimConfig

__all__ = ["PRESETS", "ContrastObjective", "TensorMixerConfig", "build_model", "family", "load", "plan", "sampling"]


def sampling(config: TensorMixerConfig, table: ClipTable) -> Sampling | None:
    """Samples of a clip that are heard: the first `tune.max_speech_s`, where an encoder reads them."""
    if not config.tune.speech or "speech" not in table.streams:
        return None
    frames = round(config.tune.max_speech_s * SAMPLE_RATE / table.streams["speech"].width)
    return Sampling({"speech": TokenSampling(limit=max(frames, 1))})


def family(config: TensorMixerConfig, modalities: int) -> tuple[str, dict[str, Any], int]:
    """The fusion family, its parameters, and what each modality is projected to.

    An outer product of `M` modalities has as many entries as that of two, or fewer: `width^(2/M)` numbers each.

    Raises:
        ConfigError: a width that the mixer's patches do not tile.

    Example:
        >>> config = TensorMixerConfig()
        >>> [family(config, many)[2] for many in (1, 2, 3)]
        [64, 64, 16]
    """
    c = config
    if c.fusion == "low_rank":
        return "tensor", {"rank": c.rank, **c.fusion_params}, c.width
    if c.fusion not in ("tensor_mixer", "tensor"):
        return c.fusion, dict(c.fusion_params), c.width
    mixed = c.fusion == "tensor_mixer"
    ones = (not mixed) if c.ones == "auto" else c.ones == "append"
    # what stands in the product, the appended one included
    most = c.width + (ones and not mixed)
    if modalities > 2:
        most = int(most ** (2 / modalities) + 1e-6)
    params: dict[str, Any] = {"project": False, "ones": ones}
    if not mixed:
        return "tensor", {**params, "reducer": "mlp", "width": c.width, **c.fusion_params}, max(most - ones, 1)
    m = c.mixer
    if c.width % m.patch:
        raise ConfigError(f"width={c.width}: no multiple of mixer.patch={m.patch}")
    side = max(most // m.patch, 1) * m.patch
    params |= {"reducer": "mixer", "patch": m.patch, "channels": m.channels, "width": m.channels}
    return "tensor", {**params, "depth": m.depth, "expansion": m.expansion, **c.fusion_params}, side - ones


def build_model(config: TensorMixerConfig, widths: Mapping[str, int], specs: tuple[TargetSpec, ...]) -> TensorMixer:
    """The network for modalities of these widths, to load trained weights into."""
    return _model(config, widths, specs, weights=False)


def _model(
    config: TensorMixerConfig, widths: Mapping[str, int], specs: tuple[TargetSpec, ...], *, weights: bool
) -> TensorMixer:
    encoders = _encoders(config, tuple(widths), weights=weights)
    widths = {name: encoders[name].width if name in encoders else width for name, width in widths.items()}
    name, params, width = family(config, len(widths))
    pooling = {"text": "first"} if "text" in encoders else {}
    return TensorMixer(
        widths,
        specs,
        fusion=name,
        fusion_params=params,
        width=width,
        pooling=pooling | config.pooling,
        hidden=config.hidden,
        activation=config.activation,
        dropout=config.dropout,
        modality_dropout=config.modality_dropout if len(widths) > 1 else 0.0,
        encoders=encoders,
        contrast=config.contrast > 0,
        probe=config.probe,
    )


def _encoders(config: TensorMixerConfig, modalities: tuple[str, ...], *, weights: bool) -> dict[str, Any]:
    tune, lora = config.tune, config.tune.lora
    made: dict[str, Any] = {}
    if tune.text and "text" in modalities:
        text = load_text_encoder(
            tune.text, max_tokens=tune.max_tokens, freeze_layers=tune.freeze_text, weights=weights, training=True
        )
        made["text"] = TextStates(text)
    if tune.speech and "speech" in modalities:
        made["speech"] = WaveStates(load_speech_encoder(tune.speech, freeze_layers=tune.freeze_speech))
    if config.physiology.encoder and "physiology" in modalities:
        made["physiology"] = windows_encoder(config.physiology, config.physiology.width, config.dropout)
    if lora.rank:
        if missing := set(lora.modalities) - set(made) | {"physiology"} & set(lora.modalities):
            raise ConfigError(f"tune.lora.modalities: no encoder of {', '.join(sorted(missing))} is trained along")
        for name in lora.modalities:
            adapt(made[name].encoder.backbone, lora.layers, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout)
    return made


class ContrastObjective(Objective):
    """`Objective`, and how badly the modalities of a clip find each other.

    Args:
        specs: the targets.
        losses: target -> loss.
        weights: target -> factor.
        contrast: factor of what the model's `outputs(batch).contrast` says.
    """

    def __init__(
        self,
        specs: tuple[TargetSpec, ...],
        losses: Mapping[str, nn.Module],
        weights: Mapping[str, float],
        contrast: float,
    ) -> None:
        super().__init__(specs, losses, weights=weights)
        self.contrast = contrast

    def _single(self, out: Any, batch: Batch) -> Tensor:
        total = super()._single(out, batch)
        return total if out.contrast is None else total + self.contrast * out.contrast


def plan(config: TensorMixerConfig, table: ClipTable) -> Plan:
    """Everything that `fit` needs. Standardisation and class weights come from the training clips alone."""
    train = table.where("train")
    specs = tuple(column.spec for column in table.targets.values())
    model = _model(config, {name: column.width for name, column in table.streams.items()}, specs, weights=True)
    _begin_at_means(model, train)
    if config.start_from:
        load_fitting(model, config.start_from)
    if config.standardise:
        model.fit_standardiser(train.streams)
        for name, layer in model.scales.items():
            check_standardiser(layer.centre.numpy(), layer.scale.numpy(), table, name).raise_if_leaking()
        if "physiology" in model.encoders:
            check_windows(model.encoders["physiology"], table)
    losses = {spec.name: _loss(config, spec, train.targets[spec.name]) for spec in specs}
    return Plan(
        table=table,
        modalities=tuple(table.streams),
        specs=specs,
        model=model,
        objective=ContrastObjective(specs, losses, _weights(config, specs), config.contrast),
        optim=_rates(config, model),
        trainer=config.trainer,
        measure=measure_of(specs, (config.trainer.watch, *config.trainer.best_by)),
        sampling=sampling(config, table),
    )


@torch.no_grad()
def _begin_at_means(model: TensorMixer, train: ClipTable) -> None:
    """Numbers begin at their means over training clips: on a scale from 1 to 5, zero is far away."""
    for spec, linear in zip(model.specs, model.heads.linears, strict=True):
        column = train.targets[spec.name]
        if spec.kind == "regression":
            count = column.valid.sum(0)
            mean = np.where(column.valid, column.value, 0.0).sum(0) / np.maximum(count, 1)
            assert isinstance(linear, nn.Linear)
            linear.bias.copy_(torch.from_numpy(mean))


def _loss(config: TensorMixerConfig, spec: TargetSpec, column: TargetColumn) -> nn.Module:
    if spec.kind == "regression":
        return build_loss(spec, config.reg_loss, column=column)
    own: dict[str, Any] = {"gamma": config.gamma} if "focal" in config.cls_loss else {}
    if config.class_weight != "none":
        own["class_weight"] = config.class_weight
    return build_loss(spec, config.cls_loss, column=column, **own)


def _weights(config: TensorMixerConfig, specs: tuple[TargetSpec, ...]) -> dict[str, float]:
    """Target -> factor: `cls_coef` over those with classes, the rest over those with numbers."""
    numbers = [spec.name for spec in specs if spec.kind == "regression"]
    classes = [spec.name for spec in specs if spec.kind != "regression"]
    share = config.cls_coef if numbers and classes else 1.0
    rest = 1 - share if numbers and classes else 1.0
    return {name: share / len(classes) for name in classes} | {name: rest / len(numbers) for name in numbers}


def _rates(config: TensorMixerConfig, model: TensorMixer) -> OptimConfig:
    """Pretrained encoders that are trained along have a rate of their own."""
    learning = [
        name
        for name, part in model.encoders.items()
        if name != "physiology" and any(p.requires_grad for p in part.parameters())
    ]
    own = {f"encoders.{name}": config.tune.lr for name in learning}
    return config.optim.model_copy(update={"module_lr": {**own, **config.optim.module_lr}})
