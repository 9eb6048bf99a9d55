"""`merkit predict` on raw input: from options to turns, and from answers to a table on the terminal."""

import json
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from merkit.errors import ConfigError

if TYPE_CHECKING:
    from merkit.corpora.manifest import Manifest
    from merkit.inference.raw import RawAnswers
    from merkit.inference.raw_outputs import TurnRow
    from merkit.training.answering import Answering

__all__ = ["RawInput", "answer_raw"]

# turns that fit on a few screens; the files have them all
_SHOWN = 60
_WORDS = 60


@dataclass(frozen=True, slots=True)
class RawInput:
    """What the options of `merkit predict` name of raw input; fields are the options, without their dashes."""

    texts: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    clips: tuple[str, ...] = ()
    transcript: Path | None = None
    physio: Path | None = None
    dialogues: tuple[Path, ...] = ()
    asr: bool = True
    extractors: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    download: bool = False
    without: tuple[str, ...] = ()
    fps: float | None = None
    weights: tuple[float, ...] = ()
    targets: tuple[str, ...] = ()

    def manifest(self) -> "Manifest":
        """The turns that are named, as clips without features.

        Raises:
            ConfigError: options that do not go together, or nothing that can be used.
            MediaError: a dialogue cannot be read.
        """
        from merkit.inference.dialogues import read_dialogues
        from merkit.inference.turns import Turn, manifest_of, turns_of_clips, turns_said

        if self.dialogues and (self.texts or self.clips or self.speakers or self.transcript or self.physio):
            raise ConfigError("--dialogue names words, speakers and clips itself: give it alone")
        turns: list[Turn] = []
        lost = []
        if self.dialogues:
            turns, lost = read_dialogues(self.dialogues)
        if self.clips:
            if len(self.texts) > 1 or len(self.speakers) > 1:
                raise ConfigError("one --text and one --speaker go with a --clip; turns with clips go with --dialogue")
            who, said = "".join(self.speakers), "".join(self.texts)
            more, left = turns_of_clips(
                self.clips, transcript=self.transcript, words=said, physio=self.physio, speaker=who
            )
            turns, lost = [*turns, *more], [*lost, *left]
        elif self.transcript:
            raise ConfigError("--transcript belongs to a --clip; words alone are a --clip themselves")
        elif self.texts:
            turns = turns_said(self.texts, self.speakers)
            if self.physio and len(turns) > 1:
                raise ConfigError("--physio belongs to one clip or one --text")
            turns = [replace(turn, physio=self.physio) for turn in turns]
        elif self.physio:
            turns = [Turn(self.physio.name, "".join(self.speakers), physio=self.physio)]
        return manifest_of(turns, lost)


def answer_raw(
    runs: list[Path],
    asked: RawInput,
    how: "Answering",
    *,
    missing: str,
    keep: Path | None,
    out: Path | None,
    top: int,
    as_json: bool,
) -> None:
    """Extracts, answers, shows and writes. What cannot be used is told on stderr, and the others are answered for."""
    from merkit.cli.extract import modality_choice
    from merkit.cli.progress import count_progress
    from merkit.inference.raw import RawOptions, predict_manifest
    from merkit.inference.raw_outputs import raw_document, turn_rows, write_raw
    from merkit.inference.regenerated import Named
    from merkit.report.notice import NOTICE_SHORT

    manifest = asked.manifest()
    options = RawOptions(
        Named(
            dict(modality_choice(each) for each in asked.extractors),
            dict(modality_choice(each, "--encoder") for each in asked.encoders),
            asked.download,
        ),
        without=asked.without,
        fps=asked.fps,
        asr=asked.asr,
        weights=asked.weights,
        targets=asked.targets,
        missing="prior" if missing == "prior" else "none",
    )
    # words alone are answered at once
    quiet = as_json or all(stream.path is None for clip in manifest.clips for stream in clip.streams)
    place = nullcontext(str(keep)) if keep else tempfile.TemporaryDirectory(prefix="merkit-")
    with place as folder, count_progress("extracting", quiet=quiet) as update:
        answers = predict_manifest(
            runs, manifest, Path(folder), how=how, options=options, progress=lambda clip, n, of: update(n, of, clip)
        )
    for each in answers.rejected:
        typer.secho(f"{each}", fg=typer.colors.YELLOW, err=True)
    for note in _notes(answers):
        typer.secho(note, fg=typer.colors.YELLOW, err=True)
    files = write_raw(answers, out) if out else []
    if as_json:
        typer.echo(json.dumps(raw_document(answers), ensure_ascii=False, indent=1))
        return
    _show(list(turn_rows(answers)), len(answers.predicted.specs) > 1, top)
    if files:
        typer.echo(" · ".join(map(str, files)))
    typer.echo(NOTICE_SHORT)


def _notes(answers: "RawAnswers") -> list[str]:
    """What a reader must know: of all turns once, of single turns one line a reason."""
    from merkit.inference.raw_features import NOT_BROUGHT

    notes = list(answers.predicted.warnings)
    reasons: dict[tuple[str, str], list[str]] = {}
    for clip, absent in answers.absent.items():
        for modality, why in absent.items():
            reasons.setdefault((modality, why), []).append(clip)
    for (modality, why), clips in reasons.items():
        if why == NOT_BROUGHT and len(clips) == len(answers.absent):
            continue  # which stands among the warnings
        named = ", ".join(clips[:3]) + (f" and {len(clips) - 3} more" if len(clips) > 3 else "")
        notes.append(f"{named}: without {modality}: {why}")
    return notes


def _show(rows: "list[TurnRow]", several: bool, top: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for name in ("turn", "who", "words", *(["question"] if several else []), "answer", "next"):
        table.add_column(name, overflow="fold")
    for row in rows[:_SHOWN]:
        words = row.words if len(row.words) <= _WORDS else f"{row.words[:_WORDS]}…"
        said = [row.turn, row.who, f"{words} (heard)" if row.heard and words else words]
        said += [row.target] if several else []
        (label, prob), rest = row.ranked[0], row.ranked[1:top]
        table.add_row(
            *map(escape, said),
            f"[bold]{escape(label)}[/bold] {prob:.2f}",
            escape(" · ".join(f"{k} {p:.2f}" for k, p in rest)),
        )
    Console().print(table)
    if len(rows) > _SHOWN:
        typer.echo(f"… and {len(rows) - _SHOWN} more rows (--out)")
