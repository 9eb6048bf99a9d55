"""The notebook that newcomers begin with, run from top to bottom as they would run it."""

import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "quickstart.ipynb"
NEEDED = ("mtcnn", "whisper-tiny-en", "minilm-l6", "carphone")


@pytest.fixture(scope="module")
def notebook():
    nbformat = pytest.importorskip("nbformat", reason="merkit[notebook] is not installed")
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_committed_without_outputs(notebook) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 8
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    told = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "not what a person feels" in told and "AI Act, Art. 5(1)(f)" in told
    assert "no figure below means" in told.replace("\n", " ")


@pytest.mark.timeout(600)
def test_it_runs_from_top_to_bottom(notebook, weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel", reason="merkit[notebook] is not installed")
    client = pytest.importorskip("nbclient", reason="merkit[notebook] is not installed")
    weights(*NEEDED)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    run = client.NotebookClient(
        notebook, timeout=400, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    kernel = run.create_kernel_manager()
    kernel.kernel_spec.argv[0] = sys.executable  # this environment's, whatever kernels the machine knows
    run.execute()

    outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    text = {name: "".join(out.get("text", "") for out in found) for name, found in outputs.items()}
    pages = {
        name: "".join(out.get("data", {}).get("text/html", "") for out in found) for name, found in outputs.items()
    }
    for modality in ("face", "speech", "text"):
        assert f"{modality} yes" in text["analyze"]
    assert pages["table"].count("<tr>") > 3 and "face" in pages["table"]
    assert "<iframe srcdoc=" in pages["report"] and "emotion timeline" in pages["report"]
    work = tmp_path / "merkit-quickstart"
    assert (work / "report" / "report.html").stat().st_size > 100_000  # the clip is inside
    assert "train: 6 clips" in text["prepare"] and "valid: 4 clips" in text["prepare"]
    assert "calm" in pages["stats"] and "lively" in pages["stats"]
    for run_name in ("face", "both"):
        assert (work / "runs" / run_name / "model.safetensors").is_file()
    assert "accuracy" in pages["evaluate"] and "accuracy" in pages["compare"]
    assert any("image/png" in out.get("data", {}) for out in outputs["calibration"])
    assert "calm" in text["predict"] and "lively" in text["predict"]
