"""Studies, searches and the command line around them, on a corpus small enough for seconds."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from small_corpus import ARRAYS, write_arrays
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.config import override
from merkit.errors import ConfigError
from merkit.systems.data import DataConfig
from merkit.systems.fusion import FusionConfig
from merkit.training import Run, run_study, run_tune
from merkit.training.grid import cells
from merkit.training.tune import parse_space


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> FusionConfig:
    root = write_arrays(tmp_path_factory.mktemp("corpus"))
    short = ("trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.watch=accuracy", "model.width=8")
    return override(FusionConfig(data=DataConfig(root=root, arrays=ARRAYS)), short)


def test_a_study_trains_the_grid_once_and_tables_the_mean_over_seeds(config: FusionConfig, tmp_path: Path) -> None:
    over = ["model.fusion=concat,tensor"]
    report = run_study("fusion", config, tmp_path, over=over, subsets=True, seeds=2, workers=1)
    assert set(report.values) == {f"{f}_{m}" for f in ("concat", "tensor") for m in ("text", "speech", "text+speech")}
    for slug, values in report.values.items():
        runs = Run(tmp_path / slug).seeds()
        assert values == tuple(run.record["valid"]["emotion.accuracy"] for run in runs) and len(runs) == 2
    assert np.mean(report.values[report.best]) == max(np.mean(v) for v in report.values.values())
    table = (tmp_path / "study.md").read_text()
    assert "split valid, n = 12 clips" in table and "seeds 0, 1" in table and "accuracy" in table
    with (tmp_path / "study.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    again = run_study("fusion", config, tmp_path, over=over, subsets=True, seeds=2, workers=1)
    assert again.values == report.values
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")} == stamps
    assert all(run.record["test_readings"] == [] for slug in report.values for run in Run(tmp_path / slug).seeds())


def test_a_study_in_processes_gives_the_same(config: FusionConfig, tmp_path: Path) -> None:
    one = run_study("fusion", config, tmp_path / "one", over=["model.width=4,8"], seeds=1, workers=1)
    two = run_study("fusion", config, tmp_path / "two", over=["model.width=4,8"], seeds=1, workers=2)
    assert one.values == two.values


def test_cells_of_a_file_are_trained_by_their_names(config: FusionConfig, tmp_path: Path) -> None:
    file = tmp_path / "cells.json"
    file.write_text('{"small one": {"changes": ["model.width=4", "optim.lr=0.1"]}, "plain": {}}')
    report = run_study(
        "fusion", config, tmp_path, named=file, changes=["optim.lr=0.002"], over=["model.fusion=concat,tensor"], seeds=1,
        workers=1,
    )  # fmt: skip
    assert list(report.values) == ["small-one_concat", "small-one_tensor", "plain_concat", "plain_tensor"]
    small, plain = (Run(tmp_path / name / "seed-0").config for name in ("small-one_tensor", "plain_tensor"))
    assert (small.model.width, plain.model.width, small.model.fusion) == (4, 8, "tensor")
    assert small.optim.lr == 0.002, "what is said on the command line holds for every cell"
    assert "| small one | concat |" in (tmp_path / "study.md").read_text()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": {"preset": "big"}}', "no preset 'big'"),
        ('{"a b": {}, "a/b": {}}', "share a folder"),
        ("{}", "no cells"),
        ('["a"]', "is wanted"),
        ('{"a": {"changes": ["model.widht=4"]}}', "widht"),
    ],
)
def test_a_wrong_file_of_cells_fails_before_anything_is_trained(config, tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "cells.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        run_study("fusion", config, tmp_path / "out", named=file, seeds=1, workers=1)
    assert not (tmp_path / "out").exists()


def test_a_wrong_axis_fails_before_anything_is_trained(config: FusionConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.fusion"):
        run_study("fusion", config, tmp_path, over=["model.fusoin=concat"], seeds=1, workers=1)
    with pytest.raises(ConfigError, match="key=a,b,c"):
        cells(["model.fusion="])
    last = override(config, ["trainer.watch=last"])
    with pytest.raises(ConfigError, match="--measure"):
        run_study("fusion", last, tmp_path, over=["model.width=4,8"], seeds=1, workers=1)
    with pytest.raises(ConfigError, match="`acuracy`: there is no such measure"):
        run_study("fusion", config, tmp_path, over=["model.width=4,8"], seeds=1, workers=1, measure="acuracy")
    with pytest.raises(ConfigError, match="do not keep loss"):
        run_study("fusion", config, tmp_path, over=["model.width=4,8"], seeds=1, workers=1, measure="loss")
    assert not list(tmp_path.rglob("model.safetensors"))


def test_a_cell_counts_from_its_own_seed_and_reads_what_was_asked(config: FusionConfig, tmp_path: Path) -> None:
    file = tmp_path / "cells.json"
    file.write_text('{"first": {}, "later": {"changes": ["trainer.seed=7"]}}')
    wide = run_study("fusion", config, tmp_path / "s", named=file, seeds=2, workers=1)
    assert [row.seeds for row in wide.table.rows] == [(0, 1), (7, 8)]
    assert wide.values["first"] != wide.values["later"]
    narrow = run_study("fusion", config, tmp_path / "s", named=file, seeds=1, workers=1)
    assert [row.seeds for row in narrow.table.rows] == [(0,), (7,)] and "1 seed each" in narrow.table.title
    assert {slug: values[:1] for slug, values in wide.values.items()} == narrow.values
    file.write_text('{"first": {"change": ["trainer.seed=7"]}}')
    with pytest.raises(ConfigError, match="what is change"):
        run_study("fusion", config, tmp_path / "s", named=file, seeds=1, workers=1)


def test_every_cell_has_a_folder_of_its_own(config: FusionConfig, tmp_path: Path) -> None:
    assert [cell.slug for cell in cells(["data.earlier=0,1,-1"])[1]] == ["0", "1", "-1"]
    report = run_study(
        "fusion", config, tmp_path, over=["model.fusion=concat", "objective.weights.emotion=-1"], seeds=1, workers=1
    )
    assert list(report.values) == ["concat_-1"]
    # a study of the time when the sign got lost is gone on with, and not taken for the cell that has its name now
    (tmp_path / "concat_-1").rename(tmp_path / "concat_1")
    over = ["model.fusion=concat", "objective.weights.emotion=-1,2"]
    again = run_study("fusion", config, tmp_path, over=over, seeds=1, workers=1)
    assert list(again.values) == ["concat_1", "concat_2"] and again.values["concat_1"] == report.values["concat_-1"]
    for over, slug in ((["objective.loss_params={};[]"], "all"), (["a=x,x_y", "b=y_z,z"], "x_y_z")):
        with pytest.raises(ConfigError, match=f"would share a folder, {slug}: .+ and .+"):
            run_study("fusion", config, tmp_path / "none", over=over, seeds=1, workers=1)


def test_a_search_goes_on_with_new_settings_and_the_same_question_only(config: FusionConfig, tmp_path: Path) -> None:
    quick, rate = override(config, ["trainer.max_epochs=1"]), ["optim.lr=log:1e-4..1e-1"]
    for _ in range(2):
        run_tune("fusion", quick, tmp_path / "on", space=rate, trials=2)
    tried = [
        json.loads(file.read_text())["config"]["optim"]["lr"] for file in tmp_path.glob("on/trial-*/*/config.json")
    ]
    assert len(tried) == len(set(tried)) == 4
    for change, space, reason in (
        ("trainer.watch=loss", rate, "measure: accuracy there, loss now"),
        ("model.width=4", rate, "model.width: 8 there, 4 now"),
        ("trainer.workers=0", ["optim.lr=log:1e-4..1"], "optim.lr: .+ there, .+ now"),
    ):
        with pytest.raises(ConfigError, match=f"{reason}.*another folder"):
            run_tune("fusion", override(quick, [change]), tmp_path / "on", space=space, trials=1)
    # heads that do not divide the width: failed, and the search goes on
    crossed, heads = override(quick, ["model.fusion=cross_modal"]), ["model.fusion_params.heads=4,3"]
    said: list[str] = []
    found = run_tune(
        "fusion",
        crossed,
        tmp_path / "heads",
        space=heads,
        trials=6,
        progress=lambda done, total, last: said.append(last),
    )
    assert found.params == {"model.fusion_params.heads": "4"} and found.trials == len(said) == 6
    assert any(last.startswith("failed: ") for last in said)
    with pytest.raises(ConfigError, match=r"no setting could be trained; the last: .*heads"):
        run_tune("fusion", crossed, tmp_path / "no", space=["model.fusion_params.heads=3,5"], trials=1)


def test_tune_finds_the_rate_that_learns_and_goes_on_where_it_stopped(config: FusionConfig, tmp_path: Path) -> None:
    space = ["optim.lr=1e-9,0.02"]
    longer = override(config, ["trainer.max_epochs=8", "trainer.batch_size=8"])
    found = run_tune("fusion", longer, tmp_path, space=space, trials=4)
    assert found.params == {"optim.lr": "0.02"} and found.trials == 4
    assert run_tune("fusion", longer, tmp_path, space=space, trials=1).trials == 5
    assert json.loads(found.config.read_text())["config"]["optim"]["lr"] == 0.02
    with pytest.raises(ConfigError, match="did you mean"):
        run_tune("fusion", config, tmp_path, space=["optim.rl=0..1"], trials=1)


def test_spaces_are_read_as_written() -> None:
    space = parse_space(["a=1..4", "b=0.5..1", "c=log:1e-4..1", "d=x,y"])
    assert [type(kind).__name__ for kind in space.values()] == [
        "IntDistribution", "FloatDistribution", "FloatDistribution", "CategoricalDistribution",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"a=low\.\.high"):
        parse_space(["a=low..high"])


def test_the_command_line_from_training_to_comparison(config: FusionConfig, tmp_path: Path) -> None:
    start = tmp_path / "start.json"
    start.write_text(json.dumps(config.to_dict()))

    def said(*argv: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, list(argv))
        assert done.exit_code == code, done.output + repr(done.exception)
        return done.output

    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert "2 seeds finished" in said("train", "fusion", "--config", str(start), "--seeds", "2", "--out", a)
    record = json.loads(said("train", "fusion", "model.fusion=tensor", "--config", str(start), "--out", b, "--json"))
    assert record[0]["status"] == "finished"
    figures = json.loads(said("evaluate", a, "--split", "test", "--draws", "100", "--json"))
    assert figures[0]["test_readings"] == 1 and figures[0]["seeds"] == 2 and figures[1]["name"] == "ensemble of 2 seeds"
    text = said("evaluate", a, b, "--split", "valid", "--draws", "100")
    assert "ensemble of 3 networks" in text and "share of clips" in text
    rows = json.loads(said("compare", a, b, "--draws", "100", "--json"))
    assert {"emotion.accuracy", "emotion.macro_f1"} <= {row["measure"] for row in rows}
    assert "trainer.max_epochs" in said("train", "fusion", "--keys")
    # figures of another folder lie beside those of the run's own data, which comparisons are made of
    own = {
        file: file.read_bytes() for name in (a, b) for file in Path(name).rglob("*valid.*") if "best" not in file.name
    }
    assert {file.name for file in own} == {"valid.npz", "evaluation-valid.json"}
    other = write_arrays(tmp_path / "an other", seed=5)
    text = said("evaluate", a, b, "--split", "valid", "--draws", "100", "--root", str(other))
    assert {file: file.read_bytes() for file in own} == own
    (file,) = Path(a).glob("evaluation-valid@an-other-*.json")
    assert file.name in text.replace("\n", "")
    assert {item["root"] for item in json.loads(file.read_text())} == {str(other)}
    assert {item["root"] for item in json.loads((Path(a) / "evaluation-valid.json").read_text())} == {
        str(config.data.root)
    }
    assert rows == json.loads(said("compare", a, b, "--draws", "100", "--json"))
    there = json.loads(said("compare", a, b, "--draws", "100", "--json", "--root", str(other)))
    assert there != rows and {row["measure"]: row["first"] for row in there} == pytest.approx(
        {name: held[0] for name, held in json.loads(file.read_text())[1]["measures"].items()}, abs=1e-6
    )
    said("evaluate", b, "--split", "valid", "--draws", "100", "--root", str(config.data.root))
    assert not list(Path(b).glob("evaluation-*@corpus*")), "the run's own folder, said again"
