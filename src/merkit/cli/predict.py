"""`merkit predict`: what a trained run says about clips that nobody has labelled."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from merkit.training.predicted import Answer, Predicted

__all__ = ["predict"]

# scenes that fit on a few screens; the files have them all
_SHOWN = 20


def predict(
    run: Annotated[Path, typer.Argument(help="A trained run, of one or several seeds, of any system.")],
    root: Annotated[
        Path, typer.Option(help="What to answer for: a folder from `merkit prepare`, with features; labels not needed.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for the answers; none = ROOT/predictions/RUN.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Labels that are shown of each scene and person.")] = 3,
    other_features: Annotated[
        bool,
        typer.Option("--other-features", help="Go on where features come from another extractor than in training."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON on stdout.")] = False,
) -> None:
    """Answer for every clip of a folder, and for every person in it: calibrated probabilities, without any labels.

    Writes answers.json, and answers.csv with one row per clip, person and label. The answers say which label raters would
    give to an expression, not what anybody feels; people are those of their film alone.

    Examples:

        merkit predict runs/emotx --root scenes

        merkit predict runs/mine --root data/new --out answers --top 5

        merkit predict runs/mine --root data/new --json | jq '.clips[0].answers'
    """
    import json

    from merkit.report.answers import answers_document, write_answers
    from merkit.report.notice import NOTICE_SHORT
    from merkit.training.predict import predict_run

    predicted = predict_run(run, root, other_features=other_features)
    folder = root if root.is_dir() else root.parent
    table, sheet = write_answers(predicted, out or folder / "predictions" / run.resolve().name)
    for warning in predicted.warnings:
        typer.secho(warning, fg=typer.colors.YELLOW, err=True)
    if as_json:
        typer.echo(json.dumps(answers_document(predicted), ensure_ascii=False, indent=1))
        return
    _show(predicted, top)
    typer.echo(f"{table} · {sheet}")
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
