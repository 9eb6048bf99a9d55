"""`merkit predict`: what trained runs say about clips that nobody has labelled, as answers and as a challenge's submission."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merkit.cli.answering_options import DeviceOption, RawOption, TemperOption, ViewsOption, WeightOption, answering
from merkit.cli.raw_options import (
    AsrOption,
    ClipOption,
    DialogueOption,
    DownloadOption,
    EncoderOption,
    ExtractorOption,
    FpsOption,
    KeepOption,
    PhysioOption,
    SpeakerOption,
    TextOption,
    TranscriptOption,
    WithoutOption,
)

if TYPE_CHECKING:
    from merkit.training.predicted import Answer, Predicted

__all__ = ["predict"]

# scenes that fit on a few screens; the files have them all
_SHOWN = 20


def predict(
    runs: Annotated[
        list[Path],
        typer.Argument(help="A trained run, of one or several seeds, of any system; or several that answer together."),
    ],
    root: Annotated[
        Path | None,
        typer.Option(help="What to answer for: a folder from `merkit prepare`, with features; labels not needed."),
    ] = None,
    text: TextOption = None,
    speaker: SpeakerOption = None,
    clip: ClipOption = None,
    transcript: TranscriptOption = None,
    physio: PhysioOption = None,
    dialogue: DialogueOption = None,
    asr: AsrOption = True,
    extractor: ExtractorOption = None,
    encoder: EncoderOption = None,
    download: DownloadOption = False,
    without: WithoutOption = None,
    fps: FpsOption = None,
    keep: KeepOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the answers; none = ROOT/predictions/RUN. Raw: a folder or a CSV; none = on screen alone."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Labels that are shown of each scene and person.")] = 3,
    views: ViewsOption = "1",
    temper: TemperOption = 1.0,
    raw: RawOption = False,
    weight: WeightOption = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Questions to answer; none = all, which every RUN must answer alike.")
    ] = None,
    clips: Annotated[
        list[str] | None, typer.Option(help="Only clips whose ids match this pattern, e.g. 'test/*'; may be repeated.")
    ] = None,
    missing: Annotated[
        str,
        typer.Option(
            help="Clips that show nothing: `none` = no answer, and no submission; `prior` = shares of the training labels."
        ),
    ] = "none",
    submission: Annotated[
        list[Path] | None,
        typer.Option(help="Template of a challenge (CSV with FileID): write its classes; may be repeated."),
    ] = None,
    submission_out: Annotated[
        Path | None, typer.Option(help="File of the submission; none = TEMPLATE_submission.csv beside the answers.")
    ] = None,
    submission_names: Annotated[
        str,
        typer.Option(
            help="Classes as `labels`, `codes` (hap, ang …), `numbers` or LABEL=NAME,…; auto = codes where they fit."
        ),
    ] = "auto",
    submission_columns: Annotated[str, typer.Option(help="Columns of template and submission.")] = "FileID,Emotion",
    device: DeviceOption = "cpu",
    other_features: Annotated[
        bool,
        typer.Option("--other-features", help="Go on where features come from another extractor than in training."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON on stdout.")] = False,
) -> None:
    """Answer for words, clips and dialogues as they are, or for every clip of a prepared folder: calibrated probabilities.

    Raw input (--text, --clip, --dialogue) is read by the extractors that the run was trained on. Of a folder (--root),
    answers.json and answers.csv hold a row per clip, person and label. The answers say which label raters would give to an
    expression, not what anybody feels; people are those of their film alone.

    Several runs answer as the mean of all their networks, each of which counts only where it has something to look at.
    A call that was stopped goes on where it was.

    Examples:

        merkit predict runs/mine --text "Oh my God!" --speaker Ross

        merkit predict runs/mine --clip 'talks/*.mp4' --out answers.csv

        merkit predict runs/mine --dialogue talk.csv --json

        merkit predict runs/emotx --root scenes

        merkit predict runs/mine --root data/new --out answers --top 5

        merkit predict runs/mine --root data/new --json | jq '.clips[0].answers'

        merkit predict runs/a runs/b --root prepared --views 12 --temper 0.1 --submission prepared/submissions/test1.csv
    """
    import json
    import shutil

    import numpy as np

    from merkit.cli.progress import count_progress
    from merkit.corpora.templates import read_template
    from merkit.errors import ConfigError
    from merkit.report.answers import answers_document, write_answers
    from merkit.report.notice import NOTICE_SHORT
    from merkit.report.submission import class_names, clips_asked, submission_of, write_submission
    from merkit.training.panel import open_panel
    from merkit.training.predict import predict_panel

    if missing not in ("none", "prior"):
        raise ConfigError(f"--missing {missing}: it is `none` or `prior`")
    how = answering(views, temper, raw, device)
    if text or clip or dialogue or physio:
        of_folders = {"--root": root, "--clips": clips, "--submission": submission, "--submission-out": submission_out}
        if given := [name for name, value in of_folders.items() if value]:
            raise ConfigError(f"{given[0]} is for prepared folders; raw input is named by --text, --clip, --dialogue")
        from merkit.cli.predict_raw import RawInput, answer_raw

        asked = RawInput(
            texts=tuple(text or ()),
            speakers=tuple(speaker or ()),
            clips=tuple(clip or ()),
            transcript=transcript,
            physio=physio,
            dialogues=tuple(dialogue or ()),
            asr=asr,
            extractors=tuple(extractor or ()),
            encoders=tuple(encoder or ()),
            download=download,
            without=tuple(without or ()),
            fps=fps,
            weights=tuple(weight or ()),
            targets=tuple(target or ()),
        )
        answer_raw(runs, asked, how, missing=missing, keep=keep, out=out, top=top, as_json=as_json)
        return
    if root is None:
        raise ConfigError("what to answer for? --text, --clip or --dialogue, or --root with a prepared folder")
    of_raw = {"--speaker": speaker, "--transcript": transcript, "--no-asr": not asr, "--extractor": extractor,
              "--encoder": encoder, "--download": download, "--without": without, "--fps": fps, "--keep": keep}  # fmt: skip
    if given := [name for name, value in of_raw.items() if value]:
        raise ConfigError(
            f"{given[0]} is for raw input (--text, --clip, --dialogue); --root is read as it was prepared"
        )
    id_column, _, column = submission_columns.partition(",")
    templates = [read_template(path, id_column) for path in submission or ()]
    if submission_out is not None and len(templates) != 1:
        raise ConfigError("--submission-out names one file: give one --submission with it")
    panel = open_panel(runs, root, weights=weight or (), targets=target or (), other_features=other_features)
    if templates:
        class_names(panel.specs[0], submission_names)
    matched: list[np.ndarray] = []
    if templates or clips:
        phase = panel.members[0].table.groups.get("phase")
        matched, wanted = clips_asked(
            panel.ids, panel.split, panel.seen, templates, clips or (), phase, prior=missing == "prior"
        )
        panel, rows = panel.take(wanted)
        matched = [np.where(found < 0, -1, np.searchsorted(rows, found)) for found in matched]
    folder = root if root.is_dir() else root.parent
    out = out or folder / "predictions" / "+".join(run.resolve().name for run in runs)
    with count_progress("answering", quiet=as_json) as told:
        predicted = predict_panel(
            panel, how, missing="prior" if missing == "prior" else "none", kept=out / "so-far", told=told
        )
    files = list(write_answers(predicted, out))
    notes = [*predicted.warnings]
    for template, found in zip(templates, matched, strict=True):
        classes, bare = submission_of(predicted, template, found, names=submission_names)
        at = submission_out or out / f"{template.path.stem}_submission.csv"
        files.append(write_submission(template, classes, at, column or "Emotion"))
        if bare:
            notes.append(
                f"{at}: {len(bare)} of {len(classes)} files show nothing; the commonest class of training stands there"
            )
    shutil.rmtree(out / "so-far", ignore_errors=True)
    for note in notes:
        typer.secho(note, fg=typer.colors.YELLOW, err=True)
    if as_json:
        typer.echo(json.dumps(answers_document(predicted), ensure_ascii=False, indent=1))
        return
    _show(predicted, top)
    typer.echo(" · ".join(map(str, files)))
    typer.echo(NOTICE_SHORT)


def _show(predicted: "Predicted", top: int) -> None:
    """The likeliest labels, a clip a paragraph."""
    shown: list[str] = []
    for answer in predicted.answers():
        if answer.clip not in shown:
            if len(shown) == _SHOWN:
                typer.echo(f"… and {int(predicted.seen.sum()) - _SHOWN} more clips")
                break
            shown.append(answer.clip)
            when = "" if answer.start_s is None else f"  {_clock(answer.start_s)}-{_clock(answer.end_s or 0.0)}"
            typer.secho(f"{answer.clip}{when}", bold=True)
        typer.echo(f"  {_who(answer, len(predicted.specs))}: {_likeliest(answer, predicted, top)}")


def _who(answer: "Answer", questions: int) -> str:
    who = "scene" if answer.film and answer.entity is None else answer.entity or "clip"
    return who if questions == 1 or answer.target in (who, "character") else f"{who}, {answer.target}"


def _likeliest(answer: "Answer", predicted: "Predicted", top: int) -> str:
    kind = next(spec.kind for spec in predicted.specs if spec.name == answer.target)
    ranked = list(answer.prob.items())
    if kind != "regression":
        ranked = sorted(ranked, key=lambda each: -each[1])[:top]
    return " · ".join(f"{label} {prob:.2f}" for label, prob in ranked)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
