"""What the columns of a user's table ask and answer."""

import difflib
from collections.abc import Sequence

from merkit.corpora.rows import Row
from merkit.corpora.targets import class_target, labels_target, share_target, value_target, vote_target
from merkit.errors import MediaError
from merkit.labels import LabelSpace
from merkit.schema import Target, TargetSpec

__all__ = ["Answers"]

# prefix of a column with one number per label -> (name of the target, kind)
_NUMBERED = {
    "soft": ("emotion_shares", "soft_label"),
    "votes": ("emotion_votes", "soft_label"),
    "value": ("values", "regression"),
}


# in a column of labels: rated, and none applies; an empty cell says that nobody was asked
_NONE = "none"


class Answers:
    """Reads the targets of rows.

    `label` is the target `emotion` and `labels` is `emotions`; `label:NAME` and `labels:NAME` are targets of their own.

    Args:
        rows: all of them, which say the vocabulary where there is no label space.
        space: the label space of `label`, `labels`, `soft:` and `votes:`.

    Example:
        >>> rows = [Row(2, {"label": "joy"}), Row(3, {"label": "anger"})]
        >>> answers = Answers(rows, None)
        >>> answers.specs[0].labels, int(answers.of(rows[0])[0].value)
        (('anger', 'joy'), 1)
    """

    def __init__(self, rows: Sequence[Row], space: LabelSpace | None) -> None:
        self._space = space
        self._words: dict[str, TargetSpec] = {}
        self._numbers: dict[str, tuple[TargetSpec, dict[str, str]]] = {}
        columns = list(dict.fromkeys(column for row in rows for column in row.cells))
        # labels that only valid or test rows have are no part of the vocabulary: it is fitted on train
        learnt = [row for row in rows if row.text("split").lower() == "train"] or list(rows)
        for column in columns:
            prefix, _, name = column.partition(":")
            if prefix not in ("label", "labels"):
                continue
            kind = "single_label" if prefix == "label" else "multi_label"
            name = name or ("emotion" if prefix == "label" else "emotions")
            # the label space is that of the emotions, not of other questions
            if space is not None and ":" not in column:
                labels = space.labels
            else:
                labels = tuple(sorted({word for row in learnt for word in _said(row, column)}))
            if labels:
                self._words[column] = TargetSpec(name, kind, labels)
        for prefix, (name, kind) in _NUMBERED.items():
            own = {column: column.partition(":")[2] for column in columns if column.startswith(f"{prefix}:")}
            if own:
                self._numbers[prefix] = self._numbered(name, kind, own, fixed=prefix != "value")

    @property
    def specs(self) -> tuple[TargetSpec, ...]:
        """All questions."""
        return (*self._words.values(), *(spec for spec, _ in self._numbers.values()))

    def of(self, row: Row) -> tuple[Target, ...]:
        """The answers of one row; an empty cell is no answer.

        Raises:
            MediaError: a label is not known, or a number is none.
        """
        found = []
        for column, spec in self._words.items():
            words = _said(row, column)
            if spec.kind == "single_label" and len(words) > 1:
                raise MediaError("has several labels; the column `labels` may", field=column)
            if not words and row.text(column) and spec.kind == "multi_label":
                found.append(labels_target(spec, []))
            elif words:
                labels = [self._label(word, spec, column) for word in words]
                found.append(
                    class_target(spec, labels[0]) if spec.kind == "single_label" else labels_target(spec, labels)
                )
        for prefix, (spec, columns) in self._numbers.items():
            numbers = {label: row.number(column) for column, label in columns.items()}
            if all(number is None for number in numbers.values()):
                continue
            if prefix == "value":
                found.append(value_target(spec, numbers))
                continue
            try:
                make = vote_target if prefix == "votes" else share_target
                found.append(make(spec, [numbers.get(label) or 0.0 for label in spec.labels]))
            except ValueError as error:
                raise MediaError(str(error), field=f"{prefix}:…") from None
        return tuple(found)

    def _numbered(
        self, name: str, kind: str, columns: dict[str, str], fixed: bool
    ) -> tuple[TargetSpec, dict[str, str]]:
        if self._space is not None and fixed:
            spec = TargetSpec(name, "soft_label", self._space.labels)
            return spec, {column: self._label(label, spec, column) for column, label in columns.items()}
        return TargetSpec(
            name, "regression" if kind == "regression" else "soft_label", tuple(columns.values())
        ), columns

    def _label(self, word: str, spec: TargetSpec, column: str) -> str:
        if word in spec.labels:
            return word
        if self._space is not None and spec.labels == self._space.labels:
            try:
                return self._space.labels[self._space.index(word)]
            except KeyError:
                pass
        known = [*spec.labels, *(self._space.aliases if self._space is not None else ())]
        near = difflib.get_close_matches(word.lower(), known, 1, 0.5)
        hint = f"nearest: {near[0]!r}" if near else f"there are {', '.join(spec.labels)}"
        where = "" if self._space is not None else " among the labels of the train rows"
        raise MediaError(f"unknown label {word!r}{where}; {hint}", field=column)


def _said(row: Row, column: str) -> list[str]:
    """The labels of a cell; `none` is the answer that none applies, and no label."""
    return [said for word in row.text(column).split("|") if (said := word.strip()) and said.lower() != _NONE]
