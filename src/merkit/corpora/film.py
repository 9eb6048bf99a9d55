"""Any film as a prepared corpus of scenes: read once, parted at its shots, its people anonymous unless somebody names them.

OUT/manifest.parquet     a scene is a clip; `groups["movie"]` is the film, `span` its place in it
OUT/features             tokens by scene: scene, face by person, speech, text
OUT/utterances.parquet   words, with who spoke where one face alone is visible
OUT/persons.csv          who is seen how long and from when on, with the place of a picture
OUT/films                tokens of whole films: other scene lengths and other names cost no decoding
OUT/portraits            a picture of every person
"""

import csv
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.atomic import replacing
from merkit.corpora.film_files import Film
from merkit.corpora.film_scenes import cut_strengths, scene_spans
from merkit.corpora.manifest import Manifest, Rejected
from merkit.corpora.utterances import Said, write_utterances
from merkit.errors import StoreError
from merkit.schema import Clip

if TYPE_CHECKING:
    from merkit.features.extraction import ClipExtractor, ExtractionReport
    from merkit.features.shard import ClipRecord

__all__ = ["prepare_films"]


def prepare_films(
    films: Sequence[Film],
    extract: "ClipExtractor",
    out: Path,
    *,
    names: Mapping[str, Mapping[str, str]] | None = None,
    min_s: float = 30.0,
    max_s: float = 90.0,
    **engine: Any,
) -> Manifest:
    """Reads films that were not read yet, and parts all of them into scenes.

    Args:
        films: with distinct ids.
        extract: makes the features of a whole film (`merkit.features.film.FilmExtraction`).
        out: the folder. What it holds of other films is kept, but not part of the manifest.
        names: film -> person -> name.
        min_s: seconds of a scene at least.
        max_s: seconds of a scene at most.
        engine: options of `extract_many`: `engine`, `workers`, `threads`, `progress`.

    Returns:
        The manifest, not yet written; a film that cannot be used is in `rejected`.

    Raises:
        ConfigError: bounds or names that cannot be meant.
        WeightError: weights are missing.
    """
    from merkit.features.cut import named_record, stored_record
    from merkit.features.extraction import extract_many
    from merkit.features.store import FeatureStore

    scene_spans(1.0, np.zeros(0), np.zeros(0), min_s=min_s, max_s=max_s)  # wrong bounds are found before hours of work
    store = FeatureStore.create(out / "films")
    report = extract_many([film.clip for film in films], extract, store, **engine)
    lost = {skipped.clip: skipped.reason for skipped in report.skipped}
    clips: list[Clip] = []
    parts: list[ClipRecord] = []
    people: list[dict[str, Any]] = []
    facts: list[dict[str, Any]] = []
    for film in films:
        if film.id in lost:
            continue
        whole = stored_record(store, film.id)
        given = (names or {}).get(film.id, {})
        record = named_record(whole, given)
        spans = _spans(record, min_s, max_s)
        for number, span in enumerate(spans, 1):
            clip = _scene(film, number, span)
            clips.append(clip)
            parts.append(_part(record, clip, given))
        people += _people(film.id, whole, given, out)
        facts.append(_facts(film, whole, len(spans)))
    _store_parts(parts, out)
    write_utterances(_said(parts), out)
    _write_people(people, out / "persons.csv")
    rejected = tuple(Rejected(film.video.name, lost[film.id]) for film in films if film.id in lost)
    files = [file for film in films for file in (film.video, film.subtitles) if file is not None]
    root = Path(os.path.commonpath([file.parent for file in files]))
    about = {"films": facts, "scenes": {"min_s": min_s, "max_s": max_s}, "reading": _counted(report)}
    return Manifest("films", tuple(clips), (), root, rejected, about)


def _spans(record: "ClipRecord", min_s: float, max_s: float) -> list[tuple[float, float]]:
    """Scenes of a film, parted at its shots; where there are none, wherever the picture changes most."""
    pictures = next((row for row in record.rows if row.modality == "scene" and row.entity is None), None)
    seen_s = [float(row.end_s.max()) for row in record.rows if row.modality in ("scene", "face") and len(row.end_s)]
    # headers may state less than there is
    duration_s = max([float(record.about["duration_s"]), *seen_s])
    cuts_s = np.array(record.about["shots_s"], float)
    x, times_s = (None, np.zeros(0)) if pictures is None else (pictures.x, pictures.start_s)
    if not len(cuts_s):
        cuts_s = np.array(times_s, float)
    said = [(each["start_s"], each["end_s"]) for each in record.about["segments"]]
    return scene_spans(duration_s, cuts_s, cut_strengths(cuts_s, x, times_s, said), min_s=min_s, max_s=max_s)


def _scene(film: Film, number: int, span: tuple[float, float]) -> Clip:
    whole = film.clip
    return Clip(f"{film.id}/scene-{number:03d}", whole.streams, None, {"movie": film.id}, turn=number - 1, span=span)


def _part(record: "ClipRecord", clip: Clip, names: Mapping[str, str]) -> "ClipRecord":
    from merkit.features.cut import cut_record
    from merkit.features.record import record_key

    assert clip.span is not None
    key = record_key(record.key, {"span": list(clip.span), "names": dict(sorted(names.items()))})
    return cut_record(record, clip.id, clip.span, key)


def _store_parts(parts: "Sequence[ClipRecord]", out: Path) -> None:
    """The scenes' store holds the scenes of this manifest and no other."""
    from merkit.features.store import FeatureStore

    place, fresh = out / "features", out / ".features.new"
    try:
        held = FeatureStore.open(place)
        if held.clips == sorted((part.clip for part in parts), key=str.encode) and all(
            held.key_of(part.clip) == part.key for part in parts
        ):
            return
    except StoreError:
        pass
    shutil.rmtree(fresh, ignore_errors=True)
    store = FeatureStore.create(fresh)
    for part in parts:
        store.add(part)
    store.finalise()
    shutil.rmtree(place, ignore_errors=True)
    fresh.replace(place)


def _said(parts: "Sequence[ClipRecord]") -> list[Said]:
    return [
        Said(part.clip, said["start_s"], said["end_s"], said["text"], said["person"])
        for part in parts
        for said in part.about["segments"]
        if said["text"]
    ]


def _people(film: str, record: "ClipRecord", names: Mapping[str, str], out: Path) -> list[dict[str, Any]]:
    rows = {row.entity: row for row in record.rows if row.modality == "face"}
    found = []
    for person in record.about["persons"]:
        row, picture = rows.get(person), out / "portraits" / film / f"{person}.jpg"
        found.append(
            {
                "film": film,
                "person": person,
                "name": names.get(person, ""),
                "seen_s": f"{float((row.end_s - row.start_s).sum()) if row is not None else 0.0:.1f}",
                "first_s": f"{float(row.start_s.min()) if row is not None else 0.0:.1f}",
                "portrait": picture.relative_to(out).as_posix() if picture.is_file() else "",
            }
        )
    return found


def _write_people(people: Sequence[Mapping[str, Any]], path: Path) -> None:
    columns = ("film", "person", "name", "seen_s", "first_s", "portrait")
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(people)


def _facts(film: Film, record: "ClipRecord", scenes: int) -> dict[str, Any]:
    about = record.about
    absent = {each["modality"]: each["reason"] for each in about["presence"] if not each["present"]}
    return {
        "film": film.id,
        "file": film.video.name,
        "subtitles": None if film.subtitles is None else film.subtitles.name,
        "input_sha256": record.input_sha256,
        "duration_s": about["duration_s"],
        # shots are found on the way to faces; where nobody looked for those, nobody knows
        "shots": None if absent.get("face") == "not asked for" else len(about["shots_s"]) + 1,
        "scenes": scenes,
        "persons": len(about["persons"]),
        "utterances": len(about["segments"]),
        "absent": absent,
        "warnings": about["warnings"],
    }


def _counted(report: "ExtractionReport") -> dict[str, list[str]]:
    return {"read": list(report.done), "as_before": list(report.reused)}
