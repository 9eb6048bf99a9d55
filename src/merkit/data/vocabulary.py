"""Where the list of labels comes from: a list that was made by looking at valid or test knows what will be asked."""

import numpy as np

from merkit.data.findings import Finding
from merkit.data.table import ClipTable, TargetColumn

__all__ = ["vocabulary_findings", "vocabulary_key"]


def vocabulary_key(target: str) -> str:
    """Where a table's `provenance` says what a target's list of labels was made from (`statistics_on`).

    A published label space needs no entry. A list that somebody counted (the 25 most frequent labels, say) does.

    Example:
        >>> vocabulary_key("emotion")
        'labels.emotion'
    """
    return f"labels.{target}"


def vocabulary_findings(table: ClipTable) -> list[Finding]:
    """An error for each list of labels that was made from valid or test, a warning for labels that training lacks.

    Answers of train and valid are looked at, those of test are not.

    Example:
        >>> from merkit.schema import TargetSpec
        >>> spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
        >>> table = ClipTable("t", np.array(["a", "b"]), np.array(["train", "valid"]), {},
        ...     {"emotion": TargetColumn(spec, np.array([0, 1]), np.ones(2, bool))})
        >>> [(f.severity, f.examples) for f in vocabulary_findings(table)]
        [('warning', ('b',))]
    """
    found = []
    for name, column in table.targets.items():
        about = table.provenance.get(vocabulary_key(name))
        clips = {split: int((table.split == split).sum()) for split in ("valid", "test")}
        seen = tuple(split for split in clips if about is not None and split in about.statistics_on and clips[split])
        if about is not None and seen:
            why = (
                f"the labels of {name} ({about.source}) were chosen by looking at {' and '.join(seen)}{about.once}: which labels "
                "will be asked is then known beforehand. Make the list from train, or take a published one."
            )
            found.append(Finding("label_vocabulary", "error", seen, sum(clips[split] for split in seen), (), why))
        if column.spec.kind == "regression":
            continue
        there = _asserted(column)
        trained = there[table.split == "train"].any(0)
        lost = there[:, ~trained].any(1) & (table.split == "valid")
        if trained.any() and lost.any():
            labels = np.array(column.spec.labels)[~trained & there[table.split == "valid"].any(0)]
            why = (
                f"{', '.join(labels)} of {name} {'has' if len(labels) == 1 else 'have'} clips in valid and none in train: "
                "the list was not made from train, and nobody can learn these labels there."
            )
            rows = np.flatnonzero(lost)
            examples = tuple(map(str, table.ids[rows[:3]]))
            found.append(Finding("label_vocabulary", "warning", ("valid",), len(rows), examples, why))
    return found


def _asserted(column: TargetColumn) -> np.ndarray:
    """`(n, K)` bool: a clip, or one of its entities, is known to have the label."""
    if column.spec.kind == "single_label":
        there = (column.value[..., None] == np.arange(len(column.spec.labels))) & column.valid[..., None]
    else:
        there = (column.value > 0) & column.valid
    return there.any(1) if there.ndim == 3 else there
