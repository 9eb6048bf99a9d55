"""What a trained network makes of the clips of a split: fused vectors as a file, and a map of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.atomic import replacing
from merkit.data.votes import hard
from merkit.errors import ConfigError, StoreError
from merkit.report.figures.drawing import Drawing
from merkit.report.figures.embedding import embedding_map, plane_of
from merkit.report.figures.of_run import called

if TYPE_CHECKING:
    from merkit.data.table import ClipTable, TargetColumn
    from merkit.training.run import Run

__all__ = ["Embeddings", "embedding_figures", "embeddings_of"]

_MOST_PANELS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Fused vectors of clips, or of persons in them, and what raters said.

    Args:
        split: which part of the data.
        row: `(m,)` rows of the clips in their table.
        place: `(m,)` which person of the clip; -1 where it is the clip as a whole.
        ids: `(m,)` clips.
        persons: `(m,)` names, empty for whole clips.
        x: `(m, E)` float32, what the heads see.
        numbers: rating -> `(m,)`, NaN where not known.
        classes: question -> labels and `(m,)` which, -1 where not known or tied.
    """

    split: str
    row: np.ndarray
    place: np.ndarray
    ids: np.ndarray
    persons: np.ndarray
    x: np.ndarray
    numbers: Mapping[str, np.ndarray]
    classes: Mapping[str, tuple[tuple[str, ...], np.ndarray]]

    def write(self, folder: Path) -> Path:
        """`embeddings-SPLIT.npz` by rename: `clip`, `person`, `embedding (m, E)`, `rated.NAME (m,)`, `class.NAME (m,)` words."""
        held: dict[str, Any] = {"clip": self.ids.astype(str), "person": self.persons.astype(str), "embedding": self.x}
        held |= {f"rated.{name}": values for name, values in self.numbers.items()}
        for name, (labels, index) in self.classes.items():
            held[f"class.{name}"] = np.array([labels[k] if k >= 0 else "" for k in index], str)
        path = folder / f"embeddings-{self.split}.npz"
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **held)
        return path


def embeddings_of(
    run: "Run",
    table: "ClipTable",
    split: str,
    progress: Callable[[int, int, str], object] = lambda done, total, last: None,
) -> Embeddings:
    """The fused vectors of all clips that show anything; of each person in them where all questions are of persons.

    Args:
        run: of one seed.
        table: its clips, as its system loads them.
        split: what to call them.
        progress: `(clips done, clips, "")`.

    Raises:
        ConfigError: the model does not say what it makes of a clip.
        StoreError: the run is not finished.
    """
    import torch

    from merkit.training.fit import loader_for

    model: Any = run.model()
    config = run.config
    if not hasattr(model, "outputs"):
        raise ConfigError(f"a {type(model).__name__} does not say what it makes of a clip before it answers")
    loader, _ = loader_for(
        table,
        tuple(run.record["modalities"]),
        config.trainer,
        context=run.context,
        with_targets=False,
        sampling=run.system.sampling(config, table),
    )
    rows, places, parts, done = [], [], [], 0
    with torch.inference_mode():
        for batch in loader:
            out = model.outputs(batch)
            x = out.embedding[: batch.size].float().cpu().numpy()
            there = torch.stack([present[: batch.size] for present in out.present.values()]).any(0)
            if there.ndim > x.ndim - 1:  # persons were looked at, clips are what the vectors are of
                there = there.any(1)
            there = there.cpu().numpy()
            at = np.nonzero(there)
            rows.append(done + at[0])
            places.append(at[1] if len(at) > 1 else np.full(len(at[0]), -1))
            parts.append(x[there])
            done += batch.size
            progress(done, len(table), "")
    row, place = np.concatenate(rows).astype(np.int64), np.concatenate(places).astype(np.int64)
    persons = np.full(len(row), "", object)
    if table.entities is not None:
        for i in np.flatnonzero(place >= 0):
            names = table.entities[row[i]]
            persons[i] = names[place[i]] if place[i] < len(names) else ""
    numbers: dict[str, np.ndarray] = {}
    classes: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, column in table.targets.items():
        if column.spec.per_entity != bool((place >= 0).any()):
            continue  # the answers are not of what the vectors are of
        at = (row,) if not column.spec.per_entity else (row, place)
        _rated(name, column, at, numbers, classes)
    return Embeddings(split, row, place, table.ids[row], persons, np.concatenate(parts), numbers, classes)


def _rated(
    name: str,
    column: "TargetColumn",
    at: tuple[np.ndarray, ...],
    numbers: dict[str, np.ndarray],
    classes: dict[str, tuple[tuple[str, ...], np.ndarray]],
) -> None:
    """Adds what raters said on one question."""
    spec, value, valid = column.spec, column.value[at], column.valid[at]
    if spec.kind == "regression":
        for k, label in enumerate(spec.labels):
            known = valid[:, k] if valid.ndim > 1 else valid
            numbers[label if label not in numbers else f"{name}.{label}"] = np.where(known, value[:, k], np.nan)
    elif spec.kind == "single_label":
        classes[name] = (spec.labels, np.where(valid, value, -1).astype(np.int64))
    elif spec.kind == "soft_label":
        known = valid if valid.ndim == 1 else valid.all(1)
        most, alone = hard(np.where(known[:, None], value, 0.0))
        classes[name] = (spec.labels, np.where(known & alone, most, -1).astype(np.int64))


def embedding_figures(
    path: Path,
    *,
    split: str = "valid",
    layout: str = "pca",
    progress: Callable[[int, int, str], object] = lambda done, total, last: None,
) -> tuple[list[Drawing], list[str], Embeddings]:
    """A map of what a run makes of the clips of a split.

    Args:
        path: of the run; of several seeds the first is taken, for vectors of different seeds do not correspond.
        split: which part of the data. `test` only once `merkit evaluate` has read it.
        layout: see `merkit.report.figures.embedding.plane_of`.
        progress: `(clips done, clips, "")`.

    Returns:
        The drawing, in sentences what else a reader should know, and the vectors.

    Raises:
        ConfigError: the model has no such vectors, or there are too few clips.
        StoreError: there is no finished run, or the split is a test split that nobody read.
    """
    from merkit.training.run import Run

    runs = Run(path).seeds()
    run = runs[0]
    if split == "test" and not (run.path / "predictions" / "test.npz").is_file():
        raise StoreError(f"{path}: labels of test are read by `merkit evaluate` alone; run it first")
    said = [f"{len(runs)} seeds: the map is of {run.path.name}."] if len(runs) > 1 else []
    table = run.system.load(run.config, split=split)
    made = embeddings_of(run, table, split, progress)
    if silent := len(table) - len(np.unique(made.row)):
        said.append(f"{silent} of {len(table)} clips show nothing that the run looks at; they are not on the map.")
    shown = {name: values for name, values in made.numbers.items() if not name.endswith("_spread")}
    numbers = dict(list(shown.items())[:_MOST_PANELS])
    classes = dict(list(made.classes.items())[: _MOST_PANELS - len(numbers)])
    if left := len(shown) + len(made.classes) - len(numbers) - len(classes):
        said.append(f"{left} more questions stand in the file of vectors; {_MOST_PANELS} are drawn.")
    if not numbers and not classes:
        said.append("No rating or single class is known of these clips: dots have no colour.")
    place, axes_names = plane_of(made.x, layout)
    unit = "persons" if (made.place >= 0).any() else "clips"
    what = "PCA" if layout == "pca" else "UMAP"
    drawing = embedding_map(
        made.ids.astype(str).tolist(),
        place,
        axes_names=axes_names,
        title=f"{what} of fused embeddings: {called(path)} · {split} · n = {len(place):,} {unit}, {made.x.shape[1]} wide",
        name=f"embeddings-{layout}",
        numbers=numbers,
        classes=classes,
        persons=made.persons.tolist() if unit == "persons" else (),
        notes=("Distances between groups on a UMAP say little.",) if layout == "umap" else (),
    )
    return [drawing], said, made
