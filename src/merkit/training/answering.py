"""What one trained network answers for every clip of a table, view by view: long work, in batches, that can go on."""

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from merkit.atomic import replacing
from merkit.data.table import ClipTable
from merkit.errors import ConfigError
from merkit.training.fit import loader_for
from merkit.training.remembering import remembering
from merkit.training.run import Run
from merkit.training.tempering import mean_over_views
from merkit.training.views import PictureView, find_views, picture_streams

__all__ = ["Answering", "Told", "answers_of", "logits_of", "views_of"]

# (views of clips answered, of how many, what the last was)
Told = Callable[[int, int, str], None]

# seconds between two savings of what was answered so far
_SAVE_EVERY_S = 20.0


@dataclass(frozen=True, slots=True)
class Answering:
    """How answers are made of what networks say.

    Args:
        views: name or size of a set of views (`merkit.training.views.VIEWS`).
        power: T of `merkit.training.tempering.temper`; 1 leaves probabilities as they are.
        calibrated: use the temperature that each network was given on its valid split; False takes raw softmax.
        device: where to compute: `cpu`, `cuda`, or `auto` for a GPU where there is one.

    Raises:
        ConfigError: there is no such set of views or device, or the power is not above 0.

    Example:
        >>> Answering(views="12", power=0.1).label, Answering().label
        ('views12-T0.1', '')
    """

    views: str = "none"
    power: float = 1.0
    calibrated: bool = True
    device: str = "cpu"

    def __post_init__(self) -> None:
        find_views(self.views)
        if not 0 < self.power < float("inf"):
            raise ConfigError(f"probabilities are tempered with a power above 0, not {self.power}")
        if self.device not in ("cpu", "cuda", "auto"):
            raise ConfigError(f"no device {self.device!r}; there are auto, cpu, cuda")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device cuda: there is no such device here; auto takes what there is")

    @property
    def label(self) -> str:
        """What tells answers made in this way from plain ones, for names of files; empty where they are plain."""
        count = len(find_views(self.views))
        parts = [f"views{count}"] if count > 1 else []
        parts += [f"T{self.power:g}"] if self.power != 1.0 else []
        return "-".join(parts if self.calibrated else [*parts, "raw"])

    @property
    def where(self) -> torch.device:
        """The device itself."""
        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def views_of(run: Run, table: ClipTable, how: Answering) -> tuple[PictureView, ...]:
    """The views that a run's clips are looked at in: one where it looks at no pictures, whatever is asked."""
    pictures = picture_streams(table.streams, tuple(run.record["modalities"]))
    return find_views(how.views) if pictures else find_views("none")


def answers_of(
    run: Run,
    table: ClipTable,
    places: Mapping[str, tuple[np.ndarray, np.ndarray]],
    how: Answering,
    *,
    with_targets: bool = False,
    kept: Path | None = None,
    told: Told = lambda done, total, last: None,
) -> dict[str, np.ndarray]:
    """target -> `(m, K)` probabilities (values of a regression) of one network: the mean over its views.

    Args:
        run: of one seed.
        table: clips, with the streams of the run.
        places: see `logits_of`.
        how: views, power, calibration, device.
        with_targets: hand the model targets too, as training does.
        kept: see `logits_of`.
        told: of progress.
    """
    found = logits_of(
        run, table, places, views_of(run, table, how), with_targets=with_targets, device=how.where, kept=kept, told=told
    )
    fitted = run.record.get("temperature", {}) if how.calibrated else {}
    return {
        spec.name: mean_over_views(found[spec.name], spec, fitted.get(spec.name, 1.0), how.power) for spec in run.specs
    }


@torch.inference_mode()
def logits_of(
    run: Run,
    table: ClipTable,
    places: Mapping[str, tuple[np.ndarray, np.ndarray]],
    views: tuple[PictureView, ...],
    *,
    with_targets: bool = False,
    device: torch.device | str = "cpu",
    kept: Path | None = None,
    told: Told = lambda done, total, last: None,
) -> dict[str, np.ndarray]:
    """target -> `(V, n, K)` float32 raw outputs, or `(V, m, K)` of the persons asked about, in the order of the table.

    A batch is read once and seen in all views; what sees the same in each of them answers once. With `kept`, what was
    answered is saved now and then and at the end, raw and by view: a stopped call goes on where it was, and another power,
    calibration or mean costs nothing.

    Args:
        run: of one seed.
        table: clips, with the streams of the run.
        places: target asked per entity -> `(m,)` rows of clips in rising order and `(m,)` places of persons in them.
        views: at least one.
        with_targets: hand the model targets too, as training does.
        device: where to compute.
        kept: a folder; files in it are named by network, data and views, and one that belongs to others is not read.
        told: of progress, in views of clips.

    Raises:
        StoreError: the run is not finished.
    """
    model, specs, modalities = run.model().to(device), run.specs, tuple(run.record["modalities"])
    pictures = picture_streams(table.streams, modalities)
    loader, order = loader_for(
        table,
        modalities,
        run.config.trainer,
        context=run.context,
        with_targets=with_targets,
        sampling=run.system.sampling(run.config, table),
    )
    path = None if kept is None else kept / f"{_named(run, table, places, views)}.npz"
    done, parts = _held(path, [spec.name for spec in specs])
    sizes = [len(rows) for rows in order]
    first, total, saved = sum(sizes[:done]), len(views) * len(table), time.monotonic()
    order.resume(0, done)
    if not sizes[done:]:
        told(total, total, str(run.path))
        return {spec.name: _joined(parts[spec.name]) for spec in specs}
    for batch in loader:
        batch = batch.to(device)
        last = first + batch.size
        here = {name: slice(*np.searchsorted(owner, [first, last])) for name, (owner, _) in places.items()}
        seen: dict[str, list[np.ndarray]] = {spec.name: [] for spec in specs}
        with remembering(model) if len(views) > 1 else nullcontext():
            for i, view in enumerate(views):
                logits = model(view(batch, pictures))
                for spec in specs:
                    logit = logits[spec.name].float()
                    if spec.per_entity:
                        owner, place = (column[here[spec.name]] for column in places[spec.name])
                        logit = logit[torch.from_numpy(owner - first).to(device), torch.from_numpy(place).to(device)]
                    seen[spec.name].append(logit.cpu().numpy())
                told(len(views) * first + (i + 1) * batch.size, total, str(run.path))
        for name, each in seen.items():
            parts[name].append(np.stack(each))
        first, done = last, done + 1
        if path is not None and (done == len(sizes) or time.monotonic() - saved > _SAVE_EVERY_S):
            _keep(path, done, parts)
            saved = time.monotonic()
    return {spec.name: _joined(parts[spec.name]) for spec in specs}


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts, axis=1)


def _named(
    run: Run, table: ClipTable, places: Mapping[str, tuple[np.ndarray, np.ndarray]], views: tuple[PictureView, ...]
) -> str:
    """Whatever the answers depend on, as a name."""
    digest = hashlib.sha256()
    for file in ("model.safetensors", "config.json"):
        with (run.path / file).open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    digest.update(f"{table.fingerprint()} {views}".encode())
    for name, columns in sorted(places.items()):
        digest.update(name.encode() + b"".join(np.ascontiguousarray(column, np.int64).tobytes() for column in columns))
    return digest.hexdigest()[:32]


def _keep(path: Path, done: int, parts: Mapping[str, list[np.ndarray]]) -> None:
    with replacing(path) as temporary:
        np.savez(temporary, done=np.array(done), **{f"logit.{name}": _joined(part) for name, part in parts.items()})  # ty: ignore[invalid-argument-type]


def _held(path: Path | None, names: list[str]) -> tuple[int, dict[str, list[np.ndarray]]]:
    """How many batches were answered, and what."""
    if path is None or not path.is_file():
        return 0, {name: [] for name in names}
    with np.load(path, allow_pickle=False) as archive:
        return int(archive["done"]), {name: [archive[f"logit.{name}"]] for name in names}
