"""Fixtures that all rooms share: catalogue weights, real development data, and a browser, each skipping with a reason.

`make test` leaves out what costs most and says little that others do not (marker `thorough`); `make test-all` runs it.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

# One OpenMP thread per test worker: two workers already fill the two cores that the suite is sized for.
os.environ.setdefault("OMP_NUM_THREADS", "1")

THOROUGH = os.environ.get("MERKIT_TEST_THOROUGH") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`thorough` tests are left out unless they are asked for."""
    for item in items:
        if item.get_closest_marker("thorough") is not None and not THOROUGH:
            item.add_marker(pytest.mark.skip(reason="thorough: make test-all"))


@pytest.fixture(scope="session")
def weights() -> Callable[..., list[Path]]:
    """`weights("mtcnn", …)` makes sure that catalogue entries are in the cache, or skips with the reason."""
    from merkit.errors import WeightError
    from merkit.weights import fetch, locate

    def have(*names: str) -> list[Path]:
        found = []
        for name in names:
            try:
                found.append(locate(name))
            except WeightError:
                try:
                    found.append(fetch(name))
                except WeightError as error:
                    pytest.skip(f"weights {name} cannot be had here: {error}")
        return found

    return have


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real development data (`MERKIT_DATA`, or `../shared/data` beside the checkout), else skip."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("MERKIT_DATA", beside))
    if not root.is_dir():
        pytest.skip("no development data: neither MERKIT_DATA nor ../shared/data is there")
    return root


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium or Chrome binary, else skip."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium binary on PATH")
