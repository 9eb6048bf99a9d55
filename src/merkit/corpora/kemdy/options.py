"""What can be chosen when KEMDy19 or KEMDy20 is prepared."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from merkit.errors import ConfigError

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """Choices of a preparation.

    Args:
        view: whose state is the question. `speaker`: who speaks, in answers and sensors; what the listener showed stands
            beside it as other targets. `listener`: the other one (KEMDy19 alone asks for it); voice and words stay
            those of who speaks.
        marks: `keep` the transcribers' marks of breath, laughter, noise (`b/`, `l/`, `n/` …) among the words, or `drop`.
        unusable: keep the scenes too that the published system leaves out.
        workers: processes that read sensor files, one session each; None = one per core where there is so much to read
            that starting them pays.
        timeout_s: seconds that a worker may take for a session; None for any.
        progress: told (sessions done, of how many, the last one).

    Raises:
        ConfigError: a value cannot be.
    """

    view: Literal["speaker", "listener"] = "speaker"
    marks: Literal["keep", "drop"] = "keep"
    unusable: bool = False
    workers: int | None = None
    timeout_s: float | None = None
    progress: Callable[[int, int, str], object] | None = None

    def __post_init__(self) -> None:
        if self.view not in ("speaker", "listener"):
            raise ConfigError(f"view is speaker or listener, not {self.view!r}")
        if self.marks not in ("keep", "drop"):
            raise ConfigError(f"marks is keep or drop, not {self.marks!r}")
        if (self.workers is not None and self.workers < 1) or (self.timeout_s is not None and self.timeout_s <= 0):
            raise ConfigError(f"workers is at least 1 and timeout_s above 0; they are {self.workers}, {self.timeout_s}")
