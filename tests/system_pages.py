"""What the pages of the systems quote, and the tests that there are to quote."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def page_of(system: str) -> tuple[str, list[str]]:
    """A system's page, and all that stands between backticks in it."""
    page = (ROOT / "docs" / "systems" / f"{system}.md").read_text(encoding="utf-8")
    return page, re.findall(r"`([^`\n]+)`", page)


def written_tests() -> set[str]:
    """Names of all tests."""
    return {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)
    }
