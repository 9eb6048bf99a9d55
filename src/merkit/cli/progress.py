"""How long work is shown: one bar with rate and time left, on stderr, so that stdout stays clean for `--json`."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

__all__ = ["clip_progress", "count_progress", "epoch_progress"]


@contextmanager
def clip_progress(quiet: bool = False) -> Generator[Callable[[str, float, float | None], None]]:
    """A callback `(what, done_s, total_s)` that draws seconds of clip done, times real time, and the time left."""
    if quiet:
        yield lambda what, done_s, total_s: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Seconds of clip per second of waiting."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f}x real time" if speed else "", style="dim")

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} s"),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as progress:
        bars: dict[str, TaskID] = {}

        def update(what: str, done_s: float, total_s: float | None) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total_s)
            progress.update(bars[what], completed=done_s, total=total_s)

        yield update


@contextmanager
def epoch_progress(quiet: bool = False) -> Generator[Callable[[int, int, Mapping[str, float]], None]]:
    """A callback `(epochs done, of how many, measures)` that draws one bar a run with the latest measures."""
    if quiet:
        yield lambda done, total, measures: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    with Progress(
        TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[measures]}"),
        console=Console(stderr=True),
    ) as progress:
        task = None

        def update(done: int, total: int, measures: Mapping[str, float]) -> None:
            nonlocal task
            if task is None or done == 1:  # the next seed
                task = progress.add_task("", total=total, measures="")
            shown = [name for name in measures if name.startswith(("train_loss", "valid."))][:5]
            text = "  ".join(f"{name.removeprefix('valid.')} {measures[name]:.4f}" for name in shown)
            progress.update(task, completed=done, measures=text)

        yield update


@contextmanager
def count_progress(what: str, quiet: bool = False) -> Generator[Callable[[int, int, str], None]]:
    """A callback `(done, total, last)` that draws one bar with rate and time left."""
    if quiet:
        yield lambda done, total, last: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
        console=Console(stderr=True),
    ) as progress:
        task = progress.add_task(what, total=None, last="")
        yield lambda done, total, last: progress.update(task, completed=done, total=total, last=last)
