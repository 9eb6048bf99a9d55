"""One page with all tables and pictures of a corpus, for the appendix of a paper: no script, nothing fetched."""

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from merkit.report.notice import NOTICE_SHORT

if TYPE_CHECKING:
    from merkit.report.corpus.section import Section
    from merkit.report.corpus.statistics import CorpusStatistics

__all__ = ["page"]

_MOST_ROWS = 60
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1b1b1b;background:#fff;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.4rem 0 .5rem;border-bottom:1px solid #ddd;padding-bottom:.2rem}
nav{columns:3 12rem;font-size:.9rem;margin:1rem 0}nav a{display:block;color:#0059a0;text-decoration:none}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;font-size:.92rem}dt{color:#555}dd{margin:0}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums;margin:.6rem 0}
th,td{padding:.18rem .6rem;text-align:right;border-bottom:1px solid #e4e4e4;white-space:nowrap}
th{border-bottom:1px solid #777;font-weight:600}.text{text-align:left;white-space:normal}
.note{color:#444;font-size:.88rem;margin:.25rem 0}figure{margin:1rem 0}img{max-width:100%;height:auto}
footer{margin:3rem 0 1rem;color:#555;font-size:.85rem}
@media print{body{max-width:none;margin:0;font-size:10pt}h2{break-after:avoid}figure,tr{break-inside:avoid}nav{display:none}}
"""


def page(statistics: "CorpusStatistics", pictures: Mapping[str, Sequence[Path]]) -> str:
    """The page.

    Args:
        statistics: what was counted.
        pictures: name of a section -> its SVG files, which become part of the page.
    """
    told = html.escape
    facts = "".join(f"<dt>{told(key)}</dt><dd>{told(str(value))}</dd>" for key, value in statistics.facts.items())
    clips = ", ".join(f"{split} {count:,}" for split, count in statistics.splits.items())
    counted = ", ".join(statistics.labels_of) or "no split"
    facts += f"<dt>clips</dt><dd>{told(clips)}; {statistics.rejected:,} left out</dd>"
    facts += f"<dt>labels counted</dt><dd>{told(counted)}</dd>"
    links = "".join(f'<a href="#{told(s.name)}">{told(s.title)}</a>' for s in statistics.sections)
    body = "".join(_section(section, pictures.get(section.name, ())) for section in statistics.sections)
    title = f"{statistics.facts.get('title', statistics.name)}: statistics of the corpus"
    policy = (
        "default-src 'none'; img-src data:; style-src "
        f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode('ascii')}'"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{told(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{told(title)}</h1><dl>{facts}</dl><nav>{links}</nav>\n{body}"
        f"<footer>{told(NOTICE_SHORT)} Made with merkit corpora --stats; every number is in tables/ and statistics.json."
        "</footer></body></html>\n"
    )


def _section(section: "Section", pictures: Sequence[Path]) -> str:
    told = html.escape
    columns, rows = section.seen()
    # a column of words is read from the left, one of numbers from the right
    text = [not any(_number(row[i]) for row in rows) for i in range(len(columns))]
    head = "".join(f"<th{' class=text' if text[i] else ''}>{told(name)}</th>" for i, name in enumerate(columns))
    lines = "".join(
        "<tr>"
        + "".join(f"<td{' class=text' if text[i] else ''}>{told(value)}</td>" for i, value in enumerate(row))
        + "</tr>"
        for row in rows[:_MOST_ROWS]
    )
    notes = list(section.notes)
    if len(rows) > _MOST_ROWS:
        notes.append(f"The first {_MOST_ROWS} of {len(rows):,} rows; tables/{section.name}.csv has all.")
    table = (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>' if rows else ""
    )
    figures = "".join(
        f'<figure><img alt="{told(file.stem)}" src="data:image/svg+xml;base64,'
        f'{base64.b64encode(file.read_bytes()).decode("ascii")}"></figure>'
        for file in pictures
    )
    said = "".join(f'<p class="note">{told(note)}</p>' for note in notes)
    return f'<section id="{told(section.name)}"><h2>{told(section.title)}</h2>{table}{said}{figures}</section>\n'


def _number(text: str) -> bool:
    return text[:1].isdigit() or text[:2].lstrip("-")[:1].isdigit()
