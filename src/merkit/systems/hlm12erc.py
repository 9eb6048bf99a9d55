"""HLM12ERC: emotion in conversation from words behind the dialogue before them, voice, and pictures.

H. L. Mendes (University of London, CM3070 final project, 2023; MELD), whole and corrected: attention between the modalities
of a clip in place of one over the batch, 16 kHz sound with masks, frames as a time axis, dialogues cut from the left, losses
on logits. Read downwards: clips → which tokens → readers → model → losses → plan. docs/systems/hlm12erc.md maps every command,
key and configuration of the original and names what was wrong in it.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from merkit.data.leakage import check_standardiser
from merkit.data.table import ClipTable, TargetColumn
from merkit.data.token_sampling import Sampling
from merkit.models.hlm12erc import HLM12ERC, DialogueText
from merkit.models.hlm12erc.fusion import MultiHeadedFusion
from merkit.models.losses import EMBEDDING_LOSSES, LOSSES, build_loss
from merkit.networks.text_pretrained import load_text_encoder
from merkit.schema import TargetSpec
from merkit.systems.hlm12erc_config import HLM12ERCConfig
from merkit.systems.hlm12erc_data import load
from merkit.systems.hlm12erc_presets import PRESETS
from merkit.training.fit import Plan
from merkit.training.measuring import measure_of
from merkit.training.objective import Objective
from merkit.training.optim import OptimConfig

__all__ = ["PRESETS", "HLM12ERCConfig", "build_model", "load", "plan", "sampling"]


def sampling(config: HLM12ERCConfig, table: ClipTable) -> Sampling | None:
    """Which tokens are looked at: all words."""
    return None


def build_model(config: HLM12ERCConfig, widths: Mapping[str, int], specs: tuple[TargetSpec, ...]) -> HLM12ERC:
    """The network for modalities of these widths, to load trained weights into."""
    return _model(config, widths, specs, weights=False)


def _model(
    config: HLM12ERCConfig, widths: Mapping[str, int], specs: tuple[TargetSpec, ...], *, weights: bool
) -> HLM12ERC:
    readers = {name: _reader(config, name, width, weights=weights) for name, width in widths.items()}
    attends = config.fusion == "multi_headed_attn"
    return HLM12ERC(
        readers,
        specs,
        fusion=MultiHeadedFusion if attends else config.fusion,
        fusion_params={"heads": config.fusion_heads, "dropout": config.fusion_dropout} if attends else {},
        width=config.fusion_width,
        l2norm=[name for name in widths if getattr(config, name).l2norm],
        fused_l2norm=config.fusion_l2norm and config.fusion == "concat",
        layers=[(layer.out_features, layer.dropout) for layer in config.feedforward],
        layers_l2norm=config.feedforward_l2norm,
        modality_dropout=config.modality_dropout if len(widths) > 1 else 0.0,
    )


def _reader(config: HLM12ERCConfig, name: str, width: int, *, weights: bool) -> nn.Module:
    text = config.text
    encoder = load_text_encoder(
        text.encoder,
        pooling="last",
        max_tokens=text.limit,
        freeze_layers=text.freeze_layers,
        weights=weights,
        training=True,
        download=text.download,
    )
    return DialogueText(encoder, pooling=text.pooling, attention=text.attention, share=text.share)


def plan(config: HLM12ERCConfig, table: ClipTable) -> Plan:
    """Everything that `fit` needs. Standardisation and class weights come from the training clips alone."""
    train = table.where("train")
    specs = tuple(column.spec for column in table.targets.values())
    widths = {name: column.width for name, column in table.streams.items()}
    model = _model(config, widths, specs, weights=True)
    model.fit_standardiser(train.streams)
    for name, reader in model.readers.items():
        if hasattr(reader, "scale"):
            check_standardiser(reader.scale.centre.numpy(), reader.scale.scale.numpy(), table, name).raise_if_leaking()
    losses = {spec.name: _loss(config, spec, train.targets[spec.name]) for spec in specs}
    contrast: Any = None
    if config.contrast != "none":
        contrast = (EMBEDDING_LOSSES[config.contrast](**config.contrast_params), config.contrast_weight)
    return Plan(
        table=table,
        modalities=tuple(table.streams),
        specs=specs,
        model=model,
        objective=Objective(specs, losses, embedding=contrast),
        optim=_rates(config, model),
        trainer=config.trainer,
        measure=measure_of(specs, (config.trainer.watch, *config.trainer.best_by)),
        context=(config.data.earlier, 0) if config.text.context and "text" in widths else (0, 0),
        sampling=sampling(config, table),
    )


def _loss(config: HLM12ERCConfig, spec: TargetSpec, column: TargetColumn) -> nn.Module:
    parts = [part.rpartition("*")[2].strip() for part in config.loss.split("+")]
    if all(spec.kind in LOSSES.get(part, {spec.kind}) for part in parts):  # an unknown name is told by `build_loss`
        return build_loss(spec, config.loss, column=column, **config.loss_params)
    return build_loss(spec, column=column)


def _rates(config: HLM12ERCConfig, model: HLM12ERC) -> OptimConfig:
    """Encoders with a rate of their own."""
    own = {
        f"readers.{name}.encoder": rate
        for name, reader in model.readers.items()
        if (rate := getattr(config, name).lr)
        and hasattr(reader, "encoder")
        and any(p.requires_grad for p in reader.encoder.parameters())
    }
    return config.optim.model_copy(update={"module_lr": {**own, **config.optim.module_lr}})
