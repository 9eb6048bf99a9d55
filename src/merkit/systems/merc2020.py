"""MERC2020: voice as a picture, faces as a sequence of pictures, words; and the three together with auxiliary heads.

S. Cho's entry to the Multimodal Emotional Recognition Challenge 2020 (Korean acted clips, seven classes), whole and
corrected. Read downwards: clips → which tokens → augmentation → model → losses → plan. docs/systems/merc2020.md maps every
command and key of the original and names what was wrong in it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merkit.data.augment import (
    Augment,
    BrightnessContrast,
    Chain,
    CutMix3D,
    FirstOf,
    Flip,
    Mixup,
    Rotation,
    SpecAugment,
)
from merkit.data.leakage import check_standardiser
from merkit.data.table import ClipTable
from merkit.data.token_sampling import Sampling, TokenSampling
from merkit.errors import ConfigError
from merkit.models.losses import build_loss
from merkit.models.merc2020 import MERC2020Model
from merkit.schema import TargetSpec
from merkit.systems.merc2020_config import MEL_BANDS, MERC2020Config, side_of
from merkit.systems.merc2020_data import AUXILIARY, load
from merkit.systems.merc2020_presets import PRESETS
from merkit.systems.scenes import spacing_s
from merkit.training.config import TrainerConfig
from merkit.training.criteria import Criterion
from merkit.training.fit import Plan
from merkit.training.measuring import measure_of
from merkit.training.objective import Objective

__all__ = ["PRESETS", "MERC2020Config", "augmentation", "build_model", "load", "plan", "sampling"]

# seconds between two pictures that carry no times
_APART_S = 0.1


def sampling(config: MERC2020Config, table: ClipTable) -> Sampling:
    """Which tokens are looked at: a stretch of the voice, some pictures of the face, in training at random."""
    speech, face = config.speech, config.face
    apart_s = (spacing_s(table.streams["face"]) if "face" in table.streams else 0.0) or _APART_S
    rules = {
        "speech": TokenSampling(limit=speech.frames, random=True, stretch=True),
        "face": TokenSampling(
            limit=face.n_frames,
            random=True,
            strided=True,
            skip_ends=round(face.skip_s / apart_s),
            evaluation_limit=face.n_frames_test,
        ),
    }
    if config.text.words:
        rules["text"] = TokenSampling(limit=config.text.words)
    return Sampling({name: rule for name, rule in rules.items() if name in table.streams})


def augmentation(config: MERC2020Config, widths: Mapping[str, int]) -> Augment | None:
    """What is done to training batches: single clips first, pairs of them last. Evaluation never asks for it.

    Example:
        >>> chain = augmentation(MERC2020Config(mode="face", cutmix_prob=1), {"face": 3 * 64 * 64})
        >>> [type(step).__name__ for step in chain.steps]
        ['Flip', 'BrightnessContrast', 'Rotation', 'FirstOf']
    """
    steps: list[Augment] = []
    speech, face = config.speech, config.face
    if config.augment and widths.get("speech") == MEL_BANDS:
        if speech.light and speech.light_prob:
            steps.append(BrightnessContrast("speech", speech.light, speech.light, speech.light_prob))
        if speech.spec_augment:
            steps.append(
                SpecAugment(
                    warp=speech.time_warp,
                    frequency_masks=speech.freq_masks,
                    frequency_width=speech.freq_width,
                    time_masks=speech.time_masks,
                    time_width=speech.time_width,
                )
            )
    pictures = "face" in widths and side_of(widths["face"]) and config.backbone("face", widths["face"]) != "none"
    if config.augment and pictures:
        if face.flip:
            steps.append(Flip(face.flip))
        if face.light and face.light_prob:
            steps.append(BrightnessContrast("face", face.light, face.light, face.light_prob))
        if face.rotation and face.rotation_prob:
            steps.append(Rotation(face.rotation, face.rotation_prob))
    pairs: list[Augment] = []
    if config.mixup_prob:
        pairs.append(Mixup(config.mixup_alpha, config.mixup_prob, config.mixup_per))
    if config.cutmix_prob:
        if not pictures:
            raise ConfigError(f"cutmix_prob={config.cutmix_prob}: the faces are features, not pictures")
        pairs.append(CutMix3D(config.cutmix_beta, config.cutmix_prob, config.mixup_per))
    if pairs:
        steps.append(FirstOf(tuple(pairs)) if len(pairs) > 1 or config.cutmix_prob else pairs[0])
    return Chain(tuple(steps)) if steps else None


def build_model(config: MERC2020Config, widths: Mapping[str, int], specs: tuple[TargetSpec, ...]) -> MERC2020Model:
    """The network for streams of these widths, with fresh weights from torch's random numbers."""
    return _model(config, widths, specs, pretrained=False)


def _model(
    config: MERC2020Config, widths: Mapping[str, int], specs: tuple[TargetSpec, ...], *, pretrained: bool
) -> MERC2020Model:
    parts: dict[str, dict[str, Any]] = {}
    for name, own in (("speech", config.speech), ("face", config.face)):
        if name not in widths:
            continue
        parts[name] = {"hidden": own.hidden, "dropout": config.dropout, "mode": config.attention}
        parts[name]["backbone"] = config.backbone(name, widths[name])
        if parts[name]["backbone"] != "none":
            parts[name]["drop_path"] = config.drop_path
            # saved weights know their convention
            parts[name] |= {"weights": own.pretrained, "convention": own.convention} if pretrained else {}
            parts[name] |= {"frames": config.speech.frames} if name == "speech" else {}
    text = config.text
    parts["text"] = {
        "layers": text.layers,
        "heads": text.heads,
        "feedforward": text.feedforward,
        "dropout": text.dropout,
        "positions": text.positions,
    }
    return MERC2020Model(
        config.mode,
        widths,
        specs,
        **parts,
        freeze_backbone=config.freeze_backbone,
        modality_dropout=config.modality_dropout if config.mode == "multimodal" else 0.0,
        auxiliary=_heads_help(config, specs),
    )


def _heads_help(config: MERC2020Config, specs: tuple[TargetSpec, ...]) -> bool:
    """A corpus that does not ask about voice and face by themselves: their heads are asked what all are asked."""
    return config.mode == "multimodal" and config.lam > 0 and len(specs) == 1


def plan(config: MERC2020Config, table: ClipTable) -> Plan:
    """Everything that `fit` needs.

    Raises:
        ConfigError: a run to begin with that does not fit, or settings that ask for what the data lacks.
    """
    specs = tuple(column.spec for column in table.targets.values())
    widths = {name: column.width for name, column in table.streams.items()}
    model = _model(config, widths, specs, pretrained=True)
    train = table.where("train")
    if config.standardise and len(train):
        model.fit_standardiser(train.streams)
        for name, net in model.networks.items():
            if hasattr(net, "scale"):
                centre, scale = net.scale.centre.numpy(), net.scale.scale.numpy()
                check_standardiser(centre, scale, table, name).raise_if_leaking()
    for modality, path in config.started_from.items():
        if modality in widths and modality not in model.load_backbone(_run_of(path, config.trainer.seed)):
            raise ConfigError(f"{modality}_load_weights={path}: holds no {modality} network")
    trainer = _trainer(config.trainer, specs[0])
    heads = {name: config.lam / 2 for name in AUXILIARY.values() if name != specs[0].name}
    return Plan(
        table=table,
        modalities=tuple(table.streams),
        specs=specs,
        model=model,
        objective=Objective(
            specs,
            {
                spec.name: build_loss(spec, "cross_entropy", smoothing=config.label_smoothing, spread="others")
                for spec in specs
            },
            weights=heads,
            auxiliary=config.lam if _heads_help(config, specs) else 0.0,
            augment=augmentation(config, widths),
        ),
        optim=config.optim,
        trainer=trainer,
        measure=measure_of(specs, (trainer.watch, *trainer.best_by)),
        sampling=sampling(config, table),
    )


def _run_of(path: str, seed: int) -> Path:
    """The run that is named; of one with several seeds, that with the seed of this one."""
    named = Path(path).expanduser()
    seeds = sorted(each.parent.name for each in named.glob("seed-*/model.safetensors"))
    if not seeds:
        return named
    if f"seed-{seed}" not in seeds:
        raise ConfigError(f"{path} holds {', '.join(seeds)} and none of seed {seed}: name one of them")
    return named / f"seed-{seed}"


def _trainer(trainer: TrainerConfig, first: TargetSpec) -> TrainerConfig:
    """Measures without a target are those of the first: with several, `nll` alone would be ambiguous."""

    def of_first(rule: str) -> str:
        if rule == "last":
            return rule
        parsed = Criterion.parse(rule)
        names = [name if "." in name or name == "loss" else f"{first.name}.{name}" for name in parsed.names]
        return names[0] if parsed.how == "one" else f"{parsed.how}({'+'.join(names)})"

    best_by = tuple(of_first(rule) for rule in trainer.best_by)
    return trainer.model_copy(update={"watch": of_first(trainer.watch), "best_by": best_by})
