"""Recomputes the figures of the shipped heads on their valid parts and compares them with their records.

    python -m benchmarks.first_model.check        # text and face: minutes; exit code 1 where a figure differs

Speech is left out: its figures come from cross-validation, which only the recipe itself repeats.
"""

import sys

import numpy as np

from benchmarks.first_model.cards import MEASURES
from benchmarks.first_model.packs import fer2013, goemotions
from merkit.features import EXTRACTORS
from merkit.models import EmotionHead

# cross-fitted temperatures in the record, one temperature here; half precision in the shipped file
TOLERANCE = {"accuracy": 0.003, "macro_f1": 0.004, "uar": 0.004, "ece": 0.008, "nll": 0.004}


def main() -> None:
    failed = False
    for name in ("text", "face", "face-permissive"):
        head = EmotionHead.load(name, on="valid")
        extractor = EXTRACTORS[head.extractor_name](**head.extractor_params)
        if name == "text":
            texts, soft = goemotions("dev")
            keep = soft.max(1) == 1
            target = soft[keep].argmax(1)
            said = head(extractor([text for text, kept in zip(texts, keep, strict=True) if kept]))
        else:
            faces, target = fer2013("publictest")
            crops = np.repeat(faces[..., None], 3, -1) if name == "face-permissive" else faces
            said = head(extractor(crops))
        prob = np.exp(said.log_prob.astype(float))
        for measure, function in MEASURES.items():
            found, stated = function(prob, target), head.facts["figures"][measure][0]
            wrong = abs(found - stated) > TOLERANCE[measure]
            failed |= wrong
            print(f"{name:16} {measure:9} stated {stated:.4f}, found {found:.4f}{'  <-- differs' if wrong else ''}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
