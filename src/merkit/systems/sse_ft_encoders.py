"""What SSE-FT's trained encoders read, and those encoders: words as token ids, voice as units or as samples."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from merkit.data.columns import TokenColumn
from merkit.data.table import ClipTable, Provenance
from merkit.errors import ConfigError, WeightError
from merkit.models.tuned import TextStates, WaveStates
from merkit.models.unit_encoder import UnitEncoder, load_units_into
from merkit.networks.speech_pretrained import load_speech_encoder
from merkit.networks.text_pretrained import load_text_encoder

if TYPE_CHECKING:
    from merkit.systems.sse_ft_config import SSEFTConfig

__all__ = ["build_encoders", "check_class_tokens", "checked_units", "checked_waveforms", "published_ids"]

_log = logging.getLogger(__name__)


def published_ids(table: ClipTable, folder: Path) -> tuple[TokenColumn, Provenance]:
    """Voice as the token ids that a corpus's own lists give, which `merkit prepare` keeps beside the manifest.

    Raises:
        ConfigError: they give none for speech.
        MediaError: there is no such file, or it is damaged.
    """
    from merkit.corpora.token_ids import IDS_FILE, read_token_ids

    held = read_token_ids(folder)
    rows = [held.get((str(clip), "speech")) for clip in table.ids]
    if not any(rows):
        raise ConfigError(f"speech_ids: {folder / IDS_FILE} has no tokens of speech for the clips of {table.name}")
    column = TokenColumn.of_sequences([np.array(ids, np.float32)[:, None] if ids else None for ids in rows], width=1)
    return column, Provenance(f"token ids of {IDS_FILE}")


def checked_units(table: ClipTable, config: "SSEFTConfig", *, judging: bool = False) -> ClipTable:
    """The table, once its speech is known to be units; with the splits that the units were fitted on.

    Args:
        table: divided as the run divides it.
        config: of the run.
        judging: a folder of units that has gone since training is passed over.

    Raises:
        ConfigError: speech is not ids from 0 to `speech_units` - 1, or not those of the units that are named.
        WeightError: no units in the folder that is named.
    """
    from merkit.features.unit_tokens import unit_ids
    from merkit.features.units import SpeechUnits

    column, k = table.streams["speech"], config.speech_units
    if column.width != 1:
        raise ConfigError(
            f"speech_units={k}: the speech of {table.name} is {column.width} wide, not ids of units (see `merkit units`); "
            "for states of an encoder write speech_units=0 cls.speech=mean"
        )
    x = np.asarray(column.x[:], np.float32)
    if len(x) and (x.min() < 0 or x.max() >= k or (x != np.round(x)).any()):
        raise ConfigError(
            f"speech_units={k}: the speech of {table.name} goes from {x.min():g} to {x.max():g}; ids are whole numbers "
            f"from 0 to {k - 1}"
        )
    if not config.units:
        return table
    try:
        units = SpeechUnits.load(config.units)
    except WeightError:
        if not judging:
            raise
        _log.warning("units=%s: not there any more, so what they were fitted on is not checked", config.units)
        return table
    if len(units) != k:
        raise ConfigError(f"speech_units={k}: {config.units} has {len(units)}")
    about = table.provenance.get("speech", Provenance(""))
    if about.source not in unit_ids(units):
        raise ConfigError(
            f"units={config.units}: the speech of {table.name} is {about.source or 'of no store'}, not of them"
        )
    fitted = units.fitted_on(table.ids, table.split)
    about = replace(about, statistics_on=tuple(sorted({*about.statistics_on, *fitted})))
    return replace(table, provenance={**table.provenance, "speech": about})


def checked_waveforms(table: ClipTable, name: str) -> ClipTable:
    """The table, once its speech is known to be samples.

    Raises:
        ConfigError: it is something else.
    """
    from merkit.features.waveform import FRAME
    from merkit.features.whole_sound import SAMPLES

    source = table.provenance["speech"].source if "speech" in table.provenance else ""
    width = table.streams["speech"].width
    if width != FRAME or ("@" in source and source.split("@")[0] not in SAMPLES):
        raise ConfigError(
            f"tune_speech={name}: the speech of {table.name} is {source or 'unknown'}, {width} wide, not samples: "
            "`merkit extract … --encoder speech=waveform`"
        )
    return table


def check_class_tokens(config: "SSEFTConfig", table: ClipTable, folder: Path, *, judging: bool = False) -> None:
    """Whether what is taken for a class token is one, and speaks for the whole clip.

    Args:
        config: of the run.
        table: with its streams.
        folder: of the manifest.
        judging: it is too late for another choice, so what is doubtful is said and not refused.

    Raises:
        ConfigError: `first` of voice or faces with several tokens a clip and none in front that stands for all; `first` of
            stored text that consists of several lines, each of which has a class token of its own.
    """
    for name in ("speech", "face"):
        trained = name == "speech" and bool(config.speech_units)
        if config.cls.get(name) == "first" and name in table.streams and not trained:
            several = table.streams[name].lengths.max(initial=0) > 1
            if several:
                _object(
                    f"cls.{name}=first: no class token stands in front of {name}, so this would be its first token alone; "
                    f"write cls.{name}=mean" + (", or name speech_units" if name == "speech" else ""),
                    judging,
                )
    if config.cls.get("text") == "first" and "text" in table.streams and not config.tune_text:
        clips = _of_several_lines(config, table, folder)
        if clips:
            _object(
                f"cls.text=first: {len(clips)} clips say several lines (e.g. {clips[0]}), each stored with a class token of "
                "its own, and the first speaks for the first line alone: write cls.text=mean or cls.text=learned, or "
                "tune_text, which reads them as one",
                judging,
            )


def _object(text: str, judging: bool) -> None:
    if not judging:
        raise ConfigError(text)
    _log.warning(text)


def _of_several_lines(config: "SSEFTConfig", table: ClipTable, folder: Path) -> list[str]:
    """Clips whose text in the store is of more than one utterance."""
    from merkit.corpora import read_manifest
    from merkit.features.store import FeatureStore

    path = config.data.store if config.data.store is not None else folder / "features"
    if config.data.text_encoder or not (folder / "manifest.parquet").is_file() or not path.is_dir():
        return []
    store = FeatureStore.open(path)
    wanted, held = set(map(str, table.ids)), set(store.clips)
    found = []
    for clip in read_manifest(folder).clips:
        # words that the manifest holds are one line
        if clip.id not in wanted & held or any(s.modality == "text" and s.text for s in clip.streams):
            continue
        if sum(bool((segment.get("text") or "").strip()) for segment in store.about(clip.id).get("segments", ())) > 1:
            found.append(clip.id)
    return found


def build_encoders(config: "SSEFTConfig", modalities: Sequence[str], *, weights: bool) -> dict[str, Any]:
    """Modality -> module with a `width`, for those that are trained along.

    Args:
        config: of the run.
        modalities: that the model has.
        weights: False leaves random ones where it can, to load trained ones into.

    Raises:
        WeightError: an encoder, or `unit_weights`, is not on this machine or does not fit.
    """
    made: dict[str, nn.Module] = {}
    if config.tune_text and "text" in modalities:
        encoder = load_text_encoder(
            config.tune_text, freeze_layers=config.freeze_layers, weights=weights, training=True
        )
        made["text"] = TextStates(encoder)
    if config.tune_speech and "speech" in modalities:
        made["speech"] = WaveStates(load_speech_encoder(config.tune_speech, freeze_layers=config.freeze_speech_layers))
    if config.speech_units and "speech" in modalities:
        units = UnitEncoder(
            config.speech_units,
            width=config.unit_width,
            layers=config.unit_layers,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            max_positions=config.max_positions,
        )
        if config.unit_weights and weights:
            load_units_into(units, config.unit_weights)
        made["speech"] = units
    return made
