"""The page as a file: complete, closed to the outside, and faithful to the data whatever words they hold."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from merkit.report import NOTICE, Preview, render_html, write_html

from .sample import sample_timeline


class Elements(HTMLParser):
    """Start tags with their attributes, and the text of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag in ("script", "style")
        if self.inside:
            self.raw.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.raw[-1] += data


def test_policy_lets_only_the_pages_own_blocks_run() -> None:
    elements = Elements(render_html(sample_timeline(6.0)))
    policy = next(a["content"] for tag, a in elements.tags if tag == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy
    style, *_, script = elements.raw
    for text, directive in ((style, "style-src"), (script, "script-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_nothing_in_the_page_points_outside() -> None:
    elements = Elements(render_html(sample_timeline(6.0)))
    for tag, attributes in elements.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        for name in ("src", "href", "action", "poster"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
    assert not re.search(r"url\(|@import|https?:", elements.raw[0])
    assert not re.search(r"https?:|fetch\(|XMLHttpRequest|WebSocket|innerHTML|eval\(|document\.write", elements.raw[-1])


@pytest.mark.parametrize(
    "text", ["</script><b>", "<!--<script>", "a & b < c > d", "{{policy}} {{data}}", "\u2028\udc80é"]
)
def test_any_text_comes_back_as_it_was(text: str, tmp_path: Path) -> None:
    clip = sample_timeline(6.0)
    clip = replace(clip, clip={**clip.clip, "id": text}, segments=tuple(replace(s, text=text) for s in clip.segments))
    page = write_html(clip, tmp_path / "r.html").read_text(encoding="utf-8")
    block = page.split('id="timeline-data">')[1].split("</script>")[0]
    assert not re.search(r"[<>&]", block)
    assert json.loads(block)["segments"][0]["text"] == text
    assert page.count("<script") == 3


def test_the_notice_stands_in_the_page_without_a_script() -> None:
    page = render_html(sample_timeline(6.0))
    for point in ("Art. 5(1)(f)", "Art. 50(3)", "does not say what a person feels", "Not a medical device"):
        assert point in NOTICE
    before_scripts = page.split("<script")[0]
    for paragraph in NOTICE.split("\n\n"):
        assert f"<p>{paragraph}</p>" in before_scripts


def test_the_clip_is_inside_byte_for_byte() -> None:
    preview = Preview(bytes(range(256)) * 3, "video/mp4")
    page = render_html(sample_timeline(6.0), preview)
    inside = page.split('id="clip-media">')[1].split("</script>")[0]
    assert base64.b64decode(inside) == preview.data


def test_same_timeline_same_page() -> None:
    assert render_html(sample_timeline(6.0)) == render_html(sample_timeline(6.0))


def test_an_hour_with_three_persons_stays_small() -> None:
    assert len(render_html(sample_timeline(3600.0, hop=1.0, persons=3))) < 3_000_000
