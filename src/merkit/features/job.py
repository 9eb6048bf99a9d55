"""One clip's work, the same on every engine: extract, keep, and say in one line what became of it."""

from pathlib import Path
from typing import Any

from merkit.errors import ConfigError, MerkitError, StoreError, WeightError
from merkit.features.record import record_of
from merkit.features.store import FeatureStore
from merkit.schema import Clip

__all__ = ["FATAL", "Finished", "Job", "Outcome", "Work"]

# (`done`, None), (`skipped`, reason), or (name of the error that ends the run, its message)
Outcome = tuple[str, str | None]
# number of the clip in the run, and what became of it
Finished = tuple[int, Outcome]
# clip, key of its record, hash of its input
Work = tuple[Clip, str, str]

# These stop a run: the next clip would meet them too.
_STOPS = (WeightError, StoreError, ConfigError)
FATAL: dict[str, type[MerkitError]] = {kind.__name__: kind for kind in (*_STOPS, MerkitError)}


class Job:
    """Makes one clip's features and adds them to the store, in whichever process or on whichever machine.

    Args:
        extract: a `ClipExtractor`.
        store: where the features go; a copy of the job opens the store anew from its path.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> Job(len, FeatureStore.create(folder.name))((Clip("talk", ()), "key", "hash"))
        ('skipped', "TypeError: object of type 'Clip' has no len()")
        >>> folder.cleanup()
    """

    def __init__(self, extract: Any, store: FeatureStore) -> None:
        self._extract = extract
        self._store = store

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._extract, self._store.path)

    def __call__(self, work: Work) -> Outcome:
        """What became of the clip; an error of the clip's own is an outcome, never an exception."""
        clip, key, input_hash = work
        try:
            self._store.add(record_of(self._extract(clip), key, input_hash))
        except _STOPS as error:
            return type(error).__name__, str(error)
        except MerkitError as error:
            return "skipped", str(error)
        except Exception as error:  # noqa: BLE001  one clip's surprise is recorded and must not end the others' run
            return "skipped", f"{type(error).__name__}: {error}"
        return "done", None


def _reopened(extract: Any, path: Path) -> Job:
    return Job(extract, FeatureStore.open(path))
