"""Starting points of the tensor mixer system: the published configurations, and sizes for features and two cores."""

from collections.abc import Callable

from merkit.systems.data import DataConfig
from merkit.systems.tensor_mixer_config import (
    LabelsConfig,
    LoraConfig,
    MixerConfig,
    TensorMixerConfig,
    TuneConfig,
)
from merkit.training.config import TrainerConfig
from merkit.training.optim import OptimConfig

__all__ = ["PRESETS"]

_STOPPING = TrainerConfig(max_epochs=30, batch_size=32, watch="accuracy", patience=5)


def _tensor_mixer() -> TensorMixerConfig:
    return TensorMixerConfig(trainer=_STOPPING)


def _tensor() -> TensorMixerConfig:
    return TensorMixerConfig(fusion="tensor", width=32, trainer=_STOPPING)


def _low_rank() -> TensorMixerConfig:
    return TensorMixerConfig(fusion="low_rank", trainer=_STOPPING)


def _concat() -> TensorMixerConfig:
    return TensorMixerConfig(fusion="concat", hidden=64, activation="relu", trainer=_STOPPING)


def _cross_attention() -> TensorMixerConfig:
    return TensorMixerConfig(fusion="cross_attention", hidden=64, trainer=_STOPPING)


def _speech(task: str, watch: str) -> TensorMixerConfig:
    """One modality has nothing to fuse: its vector, and linear layers."""
    return TensorMixerConfig.model_validate(
        {
            "data": DataConfig(modalities=("speech",)),
            "task": task,
            "fusion": "concat",
            "modality_dropout": 0.0,
            "trainer": _STOPPING.model_copy(update={"watch": watch}),
        }
    )


def _contrastive() -> TensorMixerConfig:
    """Speech and text find each other; classes and numbers are read from what that has taught."""
    return TensorMixerConfig(fusion="concat", contrast=1.0, probe=True, modality_dropout=0.0, trainer=_STOPPING)


def _published() -> TensorMixerConfig:
    """TMN with both encoders trained along, PeakL labels. The names must be on this machine."""
    return TensorMixerConfig(
        labels=LabelsConfig(mode="peakl"),
        width=256,
        mixer=MixerConfig(patch=16, channels=512, depth=12, expansion=4.0),
        dropout=0.0,
        modality_dropout=0.0,
        tune=TuneConfig(text="klue/roberta-large", speech="kresnik/wav2vec2-large-xlsr-korean"),
        # T_0 500, T_mult 2; eta_min 1e-7 at a rate of 1e-4
        optim=OptimConfig(
            lr=1e-4, weight_decay=1e-6, schedule="cosine_restarts", final=1e-3, restart_steps=500, restart_growth=2
        ),
        trainer=TrainerConfig(max_epochs=30, batch_size=8, seed=42, watch="accuracy", patience=5),
    )


def _published_concat() -> TensorMixerConfig:
    return _published().model_copy(update={"fusion": "concat", "hidden": 256, "activation": "relu"})


def _published_cross_attention() -> TensorMixerConfig:
    changes = {"fusion": "cross_attention", "fusion_params": {"heads": 8}, "width": 1024, "hidden": 512, "dropout": 0.1}
    return _published().model_copy(update=changes)


def _lora() -> TensorMixerConfig:
    published = _published()
    tune = published.tune.model_copy(update={"lora": LoraConfig(rank=8)})
    return published.model_copy(update={"tune": tune})


PRESETS: dict[str, Callable[[], TensorMixerConfig]] = {
    "tensor_mixer": _tensor_mixer,
    "tensor": _tensor,
    "low_rank": _low_rank,
    "concat": _concat,
    "cross_attention": _cross_attention,
    "speech_both": lambda: _speech("both", "accuracy"),
    "speech_classification": lambda: _speech("classification", "accuracy"),
    "speech_regression": lambda: _speech("regression", "ccc"),
    "contrastive": _contrastive,
    "published": _published,
    "published_concat": _published_concat,
    "published_cross_attention": _published_cross_attention,
    "lora": _lora,
}
"""Name -> config."""
