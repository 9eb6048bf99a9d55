"""What a run's training clips were labelled as on the whole: all that can be said of a clip that shows nothing."""

from collections.abc import Mapping

import numpy as np

from merkit.data.table import ClipTable
from merkit.errors import ConfigError, MerkitError
from merkit.training.run import Run

__all__ = ["prior_of", "training_prior"]


def prior_of(table: ClipTable) -> dict[str, np.ndarray]:
    """target -> `(K,)` shares of the classes or labels among known answers of `table`; of a regression, the means.

    Example:
        >>> from merkit.data.table import TargetColumn
        >>> from merkit.schema import TargetSpec
        >>> mood = TargetColumn(TargetSpec("mood", "single_label", ("calm", "loud")), np.array([1, 1, 0, 1, 0]),
        ...     np.array([True, True, True, True, False]))
        >>> prior_of(ClipTable("t", np.arange(5).astype(str), np.full(5, "train"), {}, {"mood": mood}))["mood"]
        array([0.25, 0.75])
    """
    shares = {}
    for name, column in table.targets.items():
        if column.spec.kind == "single_label":
            counts = np.bincount(column.value[column.valid], minlength=len(column.spec.labels))
            shares[name] = counts / max(counts.sum(), 1)
        else:
            value, known = (each.reshape(-1, each.shape[-1]) for each in (column.value, column.valid))
            shares[name] = np.where(known, value, 0.0).sum(0, dtype=np.float64) / np.maximum(known.sum(0), 1)
    return shares


def training_prior(run: Run) -> Mapping[str, np.ndarray]:
    """target -> `(K,)` of a run: from its record where that has it, else from the clips that it was trained on.

    Raises:
        ConfigError: the record has none, and the training data is not where it was.
    """
    if noted := run.record.get("prior"):
        return {name: np.asarray(values, np.float64) for name, values in noted.items()}
    try:
        table = run.system.load(run.config)
    except MerkitError as error:
        raise ConfigError(
            f"{run.path}: shares of its training labels are not known, because its data cannot be read ({error})"
        ) from error
    return prior_of(table.where("train"))
