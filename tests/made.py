"""Small real media files that tests make with PyAV: known colours at known times, known tones."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_clip(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: int = 30,
    size: tuple[int, int] = (64, 48),
    video: bool = True,
    audio: bool = True,
    rate: int = 44_100,
    layout: str = "mono",
    audio_start_s: float = 0.0,
    colour=lambda time_s: (int(60 + 60 * time_s) % 256, 80, 160),
    tone_hz: float = 440.0,
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    rotation: int = 0,
    times_s: np.ndarray | None = None,
    wave: np.ndarray | None = None,
) -> Path:
    """Writes a clip whose whole picture has `colour(time_s)` and whose sound is a tone (or `wave`, at `rate`)."""
    with av.open(str(path), "w") as sink:
        if video:
            stream = sink.add_stream(video_codec, rate=fps, options={"crf": "10"} if video_codec == "libx264" else {})
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
            if rotation:
                stream.set_display_rotation(rotation)
        if audio:
            sound = sink.add_stream(audio_codec, rate=rate, layout=layout)
        if video:
            for time_s in np.arange(round(seconds * fps)) / fps if times_s is None else times_s:
                picture = np.zeros((size[1], size[0], 3), np.uint8)
                picture[:] = colour(time_s)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
                sink.mux(stream.encode(frame))
            sink.mux(stream.encode())
        if audio:
            channels = av.AudioLayout(layout).nb_channels
            if wave is None:
                at = np.arange(round(seconds * rate)) / rate
                wave = (0.4 * np.sin(2 * np.pi * tone_hz * at)).astype(np.float32)
            for first in range(0, len(wave), 1024):
                part = np.repeat(wave[first : first + 1024][None], channels, 0)
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout=layout)
                frame.sample_rate = rate
                frame.pts = first + round(audio_start_s * rate)
                frame.time_base = Fraction(1, rate)
                sink.mux(sound.encode(frame))
            sink.mux(sound.encode())
    return path
