"""What augmentation is worth to the log-mel speech network: RAVDESS, actors that training has not heard, eight emotions.

    merkit prepare .work/ravdess.csv --root RAVDESS --out .work/ravdess-mel --for merc2020
    OMP_NUM_THREADS=1 python -m benchmarks.merc2020.speech_augmentation .work/ravdess-mel

EfficientNet-lite0 with ImageNet's weights over log-mel pictures, BiLSTM, frame attention: the published AttnCNN in a size for
two cores. A fixed number of epochs, the last one kept, so nothing is chosen on the actors that are asked. Every stretch of a
clip is cut out at random in training, in all rows alike. One fold of four by actor unless --folds says more; each fold is its
own network, and the interval is a bootstrap over the actors' clips.
"""

import argparse
import time
from pathlib import Path

from benchmarks.machine import header
from merkit.config import config_from, override
from merkit.systems.merc2020 import MERC2020Config
from merkit.training import evaluate_runs, train

SMALL = {
    "mode": "speech",
    "speech_coeff": "lite0",
    "speech": {"pretrained": "catalogue", "frames": 240, "hidden": 64},
    "label_smoothing": 0.1,
    "optim": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.02, "warmup": 0.1, "schedule": "cosine"},
    "trainer": {"batch_size": 24, "watch": "last", "accelerator": "cpu"},
}
LIGHT_OFF, SPEC_OFF = "speech.light_prob=0", "speech.spec_augment=false"
CELLS: dict[str, tuple[str, ...]] = {
    "none": (LIGHT_OFF, SPEC_OFF),
    "light": (SPEC_OFF,),
    "SpecAugment": (LIGHT_OFF,),
    "SpecAugment, one mask each": (LIGHT_OFF, "speech.freq_masks=1", "speech.time_masks=1"),
    "mixup": (LIGHT_OFF, SPEC_OFF, "mixup_prob=1"),
    "all": ("mixup_prob=1",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--out", type=Path, default=Path(".work/speech-augmentation"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    given = parser.parse_args()
    print(header())
    start = config_from(
        MERC2020Config,
        SMALL | {"data": {"root": str(given.root), "split": {"kind": "kfold", "by": "actor", "folds": 4}}},
    )
    print("| augmentation | fold | unweighted recall | accuracy | CPU s |\n|---|---|---|---|---|")
    for name in given.cells:
        for fold in given.folds:
            folder = given.out / f"{name.replace(', ', '-').replace(' ', '-')}-{fold}"
            changes = [*CELLS[name], f"trainer.max_epochs={given.epochs}", f"data.split.fold={fold}"]
            began = time.process_time()
            run = train("merc2020", override(start, changes), folder)
            spent = time.process_time() - began
            (found,) = evaluate_runs([run.path], split="valid")
            uar, accuracy = (found.measures[f"emotion.{measure}"] for measure in ("uar", "accuracy"))
            print(f"| {name} | {fold} | {uar} | {accuracy} | {spent:.0f} |", flush=True)


if __name__ == "__main__":
    main()
