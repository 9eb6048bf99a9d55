"""The config of SSE-FT and the BERT-like pairs, and the published commands as presets."""

from typing import Literal

from pydantic import Field

from merkit.config import Config
from merkit.systems.data import DataConfig, SplitConfig
from merkit.training.config import TrainerConfig
from merkit.training.optim import OptimConfig

__all__ = ["PRESETS", "SWITCHES", "SSEFTConfig"]

SWITCHES = {"text": "t_only", "speech": "a_only", "face": "v_only"}
"""Modality -> the switch that asks for it, in the order of the publication."""


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
    """Modality -> class token; `learned` where it is not named. `first` for text whose encoder puts one in front, and for
    units; stored text of several lines a clip has one for each of them, and is refused."""
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
    tune_speech: str = ""
    """Train this speech encoder along: a name of the catalogue, a Hugging Face name or a folder. Speech is then samples
    (`merkit extract --encoder speech=waveform`). Empty: speech features as they are."""
    freeze_speech_layers: int = Field(0, ge=-1)
    """Of `tune_speech`: so many blocks from below stay as they are; its convolutions always do; -1 = everything."""
    speech_units: int = Field(0, ge=0)
    """Speech is ids of so many units (`merkit units`), read by a transformer of its own; 0 = speech is features."""
    units: str = ""
    """The folder of those units, so that the leakage check knows which clips they were fitted on."""
    speech_ids: bool = False
    """Take the units from the token ids that a corpus's published lists give (`token_ids.parquet` in the root)."""
    unit_layers: int = Field(2, ge=0)
    """Layers of the transformer over units. Published: 12, pretrained."""
    unit_width: int = Field(128, ge=1)
    """Its width. Published: 768."""
    unit_weights: str = ""
    """Begin it with those of an earlier run over the same units: a run's folder, or a `.safetensors` file."""
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
            return tuple(SWITCHES)
        return tuple(name for name, switch in SWITCHES.items() if getattr(self, switch))


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
    """The published command for IEMOCAP: two tuned encoders, their class tokens side by side, one linear layer.

    Voice is units of `merkit units`, in place of vq-wav2vec's, and what reads them is not pretrained.
    """
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
        speech_units=100,
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
"""Name -> config."""
