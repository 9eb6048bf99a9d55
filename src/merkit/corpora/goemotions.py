"""GoEmotions: Reddit comments with any of 27 emotions or neutral."""

from pathlib import Path

from merkit.corpora.corpus import Corpus, Found
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.rows import read_table
from merkit.corpora.targets import labels_target
from merkit.errors import MediaError
from merkit.labels import GOEMOTIONS28
from merkit.schema import Clip, Stream, TargetSpec

__all__ = ["GOEMOTIONS"]

EMOTIONS = TargetSpec("emotions", "multi_label", GOEMOTIONS28.labels)
_TABLES = {"train": "train.tsv", "valid": "dev.tsv", "test": "test.tsv"}


def _read(root: Root, out: Path | None) -> Found:
    base = next((b for b in ("", "data/") if (root.path / b / "train.tsv").is_file()), "")
    rejected: list[Rejected] = []
    _check_labels(root, base, rejected)
    clips: dict[str, Clip] = {}
    for split, table in _TABLES.items():
        if not (root.path / base / table).is_file():
            rejected.append(Rejected(table, f"no such table: no {split} clips"))
            continue
        for row in read_table(root.place(base + table), ("text", "labels", "id"), "\t", header=False):
            try:
                if row.broken:
                    raise MediaError(row.broken)
                item, text = row.text("id"), row.text("text")
                if not text or not item:
                    raise MediaError("is empty", field="id" if text else "text")
                if item in clips:
                    raise MediaError(f"comment {item} stands there twice", field="id")
                labels = [_label(word) for word in row.text("labels").split(",")]
            except MediaError as error:
                rejected.append(Rejected(table, error.reason, error.field, row.line))
                continue
            clips[item] = Clip(
                item, (Stream("text", None, text=text),), split, targets=(labels_target(EMOTIONS, labels),)
            )
    return Found(list(clips.values()), (EMOTIONS,), rejected)


def _label(word: str) -> str:
    if not word.isdigit() or int(word) >= len(EMOTIONS.labels):
        raise MediaError(f"{word!r} is no number from 0 to {len(EMOTIONS.labels) - 1}", field="labels")
    return EMOTIONS.labels[int(word)]


def _check_labels(root: Root, base: str, rejected: list[Rejected]) -> None:
    """The numbers mean what emotions.txt says; another order would mislabel everything without a sign."""
    path = root.path / base / "emotions.txt"
    if not path.is_file():
        rejected.append(
            Rejected("emotions.txt", "no such file: the published order of labels is assumed", what="check")
        )
        return
    words = tuple(path.read_text(encoding="utf-8").split())
    if words != EMOTIONS.labels:
        raise MediaError(f"lists other labels, or in another order: {', '.join(words)[:300]}", path=path)


GOEMOTIONS = Corpus(
    name="goemotions",
    title="GoEmotions",
    licence="Apache-2.0 (the comments are Reddit users')",
    obtain="https://github.com/google-research/google-research/tree/master/goemotions/data (the tsv files and emotions.txt)",
    citation="D. Demszky et al. ACL 2020. arXiv:2005.00547",
    tree="""\
ROOT/[data/]train.tsv  dev.tsv  test.tsv    text, numbers of labels, id; tabs, no header
ROOT/[data/]emotions.txt                    the 28 labels in order""",
    modalities=("text",),
    labels="emotions, any of 28: " + ", ".join(GOEMOTIONS28.labels),
    split="official: train 43,410, dev 5,426 (valid), test 5,427",
    people="public comments of Reddit users, names masked. Raters were English speakers in India.",
    reader=_read,
    notes=("The labels hold what raters read into a comment without its thread; they disagree often.",),
)
