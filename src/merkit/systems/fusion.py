"""The generic recipe: features of any corpus, any subset of modalities, any fusion family.

Read downwards: config → table → model → objective → plan. The five published systems are the same four steps with their
own parts.
"""

import importlib.util
import logging
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from merkit.config import Config
from merkit.data.augment import Mixup
from merkit.data.leakage import check_standardiser
from merkit.data.table import ClipTable
from merkit.errors import ConfigError
from merkit.models.classifier import FusionModel
from merkit.models.losses import EMBEDDING_LOSSES, build_loss
from merkit.models.members import Members
from merkit.models.physiology import PhysiologyEncoder
from merkit.naming import check_names
from merkit.schema import TargetSpec
from merkit.systems.data import DataConfig
from merkit.systems.physiology import WindowsConfig, check_windows, windows_encoder
from merkit.training.config import TrainerConfig
from merkit.training.fit import Plan
from merkit.training.measuring import measure_of
from merkit.training.objective import Objective
from merkit.training.optim import OptimConfig

__all__ = ["FusionConfig", "ModelConfig", "ObjectiveConfig", "build_model", "own_class", "plan"]

_log = logging.getLogger(__name__)


class ModelConfig(Config):
    """The network."""

    fusion: str = "concat"
    """Family: `concat`, `modality_attention`, `tensor`, `cross_modal`, `cross_attention`, `label_query`; or a class of your own
    as `FILE.py:NAME` (see docs/own-fusion.md)."""
    fusion_params: dict[str, Any] = {}  # noqa: RUF012  pydantic copies defaults
    """Options of the family."""
    width: int = Field(64, ge=1)
    """Width that every modality is projected to."""
    pooling: str = "mean"
    """How the tokens of a modality become one vector, in families that fuse vectors."""
    hidden: int = Field(0, ge=0)
    """Width of a hidden layer before the heads; 0 = none."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Within the network."""
    input_dropout: float = Field(0.0, ge=0, lt=1)
    """On the features."""
    modality_dropout: float = Field(0.0, ge=0, lt=1)
    """How often a present modality of a clip is hidden in training, so that the model can do without."""
    context: Literal["none", "streams", "fused"] = "none"
    """Where the turns around a clip come in (`data.earlier`, `data.later`): `streams` before fusion, `fused` after it."""
    context_kind: Literal["gru", "lstm", "attention"] = "gru"
    """What reads the turns."""
    members: int = Field(1, ge=1)
    """Networks that are trained side by side and answer as one."""
    physiology: WindowsConfig = WindowsConfig()
    """How physiology is read, where it is raw windows: `model.physiology.encoder=true` learns an encoder of them."""
    late: bool = False
    """Add the logits of heads that see one modality alone to the joint ones."""


class ObjectiveConfig(Config):
    """What is minimised."""

    loss: str = "auto"
    """Loss of every target that is not named in `losses`; `auto` follows from its kind. Sums: `0.7*focal + 0.3*dice`."""
    losses: dict[str, str] = {}  # noqa: RUF012
    """Target -> its loss."""
    loss_params: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    """Target -> options of its loss: `{emotion: {smoothing: 0.1}}`, `{gamma: 2}`, `{pos_weight: auto}` …"""
    weights: dict[str, float] = {}  # noqa: RUF012
    """Target -> factor."""
    auxiliary: float = Field(0.0, ge=0)
    """Factor of the mean loss of heads that see one modality alone (multi-task λ)."""
    embedding_loss: Literal["none", "triplet", "supervised_contrastive"] = "none"
    """`triplet` or `supervised_contrastive` on the fused vectors, beside the rest."""
    embedding_weight: float = 0.1
    """Its factor."""
    mixup: float = Field(0.0, ge=0)
    """α of mixup; 0 = none."""
    mixup_prob: float = Field(1.0, ge=0, le=1)
    """Share of batches that are mixed."""


class FusionConfig(Config):
    """A run of the generic recipe."""

    data: DataConfig = DataConfig()
    """Clips, splits, context."""
    model: ModelConfig = ModelConfig()
    """The network."""
    objective: ObjectiveConfig = ObjectiveConfig()
    """What is minimised."""
    optim: OptimConfig = OptimConfig()
    """How."""
    trainer: TrainerConfig = TrainerConfig()
    """The rest."""


def own_class(text: str) -> Any:
    """The class that `FILE.py:NAME` names. The file is the user's own and is run.

    Raises:
        ConfigError: there is no such file, or no such name in it.
    """
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"model.fusion={text}: no file {path.resolve()}")
    spec = importlib.util.spec_from_file_location(f"merkit_own_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise ConfigError(f"model.fusion={text}: {path} defines no {name}")
    return getattr(module, name)


def build_model(config: FusionConfig, widths: dict[str, int], specs: tuple[TargetSpec, ...]) -> FusionModel | Members:
    """The network, or its members, for features of these widths, with fresh weights from torch's random numbers."""
    if config.model.members > 1:
        return Members(lambda: _network(config, widths, specs), config.model.members)
    return _network(config, widths, specs)


def _network(config: FusionConfig, widths: dict[str, int], specs: tuple[TargetSpec, ...]) -> FusionModel:
    c, encoders = config.model, {}
    if c.physiology.encoder and "physiology" in widths:
        encoders["physiology"] = windows_encoder(c.physiology, c.width, c.dropout)
    return FusionModel(
        widths,
        specs,
        fusion=own_class(c.fusion) if ":" in c.fusion else c.fusion,
        fusion_params=dict(c.fusion_params),
        width=c.width,
        pooling=c.pooling,
        hidden=c.hidden,
        dropout=c.dropout,
        modality_dropout=c.modality_dropout,
        input_dropout=c.input_dropout,
        context=c.context if config.data.earlier or config.data.later else "none",
        context_kind=c.context_kind,
        auxiliary=config.objective.auxiliary > 0,
        late=c.late,
        encoders=encoders,
    )


def plan(config: FusionConfig, table: ClipTable) -> Plan:
    """Everything that `fit` needs. Standardisation and class weights come from the training clips alone.

    Raises:
        ConfigError: a loss or factor of a target that is not there, or keys of physiology that mean nothing here.
    """
    train = table.where("train")
    specs = tuple(column.spec for column in table.targets.values())
    model: Any = build_model(config, {name: column.width for name, column in table.streams.items()}, specs)
    if config.model.physiology.encoder and "physiology" in config.data.own_scale:
        # features of unknown columns are brought to a person's scale one by one, the marks of what was measured too
        raise ConfigError("data.own_scale=[physiology] knows raw windows in `merkit train tensor_mixer` alone")
    model.fit_standardiser(train.streams)
    for name, layer in model.projections.items():
        if isinstance(layer, PhysiologyEncoder):
            check_windows(layer, table, name)
        else:
            check_standardiser(layer.centre.numpy(), layer.scale.numpy(), table, name).raise_if_leaking()
    c = config.objective
    for key in ("losses", "loss_params", "weights"):
        # a study may go over subsets of the targets with one set of losses
        check_names(f"objective.{key}", getattr(c, key), table.targets, partly=bool(config.data.targets))
    losses = {
        spec.name: build_loss(
            spec,
            c.losses.get(spec.name, c.loss),
            column=train.targets[spec.name],
            **c.loss_params.get(spec.name, {}),
        )
        for spec in specs
    }
    embedding = None
    if c.embedding_loss != "none":
        embedding = (EMBEDDING_LOSSES[c.embedding_loss](), c.embedding_weight)
    objective = Objective(
        specs,
        losses,
        weights=c.weights,
        auxiliary=c.auxiliary,
        embedding=embedding,
        augment=Mixup(c.mixup, c.mixup_prob) if c.mixup else None,
    )
    turns, reads = bool(config.data.earlier or config.data.later), config.model.context != "none"
    if turns != reads:
        given, lacking = ("data.earlier", "model.context") if turns else ("model.context", "data.earlier or data.later")
        _log.warning("%s without %s: no turn around a clip is read", given, lacking)
    return Plan(
        table=table,
        modalities=tuple(table.streams),
        specs=specs,
        model=model,
        objective=objective,
        optim=config.optim,
        trainer=config.trainer,
        measure=measure_of(specs, (config.trainer.watch, *config.trainer.best_by)),
        context=(config.data.earlier, config.data.later),
    )
