"""Photograph a report for the documentation: a wide light screen with a phone in the dark scheme beside it.

cd tests && python -m report.picture REPORT.html PICTURE.png 6.2     the report at second 6.2
cd tests && python -m report.picture sample PICTURE.png 6.2          the invented sample
"""

import sys
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageDraw

from merkit.report import write_html

from .browser import Browser
from .sample import sample_timeline

WIDE = (1240, 1090)
PHONE = (390, 844)


def photograph(report: Path, out: Path, t: float, binary: str = "/usr/bin/chromium") -> None:
    """Write one PNG of 256 colours that shows `report` with the playhead at `t` seconds."""
    with tempfile.TemporaryDirectory() as folder, Browser(binary) as browser:
        shots = []
        for name, (width, height), dark in (("wide", WIDE, False), ("phone", PHONE, True)):
            with browser.open(report, width=width, height=height, dark=dark, hash=f"t={t}") as page:
                has_media = page.value("!!document.querySelector('video, audio')")
                if has_media:
                    page.wait("(m => m.readyState >= 2 && !m.seeking)(document.querySelector('video, audio'))")
                    page.value("document.querySelectorAll('video').forEach(v => v.controls = false)")
                time.sleep(0.5)  # the bars' short transition
                shots.append(Image.open(page.screenshot(Path(folder) / f"{name}.png", full=False)).convert("RGB"))
        wide, phone = shots
    canvas = Image.new("RGB", (WIDE[0] + PHONE[0] + 72, WIDE[1]), "#e9e6e0")
    canvas.paste(wide, (0, 0))
    corner = Image.new("L", phone.size, 0)
    ImageDraw.Draw(corner).rounded_rectangle((0, 0, phone.width - 1, phone.height - 1), 34, fill=255)
    left, top = WIDE[0] + 36, (WIDE[1] - phone.height) // 2
    frame = (left - 9, top - 9, left + phone.width + 8, top + phone.height + 8)
    ImageDraw.Draw(canvas).rounded_rectangle(frame, 43, fill="#0b0c0d")
    canvas.paste(phone, (left, top), corner)
    canvas.quantize(256, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    source, target, second = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    with tempfile.TemporaryDirectory() as scratch:
        made = write_html(sample_timeline(), Path(scratch) / "r.html") if source == "sample" else Path(source)
        photograph(made, target, second)
