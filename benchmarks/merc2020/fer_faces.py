"""FER2013's faces as clips of one picture each, for the face network of MERC2020.

    MERKIT_DATA=… python -m benchmarks.merc2020.fer_faces prepared/fer2013
    merkit train merc2020 --config benchmarks/merc2020/fer2013.json data.root=prepared/fer2013 --out runs/fer2013

Train is the train part, valid the PublicTest; 48 x 48 grey pictures become three equal channels.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.first_model.packs import fer2013
from merkit.corpora.manifest import Manifest
from merkit.corpora.storage import write_manifest
from merkit.features import ClipRecord, FeatureStore, Row
from merkit.labels import EKMAN7
from merkit.schema import Clip, Target, TargetSpec

SPEC = TargetSpec("emotion", "single_label", EKMAN7.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    store = FeatureStore.create(given.out / "faces", dtype="uint8")
    clips = []
    time_s, nowhere = np.zeros(1), np.full(1, -1, np.int32)
    for split, part in (("train", "train"), ("valid", "publictest")):
        faces, targets = fer2013(part)
        for number, (face, label) in enumerate(zip(faces, targets, strict=True)):
            clip = f"{part}/{number:05}"
            x = np.repeat(face.reshape(1, -1, 1), 3, 2).reshape(1, -1)
            row = Row("face", None, "fer2013-pictures@48", x, time_s, time_s + 1, nowhere)
            store.add(ClipRecord(clip, clip, clip, {}, (row,)))
            clips.append(Clip(clip, (), split=split, targets=(Target(SPEC, np.array(label)),)))
    store.finalise()
    write_manifest(Manifest("fer2013", tuple(clips), (SPEC,), given.out), given.out)
    print(f"{len(clips)} pictures in {given.out}")


if __name__ == "__main__":
    main()
