"""Small KEMDy19 and KEMDy20 trees, true to their format, through every command a user types: what each of them costs.

    python -m benchmarks.tensor_mixer.walk --out .work/kemdy-walk

Both releases in five common folds, samples of voice and raw windows of sensors, three label modes in each fold, the folds of
every mode judged together, and answers. The networks are the smallest there are: what is measured is the way, not a model.
Clips are made, answers mean nothing.
"""

import argparse
import time
from pathlib import Path

from benchmarks.commands import merkit
from tests.kemdy_tree import write_kemdy19, write_kemdy20

TINY = (
    "width=8", "mixer.patch=2", "mixer.channels=12", "mixer.depth=1", "trainer.accelerator=cpu", "trainer.max_epochs=2",
    "trainer.watch=affect.mae",
)  # fmt: skip


def main(out: Path) -> None:
    """Walks the way."""
    out.mkdir(parents=True)
    data, prepared = out / "data", out / "prepared"
    write_kemdy19(data / "KEMDy19", scripts=("impro01",), turns=2, seconds=0.8, voice=True)
    write_kemdy20(data / "KEMDy20_v1_1", scripts=("script01",), turns=4, seconds=0.8, voice=True)
    begun = time.perf_counter()
    merkit("prepare", "kemdy", "--root", data, "--out", prepared, "--workers", 2)
    features = ("--modalities", "speech,physiology", "--no-asr", "--encoder", "speech=waveform")
    sensors = ("--extractor", "physiology=physiology-windows")
    merkit("extract", prepared, "--out", prepared / "features", "--engine", "serial", *features, *sensors)
    grid = ("--over", "labels.mode=hard,soft,peakl", "--over", "validation_fold=0,1,2,3,4")
    merkit(
        "study",
        "tensor_mixer",
        f"data.root={prepared}",
        *TINY,
        *grid,
        "--seeds",
        1,
        "--workers",
        2,
        "--out",
        out / "runs",
    )
    for mode in ("hard", "soft", "peakl"):
        merkit("evaluate", *(out / "runs" / f"{mode}_{fold}" for fold in range(5)), "--split", "valid")
    merkit("predict", out / "runs" / "peakl_0", "--root", prepared, "--out", out / "answers")
    print(f"{time.perf_counter() - begun:6.1f} s  in all")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    main(parser.parse_args().out)
