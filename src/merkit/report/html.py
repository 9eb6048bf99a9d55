"""The report: one HTML file that holds its style, script, data, faces and, where given, the clip itself.

Decisions:
- Nothing is requested from anywhere. A content security policy says so to the browser: only the two inline blocks
  whose hashes stand in it run, images and media come from the file itself or from a file that the reader picks.
- Words in a clip are untrusted. They reach the page as JSON in a data block with `<`, `>` and `&` escaped, and the
  script writes them as text, never as markup.
- The page's parts are ordinary files in `page/`, joined here; no framework, no build step.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from merkit.report.files import write_atomic
from merkit.report.payload import report_data
from merkit.report.preview import Preview
from merkit.schema import Timeline

__all__ = ["render_html", "write_html"]

# Joined in this order into one function scope: later files use what earlier ones declare.
_SCRIPTS = (
    "data.js",
    "clock.js",
    "stage.js",
    "series.js",
    "draw.js",
    "tracks.js",
    "lanes.js",
    "timeline.js",
    "panels.js",
    "main.js",
)
_MARK = re.compile(r"\{\{(\w+)\}\}")
_JSON_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def write_html(timeline: Timeline, path: str | Path, *, preview: Preview | None = None) -> Path:
    """Write the report atomically and return `path`; see `render_html`."""
    return write_atomic(path, _render(timeline, preview))


def render_html(timeline: Timeline, preview: Preview | None = None) -> str:
    """The report as one HTML document.

    Args:
        timeline: what `analyze` answered.
        preview: the clip in a form that browsers play. Without it the page offers to open the clip from disk.

    Example:
        >>> from merkit.schema import Timeline
        >>> empty = Timeline({"id": "a<b"}, {}, {}, ("joy", "fear"), (), (), (), (), (), (), (), "for research")
        >>> page = render_html(empty)
        >>> "a&lt;b" in page, "a<b" in page, "http" in page.split("</style>")[0].replace("http-equiv", "")
        (True, False, False)
    """
    return "".join(_render(timeline, preview))


def _render(timeline: Timeline, preview: Preview | None) -> Iterator[str]:
    style = _part("page.css")
    script = '"use strict";\n(() => {\n' + "\n".join(_part(name) for name in _SCRIPTS) + "\n})();\n"
    policy = (
        f"default-src 'none'; script-src {_hash_source(script)}; style-src {_hash_source(style)}; "
        "img-src data: blob:; media-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    name = str(timeline.clip.get("id", "clip"))
    notice = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in timeline.notice.split("\n\n"))
    blocks = {
        "policy": policy,
        "title": html.escape(f"{name} · emotion timeline"),
        "name": html.escape(name),
        "notice": notice,
        "style": style,
        "script": script,
        "data": _data_block(report_data(timeline, preview)),
        "media": base64.b64encode(preview.data).decode("ascii") if preview else "",
    }
    # One pass over the template alone: what is filled in is never searched for marks again.
    pieces = _MARK.split(_part("page.html"))
    for index, piece in enumerate(pieces):
        yield piece if index % 2 == 0 else blocks[piece]


def _part(name: str) -> str:
    return resources.files("merkit.report").joinpath("page", name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _hash_source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _data_block(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in (`</script>`, `<!--`), whatever text it carries."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).translate(_JSON_ESCAPES)
