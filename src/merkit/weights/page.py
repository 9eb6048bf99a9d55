"""The catalogue as Markdown: `python -m merkit.weights.page docs/weights.md` brings the page up to date."""

import sys
from pathlib import Path

from merkit.errors import ConfigError
from merkit.weights.catalogue import CATALOGUE
from merkit.weights.entry import WeightEntry

__all__ = ["catalogue_markdown", "with_catalogue"]

BEGIN = "<!-- catalogue: begin (python -m merkit.weights.page docs/weights.md) -->"
END = "<!-- catalogue: end -->"


def catalogue_markdown() -> str:
    """A table of all entries that are fetched, and a section for each; shipped heads have cards of their own.

    Example:
        >>> catalogue_markdown().splitlines()[2].split("|")[1].strip()
        '[mtcnn](#mtcnn)'
    """
    entries = [entry for entry in CATALOGUE.values() if entry.kind != "package"]
    lines = ["| name | role | source | size | licence of the weights | use |", "|---|---|---|---|---|---|"]
    lines += [
        f"| [{e.name}](#{e.name}) | {e.role} | {e.kind}: `{e.source.split('@')[0] if e.kind == 'hub' else e.source}` "
        f"| {_size(e.size_bytes)} | {e.licence_weights} | {_use(e)} |"
        for e in entries
    ]
    for entry in entries:
        lines += ["", f"### {entry.name}", "", *_section(entry)]
    return "\n".join(lines)


def with_catalogue(page: str) -> str:
    """`page` with what stands between its two markers replaced by the catalogue.

    Raises:
        ConfigError: the page lacks a marker.

    Example:
        >>> with_catalogue("no markers")
        Traceback (most recent call last):
        ...
        merkit.errors.ConfigError: the page lacks the marker <!-- catalogue: begin ... -->
    """
    for marker in (BEGIN, END):
        if marker not in page:
            raise ConfigError(f"the page lacks the marker {marker}")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{catalogue_markdown()}\n\n{END}{after}"


def _section(entry: WeightEntry) -> list[str]:
    """Facts of one entry as a list, then its files with their hashes."""
    lines = [
        f"- Source: `{entry.source}` ({entry.kind})" + (f", {_size(entry.archive_bytes)}" * bool(entry.archive_bytes)),
        f"- Licence: code {entry.licence_code}; weights {entry.licence_weights}. Use: {_use(entry)}",
        f"- Input: {entry.input}",
        f"- Output: {entry.output}",
        f"- Reference: {entry.reference}",
    ]
    if entry.caution:
        lines.append(f"- Caution: {entry.caution}")
    lines += [f"- `{f.member}`" + (f", sha256 `{f.sha256}`" if f.sha256 else "") for f in entry.files]
    return lines


def _use(entry: WeightEntry) -> str:
    """What the stated licence allows, in one word or two."""
    return "non-commercial" if entry.non_commercial else "any" if entry.permissive else "check the licence"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count else "unknown"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(with_catalogue(target.read_text(encoding="utf-8")), encoding="utf-8")
