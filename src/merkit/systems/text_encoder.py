"""Fine-tuning a text encoder on what was said: any encoder by name, a linear head a target, any of its poolings.

Read downwards: config → table (words become token ids, once) → model → objective → plan. What comes of it answers by
itself, and its encoder makes the text features of other systems (`merkit.features.sentences`).
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from merkit.config import Config
from merkit.data.table import ClipTable, Provenance, TokenColumn
from merkit.errors import ConfigError
from merkit.models.losses import build_loss
from merkit.models.text_classifier import TextClassifier
from merkit.naming import check_names
from merkit.networks.text_pretrained import load_text_encoder
from merkit.networks.text_tokens import Tokeniser
from merkit.schema import TargetSpec
from merkit.systems.data import DataConfig, SplitConfig, load_table, targets_of
from merkit.systems.scenes import SceneConfig, load_scenes
from merkit.training.config import TrainerConfig
from merkit.training.fit import Plan
from merkit.training.measuring import measure_of
from merkit.training.objective import Objective
from merkit.training.optim import OptimConfig

__all__ = [
    "SceneTextsConfig",
    "TextEncoderConfig",
    "TextObjectiveConfig",
    "build_model",
    "emotx",
    "load",
    "minilm",
    "plan",
    "token_column",
    "tokenised",
    "word_ids",
]

_log = logging.getLogger(__name__)


class TextObjectiveConfig(Config):
    """What is minimised."""

    loss: str = "auto"
    """Loss of every target that is not named in `losses`; `auto` = cross entropy, BCE or MSE by kind."""
    losses: dict[str, str] = {}  # noqa: RUF012  pydantic copies defaults
    """Target -> its loss."""
    loss_params: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    """Target -> options of its loss: `{emotion: {smoothing: 0.1}}`, `{scene: {pos_weight: auto}}` …"""
    weights: dict[str, float] = {}  # noqa: RUF012
    """Target -> factor."""


class SceneTextsConfig(Config):
    """Whole scenes as texts, with the labels of the scene."""

    kind: Literal["none", "auto", "prepared", "dialogues"] = "none"
    """`none`: a text is what is said in a clip. `prepared`: all that is said in a scene of a prepared film. `dialogues`: in
    a dialogue of an utterance corpus, asked which emotions anyone shows. `auto`: whichever of these two the corpus is."""
    top_k: int = Field(10, ge=1)
    """Of prepared films: the most frequent emotions of MovieGraphs."""
    label_source: Literal["published", "train"] = "published"
    """`published` lists exist for 10 and 25 (counted over all films, test included); `train` counts in training scenes."""
    use_emotic_mapping: bool = False
    """181 words in the 26 groups of Emotic in place of the top k."""
    emotic_mapping_path: Path | None = None
    """Another mapping: a JSON file `{group: [word, …]}`."""


class TextEncoderConfig(Config):
    """A run of fine-tuning."""

    encoder: str = "minilm"
    """`minilm`, a folder with a Hugging Face model, or its name on the hub, such as `roberta-base`."""
    pooling: Literal["pooler", "cls", "mean", "last"] = "mean"
    """How token states become one vector: the encoder's own `pooler`, the first token (`cls`), the `mean`, the `last` token."""
    max_tokens: int = Field(0, ge=0)
    """Tokens of a text at most; 0 = as many as the encoder takes. How many texts are cut is said and recorded."""
    freeze_layers: int = Field(0, ge=-1)
    """So many layers from below, with the embeddings, stay as they are; -1 = the whole encoder, only heads are trained."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Before the heads; the encoder has its own."""
    download: bool = False
    """Fetch an encoder that is not on this machine from the Hugging Face hub."""
    data: DataConfig = DataConfig()
    """Clips, their words, splits."""
    scenes: SceneTextsConfig = SceneTextsConfig()
    """Scenes in place of clips."""
    objective: TextObjectiveConfig = TextObjectiveConfig()
    """What is minimised."""
    optim: OptimConfig = OptimConfig(lr=3e-5, schedule="linear", warmup=0.1, module_lr={"heads": 1e-3})
    """How; `module_lr.heads` is the rate of the heads, which start from nothing."""
    trainer: TrainerConfig = TrainerConfig(max_epochs=4, batch_size=16)
    """The rest."""


def minilm() -> TextEncoderConfig:
    """MiniLM, the mean of its states: small enough to fine-tune on a CPU.

    Example:
        >>> minilm().encoder, minilm().optim.lr
        ('minilm', 5e-05)
    """
    optim = OptimConfig(lr=5e-5, schedule="linear", warmup=0.1, module_lr={"heads": 1e-3})
    return TextEncoderConfig(optim=optim)


def emotx() -> TextEncoderConfig:
    """RoBERTa-base as EmoTx fine-tunes it: pooler, one linear layer, plain BCE, Adam at a fixed 1e-6 (Srivastava et al. 2023).

    Example:
        >>> emotx().pooling, emotx().optim.name, emotx().optim.lr, emotx().optim.schedule
        ('pooler', 'adam', 1e-06, 'constant')
    """
    return TextEncoderConfig(
        encoder="roberta-base",
        pooling="pooler",
        dropout=0.0,
        data=DataConfig(split=SplitConfig(by="movie")),
        scenes=SceneTextsConfig(kind="auto"),
        objective=TextObjectiveConfig(loss="bce"),
        optim=OptimConfig(name="adam", lr=1e-6, weight_decay=0.0, schedule="constant"),
        trainer=TrainerConfig(max_epochs=20, batch_size=4, clip=0.0, watch="map"),
    )


def token_column(texts: np.ndarray, tokeniser: Tokeniser) -> tuple[TokenColumn, int]:
    """Texts `(n,)` as a stream of token ids, `x (R, 1)`, and how many of them were cut.

    Ids are kept as float32 like every other token, so that batches, samplers and checks need not know of them: whole
    numbers are exact in it up to 2**24, a hundred times the largest vocabulary. Blank texts have no sequence.

    Raises:
        ConfigError: a vocabulary beyond that.
    """
    if len(tokeniser.tokenizer) > 2**24:
        raise ConfigError(f"a vocabulary of {len(tokeniser.tokenizer)} does not fit into float32 token ids")
    made = tokeniser([str(text) for text in texts])
    column = TokenColumn.of_sequences([np.array(ids, np.float32)[:, None] for ids in made.ids], width=1)
    return column, len(made.cut)


def word_ids(
    table: ClipTable, name: str, *, key: str = "tune_text", max_tokens: int = 0
) -> tuple[TokenColumn, Provenance]:
    """A corpus's words as token ids of the encoder that is named, for systems that train it along.

    Args:
        table: the corpus.
        name: of the encoder.
        key: of the config that names it, for messages.
        max_tokens: of a text; 0 = as many as the encoder takes.

    Raises:
        ConfigError: the corpus has no words.
        WeightError: the encoder is not on this machine.
    """
    if table.texts is None:
        raise ConfigError(f"{key}={name}: corpus {table.name} has no words")
    encoder = load_text_encoder(name, max_tokens=max_tokens, weights=False)
    column, cut = token_column(table.texts, encoder.tokeniser)
    source = f"token ids of {encoder.name}" + (f"; {cut} texts lose their end" if cut else "")
    return column, table.described(Provenance(source, encoder.fitted_on))


def load(config: TextEncoderConfig, *, root: Path | None = None, split: str | None = None) -> ClipTable:
    """The clips with their words as the one stream `text` of token ids. Other features are left aside.

    Raises:
        ConfigError: a corpus without words, or keys of `data` that mean nothing here.
        WeightError: the encoder is not on this machine.
    """
    data = config.data
    if data.text_encoder or data.modalities:
        raise ConfigError("data.text_encoder and data.modalities mean nothing here: the words themselves are read")
    if data.earlier or data.later:
        raise ConfigError("data.earlier and data.later mean nothing here: a clip is answered from its own words")
    scenes = config.scenes
    if scenes.kind == "none":
        return tokenised(config, load_table(data, root=root, split=split))
    asked = SceneConfig(
        data=data,
        top_k=scenes.top_k,
        label_source=scenes.label_source,
        use_emotic_mapping=scenes.use_emotic_mapping,
        emotic_mapping_path=scenes.emotic_mapping_path,
        scenes=scenes.kind,
    )
    return tokenised(config, load_scenes(asked, (), root=root, split=split))


def tokenised(config: TextEncoderConfig, table: ClipTable) -> ClipTable:
    """Any table with words, as this system reads it: token ids in place of its streams, and the targets of whole clips.

    Raises:
        ConfigError: it has no words.
        WeightError: the encoder is not on this machine.
    """
    if table.texts is None:
        raise ConfigError(f"corpus {table.name} has no words (of arrays: name their column in data.arrays.texts)")
    names = targets_of(config.data, table)
    if not config.data.targets:  # what is asked for by name is refused by name
        names = tuple(name for name in names if not table.targets[name].spec.per_entity) or names
    targets = {name: table.targets[name] for name in names}
    # the architecture alone: its limit and its tokenizer, without the weights
    encoder = load_text_encoder(
        config.encoder, pooling=config.pooling, max_tokens=config.max_tokens, weights=False, download=config.download
    )
    column, cut = token_column(table.texts, encoder.tokeniser)
    limit = encoder.tokeniser.limit
    source = f"token ids of {encoder.name} ({encoder.tokeniser.sha256[:12]}), up to {limit}"
    if cut:
        _log.warning("%s: %d of %d texts are over %d tokens and lose their end", table.name, cut, len(table), limit)
        source += f"; {cut} of {len(table)} texts lose their end"
    about = table.described(Provenance(source, encoder.fitted_on))
    return replace(table, streams={"text": column}, targets=targets, provenance={"text": about})


def build_model(config: TextEncoderConfig, widths: dict[str, int], specs: tuple[TargetSpec, ...]) -> TextClassifier:
    """The network with random weights, to load trained ones into; only config and tokenizer of the encoder are needed."""
    return _model(config, specs, weights=False)


def _model(config: TextEncoderConfig, specs: tuple[TargetSpec, ...], *, weights: bool) -> TextClassifier:
    encoder = load_text_encoder(
        config.encoder,
        pooling=config.pooling,
        max_tokens=config.max_tokens,
        freeze_layers=config.freeze_layers,
        weights=weights,
        training=True,
        download=config.download,
    )
    return TextClassifier(encoder, specs, dropout=config.dropout)


def plan(config: TextEncoderConfig, table: ClipTable) -> Plan:
    """Everything that `fit` needs: pretrained weights under fresh heads. Class weights come from the training clips.

    Raises:
        ConfigError: a loss or factor of a target that is not there.
    """
    train = table.where("train")
    specs = tuple(column.spec for column in table.targets.values())
    c = config.objective
    for key in ("losses", "loss_params", "weights"):
        check_names(f"objective.{key}", getattr(c, key), table.targets, partly=bool(config.data.targets))
    losses = {
        spec.name: build_loss(
            spec, c.losses.get(spec.name, c.loss), column=train.targets[spec.name], **c.loss_params.get(spec.name, {})
        )
        for spec in specs
    }
    return Plan(
        table=table,
        modalities=("text",),
        specs=specs,
        model=_model(config, specs, weights=True),
        objective=Objective(specs, losses, weights=c.weights),
        optim=config.optim,
        trainer=config.trainer,
        measure=measure_of(specs, (config.trainer.watch, *config.trainer.best_by)),
    )
