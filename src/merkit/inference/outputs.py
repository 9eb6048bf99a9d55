"""A timeline's files: JSON, CSV and the report, written together."""

import tempfile
from dataclasses import replace
from pathlib import Path

from merkit.errors import MediaError
from merkit.media import write_preview
from merkit.report import Preview, write_csv, write_html, write_json
from merkit.schema import Timeline

__all__ = ["EMBED_MAX_S", "write_outputs"]

# Longer clips are not put inside the report: the page would be too big to open. It offers to open the file instead.
EMBED_MAX_S = 15 * 60.0


def write_outputs(timeline: Timeline, folder: Path, *, media: Path | None) -> dict[str, Path]:
    """Writes `timeline.json`, `timeline.csv` and `report.html` into `folder`, each atomically.

    Args:
        timeline: what `analyze` said.
        folder: made where it is missing; files of an earlier run are replaced.
        media: the clip to play inside the report, or None for a report without it.

    Returns:
        kind (`json`, `csv`, `html`) -> file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {"json": folder / "timeline.json", "csv": folder / "timeline.csv", "html": folder / "report.html"}
    preview, trouble = _preview(timeline, media)
    if trouble:
        timeline = replace(timeline, warnings=(*timeline.warnings, trouble))
    write_json(timeline, files["json"])
    write_csv(timeline, files["csv"])
    write_html(timeline, files["html"], preview=preview)
    return files


def _preview(timeline: Timeline, media: Path | None) -> tuple[Preview | None, str | None]:
    if media is None or timeline.clip.get("kind") not in ("video", "audio"):
        return None, None
    if timeline.clip["duration_s"] > EMBED_MAX_S:
        return None, None
    with tempfile.TemporaryDirectory(prefix="merkit-") as scratch:
        try:
            made = write_preview(media, Path(scratch) / "preview.mp4")
            return Preview.from_file(made.path, mime=made.mime), None
        except MediaError as error:
            return None, f"the report plays no clip: {error.reason}"
