"""How far the raters of a corpus agree, from counts of their votes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.evaluation.agreement import agreement
from merkit.report.corpus.section import Section

if TYPE_CHECKING:
    from merkit.data.table import TargetColumn

__all__ = ["rater_sections"]


def rater_sections(name: str, columns: "Mapping[str, TargetColumn]") -> list[Section]:
    """One table of a target whose votes are counts; none where they are not.

    Who said what is not known, and neither measure asks.

    Args:
        name: of the target.
        columns: split -> its answers.
    """
    rows: list[tuple[Any, ...]] = []
    for part, column in columns.items():
        if column.votes is None:
            continue
        votes = column.votes[column.votes.sum(1) > 0]
        if not len(votes) or (votes != votes.round()).any():
            continue
        counts = votes.astype(np.int64)
        raters = counts.sum(1)
        said = np.full((len(counts), int(raters.max())), np.nan)
        for row, each in enumerate(counts):
            said[row, : raters[row]] = np.repeat(np.arange(counts.shape[1]), each)
        found = agreement(said, {})
        top = (counts == counts.max(1, keepdims=True)).sum(1) == 1
        rows.append(
            (part, len(counts), int(raters.min()), int(raters.max()), found["fleiss_kappa"], found["fleiss_items"],
             found["alpha_nominal"], float((counts.max(1) / raters).mean()), float((2 * counts.max(1) > raters).mean()),
             float(1 - top.mean()))
        )  # fmt: skip
    if not rows:
        return []
    notes = (
        "Fleiss' kappa: over the clips that have the commonest number of raters; Krippendorff's alpha (nominal): over all "
        "that have two or more. Share of the most chosen label: mean over clips; majority: more than half chose one label; "
        "tied: no label was chosen most.",
    )
    columns_of = (
        "split", "clips", "raters_min", "raters_max", "fleiss_kappa", "fleiss_items", "alpha_nominal",
        "share_of_most_chosen", "share_with_majority", "share_tied",
    )  # fmt: skip
    return [Section(f"agreement-{name}", f"Agreement of raters: {name}", columns_of, tuple(rows), notes)]
