"""What the tensor mixer is trained on: which targets, what is made of votes, which fold is valid, what encoders read."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from merkit.corpora.kemdy import AFFECT, CENTROIDS, EMOTION, KEMDY7
from merkit.data.splits import subset
from merkit.data.table import ClipTable, TargetColumn
from merkit.data.votes import NearestCentroid, TieRule, hard, peak, with_hard, with_soft
from merkit.errors import ConfigError
from merkit.features.physiology_columns import measured_windows
from merkit.systems.data import load_table, on_own_scale, targets_of
from merkit.systems.physiology import layout_of
from merkit.systems.sse_ft_encoders import checked_waveforms
from merkit.systems.tensor_mixer_config import TensorMixerConfig
from merkit.systems.text_encoder import word_ids

__all__ = ["load"]

_PUBLISHED = (EMOTION.name, AFFECT.name)


def load(config: TensorMixerConfig, *, root: Path | None = None, split: str | None = None) -> ClipTable:
    """The clips with labels as the config makes them of votes.

    Args:
        config: of the run.
        root: another folder of the same layout.
        split: only these clips, to be judged; shares are then never sharpened.

    Raises:
        ConfigError: targets, votes, folds or modalities that are asked for and not there; a speaker in two folds.
    """
    table = _read(config, root, split)
    names = _targets(config, table)
    targets = {name: _labelled(table, table.targets[name], config, judging=split is not None) for name in names}
    streams, about = dict(table.streams), dict(table.provenance)
    if _reads_words(config):
        column, about["text"] = word_ids(table, config.tune.text, key="tune.text", max_tokens=config.tune.max_tokens)
        streams = {"text": column, **{name: own for name, own in streams.items() if name != "text"}}
    if config.data.modalities:
        streams = {name: own for name, own in streams.items() if name in config.data.modalities}
    table = replace(table, streams=streams, provenance=about, targets=targets)
    return checked_waveforms(table, config.tune.speech) if config.tune.speech and "speech" in streams else table


def _reads_words(config: TensorMixerConfig) -> bool:
    return bool(config.tune.text) and (not config.data.modalities or "text" in config.data.modalities)


def _read(config: TensorMixerConfig, root: Path | None, split: str | None) -> ClipTable:
    """The clips that are asked for, with all their targets, and of the store what no encoder makes."""
    data = config.data
    if data.earlier or data.later:
        raise ConfigError("data.earlier, data.later: the tensor mixer sees a clip alone")
    if config.tune.text and data.text_encoder:
        raise ConfigError("tune.text trains an encoder along; data.text_encoder makes features: take one of them")
    stored = tuple(name for name in data.modalities if not (_reads_words(config) and name == "text"))
    # all targets: affect may decide ties of what is learned without it
    data = data.model_copy(update={"modalities": stored, "targets": ()})
    folded = config.validation_fold >= 0
    if not folded and not data.own_scale:
        return load_table(data, root=root, split=split)
    if data.split.merge_valid or (folded and data.split.kind != "official"):
        raise ConfigError(
            "validation_fold divides the clips alone (data.split.kind=official); neither it nor data.own_scale goes with "
            "data.split.merge_valid here"
        )
    # folds and persons are looked at over all clips, whichever are asked for
    table = load_table(data.model_copy(update={"num_data": 0, "own_scale": ()}), root=root)
    if folded and (root is None or "fold" in table.groups):
        table = _folded(table, config)
    windows = measured_windows(layout_of(config.physiology)) if config.physiology.encoder else None
    table = on_own_scale(table, data, windows)
    if split is not None:
        table = table.where(split)
        if not len(table):
            raise ConfigError(f"{root or data.root}: no clips in split {split}")
    return subset(table, data.num_data) if data.num_data else table


def _folded(table: ClipTable, config: TensorMixerConfig) -> ClipTable:
    """The clips of one fold as valid, all others but test as train."""
    if "fold" not in table.groups:
        raise ConfigError(f"validation_fold={config.validation_fold}: corpus {table.name} has no group `fold`")
    fold = np.asarray(table.groups["fold"]).astype(str)
    valid = fold == str(config.validation_fold)
    if not valid.any():
        raise ConfigError(
            f"validation_fold={config.validation_fold}: the folds of {table.name} are {', '.join(sorted(set(fold)))}"
        )
    if "speaker" in table.groups:
        who = np.asarray(table.groups["speaker"]).astype(str)
        if both := sorted((set(who[valid]) & set(who[~valid])) - {""}):
            raise ConfigError(
                f"validation_fold={config.validation_fold}: {', '.join(both[:3])} speak in other folds too"
            )
    return table.divided(np.where(valid, "valid", np.where(table.split == "test", "test", "train")))


def _targets(config: TensorMixerConfig, table: ClipTable) -> tuple[str, ...]:
    published = tuple(name for name in _PUBLISHED if name in table.targets)
    names = targets_of(config.data, table) if config.data.targets else published or tuple(table.targets)
    wanted = {"both": (True, False), "regression": (True,), "classification": (False,)}[config.task]
    chosen = tuple(name for name in names if (table.targets[name].spec.kind == "regression") in wanted)
    if names and not chosen:
        raise ConfigError(f"task={config.task}: none of {', '.join(names)} of {table.name} is such a target")
    return chosen


def _labelled(table: ClipTable, column: TargetColumn, config: TensorMixerConfig, *, judging: bool) -> TargetColumn:
    """The column as the labels ask; what nobody voted on stays as it is."""
    rule, spec = config.labels, column.spec
    if spec.kind not in ("single_label", "soft_label") or spec.per_entity:
        return column
    if column.votes is None and spec.kind == "single_label":
        if rule.mode != "hard":
            raise ConfigError(f"labels.mode={rule.mode}: target {spec.name} of {table.name} has no votes")
        return column
    if rule.mode == "hard":
        return with_hard(column, _ties(table, column, config))
    shares = with_soft(column)
    if rule.mode == "soft" or judging:
        return shares
    train = (table.split == "train")[:, None]
    return replace(shares, value=np.where(train, peak(shares.value), shares.value))


def _ties(table: ClipTable, column: TargetColumn, config: TensorMixerConfig) -> TieRule:
    if config.labels.ties != "centroid":
        return config.labels.ties
    chosen = config.labels.centroids
    if chosen == "auto":
        chosen = table.name if table.name in CENTROIDS else "train"
    if chosen != "train":
        known = dict(zip(KEMDY7.labels, CENTROIDS[chosen], strict=True))
        centroids = np.array([known.get(label, (np.nan, np.nan)) for label in column.spec.labels])
        return NearestCentroid(_rated(table), centroids)
    # what they are fitted on must not depend on which split is asked for
    own = _read(config, None, "train")
    votes = own.targets[column.spec.name]
    value, clear = hard(_votes(votes))
    place = _rated(own)
    clear = clear & np.isfinite(place).all(1)
    centroids = np.full((len(column.spec.labels), 2), np.nan)
    for k in np.unique(value[clear]):
        centroids[k] = place[clear & (value == k)].mean(0)
    return NearestCentroid(_rated(table), centroids)


def _votes(column: TargetColumn) -> np.ndarray:
    return with_soft(column).value if column.votes is None else column.votes


def _rated(table: ClipTable) -> np.ndarray:
    """`(n, 2)` valence and arousal, NaN where they are not known."""
    column = table.targets.get(AFFECT.name)
    if column is None or not set(AFFECT.labels) <= set(column.spec.labels):
        raise ConfigError(f"labels.ties=centroid: {table.name} has no target `{AFFECT.name}` of valence and arousal")
    at = [column.spec.labels.index(name) for name in AFFECT.labels]
    return np.where(column.valid[:, at], column.value[:, at], np.nan)
