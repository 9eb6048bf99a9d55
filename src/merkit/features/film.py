"""Extraction of a whole film: persons numbered by how long they are seen, with a picture of each to know them by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from merkit.atomic import replacing
from merkit.features.clip import ClipFeatures, extract_clip
from merkit.features.extraction import ClipExtraction
from merkit.schema import Clip

__all__ = ["FilmExtraction", "by_screen_time"]


@dataclass(frozen=True)
class FilmExtraction:
    """Makes features of a film in one pass; what `extract_many` asks for.

    Args:
        extraction: tools and frame rate.
        portraits: folder for `FILM/person_1.jpg` …; None for none.
        progress: told `(film, seconds done, seconds in all or None)`; it stays in this process.
    """

    extraction: ClipExtraction
    portraits: Path | None = None
    progress: Callable[[str, float, float | None], object] | None = None

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What the features depend on, beside the film."""
        return {**self.extraction.identity, "persons": "by screen time"}

    def __call__(self, clip: Clip, /) -> ClipFeatures:
        def step(done_s: float, total_s: float | None) -> None:
            if self.progress is not None:
                self.progress(clip.id, done_s, total_s)

        made = by_screen_time(extract_clip(clip, self.extraction.tools, fps=self.extraction.fps, progress=step))
        if self.portraits is not None:
            for person in made.persons:
                if person.thumbnails:
                    with replacing(self.portraits / clip.id / f"{person.id}.jpg") as temporary:
                        temporary.write_bytes(person.thumbnails[0][1])
        return made

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return FilmExtraction, (self.extraction, self.portraits)


def by_screen_time(features: ClipFeatures) -> ClipFeatures:
    """The features with `person_1` for who is seen most, `person_2` for the next; of equals, who appears first.

    Example:
        >>> by_screen_time(features).persons[0].id  # doctest: +SKIP
        'person_1'
    """
    ranked = sorted(features.persons, key=lambda person: -len(person.times_s))
    called = {person.id: f"person_{i + 1}" for i, person in enumerate(ranked)}
    return replace(
        features,
        persons=tuple(replace(person, id=called[person.id]) for person in ranked),
        tokens={(m, called.get(entity or "", entity)): tokens for (m, entity), tokens in features.tokens.items()},
        segments=tuple(replace(said, person=called.get(said.person or "", said.person)) for said in features.segments),
    )
