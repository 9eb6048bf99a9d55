"""What HLM12ERC is trained on: turns of dialogues as token ids beside stored features, samples and pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from merkit.data.table import ClipTable
from merkit.errors import ConfigError
from merkit.features.waveform import FRAME
from merkit.features.whole_sound import SAMPLES
from merkit.systems.data import SplitConfig, arranged, load_table, mapped, targets_of
from merkit.systems.hlm12erc_config import HLM12ERCConfig
from merkit.systems.hlm12erc_prompts import tokenised
from merkit.systems.stores import with_store

__all__ = ["load", "whole_dialogues"]


def load(config: HLM12ERCConfig, *, root: Path | None = None, split: str | None = None) -> ClipTable:
    """The clips with the streams that are switched on.

    Raises:
        ConfigError: a stream that is switched on and not there, or keys that mean nothing here.
        MediaError: the data cannot be read.
        WeightError: an encoder is not on this machine.
    """
    data, where = config.data, Path(root) if root is not None else config.data.root
    if data.text_encoder or data.modalities:
        raise ConfigError(
            "data.text_encoder, data.modalities: here text.encoder, speech.encoder … say what is read, and how"
        )
    read = tuple(name for name, encoder in config.encoders.items() if name != "text" or encoder == "stored")
    table = _read(config, read, where, moved=root is not None)
    for name in read:
        if name not in table.streams:
            raise ConfigError(
                f"{name}.encoder={config.encoders[name]}: {where} holds no {name} (see `merkit extract`, `merkit prepare meld "
                f"--media`); there is {', '.join(table.streams) or 'nothing'}"
            )
    table = replace(
        table,
        streams={name: table.streams[name] for name in read},
        targets={name: mapped(table.targets[name], data.label_map) for name in _targets(config, table)},
    )
    _check_samples(config, table)
    if table.dialogue is None or table.turn is None:
        # clips of somebody's own, also for a run that was trained on dialogues: each is a dialogue of one turn
        table = replace(table, dialogue=table.ids, turn=np.zeros(len(table), np.int64))
    if config.encoders.get("text", "stored") != "stored":
        table = tokenised(config, table)
    whole = arranged(table, data.model_copy(update={"num_data": 0}), where=where, moved=root is not None, split=split)
    return whole_dialogues(whole, data.num_data) if data.num_data else whole


def _read(config: HLM12ERCConfig, wanted: tuple[str, ...], where: Path, *, moved: bool) -> ClipTable:
    """All clips, with what is wanted of the stores and nothing else."""
    if (where / "manifest.parquet").is_file() or where.suffix == ".parquet":
        return _prepared(config, wanted, where, moved=moved)
    whole: dict[str, Any] = {
        "split": SplitConfig(), "num_data": 0, "modalities": (), "targets": (), "label_map": "", "own_scale": ()
    }  # fmt: skip
    return load_table(config.data.model_copy(update=whole), root=where if moved else None)


def _prepared(config: HLM12ERCConfig, wanted: tuple[str, ...], where: Path, *, moved: bool) -> ClipTable:
    """Streams may lie in several stores; features are looked for in the one of features first, pictures in those of bytes."""
    from merkit.corpora import clip_table, read_manifest
    from merkit.features.store import FeatureStore

    manifest = read_manifest(where)
    folder = where if where.is_dir() else where.parent
    own = config.data.store
    features = own if own is not None and not moved else folder / "features"
    table = clip_table(manifest)
    stores = {
        path: FeatureStore.open(path) for path in (features, folder / "frames", folder / "faces") if path.is_dir()
    }
    held = {path: set(store.index.column("modality").to_pylist()) for path, store in stores.items()}
    for name in wanted:
        seen = name in ("scene", "face") and config.encoders[name] != "stored"
        order = [*[path for path in stores if path != features], features] if seen else list(stores)
        path = next((path for path in order if name in held.get(path, ())), None)
        if path is None:
            continue
        table = with_store(table, manifest, stores[path], [name])
    return table


def _check_samples(config: HLM12ERCConfig, table: ClipTable) -> None:
    """Whether what is to be read as samples is such.

    Raises:
        ConfigError: it is not.
    """
    encoder = config.encoders.get("speech", "stored")
    if encoder == "stored":
        return
    source = table.provenance["speech"].source if "speech" in table.provenance else ""
    width = table.streams["speech"].width
    if width != FRAME or ("@" in source and source.partition("@")[0] not in SAMPLES):
        raise ConfigError(
            f"speech.encoder={encoder}: the speech of {table.name} is {source or 'unknown'}, {width} wide, not samples: `merkit "
            "prepare meld --media`, or `merkit extract … --encoder speech=waveform`"
        )


def _targets(config: HLM12ERCConfig, table: ClipTable) -> tuple[str, ...]:
    if config.data.targets or "emotion" not in table.targets:
        return targets_of(config.data, table)
    return ("emotion",)


def whole_dialogues(table: ClipTable, n: int) -> ClipTable:
    """The first dialogues of each split that have `n` clips together, for trying things out; single clips where there are
    no dialogues. A dialogue with holes in it would be another dialogue.

    Example:
        >>> table = ClipTable("t", np.array(list("abcd")), np.array(["train"] * 4), {}, {},
        ...     dialogue=np.array(["d", "e", "d", "e"]), turn=np.array([0, 0, 1, 1]))
        >>> whole_dialogues(table, 1).ids.tolist()
        ['a', 'c']
    """
    names = table.ids if table.dialogue is None else table.dialogue
    keep = np.zeros(len(table), bool)
    for split in np.unique(table.split):
        rows = np.flatnonzero(table.split == split)
        own, first, count = np.unique(names[rows], return_index=True, return_counts=True)
        order = np.argsort(first)
        enough = int(np.searchsorted(np.cumsum(count[order]), n)) + 1
        keep[rows[np.isin(names[rows], own[order[:enough]])]] = True
    return table.take(keep)
