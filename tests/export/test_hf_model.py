"""A run as a Hugging Face model: the same answers in another process, by either order of imports, and as a run again."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from small_corpus import ARRAYS, write_arrays
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from merkit.config import config_from
from merkit.corpora.arrays import read_arrays
from merkit.data.batch import Batch, collate
from merkit.errors import ConfigError, MerkitError, StoreError
from merkit.export import Exported, MerkitModel, MerkitProcessor, export_run
from merkit.export.auto import introduce
from merkit.export.config import MerkitConfig
from merkit.export.parity import Answer, ParityError
from merkit.report.notice import NOTICE
from merkit.systems.fusion import FusionConfig
from merkit.training.predict import predict_run
from merkit.training.run import Run
from merkit.training.train import train_seeds


def _config(root: Path) -> FusionConfig:
    values = {
        "data": {"root": str(root), "arrays": ARRAYS.to_dict()},
        "model": {"width": 8},
        "trainer": {"max_epochs": 2, "accelerator": "cpu"},
    }
    return config_from(FusionConfig, values)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds, and the first of them alone as `seed-0`."""
    folder = tmp_path_factory.mktemp("runs")
    train_seeds("fusion", _config(write_arrays(folder / "corpus")), folder / "two", 2)
    return folder / "two"


@pytest.fixture(scope="module")
def exported(runs: Path) -> Exported:
    """Checked by another process, as users have it."""
    return export_run(runs / "seed-0", runs.parent / "hf", licence="mit")


def _here(folder: Path, config: MerkitConfig, batches: Sequence[Batch]) -> list[Answer]:
    """`reloaded` without the other process, which takes seconds."""
    from merkit.export.tensors import tensors_of

    model, found = MerkitModel.from_pretrained(folder), []
    for batch in batches:
        with torch.inference_mode():
            out = model(**tensors_of(config, batch))
        found.append({f"{name}.{kind}": x for kind in ("logits", "probs") for name, x in out[kind].items()})
    return found


def test_another_process_gives_the_very_same_numbers(exported: Exported) -> None:
    assert exported.parity.difference == 0.0
    assert (
        not exported.parity.made
    )  # on the run's own valid clips: 1, 2, 5 and the other 4 of 12, padded, and each stream gone
    assert (exported.parity.batches, exported.parity.clips) == (7, 24)
    assert {"README.md", "config.json", "model.safetensors", "processor_config.json"} <= set(exported.files)


def test_transformers_that_was_imported_first_is_told_too(exported: Exported) -> None:
    import transformers

    # the other order, and that nobody has to import merkit.export, is what the other process of `exported` has tried
    config = type(transformers.AutoConfig.from_pretrained(str(exported.folder)))
    for registered in (transformers.models.auto.modeling_auto.MODEL_MAPPING, PROCESSOR_MAPPING):
        registered._extra_content.pop(config)
    with pytest.raises(ValueError, match="Unrecognized configuration class"):
        transformers.AutoModel.from_pretrained(str(exported.folder))
    introduce()
    assert type(transformers.AutoModel.from_pretrained(str(exported.folder))) is MerkitModel
    assert type(transformers.AutoProcessor.from_pretrained(str(exported.folder))) is MerkitProcessor


def test_a_module_is_told_of_merkit_when_it_is_imported_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    (tmp_path / "lazy_library.py").write_text("names = []\n")
    (tmp_path / "broken_library.py").write_text("whole = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    known = {"lazy_library": lambda: told.append("lazy"), "broken_library": lambda: 1 / 0}
    monkeypatch.setattr("merkit.export.auto._INTRODUCTIONS", known)
    assert told == []
    import lazy_library  # ty: ignore[unresolved-import]

    assert (told, lazy_library.names) == (["lazy"], [])
    with pytest.warns(RuntimeWarning, match="not known to transformers"):
        import broken_library  # ty: ignore[unresolved-import]
    assert broken_library.whole


def test_probabilities_are_those_of_predict_with_its_temperature(runs: Path, exported: Exported) -> None:
    other = write_arrays(runs.parent / "other", 20, seed=5)
    expected = predict_run(runs / "seed-0", other)
    # the exported folder is a run too
    again = predict_run(exported.folder, other)
    np.testing.assert_array_equal(again.output["emotion"], expected.output["emotion"])
    table = read_arrays(other, ARRAYS)
    model, processor = MerkitModel.from_pretrained(exported.folder), MerkitProcessor.from_pretrained(exported.folder)
    clips = [
        {name: column.x[column.clip == row] for name, column in table.streams.items() if row in column.clip}
        for row in range(20)
    ]
    with torch.inference_mode():
        probs = model(**processor(clips)).probs["emotion"]
    assert Run(runs / "seed-0").record["temperature"]["emotion"] != 1.0
    by_id = {clip: row for row, clip in enumerate(map(str, expected.ids))}
    order = [by_id[str(clip)] for clip in table.ids]
    np.testing.assert_allclose(probs.numpy(), expected.output["emotion"][order], atol=1e-6)


def test_the_processor_makes_the_tensors_of_training(runs: Path, exported: Exported) -> None:
    run = Run(runs / "seed-0")
    table = run.system.load(run.config, split="valid")
    made = collate(table, np.arange(len(table)), modalities=("text", "speech"), with_targets=False)
    clips = [
        {name: column.x[column.clip == row] for name, column in table.streams.items()} for row in range(len(table))
    ]
    found = MerkitProcessor.from_pretrained(exported.folder)(clips)
    for name, tokens in made.tokens.items():
        assert torch.equal(found[name], tokens.x[:, 0])
        assert torch.equal(found[f"{name}_mask"], tokens.mask[:, 0])
    assert not found["speech_mask"].all()


def test_what_is_left_out_is_absent_and_what_is_not_known_is_refused(exported: Exported) -> None:
    model = MerkitModel.from_pretrained(exported.folder)
    text = torch.randn(3, 4, 7)
    with torch.inference_mode():
        alone = model(text=text).logits["emotion"]
        masked = model(text=text, speech=torch.randn(3, 2, 5), speech_mask=torch.zeros(3, 2) > 0).logits["emotion"]
    assert torch.equal(alone, masked)
    for wrong, says in (
        ({"texts": text}, "texts: no input of this model; it takes text, text_mask, speech, speech_mask"),
        ({"text": text[..., :3]}, "text is (3, 4, 3); wanted is (B, T, 7)"),
        ({}, "give at least one of text, speech"),
    ):
        with pytest.raises(ConfigError, match=says.replace("(", r"\(").replace(")", r"\)")):
            model(**wrong)


def test_several_seeds_answer_as_their_mean_and_travel_on(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merkit.export.folder.reloaded", _here)
    made = export_run(runs, tmp_path / "both")
    assert made.parity.difference == 0.0
    other = write_arrays(tmp_path / "other", 10, seed=7)
    np.testing.assert_array_equal(
        predict_run(made.folder, other).output["emotion"], predict_run(runs, other).output["emotion"]
    )
    model = MerkitModel.from_pretrained(made.folder)
    text = torch.randn(6, 1, 7)
    singles = [Run(runs / f"seed-{seed}") for seed in (0, 1)]
    with torch.inference_mode():
        each = [(_logits(run, text) / run.record["temperature"]["emotion"]).softmax(-1) for run in singles]
        out = model(text=text)
    torch.testing.assert_close(out.probs["emotion"], torch.stack(each).mean(0))
    torch.testing.assert_close(out.logits["emotion"].softmax(-1), out.probs["emotion"])
    assert not torch.allclose(*each)
    # what transformers would do to publish it: everything is written again
    model.save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / "README.md").read_text() == (made.folder / "README.md").read_text()
    with torch.inference_mode():
        again = MerkitModel.from_pretrained(tmp_path / "copy")(text=text)
    assert torch.equal(again.probs["emotion"], out.probs["emotion"])


def _logits(run: Run, text: torch.Tensor) -> torch.Tensor:
    from merkit.data.batch import Tokens

    absent = Tokens(torch.zeros(len(text), 1, 1, 5), torch.zeros(len(text), 1, 1) > 0)
    tokens = {"text": Tokens(text[:, None], torch.ones(len(text), 1, 1) > 0), "speech": absent}
    return run.model()(Batch(("",) * len(text), len(text), tokens))["emotion"]


def test_the_card_says_data_licence_measures_and_what_it_is_not_for(runs: Path, exported: Exported) -> None:
    card = (exported.folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: merkit\nlicense: mit\n")
    record = Run(runs / "seed-0").record
    for wanted in (
        NOTICE,
        "one of joy, anger, neutral",
        "12 test, 36 train, 12 valid",
        "The test split was never read.",
        f"({record['temperature']['emotion']:.2f})",
        f"| emotion.accuracy | {record['valid']['emotion.accuracy']:.3f} [".replace(" 0.", " ."),
        "12 clips, with 95 % bootstrap intervals",
    ):
        assert wanted in card, wanted


def test_no_place_of_this_machine_travels(runs: Path, exported: Exported) -> None:
    for file in exported.folder.rglob("*"):
        if file.suffix in (".json", ".md"):
            assert str(runs.parent) not in file.read_text(encoding="utf-8"), file


def test_nothing_is_replaced_unasked_and_nothing_half_made_appears(
    runs: Path, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="is there already; --force"):
        export_run(runs / "seed-0", exported.folder)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    with pytest.raises(ConfigError, match="is no export, so it is not replaced"):
        export_run(runs / "seed-0", mine, force=True)
    before = (exported.folder / "model.safetensors").read_bytes()

    def wrong(folder: Path, config: MerkitConfig, batches: Sequence[Batch]) -> list[Answer]:
        return [{key: value + 1e-3 for key, value in one.items()} for one in _here(folder, config, batches)]

    monkeypatch.setattr("merkit.export.folder.reloaded", wrong)
    for out in (tmp_path / "new", exported.folder):
        with pytest.raises(ParityError, match=r"as hf: differs from the run by 1\.0e-03 \(emotion\.(logits|probs)"):
            export_run(runs / "seed-0", out, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]
    assert (exported.folder / "model.safetensors").read_bytes() == before
    assert not list(exported.folder.parent.glob(".hf*"))


def test_damaged_and_foreign_exports_are_refused(exported: Exported, tmp_path: Path) -> None:
    import shutil

    broken = shutil.copytree(exported.folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(StoreError, match="not the weights of this model"):
        MerkitModel.from_pretrained(broken)
    foreign = shutil.copytree(exported.folder, tmp_path / "foreign")
    content = json.loads((foreign / "config.json").read_text())
    ran = tmp_path / "ran"
    (foreign / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    content["config"]["model"]["fusion"] = f"{foreign / 'evil.py'}:Evil"
    (foreign / "config.json").write_text(json.dumps(content))
    with pytest.raises(MerkitError, match="code that comes with a model is not run"):
        MerkitModel.from_pretrained(foreign)
    assert not ran.exists()
