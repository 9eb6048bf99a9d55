"""Where things lie in the published tree. Names come out of pickles and JSON: whatever they say, they stay under the root."""

import json
from pathlib import Path

from merkit.corpora.moviegraphs.options import FEATURES, Feature, Options, features_named
from merkit.corpora.paths import Root
from merkit.errors import ConfigError, MediaError

__all__ = ["Tree"]

_GRAPHS = "MovieGraph/mg/py3loader"
_PUBLISHED = "2017-11-02-51-7637_py3.pkl"
_SPLIT = "MovieGraph/resources/split.json"
_PARTS = {"train": "train", "val": "valid", "test": "test"}
_MAX_JSON_BYTES = 1 << 20
_SUBTITLES = "MovieGraph/srt/clip_srt"
_TRACKS, _NAMES, _METADATA = "character_tracks", "track_names", "track_names/metadata"


class Tree:
    """The folder `data/` of the release.

    Args:
        root: it, or the folder that holds it.

    Raises:
        ConfigError: there are no graphs or no split.
    """

    def __init__(self, root: Root) -> None:
        there = [place for place in (root.path, root.path / "data") if (place / _GRAPHS).is_dir()]
        if not there:
            raise ConfigError(f"{root.path}: neither {_GRAPHS} nor data/{_GRAPHS} is there")
        self.root = root if there[0] == root.path else Root(there[0])

    @property
    def graphs(self) -> Path:
        """The pickle of all graphs.

        Raises:
            ConfigError: there is none, or several and none of them is the published one.
        """
        found = sorted(path.name for path in (self.root.path / _GRAPHS).glob("*.pkl"))
        if _PUBLISHED not in found and len(found) != 1:
            raise ConfigError(
                f"{self.root.path / _GRAPHS}: {_PUBLISHED} is not there"
                + (f", and {', '.join(found)} are" if found else "")
            )
        return self.root.file(f"{_GRAPHS}/{_PUBLISHED if _PUBLISHED in found else found[0]}")

    def split(self) -> dict[str, str]:
        """film -> `train`, `valid` or `test`.

        Raises:
            MediaError: the file is missing or says something else.
        """
        path = self.root.file(_SPLIT)
        try:
            if path.stat().st_size > _MAX_JSON_BYTES:
                raise ValueError(f"{path.stat().st_size} bytes")
            said = json.loads(path.read_text("utf-8"))
            found = {str(movie): part for name, part in _PARTS.items() for movie in said[name]}
            count = sum(len(said[name]) for name in _PARTS)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise MediaError(f"not {{train, val, test}} with lists of films ({error!r})", path=_SPLIT) from None
        if count != len(found):
            raise MediaError("names a film twice", path=_SPLIT)
        return found

    def features(self, options: Options) -> list[Feature]:
        """The kinds of features that are asked for, or that are there.

        Raises:
            ConfigError: none is there, one that is asked for is not, or one is a link out of the root.
        """
        asked = list(FEATURES.values()) if options.features is None else features_named(options.features)
        found = [feature for feature in asked if (self.root.path / feature.folder).is_dir()]
        if not found or (options.features is not None and len(found) < len(asked)):
            missing = [feature.folder for feature in asked if feature not in found]
            raise ConfigError(f"{self.root.path}: has no folder {', '.join(missing)}")
        for feature in found:
            try:
                self.root.place(f"{feature.folder}/any")
            except MediaError as error:
                why = f"{feature.folder} {error.reason}: move it there, mount it there, or make ROOT the folder of both"
                raise ConfigError(f"{self.root.path}: {why}") from None
        return found

    def feature(self, feature: Feature, movie: str, clip: str) -> Path | None:
        """The file of one clip's features; None where there is none. That it is a regular file is for its reader to see.

        Raises:
            MediaError: the names, or links, lead out of the root.
        """
        return self._file(f"{feature.folder}/{movie}/{clip}.{'pkl' if feature.modality == 'text' else 'npy'}")

    def tracks(self, movie: str, clip: str) -> Path | None:
        """Person tracks and face tracks of a clip."""
        return self._file(f"{_TRACKS}/{movie}/{clip}.pkl")

    def names(self, movie: str, clip: str) -> Path | None:
        """Whose each track of a clip is, as probabilities."""
        return self._file(f"{_NAMES}/{movie}/{clip}.npy")

    def metadata(self, movie: str) -> Path | None:
        """Which column is which name in a film's track names."""
        return self._file(f"{_METADATA}/{movie}.pkl")

    def subtitles(self, movie: str, clip: str) -> Path | None:
        """The words of a clip."""
        return self._file(f"{_SUBTITLES}/{movie}/{clip}.srt")

    def name(self, path: Path) -> str:
        """A file's name below the root."""
        return self.root.name(path)

    def clips(self, movie: str) -> set[str]:
        """All clips of a film that have tracks."""
        folder = self.root.place(f"{_TRACKS}/{movie}")
        return {path.stem for path in folder.glob("*.pkl")} if folder.is_dir() else set()

    def _file(self, name: str) -> Path | None:
        path = self.root.place(name)
        return path if path.exists() else None
