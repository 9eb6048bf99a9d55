"""One browser and one rendering of each sample for all tests of this folder."""

from collections.abc import Iterator

import pytest

from .browser import Browser


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A running headless Chromium, else skip."""
    with Browser(chromium) as running:
        yield running
