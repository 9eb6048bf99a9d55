"""What of the published tree is converted, and how."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from merkit.errors import ConfigError

__all__ = ["FEATURES", "Feature", "Options", "features_named"]

SceneOrFace = Literal["scene", "face", "text"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One kind of features, which becomes one store.

    Args:
        store: name of the store: `scene_mvit_v1`, `text_concat_finetuned_t10`, …
        modality: whose tokens it holds.
        folder: below the root; its files are `<movie>/<clip>.npy`, or `.pkl` for text.
        width: `D`.
        source: what made the numbers, for people.
        fitted_on: splits whose labels that was fitted on.
    """

    store: str
    modality: SceneOrFace
    folder: str
    width: int
    source: str
    fitted_on: tuple[str, ...] = ()

    @property
    def extractor_id(self) -> str:
        """Who made the tokens, as the store and the manifest's provenance name it."""
        return f"moviegraphs-{self.store}@1"


def _text(kind: str, tuned: str) -> Feature:
    words = "each utterance" if kind == "independent" else "all words of a clip at once"
    if tuned == "pretrained":
        return Feature(
            f"text_{kind}_pretrained",
            "text",
            f"srt_feats/{kind}/pretrained",
            768,
            f"RoBERTa-base over {words}, as it came",
        )
    labels = tuned.removeprefix("finetuned_t")
    source = f"RoBERTa-base over {words}, fine-tuned on the {labels} labels of the training scenes, chosen on valid"
    # the epoch that was kept is the best on valid: that is a choice by its labels, no fit on them
    return Feature(f"text_{kind}_{tuned}", "text", f"srt_feats/{kind}/{tuned}", 768, source, ("train",))


_SCENE = {
    "mvit_v1": (768, "MViT-B 32x3 trained on Kinetics-400: windows of 32 frames, 16 apart"),
    "resnet50_places": (2048, "ResNet-50 trained on Places365: every frame"),
    "generic": (2048, "ResNet-152 trained on ImageNet: every frame"),
}
_FACE = {
    "resnet50_fer": (2048, "ResNet-50 trained on VGGFace, FER2013 and SFEW: every face"),
    "emo": (4096, "VGG-m trained on VGGFace and FER2013: every face"),
    "generic": (512, "Inception-ResNet v1 trained on VGGFace2: every face"),
}

FEATURES: dict[str, Feature] = {
    feature.store: feature
    for feature in (
        *(Feature(f"scene_{k}", "scene", f"{k}_scene_features", w, source) for k, (w, source) in _SCENE.items()),
        *(Feature(f"face_{k}", "face", f"{k}_face_features", w, source) for k, (w, source) in _FACE.items()),
        *(
            _text(kind, tuned)
            for kind in ("independent", "concat")
            for tuned in ("pretrained", "finetuned_t10", "finetuned_t25", "finetuned_t26")
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Options:
    """How the tree is converted.

    Args:
        features: names of stores to make (`FEATURES`); None = of everything that is there.
        dtype: how numbers are kept. `float16` takes half the room of `float32` and a quarter of what was published.
        name_threshold: a track is a character's where its probability is above this.
        progress: is told scenes done, scenes in all, and what was done last.
    """

    features: tuple[str, ...] | None = None
    dtype: Literal["float16", "float32"] = "float16"
    name_threshold: float = 0.5
    progress: Callable[[int, int, str], None] | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "float32"):
            raise ConfigError(f"numbers are kept as float16 or float32, not {self.dtype!r}")
        if not 0 <= self.name_threshold < 1:
            raise ConfigError(f"a name's threshold is from 0 to below 1, not {self.name_threshold}")
        if self.features is not None:
            features_named(self.features)


def features_named(names: tuple[str, ...]) -> list[Feature]:
    """The kinds of features by the names of their stores.

    Raises:
        ConfigError: a name is not known; the message lists those that are.

    Example:
        >>> [feature.width for feature in features_named(("scene_mvit_v1", "face_emo"))]
        [768, 4096]
    """
    unknown = [name for name in names if name not in FEATURES]
    if unknown or not names:
        raise ConfigError(f"no features {', '.join(unknown) or 'named'}; there are {', '.join(FEATURES)}")
    return [FEATURES[name] for name in dict.fromkeys(names)]
