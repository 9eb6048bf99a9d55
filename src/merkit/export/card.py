"""The model card of an export: what it answers, what it learned from, what it is worth, and what it is not for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from merkit import __version__
from merkit.data.table import ClipTable
from merkit.errors import MerkitError
from merkit.export.config import MerkitConfig
from merkit.export.parity import Parity
from merkit.export.tensors import input_names
from merkit.report.notice import NOTICE
from merkit.training.evaluate import predictions_of
from merkit.training.predictions import Predictions
from merkit.training.run import Run

__all__ = ["card_of"]

_DRAWS = 500
_KINDS = {
    "single_label": "one of",
    "soft_label": "shares of raters over",
    "multi_label": "each yes or no:",
    "regression": "values:",
}


def card_of(
    runs: Sequence[Run],
    config: MerkitConfig,
    form: str,
    parity: Parity,
    *,
    licence: str = "",
    valid: ClipTable | None = None,
) -> str:
    """Markdown with the header that the Hugging Face hub reads.

    Args:
        runs: of one seed each.
        config: of the export.
        form: of `merkit.export.folder.FORMS`.
        parity: what the check found.
        licence: of the weights; empty = to be settled by who publishes them.
        valid: the run's valid clips, for intervals where the run has not been evaluated on them; None = they are not at hand.
    """
    record = runs[0].record
    data = record["data"]
    header = [
        "---",
        "library_name: merkit",
        f"license: {licence or 'other'}",
        "tags:",
        "- merkit",
        "- emotion-recognition",
    ]
    header += [f"- {name}" for name in config.modalities] + ["---", ""]
    seeds = f", {len(runs)} seeds answering as their mean" if len(runs) > 1 else ""
    parts = [
        *header,
        f"# {config.system} on {data['name']}",
        "",
        f"A model of the system `{config.system}` of merkit {__version__}{seeds}. It estimates which label people who watch, "
        "hear or read a clip would give to an expression.",
        "",
        "## Answers",
        "",
        *[
            f"- `{spec.name}`{' of each person' if spec.per_entity else ''}: {_KINDS.get(spec.kind, spec.kind)} "
            f"{', '.join(spec.labels)}"
            for spec in config.specs
        ],
        "",
        *_inputs(config),
        *_use(config, form),
        *_data(data, licence, merged=runs[0].config.data.split.merge_valid),
        *_worth(runs, valid),
        "## Calibration",
        "",
        *_calibration(config),
        "",
        "## Check",
        "",
        f"Compared with the run that it was made from: {parity}.",
        "",
        "## Intended use",
        "",
        NOTICE,
    ]
    return "\n".join(parts) + "\n"


def _inputs(config: MerkitConfig) -> list[str]:
    rows = ["## Inputs", "", "| stream | width | numbers | of | made by |", "|---|---|---|---|---|"]
    for name in config.modalities:
        about = config.streams[name]
        of = "each person" if about["per_entity"] else "the clip"
        rows.append(f"| {name} | {config.widths[name]} | {about['dtype']} | {of} | {about['source'] or 'unknown'} |")
    rows += ["", "Every subset of the streams is answered; one that is left out counts as absent."]
    if any(config.context):
        earlier, later = ("all" if n < 0 else n for n in config.context)
        rows.append(f"A clip is seen with the turns around it: {earlier} before it, {later} after it.")
    for each in config.encoders:
        rows.append(
            f"Within it: {each['kind']} encoder {each['name']}"
            + (f" (weights that it began with: sha256 {each['sha256'][:12]})" if each["sha256"] else "")
            + "."
        )
    return [*rows, ""]


def _use(config: MerkitConfig, form: str) -> list[str]:
    first = config.modalities[0]
    code = {
        "hf": [
            "import merkit",
            "from transformers import AutoModel, AutoProcessor",
            "",
            "model, processor = AutoModel.from_pretrained(DIR), AutoProcessor.from_pretrained(DIR)",
            f'batch = processor([{{"{first}": tokens}}])  # (T, {config.widths[first]}) a clip',
            "probs = model(**batch).probs  # target -> (clips, labels), calibrated",
        ],
        "onnx": [
            "import onnxruntime",
            "",
            'session = onnxruntime.InferenceSession("model.onnx")',
            f"session.run(None, {{...}})  # inputs: {', '.join(input_names(config))}",
        ],
        "torch-export": [
            "import torch",
            "",
            'program = torch.export.load("model.pt2").module()',
            f"program({', '.join(input_names(config))})",
        ],
    }[form]
    end = []
    if form == "hf":
        end = [
            "",
            "The folder is a run of merkit as well: `merkit predict DIR --root FOLDER` goes from clips to answers.",
        ]
    return ["## Use", "", "```python", *code, "```", *end, ""]


def _data(data: Mapping[str, Any], licence: str, *, merged: bool) -> list[str]:
    from merkit.corpora import CORPORA

    clips = ", ".join(f"{n} {split or 'unsplit'}" for split, n in sorted(data.get("clips", {}).items()))
    rows = [
        "## Data and licence",
        "",
        f"Corpus `{data['name']}`: {clips} clips; trained on train alone, chosen on valid.",
    ]
    corpus = CORPORA.get(data["name"])
    if corpus is not None:
        rows += [f"{corpus.title}. Licence: {corpus.licence} Split: {corpus.split} People: {corpus.people} "
                 f"Source: {corpus.citation}"]  # fmt: skip
    else:
        rows.append("The terms of this data are known to whoever trained the model.")
    rows.append(
        f"Licence of these weights: {licence}."
        if licence
        else "Licence of these weights: not settled; whoever publishes them must see what the data and the encoders allow."
    )
    return [*rows, ""]


def _worth(runs: Sequence[Run], valid: ClipTable | None) -> list[str]:
    rows = ["## Measures", ""]
    for split in ("test", "valid"):
        found = _measured(runs, split, valid if split == "valid" else None)
        if found:
            rows += [f"On {split}{found.pop('', '')}:", "", "| measure | value |", "|---|---|"]
            rows += [f"| {name} | {value} |" for name, value in found.items()] + [""]
    readings = max(len(run.record.get("test_readings", ())) for run in runs)
    rows.append(
        f"The test split was read {readings} time{'s' * (readings != 1)}."
        if readings
        else "The test split was never read."
    )
    return [*rows, ""]


def _measured(runs: Sequence[Run], split: str, table: ClipTable | None) -> dict[str, str]:
    """Measure -> value with its interval, as far as the run's own files tell; what the interval is stands under ''."""
    if len(runs) == 1:
        return _bootstrapped(runs[0], split, table)
    from merkit.evaluation.seeds import seed_interval

    each = [_noted(run, split) for run in runs]
    names = [name for name in each[0] if all(name in one for one in each)]
    if not names:
        return {}
    said = {"": f"{_where(runs[0], split)}, mean and 95 % t interval over {len(runs)} seeds"}
    return said | {name: str(seed_interval([one[name] for one in each])) for name in names}


def _noted(run: Run, split: str) -> dict[str, float]:
    if split == "valid":
        return dict(run.record.get("valid", {}))
    return {key: value for key, value in _reading(run).items() if "." in key and isinstance(value, int | float)}


def _reading(run: Run) -> dict[str, Any]:
    """The last reading of test by these very weights; a run that was started over keeps those of others."""
    readings = run.record.get("test_readings", ())
    return next((dict(reading) for reading in reversed(readings) if not reading.get("earlier")), {})


def _where(run: Run, split: str) -> str:
    """Clips of another folder than the run's own may be other clips altogether: whose they are is said."""
    root = _reading(run).get("root") if split == "test" else None
    return f" of `{Path(str(root)).name}`" if root else ""


def _bootstrapped(run: Run, split: str, table: ClipTable | None) -> dict[str, str]:
    from merkit.evaluation.measures import interval_of

    held = _held(run, split, table)
    if held is None:
        figures = {name: f"{value:.3f}" for name, value in _noted(run, split).items()}
        return {"": _where(run, split), **figures} if figures else {}
    said = {"": f", {len(held.ids)} clips, with 95 % bootstrap intervals"}
    for spec in run.specs:
        found = interval_of(
            spec,
            held.output[spec.name],
            held.target[spec.name],
            held.valid[spec.name],
            groups=held.units(spec.name),
            draws=_DRAWS,
        )
        said |= {f"{spec.name}.{name}": str(interval) for name, interval in found.items()}
    return said


def _held(run: Run, split: str, table: ClipTable | None) -> Predictions | None:
    """What the run answered for a split, or answers now; None where its truth is not at hand."""
    path = run.path / "predictions" / f"{split}.npz"
    if path.is_file():
        return Predictions.load(path)
    try:
        return None if table is None else predictions_of(run, table)
    except MerkitError:
        return None


def _calibration(config: MerkitConfig) -> list[str]:
    rows = []
    for spec in config.specs:
        each = [own[spec.name] for own in config.temperature if spec.name in own]
        if each:
            shown = ", ".join(f"{value:.2f}" for value in each)
            rows.append(f"- `{spec.name}`: logits are divided by a temperature fitted on valid ({shown}).")
        elif spec.kind != "regression":
            rows.append(
                f"- `{spec.name}`: no valid split to fit a temperature on; probabilities are as the network gives them."
            )
        else:
            rows.append(f"- `{spec.name}`: values as the network gives them.")
    return rows
