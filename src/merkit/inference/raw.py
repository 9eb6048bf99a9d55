"""Answers of runs for raw input: words, clips and dialogues that nobody has prepared, by the runs' own extractors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from merkit.corpora.manifest import Manifest, Rejected
from merkit.corpora.storage import write_manifest
from merkit.errors import ConfigError
from merkit.inference.making import Making, making_of
from merkit.inference.raw_features import Prepared, prepare_turns
from merkit.inference.regenerated import Named
from merkit.schema import Clip
from merkit.training.answering import Answering, Told
from merkit.training.panel import Panel, common_specs, open_panel, weights_of
from merkit.training.predict import predict_panel
from merkit.training.predicted import Predicted
from merkit.training.run import Run

__all__ = ["RawAnswers", "RawOptions", "predict_manifest"]


@dataclass(frozen=True, slots=True)
class RawOptions:
    """How raw input is read.

    Args:
        named: extractors that the user names.
        without: modalities to leave out.
        fps: frames a second; None = as in training.
        asr: whether speech is transcribed where a clip brings no words.
        weights: of each network of each run; none = 1 each.
        targets: the questions; none = all.
        missing: what turns get that show nothing, as of `merkit.training.predict.predict_panel`.
    """

    named: Named = field(default_factory=Named)
    without: tuple[str, ...] = ()
    fps: float | None = None
    asr: bool = True
    weights: Sequence[float] = ()
    targets: Sequence[str] = ()
    missing: Literal["none", "prior"] = "none"


@dataclass(frozen=True, slots=True, eq=False)
class RawAnswers:
    """What runs say of raw input.

    Args:
        predicted: the answers.
        words: turn -> what is said, where that is known.
        heard: turns whose words were transcribed.
        speaker: turn -> who speaks, where that is said.
        absent: turn -> modality -> why the runs could not look at it.
        rejected: what was left out.
    """

    predicted: Predicted
    words: Mapping[str, str]
    heard: frozenset[str]
    speaker: Mapping[str, str]
    absent: Mapping[str, Mapping[str, str]]
    rejected: tuple[Rejected, ...]


def predict_manifest(
    paths: Sequence[Path],
    manifest: Manifest,
    folder: Path,
    *,
    how: Answering | None = None,
    options: RawOptions | None = None,
    progress: Callable[[str, int, int], object] = lambda what, done, total: None,
    told: Told = lambda done, total, last: None,
) -> RawAnswers:
    """Makes the features that each run was trained on, and asks the runs: several answer as the mean of their networks.

    Args:
        paths: runs, each of one or several seeds, that answer the same questions.
        manifest: raw turns (`merkit.inference.turns.manifest_of`).
        folder: for what is made; what it holds already, unchanged, is not made again.
        how: views, power, calibration, device.
        options: how the input is read.
        progress: told of extraction: which clip, how many are done, of how many.
        told: of answering.

    Raises:
        ConfigError: features of a run cannot be made again, or the runs cannot answer together, or nothing can be used.
        WeightError: weights are missing.
    """
    how, options = how or Answering(), options or RawOptions()
    if not manifest.clips:
        raise ConfigError("; ".join(map(str, manifest.rejected)) or "there is nothing to answer for")
    tops = [Run(path) for path in paths]
    looked_at = {name for top in tops for run in top.seeds() for name in run.record["modalities"]}
    if unknown := set(options.without) - looked_at:
        raise ConfigError(
            f"--without {', '.join(sorted(unknown))}: what is looked at is {', '.join(sorted(looked_at))}"
        )
    if "text" in options.without:
        manifest, options = _wordless(manifest), replace(options, asr=False)
    # whatever the corpus of training calls them, here there are people who speak
    kinds = {run.config.data.own_scale_by for top in tops for run in top.seeds()[:1] if run.config.data.own_scale}
    manifest = _also_called(manifest, kinds)
    specs = common_specs([run for top in tops for run in top.seeds()], options.targets)
    weights = weights_of(options.weights, len(tops))
    makings = [_making(top, manifest, options) for top in tops]
    keys = list(dict.fromkeys(making.key for making in makings))
    done = [
        prepare_turns(
            manifest,
            next(making for making in makings if making.key == key),
            folder if len(keys) == 1 else folder / f"features-{number}",
            progress=lambda at: progress(at.clip, at.finished, at.total),
        )
        for number, key in enumerate(keys, 1)
    ]
    done = _of_all(done)
    names = [spec.name for spec in specs]
    panels = [_opened(path, done[keys.index(making.key)], names) for path, making in zip(paths, makings, strict=True)]
    members = [
        replace(member, weight=weight)
        for panel, weight in zip(panels, weights, strict=True)
        for member in panel.members
    ]
    notes = tuple(note for panel in panels for note in panel.warnings)
    whole = Panel(tuple(paths), done[0].root, tuple(members), specs, tuple(dict.fromkeys(notes)))
    predicted = predict_panel(whole, how, missing=options.missing, told=told)
    ids = [clip.id for clip in done[0].manifest.clips]
    return RawAnswers(
        predicted,
        {clip.id: stream.text for clip in done[0].manifest.clips for stream in clip.streams if stream.text},
        frozenset().union(*(each.heard for each in done)),
        {clip.id: clip.groups["speaker"] for clip in manifest.clips if "speaker" in clip.groups},
        {clip: _absent(done, clip, looked_at) for clip in ids},
        done[0].manifest.rejected,
    )


def _also_called(manifest: Manifest, kinds: set[str]) -> Manifest:
    def named(clip: Clip) -> Clip:
        who = clip.groups.get("speaker")
        return replace(clip, groups={**dict.fromkeys(kinds, who), **clip.groups}) if who else clip

    return replace(manifest, clips=tuple(map(named, manifest.clips))) if kinds else manifest


def _wordless(manifest: Manifest) -> Manifest:
    clips = (replace(c, streams=tuple(s for s in c.streams if s.modality != "text")) for c in manifest.clips)
    return replace(manifest, clips=tuple(clip for clip in clips if clip.streams))


def _of_all(done: list[Prepared]) -> list[Prepared]:
    """The same turns everywhere: one that some run's features could not be made of is answered by none."""
    shared = set.intersection(*({clip.id for clip in each.manifest.clips} for each in done))
    made = []
    for each in done:
        kept = tuple(clip for clip in each.manifest.clips if clip.id in shared)
        if len(kept) < len(each.manifest.clips):
            lost = dict.fromkeys(reason for other in done for reason in other.manifest.rejected)
            each = replace(each, manifest=replace(each.manifest, clips=kept, rejected=tuple(lost)))
            if kept:
                write_manifest(each.manifest, each.root)
        made.append(each)
    if not shared:
        raise ConfigError("; ".join(str(reason) for each in done for reason in each.manifest.rejected))
    return made


def _opened(path: Path, prepared: Prepared, targets: Sequence[str]) -> Panel:
    try:
        return open_panel([path], prepared.root, targets=targets)
    except ConfigError as error:
        # a folder that holds nothing for the run: the clips know why
        reasons = dict.fromkeys(f"{m}: {why}" for each in prepared.absent.values() for m, why in each.items())
        if not reasons:
            raise
        raise ConfigError(f"{error} ({'; '.join([*reasons][:5])})") from None


def _making(top: Run, manifest: Manifest, options: RawOptions) -> Making:
    there = {stream.modality for clip in manifest.clips for stream in clip.streams}
    heard = options.asr and "speech" in there
    run = top.seeds()[0]
    for name in run.config.data.own_scale:
        if any(run.config.data.own_scale_by not in clip.groups for clip in manifest.clips):
            raise ConfigError(
                f"{top.path} brings {name} to the scale of each {run.config.data.own_scale_by}: say who speaks (--speaker, or "
                "the column speaker), and give several clips of each"
            )
    return making_of(
        run,
        there | ({"text"} if heard else set()),
        named=options.named,
        without=options.without,
        fps=options.fps,
        asr=options.asr,
    )


def _absent(done: Sequence[Prepared], clip: str, looked_at: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for prepared in done:
        found |= {name: why for name, why in prepared.absent.get(clip, {}).items() if name in looked_at}
    return found
