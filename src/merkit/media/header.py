"""What a media file's header says, held against the limits before a frame is decoded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error

from merkit.errors import LimitError, MediaError
from merkit.media.limits import Limits

__all__ = ["AudioInfo", "MediaInfo", "VideoInfo", "describe", "open_container", "read_header"]

# Containers of recorded media only. Playlists (hls, dash, concat), network session files and image sequences point to
# other files or addresses and are refused whatever their suffix says.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,flv,avi,asf,mpegts,mpeg,mpegvideo,h264,hevc,m4v,ogg,wav,w64,flac,mp3,aac,"
    "aiff,caf,au,amr,ac3,eac3,opus,wv,mxf,dv,gif,ivf,nut"
)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Size as coded: a rotated clip is turned upright while decoding. `fps` is 0 where the header does not say."""

    width: int
    height: int
    fps: float
    codec: str


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """Rate in Hz."""

    rate_hz: int
    channels: int
    codec: str


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """The header of one file.

    Args:
        path: the file.
        container: FFmpeg's name of the format.
        duration_s: seconds as the header states them; 0.0 where it does not.
        size_bytes: size of the file.
        video: the first real video stream; None where there is none. A cover picture is not video.
        audio: the first audio stream; None where there is none.
    """

    path: Path
    container: str
    duration_s: float
    size_bytes: int
    video: VideoInfo | None
    audio: AudioInfo | None


def open_container(path: Path) -> Any:
    """Opens a file for demuxing, with nothing but that file reachable.

    Raises:
        MediaError: missing, empty, not a regular file, or not a container of recorded media.
    """
    if not path.is_file():
        raise MediaError("no such file" if not path.exists() else "not a regular file", path=path)
    if path.stat().st_size == 0:
        raise MediaError("the file is empty", path=path)
    try:
        # `file:` keeps a name such as `concat:a|b` from being read as a protocol
        return av.open(
            f"file:{path.resolve()}",
            options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
            metadata_errors="ignore",
        )
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise MediaError(f"not readable as video or audio ({_reason(error)})", path=path) from None


def read_header(path: Path, limits: Limits) -> MediaInfo:
    """`probe` in this process.

    Raises:
        MediaError: not a media file, or neither video nor audio inside.
        LimitError: over a limit.
    """
    with open_container(path) as container:
        return describe(container, path, limits)


def describe(container: Any, path: Path, limits: Limits) -> MediaInfo:
    """`read_header` over a container that is already open."""
    picture, sound = real_video(container), next(iter(container.streams.audio), None)
    if picture is None and sound is None:
        raise MediaError("the file has neither a video nor an audio stream", path=path)
    duration_s = container.duration / av.time_base if container.duration else 0.0
    if duration_s > limits.max_duration_s:
        raise LimitError(f"{duration_s:.0f} s long; the limit is {limits.max_duration_s:.0f} s", path=path)
    video = audio = None
    if picture is not None:
        context = picture.codec_context
        if context is None:
            raise MediaError("no decoder for the video stream", path=path, field=f"stream {picture.index}")
        width, height = context.width, context.height
        check_picture(width, height, path, limits)
        rate = picture.average_rate or picture.guessed_rate
        fps = float(rate) if rate else 0.0
        if fps > limits.max_fps:
            raise LimitError(f"{fps:.0f} frames a second; the limit is {limits.max_fps:.0f}", path=path)
        if picture.frames > limits.max_frames:
            raise LimitError(f"{picture.frames} frames; the limit is {limits.max_frames}", path=path)
        video = VideoInfo(width, height, fps, context.name)
    if sound is not None:
        context = sound.codec_context
        if context is None:
            raise MediaError("no decoder for the audio stream", path=path, field=f"stream {sound.index}")
        audio = AudioInfo(context.sample_rate or 0, context.layout.nb_channels, context.name)
        check_sound(audio.channels, audio.rate_hz, path, limits)
    return MediaInfo(path, container.format.name, duration_s, path.stat().st_size, video, audio)


def check_picture(width: int, height: int, path: Path, limits: Limits) -> None:
    """Raises LimitError for a frame that is too large; the size may change in mid-stream, so decoding asks again."""
    if width * height > limits.max_pixels:
        raise LimitError(f"frames of {width}x{height} pixels; the limit is {limits.max_pixels} pixels", path=path)


def check_sound(channels: int, rate_hz: int, path: Path, limits: Limits) -> None:
    """Raises LimitError for more channels or a higher rate than allowed."""
    if channels > limits.max_channels:
        raise LimitError(f"{channels} audio channels; the limit is {limits.max_channels}", path=path)
    if rate_hz > limits.max_rate_hz:
        raise LimitError(f"audio at {rate_hz} Hz; the limit is {limits.max_rate_hz} Hz", path=path)


def real_video(container: Any) -> Any | None:
    """The first video stream that is not a cover picture."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error).strip() or type(error).__name__
