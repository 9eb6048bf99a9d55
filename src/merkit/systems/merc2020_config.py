"""Config of the MERC2020 system.

Keys keep the names of the published flags wherever they mean the same; docs/systems/merc2020.md maps every one.
"""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from merkit.config import Config
from merkit.systems.data import DataConfig
from merkit.training.config import TrainerConfig
from merkit.training.optim import OptimConfig

__all__ = ["MEL_BANDS", "FaceConfig", "MERC2020Config", "SpeechConfig", "TextConfig", "side_of"]

# tokens of so many numbers are frames of a log-mel spectrogram
MEL_BANDS = 128
# pictures below this side are taken for features whose width happens to be three times a square
_LEAST_SIDE = 24
_X3D = ("s", "m", "xl")


def side_of(width: int) -> int:
    """Side of the RGB picture that a token of `width` numbers is; 0 where it is none.

    Example:
        >>> side_of(3 * 224 * 224), side_of(512), side_of(3 * 16 * 16)
        (224, 0, 0)
    """
    side = round((width / 3) ** 0.5)
    return side if 3 * side * side == width and side >= _LEAST_SIDE else 0


def _coefficient(value: Any) -> str:
    """A published coefficient, or a name: `4` is `b4`, `M` is `x3d_m`."""
    name = str(value).strip().lower()
    if name in tuple("01234567"):
        return f"b{name}"
    return f"x3d_{name}" if name in _X3D else name


class SpeechConfig(Config):
    """The speech network: a log-mel spectrogram as a picture through EfficientNet, then BiLSTM and frame attention."""

    backbone: str = "auto"
    """`auto`: what `speech_coeff` says for tokens of 128 mel bands, `none` for any others. `none`: tokens, e.g. states of a
    speech encoder, go straight into BiLSTM and attention."""
    frames: int = Field(400, ge=1)
    """Tokens that are looked at: a random stretch in training, the middle in evaluation. A mel frame is 16 ms."""
    hidden: int = Field(512, ge=1)
    """Of the BiLSTM, each way."""
    pretrained: str = "none"
    """ImageNet weights of the backbone: `none` = random; `catalogue`, which has those of `lite0`; or a file that timm,
    torchvision, transformers or efficientnet_pytorch wrote."""
    convention: Literal["auto", "tf", "torch"] = "auto"
    """How such weights pad and normalise; `auto` tells it by the file."""
    light: float = Field(0.3, ge=0)
    """Brightness and contrast of the spectrogram change by up to this, in training; 0 = never."""
    light_prob: float = Field(0.7, ge=0, le=1)
    """Share of clips that it changes of."""
    spec_augment: bool = True
    """Warp the time of spectrograms and mask bands and stretches of them, in training."""
    time_warp: int = Field(5, ge=0)
    """Frames that the warp moves by at most; 0 = none."""
    freq_masks: int = Field(3, ge=0)
    """Masked bands."""
    freq_width: int = Field(27, ge=1)
    """Each is narrower than this."""
    time_masks: int = Field(4, ge=0)
    """Masked stretches."""
    time_width: int = Field(50, ge=1)
    """Each is shorter than this."""


class FaceConfig(Config):
    """The face network: an EfficientNet for every picture, then BiLSTM and attention; or X3D over the sequence."""

    backbone: str = "auto"
    """`auto`: what `face_coeff` says for tokens that are square RGB pictures, `none` for features of faces."""
    n_frames: int = Field(16, ge=1)
    """Pictures of a clip in training, drawn at random and in order."""
    n_frames_test: int = Field(0, ge=0)
    """Pictures in evaluation, evenly spread; 0 = as many as in training. The published submissions took 32."""
    skip_s: float = Field(0.16, ge=0)
    """Seconds at the beginning and at the end that are not looked at, where enough remains; published: ten frames of 16 ms.
    Pictures without times count as ten a second."""
    hidden: int = Field(320, ge=1)
    """Of the BiLSTM, each way."""
    pretrained: str = "none"
    """ImageNet weights of the backbone: `none` = random; `catalogue`, which has those of `lite0`; or a file that timm,
    torchvision, transformers or efficientnet_pytorch wrote."""
    convention: Literal["auto", "tf", "torch"] = "auto"
    """How such weights pad and normalise; `auto` tells it by the file."""
    flip: float = Field(0.5, ge=0, le=1)
    """Share of clips that are mirrored in training, all pictures of a clip alike; so are the next two."""
    light: float = Field(0.5, ge=0)
    """Brightness and contrast change by up to this; 0 = never."""
    light_prob: float = Field(1.0, ge=0, le=1)
    """Share of clips that they change of."""
    rotation: float = Field(30.0, ge=0)
    """Degrees of rotation at most."""
    rotation_prob: float = Field(0.7, ge=0, le=1)
    """Share of clips that are rotated."""


class TextConfig(Config):
    """The text network: a transformer over the words of a clip."""

    layers: int = Field(12, ge=1)
    """Of the encoder."""
    heads: int = Field(8, ge=0)
    """Of attention; must divide the width of the word vectors. 0 = as many as do, at most four."""
    feedforward: int = Field(2048, ge=1)
    """Inner width of a layer."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Within the layers."""
    positions: Literal["sinusoidal", "learned", "none"] = "sinusoidal"
    """How a word knows its place. Published: not at all."""
    words: int = Field(0, ge=0)
    """Words at most; 0 = all. The challenge's texts have no more than 38."""


class MERC2020Config(Config):
    """A run of one of the three networks, or of all together."""

    mode: Literal["speech", "face", "text", "multimodal"] = "multimodal"
    """Which network."""
    data: DataConfig = DataConfig()
    """Clips and splits. Without `data.targets`, speech answers `speech_emotion`, face `face_emotion`, and the others
    `emotion`, as far as the corpus has them, else `emotion`."""
    speech_coeff: str = "b0"
    """EfficientNet of the speech network: 0 … 7, `lite0`."""
    face_coeff: str = "b0"
    """Of the face network: 0 … 7, `lite0`; S, M or XL for X3D."""
    speech_load_weights: str = "none"
    """A run (its folder, or a `.safetensors` file) that the speech network begins with; `none` or `default` = afresh. Of a
    run with several seeds, the one with the seed of this run."""
    face_load_weights: str = "none"
    """The same for the face network."""
    text_load_weights: str = "none"
    """The same for the text network."""
    freeze_backbone: bool = False
    """Train what stands on the networks alone."""
    lam: float = Field(2.0, ge=0)
    """λ: factor of the mean loss of what speech and face answer by themselves, in `multimodal`."""
    mixup_prob: float = Field(0.0, ge=0, le=1)
    """Share of batches that are mixed, all streams and targets with one weight."""
    mixup_alpha: float = Field(1.0, gt=0)
    """α of its Beta distribution."""
    mixup_per: Literal["batch", "clip"] = "batch"
    """One weight for all pairs of a batch, as published, or one for each; of cutmix, one box."""
    cutmix_prob: float = Field(0.0, ge=0, le=1)
    """Share of the other batches in which a box is swapped between faces; for mode `face`."""
    cutmix_beta: float = Field(1.0, gt=0)
    """β of its Beta distribution."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """ε: what the true class gives away in equal parts to the others."""
    attention: Literal["self", "relation"] = "self"
    """Frame attention: weights from a frame alone, or from a frame beside the whole."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Before the classifiers of speech and face."""
    drop_path: float = Field(0.2, ge=0, lt=1)
    """How often the last block of a backbone is left out in training, the first ones less often."""
    modality_dropout: float = Field(0.1, ge=0, lt=1)
    """How often a modality of a clip is hidden in training, in `multimodal`. Published: never."""
    standardise: bool = True
    """Bring word vectors, and features without a backbone, to mean 0 and deviation 1 by the training clips. Published: as
    they are."""
    augment: bool = True
    """Change single clips in training as `speech.…` and `face.…` say; off, none of it."""
    speech: SpeechConfig = SpeechConfig()
    """The speech network."""
    face: FaceConfig = FaceConfig()
    """The face network."""
    text: TextConfig = TextConfig()
    """The text network."""
    optim: OptimConfig = OptimConfig(name="ranger", lr=4e-3, weight_decay=5e-5)
    """How weights move."""
    trainer: TrainerConfig = TrainerConfig(max_epochs=20, batch_size=32, clip=0.0, watch="nll", best_by=("accuracy",))
    """Epochs, batches, and by what the best epoch is chosen; a measure without the name of a target is that of the first."""

    @field_validator("speech_coeff", "face_coeff", mode="before")
    @classmethod
    def _named(cls, value: Any) -> str:
        return _coefficient(value)

    @model_validator(mode="after")
    def _fitting(self) -> "MERC2020Config":
        if self.cutmix_prob and self.mode != "face":
            raise ValueError(f"cutmix_prob swaps parts of faces and their label: for mode=face, not mode={self.mode}")
        if self.speech_coeff.startswith("x3d"):
            raise ValueError(f"speech_coeff={self.speech_coeff}: X3D sees sequences of pictures, not spectrograms")
        return self

    @property
    def streams(self) -> tuple[str, ...]:
        """What the mode looks at."""
        return ("speech", "face", "text") if self.mode == "multimodal" else (self.mode,)

    @property
    def started_from(self) -> dict[str, str]:
        """Modality -> the run that its network begins with."""
        named = {name: getattr(self, f"{name}_load_weights") for name in self.streams}
        return {name: path for name, path in named.items() if path not in ("", "none", "default")}

    def backbone(self, modality: Literal["speech", "face"], width: int) -> str:
        """Which backbone reads tokens `width` wide.

        Example:
            >>> config = MERC2020Config(speech_coeff=4)
            >>> config.backbone("speech", 128), config.backbone("speech", 384), config.backbone("face", 3 * 64 * 64)
            ('b4', 'none', 'b0')
        """
        own = _coefficient(self.speech.backbone if modality == "speech" else self.face.backbone)
        if own != "auto":
            return own
        if modality == "speech":
            return self.speech_coeff if width == MEL_BANDS else "none"
        return self.face_coeff if side_of(width) else "none"
