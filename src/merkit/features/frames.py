"""What the pictures of a clip give: face tokens filed under persons, scene tokens, and who was seen when."""

from dataclasses import dataclass, field

import numpy as np

from merkit.features.extractor import Extractor
from merkit.features.joined import joined
from merkit.features.utterances import Utterance
from merkit.media import VideoChunk
from merkit.perception import FaceFollower
from merkit.perception.crops import PicturePyramid, crops_of
from merkit.perception.follower import FollowedFaces
from merkit.schema import Modality, Person, TokenSequence

__all__ = ["FrameTokens", "Seen"]

# Who speaks is said only where one face, and no other, is seen in this share of an utterance's sampled frames.
ONE_FACE_SHARE = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Who was seen when.

    Args:
        persons: anonymous persons by first appearance.
        shots_s: seconds at which a new shot begins.
        times_s: `(T,)` seconds at which somebody's face was seen, rising.
        who: `(T,)` index into `persons`.
        fps: sampled frames a second.
    """

    persons: tuple[Person, ...]
    shots_s: tuple[float, ...]
    times_s: np.ndarray
    who: np.ndarray
    fps: float

    def speaker(self, utterance: Utterance) -> str | None:
        """The one person whose face is visible throughout, if there is exactly one; else nobody is named.

        Example:
            >>> nobody = Seen((), (), np.zeros(0), np.zeros(0, int), 3.0)
            >>> nobody.speaker(Utterance(0.0, 1.0)) is None
            True
        """
        slack_s = 0.5 / self.fps
        near = self.who[(self.times_s >= utterance.start_s - slack_s) & (self.times_s <= utterance.end_s + slack_s)]
        one = np.unique(near)
        expected = max(1.0, (utterance.end_s - utterance.start_s) * self.fps)
        if len(one) == 1 and len(near) >= ONE_FACE_SHARE * expected:
            return self.persons[int(one[0])].id
        return None


@dataclass(slots=True)
class FrameTokens:
    """Takes frames as they stream by and keeps tokens.

    Args:
        fps: sampled frames a second: how long a token holds.
        follower: finds and follows faces; None leaves them out.
        face: extractor over face crops; there where `follower` is.
        scene: extractor over whole frames; None leaves them out.

    Example:
        >>> frames = FrameTokens(3.0)
        >>> frames.see(VideoChunk(np.zeros((2, 48, 64, 3), np.uint8), np.array([0.0, 0.34])))
        >>> frames.count, frames.picture, frames.finish({}, ends_s=1.0).persons
        (2, (64, 48), ())
    """

    fps: float
    follower: FaceFollower | None = None
    face: Extractor | None = None
    scene: Extractor | None = None
    count: int = 0
    picture: tuple[int, int] | None = None
    _track: list[np.ndarray] = field(default_factory=list)
    _face_x: list[np.ndarray] = field(default_factory=list)
    _face_s: list[np.ndarray] = field(default_factory=list)
    _scene_x: list[np.ndarray] = field(default_factory=list)
    _scene_s: list[np.ndarray] = field(default_factory=list)

    @property
    def wanted(self) -> bool:
        """Whether anybody looks at the pictures."""
        return self.follower is not None or self.scene is not None

    def see(self, chunk: VideoChunk) -> None:
        """Takes the next frames."""
        self.count += len(chunk.times_s)
        self.picture = (chunk.frames.shape[2], chunk.frames.shape[1])
        if self.scene is not None:
            self._scene_x.append(self.scene(chunk.frames))
            self._scene_s.append(chunk.times_s)
        if self.follower is not None and self.face is not None:
            faces = self.follower.update(chunk.frames, chunk.times_s)
            if len(faces):
                self._track.append(faces.track)
                self._face_s.append(faces.times_s)
                self._face_x.append(self.face(self._crops(chunk, faces)))

    def finish(self, tokens: dict[tuple[Modality, str | None], TokenSequence], ends_s: float) -> Seen:
        """Closes the follower and adds the tokens to `tokens`.

        Args:
            tokens: takes what was made: faces under their persons, scenes under the clip as a whole.
            ends_s: no token holds longer than this.
        """
        if self._scene_x:
            tokens["scene", None] = self._sequence(joined(self._scene_x), joined(self._scene_s), ends_s)
        nobody = Seen((), (), np.zeros(0), np.zeros(0, np.int64), self.fps)
        if self.follower is None:
            return nobody
        found = self.follower.finish()
        if not self._track:
            return Seen(found.persons, found.shots_s, nobody.times_s, nobody.who, self.fps)
        x, times_s, track = (joined(parts) for parts in (self._face_x, self._face_s, self._track))
        # tracks that were dropped as one-off false alarms belong to nobody
        index = {person.id: i for i, person in enumerate(found.persons)}
        owner = np.array([index.get(found.person_of.get(int(t), ""), -1) for t in track])
        for i, person in enumerate(found.persons):
            mine = np.flatnonzero(owner == i)
            tokens["face", person.id] = self._sequence(x[mine], times_s[mine], ends_s)
        known = np.flatnonzero(owner >= 0)
        known = known[np.argsort(times_s[known], kind="stable")]
        return Seen(found.persons, found.shots_s, times_s[known], owner[known], self.fps)

    def _crops(self, chunk: VideoChunk, faces: FollowedFaces) -> np.ndarray:
        """The follower's crops, or larger ones from the same squares where the extractor sees more (`crop_px`)."""
        size = getattr(self.face, "crop_px", None)
        if size is None or size == faces.crops.shape[1]:
            return faces.crops
        frame = np.searchsorted(chunk.times_s, faces.times_s)
        return crops_of(PicturePyramid(chunk.frames), frame, faces.boxes, size=size)

    def _sequence(self, x: np.ndarray, times_s: np.ndarray, ends_s: float) -> TokenSequence:
        return TokenSequence(x, times_s, np.minimum(times_s + 1.0 / self.fps, ends_s))
