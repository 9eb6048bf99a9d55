"""The clip as the report plays it: a small file that every browser can play, held in memory until it is embedded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from merkit.errors import LimitError, MediaError

__all__ = ["PREVIEW_LIMIT_BYTES", "Preview"]

PREVIEW_LIMIT_BYTES = 64 * 2**20  # base64 makes a third more of it, and a browser holds both the page and the clip

# Containers that current browsers play without a plug-in, by file suffix.
_MIME = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".webm": "video/webm",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".flac": "audio/flac",
    ".wav": "audio/wav",
}


@dataclass(frozen=True, slots=True)
class Preview:
    """A playable copy of the clip, on the clip's own clock (its first instant is 0.0 s).

    Args:
        data: the whole file.
        mime: its media type, `video/…` or `audio/…`.

    Example:
        >>> Preview(b"...", "audio/mpeg").kind
        'audio'
    """

    data: bytes
    mime: str

    def __post_init__(self) -> None:
        if self.mime.partition("/")[0] not in ("video", "audio"):
            raise ValueError(f"a preview is video/… or audio/…, not {self.mime!r}")

    @property
    def kind(self) -> Literal["video", "audio"]:
        """Which player the page shows."""
        return "video" if self.mime.startswith("video/") else "audio"

    @classmethod
    def from_file(cls, path: str | Path, *, mime: str | None = None, limit: int = PREVIEW_LIMIT_BYTES) -> "Preview":
        """Read a preview file.

        Args:
            path: what `merkit.media.write_preview` wrote, or any file that browsers play.
            mime: its media type; by default told from the suffix.
            limit: bytes above which the file is refused before it is read.

        Raises:
            MediaError: no such file, or a suffix that browsers do not play.
            LimitError: the file is over `limit`.
        """
        path = Path(path)
        mime = mime or _MIME.get(path.suffix.lower())
        if mime is None:
            raise MediaError(
                f"browsers do not play {path.suffix or 'this'} files; known: {', '.join(_MIME)}", path=path
            )
        try:
            size = path.stat().st_size
            if size > limit:
                raise LimitError(f"{size} bytes are over the preview's limit of {limit}", path=path)
            return cls(path.read_bytes(), mime)
        except OSError as error:
            raise MediaError(f"cannot read the preview: {error.strerror}", path=path) from error
