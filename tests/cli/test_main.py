"""The commands around `analyze`: help with examples, versions, the catalogue, the doctor."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from merkit import __version__
from merkit.cli.main import app

runner = CliRunner()


@pytest.mark.parametrize("command", [["analyze"], ["demo"], ["doctor"], ["weights"], ["weights", "fetch"]])
def test_every_command_has_help_with_examples(command: list[str]) -> None:
    done = runner.invoke(app, [*command, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.stdout
    assert f"merkit {' '.join(command)}" in done.stdout


def test_version() -> None:
    assert runner.invoke(app, ["--version"]).stdout.strip() == f"merkit {__version__}"


def test_weights_lists_licence_and_use() -> None:
    rows = {row["name"]: row for row in json.loads(runner.invoke(app, ["weights", "--json"]).stdout)}
    assert rows["mtcnn"]["source"] == "facenet-pytorch==2.6.0"
    assert rows["speech"]["non_commercial"] is True
    assert rows["text"]["permissive"] is True
    assert all(row["licence"] for row in rows.values())


def test_doctor_says_what_is_missing(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MERKIT_HOME", str(tmp_path))
    done = runner.invoke(app, ["doctor", "--json"])
    report = json.loads(done.stdout)
    assert done.exit_code == 1
    assert report["ready"] is False
    assert "merkit weights fetch" in report["weights"]["mtcnn"]


def test_an_error_is_one_line_and_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "merkit.cli.main", "analyze", "x.mp4", "--modalities", "smell"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("merkit: ")
    assert "Traceback" not in done.stderr
