"""A small MELD tree, true to its format, through every command a user types: what each of them costs.

    python -m benchmarks.hlm12erc.walk --out .work/meld-walk

Clips with sound and pictures, one of them corrupt and one missing: ETL, training of all three encoders, evaluation, answers for
the corpus, for a dialogue and for one clip, export to Hugging Face's format, which another process loads. The encoders are the
smallest there are: what is measured is the way, not a model. Clips are made, answers mean nothing.
"""

import argparse
import time
from pathlib import Path

from benchmarks.commands import merkit
from tests.meld_tree import SPEAKERS, write_meld
from tests.tiny_encoders import write_encoder
from tests.tiny_sights_and_sounds import write_image_encoder, write_speech_encoder

SIZE = ("--height", 18, "--width", 32, "--frames", 3)
TINY = (
    "text.template=light", "speech.max_s=0.3", "scene.frames=3", "fusion=multi_headed_attn", "fusion_width=12", "fusion_heads=2",
    "optim.lr=0.01", "trainer.batch_size=9", "trainer.max_epochs=10", "trainer.accelerator=cpu",
)  # fmt: skip


def main(out: Path) -> None:
    """Walks the way."""
    out.mkdir(parents=True)
    root = write_meld(out / "MELD", dialogues=(3, 1, 1))
    encoders = {
        "text": write_encoder(out / "gpt2", "gpt2", positions=96, words=[*SPEAKERS, ":"]),
        "speech": write_speech_encoder(out / "wav2vec2"),
        "scene": write_image_encoder(out / "resnet", "resnet"),
    }
    prepared, run = out / "prepared", out / "run"
    begun = time.perf_counter()
    merkit("prepare", "meld", "--root", root, "--out", prepared, "--media", *SIZE, "--workers", 2)
    read = (f"{name}.encoder={folder}" for name, folder in encoders.items())
    merkit("train", "hlm12erc", f"data.root={prepared}", *read, *TINY, "--out", run)
    merkit("evaluate", run, "--split", "test")
    merkit("predict", run, "--root", prepared, "--out", out / "answers")
    merkit("predict", run, "--clip", root / "train_splits" / "dia0_utt3.mp4", "--text", "yes good day .")
    merkit("export", run, "--to", "hf", "--out", out / "hf")
    print(f"{time.perf_counter() - begun:6.1f} s  in all")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    main(parser.parse_args().out)
