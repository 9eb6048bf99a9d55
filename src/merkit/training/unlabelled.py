"""A folder without labels as a run wants to see it."""

from dataclasses import replace
from typing import Any

import numpy as np

from merkit.data.table import ClipTable, TokenColumn
from merkit.errors import ConfigError
from merkit.training.run import Run
from merkit.training.trained_on import other_features_of

__all__ = ["FILMS", "fitting", "unlabelled"]

FILMS = ("movie", "video", "dialogue")
"""Groups that say what a clip is of."""
# streams whose tokens belong to persons, whoever made them
_PERSONAL = ("face", "lines")


def unlabelled(config: Any) -> Any:
    """A run's config for a folder without labels and splits, of which everything is taken.

    Example:
        >>> from merkit.systems.fusion import FusionConfig
        >>> unlabelled(FusionConfig(data={"targets": ["emotion"], "num_data": 8})).data.num_data
        0
    """
    data = config.data
    kept = {name: type(data).model_fields[name].get_default() for name in ("split", "store", "num_data", "modalities")}
    asked = {*FILMS, *([data.own_scale_by] if data.own_scale else [])}
    groups = {kind: column for kind, column in data.arrays.groups.items() if kind in asked}
    arrays = data.arrays.model_copy(update={"targets": {}, "split": "", "groups": groups})
    return config.model_copy(update={"data": data.model_copy(update={**kept, "targets": (), "arrays": arrays})})


def fitting(run: Run, table: ClipTable, warnings: list[str], other_features: bool) -> ClipTable:
    """The table with every stream of the run, and no other; what the folder lacks is absent from every clip.

    Args:
        run: of one seed.
        table: what the folder holds.
        warnings: what a reader must know is added to it.
        other_features: go on where features come from another extractor than those of training.

    Raises:
        ConfigError: there is nothing that the run looks at, or its features are others than those of training.
    """
    if not len(table):
        raise ConfigError(f"{table.name} has no clips")
    record = run.record
    streams: dict[str, TokenColumn] = {}
    for name in record["modalities"]:
        width, column = record["widths"][name], table.streams.get(name)
        if column is None or not len(column.x):
            warnings.append(f"the run looks at {name}, of which there is nothing here")
            nothing = np.zeros(0, np.int64)
            column = TokenColumn(
                np.zeros((0, width), np.float32),
                np.zeros(1, np.int64),
                nothing,
                nothing,
                np.zeros(0),
                name in _PERSONAL,
            )
        elif column.width != width:
            raise ConfigError(f"{name} features are {column.width} wide; {run.path} was trained with {width}")
        else:
            if other := other_features_of(record, table, name):
                here, there = other
                said = f"{name} features are {here}; {run.path} was trained with {there}"
                if not other_features:
                    raise ConfigError(f"{said}. Answers would mean nothing (--other-features goes on in spite of it)")
                warnings.append(said)
        streams[name] = column
    if not any(len(column.x) for column in streams.values()):
        raise ConfigError(f"{table.name} holds nothing of what {run.path} looks at: {', '.join(streams)}")
    return replace(table, streams=streams, targets={})
