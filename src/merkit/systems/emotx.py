"""EmoTx and EmoTxMLSM: emotions and mental states of movie scenes and of each character.

Srivastava, Singh, Tapaswi 2023, "How you feelin'? Learning emotions and mental states in movie scenes" (CVPR), and its rerun
with a multi-label soft margin loss. Read downwards: config → scenes → model → loss → plan. Keys keep the names that the
published configuration gave them wherever they mean the same; docs/systems/emotx.md maps every one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from merkit.data.batch import Batch
from merkit.data.leakage import check_standardiser
from merkit.data.table import ClipTable
from merkit.data.token_sampling import Sampling, TokenSampling
from merkit.errors import ConfigError
from merkit.models.emotx import BIN_S, EmoTx
from merkit.models.losses import build_loss
from merkit.models.scene_baselines import SingleStreamModel
from merkit.schema import TargetSpec
from merkit.systems.scenes import FRAME_S, SceneConfig, load_scenes, spacing_s
from merkit.training.config import TrainerConfig
from merkit.training.fit import Plan
from merkit.training.measuring import measure_of
from merkit.training.optim import OptimConfig

__all__ = ["MODELS", "PRESETS", "EmoTxConfig", "JointRows", "build_model", "load", "plan", "sampling"]


@dataclass(frozen=True, slots=True)
class _Model:
    """A published `model_no`: the network, the targets that it can answer, and the loss that it stands for."""

    network: Literal["labels", "one", "transformer", "mlp"]
    targets: tuple[str, ...] = ("scene", "character")
    loss: str = ""


# readable names first; the numbers are those of the published configuration
MODELS: dict[str, _Model] = {
    "emotx": _Model("labels"),
    "emotx_1cls": _Model("one"),
    "transformer": _Model("transformer"),
    "mlp": _Model("mlp"),
    "4.0": _Model("labels"),
    "5.0": _Model("labels", loss="multilabel_soft_margin"),
    "3.0": _Model("one"),
    "2.1": _Model("transformer", ("character",)),
    "2.2": _Model("transformer", ("scene",)),
    "1.1": _Model("mlp", ("character",)),
    "1.2": _Model("mlp", ("scene",)),
}
# `off / on` among training scenes, as the published configuration states them by number of labels. Its list for 26 is all
# ones; these are the ratios that stand beside it, commented out.
_PUBLISHED_WEIGHTS: dict[int, tuple[float, ...]] = {
    10: (2.67218201, 2.91079295, 2.36587678, 4.29210134, 3.74098798, 4.70900322, 4.57456829, 4.96806723, 4.72741935,
         5.60037175),
    25: (3.76215098, 4.0715859, 3.36492891, 5.86289121, 5.1481976, 6.40353698, 6.22919937, 6.7394958, 6.42741935,
         7.55947955, 8.63389121, 8.3597561, 8.26559356, 9.41855204, 8.39795918, 10.74744898, 11.75623269, 10.09638554,
         10.93005181, 12.15714286, 12.62426036, 14.98958333, 12.70535714, 16.18283582, 17.56854839),
    26: (6.95602606, 7.42241379, 4.56378132, 16.02090592, 41.11206897, 7.46620451, 19.96566524, 15.22923588, 1.61789925,
         6.24777448, 38.71544715, 1.90428062, 18.15686275, 4.26400862, 52.09782609, 8.11380597, 1.03202995, 976.0,
         1.29342723, 151.65625, 2.56829803, 167.44827586, 44.23148148, 3.28133216, 5.07587065, 6.59720062),
}  # fmt: skip


class EmoTxConfig(SceneConfig):
    """A run of EmoTx or of one of its baselines."""

    model_no: str = "emotx"
    """`emotx` (4.0), `emotx_1cls` (3.0), `transformer` (2.1 characters, 2.2 scene), `mlp` (1.1, 1.2); 5.0 is 4.0 with the
    soft margin loss."""
    use_scene_feats: bool = True
    """Look at the picture of the scene."""
    use_char_feats: bool = True
    """Look at faces and lines of characters. Off, they still tell who is there to be asked about."""
    use_srt_feats: bool = True
    """Look at the dialog."""
    get_scene_targets: bool = True
    """Answer for the scene."""
    get_char_targets: bool = True
    """Answer for each character."""
    random_feat_selection: bool = True
    """Draw tokens at random in training; off, every n-th is taken there as well."""
    feat_sampling_rate: float = Field(8, gt=0)
    """Frames (of 24000/1001 a second) between two tokens that are looked at, and the width of a time code. Features that
    are sparser already, as of MViT's windows or a film's faces, are all taken."""
    max_feats: int = Field(0, ge=0)
    """Tokens of the scene, and of each character, at most; 0 = all. The published 300 end a scene after 100 s."""
    max_srt_feats: int = Field(0, ge=0)
    """Utterances at most; 0 = all."""
    shuffle_characters: bool = False
    """In training, give a scene's characters their places at random, targets with them."""
    hidden_dim: int = Field(512, ge=1)
    """`D`."""
    num_enc_layers: int = Field(2, ge=1)
    """Layers of the encoder."""
    num_heads: int = Field(8, ge=1)
    """Of attention."""
    feedforward: int = Field(2048, ge=1)
    """Inner width of a layer."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Within the layers."""
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """On attention weights. Published: 0.1; on a CPU it costs the fused kernel."""
    standardise: bool = True
    """Bring features to mean 0 and deviation 1 by the training scenes. Published: as they are."""
    loss: Literal["bce", "multilabel_soft_margin"] = "bce"
    """The two differ by `pos_weight` alone."""
    pos_weight: Literal["auto", "published", "none"] = "auto"
    """Weight of labels that are on: `auto` counts training scenes; `published` is for the label sets of 10, 25 and 26."""
    optim: OptimConfig = OptimConfig(name="adam", lr=1e-4, weight_decay=0.0, schedule="plateau")
    """How weights move."""
    trainer: TrainerConfig = TrainerConfig(
        max_epochs=20,
        batch_size=8,
        clip=1.0,
        watch="gmean(scene.map+character.map)",
        best_by=("scene.map", "character.map", "mean(scene.map+character.map)"),
    )
    """Epochs, batches, and by what the best epoch is chosen: the geometric mean of both mAP, as published; the best by
    each of them and by their arithmetic mean are kept beside it."""

    @field_validator("model_no", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        try:
            name = str(float(value))  # 4 and 4.0 are one model
        except (TypeError, ValueError):
            name = str(value)
        if name not in MODELS:
            raise ValueError(f"there are {', '.join(MODELS)}")
        return name

    @property
    def model(self) -> _Model:
        """What `model_no` stands for."""
        return MODELS[self.model_no]

    @property
    def targets(self) -> tuple[str, ...]:
        """`scene`, `character` or both."""
        wanted = {"scene": self.get_scene_targets, "character": self.get_char_targets}
        return tuple(name for name in self.model.targets if wanted[name])

    @property
    def looks(self) -> dict[str, bool]:
        """Stream -> whether the network looks at it."""
        people = self.use_char_feats
        return {"scene": self.use_scene_feats, "face": people, "text": self.use_srt_feats, "lines": people}


def load(config: EmoTxConfig, *, root: Path | None = None, split: str | None = None) -> ClipTable:
    """The scenes, with the targets that the config asks for.

    Raises:
        ConfigError: neither target is asked for, or the root lacks something that the config names.
    """
    if not config.targets:
        raise ConfigError(
            f"model_no={config.model_no} answers for {' and '.join(config.model.targets)}, which get_scene_targets and "
            "get_char_targets switch off"
        )
    needs = [name for name, looked in config.looks.items() if looked or name in ("face", "lines")]
    table = load_scenes(config, needs, root=root, split=split)
    return replace(table, targets={name: table.targets[name] for name in config.targets if name in table.targets})


def sampling(config: EmoTxConfig, table: ClipTable) -> Sampling:
    """Which tokens are looked at: those of dense streams every `feat_sampling_rate` frames, at random in training."""
    streams = {}
    for name, column in table.streams.items():
        if name in ("text", "lines"):
            streams[name] = TokenSampling(limit=config.max_srt_feats)
            continue
        apart = spacing_s(column)
        step = max(1, round(config.feat_sampling_rate * FRAME_S / apart)) if apart else 1
        streams[name] = TokenSampling(step, config.max_feats, random=config.random_feat_selection and step > 1)
    return Sampling(streams, shuffle_entities=config.shuffle_characters)


def build_model(config: EmoTxConfig, widths: Mapping[str, int], specs: tuple[TargetSpec, ...]) -> nn.Module:
    """The network that `model_no` names, for streams of these widths, with fresh weights from torch's random numbers."""
    looks = [name for name in widths if config.looks[name]]
    bin_s = BIN_S * config.feat_sampling_rate / 8
    if config.model.network in ("transformer", "mlp"):
        # .5 on time codes, as published, unless there is to be no dropout at all
        code_dropout = 0.5 if config.dropout else 0.0
        options = {"feedforward": config.feedforward, "dropout": config.dropout, "code_dropout": code_dropout}
        return SingleStreamModel(
            widths,
            specs,
            kind=config.model.network,
            looks=looks,
            bin_s=bin_s,
            **(options if config.model.network == "transformer" else {}),
        )
    return EmoTx(
        widths,
        specs,
        looks=looks,
        queries=config.model.network,
        width=config.hidden_dim,
        layers=config.num_enc_layers,
        heads=config.num_heads,
        feedforward=config.feedforward,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        characters=config.num_chars,
        bin_s=bin_s,
    )


class JointRows(nn.Module):
    """One loss over the rows of all targets together: every scene and every character who is there weighs the same.

    A loss that weighs labels that are on by `w` teaches a network to say `w p / (w p + 1 - p)` where `p` is right. The network
    here says `p`: the loss adds `log w` to its logits and does the rest, which moves every other weight just the same.

    Args:
        specs: targets over the same `K` labels.
        loss: called as `loss(logit (R, K), target (R, K), valid (R, K))`.
        log_weight: `(K,)` natural logarithm of the loss's `pos_weight`; None where it has none.

    Example:
        >>> spec = TargetSpec("scene", "multi_label", ("a", "b"))
        >>> objective = JointRows([spec], build_loss(spec))
        >>> batch = Batch(("x",), 1, {}, targets={"scene": torch.ones(1, 2)}, valid={"scene": torch.ones(1, 2) > 0})
        >>> round(objective(lambda batch: {"scene": torch.zeros(1, 2)}, batch).item(), 4)
        0.6931
    """

    def __init__(self, specs: Sequence[TargetSpec], loss: nn.Module, log_weight: Tensor | None = None) -> None:
        super().__init__()
        self.specs, self.loss = tuple(specs), loss
        self.log_weight: Tensor | None
        self.register_buffer("log_weight", log_weight)

    def forward(self, model: Any, batch: Batch) -> Tensor:
        """The mean over all known answers of a batch."""
        logits = model(batch)
        parts = [
            [each.flatten(0, -2) for each in (logits[spec.name], batch.targets[spec.name], batch.valid[spec.name])]
            for spec in self.specs
        ]
        logit, target, valid = (torch.cat(columns) for columns in zip(*parts, strict=True))
        return self.loss(logit if self.log_weight is None else logit + self.log_weight, target, valid)


def plan(config: EmoTxConfig, table: ClipTable) -> Plan:
    """Everything that `fit` needs. Standardisation and label weights come from the training scenes alone."""
    train = table.where("train")
    specs = tuple(column.spec for column in table.targets.values())
    model: Any = build_model(config, {name: column.width for name, column in table.streams.items()}, specs)
    if config.standardise:
        model.fit_standardiser(train.streams)
        for name, layer in model.scales.items():
            check_standardiser(layer.centre.numpy(), layer.scale.numpy(), table, name).raise_if_leaking()
    trainer = _trainer(config.trainer, specs)
    loss, log_weight = _loss(config, train, specs)
    if log_weight is not None:
        model.shift_logits(-log_weight)  # training begins where it would without the shift
    return Plan(
        table=table,
        modalities=tuple(table.streams),
        specs=specs,
        model=model,
        objective=JointRows(specs, loss, log_weight),
        optim=config.optim,
        trainer=trainer,
        measure=measure_of(specs, (trainer.watch, *trainer.best_by)),
        sampling=sampling(config, table),
    )


def _loss(config: EmoTxConfig, train: ClipTable, specs: tuple[TargetSpec, ...]) -> tuple[nn.Module, Tensor | None]:
    """The loss, and the logarithm of its weights."""
    name = config.model.loss or config.loss
    if name == "multilabel_soft_margin":
        return build_loss(specs[0], name), None
    weights: Any = config.pos_weight
    if weights == "published":
        if len(specs[0].labels) not in _PUBLISHED_WEIGHTS:
            raise ConfigError(f"pos_weight=published knows label sets of 10, 25 and 26, not {len(specs[0].labels)}")
        weights = _PUBLISHED_WEIGHTS[len(specs[0].labels)]
    loss: Any = build_loss(specs[0], "bce", column=train.targets[specs[0].name], pos_weight=weights)
    return loss, None if loss.pos_weight is None else loss.pos_weight.log()


def _trainer(trainer: TrainerConfig, specs: tuple[TargetSpec, ...]) -> TrainerConfig:
    """Where only one of the two targets is asked, the best epoch is the best by that one."""
    if len(specs) == 2:
        return trainer
    only = f"{specs[0].name}.map"
    both = [rule for rule in (trainer.watch, *trainer.best_by) if "scene." in rule or "character." in rule]
    return trainer.model_copy(
        update={
            "watch": only if trainer.watch in both else trainer.watch,
            "best_by": tuple(rule for rule in trainer.best_by if rule not in both),
        }
    )


def _readme() -> EmoTxConfig:
    """What the published repository does by default."""
    default = EmoTxConfig()
    return default.model_copy(
        update={
            "max_feats": 300,
            "max_srt_feats": 300,
            "standardise": False,
            "attention_dropout": 0.1,
            "pos_weight": "published",
            "optim": OptimConfig(name="adam", lr=1e-5, weight_decay=0.0, schedule="plateau", factor=0.1, patience=5),
            "trainer": default.trainer.model_copy(update={"max_epochs": 20, "batch_size": 4, "clip": 0.0}),
        }
    )


def _paper() -> EmoTxConfig:
    """What the paper says: learning rate 5e-5, batches of 8, 50 epochs."""
    readme = _readme()
    return readme.model_copy(
        update={
            "optim": readme.optim.model_copy(update={"lr": 5e-5}),
            "trainer": readme.trainer.model_copy(update={"max_epochs": 50, "batch_size": 8}),
        }
    )


def _mlsm() -> EmoTxConfig:
    """EmoTxMLSM: the repository's settings with the soft margin loss."""
    return _readme().model_copy(update={"model_no": "5.0"})


def _dialogues() -> EmoTxConfig:
    """Scenes made of MELD's or EmoryNLP's dialogues, words alone: a smaller network, characters in random order."""
    default = EmoTxConfig()
    return default.model_copy(
        update={
            "hidden_dim": 256,
            "num_heads": 4,
            "feedforward": 256,
            "dropout": 0.3,
            "shuffle_characters": True,
            "optim": OptimConfig(name="adamw", lr=5e-4, weight_decay=1e-2, schedule="cosine", warmup=0.1),
            "trainer": default.trainer.model_copy(update={"max_epochs": 12, "batch_size": 16}),
        }
    )


PRESETS = {"readme": _readme, "paper": _paper, "mlsm": _mlsm, "dialogues": _dialogues}
