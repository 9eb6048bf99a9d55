"""The check that runs before every training: does anything that a model is judged on reach its training?

Errors are leaks that make figures of valid or test mean something else than they say. Warnings may be harmless: speakers
that a corpus shares on purpose, or words that two people happened to say. What a kind means and what to do about it is
in docs/evaluation.md.
"""

from collections.abc import Sequence

import numpy as np

from merkit.data.duplicates import crossing, directions_of, feature_keys, near_pairs
from merkit.data.findings import KINDS, Finding, LeakageReport, finding_of_pairs, side_of
from merkit.data.outline import outline
from merkit.data.repeated_texts import normalise_text, text_findings
from merkit.data.standardiser import check_standardiser
from merkit.data.table import ClipTable, TokenColumn
from merkit.data.vocabulary import vocabulary_findings
from merkit.errors import ConfigError

__all__ = ["KINDS", "Finding", "LeakageReport", "check_leakage", "check_standardiser"]

_NEAR = 0.999
# a kind of group: one recording under several ids
_COPY = "copy_of"


def check_leakage(
    table: ClipTable,
    *,
    group: str | None = None,
    context: np.ndarray | None = None,
    allow: Sequence[str] = (),
) -> LeakageReport:
    """Looks for everything in `KINDS`. Answers of `test` are not looked at; it may be without them.

    Features that stay in their store are compared by evenly spaced tokens of every sequence (`merkit.data.outline`).

    Args:
        table: all splits together. Clips of one group `copy_of` are one recording under several ids, which may not be in
            two splits whatever is declared.
        group: the kind of group that is declared to lie in one split only; that it does not is an error. Other kinds that
            cross splits are warnings.
        context: `(n, C)` int64 rows of the table that each clip is seen with, -1 = none.
        allow: kinds that are known and accepted; their errors become warnings.

    Raises:
        ConfigError: an unknown kind in `allow`, or no such group.

    Example:
        >>> table = ClipTable("t", np.array(["a", "b"]), np.array(["train", "test"]), {}, {},
        ...     {"speaker": np.array(["ann", "ann"])})
        >>> finding, = check_leakage(table, group="speaker").findings
        >>> finding.kind, finding.severity, finding.examples
        ('group', 'error', ('a', 'b'))
    """
    side = side_of(table.split)
    findings = [
        *_ids(table, side),
        *_groups(table, side, group),
        *_context(table, side, context),
        *_media(table, side),
        *_features(table, side),
        *text_findings(table, side),
        *vocabulary_findings(table),
        *_provenance(table),
    ]
    return LeakageReport(tuple(findings), table.name).allowing(allow)


def _keys(names: np.ndarray) -> np.ndarray:
    """`(n,)` int64 number of each name; -1 where there is none."""
    found, index = np.unique(names.astype(str), return_inverse=True)
    return np.where(found[index] == "", -1, index)


def _ids(table: ClipTable, side: np.ndarray) -> list[Finding]:
    key = _keys(table.ids)
    pairs = crossing(key, side)
    if len(pairs):
        why = "the same clips are in two splits: what was trained on is judged. Remove them from one of the two."
        return [finding_of_pairs("duplicate_ids", "error", table, pairs, why)]
    again = np.setdiff1d(np.arange(len(key)), np.unique(key, return_index=True)[1])
    if not len(again):
        return []
    splits, ids = tuple(np.unique(table.split[again].astype(str)).tolist()), tuple(map(str, table.ids[again[:3]]))
    why = "ids occur twice within a split: predictions cannot be told apart by them, and these clips count double."
    return [Finding("duplicate_ids", "warning", splits, len(again), ids, why)]


def _groups(table: ClipTable, side: np.ndarray, declared: str | None) -> list[Finding]:
    kinds = dict(table.groups)
    if table.dialogue is not None:
        kinds.setdefault("dialogue", table.dialogue)
    if declared is not None and declared not in kinds:
        raise ConfigError(f"data.split.by={declared}: corpus {table.name} has {', '.join(kinds) or 'no groups'}")
    found = []
    for kind, names in kinds.items():
        if kind == _COPY:
            continue  # `_media` says more
        pairs = crossing(_keys(names), side)
        if not len(pairs):
            continue
        many = len(np.unique(names[pairs[:, 1]]))
        why = (
            f"{many} of kind {kind} are in more than one split (clips of one {kind} are more alike than clips of two): "
        )
        if kind == declared:
            why += (
                f"divide by it with data.split.kind=group data.split.by={kind}, with data.split.keep_test=false if need be; "
                "or, where the corpus shares them on purpose, declare what it does keep apart, e.g. data.split.by=dialogue."
            )
            found.append(finding_of_pairs("group", "error", table, pairs, why))
        else:
            why += f"figures hold for a {kind} that training has met, not for a new one."
            found.append(finding_of_pairs("group", "warning", table, pairs, why))
    return found


def _context(table: ClipTable, side: np.ndarray, context: np.ndarray | None) -> list[Finding]:
    if context is None:
        return []
    if (
        context.ndim != 2
        or len(context) != len(table)
        or context.min(initial=-1) < -1
        or context.max(initial=-1) >= len(table)
    ):
        raise ValueError(f"context must hold rows of the table or -1, shape ({len(table)}, C); it is {context.shape}")
    other = np.where(context >= 0, side[context], -1)
    rows, places = np.nonzero((other >= 0) & (side[:, None] >= 0) & (other != side[:, None]))
    if not len(rows):
        return []
    pairs = np.stack([context[rows, places], rows], 1)
    why = (
        "clips are seen with turns of another split as context: take context within a split only, or split by dialogue."
    )
    return [finding_of_pairs("context", "error", table, pairs, why)]


def _media(table: ClipTable, side: np.ndarray) -> list[Finding]:
    none = np.zeros((0, 2), np.int64)
    named = crossing(_keys(table.groups[_COPY]), side) if _COPY in table.groups else none
    found = []
    if len(named):
        why = (
            "by the corpus's own account the same recordings are in two splits: figures on the later one mean nothing."
        )
        found.append(finding_of_pairs("duplicate_media", "error", table, named, why))
    if table.media_sha256 is None:
        return found
    pairs = _without(crossing(_keys(table.media_sha256), side), named)
    if not len(pairs):
        return found
    why = (
        "clips of two splits come from byte-identical media: copies under other names, or stretches of one recording. "
        "Remove the copies, or split by recording."
    )
    return [*found, finding_of_pairs("duplicate_media", "error", table, pairs, why)]


def _features(table: ClipTable, side: np.ndarray) -> list[Finding]:
    n, found = len(table), []
    streams = {name: outline(column, n) for name, column in table.streams.items()}
    keys = {name: feature_keys(column, n) for name, column in streams.items()}
    seen = [name for name in keys if name != "text"]  # words are often said twice; what is seen and heard is not
    none = np.zeros((0, 2), np.int64)
    same = none
    if seen:
        present = np.stack([_present(column, n) for column in streams.values()])
        codes = np.where(present, np.stack(list(keys.values())), -2)
        _, whole = np.unique(codes, axis=1, return_inverse=True)
        telling = np.any([keys[name] >= 0 for name in seen], axis=0)
        same = crossing(np.where(telling, whole.reshape(-1), -1), side)
    if len(same):
        why = "features are identical in every modality: the same recording under two ids. Remove one of each pair."
        found.append(finding_of_pairs("duplicate_features", "error", table, same, why))
    for name in keys:
        if name == "text" and table.texts is not None:
            continue  # the words themselves tell more
        pairs = _without(crossing(keys[name], side), same)
        if len(pairs):
            why = f"features of {name} are identical, those of other modalities differ: a copy, or a source that says little."
            found.append(finding_of_pairs("duplicate_features", "warning", table, pairs, why))
    directions = {name: directions_of(streams[name], keys[name], _NEAR) for name in seen}
    near = {name: near_pairs(directions[name], keys[name], side) for name in seen if name != "physiology"}
    sure = {name: pairs[~_contradicted(table, pairs, directions)] for name, pairs in near.items()}
    alike = np.concatenate([none, *sure.values()])
    if len(alike):
        alike = np.unique(alike, axis=0)
        why = (
            f"features are nearly identical (cosine of standardised means at least {_NEAR}, and more than chance brings "
            "about) in all that is seen and heard: "
            "one recording, cut or encoded twice. Remove one of each pair."
        )
        found.append(finding_of_pairs("near_duplicate_features", "error", table, alike, why))
    for name, pairs in near.items():
        pairs = _without(_without(pairs, alike), same)
        if len(pairs):
            why = f"features of {name} are nearly identical, while other modalities or the words differ."
            found.append(finding_of_pairs("near_duplicate_features", "warning", table, pairs, why))
    return found


def _present(column: TokenColumn, n: int) -> np.ndarray:
    present = np.zeros(n, bool)
    present[column.clip[column.lengths > 0]] = True
    return present


def _without(pairs: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Pairs whose later clip is in none of `others`."""
    return pairs[~np.isin(pairs[:, 1], others[:, 1])]


def _contradicted(table: ClipTable, pairs: np.ndarray, directions: dict) -> np.ndarray:
    """`(P,)` bool: another modality, or the words, say that these are two recordings."""
    against = np.zeros(len(pairs), bool)
    for direction in directions.values():
        against |= direction.cosine(pairs) < direction.least  # NaN, not comparable, is not against
    if table.texts is not None:
        for row, (a, b) in enumerate(pairs.tolist()):
            one, other = (set(normalise_text(str(table.texts[i])).split()) for i in (a, b))
            against[row] |= bool(one and other) and 2 * len(one & other) < len(one | other)
    return against


def _provenance(table: ClipTable) -> list[Finding]:
    found = []
    for name, about in table.provenance.items():
        if name not in table.streams:
            continue
        clips = {split: int((table.split == split).sum()) for split in ("valid", "test")}
        fitted = tuple(split for split in clips if split in about.fitted_on and clips[split])
        if fitted:
            why = (
                f"features of {name} ({about.source}) come from a network fitted on the labels of {' and '.join(fitted)}"
                f"{about.once}: a classifier on them looks near perfect there and says nothing about new clips. Do not choose "
                "by it: fix epochs and settings beforehand, or choose them by cross-validation on features that carry no labels."
            )
            if about.before:
                why += (
                    " Where every clip was described by a copy that did not see it (out of fold), allow this finding."
                )
            count = sum(clips[split] for split in fitted)
            found.append(Finding("fitted_on_labels", "error", fitted, count, (), why))
        measured = tuple(split for split in clips if split in about.statistics_on and clips[split])
        if measured:
            why = (
                f"normalisation or vocabulary inside the features of {name} ({about.source}) was fitted on "
                f"{' and '.join(measured)}{about.once} as well, without labels: figures are a little too good."
            )
            count = sum(clips[split] for split in measured)
            found.append(Finding("statistics", "warning", measured, count, (), why))
    return found
