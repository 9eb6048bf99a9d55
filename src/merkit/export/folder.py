"""From a run to a folder that travels: written beside its place, checked, and moved there whole."""

import json
import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merkit.errors import ConfigError
from merkit.export.model import MerkitModel
from merkit.export.parity import Answer, Parity, answers, parity_of, reloaded
from merkit.export.source import Source

__all__ = ["FORMS", "Exported", "export_run"]

FORMS = ("hf", "onnx", "torch-export")

_LIMIT = {"hf": 1e-6, "onnx": 1e-4, "torch-export": 1e-4}
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
    source = Source(run)
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
