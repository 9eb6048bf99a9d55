"""FER2013: 48x48 grey faces, as one CSV of pixels or as folders of pictures."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from merkit.atomic import replacing
from merkit.corpora.corpus import Corpus, Found
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.targets import class_target
from merkit.errors import ConfigError, LimitError, MediaError
from merkit.labels import EKMAN7
from merkit.schema import Clip, Stream, TargetSpec

__all__ = ["FER2013"]

EMOTION = TargetSpec("emotion", "single_label", EKMAN7.labels)
_CODES = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")  # column `emotion`, 0 to 6
_USAGES = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
_SIDE = 48
_MAX_BYTES = 2 << 30


def _read(root: Root, out: Path | None) -> Found:
    table = next((name for name in ("fer2013.csv", "fer2013/fer2013.csv") if (root.path / name).is_file()), None)
    if table is None:
        return _folders(root)
    if out is None:
        raise ConfigError("fer2013.csv is converted once: use `merkit prepare fer2013 --root … --out …`")
    path = root.place(table)
    if path.stat().st_size > _MAX_BYTES:
        raise LimitError(f"{path.stat().st_size} bytes; the limit is {_MAX_BYTES}", path=path)
    clips, rejected = [], []
    for number, (line, cells) in enumerate(_lines(path)):
        item = f"{number:05}"
        try:
            label, split, pixels = _row(cells)
        except MediaError as error:
            rejected.append(Rejected(item, error.reason, error.field, line))
            continue
        picture = out / "media" / split / f"{item}.png"
        _write(picture, pixels)  # even where one is there: it may be of another table
        streams = (Stream("face", picture), Stream("scene", picture))
        clips.append(Clip(item, streams, split, targets=(class_target(EMOTION, label),)))
    return Found(clips, (EMOTION,), rejected, root=out.absolute())


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        names = [name.strip() for name in reader.fieldnames or ()]
        if missing := {"emotion", "pixels"} - set(names):
            raise MediaError(f"has no column {', '.join(sorted(missing))}", path=path, field="line 1")
        if "Usage" not in names:
            raise MediaError(
                "has no column Usage: this is a part of the challenge, not fer2013.csv", path=path, field="line 1"
            )
        reader.fieldnames = names
        try:
            for cells in reader:
                yield reader.line_num, cells
        except (csv.Error, UnicodeDecodeError) as error:
            raise MediaError(f"not readable as CSV ({error})", path=path, field=f"line {reader.line_num + 1}") from None


def _row(cells: dict[str, str]) -> tuple[str, str, np.ndarray]:
    code, usage = (cells.get("emotion") or "").strip(), (cells.get("Usage") or "").strip()
    if not code.isdigit() or int(code) >= len(_CODES):
        raise MediaError(f"{code!r} is no number from 0 to 6", field="emotion")
    if usage not in _USAGES:
        raise MediaError(f"{usage!r} is none of {', '.join(_USAGES)}", field="Usage")
    words = (cells.get("pixels") or "").split()
    if len(words) != _SIDE * _SIDE:
        raise MediaError(f"{len(words)} pixels where {_SIDE * _SIDE} belong", field="pixels")
    try:
        pixels = np.array(words, np.int64)
    except (ValueError, OverflowError):
        raise MediaError("holds something that is not a number", field="pixels") from None
    if pixels.min() < 0 or pixels.max() > 255:
        raise MediaError("holds a number that is not from 0 to 255", field="pixels")
    if pixels.min() == pixels.max():
        raise MediaError("is one grey all over: there is no face", field="pixels")
    return _CODES[int(code)], _USAGES[usage], pixels.astype(np.uint8).reshape(_SIDE, _SIDE)


def _write(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG")


def _folders(root: Root) -> Found:
    clips, rejected = [], []
    splits = {"train": "train", "test": "test", "valid": "valid", "validation": "valid"}
    for name in root.walk(".png", ".jpg", ".jpeg"):
        parts = name.split("/")
        if len(parts) != 3 or parts[0] not in splits:
            rejected.append(Rejected(name, "is not SPLIT/CLASS/PICTURE", "path"))
            continue
        try:
            label = EKMAN7.labels[EKMAN7.index(parts[1])]
            path = root.file(name)
        except KeyError:
            rejected.append(Rejected(name, f"the folder {parts[1]!r} is none of the seven classes", "path"))
            continue
        except MediaError as error:
            rejected.append(Rejected(name, error.reason, error.field))
            continue
        streams = (Stream("face", path), Stream("scene", path))
        clips.append(Clip(name.rpartition(".")[0], streams, splits[parts[0]], targets=(class_target(EMOTION, label),)))
    return Found(clips, (EMOTION,), rejected)


FER2013 = Corpus(
    name="fer2013",
    title="FER2013 (Challenges in Representation Learning)",
    licence="none stated: challenge data of pictures found on the web; treat models trained on it as non-commercial",
    obtain="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge/data",
    citation="I. J. Goodfellow et al. ICONIP 2013. arXiv:1307.0414",
    tree="""\
ROOT/[fer2013/]fer2013.csv           columns emotion, pixels, Usage
or ROOT/train/angry/*.jpg  ROOT/test/angry/*.jpg    (angry, disgust, fear, happy, neutral, sad, surprise)""",
    modalities=("face", "scene"),
    labels="emotion, one of 7: " + ", ".join(EKMAN7.labels),
    split="official: Training 28,709, PublicTest 3,589 (valid), PrivateTest 3,589 (test); folders join the last two as test",
    people="faces found by a web search, without consent or names. People agree with its labels in 65 ± 5 %.",
    reader=_read,
    notes=(
        "Some pictures are in several parts (the leakage check finds them); some show no face.",
        "With folders there is no valid part: split train, or use the CSV.",
    ),
)
