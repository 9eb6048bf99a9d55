"""A copy of MELD from Kaggle, by Kaggle's own client, where that is installed and knows who asks."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from merkit.corpora.meld.unpacked import is_complete, unpack_folder
from merkit.errors import ConfigError, MerkitError

__all__ = ["fetch_kaggle"]

_SETUP = "a token from kaggle.com/settings belongs in ~/.kaggle/kaggle.json, or KAGGLE_USERNAME and KAGGLE_KEY in the environment"


def fetch_kaggle(
    dataset: str,
    subdir: str,
    dest: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int, str], object] | None = None,
) -> Path:
    """Downloads a dataset and unpacks one folder of it; nothing is done where all tables are there already.

    Args:
        dataset: `OWNER/NAME`.
        subdir: which folder of the archive.
        dest: where its files go. The archive lies in `.kaggle` there until it is unpacked.
        force: fetch it in any case.
        progress: told how many of how many files are unpacked.

    Returns:
        `dest`.

    Raises:
        ConfigError: no such name, the client is not installed or not configured, or it fails.
        MediaError: the archive cannot be used.
    """
    if not re.fullmatch(r"[\w-]+/[\w.-]+", dataset):
        raise ConfigError(f"--kaggle {dataset}: OWNER/DATASET is wanted, such as zaber666/meld-dataset")
    if ".." in Path(subdir).parts:
        raise ConfigError(f"--subdir {subdir}: leaves the archive")
    if is_complete(dest) and not force:
        return dest
    api = _client()
    folder = dest / ".kaggle"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{dataset.partition('/')[2]}.zip"
    try:
        api.dataset_download_files(dataset, path=str(folder), unzip=False, force=force, quiet=True)
    except Exception as error:
        raise ConfigError(f"--kaggle {dataset}: Kaggle's client failed: {error}") from error
    if not archive.is_file():
        raise ConfigError(f"--kaggle {dataset}: Kaggle's client left no {archive.name}")
    try:
        unpack_folder(archive, subdir, dest, progress=progress)
    except MerkitError:
        archive.unlink(missing_ok=True)  # what is wrong with it would be so the next time
        raise
    shutil.rmtree(folder)
    return dest


def _client() -> Any:
    """Kaggle's client, logged in."""
    try:
        import kaggle  # ty: ignore[import-not-found]  an option of the user

        kaggle.api.authenticate()
    except ImportError as error:
        raise ConfigError(f"--kaggle needs Kaggle's client: pip install kaggle; {_SETUP}") from error
    except (OSError, ValueError, SystemExit) as error:  # which it raises, or is, where there is no token
        raise ConfigError(f"--kaggle: Kaggle does not know who asks ({error}): {_SETUP}") from error
    return kaggle.api
