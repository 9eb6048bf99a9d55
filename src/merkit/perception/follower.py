"""Faces of a whole clip, as it streams by: found, followed, cropped once, named when the clip is over."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from merkit.perception.crops import PicturePyramid, crops_of, face_squares
from merkit.perception.detector import FaceDetector, Faces
from merkit.perception.likeness import clip_likeness
from merkit.perception.persons import Likeness, name_persons
from merkit.perception.portraits import Portrait, best_spread, merit, to_jpeg
from merkit.perception.shots import ShotDetector
from merkit.perception.tracker import FaceTracker, Track
from merkit.schema import Person

__all__ = ["FaceFollower", "FollowedFaces", "FollowedPersons"]

_CROP_PX = 112
# Portraits that a track and, in the end, a person may keep.
_PER_TRACK, _PER_PERSON = 3, 6


@dataclass(frozen=True, slots=True, eq=False)
class FollowedFaces:
    """All faces of a batch of frames, in time order.

    Args:
        times_s: `(k,)` seconds.
        track: `(k,)` track ids; whose they are is known when the clip is over.
        boxes: `(k, 4)` float32 pixels x0 y0 x1 y1.
        prob: `(k,)` float32, probability that this is a face, in [0, 1].
        points: `(k, 5, 2)` float32 pixels.
        crops: `(k, 112, 112, 3)` uint8 RGB, made once, for every network that looks at faces.
    """

    times_s: np.ndarray
    track: np.ndarray
    boxes: np.ndarray
    prob: np.ndarray
    points: np.ndarray
    crops: np.ndarray

    def __len__(self) -> int:
        return len(self.track)


@dataclass(frozen=True, slots=True, eq=False)
class FollowedPersons:
    """What a clip held.

    Args:
        persons: by first appearance, with boxes as shares of the picture and a few JPEG portraits.
        person_of: track id -> person id; one-off detections that were most likely no face are missing.
        tracks: all tracks, the dropped ones too.
        shots_s: seconds at which a new shot begins.
    """

    persons: tuple[Person, ...]
    person_of: Mapping[int, str]
    tracks: tuple[Track, ...]
    shots_s: tuple[float, ...]


class FaceFollower:
    """Detection, shots, tracks and crops behind one call per batch of frames.

    What stays in memory for the length of a clip is 40 bytes per face seen, and per track at most three small JPEGs.

    Args:
        detector: finds faces; None for the default detector.
        tracker: joins them; None for the default tracker.
        shots: finds cuts; None for the default detector.
        likeness: compares tracks so that one person in several shots gets one name; `auto` for the
            catalogue's `face-api-recognition` where it is on this machine, None for none (each track is then a person).

    Raises:
        WeightError: the detector's weights are not on this machine.

    Example:
        >>> follower = FaceFollower()  # doctest: +SKIP
        >>> for chunk in read_clip("talk.mp4"):  # doctest: +SKIP
        ...     faces = follower.update(chunk.frames, chunk.times_s)
        >>> [person.id for person in follower.finish().persons]  # doctest: +SKIP
        ['person_1', 'person_2']
    """

    def __init__(
        self,
        detector: FaceDetector | None = None,
        tracker: FaceTracker | None = None,
        shots: ShotDetector | None = None,
        likeness: Likeness | Literal["auto"] | None = "auto",
    ) -> None:
        self.detector = detector if detector is not None else FaceDetector()
        self.tracker = tracker if tracker is not None else FaceTracker()
        self.shots = shots if shots is not None else ShotDetector()
        self.likeness: Likeness | None = clip_likeness() if likeness == "auto" else likeness
        self._shots_s: list[float] = []
        self._tracks: list[Track] = []
        self._seen: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self._portraits: dict[int, list[Portrait]] = {}
        self._vectors: dict[int, np.ndarray] = {}
        self._picture: tuple[int, int] | None = None

    def update(self, frames: np.ndarray, times_s: np.ndarray) -> FollowedFaces:
        """The faces of the next frames.

        Args:
            frames: `(n, H, W, 3)` uint8 RGB, upright.
            times_s: `(n,)` seconds, rising, later than those before.
        """
        pictures = PicturePyramid(frames)
        size = (pictures.width, pictures.height)
        cuts = set(self.shots.update_in(pictures, times_s))
        if self._picture not in (None, size) and len(times_s):
            cuts.add(float(times_s[0]))  # pixels of another picture size are not comparable
        self._picture = size
        self._shots_s += sorted(cuts)
        found = self.detector.detect_in(pictures)
        track = [
            self.tracker.update(float(time_s), faces, cut=float(time_s) in cuts)
            for time_s, faces in zip(times_s, found, strict=True)
        ]
        faces = self._gather(pictures, np.asarray(times_s, np.float64), found, track)
        share = np.clip(faces.boxes / np.tile(np.array(size, np.float32), 2), 0.0, 1.0)
        self._seen.append((faces.track.astype(np.int32), faces.times_s, share, faces.prob))
        self._pick(faces)
        self._close(self.tracker.take_finished())
        return faces

    def finish(self) -> FollowedPersons:
        """Ends all tracks and says which person each one is."""
        self._close(self.tracker.finish())
        person_of = name_persons(self._tracks, self._vectors)
        self._vectors.clear()  # never outlives the clip
        return FollowedPersons(
            self._persons(person_of),
            person_of,
            tuple(sorted(self._tracks, key=lambda track: track.id)),
            tuple(self._shots_s),
        )

    def _gather(
        self, pictures: PicturePyramid, times_s: np.ndarray, found: list[Faces], track: list[list[int]]
    ) -> FollowedFaces:
        index = np.repeat(np.arange(len(found)), [len(faces) for faces in found])
        boxes = np.concatenate([Faces.none().boxes, *(faces.boxes for faces in found)])
        return FollowedFaces(
            times_s[index],
            np.array([number for ids in track for number in ids], np.int64),
            boxes,
            np.concatenate([Faces.none().prob, *(faces.prob for faces in found)]),
            np.concatenate([Faces.none().points, *(faces.points for faces in found)]),
            crops_of(pictures, index, boxes, size=_CROP_PX),
        )

    def _pick(self, faces: FollowedFaces) -> None:
        """Keeps the crops that may become a track's portraits."""
        if not len(faces):
            return
        squares = face_squares(faces.boxes)
        side = squares[:, 2] - squares[:, 0]
        inside = (faces.points - squares[:, None, :2]) * (_CROP_PX / side)[:, None, None]
        worth = merit(faces.crops, inside, faces.boxes, faces.prob)
        for number in np.unique(faces.track):
            rows = np.flatnonzero(faces.track == number)
            new = [Portrait(float(faces.times_s[i]), float(worth[i]), faces.crops[i], inside[i]) for i in rows]
            held = self._portraits.get(int(number), [])
            chosen = best_spread([*held, *new], _PER_TRACK)
            # a crop that stays is copied: a view would keep the whole batch in memory
            self._portraits[int(number)] = [
                replace(p, crop=p.crop.copy()) if isinstance(p.crop, np.ndarray) and p.crop.base is not None else p
                for p in chosen
            ]

    def _close(self, tracks: list[Track]) -> None:
        """Files finished tracks; of those kept, the vector for comparison and the portraits as JPEG."""
        for track in tracks:
            self._tracks.append(track)
            portraits = self._portraits.pop(track.id, [])
            if not track.kept:
                continue
            pairs = [(p.crop, p.points) for p in portraits if isinstance(p.crop, np.ndarray)]
            if self.likeness is not None and pairs:
                self._vectors[track.id] = self.likeness(
                    np.stack([crop for crop, _ in pairs]), np.stack([points for _, points in pairs])
                )
            self._portraits[track.id] = [
                replace(p, crop=to_jpeg(p.crop)) if isinstance(p.crop, np.ndarray) else p for p in portraits
            ]

    def _persons(self, person_of: Mapping[int, str]) -> tuple[Person, ...]:
        names = list(dict.fromkeys(person_of.values()))
        if not names:
            return ()
        track, times_s, boxes, prob = (np.concatenate(column) for column in zip(*self._seen, strict=True))
        number = {name: i for i, name in enumerate(names)}
        owner_of = np.full(max(int(track.max()), max(person_of)) + 1, -1)
        for id_, name in person_of.items():
            owner_of[id_] = number[name]
        owner = owner_of[track]
        order = np.argsort(owner, kind="stable")
        bounds = np.searchsorted(owner[order], np.arange(len(names) + 1))
        albums: dict[str, list[Portrait]] = {name: [] for name in names}
        for id_, name in person_of.items():
            albums[name] += self._portraits.get(id_, [])
        persons = []
        for name, (a, b) in zip(names, pairwise(bounds), strict=True):
            rows = order[a:b]
            album = best_spread(albums[name], _PER_PERSON)
            thumbnails = tuple((p.time_s, p.crop) for p in album if isinstance(p.crop, bytes))
            persons.append(Person(name, times_s[rows], boxes[rows], prob[rows], thumbnails))
        return tuple(persons)
