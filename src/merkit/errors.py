"""The exception tree. Every error that merkit raises on purpose is one of these.

MerkitError
├── MediaError          a media file, subtitle or table cannot be used: file, time, reason
│   └── LimitError      ... because it is over a stated limit (pixels, frames, duration, channels, bytes)
├── WeightError         pretrained weights cannot be had or cannot be trusted
├── StoreError          a feature store is damaged or was written by other extractors
├── ConfigError         an option or a config key is wrong
└── LeakageError        what a model is judged on is known to its training
"""

from pathlib import Path

__all__ = ["ConfigError", "LeakageError", "LimitError", "MediaError", "MerkitError", "StoreError", "WeightError"]


class MerkitError(Exception):
    """Base of all errors raised by merkit on purpose."""


class MediaError(MerkitError):
    """A file of the user's cannot be read or understood.

    Args:
        reason: what is wrong, in words a user can act on.
        path: the file.
        time_s: position on the clip's clock in seconds, where known.
        field: the line, column or stream that is at fault, where there is one.

    Example:
        >>> str(MediaError("no key frame follows", path="a.mp4", time_s=3.2, field="video stream 0"))
        'a.mp4, at 3.20 s, video stream 0: no key frame follows'
    """

    def __init__(
        self, reason: str, *, path: str | Path | None = None, time_s: float | None = None, field: str | None = None
    ) -> None:
        self.reason = reason
        self.path = None if path is None else Path(path)
        self.time_s = time_s
        self.field = field
        where = [str(path)] if path is not None else []
        where += [f"at {time_s:.2f} s"] if time_s is not None else []
        where += [field] if field else []
        super().__init__(f"{', '.join(where)}: {reason}" if where else reason)


class LimitError(MediaError):
    """A file is over one of the limits that merkit states; nothing of its content was decoded."""


class WeightError(MerkitError):
    """Pretrained weights are missing, cannot be fetched, or differ from the catalogue's sha256."""


class StoreError(MerkitError):
    """A feature store is damaged, incomplete, or belongs to other extractors."""


class ConfigError(MerkitError):
    """An option, config key or value is not understood."""


class LeakageError(MerkitError):
    """Something of the clips that a model is judged on was, or would be, known to its training."""
