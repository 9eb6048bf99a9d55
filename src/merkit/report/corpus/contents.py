"""What goes with a label: the words that set its clips apart, and the labels of the turns before and after."""

from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.evaluation.turns import neighbours, transitions
from merkit.evaluation.word_odds import PRIOR_WORDS, words_set_apart
from merkit.report.corpus.labels import classes_of
from merkit.report.corpus.reading import CountedCorpus
from merkit.report.corpus.section import Section

if TYPE_CHECKING:
    from merkit.data.table import ClipTable, TargetColumn
    from merkit.report.figures import Drawing

__all__ = ["turn_sections", "word_sections"]

_MOST_LABELS = 30
_MOST_SEEN = 10


def word_sections(corpus: CountedCorpus) -> list[Section]:
    """Words that set classes apart, counted in train alone (or in everything, where clips are in no split)."""
    part = next((name for name in ("train", "all") if name in corpus.labelled), None)
    if part is None or not corpus.words:
        return []
    table = corpus.labelled[part]
    texts = _texts(corpus, table)
    sections = []
    for name, column in table.targets.items():
        groups = _groups(column)
        if len(groups) < 2 or len(groups) > _MOST_LABELS:
            continue
        _, known = next(iter(groups.values()))
        rows_of = [texts[i] for i in np.flatnonzero(known)]
        found = words_set_apart(rows_of, {label: there[known] for label, (there, _) in groups.items()})
        rows = [
            (part, label, rank, each.word, each.z, each.log_odds, each.here, each.elsewhere)
            for label, words in found.items()
            for rank, each in enumerate(words, 1)
        ]
        notes = [
            f"Log odds of a word in the label's clips against all others, with a prior of {PRIOR_WORDS:,.0f} words written "
            "as the corpus is, over its standard error (z; Monroe, Colaresi and Quinn 2008). Counted in "
            f"{'train alone' if part == 'train' else 'all clips'}, {len(rows_of):,} clips; listed from z = 1.96 on, which "
            "some of thousands of words reach by chance."
        ]
        bare = [label for label, words in found.items() if not words]
        if bare:
            notes.append(f"No word sets apart: {', '.join(bare)}.")

        def drawings(found: Any = found, name: str = name) -> "list[Drawing]":
            from merkit.report.figures.word_bars import word_bars

            shown = {label: [(each.word, each.z) for each in words] for label, words in found.items()}
            title = f"Words that set labels of {name} apart: {corpus.name} · {part}"
            return [word_bars(shown, title=title, name=f"words-{name}")] if any(shown.values()) else []

        columns = ("split", "label", "rank", "word", "z", "log_odds", "times", "times_elsewhere")
        seen = tuple(
            (label, ", ".join(f"{each.word} ({each.z:.1f})" for each in words[:_MOST_SEEN]))
            for label, words in found.items()
            if words
        )
        seen = (("label", "words that set it apart (z)"), *seen)
        sections.append(Section(f"words-{name}", f"Words: {name}", columns, tuple(rows), tuple(notes), seen, drawings))
    return sections


def _texts(corpus: CountedCorpus, table: "ClipTable") -> list[tuple[str, ...]]:
    """The words of each clip of the table, all its utterances together."""
    held: dict[str, list[str]] = {}
    for clip, words in zip(corpus.utterance_clip, corpus.words, strict=True):
        held.setdefault(str(corpus.table.ids[clip]), []).extend(words)
    return [tuple(held.get(str(clip), ())) for clip in table.ids]


def _groups(column: "TargetColumn") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """label -> `(n,)` whether a clip has it, `(n,)` whether the question was answered."""
    labels = column.spec.labels
    if column.spec.kind == "multi_label" and not column.spec.per_entity:
        known = np.all(column.valid, axis=1)
        return {label: (column.value[:, k] > 0.5, known) for k, label in enumerate(labels)}
    classes = classes_of(column)
    if classes is None:
        return {}
    return {label: (classes[0] == k, classes[1]) for k, label in enumerate(labels)}


def turn_sections(corpus: CountedCorpus) -> list[Section]:
    """Which label follows which, for targets with one label a clip in corpora with dialogues."""
    sections = []
    for name, column in corpus.answered.targets.items():
        if corpus.answered.dialogue is None or classes_of(column) is None:
            continue
        rows: list[tuple[Any, ...]] = []
        found: dict[tuple[str, str], Any] = {}
        for part, table in corpus.labelled.items():
            for who, (first, second) in _pairs(table, name).items():
                counted = found[part, who] = transitions(first, second, len(column.spec.labels))
                for i, one in enumerate(column.spec.labels):
                    for j, other in enumerate(column.spec.labels):
                        numbers = (counted.share[i, j], counted.expected[j])
                        rows.append(
                            (part, who, one, other, int(counted.count[i, j]),
                             *(None if np.isnan(number) else float(number) for number in numbers))
                        )  # fmt: skip
        if not any(row[4] for row in rows):
            continue
        sections.append(_turns(corpus, name, column.spec.labels, rows, found))
    return sections


def _turns(
    corpus: CountedCorpus,
    name: str,
    labels: tuple[str, ...],
    rows: list[tuple[Any, ...]],
    found: dict[tuple[str, str], Any],
) -> Section:
    notes = [
        "Pairs of turns that follow each other at once (numbers that differ by 1) and are both labelled. Share: of the turns "
        "with the first label that are followed by the second. Expected: the second label's share of all following turns."
    ]
    for (part, who), counted in found.items():
        pairs = int(counted.count.sum())
        if pairs:
            kept, chance = (
                float(np.trace(counted.count) / pairs),
                float((counted.count.sum(1) / pairs) @ counted.expected),
            )
            speaker = {"any": "", "same": " by the same speaker", "other": " by another speaker"}[who]
            notes.append(
                f"{part}: {100 * kept:.1f} % of {pairs:,} pairs{speaker} have the same label twice; {100 * chance:.1f} % "
                "would if labels did not depend on the turn before."
            )

    def drawings() -> "list[Drawing]":
        from merkit.evaluation.label_counts import CoOccurrence
        from merkit.report.figures import co_occurrence_map

        made = []
        part = next(iter(corpus.labelled))
        for who in ("any", "same", "other"):
            counted = found.get((part, who))
            if counted is None or not counted.count.any():
                continue
            base = np.repeat(counted.count.sum(1, keepdims=True), len(labels), 1)
            of = {"any": "", "same": ", same speaker", "other": ", another speaker"}[who]
            made.append(
                co_occurrence_map(
                    CoOccurrence(counted.count, base, counted.share), labels, labels, row_of="a turn",
                    column_of="the next turn", title=f"Labels of {name} from turn to turn{of}: {corpus.name} · {part}",
                    name=f"transitions-{name}" if who == "any" else f"transitions-{name}-{who}", unit="pairs of turns",
                )
            )  # fmt: skip
        return made

    columns = ("split", "speaker", "label", "next", "pairs", "share", "expected")
    part = next(iter(corpus.labelled))
    seen = (
        (f"{part}: turn, next", *labels),
        *(
            (label, *("" if np.isnan(share) else f"{100 * share:.0f} %" for share in shares))
            for label, shares in zip(labels, found[part, "any"].share, strict=True)
        ),
        ("expected", *(f"{100 * share:.0f} %" for share in np.nan_to_num(found[part, "any"].expected))),
    )
    return Section(
        f"transitions-{name}", f"From turn to turn: {name}", columns, tuple(rows), tuple(notes), seen, drawings
    )


def _pairs(table: "ClipTable", name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """who speaks second -> classes of the earlier and of the later turns."""
    assert table.dialogue is not None and table.turn is not None
    classes = classes_of(table.targets[name])
    assert classes is not None
    first, second = neighbours(table.dialogue, table.turn)
    both = classes[1][first] & classes[1][second]
    first, second = first[both], second[both]
    found = {"any": (classes[0][first], classes[0][second])}
    who = next((table.groups[kind] for kind in ("speaker", "character") if kind in table.groups), None)
    if who is not None:
        known = (who[first] != "") & (who[second] != "")
        for name_of, picked in (
            ("same", known & (who[first] == who[second])),
            ("other", known & (who[first] != who[second])),
        ):
            found[name_of] = (classes[0][first[picked]], classes[0][second[picked]])
    return found
