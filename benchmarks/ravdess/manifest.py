"""The table of RAVDESS clips that `merkit prepare` reads: sentence, emotion, actor and fold of each recording.

    python -m benchmarks.ravdess.manifest RAVDESS_FOLDER clips.csv
    merkit prepare clips.csv --root RAVDESS_FOLDER --out prepared/ravdess

The folder holds `manifest.csv` with the folds of EmoBox (Ma et al. 2024, arXiv:2406.07162), by actor, and `audio/*.flac`.
"""

import argparse
import csv
from pathlib import Path

FIELDS = ("id", "path", "text", "label", "group:speaker", "group:fold")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    with (given.folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with given.out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(FIELDS)
        for row in rows:
            clip = row["utt_id"]
            table.writerow(
                (clip, f"audio/{clip}.flac", row["statement"], row["emotion"], row["actor"], row["emobox_test_fold"])
            )
    print(f"{len(rows)} clips in {given.out}")


if __name__ == "__main__":
    main()
