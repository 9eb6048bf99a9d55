"""Features that somebody already has as arrays: one `.npz` file with a row per clip, and which column means what.

Many feature sets of the field travel this way. The columns are named once in the config (`data.arrays.…`); the same
mapping then reads any other folder of the same layout, so a part that training never saw is read by the run itself.
"""

import zipfile
from pathlib import Path

import numpy as np

from merkit.config import Config
from merkit.data.splits import SPLITS
from merkit.data.table import ClipTable, Provenance, TargetColumn, TokenColumn
from merkit.errors import ConfigError, MediaError
from merkit.naming import check_names
from merkit.schema import TargetKind, TargetSpec

__all__ = ["ArrayTarget", "ArraysConfig", "read_arrays"]

# a header that promises more than this is refused before any of it is unpacked
_MOST_BYTES = 8 << 30


class ArrayTarget(Config):
    """A column with answers."""

    column: str = "label"
    """`(n,)` class indices or `(n, K)` values; a negative index or NaN = not known."""
    kind: TargetKind = "single_label"
    """What the column holds."""
    labels: tuple[str, ...] = ()
    """The `K` labels in order; none = take them from `names`."""
    names: str = ""
    """A column that holds the labels."""


class ArraysConfig(Config):
    """Which column of the file means what."""

    file: str = "data.npz"
    """File within the root."""
    id: str = ""
    """Column with ids; none = the row number."""
    split: str = "split"
    """Column with `train`, `valid`, `test`; none = no clip is in any of them."""
    modalities: dict[str, str] = {}  # noqa: RUF012  pydantic copies defaults
    """Modality -> column with its `(n, D)` features. A row of NaN = the clip lacks the modality."""
    targets: dict[str, ArrayTarget] = {"label": ArrayTarget()}  # noqa: RUF012
    """Target name -> its column."""
    groups: dict[str, str] = {}  # noqa: RUF012
    """Kind of group (`speaker`, `video` …) -> column."""
    dialogue: str = ""
    """Column that says which dialogue or video a clip belongs to."""
    turn: str = ""
    """Column with the order within it."""
    texts: str = ""
    """Column with the words."""
    signed_sqrt: tuple[str, ...] = ()
    """Modalities whose features are replaced by their signed square root: rectified activations and counts have long
    tails, which a standard deviation describes badly."""
    fitted_on: dict[str, tuple[str, ...]] = {}  # noqa: RUF012
    """Modality -> splits whose labels its features were fitted on, e.g. `{text: [train, valid]}`. Say so where it is
    true: figures on those splits mean nothing, and the leakage check tells."""
    source: str = ""
    """Who made the features, for result tables."""


def read_arrays(root: Path, config: ArraysConfig, *, name: str = "", split: str = "") -> ClipTable:
    """The table of `root`.

    Args:
        root: folder that holds `config.file`.
        config: the mapping.
        name: of the corpus; the folder's where none is given.
        split: of all clips, where the file has no such column: a folder that holds one part alone.

    Raises:
        ConfigError: no column is named, or `signed_sqrt` or `fitted_on` name a modality or split that is not there.
        MediaError: the file is missing, damaged or too large, or a column is not what the config says.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/data.npz", voice=np.ones((2, 3)), label=np.array([0, 1]), split=["train", "test"])
        ...     config = ArraysConfig(modalities={"speech": "voice"}, targets={"emotion": {"labels": ["joy", "anger"]}})
        ...     read_arrays(Path(folder), config).streams["speech"].width
        3
    """
    path = Path(root) / config.file
    if not path.resolve().is_relative_to(Path(root).resolve()):
        raise MediaError("leaves the root", path=path, field="data.arrays.file")
    columns = _load(path)

    def column(key: str, what: str) -> np.ndarray:
        if key not in columns:
            raise MediaError(f"has no column `{key}`; there are {', '.join(sorted(columns))}", path=path, field=what)
        return columns[key]

    if not config.modalities:
        raise ConfigError("data.arrays.modalities names no column: e.g. data.arrays.modalities.text=text_features")
    check_names("data.arrays.signed_sqrt", config.signed_sqrt, config.modalities)
    check_names("data.arrays.fitted_on", config.fitted_on, config.modalities)
    features = {m: column(key, f"modality {m}") for m, key in config.modalities.items()}
    n = len(next(iter(features.values())))
    streams = {}
    for modality, x in features.items():
        if x.ndim != 2 or len(x) != n or not np.issubdtype(x.dtype, np.number):
            raise MediaError(
                f"must be numbers ({n}, D); it is {x.dtype} {x.shape}", path=path, field=f"modality {modality}"
            )
        present = np.asarray(~np.isnan(x).all(1))
        if not np.isfinite(x[present]).all():
            row = int(np.flatnonzero(present)[~np.isfinite(x[present]).all(1)][0])
            raise MediaError("holds a value that is not finite", path=path, field=f"modality {modality}, row {row}")
        if modality in config.signed_sqrt:
            x = np.sign(x) * np.sqrt(np.abs(x))
        # bytes in a table of features are counts or flags, not pictures
        streams[modality] = TokenColumn.one_per_clip(x.astype(np.float32, copy=False), present)
    ids = column(config.id, "id").astype(str) if config.id else np.char.mod("%d", np.arange(n))
    stated = config.split in columns if split else bool(config.split)
    parts = column(config.split, "split").astype(str) if stated else np.full(n, split)
    there = dict.fromkeys([*SPLITS, *np.unique(parts).tolist()])
    for modality, fitted in config.fitted_on.items():
        check_names(f"data.arrays.fitted_on.{modality}", fitted, there)
    return ClipTable(
        name or Path(root).resolve().name,
        ids,
        parts,
        streams,
        {target: _target(target, about, column, path) for target, about in config.targets.items()},
        {kind: column(key, f"group {kind}").astype(str) for kind, key in config.groups.items()},
        column(config.dialogue, "dialogue").astype(str) if config.dialogue else None,
        column(config.turn, "turn").astype(np.int64) if config.turn else None,
        column(config.texts, "texts").astype(str) if config.texts else None,
        provenance={
            m: Provenance(config.source or f"{config.file}:{key}", tuple(config.fitted_on.get(m, ())))
            for m, key in config.modalities.items()
        },
    )


def _target(name: str, about: ArrayTarget, column, path: Path) -> TargetColumn:
    value = column(about.column, f"target {name}")
    labels = about.labels or (tuple(map(str, column(about.names, f"target {name}"))) if about.names else ())
    if not labels:
        raise ConfigError(f"data.arrays.targets.{name}: give `labels` or `names`")
    spec = TargetSpec(name, about.kind, labels)
    if about.kind == "single_label":
        value = value.astype(np.int64)
        if value.ndim != 1 or value.max(initial=0) >= len(labels):
            raise MediaError(f"must be class indices below {len(labels)}", path=path, field=f"target {name}")
        return TargetColumn(spec, np.maximum(value, 0), value >= 0)
    value = value.astype(np.float32)
    value = value[:, None] if value.ndim == 1 else value
    if value.shape[1:] != (len(labels),):
        raise MediaError(f"must be (n, {len(labels)}); it is {value.shape}", path=path, field=f"target {name}")
    valid = np.isfinite(value)
    return TargetColumn(spec, np.where(valid, value, 0.0).astype(np.float32), valid)


def _load(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise MediaError("no such file", path=path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > _MOST_BYTES:
            raise MediaError(f"would unpack to {size / 2**30:.1f} GB; the limit is {_MOST_BYTES >> 30}", path=path)
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise MediaError(f"is not a readable .npz file ({error})", path=path) from error
