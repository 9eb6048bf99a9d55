"""What a corpus or a user's table says, checked: clips, the questions that were asked of them, and what was left out."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from merkit.schema import Clip, TargetSpec

__all__ = ["Manifest", "Rejected"]


@dataclass(frozen=True, slots=True)
class Rejected:
    """One thing that was left out, and why.

    Args:
        item: the clip's id, or the file where no clip came of it.
        reason: in words a user can act on.
        field: the column or part at fault.
        line: line of the table, counted from 1; None where it is no table.
        what: `clip`, or the modalities that were taken from a clip that is otherwise kept, e.g. `face, speech`.

    Example:
        >>> str(Rejected("a.wav", "no such file", "path", 3))
        'a.wav (line 3, path): no such file'
    """

    item: str
    reason: str
    field: str | None = None
    line: int | None = None
    what: str = "clip"

    def __str__(self) -> str:
        where = ", ".join(
            ([f"line {self.line}"] if self.line is not None else []) + ([self.field] if self.field else [])
        )
        kept = "" if self.what == "clip" else f" [kept without {self.what}]"
        return f"{self.item}{f' ({where})' if where else ''}: {self.reason}{kept}"


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """The clips of one corpus.

    Args:
        name: the corpus.
        clips: with distinct ids; files of their streams lie under `root`.
        specs: every question that a clip's targets answer.
        root: folder that all media lie in.
        rejected: what was left out.
        facts: JSON types only: `licence`, `citation`, `known_bad`, `provenance` (modality -> `source`, `fitted_on`) …

    Raises:
        ValueError: ids are not distinct, or a target belongs to none of the specs.

    Example:
        >>> from merkit.schema import Stream
        >>> Manifest("tiny", (Clip("a", (Stream("text", None, text="Hello"),)),), (), Path(".")).counts()
        {'': {}}
    """

    name: str
    clips: tuple[Clip, ...]
    specs: tuple[TargetSpec, ...]
    root: Path
    rejected: tuple[Rejected, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        again = [clip for clip, count in Counter(clip.id for clip in self.clips).items() if count > 1]
        if again:
            raise ValueError(f"corpus {self.name}: two clips have the id {again[0]}")
        known = {spec.name: spec for spec in self.specs}
        if len(known) != len(self.specs):
            raise ValueError(f"corpus {self.name}: two targets have the same name")
        for clip in self.clips:
            for target in clip.targets:
                if known.get(target.spec.name) != target.spec:
                    raise ValueError(f"clip {clip.id}: target {target.spec.name} is not one of the corpus's specs")

    def __len__(self) -> int:
        return len(self.clips)

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """split (empty where there is none) -> target -> label -> number of clips.

        Of a soft label the largest share counts, of a multi-label every label that is on, of a regression every known
        value.
        """
        found: dict[str, dict[str, Counter[str]]] = {}
        for clip in self.clips:
            of_split = found.setdefault(clip.split or "", {})
            for target in clip.targets:
                of_split.setdefault(target.spec.name, Counter()).update(_answers(target))
        order = {"train": "0", "valid": "1", "test": "2"}
        return {
            split: {
                spec.name: {label: of_target[label] for label in spec.labels}
                for spec in self.specs
                if (of_target := found[split].get(spec.name)) is not None
            }
            for split in sorted(found, key=lambda name: order.get(name, name))
        }


def _answers(target: Any) -> list[str]:
    labels = target.spec.labels
    if target.spec.kind == "single_label":
        return [labels[int(target.value)]] if target.valid is None or target.valid.all() else []
    if target.spec.kind == "soft_label":
        return [labels[int(target.value.argmax())]]
    on = target.value > 0.5 if target.spec.kind == "multi_label" else target.value == target.value
    on = on if target.valid is None else on & target.valid
    return [label for label, there in zip(labels, on, strict=True) if there]
