"""How long work is shown: one bar with rate and time left, on stderr, so that stdout stays clean for `--json`."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["clip_progress"]


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
