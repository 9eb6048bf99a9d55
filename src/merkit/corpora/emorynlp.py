"""EmoryNLP: transcripts of Friends with the seven words of a feeling wheel."""

import re
from pathlib import Path

from merkit.corpora.corpus import Corpus, Found
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.rows import Row, read_table
from merkit.corpora.targets import class_target
from merkit.errors import MediaError
from merkit.labels import EMORYNLP7
from merkit.schema import Clip, Stream, TargetSpec

__all__ = ["EMORYNLP"]

EMOTION = TargetSpec("emotion", "single_label", EMORYNLP7.labels)
_TABLES = {
    "train": "emorynlp_train_final.csv",
    "valid": "emorynlp_dev_final.csv",
    "test": "emorynlp_test_final.csv",
}
_COLUMNS = ("Utterance", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode")


def _read(root: Root, out: Path | None) -> Found:
    bases = ("", "data/emorynlp/", "emorynlp/")
    base = next((b for b in bases if any((root.path / b / table).is_file() for table in _TABLES.values())), "")
    clips: dict[str, Clip] = {}
    rejected: list[Rejected] = []
    for split, table in _TABLES.items():
        if not (root.path / base / table).is_file():
            rejected.append(Rejected(table, f"no such table: no {split} clips"))
            continue
        for row in read_table(root.place(base + table), _COLUMNS):
            try:
                clip = _clip(row, split)
                if clip.id in clips:
                    raise MediaError(f"{clip.id} stands there twice", field="Utterance_ID")
            except MediaError as error:
                rejected.append(Rejected(table, error.reason, error.field, row.line))
                continue
            clips[clip.id] = clip
    return Found(list(clips.values()), (EMOTION,), rejected)


def _clip(row: Row, split: str) -> Clip:
    if row.broken:
        raise MediaError(row.broken)
    numbers = []
    for column in ("Season", "Episode", "Scene_ID", "Utterance_ID"):
        text = row.text(column)
        if not re.fullmatch(r"\d{1,6}", text):
            raise MediaError(f"{text!r} is not a number", field=column)
        numbers.append(int(text))
    words, label = row.text("Utterance"), row.text("Emotion").lower()
    if not words:
        raise MediaError("the utterance is empty", field="Utterance")
    if label not in EMOTION.labels:
        raise MediaError(f"unknown label {label!r}; there are {', '.join(EMOTION.labels)}", field="Emotion")
    season, episode, scene, turn = numbers
    dialogue = f"s{season:02}_e{episode:02}_scene{scene:02}"
    return Clip(
        f"{dialogue}_utt{turn:03}",
        (Stream("text", None, text=words),),
        split,
        {"dialogue": dialogue} | ({"character": names} if (names := _characters(row.text("Speaker"))) else {}),
        (class_target(EMOTION, label),),
        turn=turn,
    )


def _characters(listed: str) -> str:
    """`['Ross Geller', "Rachel's Dad"]` as `Ross Geller & Rachel's Dad`."""
    return " & ".join(first or second for first, second in re.findall(r"'([^']*)'|\"([^\"]*)\"", listed)) or listed


EMORYNLP = Corpus(
    name="emorynlp",
    title="EmoryNLP emotion detection (character mining)",
    licence="Apache-2.0 for the annotations; the words are excerpts of a television series, for research only",
    obtain="https://github.com/declare-lab/MELD/tree/master/data/emorynlp (tables), from github.com/emorynlp/emotion-detection",
    citation="S. M. Zahiri, J. D. Choi. AAAI workshops 2018. arXiv:1708.04299",
    tree="ROOT/[data/emorynlp/]emorynlp_train_final.csv  emorynlp_dev_final.csv  emorynlp_test_final.csv",
    modalities=("text",),
    labels="emotion, one of 7: " + ", ".join(EMORYNLP7.labels),
    split="official: train 7,551 utterances, dev 954 (valid), test 984",
    people="actors in their roles; four raters read the transcripts. The same characters are in all three parts.",
    reader=_read,
    notes=("The official parts share their speakers; only scenes are kept together.",),
)
