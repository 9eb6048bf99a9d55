"""SSE-FT and the "BERT-like" pairs: transformers over self-supervised embeddings of words, voice and face.

Siriwardhana et al. 2020 (IEEE Access 8; Interspeech, arXiv 2008.06682). Read downwards: config → table → model → losses →
plan. docs/systems/sse_ft.md maps every flag of the published commands.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from merkit.data.leakage import check_standardiser
from merkit.data.table import ClipTable, TargetColumn
from merkit.errors import ConfigError
from merkit.models.losses import build_loss
from merkit.models.sse_ft import SSEFT
from merkit.schema import TargetSpec
from merkit.systems.data import load_table
from merkit.systems.sse_ft_config import PRESETS, SWITCHES, SSEFTConfig
from merkit.systems.sse_ft_encoders import (
    build_encoders,
    check_class_tokens,
    checked_units,
    checked_waveforms,
    published_ids,
)
from merkit.systems.text_encoder import word_ids
from merkit.training.fit import Plan
from merkit.training.measuring import measure_of
from merkit.training.objective import Objective

__all__ = ["PRESETS", "SSEFTConfig", "build_model", "load", "plan"]


def load(config: SSEFTConfig, *, root: Path | None = None, split: str | None = None) -> ClipTable:
    """The clips with the modalities that are asked for.

    Raises:
        ConfigError: a modality is switched on and not there, or switched on in two ways that disagree; or what an encoder
            is to read is not what it reads.
    """
    data, wanted = config.data, config.chosen
    if wanted and data.modalities and set(wanted) != set(data.modalities):
        raise ConfigError(
            f"t_only, a_only, v_only and all_in ask for {', '.join(wanted)}; data.modalities for {', '.join(data.modalities)}"
        )
    if config.tune_text and data.text_encoder:
        raise ConfigError(
            "tune_text makes text states of the words; data.text_encoder makes features: take one of them"
        )
    if config.tune_speech and config.speech_units:
        raise ConfigError("tune_speech reads samples, speech_units reads units: take one of them (speech_units=0)")
    if config.speech_ids and not config.speech_units:
        raise ConfigError("speech_ids: say how many different ids there are in speech_units")
    wanted = wanted or data.modalities
    judging, where = split is not None or root is not None, root if root is not None else data.root
    made = [name for name, own in (("text", config.tune_text), ("speech", config.speech_ids)) if own]
    made = [name for name in made if not wanted or name in wanted]
    stored = tuple(name for name in wanted if name not in made)
    table = load_table(data.model_copy(update={"modalities": stored}), root=root, split=split)
    streams = {name: column for name, column in table.streams.items() if not wanted or name in stored}
    about = dict(table.provenance)
    if "speech" in made:
        streams["speech"], about["speech"] = published_ids(table, where if where.is_dir() else where.parent)
    if "text" in made:
        streams["text"], about["text"] = word_ids(table, config.tune_text)
    order = [name for name in (*SWITCHES, *streams) if name in streams] if made else list(streams)
    table = replace(table, streams={name: streams[name] for name in order}, provenance=about)
    if config.speech_units and "speech" in streams:
        table = checked_units(table, config, judging=judging)
    if config.tune_speech and "speech" in streams:
        table = checked_waveforms(table, config.tune_speech)
    check_class_tokens(config, table, where if where.is_dir() else where.parent, judging=judging)
    if config.target == "one_vs_rest":
        table = replace(table, targets={name: _one_vs_rest(column) for name, column in table.targets.items()})
    return table


def _one_vs_rest(column: TargetColumn) -> TargetColumn:
    """Classes as independent yes or no."""
    if column.spec.kind != "single_label":
        return column
    value = np.eye(len(column.spec.labels), dtype=np.float32)[column.value]
    valid = np.repeat(column.valid[:, None], len(column.spec.labels), 1)
    return TargetColumn(TargetSpec(column.spec.name, "multi_label", column.spec.labels), value, valid, column.votes)


def build_model(config: SSEFTConfig, widths: Mapping[str, int], specs: tuple[TargetSpec, ...]) -> SSEFT:
    """The network for modalities of these widths; a tuned encoder has random weights, to load trained ones into."""
    return _model(config, widths, specs, weights=False)


def _model(config: SSEFTConfig, widths: Mapping[str, int], specs: tuple[TargetSpec, ...], *, weights: bool) -> SSEFT:
    encoders = build_encoders(config, tuple(widths), weights=weights)
    widths = {name: encoders[name].width if name in encoders else width for name, width in widths.items()}
    inter = config.inter
    if inter == "auto":
        inter = "hadamard" if len(widths) > 2 else "concat"
    return SSEFT(
        widths,
        specs,
        cls={name: kind for name, kind in config.cls.items() if name in widths},
        self_layers={name: count for name, count in config.self_layers.items() if name in widths},
        layers=config.encoder_layers,
        cross_layers=config.encoder_layers_cross,
        inter=inter,
        head=config.head,
        width=config.width,
        heads=config.encoder_attention_heads,
        feedforward=config.encoder_ffn_embed_dim,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        head_dropout=config.pooler_dropout,
        modality_dropout=config.modality_dropout,
        max_positions=config.max_positions,
        farthest=config.turns if config.data.earlier or config.data.later else 0,
        encoders=encoders,
    )


def plan(config: SSEFTConfig, table: ClipTable) -> Plan:
    """Everything that `fit` needs. Standardisation comes from the training clips alone."""
    train = table.where("train")
    specs = tuple(column.spec for column in table.targets.values())
    model = _model(config, {name: column.width for name, column in table.streams.items()}, specs, weights=True)
    if config.standardise:
        model.fit_standardiser(train.streams)
        for name, stage in model.stages.items():
            if name not in model.encoders:
                layer = stage.scale
                check_standardiser(layer.centre.numpy(), layer.scale.numpy(), table, name).raise_if_leaking()
    losses = {spec.name: build_loss(spec, _loss(config.loss, spec), column=train.targets[spec.name]) for spec in specs}
    return Plan(
        table=table,
        modalities=tuple(table.streams),
        specs=specs,
        model=model,
        objective=Objective(specs, losses),
        optim=config.optim,
        trainer=config.trainer,
        measure=measure_of(specs, (config.trainer.watch, *config.trainer.best_by)),
        context=(config.data.earlier, config.data.later),
    )


_FITTING = {"l1": "regression", "mse": "regression", "cross_entropy": "single_label", "bce": "multi_label"}


def _loss(asked: str, spec: TargetSpec) -> str:
    if asked != "auto" and _FITTING[asked] == spec.kind:
        return asked
    return "l1" if spec.kind == "regression" else "auto"
