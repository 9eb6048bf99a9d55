"""Config of the tensor mixer system. docs/systems/tensor_mixer.md maps every key of the original to one here."""

from typing import Any, Literal

from pydantic import Field

from merkit.config import Config
from merkit.systems.data import DataConfig
from merkit.systems.physiology import WindowsConfig
from merkit.training.config import TrainerConfig
from merkit.training.optim import OptimConfig

__all__ = ["LabelsConfig", "LoraConfig", "MixerConfig", "PhysiologyConfig", "TensorMixerConfig", "TuneConfig"]


class LabelsConfig(Config):
    """What is made of raters' votes, when training begins."""

    mode: Literal["hard", "soft", "peakl"] = "hard"
    """`hard`: the class that most raters chose; `soft`: their shares; `peakl`: training clips learn shares that are sharpened
    the more, the less raters agree, and every figure is measured on plain shares. Targets without votes stay as they are."""
    ties: Literal["drop", "first", "centroid"] = "drop"
    """With `hard`: a clip whose most-voted classes are tied has no class (published: `remove_deuce`), the first of them, or
    the one that lies nearest to its rated valence and arousal (`vote_emotion`)."""
    centroids: Literal["auto", "kemdy19", "kemdy20", "train"] = "auto"
    """Valence and arousal of each class, for `ties=centroid`: the published ones, or means of the training clips. `auto` = the
    published ones of a corpus that has them, else `train`."""


class MixerConfig(Config):
    """The MLP-mixer over the outer product."""

    patch: int = Field(8, ge=1)
    """Side of a patch. Published: 16."""
    channels: int = Field(64, ge=1)
    """Width of the mixer and of what comes out of it. Published: 512."""
    depth: int = Field(2, ge=1)
    """Blocks. Published: 12."""
    expansion: float = Field(2.0, gt=0)
    """Inner width over patches, as a multiple of their number. Published: 4."""


class LoraConfig(Config):
    """Low-rank adaptation of encoders that are trained along."""

    rank: int = Field(0, ge=0)
    """0 = none: their layers learn as they are. Published: 8."""
    alpha: float = Field(32.0, gt=0)
    """Factor of what is learned, over the rank."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """On what the low-rank part reads."""
    layers: tuple[str, ...] = ("q_proj", "v_proj", "query", "value")
    """Which linear layers are adapted, by the last part of their names: those of wav2vec 2.0, those of BERT."""
    modalities: tuple[str, ...] = ("speech",)
    """Of which encoders. Published: speech; text then learns as a whole."""


class TuneConfig(Config):
    """Encoders that are trained along, by name: of the catalogue, of the Hugging Face hub, or a folder."""

    text: str = ""
    """Of the RoBERTa or BERT kind; reads the words. Empty: text features as they are. Published: `klue/roberta-large`."""
    speech: str = ""
    """Of the wav2vec 2.0 kind; reads samples (`merkit extract --encoder speech=waveform`). Empty: speech features as they
    are. Published: `kresnik/wav2vec2-large-xlsr-korean`."""
    freeze_text: int = Field(0, ge=-1)
    """So many layers from below stay as they are; -1 = all."""
    freeze_speech: int = Field(0, ge=-1)
    """So many blocks from below; the convolutions always stay."""
    max_tokens: int = Field(64, ge=2)
    """Tokens of a text at most."""
    max_speech_s: float = Field(7.0, gt=0)
    """Seconds of a clip at most, from its beginning (published: 112 000 samples). Shorter clips are not filled up."""
    lr: float = Field(1e-5, gt=0)
    """Learning rate of both, unless `optim.module_lr` names `encoders.text` or `encoders.speech`."""
    lora: LoraConfig = LoraConfig()
    """Learn less of them."""


class PhysiologyConfig(WindowsConfig):
    """How physiology is read. Without it here, its tokens are features like any other."""

    width: int = Field(64, ge=1)
    """Of the encoder's states, which are projected like any other features."""


class TensorMixerConfig(Config):
    """A run."""

    data: DataConfig = DataConfig()
    """Clips, features, splits. Targets that are not named are `emotion` and `affect`, where a corpus has them, else all."""
    validation_fold: int = Field(-1, ge=-1)
    """The clips whose group `fold` has this number are valid, all others train; -1 = as `data.split` says."""
    labels: LabelsConfig = LabelsConfig()
    """Hard, soft, or PeakL."""
    task: Literal["both", "classification", "regression"] = "both"
    """Which of the targets are learned."""
    fusion: Literal[
        "tensor_mixer",
        "tensor",
        "low_rank",
        "concat",
        "cross_attention",
        "modality_attention",
        "cross_modal",
        "label_query",
    ] = "tensor_mixer"
    """`tensor_mixer`: outer product through an MLP-mixer; `tensor`: outer product with appended ones through an MLP (Zadeh et
    al. 2017); `low_rank`: the same without building it (Liu et al. 2018); the others as in `merkit train fusion`."""
    fusion_params: dict[str, Any] = {}  # noqa: RUF012  pydantic copies defaults
    """Further options of the family."""
    ones: Literal["auto", "append", "none"] = "auto"
    """Whether 1 is appended to each modality before the product. `auto`: with `tensor` yes, with `tensor_mixer` no, as
    published."""
    width: int = Field(64, ge=2)
    """What each modality is projected to. Published: 256. With an outer product of more than two modalities it is as much
    less as keeps the product no larger than that of two."""
    mixer: MixerConfig = MixerConfig()
    """Of `fusion=tensor_mixer`."""
    rank: int = Field(4, ge=1)
    """Of `fusion=low_rank`."""
    pooling: dict[str, str] = {}  # noqa: RUF012
    """Modality -> how its tokens become one vector. Else the mean over real tokens; of a text encoder that is trained along, its
    first token."""
    hidden: int = Field(0, ge=0)
    """Width of a layer behind the fusion; 0 = none."""
    activation: Literal["relu", "gelu"] = "gelu"
    """Behind that layer."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """In the fusion and around the hidden layer."""
    modality_dropout: float = Field(0.1, ge=0, lt=1)
    """How often a modality of a clip is hidden in training, so that the model can do without. Published: never."""
    tune: TuneConfig = TuneConfig()
    """Encoders that are trained along."""
    physiology: PhysiologyConfig = PhysiologyConfig()
    """How physiology is read, where there is any."""
    contrast: float = Field(0.0, ge=0)
    """Factor of a loss by which the modalities of a clip find each other in the batch (CLIP)."""
    probe: bool = False
    """With `contrast`: fusion and heads learn from what contrast alone has taught."""
    cls_loss: str = "focal"
    """`focal`, `cross_entropy`, `kl`, or a sum such as `0.5*focal + 0.5*dice`."""
    gamma: float = Field(2.0, ge=0)
    """Of `focal`."""
    class_weight: Literal["none", "balanced"] = "none"
    """Of `focal` and `cross_entropy`: rare classes weigh more."""
    reg_loss: str = "mse"
    """`mse`, `ccc`, `l1`, or a sum such as `0.5*mse + 0.5*ccc`."""
    cls_coef: float = Field(0.7, ge=0, le=1)
    """Share of the classes in the loss, numbers have the rest; without effect where there is only one kind."""
    standardise: bool = True
    """Bring features to mean 0 and deviation 1 by the training clips."""
    start_from: str = ""
    """Begin with the weights of an earlier run, as far as they fit: a run's folder (that of one seed), or a `.safetensors` file.
    Scales of features are this run's own. Nothing checks that it did not learn from clips that this one is judged on."""
    optim: OptimConfig = OptimConfig(lr=1e-3, weight_decay=1e-6, schedule="cosine_restarts")
    """How weights move: all of them. A name in `optim.module_lr` that matches nothing is an error."""
    trainer: TrainerConfig = TrainerConfig(max_epochs=30, batch_size=32)
    """Epochs, batches, and by what the best epoch is chosen (`trainer.watch`), early stopping (`trainer.patience`)."""
