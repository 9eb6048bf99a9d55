"""HLM12ERC: emotion in conversation from words behind the dialogue before them, voice, and pictures.

H. L. Mendes (University of London, CM3070 final project, 2023; MELD), whole and corrected: attention between the modalities
of a clip in place of one over the batch, 16 kHz sound with masks, frames as a time axis, dialogues cut from the left, losses
on logits. Read downwards: clips → which tokens → readers → model → losses → plan. docs/systems/hlm12erc.md maps every command,
key and configuration of the original and names what was wrong in it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from merkit.data.batch import Batch
from merkit.data.leakage import check_standardiser
from merkit.data.table import ClipTable, TargetColumn
from merkit.data.token_sampling import Sampling, TokenSampling
from merkit.errors import ConfigError, WeightError
from merkit.features.frame_layout import FrameLayout
from merkit.features.waveform import FRAME
from merkit.features.word_vectors import WordVectors
from merkit.models.hlm12erc import (
    HLM12ERC,
    DialogueText,
    MultiHeadedFusion,
    PictureVector,
    SpeechVector,
    StoredFeatures,
    TurnVectors,
    WaveformLayers,
    WordMean,
)
from merkit.models.losses import EMBEDDING_LOSSES, LOSSES, build_loss
from merkit.models.started import load_fitting
from merkit.networks.image_encoder import load_image_encoder
from merkit.networks.speech_clock import SAMPLE_RATE
from merkit.networks.speech_pretrained import load_speech_encoder
from merkit.networks.text_pretrained import load_text_encoder
from merkit.schema import TargetSpec
from merkit.systems.hlm12erc_config import HLM12ERCConfig, PicturesConfig
from merkit.systems.hlm12erc_data import load
from merkit.systems.hlm12erc_presets import PRESETS
from merkit.systems.hlm12erc_prompts import started_from
from merkit.training.fit import Plan
from merkit.training.measuring import measure_of
from merkit.training.objective import Objective
from merkit.training.optim import OptimConfig

__all__ = ["PRESETS", "HLM12ERCConfig", "TrainingContrast", "build_model", "context", "load", "plan", "sampling"]

_SEEN = ("scene", "face")


def sampling(config: HLM12ERCConfig, table: ClipTable) -> Sampling | None:
    """Which tokens are looked at: all words; of samples the first `speech.max_s`; of frames a few, evenly spread."""
    rules: dict[str, TokenSampling] = {}
    if config.encoders.get("speech", "stored") != "stored":
        rules["speech"] = TokenSampling(limit=max(round(config.speech.max_s * SAMPLE_RATE / FRAME), 1))
    for name in _SEEN:
        frames = getattr(config, name).frames
        if name in config.encoders and frames:
            rules[name] = TokenSampling(limit=frames, strided=True)
    rules = {name: rule for name, rule in rules.items() if name in table.streams}
    return Sampling(rules) if rules else None


def build_model(config: HLM12ERCConfig, widths: Mapping[str, int], specs: tuple[TargetSpec, ...]) -> HLM12ERC:
    """The network for modalities of these widths, to load trained weights into."""
    return _model(config, widths, specs, weights=False)


def _model(
    config: HLM12ERCConfig,
    widths: Mapping[str, int],
    specs: tuple[TargetSpec, ...],
    *,
    weights: bool,
    sources: Mapping[str, str] | None = None,
) -> HLM12ERC:
    readers = {
        name: _reader(config, name, width, weights=weights, source=(sources or {}).get(name))
        for name, width in widths.items()
    }
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


def _reader(config: HLM12ERCConfig, name: str, width: int, *, weights: bool, source: str | None) -> nn.Module:
    encoder = config.encoders[name]
    if encoder == "stored":
        own = getattr(config, name)
        return StoredFeatures(width, own.pooling if name == "speech" else "mean", getattr(own, "out_features", 0))
    if name == "text":
        return _words(config, weights=weights)
    if name == "speech":
        return _voice(config)
    return _pictures(encoder, getattr(config, name), width, source)


def _words(config: HLM12ERCConfig, *, weights: bool) -> nn.Module:
    text = config.text
    if text.encoder == "vectors":
        assert text.vectors is not None
        table = WordVectors(text.vectors).table
        return WordMean(table[: text.vector_words or len(table)], limit=text.limit)
    encoder = load_text_encoder(
        text.encoder,
        pooling="last",
        max_tokens=text.limit,
        freeze_layers=text.freeze_layers,
        weights=weights,
        training=True,
        download=text.download,
    )
    how: dict[str, Any] = {"pooling": text.pooling, "attention": text.attention, "share": text.share}
    if text.over_turns != "none" and text.context:
        return TurnVectors(encoder, kind=text.over_turns, **how)
    return DialogueText(encoder, **how)


def _voice(config: HLM12ERCConfig) -> nn.Module:
    own = config.speech
    if own.encoder == "waveform":
        return WaveformLayers(
            own.max_s, out=own.out_features or 256, chunk_s=own.chunk_s, degree=own.heads_degree, dropout=own.dropout
        )
    encoder = load_speech_encoder(own.encoder, freeze_layers=own.freeze_layers)
    return SpeechVector(encoder, own.pooling, own.out_features)


def _pictures(name: str, own: PicturesConfig, width: int, source: str | None) -> nn.Module:
    """How high and wide they are is known where they were stored, and afterwards by the weights."""
    height, wide, _ = (0, 0, 3) if source is None else FrameLayout.of(source, width).shape
    encoder = load_image_encoder(name)
    return PictureVector(encoder, (height, wide), height=own.height, out=own.out_features, frozen=own.frozen)


class TrainingContrast(Objective):
    """`Objective`, whose loss on vectors is one of training alone: batches of an evaluation are of whatever classes come."""

    def _single(self, out: Any, batch: Batch) -> Tensor:
        return super()._single(out, batch) if self.training else self._of(out.logits, batch)


def plan(config: HLM12ERCConfig, table: ClipTable) -> Plan:
    """Everything that `fit` needs. Standardisation and class weights come from the training clips alone.

    Raises:
        ConfigError: settings that ask for what the data lacks.
        WeightError: an encoder that is not here, or a run to begin with that does not fit.
    """
    train = table.where("train")
    _stop_if_unread(config)
    specs = tuple(column.spec for column in table.targets.values())
    widths = {name: column.width for name, column in table.streams.items()}
    sources = {name: about.source for name, about in table.provenance.items()}
    model = _model(config, widths, specs, weights=True, sources=sources)
    if config.start:
        _begin(model, started_from(config))
    model.fit_standardiser(train.streams)
    for name, reader in model.readers.items():
        if isinstance(reader, StoredFeatures):
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
        objective=TrainingContrast(specs, losses, embedding=contrast),
        optim=_rates(config, model),
        trainer=config.trainer,
        measure=measure_of(specs, (config.trainer.watch, *config.trainer.best_by)),
        context=context(config, tuple(table.streams)),
        sampling=sampling(config, table),
    )


def context(config: HLM12ERCConfig, modalities: Sequence[str]) -> tuple[int, int]:
    """Turns before an utterance that are read with it; none where nothing reads them. Later turns never are.

    Args:
        config: of the run.
        modalities: its streams.

    Example:
        >>> from merkit.systems.hlm12erc_presets import PRESETS
        >>> context(PRESETS["text"](), ["text"]), context(PRESETS["utterance"](), ["text"])
        ((-1, 0), (0, 0))
    """
    reads = config.text.context and "text" in modalities and config.encoders["text"] != "stored"
    return (config.data.earlier, 0) if reads else (0, 0)


def _begin(model: HLM12ERC, source: Path) -> None:
    """Weights of an earlier run; of a tuned text encoder all of it, or it is another one."""
    taken = set(load_fitting(model, source, {"encoder.": "readers.text.encoder."}))
    wanted = {name for name, _ in model.named_parameters() if name.startswith("readers.text.encoder.")}
    if taken & wanted and (missing := sorted(wanted - taken)):
        raise WeightError(f"start={source}: of another text encoder; it has no {missing[0]} of this shape")


def _loss(config: HLM12ERCConfig, spec: TargetSpec, column: TargetColumn) -> nn.Module:
    parts = [part.rpartition("*")[2].strip() for part in config.loss.split("+")]
    if all(spec.kind in LOSSES.get(part, {spec.kind}) for part in parts):  # an unknown name is told by `build_loss`
        return build_loss(spec, config.loss, column=column, **config.loss_params)
    return build_loss(spec, column=column)


def _stop_if_unread(config: HLM12ERCConfig) -> None:
    """A network over turns is made of an encoder's turns, and only where there are turns."""
    text, why = config.text, ""
    if not text.context:
        why = "text.context=false reads none"
    elif config.encoders.get("text", "stored") in ("stored", "vectors"):
        why = f"text.encoder={text.encoder} has no vectors of turns"
    if why and text.over_turns != "none":
        raise ConfigError(f"text.over_turns={text.over_turns} needs turns: {why}; leave it at none")


def _rates(config: HLM12ERCConfig, model: HLM12ERC) -> OptimConfig:
    """Encoders with a rate of their own; what `optim.module_lr` says of the whole reader goes before it."""
    own = {
        f"readers.{name}.encoder": rate
        for name, reader in model.readers.items()
        if (rate := getattr(config, name).lr)
        and hasattr(reader, "encoder")
        and any(p.requires_grad for p in reader.encoder.parameters())
        and not {"readers", f"readers.{name}"} & config.optim.module_lr.keys()
    }
    return config.optim.model_copy(update={"module_lr": {**own, **config.optim.module_lr}})
