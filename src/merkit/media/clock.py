"""Which time a decoded frame has, when a container's timestamps are missing or damaged."""

from collections.abc import Iterator
from typing import Any

__all__ = ["StreamClock"]

# A stamp that leaps further than this is believed only when the next frame stands behind it.
LEAP_S = 0.25


class StreamClock:
    """Places the frames of one stream on the clip's clock.

    A single damaged stamp must cost neither the rest of the pictures (which would all lie "before" it) nor hours of
    silence, so a frame that leaps ahead waits for the next one: if that one goes back, the stamp was wrong and the
    frame follows its predecessor; if not, the hole is real. Frames without a stamp follow their predecessor.

    Args:
        zero_s: the container's first instant, in seconds of its own timestamps.
        step_s: seconds a frame lasts, where the frame itself does not say.
        end_s: the stream's end by the header, in seconds on the clip's clock; 0 where it does not say.
    """

    def __init__(self, zero_s: float, step_s: float, end_s: float) -> None:
        self._zero_s = zero_s
        self._step_s = step_s
        self._end_s = end_s
        self._held: tuple[Any, float] | None = None
        self.next_s = 0.0  # where the frame after the last placed one is expected
        self.unstamped = 0
        self.damaged = 0

    def place(self, frame: Any) -> Iterator[tuple[Any, float]]:
        """The frames, with their times in seconds, that are certain now: none, this one, or the one held before too."""
        time_s = None if frame.pts is None else float(frame.pts * frame.time_base) - self._zero_s
        if self._held is not None:
            before, leapt_s = self._held
            self._held = None
            if time_s is None or time_s >= leapt_s:
                yield before, self._went(before, leapt_s)
            else:
                self.damaged += 1
                yield before, self._went(before, self.next_s)
        if time_s is None:
            self.unstamped += 1
            time_s = self.next_s
        if time_s > self.next_s + LEAP_S:
            self._held = (frame, time_s)
            return
        yield frame, self._went(frame, time_s)

    def flush(self) -> Iterator[tuple[Any, float]]:
        """The frame that still waits for its successor, if any."""
        if self._held is None:
            return
        frame, time_s = self._held
        self._held = None
        if self._end_s and time_s > self._end_s + 1.0:
            self.damaged += 1
            time_s = self.next_s
        yield frame, self._went(frame, time_s)

    def _went(self, frame: Any, time_s: float) -> float:
        samples = getattr(frame, "samples", 0)
        lasts_s = samples / frame.sample_rate if samples else self._step_s
        self.next_s = max(self.next_s, time_s + lasts_s)
        return time_s
