"""Records of parts of a clip, cut from the record of the whole: a film is decoded once, whatever its scenes are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from merkit.errors import ConfigError
from merkit.features.presence import presence_rows
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore
from merkit.schema import TokenSequence

__all__ = ["cut_record", "named_record", "stored_record"]


def stored_record(store: FeatureStore, clip: str) -> ClipRecord:
    """A clip's record as it was added; arrays are views of the store's files.

    Raises:
        StoreError: the clip is not in the store, or its shard is damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = FeatureStore.create(folder)
        ...     store.add(ClipRecord("film", "key", "hash", {"duration_s": 9.0}, ()))
        ...     stored_record(store, "film").about
        {'duration_s': 9.0}
    """
    about = store.about(clip)
    index = store.index.select(["clip", "modality", "entity", "extractor_id", "input_sha256"]).to_pydict()
    rows, digest = [], ""
    for i, name in enumerate(index["clip"]):
        if name != clip:
            continue
        digest = index["input_sha256"][i]
        if index["modality"][i] is not None:
            tokens = store.tokens(i)
            rows.append(
                Row(
                    index["modality"][i],
                    index["entity"][i],
                    index["extractor_id"][i],
                    tokens.x,
                    tokens.start_s,
                    tokens.end_s,
                    store.segment_of(i),
                )
            )
    return ClipRecord(clip, store.key_of(clip) or "", digest, about, tuple(rows))


def cut_record(record: ClipRecord, clip: str, span: tuple[float, float], key: str) -> ClipRecord:
    """What a record holds of one stretch of time, on a clock that begins at 0 with it.

    An utterance belongs to the stretch that its middle lies in, with all of its tokens; other tokens to the one that they
    begin in. Times are cut at the stretch's ends. Nothing is in two stretches that only meet.

    Args:
        record: of the whole.
        clip: id of the part.
        span: `start_s, end_s` on the clock of the whole.
        key: of the part, as `merkit.features.record_key` makes it.

    Example:
        >>> row = Row("scene", None, "fake@0", np.eye(3), np.array([0.0, 1, 2]), np.array([1.0, 2, 3]), np.full(3, -1))
        >>> about = {"duration_s": 3.0, "presence": [], "persons": [], "shots_s": [2.0], "segments": [], "warnings": []}
        >>> part = cut_record(ClipRecord("film", "k", "h", about, (row,)), "film-002", (1.0, 3.0), "k2")
        >>> part.rows[0].start_s, part.about["shots_s"]
        (array([0., 1.]), [1.0])
    """
    begins_s, ends_s = span
    length_s = ends_s - begins_s
    about = record.about
    inside = [
        i for i, said in enumerate(about["segments"]) if begins_s <= (said["start_s"] + said["end_s"]) / 2 < ends_s
    ]
    number = np.full(len(about["segments"]) + 1, -1, np.int32)  # -1, no segment, is the spare last place
    number[inside] = np.arange(len(inside))
    rows = []
    for row in record.rows:
        spoken = row.segment >= 0
        kept = np.where(spoken, number[row.segment] >= 0, (row.start_s >= begins_s) & (row.start_s < ends_s))
        if kept.any():
            rows.append(
                replace(
                    row,
                    x=row.x[kept],
                    start_s=np.clip(row.start_s[kept] - begins_s, 0.0, length_s),
                    end_s=np.clip(row.end_s[kept] - begins_s, 0.0, length_s),
                    segment=number[row.segment[kept]],
                )
            )
    segments = [
        {
            **about["segments"][i],
            "start_s": max(about["segments"][i]["start_s"] - begins_s, 0.0),
            "end_s": min(about["segments"][i]["end_s"] - begins_s, length_s),
        }
        for i in inside
    ]
    seen = {row.entity: len(row.x) for row in rows if row.modality == "face" and row.entity is not None}
    cut = {
        "duration_s": length_s,
        "presence": _presence(about["presence"], rows, length_s),
        "persons": sorted(seen, key=lambda person: -seen[person]),
        "shots_s": [cut_s - begins_s for cut_s in about["shots_s"] if begins_s < cut_s < ends_s],
        "segments": segments,
        "warnings": [],
    }
    return ClipRecord(clip, key, record.input_sha256, cut, tuple(rows))


def named_record(record: ClipRecord, names: Mapping[str, str]) -> ClipRecord:
    """The record with names that somebody gave to its persons; who is given one name is one person from then on.

    Args:
        record: of a clip.
        names: person -> name; persons without a name keep their number.

    Raises:
        ConfigError: there is no such person, a name is another person's number, or two persons of one name are seen at the
            same time.

    Example:
        >>> rows = [Row("face", f"person_{i}", "fake@0", np.full((1, 1), i), np.array([4.0 - i]), np.array([5.0 - i]),
        ...     np.full(1, -1)) for i in (1, 2)]
        >>> film = ClipRecord("film", "k", "h", {"persons": ["person_1", "person_2"], "segments": []}, tuple(rows))
        >>> both = named_record(film, {"person_1": "Ada", "person_2": "Ada"})
        >>> [(row.entity, row.x.ravel().tolist()) for row in both.rows], both.about["persons"]
        ([('Ada', [2, 1])], ['Ada'])
    """
    persons = record.about["persons"]
    for person, name in names.items():
        if person not in persons:
            raise ConfigError(f"{record.clip} has no {person}; there are {', '.join(persons) or 'no persons'}")
        if name in persons and name != person:
            raise ConfigError(f"{record.clip}: {person} cannot be called {name}, which is the number of somebody else")
    called = {person: names.get(person, person) for person in persons}
    groups: dict[tuple[str, str | None], list[Row]] = {}
    for row in record.rows:
        groups.setdefault((row.modality, called.get(row.entity or "", row.entity)), []).append(row)
    rows = tuple(_joined(record.clip, entity, group) for (_, entity), group in groups.items())
    segments = [{**said, "person": called.get(said["person"], said["person"])} for said in record.about["segments"]]
    about = {**record.about, "persons": list(dict.fromkeys(called.values())), "segments": segments}
    return replace(record, about=about, rows=rows)


def _joined(clip: str, entity: str | None, rows: Sequence[Row]) -> Row:
    if len(rows) == 1:
        return replace(rows[0], entity=entity)
    start_s = np.concatenate([row.start_s for row in rows])
    order = np.argsort(start_s, kind="stable")
    together = np.flatnonzero(np.diff(start_s[order]) <= 0.0)
    if len(together):
        who = " and ".join(str(row.entity) for row in rows)
        raise ConfigError(
            f"{clip}: {who} are seen together at {start_s[order[together[0]]]:.1f} s, so they cannot all be {entity}"
        )
    columns = {name: np.concatenate([getattr(row, name) for row in rows])[order] for name in ("x", "end_s", "segment")}
    return replace(rows[0], entity=entity, start_s=start_s[order], **columns)


def _presence(whole: Sequence[Mapping[str, Any]], rows: Sequence[Row], length_s: float) -> list[dict[str, Any]]:
    """As `extract_clip` would say it of the part: what the whole has and the part lacks is simply not in this part."""
    tokens: dict[Any, TokenSequence] = {
        (row.modality, row.entity): TokenSequence(row.x, row.start_s, row.end_s) for row in rows
    }
    absent = {each["modality"]: each["reason"] for each in whole if not each["present"]}
    why: dict[str, str | None] = {each["modality"]: "there is none in this part" for each in whole}
    wanted = [modality for modality in why if modality not in absent]
    return [asdict(each) for each in presence_rows(tokens, (), wanted, absent, why, length_s)]  # ty: ignore[invalid-argument-type]
