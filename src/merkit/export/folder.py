"""From a run to a folder that travels: written beside its place, checked, and moved there whole."""

import json
import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from merkit import __version__
from merkit.data.batch import Batch
from merkit.data.table import ClipTable
from merkit.errors import ConfigError, StoreError
from merkit.export.clips import Check, checks_of, clips_of, made_batch, reads_times
from merkit.export.config import MerkitConfig
from merkit.export.encoders import carried, encoders_in
from merkit.export.model import MerkitModel, answer_of, weight_files
from merkit.export.parity import Answer, Parity, answers, parity_of, reloaded
from merkit.training.run import Run, write_json

__all__ = ["FORMS", "Exported", "export_run"]

FORMS = ("hf", "onnx", "torch-export")

_LIMIT = {"hf": 1e-6, "onnx": 1e-4, "torch-export": 1e-4}
# of a run's record, what is nobody's business elsewhere stays behind
_RECORD = ("status", "started", "environment", "data", "leakage", "targets", "modalities", "widths", "parameters",
           "best", "epochs", "seconds", "temperature", "valid", "test_readings")  # fmt: skip

Told = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export made.

    Args:
        form: of `FORMS`.
        folder: where it lies.
        files: in it, by name.
        parity: how far it differs from the run.
        notes: what a reader must know.
    """

    form: str
    folder: Path
    files: tuple[str, ...]
    parity: Parity
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "form": self.form,
            "folder": str(self.folder),
            "files": list(self.files),
            "parity": {
                "difference": self.parity.difference,
                "where": self.parity.where,
                "batches": self.parity.batches,
                "clips": self.parity.clips,
                "made_clips": self.parity.made,
            },
            "notes": list(self.notes),
        }


def export_run(
    run: Path,
    out: Path,
    *,
    form: str = "hf",
    bundle: bool = False,
    force: bool = False,
    licence: str = "",
    told: Told = lambda done, total, last: None,
) -> Exported:
    """Writes a run in another form, and checks that it says the same.

    Args:
        run: of one or several seeds, which answer as their mean.
        out: folder of the export.
        form: of `FORMS`.
        bundle: copy the pretrained weights of encoders too, so that nothing has to be there where it is used.
        force: replace what lies at `out`.
        licence: of the weights, for the card.
        told: of progress.

    Raises:
        ConfigError: no such form, `out` is there already, or the run cannot go into that form; the message says why.
        StoreError: the run is not finished.
        ParityError: what was written says something else. Nothing is left at `out`.
    """
    if form not in FORMS:
        raise ConfigError(f"no form {form!r}; there are {', '.join(FORMS)}")
    if out.exists() and not force:
        raise ConfigError(f"{out}: is there already; --force replaces it")
    if out.exists() and not _is_export(out):
        raise ConfigError(f"{out}: is no export, so it is not replaced; choose another --out")
    if form != "hf":
        from merkit.export.graph import ready

        ready(form)
    told(0, 4, "reading the run")
    source = _Source(run)
    told(1, 4, "writing")
    with _appearing(out) as folder:
        notes = source.describe(folder, bundle=bundle, portable=form == "hf")
        if form == "hf":
            model = MerkitModel(source.config, source.networks)
            model.save_pretrained(folder)
            source.records(folder)
        else:
            from merkit.export.graph import write_graph

            write_graph(source.config, source.networks, source.example(), folder, form)
        told(2, 4, "comparing")
        wanted = answers(source.ask, source.checks)
        if form == "hf":
            found: Sequence[Answer] = reloaded(folder, source.config, [check.batch for check in source.checks])
        else:
            from merkit.export.graph import graph_answers

            found = graph_answers(source.config, folder, form, source.checks)
        parity = parity_of(
            source.checks, wanted, found, made=source.table is None, limit=_LIMIT[form], what=f"{run} as {form}"
        )
        told(3, 4, "describing")
        source.finish(folder, form, parity, licence=licence)
        files = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
    told(4, 4, str(out))
    return Exported(form, out, files, parity, tuple(notes))


class _Source:
    """A run, its networks, and what an export is compared on."""

    def __init__(self, path: Path) -> None:
        self.run = Run(path)
        self.runs = self.run.seeds()
        for run in self.runs:
            if not run.finished:
                raise StoreError(f"{run.path}: not finished; the same training command resumes it")
        first = self.runs[0]
        self.networks = [run.model() for run in self.runs]
        self.table: ClipTable | None = clips_of(first)
        record = first.record
        self.config = MerkitConfig(
            system=first.system.name,
            config=_travelling(first.config.to_dict()),
            modalities=list(record["modalities"]),
            widths=dict(record["widths"]),
            targets=list(record["targets"]),
            temperature=[dict(run.record.get("temperature", {})) for run in self.runs],
            context=[first.config.data.earlier, first.config.data.later],
            encoders=encoders_in(self.networks[0], first.config.to_dict()),
            seeds=[run.config.trainer.seed for run in self.runs],
            merkit_version=__version__,
        )
        self.config.streams = {name: self._stream(name) for name in self.config.modalities}
        self.checks: list[Check] = checks_of(first, self.config, self.table, self.networks[0])
        self.config.times = [
            name
            for name in self.config.modalities
            if reads_times(self.networks[0], [check.batch for check in self.checks], name)
        ]

    def _stream(self, name: str) -> dict[str, Any]:
        provenance = self.runs[0].record["data"].get("provenance", {}).get(name, {})
        about = {"source": provenance.get("source", ""), "dtype": "float32", "per_entity": False}
        if self.table is not None:
            column = self.table.streams[name]
            about["per_entity"] = column.per_entity
            about["dtype"] = "uint8" if column.x.dtype == "uint8" else "float32"
        elif any(spec.per_entity for spec in self.config.specs):
            about["per_entity"] = name in ("face", "lines")
        if self.config.widths[name] == 1 and "ids" in about["source"].split("@")[0]:
            about["dtype"] = "ids"
        return about

    @torch.inference_mode()
    def ask(self, batch: Batch) -> Answer:
        """What the run says."""
        said = [network(batch) for network in self.networks]
        logits, probs = answer_of(said, self.config.specs, self.config.temperature)
        return {f"{name}.logits": x for name, x in logits.items()} | {f"{name}.probs": x for name, x in probs.items()}

    def example(self) -> Batch:
        """A batch to trace with: no size in it is 1 or that of another."""
        return made_batch(self.config, 3, 11, self.networks[0])

    def describe(self, folder: Path, *, bundle: bool, portable: bool) -> list[str]:
        """Files that say what the encoders are."""
        if not portable:
            return []
        own = self.runs[0].config
        if ":" in str(getattr(getattr(own, "model", None), "fusion", "")):
            raise ConfigError(
                f"{self.run.path}: its fusion is a class of your own ({own.model.fusion}), and code does not travel with a "
                "Hugging Face model; --to onnx or torch-export needs none"
            )
        carried(self.config.encoders, own.to_dict(), folder, bundle=bundle)
        return [
            f"{each['name']} ({each['kind']} encoder) is referred to by name; --bundle takes it along"
            for each in self.config.encoders
            if not each["folder"]
        ]

    def records(self, folder: Path) -> None:
        """What makes the folder a run as well."""
        several = len(self.runs) > 1
        for run, file in zip(self.runs, weight_files(folder, self.config), strict=True):
            write_json(_published(run.record), file.parent / "record.json")
            if several:
                config = _travelling(run.config.to_dict())
                write_json({"system": self.config.system, "config": config}, file.parent / "config.json")
        if several:
            write_json({"status": "seeds"}, folder / "record.json")

    def finish(self, folder: Path, form: str, parity: Parity, *, licence: str) -> None:
        """Processor and card."""
        from merkit.export.card import card_of
        from merkit.export.processor import MerkitProcessor

        MerkitProcessor.of(self.config).save_pretrained(folder)
        text = card_of(self.runs, self.config, form, parity, licence=licence)
        (folder / "README.md").write_text(text, encoding="utf-8")
        if form != "hf":
            self.config.save_pretrained(str(folder))


def _travelling(config: dict[str, Any]) -> dict[str, Any]:
    """A config without the places of somebody's machine."""
    data = config.get("data", {})
    if data.get("root"):
        data["root"] = Path(data["root"]).name or "."
    data["store"] = None
    if config.get("download"):
        config["download"] = False
    return config


def _published(record: dict[str, Any]) -> dict[str, Any]:
    kept = {key: record[key] for key in _RECORD if key in record}
    kept["test_readings"] = [
        {**reading, "root": Path(str(reading.get("root", ""))).name} for reading in record.get("test_readings", [])
    ]
    return kept


def _is_export(folder: Path) -> bool:
    """Whether a folder may be replaced: it is empty, or an export of ours."""
    if not folder.is_dir():
        return False
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type") == "merkit"
    except (OSError, ValueError):
        return not any(folder.iterdir())


@contextmanager
def _appearing(out: Path) -> Generator[Path]:
    """A folder to write in, which stands at `out` once the block is left without an error."""
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        yield scratch
        before = out.with_name(f".{out.name}.{os.getpid()}.old")
        if out.exists():
            out.replace(before)
        scratch.replace(out)
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
