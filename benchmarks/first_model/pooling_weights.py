"""How the text head is used on clips: its temperature and its pooling weight, measured where raters saw the clip.

    python -m benchmarks.first_model.pooling_weights

GoEmotions' raters judged written comments; what `analyze` judges is spoken, and what it estimates is what raters of the
whole clip would say. MELD has such votes, with the same seven labels. Its train utterances give one more temperature
(the head as calibrated on GoEmotions is far too sure of itself there), its dev utterances the skill under it,
1 - NLL / NLL of the class shares, which is the head's weight in the pool. For face and voice the valid parts measure the
skill: their raters judged the expression. The head itself is not trained on MELD.
"""

import csv
import json

import numpy as np
from scipy.special import softmax

from benchmarks.first_model.cards import figures, skill, write_card
from benchmarks.first_model.fit import SHIPPED
from benchmarks.first_model.packs import root
from benchmarks.first_model.text import ABOUT, NOT_EVALUATED
from merkit.evaluation import fit_temperature
from merkit.features.text import TextExtractor
from merkit.labels import EKMAN7
from merkit.models import EmotionHead


def meld(part: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Utterances, EKMAN7 targets and dialogue ids of MELD's `train` or `dev`."""
    # the published csv is UTF-8 with a few characters of cp1252 in it
    with (root() / "text_meld" / f"{part}.csv").open(encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file))
    texts = [row["Utterance"].replace("\x92", "'") for row in rows]
    target = np.array([EKMAN7.index(row["Emotion"]) for row in rows])
    return texts, target, np.array([int(row["Dialogue_ID"]) for row in rows])


def main() -> None:
    head = EmotionHead.load("text", on="valid")
    extractor = TextExtractor(**head.extractor_params)
    said = {}
    for part in ("train", "dev"):
        texts, target, dialogue = meld(part)
        said[part] = head(extractor(texts)).log_prob.astype(float), target, dialogue
    log_prob, target, _ = said["train"]
    softer = fit_temperature(log_prob, target)
    log_prob, target, dialogue = said["dev"]
    as_it_was = figures(np.exp(log_prob), target, dialogue)
    prob = softmax(log_prob / softer, -1)
    facts = json.loads((SHIPPED / "text.json").read_text(encoding="utf-8"))
    facts["on_clips"] = {
        "temperature": round(facts["temperature"] * softer, 4),
        "fitted_on": "MELD train (9,989 utterances of Friends, text only; raters saw and heard the clip)",
        "measured_on": "MELD dev (1,109 utterances), intervals by dialogue",
        "figures": figures(prob, target, dialogue),
        "figures_before": as_it_was,
    }
    facts["skill"] = max(skill(prob, target), 0.01)
    (SHIPPED / "text.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")
    write_card(facts, about=ABOUT, not_evaluated=NOT_EVALUATED)
    print("text on MELD dev, as calibrated on GoEmotions:", as_it_was)
    print(f"with a further temperature of {softer:.3f}:", facts["on_clips"]["figures"], "skill", facts["skill"])


if __name__ == "__main__":
    main()
