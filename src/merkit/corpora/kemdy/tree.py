"""Where things lie in the published trees."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from merkit.corpora.kemdy.annotation import Rated, read_annotation, read_korean
from merkit.corpora.kemdy.physiology import SessionWork
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.errors import ConfigError, MediaError

__all__ = ["Tree", "words_of"]

_FOLDERS = {"kemdy19": ("KEMDy19",), "kemdy20": ("KEMDy20_v1_1", "KEMDy20_v_1_1", "KEMDy20")}
_SENSORS = {"kemdy19": ("ECG", "EDA", "TEMP"), "kemdy20": ("IBI", "EDA", "TEMP")}
_TABLE19 = re.compile(r"Session(\d{2})_([MF])_\w+\.csv")
_TABLE20 = re.compile(r"Sess(\d{2})_eval\.csv")
_MARK = re.compile(r"(?<!\S)[a-zA-Z+*]/")
_MAX_TEXT_BYTES = 1 << 20


def words_of(file: Path, marks: str) -> str:
    """The words of a segment, its lines joined by a blank.

    Args:
        file: UTF-8 or cp949, whichever it is.
        marks: `keep` or `drop` what transcribers wrote of breath, laughter and noise (`b/`, `l/`, `n/` …).

    Raises:
        MediaError: there is no such file, or it is in neither.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.txt"
        ...     _ = file.write_bytes("그래. b/\\n좋아 l/\\n".encode("cp949"))
        ...     words_of(file, "keep"), words_of(file, "drop")
        ('그래. b/ 좋아 l/', '그래. 좋아')
    """
    text = " ".join(read_korean(file, _MAX_TEXT_BYTES).split())
    return " ".join(_MARK.sub(" ", text).split()) if marks == "drop" else text


class Tree:
    """A release on disk.

    Args:
        root: its own folder, with links resolved: recordings may lie on another disk.
        corpus: `kemdy19` or `kemdy20`.
    """

    def __init__(self, root: Root, corpus: str) -> None:
        self.root = root
        self.corpus = corpus

    @classmethod
    def of(cls, root: Root, corpus: str) -> "Tree":
        """The release in `root`, or in a folder of its usual name in there.

        Raises:
            ConfigError: there is no `annotation` in any of them.
        """
        for place in (root.path, *(root.path / name for name in _FOLDERS[corpus])):
            if (place / "annotation").is_dir():
                return cls(Root(place.resolve()), corpus)
        raise ConfigError(f"{root.path}: no folder annotation, nor {_FOLDERS[corpus][0]}/annotation")

    def file(self, name: str) -> Path:
        """As `Root.file`."""
        return self.root.file(name)

    def place(self, name: str) -> Path:
        """As `Root.place`."""
        return self.root.place(name)

    def rated(self) -> tuple[dict[str, Rated], dict[str, Rated], list[Rejected]]:
        """Segment -> how the speaker appeared, segment -> how the listener did (KEMDy19), and what could not be used.

        In KEMDy19 his table says of every segment how he appeared, hers how she did: of a segment that she speaks, her row
        is the speaker's own state and his row the listener's.
        """
        own: dict[str, Rated] = {}
        partner: dict[str, Rated] = {}
        rejected: list[Rejected] = []
        for name, session, sex in self._tables():
            path = f"annotation/{name}"
            try:
                rows, bad = read_annotation(self.place(path), self.corpus, path)
            except MediaError as error:
                rejected.append(Rejected(path, error.reason, error.field))
                continue
            rejected += bad
            for row in rows:
                if row.name.number != session:
                    why = f"{row.name.id} is of another session than its table"
                    rejected.append(Rejected(path, why, "Segment ID", row.line, "row"))
                elif sex in (None, row.name.sex):
                    own[row.name.id] = row
                else:
                    partner[row.name.id] = row
        rejected += self._one_sided(own, partner)
        return own, partner, rejected

    def works(
        self, rows: Sequence[Rated], folder: Path, view: str, rejected: list[Rejected]
    ) -> tuple[SessionWork, ...]:
        """One piece of work for each session: which sensor files there are, and whose rows each segment takes.

        Args:
            rows: segments that tables are made of.
            folder: where the tables of all sessions go.
            view: `speaker` or `listener`.
            rejected: takes up files that are missing.
        """
        kinds = [kind for kind in _SENSORS[self.corpus] if (self.root.path / kind).is_dir()]
        rejected += [
            Rejected(kind, f"no such folder: no {kind} of anybody", what="physiology")
            for kind in _SENSORS[self.corpus]
            if kind not in kinds
        ]
        sessions: dict[int, dict[str, str]] = {}
        for row in rows:
            person = row.name.speaker
            if view == "listener":
                person = person[:-1] + ("F" if row.name.sex == "M" else "M")
            # a file is of a person, in KEMDy20 of a person in one talk
            whose = person if self.corpus == "kemdy19" else f"{row.name.dialogue}_{person}"
            sessions.setdefault(row.name.number, {})[row.name.id] = whose
        made = []
        for number in sorted(sessions):
            files = []
            for kind in kinds:
                for whose in sorted(set(sessions[number].values())):
                    try:
                        name, path = self._sensor(kind, number, whose)
                    except MediaError as error:
                        rejected.append(Rejected(f"{kind} of {whose}", error.reason, what="physiology"))
                        continue
                    files.append((kind, whose, name, path))
            name = f"Session{number:02d}"
            made.append(SessionWork(name, folder / name, tuple(files), tuple(sorted(sessions[number].items()))))
        return tuple(made)

    def _sensor(self, kind: str, number: int, whose: str) -> tuple[str, Path]:
        base = f"{kind}/Session{number:02d}"
        names = (f"{base}/Original/{whose}.csv", f"{base}/{whose}.csv")
        for name in names:
            if (self.root.path / name).is_file():
                return name, self.file(name)
        raise MediaError(f"no such file: {names[0] if self.corpus == 'kemdy19' else names[1]}")

    def _tables(self) -> list[tuple[str, int, str | None]]:
        """`(file, session, whose states it tells)`, sorted."""
        pattern = _TABLE19 if self.corpus == "kemdy19" else _TABLE20
        found = []
        for path in sorted((self.root.path / "annotation").iterdir()):
            if match := pattern.fullmatch(path.name):
                found.append((path.name, int(match[1]), match[2] if self.corpus == "kemdy19" else None))
        return found

    def _one_sided(self, own: Mapping[str, Rated], partner: Mapping[str, Rated]) -> list[Rejected]:
        """Segments of KEMDy19 that stand in one of the two tables only."""
        if self.corpus == "kemdy20":
            return []
        lacks = [
            Rejected(segment, "no row in the speaker's own table: the speaker's state is not known")
            for segment in sorted(partner.keys() - own.keys())
        ]
        return lacks + [
            Rejected(segment, "no row in the listener's table", what="listener_emotion")
            for segment in sorted(own.keys() - partner.keys())
        ]
