"""A run that is to be exported: its networks, the config of the export, what it is compared on, what of its records travels."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from merkit import __version__
from merkit.data.batch import Batch
from merkit.data.table import ClipTable
from merkit.errors import ConfigError, StoreError
from merkit.export.clips import Check, checks_of, clips_of, made_batch, reads_times
from merkit.export.config import MerkitConfig
from merkit.export.encoders import carried, encoders_in, own_code
from merkit.export.model import answer_of, weight_files
from merkit.export.parity import Answer, Parity
from merkit.training.run import Run, write_json

__all__ = ["Source"]

# of a run's record, what is nobody's business elsewhere stays behind
_RECORD = ("status", "started", "environment", "data", "leakage", "targets", "modalities", "widths", "parameters",
           "best", "epochs", "seconds", "temperature", "valid", "test_readings")  # fmt: skip


class Source:
    """A run, its networks, and what an export is compared on.

    Args:
        path: of the run, of one or several seeds.

    Raises:
        StoreError: it is not finished.
    """

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
            context=list(first.context),
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
        if self.config.widths[name] == 1 and (name in _reads_ids(self.networks[0]) or " ids " in about["source"]):
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
        own = self.runs[0].config
        if portable and (code := own_code(own.to_dict())):
            raise ConfigError(
                f"{self.run.path}: it holds a class of your own ({code}), and code does not travel with a Hugging Face model; "
                "--to onnx or torch-export needs none"
            )
        carried(self.config.encoders, own.to_dict(), folder, bundle=bundle)
        return [
            f"{each['name']} ({each['kind']} encoder) is referred to by name; --bundle takes it along"
            for each in self.config.encoders
            if portable and not each["folder"]
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
        valid = self.table if self.table is not None and (self.table.split == "valid").all() else None
        text = card_of(self.runs, self.config, form, parity, licence=licence, valid=valid)
        (folder / "README.md").write_text(text, encoding="utf-8")
        if form != "hf":
            self.config.save_pretrained(str(folder))


def _reads_ids(network: nn.Module) -> set[str]:
    """Streams that an encoder of words or units reads."""
    parts = {**dict(getattr(network, "encoders", {})), **dict(getattr(network, "readers", {}))}
    found = {name for name, part in parts.items() if any(isinstance(module, nn.Embedding) for module in part.modules())}
    return found | {str(getattr(network, "stream", ""))}


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
