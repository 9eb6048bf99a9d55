"""A small catalogue entry of our own, wheels that carry it, and a cache of its own for every test."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from merkit.weights import CATALOGUE, WeightEntry, WeightFile

CONTENT = b"weights" * 3000
MEMBER = "tiny_weights/data/net.bin"


def entry_for(content: bytes = CONTENT, name: str = "tiny", **changes) -> WeightEntry:
    """An entry whose only file is `content`."""
    facts = {
        "name": name,
        "role": "test",
        "kind": "pypi",
        "source": "tiny-weights==1.0",
        "files": (WeightFile(MEMBER, hashlib.sha256(content).hexdigest(), len(content)),),
        "licence_code": "MIT",
        "licence_weights": "MIT",
        "permissive": True,
        "non_commercial": False,
        "caution": "",
        "input": "",
        "output": "",
        "reference": "",
    }
    return WeightEntry(**(facts | changes))


def write_wheel(folder: Path, content: bytes = CONTENT, version: str = "1.0") -> Path:
    """A wheel that pip accepts, with `content` as its weight file and a second file that nobody asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tiny_weights-{version}-py3-none-any.whl"
    info = f"tiny_weights-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("tiny_weights/__init__.py", "raise SystemExit('package code must never run')")
        wheel.writestr(MEMBER, content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-weights\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache."""
    home = tmp_path / "home"
    monkeypatch.setenv("MERKIT_HOME", str(home))
    return home


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """The only place that pip may look for wheels; no network."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def tiny(monkeypatch) -> WeightEntry:
    """The entry `tiny`, in the catalogue for the length of a test."""
    entry = entry_for()
    monkeypatch.setitem(CATALOGUE, "tiny", entry)
    return entry
