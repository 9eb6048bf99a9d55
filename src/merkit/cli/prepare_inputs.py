"""What commands share that prepare raw inputs of any corpus or table: its manifest, and a bar for each store."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit.errors import ConfigError

if TYPE_CHECKING:
    from merkit.corpora import Manifest
    from merkit.features.extraction import ExtractionProgress

__all__ = ["asked_system", "read_any", "sizes_of", "store_bars", "workers_for"]

# a process takes seconds to start, twice: a handful of clips is done sooner without
_FEW = 10


def asked_system(args: list[str]) -> str | None:
    """The system that `--for` names among the arguments of `merkit prepare`; None where it is not there.

    Example:
        >>> asked_system(["clips.csv", "--for", "merc2020"]), asked_system(["a", "--for=hlm12erc"]), asked_system(["meld"])
        ('merc2020', 'hlm12erc', None)
    """
    for place, word in enumerate(args):
        if word == "--for":
            return args[place + 1] if place + 1 < len(args) else ""
        if word.startswith("--for="):
            return word.removeprefix("--for=")
    return None


def read_any(
    corpus: str, root: Path | None, labels: str | None, out: Path, force: bool, claimed: Mapping[str, Any]
) -> "Manifest":
    """The manifest of a corpus, or of a table of the user's own; OUT is made and claimed for it.

    Args:
        corpus: name or table.
        root: of the media.
        labels: label space of a table.
        out: folder for what is made.
        force: whatever OUT holds.
        claimed: what else tells one preparation from another.

    Raises:
        ConfigError: no such corpus or table, labels of a corpus, no root, or an OUT that holds something else.
    """
    from merkit.cli.prepare import claim, is_own, label_space
    from merkit.corpora import CORPORA, read_user_manifest

    table, own = Path(corpus), is_own(corpus, labels)
    if not own and root is None:
        raise ConfigError(f"--root is needed: the folder that holds {corpus}")
    out.mkdir(parents=True, exist_ok=True)
    source = {"corpus": str(table.absolute()) if own else corpus, "root": str(root.absolute()) if root else None}
    claim(out, {**source, **claimed}, force)
    if own:
        return read_user_manifest(table, root, None if labels is None else label_space(labels))
    assert root is not None
    return CORPORA[corpus].read(root, out)


def workers_for(asked: int | None, clips: int) -> int:
    """Processes for so many clips."""
    import os

    return asked or max(1, min(os.cpu_count() or 1, clips // _FEW))


def sizes_of(out: Path, stores: "Mapping[str, str]") -> dict[str, int]:
    """Store -> bytes on disk."""
    return {name: sum(f.stat().st_size for f in (out / name).rglob("*") if f.is_file()) for name in stores}


@contextmanager
def store_bars(
    doing: Mapping[str, str], quiet: bool = False
) -> "Generator[Callable[[str, ExtractionProgress], object]]":
    """A bar for each store that is filled, one after the other.

    Args:
        doing: store -> what its bar is called.
        quiet: draw nothing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rate = TextColumn("{task.fields[rate]}", style="dim")
    with Progress(*columns, rate, console=Console(stderr=True), disable=quiet) as bar:
        tasks: dict[str, Any] = {}

        def update(store: str, at: "ExtractionProgress") -> None:
            if store not in tasks:
                tasks[store] = bar.add_task(doing[store], total=at.total, rate="")
            # by the run's own rate: clips that the store held already say nothing about those to come
            left = "" if at.left_s is None else f"  {at.left_s / 60:.0f} min left"
            rate = "" if at.clips_per_s is None else f"{at.clips_per_s:.2f} clips/s{left}"
            bar.update(tasks[store], completed=at.finished, rate=rate)

        yield update
