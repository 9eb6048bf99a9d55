"""A small challenge tree, true to its format, through every command a user types: what each of them costs.

    python -m benchmarks.merc2020.walk --out .work/walk

Prepared clips, the three networks, the fusion of all with two seeds, its ensemble over twelve views, a submission for each
phase. The networks are the smallest there are: what is measured is the way, not a model. Clips are made, answers mean nothing.
"""

import argparse
import csv
import time
from pathlib import Path

from benchmarks.commands import merkit
from tests.merc2020_tree import write_challenge

TINY = (
    "speech_coeff=tiny", "face_coeff=tiny", "speech.frames=64", "speech.hidden=16", "face.hidden=16", "face.n_frames=4",
    "text.layers=1", "text.feedforward=32", "trainer.batch_size=8", "trainer.accelerator=cpu", "optim.name=adamw",
    "optim.lr=0.01", "trainer.max_epochs=4",
)  # fmt: skip


def main(out: Path) -> None:
    """Walks the way."""
    out.mkdir(parents=True)
    write_challenge(out / "tree", train=14, val=7)
    begun, prepared = time.perf_counter(), out / "prepared"
    merkit(
        "prepare",
        "merc2020",
        "--root",
        out / "tree",
        "--out",
        prepared,
        "--side",
        32,
        "--crop",
        "picture",
        "--workers",
        2,
    )
    train = ("train", "merc2020", f"data.root={prepared}", *TINY, "--json", "--out")
    for mode in ("speech", "face", "text"):
        merkit(*train, out / mode, f"mode={mode}")
    began = [f"{mode}_load_weights={out / mode}" for mode in ("speech", "face", "text")]
    merkit(*train, out / "all", *began, "mixup_prob=1", "label_smoothing=0.1", "trainer.seed=42", "--seeds", 2)
    merkit("evaluate", out / "all", "--split", "valid")
    templates = sorted((prepared / "submissions").glob("*.csv"))
    submit = [word for template in templates for word in ("--submission", template)]
    merkit("predict", out / "all", "--root", prepared, "--views", 12, "--temper", 0.1, "--target", "emotion", *submit)
    print(f"{time.perf_counter() - begun:6.1f} s  in all")
    for template in templates:
        (made,) = prepared.rglob(f"{template.stem}_submission.csv")
        asked, answered = (list(csv.DictReader(file.open(encoding="utf-8"))) for file in (template, made))
        assert [row["FileID"] for row in asked] == [row["FileID"] for row in answered], made
        print(f"{made.name}: {', '.join(row['FileID'] + ' ' + row['Emotion'] for row in answered)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    main(parser.parse_args().out)
