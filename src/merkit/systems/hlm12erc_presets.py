"""Starting points of the HLM12ERC system: sizes for two cores and encoders that can be had, and the published networks.

Published networks name encoders of the Hugging Face hub (`gpt2`, `facebook/wav2vec2-base`, `microsoft/resnet-50`), which must be
on this machine. All thirty published configurations: benchmarks/hlm12erc/published.json.
"""

from collections.abc import Callable
from typing import Any

from merkit.systems.hlm12erc_config import HLM12ERCConfig, LayerConfig, PicturesConfig, SpeechConfig, TextConfig
from merkit.training.config import TrainerConfig
from merkit.training.optim import OptimConfig

__all__ = ["PRESETS"]

# 200 000 values of interleaved stereo at 44.1 kHz
_PUBLISHED_S = 2.27


def _text() -> HLM12ERCConfig:
    """Ours: MiniLM over the whole dialogue, words alone."""
    return HLM12ERCConfig(
        text=TextConfig(encoder="minilm", template="light", limit=512, lr=5e-5, l2norm=False),
        fusion_l2norm=False,
        feedforward=(LayerConfig(out_features=256, dropout=0.2),),
        optim=OptimConfig(lr=1e-3, weight_decay=0.1, schedule="linear", warmup=0.1),
        trainer=TrainerConfig(max_epochs=5, batch_size=32, watch="weighted_f1", patience=3),
    )


def _utterance() -> HLM12ERCConfig:
    """`text` without its dialogue."""
    base = _text()
    return base.model_copy(update={"text": base.text.model_copy(update={"context": False})})


def _conversation() -> HLM12ERCConfig:
    """Ours, the best on MELD's words (docs/lab/hlm12erc.md): an encoder tuned on emotions reads turn by turn, a GRU the turns
    so far, rare classes weigh more, weights are averaged. 24.7 M weights."""
    base = _text()
    changes = {"encoder": "minilm-emotions", "over_turns": "gru", "speakers": False, "freeze_layers": 1}
    return base.model_copy(
        update={
            "text": base.text.model_copy(update=changes),
            "loss_params": {"smoothing": 0.1, "class_weight": "root"},
            "optim": base.optim.model_copy(update={"lr": 5e-4}),
            "trainer": base.trainer.model_copy(update={"max_epochs": 3, "patience": 0, "ema": 0.995}),
        }
    )


def _offline() -> HLM12ERCConfig:
    """Ours: MiniLM over the dialogue, stored statistics of Whisper's states and stored faces, which look at one another."""
    base = _text()
    return base.model_copy(
        update={
            "speech": SpeechConfig(encoder="stored", pooling="mean_max", l2norm=False),
            "face": PicturesConfig(encoder="stored", frames=0, l2norm=False),
            "fusion": "multi_headed_attn",
            "fusion_width": 256,
            "fusion_dropout": 0.1,
        }
    )


def _pictures(**rest: Any) -> PicturesConfig:
    """ResNet-50 over the mosaic, which is brought to 721 pixels of height and 256 of width, as published was meant."""
    return PicturesConfig(encoder="microsoft/resnet-50", height=721, **rest)


def _gpt2(**rest: Any) -> TextConfig:
    return TextConfig(encoder="gpt2", **rest)


def _training(lr: float, warmup: int, batch_size: int, epochs: int = 10) -> dict[str, Any]:
    return {
        "optim": OptimConfig(lr=lr, weight_decay=0.1, schedule="linear", warmup=warmup),
        "trainer": TrainerConfig(
            max_epochs=epochs, batch_size=batch_size, clip=1.0, watch="weighted_f1", patience=5, seed=11
        ),
    }


def _published() -> HLM12ERCConfig:
    """The final network: GPT-2, ResNet-50, wav2vec 2.0, attention of 512 with four heads, 256 and 128 behind it, dice."""
    return HLM12ERCConfig(
        text=_gpt2(),
        speech=SpeechConfig(encoder="facebook/wav2vec2-base", max_s=_PUBLISHED_S),
        scene=_pictures(),
        fusion="multi_headed_attn",
        feedforward=(LayerConfig(out_features=256, dropout=0.2), LayerConfig(out_features=128, dropout=0.2)),
        modality_dropout=0.0,
        loss="dice",
        **_training(5e-5, 2000, 8, 15),
    )


def _published_face() -> HLM12ERCConfig:
    """The same, looking at faces alone (`merkit prepare meld --media --mosaic --faces black`)."""
    base = _published()
    return base.model_copy(update={"scene": PicturesConfig(), "face": _pictures()})


def _published_triplet() -> HLM12ERCConfig:
    """Dice beside triplets of the vectors before the heads, classes drawn evenly."""
    base = _published()
    changes = {"contrast": "anchor", "feedforward_l2norm": True, "fusion_width": 1024}
    layers = (LayerConfig(out_features=512, dropout=0.2), LayerConfig(out_features=32))
    own = _training(5e-5, 500, 11)
    own["trainer"] = own["trainer"].model_copy(update={"balance": True})
    return base.model_copy(update={**changes, "feedforward": layers, **own})


def _corrected() -> HLM12ERCConfig:
    """The final network as it would be built today: frames one by one, 15 s of sound, cross entropy, missing modalities."""
    base = _published()
    return base.model_copy(
        update={
            "speech": SpeechConfig(encoder="facebook/wav2vec2-base", max_s=15.0),
            "scene": PicturesConfig(encoder="microsoft/resnet-50"),
            "modality_dropout": 0.1,
            "loss": "cross_entropy",
        }
    )


def _baseline(loss: str = "cross_entropy", **rest: Any) -> HLM12ERCConfig:
    """Word vectors, samples through linear layers, ResNet-50, side by side; name the vectors in `text.vectors`."""
    values: dict[str, Any] = {
        "text": TextConfig(encoder="vectors", vectors="glove.6B.50d.txt"),
        "speech": SpeechConfig(encoder="waveform", max_s=1.7, out_features=50),
        "scene": _pictures(),
        "feedforward": (LayerConfig(out_features=64, dropout=0.2),),
        "modality_dropout": 0.0,
        "loss": loss,
        **_training(5e-4, 250, 64),
        **rest,
    }
    return HLM12ERCConfig(**values)


PRESETS: dict[str, Callable[[], HLM12ERCConfig]] = {
    "text": _text,
    "utterance": _utterance,
    "conversation": _conversation,
    "offline": _offline,
    "corrected": _corrected,
    "published": _published,
    "published_face": _published_face,
    "published_triplet": _published_triplet,
    "baseline": _baseline,
    "baseline_dice": lambda: _baseline("dice"),
    "baseline_focal": lambda: _baseline(
        "focal",
        loss_params={
            "gamma": 2.0,
            "reduction": "mean",
            "class_weight": [9.01, 36.86, 37.27, 5.73, 2.12, 14.63, 8.29],
        },
    ),
}
"""Name -> config."""
