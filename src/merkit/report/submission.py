"""Submissions to a challenge: one class per file, in the form and the order of a template, checked before it is there.

The template is a CSV with a column of file numbers (`FileID`); what is written has that column and one of classes
(`Emotion`). MERC2020 writes classes in three letters: hap, ang, dis, fea, sad, neu, sur.
"""

import csv
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merkit.atomic import replacing
from merkit.corpora.merc2020.names import CODES
from merkit.corpora.templates import Template, read_cells, read_template
from merkit.errors import ConfigError, MediaError
from merkit.report.asked import listed, match_clips
from merkit.schema import TargetSpec

if TYPE_CHECKING:
    from merkit.training.predicted import Predicted

__all__ = ["class_names", "clips_asked", "stop_if_missing", "submission_of", "write_submission"]

# as the challenge's file names and submissions write its seven classes
_CODES = {label: code for code, label in CODES.items()}


def class_names(spec: TargetSpec, choice: str = "auto") -> tuple[str, ...]:
    """How a submission writes the classes of a target, in their order.

    Args:
        spec: a target of one class per clip.
        choice: `labels` as the run says them; `codes` of MERC2020; `numbers` from 0; `happy=hap,sad=sad,…` for each label;
            `auto` = codes for the seven classes of MERC2020, labels for all others.

    Raises:
        ConfigError: the target has no single class, a label has no name, or two share one.

    Example:
        >>> class_names(TargetSpec("emotion", "single_label", ("sad", "joy")), "sad=S,joy=J")
        ('S', 'J')
    """
    if spec.kind not in ("single_label", "soft_label") or spec.per_entity:
        raise ConfigError(
            f"a submission is one class per clip; {spec.name} is not ({spec.kind}): choose another --target"
        )
    if choice == "auto":
        choice = "codes" if set(spec.labels) == set(_CODES) else "labels"
    if choice == "labels":
        return spec.labels
    if choice == "numbers":
        return tuple(map(str, range(len(spec.labels))))
    mapping = _CODES if choice == "codes" else _mapping(choice)
    if lacking := [label for label in spec.labels if label not in mapping]:
        raise ConfigError(f"no name for {', '.join(lacking)} of {spec.name} in a submission; {choice} names {mapping}")
    names = tuple(mapping[label] for label in spec.labels)
    if len(set(names)) != len(names):
        raise ConfigError(f"labels of {spec.name} share a name in a submission: {choice}")
    return names


def clips_asked(
    ids: np.ndarray,
    split: np.ndarray,
    seen: np.ndarray,
    templates: Sequence[Template] = (),
    patterns: Sequence[str] = (),
    phase: np.ndarray | None = None,
    prior: bool = False,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Which clips are the files of templates, and which are asked about: known before any network has worked.

    A file of a template that a folder lacks must not be found among clips of training, whose numbers may be the same:
    clips of the splits train and valid are only considered where a pattern names them. Where a folder knows phases of a
    challenge and one of them is called as the template is (`test3` of `test3.csv`), the files are clips of that phase.

    Args:
        ids: `(n,)` clips.
        split: `(n,)` of each.
        seen: `(n,)` bool: whether a clip shows anything.
        templates: what is asked; none = every clip that a pattern names.
        patterns: of ids, as a shell writes them (`test/*`).
        phase: `(n,)` of each clip, empty where it is of none; None where the folder knows of no phases.
        prior: whether the shares of the training labels may stand in for what is missing.

    Returns:
        For each template the row of each file, -1 where it has no clip; and clips to answer for `(n,)` bool.

    Raises:
        ConfigError: files of a template are missing, or nothing is asked about.
        MediaError: a file may be several clips.

    Example:
        >>> ids, split = np.array(["train/7", "test/7", "test/8"]), np.array(["train", "test", "test"])
        >>> rows, wanted = clips_asked(ids, split, np.full(3, True), [Template(Path("t.csv"), "FileID", ("7",))])
        >>> rows[0].tolist(), wanted.tolist()
        ([1], [False, True, False])
    """
    if patterns:
        chosen = np.array([any(fnmatchcase(str(clip), each) for each in patterns) for clip in ids])
    else:
        chosen = ~np.isin(split, ["train", "valid"])
    wanted, matched = np.zeros(len(ids), bool) if templates else chosen, []
    for template in templates:
        stem = Path(template.path).stem
        known = phase is not None and bool((phase == stem).any())
        rows = match_clips(template, ids, chosen & (phase == stem) if known else chosen)
        stop_if_missing(template, _bare(template, rows, seen), prior)
        wanted[rows[rows >= 0]] = True
        matched.append(rows)
    if not wanted.any():
        raise ConfigError(f"none of {len(ids)} clips is asked about, {int(chosen.sum())} could be")
    return matched, wanted


def submission_of(
    predicted: "Predicted", template: Template, rows: np.ndarray, target: str = "", names: str = "auto"
) -> tuple[list[str], list[str]]:
    """The class of each file of the template, in its order, and the files that nothing is known of but the prior.

    Args:
        predicted: answers.
        template: what is asked.
        rows: of the answers: the clip of each file; -1 where there is none (see `clips_asked`).
        target: which question; none = the first.
        names: see `class_names`.

    Raises:
        ConfigError: files have no clip, or one that shows nothing, and the answers hold no prior for them.
    """
    spec = next((spec for spec in predicted.specs if spec.name == (target or predicted.specs[0].name)), None)
    if spec is None:
        raise ConfigError(f"no target {target}; there are {', '.join(each.name for each in predicted.specs)}")
    written = class_names(spec, names)
    bare = _bare(template, rows, predicted.seen)
    stop_if_missing(template, bare, bool(predicted.prior))
    best = predicted.output[spec.name].argmax(-1)
    default = int(predicted.prior[spec.name].argmax()) if predicted.prior else -1
    return [written[default if row < 0 else int(best[row])] for row in rows], bare


def _bare(template: Template, rows: np.ndarray, seen: np.ndarray) -> list[str]:
    """Files without a clip, or with one that shows nothing."""
    return [file for file, row in zip(template.files, rows, strict=True) if row < 0 or not seen[row]]


def stop_if_missing(template: Template, bare: Sequence[str], prior: bool) -> None:
    """Lists files of which nothing is known, unless the shares of the training labels may stand in.

    Raises:
        ConfigError: there are some, and they may not.
    """
    if bare and not prior:
        raise ConfigError(
            f"{template.path}: {len(bare)} of {len(template.files)} files have no clip here, or one that shows nothing: "
            f"{listed(bare)}. `--missing prior` writes the commonest class of the training clips for them"
        )


def write_submission(template: Template, classes: Sequence[str], out: Path, column: str = "Emotion") -> Path:
    """Writes one row per file of the template, by rename, after what was written has been read back and compared.

    Raises:
        MediaError: what was written is not what was asked for.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_submission(Template(Path("t"), "FileID", ("7", "3")), ["hap", "sad"], Path(folder) / "s.csv").read_text()
        'FileID,Emotion\\n7,hap\\n3,sad\\n'
    """
    with replacing(out) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([template.id_column, column])
            writer.writerows(zip(template.files, classes, strict=True))
        again = read_cells(temporary)
        if [tuple(row) for row in again[1:]] != list(zip(template.files, classes, strict=True)):
            raise MediaError("was not written as the template asks", path=out)
        if read_template(temporary, template.id_column).files != template.files:
            raise MediaError("does not ask about the files of the template in their order", path=out)
    return out


def _mapping(text: str) -> Mapping[str, str]:
    pairs = [part.split("=", 1) for part in text.split(",") if part.strip()]
    if not pairs or not all(len(pair) == 2 and pair[1].strip() for pair in pairs):
        raise ConfigError(f"names of classes are auto, labels, codes, numbers or LABEL=NAME,LABEL=NAME,…; not {text!r}")
    return {label.strip(): name.strip() for label, name in pairs}
