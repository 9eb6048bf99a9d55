"""Networks that answer together about the clips of one folder: what each needs of it, and which clips each sees anything of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from merkit.data.table import ClipTable, TokenColumn
from merkit.errors import ConfigError
from merkit.schema import TargetSpec
from merkit.training.config import data_key
from merkit.training.run import Run
from merkit.training.unlabelled import fitting, unlabelled

__all__ = ["Member", "Panel", "common_specs", "open_panel", "seen_of", "weights_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One network of a panel.

    Args:
        run: of one seed.
        table: the clips, with every stream of the run and no other.
        weight: in the mean.
    """

    run: Run
    table: ClipTable
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Networks and the clips that they are asked about.

    Args:
        paths: of the runs, each of one or of several seeds.
        root: folder of the clips.
        members: networks; their tables hold the same clips in the same order.
        specs: the questions that all of them answer.
        warnings: what a reader of the answers must know.
    """

    paths: tuple[Path, ...]
    root: Path
    members: tuple[Member, ...]
    specs: tuple[TargetSpec, ...]
    warnings: tuple[str, ...] = ()

    @property
    def ids(self) -> np.ndarray:
        """`(n,)` clips."""
        return self.members[0].table.ids

    @property
    def split(self) -> np.ndarray:
        """`(n,)` split of each clip in its corpus; empty where it is in none."""
        return self.members[0].table.split

    @property
    def seen(self) -> np.ndarray:
        """`(n,)` bool: whether any network has anything to look at."""
        return np.any([seen_of(member.table.streams, len(member.table)) for member in self.members], axis=0)

    def take(self, wanted: np.ndarray) -> "tuple[Panel, np.ndarray]":
        """The same networks before the clips `wanted (n,)` alone, or, where a network sees turns around a clip, before the
        whole dialogues that these are of; and the rows `(m,)` of those clips.
        """
        first = self.members[0].table
        if first.dialogue is not None and any(any(member.run.context) for member in self.members):
            wanted = np.isin(first.dialogue, first.dialogue[wanted])
        rows = np.flatnonzero(wanted)
        tables: dict[int, ClipTable] = {}
        for member in self.members:
            if id(member.table) not in tables:
                tables[id(member.table)] = member.table.take(rows)
        return replace(self, members=tuple(replace(m, table=tables[id(m.table)]) for m in self.members)), rows


def open_panel(
    paths: Sequence[Path],
    root: Path,
    *,
    weights: Sequence[float] = (),
    targets: Sequence[str] = (),
    other_features: bool = False,
) -> Panel:
    """The networks of some runs, and the clips of a folder as each of them reads it. Targets of the folder are not looked at.

    Args:
        paths: runs of one or several seeds; seeds, sizes, systems and subsets of modalities may be mixed.
        root: a prepared folder, or one of arrays as the runs' configs name them.
        weights: of each network of each run; none = 1 each, so that a run of four seeds counts four times.
        targets: the questions; none = all, which must be the same for every run.
        other_features: go on where features come from another extractor than those of training.

    Raises:
        ConfigError: the runs answer different questions, or the folder lacks what one of them looks at, or its features
            are others than those of training.
        StoreError: a run is not finished.
    """
    warnings: list[str] = []
    tables: dict[str, ClipTable] = {}
    fitted: dict[tuple[str, str], ClipTable] = {}
    members: list[Member] = []
    tops = [Run(path) for path in paths]
    specs = common_specs([run for top in tops for run in top.seeds()], targets)
    for top, weight in zip(tops, weights_of(weights, len(tops)), strict=True):
        for run in top.seeds():
            config = unlabelled(run.config)
            key = data_key(run.system.name, config)
            if key not in tables:
                tables[key] = run.system.load(config, root=root)
            own = (key, str(run.path.parent if len(top.seeds()) > 1 else run.path))
            if own not in fitted:
                fitted[own] = fitting(run, tables[key], warnings, other_features)
            members.append(Member(run, fitted[own], weight))
    first = members[0]
    for member in members[1:]:
        if not np.array_equal(member.table.ids, first.table.ids):
            raise ConfigError(f"{first.run.path} and {member.run.path} read different clips from {root}")
    return Panel(tuple(paths), Path(root), tuple(members), specs, tuple(dict.fromkeys(warnings)))


def weights_of(weights: Sequence[float], runs: int) -> list[float]:
    """One weight for each run; 1 each where none is given.

    Raises:
        ConfigError: another number of weights than of runs, or weights that are below 0 or all 0.
    """
    made = list(weights) or [1.0] * runs
    if len(made) != runs:
        raise ConfigError(f"{len(made)} weights for {runs} runs: give one for each, or none")
    if not all(0 <= weight < float("inf") for weight in made) or not sum(made):
        raise ConfigError(f"weights are at least 0 and not all 0, not {made}")
    return made


def common_specs(runs: Sequence[Run], targets: Sequence[str] = ()) -> tuple[TargetSpec, ...]:
    """The questions that every run answers, and in the same way.

    Args:
        runs: of one seed each.
        targets: names of those that are wanted; none = all of every run.

    Raises:
        ConfigError: a run does not answer one of them, or over other labels, or, without `targets`, answers more.
    """
    first = runs[0]
    wanted = tuple(targets) or tuple(spec.name for spec in first.specs)
    known = {spec.name: spec for spec in first.specs}
    for run in runs:
        answered = {spec.name: spec for spec in run.specs}
        if lacking := [name for name in wanted if name not in answered]:
            raise ConfigError(f"{run.path} does not answer {', '.join(lacking)}; it answers {', '.join(answered)}")
        for name in wanted:
            if answered[name] != known[name]:
                raise ConfigError(
                    f"{run.path} answers {name} over {', '.join(answered[name].labels)}; "
                    f"{first.path} over {', '.join(known[name].labels)}"
                )
        if not targets and len(answered) > len(wanted):
            more = [name for name in answered if name not in wanted]
            raise ConfigError(
                f"{run.path} also answers {', '.join(more)}, {first.path} does not: say which targets are wanted (--target)"
            )
    return tuple(known[name] for name in wanted)


def seen_of(
    streams: Mapping[str, TokenColumn], clips: int, persons: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """`(clips,)` bool: whether a clip has a token in any stream; of `persons`, `(m,)` clips and `(m,)` places, whether each has.

    Example:
        >>> seen_of({"text": TokenColumn.of_sequences([np.ones((2, 4)), None])}, 2)
        array([ True, False])
    """
    if persons is not None:
        pairs = {
            pair
            for column in streams.values()
            if column.per_entity
            for pair in zip(column.clip[column.lengths > 0], column.entity[column.lengths > 0], strict=True)
        }
        return np.array([pair in pairs for pair in zip(*persons, strict=True)], bool)
    seen = np.zeros(clips, bool)
    for column in streams.values():
        seen[column.clip[column.lengths > 0]] = True
    return seen
