"""How much there is: clips, words, seconds, turns; and which modalities and whose clips are in which split."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.evaluation.spread import QUANTILES, spread
from merkit.report.corpus.reading import CountedCorpus
from merkit.report.corpus.section import Section, cell

if TYPE_CHECKING:
    from merkit.report.figures import Drawing

__all__ = ["size_sections"]

# of a corpus with thousands of dialogues or films, who is in which split is a count, not a list
_WHO = ("speaker", "character", "session", "movie", "performance", "fold")
_MOST_DRAWN = 15
_MOST_SEEN = 8


def size_sections(corpus: CountedCorpus) -> list[Section]:
    """Sections that need no label: overview, lengths, modalities, groups, and groups that splits share."""
    sections = [_overview(corpus), _lengths(corpus), _modalities(corpus)]
    sections += _groups(corpus)
    return [section for section in sections if section.rows]


def _overview(corpus: CountedCorpus) -> Section:
    per_clip = np.bincount(corpus.utterance_clip, minlength=len(corpus.table))
    dialogue = corpus.table.groups.get("dialogue")
    rows = []
    for split, here in corpus.splits.items():
        said = here[corpus.utterance_clip] if len(corpus.utterance_clip) else np.zeros(0, bool)
        words = Counter(word for text, own in zip(corpus.words, said, strict=True) if own for word in text)
        seconds = corpus.duration_s[here]
        known = np.isfinite(seconds)
        rows.append(
            (
                split,
                int(here.sum()),
                int((per_clip[here] > 0).sum()),
                words.total(),
                len(words),
                len({name for name in dialogue[here] if name}) if dialogue is not None else None,
                int(known.sum()),
                float(seconds[known].sum() / 3600) if known.any() else None,
            )
        )
    notes = []
    missing = int(np.isnan(corpus.duration_s).sum())
    if missing and {"face", "scene", "speech"} & set(corpus.media):
        why = (
            "their headers say nothing, or they are pictures"
            if corpus.headers
            else "--headers reads them from the files"
        )
        notes.append(f"Durations of {missing:,} clips are not known; {why}.")
    columns = ("split", "clips", "with_words", "words", "distinct_words", "dialogues", "with_duration", "hours")
    return Section("overview", "Overview", columns, tuple(rows), tuple(notes))


def _lengths(corpus: CountedCorpus) -> Section:
    words = np.array([len(text) for text in corpus.words], np.float64)
    dialogue = corpus.table.groups.get("dialogue")
    panels: dict[str, dict[str, np.ndarray]] = {}
    for split, here in corpus.splits.items():
        if len(words):
            panels.setdefault("words per utterance", {})[split] = words[here[corpus.utterance_clip]]
        if np.isfinite(corpus.duration_s).any():
            panels.setdefault("seconds per clip", {})[split] = corpus.duration_s[here]
        if dialogue is not None:
            turns = Counter(str(name) for name in dialogue[here] if name)
            panels.setdefault("turns per dialogue", {})[split] = np.array([*turns.values()], np.float64)
    panels = {what: splits for what, splits in panels.items() if any(len(v) for v in splits.values())}
    rows: list[tuple[Any, ...]] = []
    for what, splits in panels.items():
        for split, values in splits.items():
            found = spread(values)
            rows.append((what, split, *found.values(), float(np.nansum(values)) if found["n"] else None))

    def drawings() -> "list[Drawing]":
        from merkit.report.figures.histograms import histograms

        return [histograms(panels, title=f"Lengths: {corpus.name}", name="lengths")]

    notes = ("Words are runs of letters and digits; case and punctuation make no difference.",) if len(words) else ()
    return Section(
        "lengths",
        "Lengths",
        ("what", "split", "n", "mean", "sd", *QUANTILES, "sum"),
        tuple(rows),
        notes,
        drawings=drawings,
    )


def _modalities(corpus: CountedCorpus) -> Section:
    sources = {"media": corpus.media} | ({} if corpus.features is None else {"features": corpus.features})
    named = [(source, modality, has) for source, held in sources.items() for modality, has in held.items()]
    rows = [
        (split, modality, source, int(has[here].sum()), int(here.sum()), float(has[here].mean()))
        for split, here in corpus.splits.items()
        for source, modality, has in named
    ]

    def drawings() -> "list[Drawing]":
        from merkit.report.figures import frequency_bars

        counts = {
            split: (np.array([has[here].sum() for *_, has in named]), np.full(len(named), here.sum()))
            for split, here in corpus.splits.items()
        }
        labels = [f"{modality} ({source})" if len(sources) > 1 else modality for source, modality, _ in named]
        title = f"Clips with each modality: {corpus.name}"
        return [frequency_bars(labels, counts, title=title, name="modalities", what="modality")]

    notes = ("media: a file or words are named in the manifest; features: tokens are in the store.",)
    return Section(
        "modalities",
        "Modalities",
        ("split", "modality", "source", "clips", "of", "share"),
        tuple(rows),
        notes,
        drawings=drawings,
    )


def _groups(corpus: CountedCorpus) -> list[Section]:
    counts: dict[str, dict[str, Counter[str]]] = {}
    for kind, names in corpus.table.groups.items():
        for split, here in corpus.splits.items():
            counts.setdefault(kind, {})[split] = Counter(str(name) for name in names[here] if name)
    if not counts:
        return []
    rows: list[tuple[Any, ...]] = []
    shared: list[tuple[Any, ...]] = []
    for kind, splits in counts.items():
        for split, found in splits.items():
            most = max(found.items(), key=lambda pair: (pair[1], pair[0]), default=(None, 0))
            size = int(corpus.splits[split].sum())
            rows.append((kind, split, len(found), found.total(), size, most[0], most[1] / size if most[1] else None))
            for other, theirs in splits.items():
                if other != split:
                    both = set(found) & set(theirs)
                    clips = sum(found[name] for name in both)
                    shared.append((kind, split, other, len(both), clips, clips / size))
    who = tuple(
        (kind, split, name, count, count / int(corpus.splits[split].sum()))
        for kind, splits in counts.items()
        if kind in _WHO or max(map(len, splits.values())) <= 200
        for split, found in splits.items()
        for name, count in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    )

    def drawings() -> "list[Drawing]":
        return [_who(corpus, kind, splits) for kind, splits in counts.items() if kind in {row[0] for row in who}]

    sections = [
        Section(
            "groups",
            "Speakers, dialogues and other groups",
            ("group", "split", "groups", "clips", "of", "most_frequent", "share_of_most_frequent"),
            tuple(rows),
            ("clips: those of which the group is known.",),
        )
    ]
    if shared:
        crossing = sorted({kind for kind, _, _, both, *_ in shared if both})
        notes = [
            f"In more than one split: {', '.join(crossing)}. What is measured there is not measured on strangers."
            if crossing
            else "No group is in two splits."
        ]
        columns = ("group", "split", "other", "groups_in_both", "clips", "share_of_clips")
        sections.append(Section("shared-groups", "Groups that splits share", columns, tuple(shared), tuple(notes)))
    if who:
        columns = ("group", "split", "name", "clips", "share")
        seen = _most_seen(corpus, counts, {row[0] for row in who})
        notes = (f"Listed: of each kind the {_MOST_SEEN} that are in the most clips.",)
        sections.append(Section("group-clips", "Who is in which split", columns, who, notes, seen, drawings))
    return sections


def _most_seen(
    corpus: CountedCorpus, counts: dict[str, dict[str, Counter[str]]], kinds: set[str]
) -> tuple[tuple[str, ...], ...]:
    rows = []
    for kind, splits in counts.items():
        everywhere = sum(splits.values(), Counter())
        for name, _ in (
            sorted(everywhere.items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_SEEN] if kind in kinds else ()
        ):
            shares = (found[name] / int(corpus.splits[split].sum()) for split, found in splits.items())
            rows.append((kind, name, *(cell("share", share) for share in shares)))
    return ("group", "name", *corpus.splits), *rows


def _who(corpus: CountedCorpus, kind: str, splits: dict[str, Counter[str]]) -> "Drawing":
    from merkit.report.figures import frequency_bars

    names = sorted({name for found in splits.values() for name in found})
    counts = {
        split: (np.array([found[name] for name in names]), np.full(len(names), corpus.splits[split].sum()))
        for split, found in splits.items()
    }
    title = f"Clips of each {kind}: {corpus.name}"
    return frequency_bars(names, counts, title=title, name=f"group-{kind}", what=kind, most=_MOST_DRAWN)
