"""What runs answered for a split of which the truth is known: kept as files, and put together as ensembles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from merkit.atomic import replacing
from merkit.errors import ConfigError, StoreError
from merkit.training.tempering import weighted_mean

__all__ = ["Predictions", "ensemble"]

_KINDS = ("output", "target", "valid", "owner", "seen")


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Answers of one run for one split.

    Args:
        ids: `(n,)` of the clips.
        output: target -> `(n, K)` probabilities, or values of a regression.
        target: target -> the truth.
        valid: target -> what is known of it.
        groups: `(n,)` group that the bootstrap draws as a whole, or None.
        owner: target asked per entity -> `(m,)` row of the clip that each of its `m` answers belongs to, in rising order;
            its output, target and valid have `m` rows.
        seen: target -> bool for each answer: whether the run had anything to look at; empty where that is not known.
    """

    ids: np.ndarray
    output: Mapping[str, np.ndarray]
    target: Mapping[str, np.ndarray]
    valid: Mapping[str, np.ndarray]
    groups: np.ndarray | None
    owner: Mapping[str, np.ndarray] = field(default_factory=dict)
    seen: Mapping[str, np.ndarray] = field(default_factory=dict)

    def units(self, name: str) -> np.ndarray | None:
        """What the bootstrap draws as a whole for a target: the groups; without groups, the persons of one clip together."""
        if name not in self.owner:
            return self.groups
        return (self.ids if self.groups is None else self.groups)[self.owner[name]]

    def rows(self, name: str, clips: np.ndarray) -> np.ndarray:
        """Rows of a target's answers that belong to the clips `clips`, in that order."""
        if name not in self.owner:
            return clips
        first = np.searchsorted(self.owner[name], clips, "left")
        last = np.searchsorted(self.owner[name], clips, "right")
        return np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)]).astype(np.int64)

    def save(self, path: Path) -> None:
        """As `.npz`, by rename."""
        parts = {f"{kind}.{name}": value for kind in _KINDS for name, value in getattr(self, kind).items()}
        groups = {} if self.groups is None else {"groups": self.groups.astype(str)}
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **{"ids": self.ids.astype(str), **groups, **parts})  # ty: ignore[invalid-argument-type]

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """What `save` wrote.

        Raises:
            StoreError: there is nothing there.
        """
        if not path.is_file():
            raise StoreError(f"{path}: no predictions; `merkit evaluate` writes them")
        with np.load(path, allow_pickle=False) as archive:
            held = dict(archive)
        kinds: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in _KINDS}
        for key, value in held.items():
            if "." in key:
                kind, name = key.split(".", 1)
                kinds[kind][name] = value
        return cls(held["ids"], **kinds, groups=held.get("groups"))


def ensemble(members: Sequence[Predictions], weights: Sequence[float] = ()) -> Predictions:
    """The mean of what the members answered (Lakshminarayanan et al. 2017).

    A member that had nothing to look at is left out of that clip's mean, unless nobody had.

    Args:
        members: for the same clips; questions that some do not answer are left out.
        weights: of each; none = 1 each.

    Raises:
        ConfigError: they did not answer for the same clips, or answer no question in common, or other labels of it.
    """
    first = members[0]
    for other in members[1:]:
        if not np.array_equal(first.ids, other.ids):
            raise ConfigError("an ensemble needs runs that answered for the same clips in the same order")
    common = [name for name in first.output if all(name in member.output for member in members)]
    if not common:
        raise ConfigError("an ensemble needs runs that answer a question in common")
    output, seen = {}, {}
    for name in common:
        truth = first.target[name]
        if not all(np.array_equal(truth, m.target[name], equal_nan=truth.dtype.kind == "f") for m in members):
            raise ConfigError(f"an ensemble needs runs that were measured against the same answers for {name}")
        masks = [member.seen[name] for member in members if name in member.seen]
        known = len(masks) == len(members)
        alike = not known or all(np.array_equal(mask, masks[0]) for mask in masks)
        each = [member.output[name] for member in members]
        output[name] = weighted_mean(each, list(weights) or [1.0] * len(each), None if alike else masks)
        if known:
            seen[name] = np.any(masks, axis=0)

    def kept(held: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: value for name, value in held.items() if name in common}

    return replace(
        first, output=output, seen=seen, target=kept(first.target), valid=kept(first.valid), owner=kept(first.owner)
    )
