"""Where the clips come from, how they are split, and how many turns of context a clip is seen with."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from merkit.config import Config
from merkit.corpora.arrays import ArraysConfig, read_arrays
from merkit.corpora.label_maps import LABEL_MAPS
from merkit.data import splits
from merkit.data.group_folds import group_fold
from merkit.data.table import ClipTable, TargetColumn
from merkit.errors import ConfigError
from merkit.systems.own_scale import check_own_scale, on_own_scale

__all__ = [
    "DataConfig",
    "SplitConfig",
    "arranged",
    "load_table",
    "mapped",
    "modalities_of",
    "on_own_scale",
    "targets_of",
    "with_text_features",
]


class SplitConfig(Config):
    """How clips are divided."""

    kind: Literal["official", "group", "kfold", "leave_one_out", "group_fold"] = "official"
    """`official` = as the corpus says; `group` = shares by whole groups; `kfold`, `leave_one_out` = by groups as well;
    `group_fold` = group number `fold` is test, the next one valid, the others train: session folds of IEMOCAP."""
    by: str = "speaker"
    """Which group never lies in two splits: `speaker`, `session`, `dialogue`, `movie` …"""
    folds: int = Field(5, ge=2)
    """Of `kfold`."""
    fold: int = Field(0, ge=0)
    """Which fold is valid (`kfold`), which group is test (`group_fold`)."""
    out: str = ""
    """The group that `leave_one_out` leaves out."""
    fractions: tuple[float, ...] = (0.8, 0.1, 0.1)
    """Shares of train, valid, test for `group`."""
    keep_test: bool = True
    """Leave an official test split where it is and divide the rest."""
    merge_valid: bool = False
    """Train on valid as well, once all settings are fixed; needs `trainer.watch=last`."""
    seed: int = 0
    """Of the division; not the seed of training, which may vary over one division."""


class DataConfig(Config):
    """The data of a run."""

    root: Path = Path()
    """A folder from `merkit prepare`, or one with arrays (`data.arrays`)."""
    arrays: ArraysConfig = ArraysConfig()
    """Which column of an `.npz` file means what, where the root holds arrays instead of a manifest."""
    store: Path | None = None
    """Feature store from `merkit extract`; none = `features` in the root."""
    modalities: tuple[str, ...] = ()
    """Which modalities the model takes; none = all that are there."""
    targets: tuple[str, ...] = ()
    """Which targets are trained; none = all."""
    label_map: str = ""
    """Classes of a corpus as another set: `iemocap4`, `iemocap4_exc` (excitement counts as happiness), `iemocap6`,
    `one_vs_rest`, `one_vs_rest_exc`; targets that it does not fit stay as they are."""
    text_encoder: str = ""
    """Make text features from the words with this encoder: `minilm`, a Hugging Face name or folder (`roberta-base:pooler`), a
    run of `text_encoder`, or a folder with tuned copies (docs/text-encoders.md)."""
    split: SplitConfig = SplitConfig()
    """How clips are divided."""
    earlier: int = Field(0, ge=-1)
    """Turns of the dialogue before each clip that the model sees; -1 = all."""
    later: int = Field(0, ge=-1)
    """Turns after it; 0 where answers must not wait for what comes next."""
    own_scale: tuple[str, ...] = ()
    """Modalities whose features are brought to each person's own mean and deviation, over all clips of that person that
    are here, unlabelled ones too: to use such a run, several clips of a person must be there, as varied as those of
    training."""
    own_scale_by: str = "speaker"
    """Kind of group that names the persons for `own_scale`."""
    num_data: int = Field(0, ge=0)
    """Clips of each split, for trying things out; 0 = all."""
    allow_leaks: tuple[str, ...] = ()
    """Kinds of leakage finding to go on in spite of, by name."""


def load_table(config: DataConfig, *, root: Path | None = None, split: str | None = None) -> ClipTable:
    """The clips of a config, divided as it says.

    Args:
        config: of a run.
        root: another folder of the same layout in place of `data.root`.
        split: give only these clips, as the corpus itself splits them; for evaluation on `test`.

    Raises:
        ConfigError: no data in the root, or modalities (`own_scale` too) or targets that are not there.
        MediaError: the data cannot be read.
    """
    where = Path(root) if root is not None else config.root
    if (where / "manifest.parquet").is_file() or where.suffix == ".parquet":
        table = _prepared(where, config, moved=root is not None)
    elif config.arrays.modalities:
        table = read_arrays(where, config.arrays, split=split or "")
    else:
        raise ConfigError(
            f"data.root={where}: holds no manifest.parquet (see `merkit prepare`), and data.arrays.modalities names no columns"
        )
    if config.text_encoder:
        table = with_text_features(table, config.text_encoder)
    if root is None:
        check_own_scale(config, table)
    wanted, targets = modalities_of(config, table), targets_of(config, table)
    table = replace(
        table,
        streams={name: table.streams[name] for name in wanted},
        targets={name: mapped(table.targets[name], config.label_map) for name in targets},
    )
    return arranged(table, config, where=where, moved=root is not None, split=split)


def arranged(table: ClipTable, config: DataConfig, *, where: Path, moved: bool, split: str | None) -> ClipTable:
    """A table divided as the config says, and of that the part that is asked for.

    Args:
        table: all clips.
        config: of a run.
        where: the folder, for messages.
        moved: whether it is another folder than that of training.
        split: give only these clips; None = all.

    Raises:
        ConfigError: no clips in the split, or a split that was trained on.
    """
    if config.split.kind != "official":
        table = _divided(table, config.split)
    table = on_own_scale(table, config)
    if config.split.merge_valid and split is None:
        table = replace(table, split=np.where(table.split == "valid", "train", table.split))
    if config.split.merge_valid and split == "valid" and not moved:
        raise ConfigError("data.split.merge_valid: valid was trained on, so figures on it would mean nothing")
    if split is not None:
        table = table.where(split)
        if not len(table):
            raise ConfigError(f"{where}: no clips in split {split}")
    return splits.subset(table, config.num_data) if config.num_data else table


def modalities_of(config: DataConfig, table: ClipTable) -> tuple[str, ...]:
    """The modalities that a run takes, in the corpus's order.

    Raises:
        ConfigError: one that the corpus lacks.
    """
    if missing := set(config.modalities) - set(table.streams):
        raise ConfigError(f"data.modalities: no {', '.join(sorted(missing))}; there are {', '.join(table.streams)}")
    return tuple(name for name in table.streams if not config.modalities or name in config.modalities)


def targets_of(config: DataConfig, table: ClipTable) -> tuple[str, ...]:
    """The targets that a run answers; none of a corpus that has none, which is good enough to be answered for.

    Raises:
        ConfigError: one that the corpus lacks.
    """
    if missing := set(config.targets) - set(table.targets):
        raise ConfigError(f"data.targets: no {', '.join(sorted(missing))}; there are {', '.join(table.targets)}")
    return config.targets or tuple(table.targets)


def mapped(column: TargetColumn, name: str) -> TargetColumn:
    """The column under a label map, where it has categories of the map; `name` empty = as it is.

    Raises:
        ConfigError: there is no such map.
    """
    if not name:
        return column
    if name not in LABEL_MAPS:
        raise ConfigError(f"data.label_map={name}: there are {', '.join(LABEL_MAPS)}")
    chosen = LABEL_MAPS[name]
    fits = column.spec.kind == "single_label" and set(column.spec.labels) & set(chosen.leads)
    return chosen.apply(column) if fits else column


def _prepared(where: Path, config: DataConfig, moved: bool) -> ClipTable:
    from merkit.corpora import clip_table, read_manifest
    from merkit.features.store import FeatureStore

    manifest = read_manifest(where)
    folder = where if where.is_dir() else where.parent
    path = config.store if config.store is not None and not moved else folder / "features"
    wanted = config.modalities
    if config.text_encoder:
        # made from the words, whether or not the store has text of its own
        wanted = tuple(name for name in wanted if name != "text")
    read = path.is_dir() and (bool(wanted) or not config.modalities)
    return clip_table(manifest, FeatureStore.open(path) if read else None, wanted or None)


def _divided(table: ClipTable, config: SplitConfig) -> ClipTable:
    if config.kind == "group":
        return splits.by_group(table, config.by, config.fractions, seed=config.seed, keep_test=config.keep_test)
    if config.kind == "kfold":
        return splits.kfold_by_group(
            table, config.by, config.folds, config.fold, seed=config.seed, keep_test=config.keep_test
        )
    if config.kind == "group_fold":
        return group_fold(table, config.fold, config.by)
    return splits.leave_one_group_out(table, config.by, config.out, keep_test=config.keep_test)


def with_text_features(table: ClipTable, name: str) -> ClipTable:
    """The table with text features from its words, by the encoder that `data.text_encoder` names.

    Raises:
        ConfigError: the corpus has no words.
    """
    from merkit.data.table import Provenance, TokenColumn
    from merkit.features.sentences import sentence_encoder

    if table.texts is None:
        raise ConfigError(f"data.text_encoder={name}: corpus {table.name} has no words (data.arrays.texts)")
    encoder = sentence_encoder(name)
    present = np.array([bool(text.strip()) for text in table.texts])
    column = TokenColumn.one_per_clip(encoder([str(text) for text in table.texts]), present)
    provenance = {**table.provenance, "text": Provenance(encoder.id, encoder.fitted_on)}
    return replace(table, streams={**table.streams, "text": column}, provenance=provenance)
