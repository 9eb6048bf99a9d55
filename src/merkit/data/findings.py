"""What the leakage check says: findings of plain types, and the report that stops a training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from merkit.data.table import ClipTable
from merkit.errors import ConfigError, LeakageError

__all__ = ["KINDS", "Finding", "LeakageReport", "finding_of_pairs", "side_of"]

KINDS = (
    "duplicate_ids",
    "group",
    "context",
    "duplicate_media",
    "duplicate_features",
    "near_duplicate_features",
    "duplicate_text",
    "near_duplicate_text",
    "label_vocabulary",
    "fitted_on_labels",
    "statistics",
)
_ORDER = {"train": 0, "valid": 1, "test": 2}
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in which splits know of each other.

    Args:
        kind: one of `KINDS`.
        severity: an error stops the training, a warning is kept in the run's record.
        splits: which are concerned, in the order train, valid, test.
        count: clips concerned on the side that is judged.
        examples: ids of a few of them, each after the id that it repeats where there is one.
        explanation: what it is, what it does to figures, and what can be done.
    """

    kind: str
    severity: Literal["error", "warning"]
    splits: tuple[str, ...]
    count: int
    examples: tuple[str, ...]
    explanation: str


@dataclass(frozen=True, slots=True)
class LeakageReport:
    """All findings of one table, errors first.

    Args:
        findings: none where nothing leaks.
        corpus: its name.

    Example:
        >>> LeakageReport(()).raise_if_leaking()
    """

    findings: tuple[Finding, ...]
    corpus: str = ""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Those that stop a training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Those that are only noted."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def allowing(self, kinds: Sequence[str]) -> "LeakageReport":
        """The report with errors of these kinds as warnings.

        Raises:
            ConfigError: there is no such kind.
        """
        if unknown := sorted(set(kinds) - set(KINDS)):
            raise ConfigError(f"data.allow_leaks: no kind {', '.join(unknown)}; there are {', '.join(KINDS)}")
        changed = [replace(f, severity="warning") if f.kind in kinds else f for f in self.findings]
        return LeakageReport(tuple(sorted(changed, key=lambda finding: finding.severity)), self.corpus)

    def raise_if_leaking(self) -> None:
        """Nothing, where there is no error.

        Raises:
            LeakageError: names every error with examples, and how to go on.
        """
        if not self.errors:
            return
        lines = [f"the splits of corpus {self.corpus} leak:" if self.corpus else "the splits leak:"]
        for finding in self.errors:
            clips = "clip" if finding.count == 1 else "clips"
            examples = f", e.g. {', '.join(finding.examples)}" if finding.examples else ""
            where = " and ".join(finding.splits)
            lines.append(f"- {finding.kind} ({where}; {finding.count} {clips}{examples}): {finding.explanation}")
        kinds = ",".join(dict.fromkeys(finding.kind for finding in self.errors))
        lines.append(
            f"To go on in spite of this, set data.allow_leaks=[{kinds}]; the findings then stay in the run's record."
        )
        raise LeakageError("\n".join(lines))


def side_of(split: np.ndarray) -> np.ndarray:
    """`(n,)` int64: 0 train, 1 valid, 2 test, 3 and more any other name, -1 no split.

    Example:
        >>> side_of(np.array(["test", "", "train"]))
        array([ 2, -1,  0])
    """
    names, index = np.unique(split.astype(str), return_inverse=True)
    others = [name for name in names if name and name not in _ORDER]
    code = {**_ORDER, "": -1, **{name: 3 + place for place, name in enumerate(others)}}
    return np.array([code[str(name)] for name in names], np.int64)[index]


def finding_of_pairs(
    kind: str, severity: Literal["error", "warning"], table: ClipTable, pairs: np.ndarray, explanation: str
) -> Finding:
    """A finding of clips `(P, 2)`: the clip of the earlier split, and the one of the later split that repeats it.

    Example:
        >>> table = ClipTable("t", np.array(["a", "b"]), np.array(["train", "test"]), {}, {})
        >>> finding_of_pairs("duplicate_media", "error", table, np.array([[0, 1]]), "…").examples
        ('a', 'b')
    """
    later, first = np.unique(pairs[:, 1], return_index=True)
    shown = pairs[np.sort(first)[:_EXAMPLES]]
    concerned = np.unique(table.split[pairs].astype(str))
    splits = sorted(concerned.tolist(), key=lambda name: (_ORDER.get(name, 3), name))
    examples = tuple(dict.fromkeys(map(str, table.ids[shown].ravel())))
    return Finding(kind, severity, tuple(splits), len(later), examples, explanation)
