"""Config of the HLM12ERC system. docs/systems/hlm12erc.md maps every key of the original to one here."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from merkit.config import Config
from merkit.models.hlm12erc.dialogue_text import TurnAttention, TurnPooling
from merkit.systems.data import DataConfig
from merkit.training.config import TrainerConfig
from merkit.training.optim import OptimConfig

__all__ = ["HLM12ERCConfig", "LayerConfig", "PicturesConfig", "SpeechConfig", "TextConfig"]


class TextConfig(Config):
    """What is said, behind what was said before."""

    encoder: str = "none"
    """`none`; `stored` = text features of the store, of each utterance alone; `vectors` = a table of word vectors
    (`text.vectors`); else an encoder that is trained along: `minilm`, `gpt2`, a folder, or a name on the Hugging Face hub."""
    context: bool = True
    """Read each utterance behind the earlier ones of its dialogue (how many: `data.earlier`). Off: the utterance alone."""
    over_turns: Literal["none", "gru", "lstm", "attention"] = "none"
    """`none`: what was said before is read token by token, in front of the utterance. Else each turn is read by itself, and such
    a network reads the vectors of the turns so far; what it says is added to the utterance's own vector."""
    template: str = "published"
    """How a turn is written: `published` (The speaker "Ross" said: …), `light` (Ross: …), or a text of your own with {text}
    and {speaker} in it."""
    speakers: bool = True
    """Say who speaks; off, templates go without the name. Of a template of your own only `{speaker}` itself is taken out there,
    and where nobody is known to speak: `{speaker} -> {text}` leaves ` -> ` in front of the words."""
    speaker_group: str = "auto"
    """The group of clips that names who speaks; `auto` = `character` where there is one, else `speaker`."""
    limit: int = Field(0, ge=0)
    """Tokens that are read at most, the current utterance's the last of them; 0 = as many as the encoder takes."""
    attention: TurnAttention = "turns"
    """Of encoders that read both ways. `turns`: a token looks at its own turn and earlier ones, so that a dialogue is read
    once. `whole`: at everything up to the current utterance, which must then be read anew for each."""
    pooling: TurnPooling = "auto"
    """`last` token of the turn, `mean` of the turn's tokens; `auto` = `last` of encoders that read from left to right."""
    share: bool = True
    """Read a dialogue once. Off: every utterance with its past by itself, for the same answers."""
    freeze_layers: int = Field(0, ge=-1)
    """So many layers from below stay as they are; -1 = all."""
    lr: float = Field(0.0, ge=0)
    """Learning rate of the encoder; 0 = that of everything else."""
    l2norm: bool = True
    """Bring the vector to length 1."""
    vectors: Path | None = None
    """A file of word vectors as GloVe, word2vec and fastText write them; they learn along."""
    vector_words: int = Field(0, ge=0)
    """Only the first so many words of that file; 0 = all."""
    download: bool = False
    """Fetch an encoder that is not on this machine from the Hugging Face hub."""


class SpeechConfig(Config):
    """How it is said."""

    encoder: str = "none"
    """`none`; `stored` = speech features of the store; `waveform` = linear layers over samples; else an encoder of the wav2vec
    2.0 kind that is trained along. The last two read samples (`--encoder speech=waveform`)."""
    pooling: Literal["mean", "max", "mean_max"] = "mean_max"
    """How states or features become one vector."""
    out_features: int = Field(0, ge=0)
    """Width of that vector; 0 = as it comes, and 256 for `waveform`."""
    max_s: float = Field(15.0, gt=0)
    """Seconds of a clip at most, from its beginning. Published: 200 000 numbers, which were 2.3 s of stereo."""
    chunk_s: float = Field(0.0, ge=0)
    """Of `waveform`: read stretches of so many seconds one by one, which look at one another; 0 = all samples at once."""
    heads_degree: int = Field(3, ge=1)
    """Of that attention: heads are the so-manieth number that divides `out_features`, as published."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Of `waveform`."""
    freeze_layers: int = Field(0, ge=-1)
    """Of a pretrained encoder: so many blocks from below stay as they are; -1 = all."""
    lr: float = Field(0.0, ge=0)
    """Learning rate of a pretrained encoder; 0 = that of everything else."""
    l2norm: bool = True
    """Bring the vector to length 1."""


class PicturesConfig(Config):
    """What is seen."""

    encoder: str = "none"
    """`none`; `stored` = features of the store; else an encoder of pictures that is trained along (`resnet-50`, a folder, a name
    on the Hugging Face hub) and reads pictures of the store."""
    frames: int = Field(5, ge=0)
    """Pictures or features of a clip at most, evenly spread; 0 = all. Their vectors are averaged."""
    height: int = Field(0, ge=0)
    """Pictures are brought to this height; 0 = size and crop as the encoder's own files say."""
    out_features: int = Field(0, ge=0)
    """Width of the vector; 0 = as it comes."""
    frozen: bool = False
    """The encoder stays as it is."""
    lr: float = Field(0.0, ge=0)
    """Learning rate of the encoder; 0 = that of everything else."""
    l2norm: bool = True
    """Bring the vector to length 1."""


class LayerConfig(Config):
    """A layer behind the fusion: linear, ReLU, dropout."""

    out_features: int = Field(ge=1)
    """Width."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of its numbers that is dropped."""


class HLM12ERCConfig(Config):
    """A run."""

    data: DataConfig = DataConfig(earlier=-1)
    """Clips, features, splits; `data.earlier` = turns before each clip that its words are read behind, -1 = all. Targets that
    are not named: `emotion` where the corpus asks it, else all. `data.num_data` takes whole dialogues."""
    text: TextConfig = TextConfig()
    """Words."""
    speech: SpeechConfig = SpeechConfig()
    """Voice."""
    scene: PicturesConfig = PicturesConfig()
    """Frames of the clip, or one mosaic of them."""
    face: PicturesConfig = PicturesConfig()
    """The same, faces alone; of all persons of a clip together."""
    fusion: Literal["concat", "multi_headed_attn", "modality_attention", "tensor"] = "concat"
    """`concat`: side by side. `multi_headed_attn`: shares of `fusion_width` that look at one another. The others are further
    families of merkit (docs/own-fusion.md)."""
    fusion_width: int = Field(512, ge=1)
    """Width of the fused vector; `concat` keeps the widths that it is given."""
    fusion_heads: int = Field(4, ge=1)
    """Heads of `multi_headed_attn`. Published as a degree: the 3rd number that divides 512 is 4."""
    fusion_dropout: float = Field(0.0, ge=0, lt=1)
    """On its attention weights."""
    fusion_l2norm: bool = True
    """Bring what `concat` gives to length 1."""
    feedforward: tuple[LayerConfig, ...] = ()
    """Layers behind the fusion; none = one as wide as that."""
    feedforward_l2norm: bool = False
    """Bring what comes out of them to length 1."""
    modality_dropout: float = Field(0.1, ge=0, lt=1)
    """How often a modality of a clip is hidden in training, so that the model can do without. Published: never."""
    loss: str = "cross_entropy"
    """`cross_entropy`, `dice`, `focal`, or a sum such as `0.5*cross_entropy + 0.5*dice`; of logits. Targets that it does not
    fit take the one that fits them."""
    loss_params: dict[str, Any] = {}  # noqa: RUF012  pydantic copies defaults
    """Its options: `{gamma: 2, class_weight: balanced, reduction: sum}` of `focal`, `{momentum: 0.9}` of `dice`,
    `{smoothing: 0.1}` of `cross_entropy` …"""
    contrast: Literal["none", "anchor", "triplet", "supervised_contrastive"] = "none"
    """A loss on the vectors before the heads, in training: `anchor` = the published triplet; best with `trainer.balance=true`."""
    contrast_weight: float = Field(1.0, ge=0)
    """Its factor."""
    contrast_params: dict[str, Any] = {}  # noqa: RUF012
    """Its options: `{margin: 0.3}` of `triplet`, `{temperature: 0.1}` of `supervised_contrastive`."""
    start: str = ""
    """Begin with what an earlier run learned: a run of `text_encoder` (its encoder becomes `text.encoder`'s weights) or of this
    system (whatever fits), or a `.safetensors` file of either."""
    optim: OptimConfig = OptimConfig(lr=5e-5, weight_decay=0.1, schedule="linear", warmup=0.1)
    """How weights move; `optim.module_lr` names parts: `readers.text`, `fusion`, `feedforward`, `heads`."""
    trainer: TrainerConfig = TrainerConfig(max_epochs=10, batch_size=16, watch="weighted_f1", patience=5)
    """Epochs, batches, by what the best epoch is chosen, early stopping."""

    @model_validator(mode="after")
    def _fitting(self) -> "HLM12ERCConfig":
        if self.data.later:
            raise ValueError(
                "data.later: an utterance is read behind what was said before it, never with what comes next"
            )
        if self.text.encoder == "vectors" and self.text.vectors is None:
            raise ValueError("text.encoder=vectors: name the file in text.vectors")
        return self

    @property
    def encoders(self) -> dict[str, str]:
        """Modality -> what reads it, of those that are switched on."""
        named = {name: getattr(self, name).encoder for name in ("text", "speech", "scene", "face")}
        return {name: encoder for name, encoder in named.items() if encoder not in ("", "none")}
