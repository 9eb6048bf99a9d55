"""A run's answers for somebody's clips as JSON and as a tidy CSV, both with what they may be used for."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit.report.files import inert, write_atomic
from merkit.report.notice import NOTICE

if TYPE_CHECKING:
    from merkit.training.predicted import Predicted

__all__ = ["ANSWER_COLUMNS", "answers_document", "write_answers"]

ANSWER_COLUMNS = ("clip", "film", "start_s", "end_s", "entity", "target", "label", "probability", "basis")


def answers_document(predicted: "Predicted") -> dict[str, Any]:
    """JSON types: clips in order, each with what is said of it as a whole and of each of its persons.

    Example:
        >>> import numpy as np
        >>> from merkit.schema import TargetSpec
        >>> from merkit.training.predicted import Predicted
        >>> made = Predicted("runs/a", "fusion", 1, (TargetSpec("mood", "multi_label", ("calm",)),), np.array(["x"]),
        ...     np.array([""]), np.full((1, 2), np.nan), np.array([True]), {"mood": np.array([[0.25]])})
        >>> answers_document(made)["clips"][0]["answers"]
        {'mood': {'calm': 0.25}}
    """
    clips: dict[str, dict[str, Any]] = {}
    for each in predicted.answers():
        clip = clips.setdefault(
            each.clip,
            {
                "clip": each.clip,
                "film": each.film or None,
                "start_s": each.start_s,
                "end_s": each.end_s,
                "basis": each.basis,
                "answers": {},
                "entities": {},
            },
        )
        place = clip["answers"] if each.entity is None else clip["entities"].setdefault(each.entity, {})
        place[each.target] = dict(each.prob)
    return {
        "notice": NOTICE,
        "run": predicted.run,
        "system": predicted.system,
        "seeds": predicted.seeds,
        "views": predicted.views,
        "power": predicted.power,
        "targets": [
            {"name": s.name, "kind": s.kind, "labels": list(s.labels), "per_entity": s.per_entity}
            for s in predicted.specs
        ],
        "warnings": list(predicted.warnings),
        "unanswered": [
            str(clip) for clip, answered in zip(predicted.ids, predicted.answered, strict=True) if not answered
        ],
        "clips": list(clips.values()),
    }


def write_answers(predicted: "Predicted", folder: Path) -> tuple[Path, Path]:
    """Writes `answers.json` and `answers.csv`, each by rename, and the notice in full beside them.

    In the CSV, a row is one label of one clip or person; `entity` is empty for the clip as a whole, `probability` holds the
    value where the target is a regression; `basis` is `clip`, or `prior` where a clip shows nothing and the shares of the
    training labels stand in. Text that a spreadsheet would run as a formula gets an apostrophe in front.

    Returns:
        Paths of both files.
    """
    text = json.dumps(answers_document(predicted), ensure_ascii=False, indent=1, allow_nan=False)
    write_atomic(folder / "NOTICE.txt", [NOTICE + "\n"])
    return write_atomic(folder / "answers.json", [text, "\n"]), write_atomic(folder / "answers.csv", _rows(predicted))


def _rows(predicted: "Predicted") -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(ANSWER_COLUMNS)
    for each in predicted.answers():
        span = ("" if edge is None else f"{edge:.3f}" for edge in (each.start_s, each.end_s))
        where = (inert(each.clip), inert(each.film), *span, inert(each.entity or ""), inert(each.target))
        for label, prob in each.prob.items():
            writer.writerow((*where, inert(label), f"{prob:.6f}", each.basis))
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()
