"""Where a trained model with label queries looks: expressiveness over a split, and one scene over time."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merkit.errors import ConfigError, MediaError, StoreError
from merkit.evaluation.expressiveness import expressiveness
from merkit.report.figures.attention import attention_timeline, expressiveness_bars
from merkit.report.figures.collected import PICTURE_AND_DIALOG, SceneAttention, collect_attention
from merkit.report.figures.drawing import Drawing
from merkit.report.figures.of_run import called

if TYPE_CHECKING:
    from merkit.schema import TargetSpec

__all__ = ["attention_figures", "scene_timelines"]


def scene_timelines(
    scene: SceneAttention,
    specs: "tuple[TargetSpec, ...]",
    *,
    about: str,
    names: tuple[str, ...] = (),
    words: Mapping[str, list[tuple[float, str]]] | None = None,
    truth: Mapping[str, np.ndarray] | None = None,
    most: int = 5,
) -> list[Drawing]:
    """A time-line of the scene's label queries, and one for those of each of its characters.

    Args:
        scene: from `merkit.report.figures.collected`.
        specs: targets of the model.
        about: of which run and split.
        names: of the scene's entities 0, 1, …
        words: stream -> `start_s, text` of what is said.
        truth: target -> `(K,)` or `(Q, K)` bool.
        most: rows of a panel.
    """
    words, truth = words or {}, truth or {}
    drawings = []
    slug = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in scene.id)
    for spec in specs:
        own = {key.split(".", 1)[1]: w for key, w in scene.attention.items() if key.startswith(f"{spec.name}.")}
        if spec.kind != "multi_label" or not own:
            continue
        queries = range(scene.prob[spec.name].shape[0]) if spec.per_entity else [None]
        for query in queries:
            if query is not None and not any(
                scene.mask[name][query].any() for name in ("face", "lines") if name in own
            ):
                continue  # no such character
            weights = {name: w if query is None else w[query] for name, w in own.items()}
            times, weight = _panels(weights, scene, names)
            if not times:
                continue
            who = "the scene" if query is None else _called(names, query)
            known = truth.get(spec.name)
            drawings.append(
                attention_timeline(
                    times,
                    weight,
                    spec.labels,
                    scene.prob[spec.name] if query is None else scene.prob[spec.name][query],
                    title=f"Attention of the label queries of {who}: scene {scene.id} · {about}",
                    name=f"attention-{slug}" + ("" if query is None else f"-{spec.name}-{query + 1}"),
                    truth=known if known is None or query is None else known[query],
                    words=words.get("text", []),
                    beside={panel: "dialog" for panel in times if panel.startswith("lines of ")},
                    most=most,
                )
            )
    return drawings


def _panels(
    weights: Mapping[str, np.ndarray], scene: SceneAttention, names: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Panel -> times `(T,)` and attention `(K, T)`; one panel an entity where a stream has several."""
    titles: dict[str, Callable[[int], str]] = {
        "scene": lambda i: "picture of the scene",
        "face": lambda i: f"face of {_called(names, i)}",
        "text": lambda i: "dialog",
        "lines": lambda i: f"lines of {_called(names, i)}",
    }
    times, weight = {}, {}
    for stream in [*(name for name in titles if name in weights), *sorted(set(weights) - set(titles))]:
        for entity in range(scene.mask[stream].shape[0]):
            mask = scene.mask[stream][entity]
            if mask.any():
                title = titles[stream](entity) if stream in titles else f"{stream} {entity + 1}"
                times[title] = scene.times[stream][entity][mask]
                weight[title] = weights[stream][:, entity][:, mask]
    return times, weight


def _called(names: tuple[str, ...], entity: int) -> str:
    return names[entity] if entity < len(names) and names[entity] else f"character {entity + 1}"


def attention_figures(
    path: Path,
    *,
    split: str = "valid",
    scene: str | None = None,
    draws: int = 1000,
    most: int = 5,
    progress: Callable[[int, int, str], object] = lambda done, total, last: None,
) -> tuple[list[Drawing], list[str]]:
    """Expressiveness of a run over a split and the time-lines of one scene.

    Args:
        path: of the run; of several seeds the first is taken, because heads of different seeds do not correspond.
        split: which part of the data. `test` only once `merkit evaluate` has read it.
        scene: id of the clip whose time-lines are drawn; None = the first of the split with tokens in every stream.
        draws: bootstrap resamples.
        most: labels of a time-line.
        progress: `(scenes done, scenes, "")`.

    Returns:
        The drawings, and in sentences what else a reader should know.

    Raises:
        ConfigError: the model has no label queries, there is no such scene, or the split is a test split that nobody read.
        StoreError: there is no finished run.
    """
    from merkit.training.fit import loader_for
    from merkit.training.run import Run

    runs = Run(path).seeds()
    run = runs[0]
    if split == "test" and not (run.path / "predictions" / "test.npz").is_file():
        raise StoreError(f"{path}: labels of test are read by `merkit evaluate` alone; run it first")
    said = [f"{len(runs)} seeds: attention is drawn of {run.path.name}."] if len(runs) > 1 else []
    target = next((spec for spec in run.specs if spec.kind == "multi_label" and not spec.per_entity), None)
    if target is None:
        raise ConfigError(f"{path} has no multi-label target of whole clips, so no label queries to look at")
    table = run.system.load(run.config, split=split)
    if scene is not None and scene not in table.ids:
        raise ConfigError(f"{table.name} has no scene {scene} in {split}; there are {', '.join(table.ids[:3])} …")
    config = run.config
    loader, _ = loader_for(
        table,
        tuple(run.record["modalities"]),
        config.trainer,
        context=run.context,
        with_targets=False,
        sampling=run.system.sampling(config, table),
    )
    paid, ids, kept = collect_attention(
        run.model(), loader, target, scene, run.record.get("temperature"), lambda done: progress(done, len(table), "")
    )
    assert ids == list(map(str, table.ids))
    column = table.targets[target.name]
    groups = table.groups.get("movie", table.groups.get(config.data.split.by))
    found = expressiveness(paid, column.value, column.valid, groups=groups, draws=draws)
    there = [name for name in PICTURE_AND_DIALOG if name in paid]
    below = " and ".join({"scene": "the picture", "text": "the dialog"}[name] for name in there)
    about = f"{called(path)} · {split}"
    title = f"Expressiveness by label of {target.name}: {about} · n = {len(table):,} scenes"
    drawings = [expressiveness_bars(found, target.labels, title=title, name="expressiveness", below=below)]
    if kept is None:
        said.append("No scene of the split has tokens in every stream: name one with --scene.")
        return drawings, said
    if scene is None:
        said.append(f"Scene {kept.id}: the first of {split} with tokens in every stream. --scene draws another.")
    row = int(np.flatnonzero(table.ids == kept.id)[0])
    names = tuple(table.entities[row]) if table.entities is not None else ()
    truth = {
        name: (c.value[row] > 0.5) & c.valid[row] for name, c in table.targets.items() if c.spec.kind == "multi_label"
    }
    words = {"text": _words(config.data.root, kept.id)}
    drawings += scene_timelines(kept, run.specs, about=about, names=names, words=words, truth=truth, most=most)
    return drawings, said


def _words(root: Path, clip: str) -> list[tuple[float, str]]:
    """What is said in the scene, where the corpus keeps it."""
    from merkit.corpora.utterances import read_utterances

    try:
        return [(said.start_s, said.text) for said in read_utterances(root) if said.clip == clip]
    except MediaError:
        return []
