"""Measurements brought to each person's own scale: one person's calm skin conducts ten times what another's does.

Two ways, which differ in what must be known when a model is used:

- `own`: centre and scale of a person come from all windows of that person, whatever split they are in. Answers are never
  looked at, but windows of a person who is judged are: to use such a model, a recording of the person has to be there
  beforehand, as varied as those of training. `Provenance.statistics_on` says so, and the leakage check warns.
- `train`: everybody gets the centre and scale of the training persons' windows. Nothing needs to be known of a new person.

Persons are those that a corpus names in its groups; nobody is recognised.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from merkit.data.findings import Finding, LeakageReport
from merkit.data.table import ClipTable, Provenance
from merkit.errors import ConfigError

__all__ = ["Measured", "centre_and_scale_of", "check_scales", "each_column", "normalise_by_person", "rescaled"]

_SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Measured:
    """Columns of a token that are measured together.

    Args:
        columns: `[first, last)` of them.
        present: column that is 1 where they were measured and 0 where they hold zeros for want of a measurement; None =
            always measured. It is never rescaled.
        shared: one centre and one scale for all of them, as for the samples of one channel; else one each.
    """

    columns: slice
    present: int | None = None
    shared: bool = False


def each_column(width: int) -> tuple[Measured, ...]:
    """Every column always measured, each with a scale of its own.

    Example:
        >>> len(each_column(13))
        1
    """
    return (Measured(slice(0, width)),)


def centre_and_scale_of(x: np.ndarray, measured: Sequence[Measured]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and deviation of each column over the tokens in which it was measured, and how many those are.

    Args:
        x: `(R, D)`.
        measured: which columns; others get 0 and 1, and count as never measured.

    Returns:
        centre `(D,)` and scale `(D,)` float64, count `(D,)` int64. A scale of 0 is a column that does not vary.

    Example:
        >>> x = np.array([[1.0, 1.0], [3.0, 1.0], [0.0, 0.0]])      # the third was not measured
        >>> centre_and_scale_of(x, [Measured(slice(0, 1), present=1)])
        (array([2., 0.]), array([1., 1.]), array([2, 0]))
    """
    centre, scale, count = np.zeros(x.shape[1]), np.ones(x.shape[1]), np.zeros(x.shape[1], np.int64)
    for each in measured:
        rows = x if each.present is None else x[x[:, each.present] > 0.5]
        if not len(rows):
            continue
        part = rows[:, each.columns].astype(np.float64)
        axis = None if each.shared else 0
        mean, deviation = part.mean(axis), part.std(axis)
        flat = deviation <= 1e-6 * np.maximum(1e-6, np.abs(mean))
        centre[each.columns], scale[each.columns] = mean, np.where(flat, 0.0, deviation)
        count[each.columns] = len(rows)
    return centre, scale, count


def rescaled(x: np.ndarray, centre: np.ndarray, scale: np.ndarray, measured: Sequence[Measured]) -> np.ndarray:
    """`(x - centre) / scale` float32 where a column was measured; all else stays as it is.

    Example:
        >>> x = np.array([[1.0, 1.0], [3.0, 1.0], [0.0, 0.0]])
        >>> rescaled(x, np.array([2.0, 0.0]), np.array([1.0, 1.0]), [Measured(slice(0, 1), present=1)])[:, 0].tolist()
        [-1.0, 1.0, 0.0]
    """
    out = np.array(x, np.float32)
    for each in measured:
        part = (x[:, each.columns] - centre[each.columns]) / scale[each.columns]
        if each.present is not None:
            part = np.where(x[:, each.present, None] > 0.5, part, x[:, each.columns])
        out[:, each.columns] = part
    return out


def normalise_by_person(
    table: ClipTable,
    modality: str,
    *,
    by: str = "speaker",
    how: Literal["own", "train"] = "own",
    measured: Sequence[Measured] | None = None,
    least: int = 8,
) -> ClipTable:
    """The table with one stream on its persons' scales; the stream is then in memory.

    Args:
        table: all splits together.
        modality: which stream.
        by: kind of group that names persons.
        how: `own` or `train`, see above.
        measured: which columns are measured together; None = `each_column`. Extractors of physiology tell theirs
            (`merkit.features.physiology_columns`).
        least: tokens below which a person has no scale of their own, and training's is taken; as for clips of nobody's
            name. A column that does not vary in a person has the person's centre and training's scale.

    Raises:
        ConfigError: no such stream or group, or no training clip has the stream and somebody needs training's scale.

    Example:
        >>> from merkit.data.table import TokenColumn
        >>> x = np.array([[1.0], [3.0], [101.0], [103.0]])
        >>> table = ClipTable("t", np.array(list("abcd")), np.array(["train", "train", "test", "test"]),
        ...     {"physiology": TokenColumn.one_per_clip(x)}, {}, {"subject": np.array(["S2", "S2", "S3", "S3"])})
        >>> own = normalise_by_person(table, "physiology", by="subject", least=2)
        >>> own.streams["physiology"].x.ravel().tolist(), own.provenance["physiology"].statistics_on
        ([-1.0, 1.0, -1.0, 1.0], ('train', 'test'))
        >>> train = normalise_by_person(table, "physiology", by="subject", how="train")
        >>> train.streams["physiology"].x.ravel().tolist(), train.provenance["physiology"].statistics_on
        ([-1.0, 1.0, 99.0, 101.0], ('train',))
    """
    if modality not in table.streams:
        raise ConfigError(f"corpus {table.name} has no {modality}; it has {', '.join(table.streams) or 'nothing'}")
    if by not in table.groups:
        raise ConfigError(f"by={by}: corpus {table.name} has {', '.join(table.groups) or 'no groups'}")
    if how not in ("own", "train"):
        raise ConfigError(f"how={how}: it can be own or train")
    column = table.streams[modality]
    measured = each_column(column.width) if measured is None else measured
    x = np.asarray(column.x[:])
    owner = np.repeat(column.clip, column.lengths)  # (R,) clip of each token
    split, person = table.split[owner].astype(str), table.groups[by][owner].astype(str)
    train = split == "train"
    if not train.any() and how == "train":
        raise ConfigError(f"no training clip of corpus {table.name} has {modality}: there is no scale to take")
    common, spread, _ = centre_and_scale_of(x[train], measured)
    spread = np.where(spread > 0, spread, 1.0)
    looked_at = {"train"} if train.any() else set()
    out = np.empty(x.shape, np.float32)
    names = np.unique(person) if how == "own" else np.array([""])
    for name in names:
        mine = person == name if how == "own" else np.ones(len(x), bool)
        centre, scale = common, spread
        if how == "own":
            own, wide, count = centre_and_scale_of(x[mine], measured)
            enough = (count >= max(least, 1)) & bool(name)
            # a column that was never measured needs no scale
            if not train.any() and (~enough & (count > 0)).any():
                few = count[count > 0].min()
                raise ConfigError(
                    f"{by} {name or 'without a name'} of corpus {table.name} has {few} tokens of {modality}, at least {least} "
                    "of one person make a scale of their own, and no training clip is here to take one from"
                )
            centre = np.where(enough, own, common)
            # where training never measured the column, only the person's own spread is known
            scale = np.where(enough & (wide > 0), wide, spread)
            if enough.any():
                looked_at |= set(split[mine])
        out[mine] = rescaled(x[mine], centre, scale, measured)
    about = table.provenance.get(modality, Provenance("unknown"))
    about = replace(
        about,
        source=f"{about.source}, scaled by {'each ' + by if how == 'own' else 'training ' + by + 's'}",
        statistics_on=tuple(name for name in _SPLITS if name in looked_at | set(about.statistics_on)),
    )
    return replace(
        table,
        streams={**table.streams, modality: replace(column, x=out, origin=None)},
        provenance={**table.provenance, modality: about},
    )


def check_scales(
    centre: np.ndarray,
    scale: np.ndarray,
    table: ClipTable,
    modality: str,
    measured: Sequence[Measured],
    *,
    tolerance: float = 1e-3,
) -> LeakageReport:
    """`check_standardiser` for columns that are measured together: whether a fitted scale saw other clips than train's.

    Args:
        centre: `(D,)` that is subtracted.
        scale: `(D,)` that is divided by; where a column does not vary, any number.
        table: all splits together.
        modality: which stream.
        measured: which columns belong together.
        tolerance: root mean square over columns, in deviations, up to which two statistics are the same.

    Returns:
        A report with one error of kind `statistics` where they are not those of train; it names the splits that they come
        from, where some union of splits fits.

    Example:
        >>> from merkit.data.table import TokenColumn
        >>> table = ClipTable("t", np.array(list("abc")), np.array(["train", "train", "test"]),
        ...     {"physiology": TokenColumn.one_per_clip(np.array([[0.0], [2.0], [10.0]]))}, {})
        >>> check_scales(np.array([1.0]), np.array([1.0]), table, "physiology", each_column(1)).findings
        ()
        >>> check_scales(np.array([4.0]), np.array([4.3205]), table, "physiology", each_column(1)).findings[0].splits
        ('train', 'test')
    """
    column = table.streams[modality]
    x = np.asarray(column.x[:])
    split = table.split[np.repeat(column.clip, column.lengths)].astype(str)
    names = [name for name in _SPLITS if (split == name).any()]
    unions = [
        ("train",),
        *(u for size in range(1, len(names) + 1) for u in combinations(names, size) if u != ("train",)),
    ]
    for union in unions:
        if _apart(centre, scale, *centre_and_scale_of(x[np.isin(split, union)], measured)) <= tolerance:
            if union == ("train",):
                return LeakageReport((), table.name)
            why = f"centre and scale of {modality} were computed on {' and '.join(union)}: fit them on train alone."
            break
    else:
        union = ()
        why = f"centre and scale of {modality} are not those of train, nor of any union of splits: fit them on train."
    count = int(np.isin(table.split, [name for name in union if name != "train"]).sum())
    return LeakageReport((Finding("statistics", "error", union, count, (), why),), table.name)


def _apart(centre: np.ndarray, scale: np.ndarray, mean: np.ndarray, wide: np.ndarray, count: np.ndarray) -> float:
    """How far two scales are from one another, over the columns that were measured and vary."""
    told = (count > 0) & (wide > 0)
    if not told.any():
        return float(np.abs(centre - mean).max(initial=0.0)) if (count > 0).any() else np.inf
    off = np.sqrt(np.square((centre[told] - mean[told]) / wide[told]).mean())
    return float(max(off, np.sqrt(np.square(scale[told] / wide[told] - 1).mean())))
