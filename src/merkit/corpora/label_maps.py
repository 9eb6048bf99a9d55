"""Variants of IEMOCAP's emotions, chosen when training begins: which categories are asked, and which of them are one.

A prepared corpus keeps all ten categories with the votes. What a model is asked is a map: labels, and which categories lead
to each. Turns of other categories stay in the table as context of their neighbours, without an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from merkit.errors import ConfigError
from merkit.labels import IEMOCAP4, IEMOCAP6, IEMOCAP10
from merkit.schema import TargetSpec

if TYPE_CHECKING:
    from merkit.data.columns import TargetColumn

__all__ = ["LABEL_MAPS", "LabelMap"]


@dataclass(frozen=True, slots=True)
class LabelMap:
    """`K` labels, and which categories of a corpus lead to each.

    Args:
        name: in configs and run records.
        labels: in order.
        leads: category -> label. Categories that lead nowhere have no answer.
        kind: `single_label`; or `multi_label` for one question per label (is it this one, or another of them?).

    Example:
        >>> LABEL_MAPS["iemocap4"].leads.get("excited"), LABEL_MAPS["iemocap4_exc"].leads["excited"]
        (None, 'happy')
    """

    name: str
    labels: tuple[str, ...]
    leads: Mapping[str, str]
    kind: Literal["single_label", "multi_label"] = "single_label"

    def apply(self, column: "TargetColumn", name: str | None = None) -> "TargetColumn":
        """A target of one category per clip as a target of this map.

        Args:
            column: `(n,)` single label over categories, perhaps with votes.
            name: of the new target; None = as it was.

        Returns:
            `(n,)`, or `(n, K)` for several questions. Votes `(n, K)` are summed over the categories of a label; those
            for other categories are left out, so a row may be all 0. Several questions carry no votes.

        Raises:
            ConfigError: the column is no single label of clips, or has none of the map's categories.

        Example:
            >>> from merkit.data.columns import TargetColumn
            >>> raw = TargetSpec("emotion", "single_label", ("happy", "excited", "frustrated"))
            >>> column = TargetColumn(raw, np.array([0, 1, 2]), np.ones(3, bool))
            >>> LABEL_MAPS["iemocap4"].apply(column).valid.tolist()
            [True, False, False]
            >>> LABEL_MAPS["one_vs_rest_exc"].apply(column).value.tolist()
            [[0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
        """
        spec = column.spec
        if spec.kind != "single_label" or spec.per_entity:
            raise ConfigError(f"label map {self.name} is for one class a clip; target {spec.name} is {spec.kind}")
        place = np.array([self._place(category) for category in spec.labels], np.int64)
        if (place < 0).all():
            raise ConfigError(
                f"label map {self.name} leads from {', '.join(self.leads)}; target {spec.name} has none of them"
            )
        chosen = place[column.value]
        valid = column.valid & (chosen >= 0)
        chosen = np.where(valid, chosen, 0)
        new = TargetSpec(name or spec.name, self.kind, self.labels)
        if self.kind == "multi_label":
            value = np.eye(len(self.labels), dtype=np.float32)[chosen] * valid[:, None]
            return replace(
                column, spec=new, value=value, valid=np.repeat(valid[:, None], len(self.labels), 1), votes=None
            )
        votes = None
        if column.votes is not None:
            votes = column.votes @ (place[:, None] == np.arange(len(self.labels))).astype(column.votes.dtype)
        return replace(column, spec=new, value=chosen.astype(np.int64), valid=valid, votes=votes)

    def _place(self, category: str) -> int:
        label = self.leads.get(category)
        return -1 if label is None else self.labels.index(label)


_FOUR = {label: label for label in IEMOCAP4.labels}
_FOUR_EXC = {**_FOUR, "excited": "happy"}

LABEL_MAPS: Mapping[str, LabelMap] = {
    each.name: each
    for each in (
        LabelMap("iemocap4", IEMOCAP4.labels, _FOUR),
        LabelMap("iemocap4_exc", IEMOCAP4.labels, _FOUR_EXC),
        LabelMap("iemocap6", IEMOCAP6.labels, {label: label for label in IEMOCAP6.labels}),
        LabelMap("iemocap10", IEMOCAP10.labels, {label: label for label in IEMOCAP10.labels}),
        LabelMap("one_vs_rest", IEMOCAP4.labels, _FOUR, "multi_label"),
        LabelMap("one_vs_rest_exc", IEMOCAP4.labels, _FOUR_EXC, "multi_label"),
    )
}
