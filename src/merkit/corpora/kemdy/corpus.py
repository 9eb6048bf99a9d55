"""KEMDy19 and KEMDy20 in their release layout: clips with votes, places in valence and arousal, words, sound, sensors."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from merkit.corpora.corpus import Corpus, Found
from merkit.corpora.kemdy.about import FACTS19, FACTS20
from merkit.corpora.kemdy.annotation import Rated
from merkit.corpora.kemdy.merged import MERGED_FILE, Ratings, write_merged
from merkit.corpora.kemdy.names import (
    AFFECT,
    EMOTION,
    LISTENER_AFFECT,
    LISTENER_EMOTION,
    SPREAD,
    UNUSABLE,
    fold_of,
)
from merkit.corpora.kemdy.options import Options
from merkit.corpora.kemdy.physiology import FOLDER, convert_sessions
from merkit.corpora.kemdy.tree import Tree, words_of
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.errors import ConfigError, MediaError
from merkit.schema import Clip, Stream, Target, TargetSpec

__all__ = ["KEMDY19", "KEMDY20", "read_release", "with_options"]


def with_options(corpus: str, options: Options) -> Corpus:
    """KEMDy19 or KEMDy20, prepared in this way.

    Raises:
        ConfigError: no such corpus, or KEMDy20 is asked about listeners.
    """
    known = {"kemdy19": KEMDY19, "kemdy20": KEMDY20}
    if corpus not in known:
        raise ConfigError(f"there are kemdy19 and kemdy20, not {corpus}")
    if corpus == "kemdy20" and options.view == "listener":
        raise ConfigError("kemdy20 asks about the speaker alone; listeners were rated in kemdy19")
    return replace(known[corpus], reader=partial(read_release, corpus=corpus, options=options))


def read_release(root: Root, out: Path | None, corpus: str, options: Options | None = None) -> Found:
    """Reads one release and makes its tables in `out`.

    Raises:
        ConfigError: there is no `out`, or no release under `root`.
    """
    if out is None:
        raise ConfigError(f"{corpus} is converted once: use `merkit prepare {corpus} --root … --out …`")
    options = options or Options()
    tree = Tree.of(root, corpus)
    own, partner, rejected = tree.rated()
    if options.view == "listener":
        own, partner = partner, own
    own = _usable(corpus, own, options, rejected)
    rows = sorted(own.values(), key=_place)
    kept: dict[str, list[Rated]] = {}
    for row in rows:
        kept.setdefault(row.name.dialogue, []).append(row)
    out = out.resolve()
    works = tree.works(rows, out / FOLDER / options.view, options.view, rejected)
    tables, kinds, failed = convert_sessions(
        works, workers=options.workers, timeout_s=options.timeout_s, progress=options.progress
    )
    rejected += [Rejected(name, reason, what="physiology") for name, reason in failed]
    clips: list[Clip] = []
    for talk in kept.values():
        for turn, row in enumerate(talk):
            clip = _clip(tree, row, partner.get(row.name.id), turn, tables, options, rejected)
            if clip is not None:
                clips.append(clip)
    if not clips:
        return Found(clips, (), rejected)
    used = {clip.id for clip in clips}
    rows = [row for row in rows if row.name.id in used]
    asked = corpus == "kemdy19" and options.view == "speaker"
    write_merged(corpus, rows, out / MERGED_FILE, [partner.get(row.name.id) for row in rows] if asked else None)
    _check_folds(clips, rejected)
    specs = (EMOTION, AFFECT, SPREAD, *((LISTENER_EMOTION, LISTENER_AFFECT) if asked else ()))
    facts = _facts(corpus, rows, {segment: kinds[segment] for segment in kinds if segment in used}, options)
    # recordings stay where they are and tables are new: what both lie in
    base = Path(os.path.commonpath([tree.root.path, out]))
    return Found(clips, specs, rejected, facts, base)


def _place(row: Rated) -> tuple:
    """Order of segments: by session, then as they are numbered, which both talkers' rows share; then by time."""
    at = (float(np.nan_to_num(value, nan=np.inf)) for value in (row.order, row.start_s))
    return (row.name.number, *at, row.name.id)


def _usable(corpus: str, rows: Mapping[str, Rated], options: Options, rejected: list[Rejected]) -> dict[str, Rated]:
    """Without scenes that are known to be unusable, and segments of sessions that there are not."""
    kept: dict[str, Rated] = {}
    dropped: dict[str, int] = {}
    for segment, row in rows.items():
        dialogue = row.name.dialogue
        if corpus == "kemdy19" and dialogue in UNUSABLE and not options.unusable:
            dropped[dialogue] = dropped.get(dialogue, 0) + 1
            continue
        try:
            fold_of(corpus, row.name.number)
        except MediaError as error:
            rejected.append(Rejected(segment, error.reason, error.field, row.line))
            continue
        kept[segment] = row
    rejected += [Rejected(each, f"{dropped[each]} segments: {UNUSABLE[each]}") for each in sorted(dropped)]
    return kept


def _clip(
    tree: Tree,
    row: Rated,
    partner: Rated | None,
    turn: int,
    tables: Mapping[str, Path],
    options: Options,
    rejected: list[Rejected],
) -> Clip | None:
    name = row.name
    streams: list[Stream] = []
    try:
        streams.append(Stream("speech", tree.file(name.sound)))
    except MediaError as error:
        rejected.append(Rejected(name.id, f"{error.reason}: {name.sound}", "wav", what="speech"))
    said = name.sound.removesuffix(".wav") + ".txt"
    try:
        words = words_of(tree.place(said), options.marks)
        if not words:
            raise MediaError("no words in its text")
        streams.append(Stream("text", None, text=words))
    except MediaError as error:
        rejected.append(Rejected(name.id, f"{error.reason}: {said}", "txt", what="text"))
    if name.id in tables:
        streams.append(Stream("physiology", tables[name.id]))
    elif tables:
        rejected.append(Rejected(name.id, "no row of any sensor file bears its id", what="physiology"))
    if not streams:
        rejected.append(Rejected(name.id, "neither sound, words nor sensors", line=row.line))
        return None
    targets = _targets(row, EMOTION, AFFECT, SPREAD)
    if partner is not None and options.view == "speaker":
        targets += _targets(partner, LISTENER_EMOTION, LISTENER_AFFECT, None)
    groups = {
        "session": name.session,
        "speaker": name.speaker,
        "script": name.script,
        "dialogue": name.dialogue,
        "fold": str(fold_of(tree.corpus, name.number)),
    }
    return Clip(name.id, tuple(streams), None, groups, targets, turn=turn)


def _targets(row: Rated, emotion: TargetSpec, affect: TargetSpec, spread: TargetSpec | None) -> tuple[Target, ...]:
    value = np.array(0 if row.label is None else emotion.labels.index(row.label), np.int64)
    known = np.full(len(emotion.labels), row.label is not None)
    votes = row.votes.astype(np.float32)
    found = [Target(emotion, value, valid=known, votes=votes if votes.any() else None), _numbers(affect, row.affect)]
    return (*found, *([] if spread is None else [_numbers(spread, row.spread)]))


def _numbers(spec: TargetSpec, values: np.ndarray) -> Target:
    known = np.isfinite(values)
    return Target(spec, np.where(known, values, 0).astype(np.float32), valid=known)


def _check_folds(clips: Sequence[Clip], rejected: list[Rejected]) -> None:
    folds: dict[str, set[str]] = {}
    for clip in clips:
        folds.setdefault(clip.groups["speaker"], set()).add(clip.groups["fold"])
    rejected += [
        Rejected(speaker, f"speaks in folds {', '.join(sorted(found))}: these folds share a voice", what="folds")
        for speaker, found in sorted(folds.items())
        if len(found) > 1
    ]


def _facts(corpus: str, rows: Sequence[Rated], kinds: Mapping[str, list[str]], options: Options) -> dict:
    from merkit.evaluation.agreement import agreement

    ratings = Ratings.of(rows)
    differs = [row for row in rows if row.votes.any() and set(row.total) != _top(row)]
    folds: dict[str, list[str]] = {}
    for row in rows:
        sessions = folds.setdefault(str(fold_of(corpus, row.name.number)), [])
        if row.name.session not in sessions:
            sessions.append(row.name.session)
    return {
        "view": options.view,
        "folds": folds,
        "ties": sum(len(row.total) > 1 for row in rows),
        "votes_differ_from_total": [row.name.id for row in differs],
        "raters": list(ratings.raters),
        "agreement": agreement(ratings.emotion, {"valence": ratings.valence, "arousal": ratings.arousal}),
        "physiology": {kind: sum(kind in found for found in kinds.values()) for kind in ("ECG", "EDA", "TEMP", "IBI")},
        "merged_csv": MERGED_FILE,
    }


def _top(row: Rated) -> set[str]:
    most = row.votes >= row.votes.max() - 1e-9
    return {EMOTION.labels[k] for k in np.flatnonzero(most)}


KEMDY19 = Corpus(reader=partial(read_release, corpus="kemdy19"), **FACTS19)
KEMDY20 = Corpus(reader=partial(read_release, corpus="kemdy20"), **FACTS20)
