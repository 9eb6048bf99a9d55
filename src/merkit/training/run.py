"""A run on disk: what was asked, what it was trained on, what came of it, and every reading of the test split.

    RUN/config.json            system and effective config
    RUN/record.json            environment, data, leakage findings, best epochs, temperatures, readings of test
    RUN/history.csv            measures by epoch
    RUN/model.safetensors      chosen weights;  best-*.safetensors by other criteria;  last.ckpt to resume from
    RUN/predictions/SPLIT.npz  what it answered, for comparisons

A run of several seeds holds one such folder per seed, `seed-0`, `seed-1`, …
"""

import json
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from merkit import __version__
from merkit.atomic import replacing
from merkit.config import Config, config_from
from merkit.errors import StoreError
from merkit.schema import TargetSpec

__all__ = ["Run", "environment", "write_json"]


def write_json(value: Any, path: Path) -> None:
    """Indented JSON, by rename."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def environment() -> dict[str, Any]:
    """Versions and machine that a run is made with."""
    from importlib.metadata import version

    names = ("torch", "lightning", "numpy", "transformers")
    return {
        "merkit": __version__,
        "python": sys.version.split()[0],
        **{name: version(name) for name in names},
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


class Run:
    """A folder with a run, or with one run per seed.

    Args:
        path: the folder.

    Raises:
        StoreError: there is no run in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "config.json").is_file():
            raise StoreError(f"{self.path}: no run here (no config.json)")

    @classmethod
    def create(cls, path: Path, system: str, config: Config, record: Mapping[str, Any]) -> "Run":
        """Writes config and record; a run becomes visible with its config, which is written last."""
        write_json(dict(record), path / "record.json")
        write_json({"system": system, "config": config.to_dict()}, path / "config.json")
        return cls(path)

    @classmethod
    def of_seeds(cls, path: Path, system: str, config: Config) -> "Run":
        """A folder for one run a seed; it trains nothing itself."""
        return cls.create(path, system, config, {"status": "seeds"})

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StoreError(f"{self.path / name}: missing") from None
        except ValueError as error:
            raise StoreError(f"{self.path / name}: not readable ({error})") from error

    @cached_property
    def system(self) -> Any:
        """The recipe."""
        from merkit.systems.system import find_system

        return find_system(self._json("config.json")["system"])

    @cached_property
    def config(self) -> Any:
        """The effective config.

        Raises:
            ConfigError: it was written by a merkit that knew other keys.
        """
        return config_from(self.system.config, self._json("config.json")["config"])

    @property
    def record(self) -> dict[str, Any]:
        """What is known about the run, as it is on disk now."""
        return self._json("record.json")

    def note(self, **facts: Any) -> None:
        """Adds to the record."""
        write_json({**self.record, **facts}, self.path / "record.json")

    def seeds(self) -> list["Run"]:
        """The runs of single seeds: itself where it is one."""
        folders = sorted(self.path.glob("seed-*"), key=lambda folder: int(folder.name.removeprefix("seed-")))
        return [Run(folder) for folder in folders if (folder / "config.json").is_file()] or [self]

    @property
    def finished(self) -> bool:
        """Whether its weights are there and the record says so."""
        return self.record.get("status") == "finished" and (self.path / "model.safetensors").is_file()

    @property
    def specs(self) -> tuple[TargetSpec, ...]:
        """Its targets."""
        return tuple(
            TargetSpec(item["name"], item["kind"], tuple(item["labels"]), item["per_entity"])
            for item in self.record["targets"]
        )

    @property
    def context(self) -> tuple[int, int]:
        """Turns before and after a clip that its network reads (`System.context`)."""
        return self.system.context(self.config, self.record["modalities"])

    def model(self, weights: str = "model.safetensors") -> nn.Module:
        """The trained network, in evaluation mode.

        Raises:
            StoreError: the run is not finished.
        """
        path = self.path / weights
        if not path.is_file():
            raise StoreError(f"{self.path}: not finished, there is no {weights}; the same training command resumes it")
        model = self.system.build_model(self.config, dict(self.record["widths"]), self.specs)
        model.load_state_dict(load_file(path))
        return model.eval()

    def count_reading(self, root: str, n: int, measures: Mapping[str, Any]) -> int:
        """Notes one reading of a test split; the record shows them all, for ever."""
        readings = [*self.record.get("test_readings", [])]
        readings.append({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "root": root, "n": n, **measures})
        self.note(test_readings=readings)
        return len(readings)


def facts_of(specs: tuple[TargetSpec, ...]) -> list[dict[str, Any]]:
    """Targets as JSON."""
    return [{**asdict(spec), "labels": list(spec.labels)} for spec in specs]
