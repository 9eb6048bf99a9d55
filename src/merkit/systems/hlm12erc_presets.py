"""Starting points of the HLM12ERC system."""

from collections.abc import Callable

from merkit.systems.hlm12erc_config import HLM12ERCConfig, LayerConfig, TextConfig
from merkit.training.config import TrainerConfig
from merkit.training.optim import OptimConfig

__all__ = ["PRESETS"]


def _text() -> HLM12ERCConfig:
    """Ours: MiniLM over the whole dialogue, words alone; an epoch of MELD takes minutes on two cores."""
    return HLM12ERCConfig(
        text=TextConfig(encoder="minilm", template="light", limit=512, lr=5e-5, l2norm=False),
        feedforward=(LayerConfig(out_features=256, dropout=0.2),),
        fusion_l2norm=False,
        optim=OptimConfig(lr=1e-3, weight_decay=0.1, schedule="linear", warmup=0.1),
        trainer=TrainerConfig(max_epochs=5, batch_size=32, watch="weighted_f1", patience=3),
    )


PRESETS: dict[str, Callable[[], HLM12ERCConfig]] = {"text": _text}
"""Name -> config."""
