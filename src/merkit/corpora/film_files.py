"""Which films are to be prepared, their subtitles, and the names that a user gives to their people."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from merkit.errors import ConfigError, MediaError
from merkit.schema import Clip

__all__ = ["Film", "films_of", "read_names"]

_WORDS = (".srt", ".vtt")


@dataclass(frozen=True, slots=True)
class Film:
    """One film and what comes with it.

    Args:
        id: distinct among the films that are prepared together.
        video: the file.
        subtitles: a file with its words; None = they are transcribed.
    """

    id: str
    video: Path
    subtitles: Path | None = None

    @property
    def clip(self) -> Clip:
        """The film as one clip."""
        return Clip.from_files(self.video, subtitles=self.subtitles, clip_id=self.id)


def films_of(videos: Sequence[Path], subtitles: Path | None = None) -> tuple[Film, ...]:
    """Films by the names of their files; a subtitle file beside a film that has its name is the film's.

    A file that is named twice is one film. Two files of one name in different folders are told apart by a number.

    Args:
        videos: the files.
        subtitles: of the one film.

    Raises:
        ConfigError: subtitles for more than one film.

    Example:
        >>> [film.id for film in films_of([Path("a/x.mp4"), Path("b/x.mp4"), Path("a/x.mp4")])]
        ['x', 'x-2']
    """
    files = list(dict.fromkeys(Path(video).resolve() for video in videos))
    if subtitles is not None and len(files) != 1:
        raise ConfigError(f"--subtitles is for one film, not {len(files)}; put film.srt beside each film.mp4")
    found: list[Film] = []
    taken: set[str] = set()
    for file in files:
        name, number = file.stem, 1
        while name in taken:
            number += 1
            name = f"{file.stem}-{number}"
        taken.add(name)
        beside = next((words for suffix in _WORDS if (words := file.with_suffix(suffix)).is_file()), None)
        words = beside if subtitles is None else Path(subtitles).resolve()
        found.append(Film(name, file, words))
    return tuple(found)


def read_names(path: Path, films: Sequence[str]) -> dict[str, dict[str, str]]:
    """film -> person -> name, from a CSV with the columns `person`, `name`, and `film` where there are several films.

    `persons.csv` with its column `name` filled in is such a file.

    Raises:
        MediaError: no such file, or a column is missing.
        ConfigError: a film that is not there, or a person with two names.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "names.csv"
        ...     _ = file.write_text("person,name\\nperson_1,Ada\\nperson_2,\\n")
        ...     read_names(file, ["talk"])
        {'talk': {'person_1': 'Ada'}}
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames or (), list(reader)
    except FileNotFoundError:
        raise MediaError("no such file", path=path) from None
    except (OSError, ValueError, csv.Error) as error:
        raise MediaError(f"cannot be read as CSV ({error})", path=path) from error
    needed = ("person", "name") if len(films) == 1 else ("film", "person", "name")
    if missing := [name for name in needed if name not in columns]:
        raise MediaError(
            f"has no column {', '.join(missing)}; columns are {', '.join(needed)}", path=path, field="line 1"
        )
    found: dict[str, dict[str, str]] = {}
    for line, row in enumerate(rows, 2):
        film = (row.get("film") or "").strip() or (films[0] if len(films) == 1 else "")
        person, name = (row["person"] or "").strip(), (row["name"] or "").strip()
        if not name:
            continue
        if film not in films:
            raise ConfigError(f"{path}, line {line}: no film {film!r}; there are {', '.join(films)}")
        if found.setdefault(film, {}).setdefault(person, name) != name:
            raise ConfigError(f"{path}, line {line}: {person} is {found[film][person]} already")
    return found
