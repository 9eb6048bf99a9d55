"""Streams on each person's own scale, as a run asks for it (`data.own_scale`)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merkit.data.persons import Measured, normalise_by_person
from merkit.data.table import ClipTable
from merkit.features.physiology import PHYSIOLOGY_COLUMNS
from merkit.features.physiology_columns import measured_statistics
from merkit.naming import check_names
from merkit.schema import MODALITIES

if TYPE_CHECKING:
    from merkit.systems.data import DataConfig

__all__ = ["check_own_scale", "on_own_scale"]


def on_own_scale(table: ClipTable, config: "DataConfig", windows: Sequence[Measured] | None = None) -> ClipTable:
    """Streams of `own_scale` on each person's own scale; of physiology, columns count where they were measured.

    Args:
        table: all splits together.
        config: which streams and persons.
        windows: which columns of physiology are measured together, where it is raw windows; None = statistics know theirs.

    Raises:
        ConfigError: a name that no modality has.
    """
    for name in config.own_scale:
        if name not in table.streams:
            # left out of this run, or no modality at all
            check_names("data.own_scale", [name], dict.fromkeys([*MODALITIES, *config.arrays.modalities]))
            continue
        measured = windows if name == "physiology" else None
        if name == "physiology" and windows is None and table.streams[name].width == len(PHYSIOLOGY_COLUMNS):
            measured = measured_statistics()
        table = normalise_by_person(table, name, by=config.own_scale_by, measured=measured)
    return table


def check_own_scale(config: "DataConfig", table: ClipTable) -> None:
    """Whether the corpus has what `own_scale` names, be it in this run's subset of modalities or not.

    Raises:
        ConfigError: it has not.
    """
    if set(config.own_scale) <= set(table.streams):
        return
    known = dict.fromkeys(table.streams)
    path = config.store or (config.root if config.root.is_dir() else config.root.parent) / "features"
    if path.is_dir():
        from merkit.features.store import FeatureStore

        known |= dict.fromkeys(sorted(set(FeatureStore.open(path).index.column("modality").to_pylist())))
    check_names("data.own_scale", config.own_scale, known)
