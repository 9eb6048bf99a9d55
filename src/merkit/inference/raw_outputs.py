"""Answers for raw input on screen and on disk: one row a turn, who said what, and what raters would call it."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merkit.inference.raw import RawAnswers
from merkit.report.answers import answers_document, write_answers
from merkit.report.files import inert, write_atomic

__all__ = ["TurnRow", "raw_document", "turn_rows", "write_raw"]


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One question about one turn, or about one person in it.

    Args:
        turn: its id.
        who: the speaker, or the person where persons are asked; empty where nobody says.
        words: what is said; empty where that is not known.
        heard: the words were transcribed.
        target: the question.
        ranked: labels with probabilities, the likeliest first; of a regression, dimensions with values in their order.
    """

    turn: str
    who: str
    words: str
    heard: bool
    target: str
    ranked: tuple[tuple[str, float], ...]


def turn_rows(answers: RawAnswers) -> Iterator[TurnRow]:
    """Turns in order, each with all that is asked of it; those that show nothing to look at have no row."""
    kinds = {spec.name: spec.kind for spec in answers.predicted.specs}
    for each in answers.predicted.answers():
        ranked = list(each.prob.items())
        if kinds[each.target] != "regression":
            ranked.sort(key=lambda pair: -pair[1])
        who = each.entity or answers.speaker.get(each.clip, "")
        yield TurnRow(
            each.clip, who, answers.words.get(each.clip, ""), each.clip in answers.heard, each.target, tuple(ranked)
        )


def raw_document(answers: RawAnswers) -> dict[str, Any]:
    """JSON types: as `merkit.report.answers.answers_document`, and of each clip who speaks, the words and what is absent."""
    document = answers_document(answers.predicted)
    for clip in document["clips"]:
        name = clip["clip"]
        clip["speaker"] = answers.speaker.get(name)
        clip["words"] = answers.words.get(name)
        clip["words_heard"] = name in answers.heard
        clip["absent"] = dict(answers.absent.get(name, {}))
    document["left_out"] = [
        {"item": each.item, "line": each.line, "field": each.field, "reason": each.reason} for each in answers.rejected
    ]
    return document


def write_raw(answers: RawAnswers, out: Path) -> list[Path]:
    """Writes one CSV where `out` ends in `.csv`: a row a turn; else a folder with that (`turns.csv`) and the files of
    `merkit predict` for prepared folders. Everything appears by rename.

    Columns are turn, who, words, heard (0 or 1), target, label, probability, second, second_probability and `p:LABEL` for
    every label of every target (`LABEL` alone would clash between targets that share one). Text that a spreadsheet would run
    as a formula gets an apostrophe in front.
    """
    if out.suffix.lower() == ".csv":
        return [write_atomic(out, _csv(answers))]
    files = write_answers(answers.predicted, out)
    return [*files, write_atomic(out / "turns.csv", _csv(answers))]


def _csv(answers: RawAnswers) -> Iterator[str]:
    specs = answers.predicted.specs
    several = len(specs) > 1
    columns = {(s.name, label): f"p:{s.name}:{label}" if several else f"p:{label}" for s in specs for label in s.labels}
    regressions = {spec.name for spec in specs if spec.kind == "regression"}
    head = ("turn", "who", "words", "heard", "target", "label", "probability", "second", "second_probability")
    yield _line([*head, *map(inert, columns.values())])
    for row in turn_rows(answers):
        said = [inert(text) for text in (row.turn, row.who, row.words)]
        first, second = (*row.ranked, ("", None), ("", None))[:2]
        top = [cell for label, prob in (first, second) for cell in (inert(label), _number(prob))]
        top = ["", "", "", ""] if row.target in regressions else top
        held = {(row.target, label): prob for label, prob in row.ranked}
        yield _line([*said, str(int(row.heard)), inert(row.target), *top, *(_number(held.get(key)) for key in columns)])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
