"""Starting points of the MERC2020 system: the published commands, and sizes that a CPU can train.

The published networks began with ImageNet's weights, which merkit does not carry for B0 to B7: every preset begins at random
unless `speech.pretrained` and `face.pretrained` name files.
"""

from typing import Any

from merkit.systems.merc2020_config import FaceConfig, MERC2020Config, SpeechConfig, TextConfig
from merkit.training.config import TrainerConfig
from merkit.training.optim import OptimConfig

__all__ = ["PRESETS"]


def _speech() -> MERC2020Config:
    """AttnCNN-B4, the published command."""
    return MERC2020Config(
        mode="speech",
        speech_coeff="b4",
        mixup_prob=1.0,
        label_smoothing=0.1,
        optim=OptimConfig(name="ranger", lr=4e-3, weight_decay=5e-5, schedule="cosine"),
        trainer=_trainer(100, 256, precision="16"),
    )


def _face() -> MERC2020Config:
    """CLSTM-B0, the published command."""
    return MERC2020Config(
        mode="face",
        face_coeff="b0",
        cutmix_prob=1.0,
        label_smoothing=0.1,
        optim=OptimConfig(name="ranger", lr=4e-3, weight_decay=5e-5, schedule="cosine"),
        trainer=_trainer(20, 32, precision="16"),
    )


def _text() -> MERC2020Config:
    """transformer_12_8, the published command."""
    return MERC2020Config(
        mode="text",
        standardise=False,
        label_smoothing=0.1,
        optim=OptimConfig(name="ranger", lr=3e-4, weight_decay=5e-5, schedule="cosine"),
        trainer=_trainer(100, 128),
    )


def _multimodal() -> MERC2020Config:
    """B4, B0 and words together, the published command; name the three runs with `…_load_weights`."""
    return MERC2020Config(
        speech_coeff="b4",
        face_coeff="b0",
        lam=2.0,
        mixup_prob=1.0,
        label_smoothing=0.1,
        modality_dropout=0.0,
        standardise=False,
        optim=OptimConfig(name="sgd", lr=3e-4, weight_decay=5e-5, momentum=0.9, schedule="step", step_every=0.5),
        trainer=_trainer(20, 16),
    )


def _multimodal_big() -> MERC2020Config:
    """B7, B1 and words together, the published command."""
    base = _multimodal()
    return base.model_copy(
        update={
            "speech_coeff": "b7",
            "face_coeff": "b1",
            "optim": base.optim.model_copy(update={"lr": 6e-4}),
            "trainer": base.trainer.model_copy(update={"batch_size": 8, "seed": 1234}),
        }
    )


def _trainer(epochs: int, batch_size: int, **rest: Any) -> TrainerConfig:
    return TrainerConfig(
        max_epochs=epochs, batch_size=batch_size, clip=0.0, watch="nll", best_by=("accuracy",), seed=42
    ).model_copy(update=rest)


def _speech_small() -> MERC2020Config:
    """Ours, for a CPU: the smallest backbone over 2.4 s of sound."""
    return _small("speech", mixup_prob=1.0, speech=SpeechConfig(frames=150, hidden=128, freq_width=20, time_width=20))


def _face_small() -> MERC2020Config:
    """Ours, for a CPU: four pictures a clip; prepare them small (`--side 64`)."""
    return _small("face", cutmix_prob=1.0, face=FaceConfig(n_frames=4, hidden=128))


def _text_small() -> MERC2020Config:
    """Ours: two layers learn more from few clips than twelve."""
    return _small("text", text=TextConfig(layers=2, feedforward=256, dropout=0.2))


def _multimodal_small() -> MERC2020Config:
    """The three small ones together."""
    return _small(
        "multimodal",
        mixup_prob=1.0,
        speech=_speech_small().speech,
        face=_face_small().face,
        text=_text_small().text,
    )


def _small(mode: str, **rest: Any) -> MERC2020Config:
    optim = OptimConfig(name="adamw", lr=1e-3, weight_decay=1e-2, schedule="cosine", warmup=0.1)
    trainer = TrainerConfig(max_epochs=20, batch_size=16, clip=1.0, watch="nll", best_by=("accuracy",))
    common = {"speech_coeff": "lite0", "face_coeff": "lite0", "label_smoothing": 0.1}
    return MERC2020Config(mode=mode, **common, **rest, optim=optim, trainer=trainer)  # ty: ignore[invalid-argument-type]


PRESETS = {
    "speech": _speech,
    "face": _face,
    "text": _text,
    "multimodal": _multimodal,
    "multimodal_big": _multimodal_big,
    "speech_small": _speech_small,
    "face_small": _face_small,
    "text_small": _text_small,
    "multimodal_small": _multimodal_small,
}
