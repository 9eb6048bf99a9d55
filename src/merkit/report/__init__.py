"""From a `Timeline` to files that people and programs read: JSON, tidy CSV, one self-contained HTML page."""

from merkit.report.html import render_html, write_html
from merkit.report.notice import NOTICE
from merkit.report.preview import Preview
from merkit.report.tables import write_csv, write_json

__all__ = ["NOTICE", "Preview", "render_html", "write_csv", "write_html", "write_json"]
