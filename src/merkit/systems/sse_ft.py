"""SSE-FT and the "BERT-like" pairs: transformers over self-supervised embeddings of words, voice and face.

Siriwardhana et al. 2020 (IEEE Access 8; Interspeech, arXiv 2008.06682). Read downwards: config → table → model → losses →
plan. docs/systems/sse_ft.md maps every flag of the published commands.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from torch import nn

from merkit.config import Config
from merkit.data.leakage import check_standardiser
from merkit.data.table import ClipTable, Provenance, TargetColumn
from merkit.errors import ConfigError
from merkit.models.losses import build_loss
from merkit.models.sse_ft import SSEFT
from merkit.networks.text_pretrained import load_text_encoder
from merkit.schema import TargetSpec
from merkit.systems.data import DataConfig, SplitConfig, load_table
from merkit.systems.text_encoder import token_column
from merkit.training.config import TrainerConfig
from merkit.training.fit import Plan
from merkit.training.measuring import measure_of
from merkit.training.objective import Objective
from merkit.training.optim import OptimConfig

__all__ = ["PRESETS", "SSEFTConfig", "build_model", "load", "plan"]

_SWITCHES = {"text": "t_only", "speech": "a_only", "face": "v_only"}


class SSEFTConfig(Config):
    """A run of SSE-FT or of a BERT-like pair."""

    data: DataConfig = DataConfig()
    """Clips, features, splits. `data.earlier` and `data.later` let the turns around a clip join its tokens."""
    t_only: bool = False
    """Words. These three add up, as published: two of them make that pair. None of them = all modalities there are."""
    a_only: bool = False
    """Voice."""
    v_only: bool = False
    """Face."""
    all_in: bool = False
    """All three, whatever the switches say; each must be there."""
    target: Literal["as_it_is", "one_vs_rest"] = "as_it_is"
    """`one_vs_rest` makes a yes or no of every class, as `--binary-target-iemocap`."""
    loss: Literal["auto", "l1", "mse", "cross_entropy", "bce"] = "auto"
    """`auto`: cross entropy for classes, BCE for yes or no (two-way NLL is the same), L1 for numbers. A loss that is named
    is for the targets that it fits."""
    inter: Literal["auto", "hadamard", "concat", "none"] = "auto"
    """How modalities meet. `auto`: product for three, side by side for two; `none`: class tokens alone (shallow fusion)."""
    head: Literal["tanh", "linear"] = "tanh"
    """`tanh`: two layers, as SSE-FT; `linear`: one, as the BERT-like models."""
    cls: dict[str, Literal["learned", "first", "mean"]] = {}  # noqa: RUF012  pydantic copies defaults
    """Modality -> class token; `learned` where it is not named. `first` for text whose encoder puts one in front."""
    encoder_layers: int = Field(2, ge=0)
    """Self-attention layers of each modality, where `self_layers` does not say otherwise."""
    self_layers: dict[str, int] = {}  # noqa: RUF012
    """Modality -> self-attention layers; published: `{text: 0}`, with `cls: {text: first}`."""
    encoder_layers_cross: int = Field(2, ge=1)
    """Layers of each of the inter-modal stacks."""
    encoder_attention_heads: int = Field(0, ge=0)
    """Heads; 0 = as many as divide a modality's width, at most four."""
    encoder_ffn_embed_dim: int = Field(1024, ge=1)
    """Inner width of all layers."""
    width: int = Field(0, ge=0)
    """Project every modality to this width first; 0 = each keeps its own, as published."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """On embeddings and within layers."""
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """On attention weights. Published: 0.1; on a CPU it costs the fused kernel."""
    pooler_dropout: float = Field(0.1, ge=0, lt=1)
    """In the head."""
    modality_dropout: float = Field(0.1, ge=0, lt=1)
    """How often a modality of a clip is hidden in training, so that the model can do without. Published: never."""
    max_positions: int = Field(1024, ge=1)
    """Places of a token with a code of their own; published: 512, 936 and 301."""
    turns: int = Field(20, ge=1)
    """With context: turns on either side with a code of their own."""
    tune_text: str = ""
    """Train this text encoder along: `minilm`, a Hugging Face name or a folder. Empty: text features as they are."""
    freeze_layers: int = Field(0, ge=-1)
    """Of `tune_text`: so many layers from below stay as they are; -1 = all (`--frozen-ssl`)."""
    standardise: bool = True
    """Bring features to mean 0 and deviation 1 by the training clips. Published: as they are."""
    optim: OptimConfig = OptimConfig(lr=3e-4, betas=(0.9, 0.98), weight_decay=0.1, schedule="polynomial", warmup=0.06)
    """How weights move."""
    trainer: TrainerConfig = TrainerConfig(max_epochs=20, batch_size=32)
    """Epochs, batches, and by what the best epoch is chosen (`trainer.watch`), early stopping (`trainer.patience`)."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """Modalities that the switches ask for; empty = all that are there."""
        if self.all_in:
            return tuple(_SWITCHES)
        return tuple(name for name, switch in _SWITCHES.items() if getattr(self, switch))


def load(config: SSEFTConfig, *, root: Path | None = None, split: str | None = None) -> ClipTable:
    """The clips with the modalities that are asked for.

    Raises:
        ConfigError: a modality is switched on and not there, or switched on in two ways that disagree.
    """
    data, wanted = config.data, config.chosen
    if wanted and data.modalities and set(wanted) != set(data.modalities):
        raise ConfigError(
            f"t_only, a_only, v_only and all_in ask for {', '.join(wanted)}; data.modalities for {', '.join(data.modalities)}"
        )
    wanted = wanted or data.modalities
    if config.tune_text:
        if data.text_encoder:
            raise ConfigError(
                "tune_text makes text states of the words; data.text_encoder makes features: take one of them"
            )
        stored = tuple(name for name in wanted if name != "text")
        table = load_table(data.model_copy(update={"modalities": stored}), root=root, split=split)
        if not wanted or "text" in wanted:
            table = _with_ids(table, config, stored if wanted else tuple(n for n in table.streams if n != "text"))
    else:
        table = load_table(data.model_copy(update={"modalities": wanted}), root=root, split=split)
    if config.target == "one_vs_rest":
        table = replace(table, targets={name: _one_vs_rest(column) for name, column in table.targets.items()})
    return table


def _with_ids(table: ClipTable, config: SSEFTConfig, others: tuple[str, ...]) -> ClipTable:
    """Words as a stream of token ids, first; and the other modalities."""
    if table.texts is None:
        raise ConfigError(f"tune_text={config.tune_text}: corpus {table.name} has no words")
    encoder = load_text_encoder(config.tune_text, weights=False)
    column, cut = token_column(table.texts, encoder.tokeniser)
    source = f"token ids of {encoder.name}" + (f"; {cut} texts lose their end" if cut else "")
    return replace(
        table,
        streams={"text": column, **{name: table.streams[name] for name in others}},
        provenance={**table.provenance, "text": Provenance(source)},
    )


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
    encoders: dict[str, nn.Module] = {}
    if config.tune_text and "text" in widths:
        encoder = load_text_encoder(
            config.tune_text, freeze_layers=config.freeze_layers, weights=weights, training=True
        )
        encoders["text"], widths = encoder, {**widths, "text": encoder.width}
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


def _mosei() -> SSEFTConfig:
    """The published command for MOSEI: three modalities, L1, plateau."""
    return SSEFTConfig(
        all_in=True,
        cls={"text": "first"},
        self_layers={"text": 0},
        encoder_attention_heads=4,
        attention_dropout=0.1,
        modality_dropout=0.0,
        standardise=False,
        optim=OptimConfig(lr=1e-3, betas=(0.9, 0.98), weight_decay=0.1, schedule="plateau"),
        trainer=TrainerConfig(max_epochs=32, batch_size=4, accumulate=2, clip=0.0),
    )


def _bert_like() -> SSEFTConfig:
    """The published command for IEMOCAP: two tuned encoders, their class tokens side by side, one linear layer."""
    return SSEFTConfig(
        t_only=True,
        a_only=True,
        target="one_vs_rest",
        inter="none",
        head="linear",
        cls={"text": "first", "speech": "first"},
        encoder_layers=0,
        encoder_layers_cross=1,
        encoder_attention_heads=2,
        attention_dropout=0.1,
        modality_dropout=0.0,
        standardise=False,
        tune_text="roberta-large",
        data=DataConfig(label_map="iemocap4_exc", split=SplitConfig(kind="group_fold", by="session", fold=4)),
        optim=OptimConfig(lr=1e-5, betas=(0.9, 0.98), weight_decay=0.1, schedule="polynomial", warmup=165),
        trainer=TrainerConfig(max_epochs=10, batch_size=1, accumulate=8, clip=0.0),
    )


def _co_attention() -> SSEFTConfig:
    """The same pair with one layer of attention both ways (`--stack-up`)."""
    return _bert_like().model_copy(update={"inter": "concat"})


def _context() -> SSEFTConfig:
    """One feature an utterance, seen among the utterances of its video."""
    return SSEFTConfig(
        data=DataConfig(earlier=-1, later=-1),
        cls={"text": "mean", "speech": "mean", "face": "mean"},
        width=64,
        encoder_layers=1,
        encoder_layers_cross=1,
        encoder_ffn_embed_dim=128,
        dropout=0.3,
        pooler_dropout=0.3,
        optim=OptimConfig(lr=5e-4, betas=(0.9, 0.98), weight_decay=0.1, schedule="cosine", warmup=0.1),
        trainer=TrainerConfig(max_epochs=15, batch_size=64),
    )


PRESETS = {"mosei": _mosei, "bert_like": _bert_like, "co_attention": _co_attention, "context": _context}
