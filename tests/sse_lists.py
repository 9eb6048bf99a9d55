"""Small trees of the lists that SSE-FT and BERT-like published, with media beside them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from iemocap_tree import wave

_SUFFIX = {"a": ".wav", "t": ".txt", "v": ".mp4"}
HOME = "/home/someone/else/data/audio_pt/"


def write_list(folder: Path, split: str, stems: Sequence[str], letters: str = "atv", head: str | None = HOME) -> None:
    """The tsv files of a split, aligned; `head` = the first line, None as in BERT-like's."""
    folder.mkdir(parents=True, exist_ok=True)
    for letter in letters:
        lines = [stem + _SUFFIX[letter] for stem in stems]
        (folder / f"{split}_{letter}.tsv").write_text("\n".join([head] * (head is not None) + lines) + "\n")


def write_labels(folder: Path, split: str, rows: Iterable[str], header: str = "FileName,Emotion") -> None:
    (folder / f"label_file_{split}.csv").write_text("\n".join([header, *rows]) + "\n")


def write_media(folder: Path, stems: Iterable[str], words: str | None = "0\t713\t16\t2") -> None:
    """Sound, words (numbers of a vocabulary, as published) and pictures of each clip, in folders as the authors had."""
    for stem in stems:
        wave(folder / "audio_pt" / f"{stem}.wav")
        if words is not None:
            (folder / "text_T").mkdir(parents=True, exist_ok=True)
            (folder / "text_T" / f"{stem}.txt").write_text(words)
        (folder / "facevid").mkdir(parents=True, exist_ok=True)
        (folder / "facevid" / f"{stem}.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))


def stems_of(session: int, first: int, count: int) -> list[str]:
    """Names as IEMOCAP's have in the lists, with the five labels in turn."""
    labels = ("neu", "exc", "sad", "hap", "ang")
    return [f"{number}_s_{session}_{labels[number % 5]}" for number in range(first, first + count)]


def write_leaking(root: Path, bert_like: bool = False) -> dict[str, list[str]]:
    """IEMOCAP's lists in small: SSE-FT's valid lies within test, BERT-like's within train."""
    parts = {"train": [name for session in range(1, 5) for name in stems_of(session, 100 * session, 10)]}
    parts["test"] = stems_of(5, 0, 10)
    parts["valid"] = parts["train"][-6:] if bert_like else parts["test"][2:8]
    folder = root / "T_data" / ("iemocap" if bert_like else "emocap")
    for split, stems in parts.items():
        write_list(folder, split, stems, "at" if bert_like else "atv", None if bert_like else HOME)
        write_labels(folder, split, [f"{stem},{stem[-3:]}" for stem in stems])
    write_media(root / "media", {stem for stems in parts.values() for stem in stems})
    return parts


SIZES = {"train": 24, "valid": 9, "test": 9}
_WORDS = "yes no good bad day the film is was very not it".split(" ")  # noqa: SIM905  of tests/tiny_encoders.py
_SEVEN = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
_HEADER = {
    "meld": "FileName,Emotion",
    "mosi": "FileName,sentiment_score",
    "mosei": "FileName,SEVEN,TWO",
}


def write_set(
    root: Path, of: str, sizes: dict[str, int] | None = None, letters: str = "atv"
) -> dict[str, dict[str, str]]:
    """MELD, MOSI or MOSEI as listed: splits apart, dialogues or videos of three clips each, all labels in turn.

    Words are different in every clip, since the leakage check reads them. Returns what each clip's label says.
    """
    said: dict[str, dict[str, str]] = {}
    for number, (split, size) in enumerate((sizes or SIZES).items()):
        stems = [f"dia{i // 3}_utt{i % 3}" if of == "meld" else f"{split}Video{i // 3}_{i % 3}" for i in range(size)]
        scores = [round(((5 * i + number) % 13 - 6) * 0.45, 4) for i in range(size)]
        seven = [f"{round(score):d}" for score in scores]
        cells = {
            "meld": [_SEVEN[(i + number) % 7] for i in range(size)],
            "mosi": [f"{score}" for score in scores],
            "mosei": [f"{a},{'non' if a == '0' else int(int(a) > 0)}" for a in seven],
        }[of]
        write_list(root / "T_data" / of, split, stems, letters)
        write_labels(root / "T_data" / of, split, map(",".join, zip(stems, cells, strict=True)), _HEADER[of])
        folder = root / "media" / ("dev" if split == "valid" else split)
        for i, stem in enumerate(stems):
            digits = f"{number * 500 + i:04d}"
            write_media(folder, [stem], " ".join(_WORDS[int(digit)] for digit in digits) + f" {digits[::-1]} {stem}")
        said[split] = dict(zip(stems, cells, strict=True))
    return said
