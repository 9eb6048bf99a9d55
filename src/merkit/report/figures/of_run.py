"""The figures of a finished run: average precision by label, confusions, F1 by class, from what it predicted."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merkit.errors import ConfigError, StoreError
from merkit.evaluation.by_class import BY_CLASS, by_class
from merkit.evaluation.metrics import confusion
from merkit.report.figures.classes import ClassPanel, class_bars, confusion_figure
from merkit.report.figures.drawing import Drawing

if TYPE_CHECKING:
    from merkit.schema import TargetSpec
    from merkit.training.evaluate import Predictions

__all__ = ["called", "run_figures"]

_AP = "area under the precision-recall steps of one label over the whole split"


def run_figures(path: Path, *, split: str = "valid", draws: int = 1000) -> tuple[list[Drawing], list[str]]:
    """Figures of every multi-label and single-label target of a run, or of a run of several seeds.

    Args:
        path: of the run; `predictions/SPLIT.npz` in it (or in its seeds) was written by `merkit evaluate`.
        split: which part of the data.
        draws: bootstrap resamples for a run of one seed; several seeds are drawn as mean, lowest and highest.

    Returns:
        The drawings, and in sentences what is not drawn and why.

    Raises:
        StoreError: there is no run, or it was not evaluated on the split.
        ConfigError: seeds answered for different clips.
    """
    from merkit.training.evaluate import Predictions
    from merkit.training.run import Run

    top = Run(path)
    runs = top.seeds()
    members = []
    for run in runs:
        file = run.path / "predictions" / f"{split}.npz"
        if not file.is_file():
            raise StoreError(f"{file}: not there; `merkit evaluate {path} --split {split}` writes it")
        members.append(Predictions.load(file))
    if any(not np.array_equal(made.ids, members[0].ids) for made in members[1:]):
        raise ConfigError(f"{path}: its seeds answered for different clips of {split}; evaluate it again")
    about = f"{called(path)} · {split}" + (f" · mean of {len(runs)} seeds" if len(runs) > 1 else "")
    drawings, said = [], []
    for specs in _together([spec for spec in runs[0].specs if spec.kind == "multi_label"]):
        panels = [_panel(spec, members, draws) for spec in specs]
        names = "-".join(spec.name for spec in specs)
        title = f"Average precision by label: {about}"
        drawings.append(
            class_bars(
                panels, measure="average precision", definition=_AP, title=title, name=f"average-precision-{names}"
            )
        )
    for spec in runs[0].specs:
        if spec.kind == "single_label":
            panel = _panel(spec, members, draws)
            drawings.append(_confusion(spec, members, panel, about))
        elif spec.kind != "multi_label":
            said.append(
                f"{spec.name} is a {spec.kind.replace('_', ' ')} target; figures are drawn of labels and classes."
            )
    return drawings, said


def _together(specs: Sequence["TargetSpec"]) -> list[list["TargetSpec"]]:
    """Targets with the same labels, which are drawn side by side."""
    found: dict[tuple[str, ...], list[TargetSpec]] = {}
    for spec in specs:
        found.setdefault(spec.labels, []).append(spec)
    return list(found.values())


def _panel(spec: "TargetSpec", members: Sequence["Predictions"], draws: int) -> ClassPanel:
    """A target's scores; persons of one clip are drawn together, as they are alike."""
    first = members[0]
    output, valid = [made.output[spec.name] for made in members], first.valid[spec.name]
    target, groups, note = first.target[spec.name], first.units(spec.name), ""
    over = "whole clips" if spec.per_entity and first.groups is None else ""
    if spec.per_entity and spec.name not in first.owner and len(members) == 1:
        groups, draws, note = (
            None,
            0,
            "no interval: these predictions do not say who shares a clip. Evaluate the run again.",
        )
    if groups is not None and len(np.unique(groups)) < 2 and len(members) == 1:
        note = "no interval: the split is a single group."
    scores = by_class(output, target, valid, each=BY_CLASS[spec.kind], groups=groups, over=over, draws=draws)
    unit = "clips"
    if spec.name in ("scene", "scene_words"):
        unit = "scenes"
    elif spec.per_entity:
        unit = "characters" if spec.name.startswith("character") else "persons"
    return ClassPanel(spec.name, spec.labels, scores, unit, note)


def _confusion(spec: "TargetSpec", members: Sequence["Predictions"], panel: ClassPanel, about: str) -> Drawing:
    valid = members[0].valid[spec.name]
    target = members[0].target[spec.name][valid]
    counts = [confusion(made.output[spec.name][valid], target) for made in members]
    title = f"Confusions and F1 of {spec.name}: {about} · n = {len(target):,}"
    return confusion_figure(
        counts[0] if len(counts) == 1 else np.mean(counts, axis=0),
        panel,
        title=title,
        name=f"confusion-{spec.name}",
        runs=len(counts),
    )


def called(path: Path) -> str:
    """What titles call a run: its folder, with the one above it for a single seed.

    Example:
        >>> called(Path("runs/mine")), called(Path("runs/mine/seed-0"))
        ('mine', 'mine/seed-0')
    """
    path = path.resolve()
    return f"{path.parent.name}/{path.name}" if path.name.startswith("seed-") else path.name
