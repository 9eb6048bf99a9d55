"""The clips of a MERC2020 run: a prepared folder with its two stores, and which streams and targets a mode takes of it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merkit.data.columns import Origin
from merkit.data.table import ClipTable, TokenColumn
from merkit.errors import ConfigError
from merkit.systems.data import SplitConfig, arranged, load_table, mapped, modalities_of, targets_of, with_text_features
from merkit.systems.merc2020_config import MERC2020Config
from merkit.systems.stores import with_store

if TYPE_CHECKING:
    from merkit.features.store import FeatureStore

__all__ = ["AUXILIARY", "load", "one_person"]

# stream -> what its network answers by itself, where the corpus asks it
AUXILIARY = {"speech": "speech_emotion", "face": "face_emotion"}
_CLASSES = ("single_label", "soft_label")


def load(config: MERC2020Config, *, root: Path | None = None, split: str | None = None) -> ClipTable:
    """The clips with the streams of the mode and the targets that it answers.

    A prepared folder has a store `features` (speech, words) and a store `faces` (pictures as bytes); either may be missing,
    and clips may be without targets. Any other prepared corpus will do, with features of any width, and so will arrays.

    Args:
        config: of a run.
        root: another folder of the same layout in place of `data.root`.
        split: give only these clips.

    Raises:
        ConfigError: none of the streams is there to train on, or no target that can be answered with classes.
        MediaError: the data cannot be read.
    """
    data, where = config.data, Path(root) if root is not None else config.data.root
    if (where / "manifest.parquet").is_file() or where.suffix == ".parquet":
        table = _prepared(config, where, moved=root is not None)
    else:
        whole = {
            "split": SplitConfig(),
            "num_data": 0,
            "modalities": (),
            "targets": (),
            "label_map": "",
            "own_scale": (),
        }
        table = load_table(data.model_copy(update=whole), root=root)
    if data.text_encoder and "text" in config.streams:
        table = with_text_features(table, data.text_encoder)
    held = {name: one_person(table.streams[name]) for name in config.streams if name in table.streams}
    table = replace(table, streams=held, entities=None)
    table = replace(table, streams={name: table.streams[name] for name in modalities_of(data, table)})
    if not table.streams and root is None:
        raise ConfigError(f"data.root={where}: mode={config.mode} needs {' or '.join(config.streams)}; there is none")
    targets = {name: mapped(table.targets[name], data.label_map) for name in _asked(config, table)}
    return arranged(replace(table, targets=targets), data, where=where, moved=root is not None, split=split)


def _asked(config: MERC2020Config, table: ClipTable) -> tuple[str, ...]:
    """The targets of a run: that of the mode, and in `multimodal` what voice and face are asked by themselves."""
    if config.data.targets:
        names = targets_of(config.data, table)
    else:
        kinds = {name: column.spec for name, column in table.targets.items()}
        known = [name for name, spec in kinds.items() if spec.kind in _CLASSES and not spec.per_entity]
        wanted = (AUXILIARY.get(config.mode, "emotion"), "emotion", *known)
        lead = next((name for name in wanted if name in known), None)
        if lead is None and table.targets:
            raise ConfigError(f"corpus {table.name} asks for {', '.join(table.targets)}; a target of classes is needed")
        names = () if lead is None else (lead,)
        if config.mode == "multimodal" and config.lam:
            names += tuple(
                AUXILIARY[s] for s in table.streams if AUXILIARY.get(s) in known and AUXILIARY[s] not in names
            )
    if odd := [name for name in names if table.targets[name].spec.kind not in _CLASSES]:
        raise ConfigError(f"{', '.join(odd)}: merc2020 answers with one class of several")
    return names


def _prepared(config: MERC2020Config, where: Path, moved: bool) -> ClipTable:
    """Manifest and stores, of which only the streams of the mode are read."""
    from merkit.corpora import clip_table, read_manifest
    from merkit.features.store import FeatureStore

    manifest = read_manifest(where)
    folder = where if where.is_dir() else where.parent
    own = config.data.store
    table = clip_table(manifest)
    for path in (own if own is not None and not moved else folder / "features", folder / "faces"):
        if not path.is_dir():
            continue
        store = FeatureStore.open(path)
        wanted = [name for name in config.streams if name in _held(store, set(table.ids.tolist()))]
        if not wanted:
            continue
        table = with_store(table, manifest, store, wanted)
    return table


def _held(store: "FeatureStore", clips: set[str]) -> set[str | None]:
    """Modalities that the store has of these clips."""
    index = store.index.select(["clip", "modality"]).to_pydict()
    return {name for clip, name in zip(index["clip"], index["modality"], strict=True) if clip in clips}


def one_person(column: TokenColumn) -> TokenColumn:
    """The column with one sequence a clip: of several persons, the one who is seen most, the first of those who tie.

    Example:
        >>> column = TokenColumn(np.arange(4.0)[:, None], np.array([0, 1, 3, 4]), np.array([0, 0, 1]), np.array([0, 1, 0]))
        >>> chosen = one_person(column)
        >>> chosen.x.ravel(), chosen.clip, chosen.per_entity
        (array([1., 2., 3.]), array([0, 1]), False)
    """
    if not column.per_entity:
        return column
    order = np.lexsort((column.entity, -column.lengths, column.clip))
    own = order[np.unique(column.clip[order], return_index=True)[1]]
    taken = np.isin(np.arange(len(column.clip)), own)

    def keep(row: np.ndarray, entity: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts = np.where(taken, lengths, 0)
        return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts), counts

    count = int(column.clip.max(initial=-1)) + 1
    kept = column.take(np.arange(count), keep=keep)
    known = column.origin is not None and column.origin.x is column.x
    return TokenColumn(
        kept.x,
        np.append(0, np.cumsum(column.lengths[own])).astype(np.int64),
        column.clip[own],
        np.zeros(len(own), np.int64),
        kept.start_s,
        origin=Origin(kept.x, column.origin.sha256[own]) if known and column.origin is not None else None,
    )
