"""A few frames of a clip as pictures: the whole frames, and the same with nothing but faces in them.

Frames stand at even distances, the first and the last readable one among them. They are kept one by one, with their times,
or as one picture in which they stand one under the other. Nothing is stretched: a frame of another shape has black bars.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from merkit.config import Config
from merkit.features.clip import ClipFeatures
from merkit.features.equidistant import even_frames
from merkit.features.extractor import extractor_id
from merkit.features.face_pictures import FacePictures, PictureConfig
from merkit.features.frame_layout import FrameLayout
from merkit.features.sources import Sources
from merkit.features.whole_clip import features_of
from merkit.media import VideoChunk
from merkit.perception import FaceDetector, FaceFollower, FaceTracker, clip_likeness
from merkit.perception.crops import PicturePyramid
from merkit.schema import Clip, Modality, TokenSequence

__all__ = ["FrameStackConfig", "FrameStackExtraction", "fitted"]


class FrameStackConfig(Config):
    """Which frames are kept, and how."""

    frames: int = Field(5, ge=1, le=32)
    """Frames of a clip, at even distances from the first to the last."""
    frames_per_second: float = Field(0.0, ge=0, le=60)
    """So many a second, `frames` at most; 0 = `frames` of every clip, however long."""
    height: int = Field(240, ge=16, le=1080)
    """Pixels of a frame."""
    width: int = Field(426, ge=16, le=1920)
    """Pixels of a frame; 426 by 240 is 16:9."""
    mosaic: bool = False
    """One picture in which all frames stand one under the other, in place of one each."""
    faces: Literal["none", "black", "crop"] = "none"
    """A second stream with faces alone: `black` = the same frames, black but for the faces; `crop` = pictures of the face of
    the one person who is seen most and largest."""
    side: int = Field(112, ge=16, le=512)
    """Pixels of a cropped face's side."""

    @model_validator(mode="after")
    def _one_size(self) -> "FrameStackConfig":
        if self.mosaic and self.frames_per_second:
            raise ValueError("a mosaic is of one size for all clips: it has `frames` frames, not so many a second")
        return self

    @property
    def layout(self) -> FrameLayout:
        """Of the tokens."""
        return FrameLayout(self.height, self.width, self.frames if self.mosaic else 0)

    @property
    def bytes_per_clip(self) -> int:
        """How much a clip takes at most.

        Example:
            >>> FrameStackConfig().bytes_per_clip, FrameStackConfig(faces="crop").bytes_per_clip
            (1533600, 1721760)
        """
        frames = 3 * self.height * self.width * self.frames
        return frames + {"none": 0, "black": frames, "crop": 3 * self.side**2 * self.frames}[self.faces]


@dataclass(frozen=True)
class FrameStackExtraction:
    """Frames of a clip as `scene` tokens and, where they are asked for, faces as `face` tokens: bytes (`FrameLayout`).

    Args:
        config: which.
        detector: makes what finds faces, once per process; it travels to the workers.
        name: of the detector, for the record.
    """

    config: FrameStackConfig = field(default_factory=FrameStackConfig)
    detector: Callable[[], Any] = FaceDetector
    name: str = "mtcnn"

    @cached_property
    def ids(self) -> dict[Modality, str]:
        """Of the tokens, by modality."""
        layout, chosen = self.config.layout, {"frames": self.config.frames, "fps": self.config.frames_per_second}
        made: dict[Modality, str] = {"scene": extractor_id(layout.name, 1, chosen)}
        if self.config.faces == "black":
            made["face"] = extractor_id(f"face-{layout.name}", 1, {**chosen, "detector": self.name})
        elif self.config.faces == "crop":
            crops = {**self._crops.to_dict(), **chosen, "detector": self.name}
            made["face"] = extractor_id("face-pictures", 1, crops)
        return made

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What the pictures depend on, beside the clip."""
        return {**self.ids, "config": self.config.to_dict()}

    def ready(self) -> None:
        """Loads the detector now, where faces are wanted, so that missing weights are told before hours of work.

        Raises:
            WeightError: they are not on this machine.
        """
        if self.config.faces != "none":
            _ = self._detector

    @cached_property
    def _crops(self) -> PictureConfig:
        return PictureConfig(side=self.config.side, most=self.config.frames, detect_every=1)

    @cached_property
    def _detector(self) -> Any:
        return self.detector()

    @cached_property
    def _likeness(self) -> Any:
        return clip_likeness()

    def __call__(self, clip: Clip, /) -> ClipFeatures:
        """The pictures of a clip, or why there are none.

        Raises:
            MediaError: the file cannot be read.
        """
        frames, times_s, warnings = even_frames(Sources.of(clip), self.config.frames, self.config.frames_per_second)
        if not frames:
            why = dict.fromkeys(self.ids, "no picture could be decoded")
            return features_of(clip, {}, why, 0.0, self.ids, warnings=warnings)
        if 1 < len(frames) < self.config.frames and not self.config.frames_per_second:
            warnings += (f"has only {len(frames)} frames",)
        step_s = float(np.diff(times_s).mean()) if len(times_s) > 1 else 1.0
        whole = np.concatenate([fitted(frame, self.config.height, self.config.width)[0] for frame in frames])
        tokens: dict[tuple[Modality, str | None], TokenSequence] = {("scene", None): self._kept(whole, times_s, step_s)}
        why: dict[Modality, str] = {}
        if self.config.faces != "none":
            make = self._blackened if self.config.faces == "black" else self._cropped
            found = make(frames, times_s, step_s)
            if found is None:
                why["face"] = f"no face was found in {len(frames)} frames"
            else:
                tokens["face", None] = found
        ends_s = float(times_s[-1]) + step_s
        size = (frames[0].shape[1], frames[0].shape[0])
        return features_of(clip, tokens, why, ends_s, self.ids, picture=size, warnings=warnings)

    def _kept(self, frames: np.ndarray, times_s: np.ndarray, step_s: float) -> TokenSequence:
        x = self.config.layout.tokens(frames)
        start_s = times_s[: len(x)]
        return TokenSequence(x, start_s, times_s[-len(x) :] + step_s)

    def _blackened(self, frames: list[np.ndarray], times_s: np.ndarray, step_s: float) -> TokenSequence | None:
        """The frames with every pixel black that lies in no face's box; None where there is no face in any."""
        made, count = [], 0
        for frame in frames:
            small, scale, left, top = fitted(frame, self.config.height, self.config.width)
            (faces,) = self._detector.detect_in(PicturePyramid(frame[None]))
            seen = np.zeros(small.shape[1:3], bool)
            for x0, y0, x1, y1 in np.asarray(faces.boxes) * scale + (left, top, left, top):
                columns, rows = (slice(max(int(a), 0), max(int(np.ceil(b)), 0)) for a, b in ((x0, x1), (y0, y1)))
                seen[rows, columns] = True
            made.append(small * seen[None, :, :, None])
            count += len(faces.boxes)
        return self._kept(np.concatenate(made), times_s, step_s) if count else None

    def _cropped(self, frames: list[np.ndarray], times_s: np.ndarray, step_s: float) -> TokenSequence | None:
        """The face of the one who is seen most, in the frames that show it."""
        # frames stand far apart, and a face may be missed in one of them
        tracker = FaceTracker(max_gap_s=max(1.5, 2.5 * step_s))
        follower = FaceFollower(self._detector, tracker, likeness=self._likeness)
        pictures = FacePictures(self._crops, follower)
        for frame, time_s in zip(frames, times_s, strict=True):
            pictures.see(VideoChunk(frame[None], np.array([time_s])))
        return pictures.finish(step_s)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return FrameStackExtraction, (self.config, self.detector, self.name)  # a loaded detector stays behind


def fitted(frame: np.ndarray, height: int, width: int) -> tuple[np.ndarray, float, int, int]:
    """A frame `(H, W, 3)` as large as fits into height and width, in the middle of black.

    Returns:
        `(1, height, width, 3)` uint8, pixels of the result to one of the frame, and where the frame's left upper corner is.

    Example:
        >>> made, scale, left, top = fitted(np.full((720, 1280, 3), 9, np.uint8), 240, 426)
        >>> made.shape, bool((made == 9).all())
        ((1, 240, 426, 3), True)
        >>> fitted(np.full((48, 48, 3), 9, np.uint8), 24, 40)[1:]
        (0.5, 8, 0)
    """
    scale = min(height / frame.shape[0], width / frame.shape[1])
    inner = (max(1, round(frame.shape[0] * scale)), max(1, round(frame.shape[1] * scale)))
    inner = (min(inner[0], height), min(inner[1], width))
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    small = PicturePyramid(np.ascontiguousarray(frame[None])).resized(*inner).permute(0, 2, 3, 1).numpy()
    made = np.zeros((1, height, width, 3), np.uint8)
    made[:, top : top + inner[0], left : left + inner[1]] = small
    return made, scale, left, top
