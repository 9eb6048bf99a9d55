"""A clip's features as the store keeps them, and the key that says whether they are still good."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.errors import MediaError
from merkit.features.shard import ClipRecord, Row
from merkit.schema import Clip

if TYPE_CHECKING:
    from merkit.features.clip import ClipFeatures

__all__ = ["input_sha256", "record_key", "record_of"]


def input_sha256(clip: Clip, known: dict[Path, str] | None = None) -> str:
    """Hash of everything a clip is read from: its files' bytes or its words, which stream each is, and the span of them
    that it uses; not the files' names or places.

    Args:
        clip: the clip.
        known: file -> sha256, of files hashed before in this run; new ones are added. A film of which a thousand clips
            are spans is then read once.

    Raises:
        MediaError: a file is missing or cannot be read.

    Example:
        >>> input_sha256(Clip("nothing", ()))[:8]
        '4f53cda1'
    """
    hashes = {} if known is None else known
    for stream in clip.streams:
        if stream.path is not None and stream.path not in hashes:
            try:
                with stream.path.open("rb") as file:
                    hashes[stream.path] = hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                raise MediaError("no such file", path=stream.path) from None
            except OSError as error:
                raise MediaError(f"cannot be read ({error.strerror})", path=stream.path) from error
    read: list[Any] = [
        [s.modality, s.entity, s.start_s, s.text if s.path is None else hashes[s.path]] for s in clip.streams
    ]
    if clip.span is not None:
        read.append(["span", *map(float, clip.span)])
    return hashlib.sha256(json.dumps(read).encode()).hexdigest()


def record_key(input_hash: str, identity: Mapping[str, Any]) -> str:
    """Key of a clip's record: it changes with the input's bytes and with anything that reads them.

    Example:
        >>> record_key("a", {"fps": 3.0}) == record_key("a", {"fps": 5.0})
        False
    """
    text = json.dumps([input_hash, dict(identity)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def record_of(features: "ClipFeatures", key: str, input_hash: str) -> ClipRecord:
    """What `extract_clip` found, as a record; pictures are left out.

    Args:
        features: of one clip.
        key: from `record_key`.
        input_hash: from `input_sha256`.
    """
    rows = []
    for (modality, entity), tokens in features.tokens.items():
        # face and scene tokens belong to no segment
        owner = features.segment_of.get(modality) if entity is None else None
        segment = np.full(len(tokens), -1, np.int32) if owner is None else owner.astype(np.int32)
        rows.append(
            Row(modality, entity, features.extractor_ids[modality], tokens.x, tokens.start_s, tokens.end_s, segment)
        )
    about = {
        "duration_s": features.duration_s,
        "presence": [asdict(presence) for presence in features.presence],
        "persons": [person.id for person in features.persons],
        "shots_s": [float(cut_s) for cut_s in features.shots_s],
        "segments": [
            {"start_s": s.start_s, "end_s": s.end_s, "text": s.text, "person": s.person, "source": s.source}
            for s in features.segments
        ],
        "warnings": list(features.warnings),
    }
    # through JSON once, so that numpy scalars are found here and not in the middle of writing a shard
    return ClipRecord(features.clip.id, key, input_hash, json.loads(json.dumps(about, default=float)), tuple(rows))
