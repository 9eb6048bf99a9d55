"""The text head: the mean of token states of MiniLM as tuned on GoEmotions, trained there under the Ekman grouping.

    python -m benchmarks.first_model.text_net RUN      # first: the tuned layers
    python -m benchmarks.first_model.text

Rows with labels from several groups are trained on as soft labels and left out of the figures, which need one truth.
"""

import argparse

import numpy as np
import torch
from scipy.special import softmax

from benchmarks.first_model.cards import cross_calibrated, figures, skill, write_card
from benchmarks.first_model.fit import Tokens, cached, embed, refit_members, ship, train
from benchmarks.first_model.packs import WORK, goemotions
from merkit.evaluation import accuracy, fit_temperature, macro_f1, nll
from merkit.features.text import TextExtractor
from merkit.labels import EKMAN7
from merkit.models import PooledClassifier

ABOUT = (
    "The mean of MiniLM-L6's last word-piece states, one hidden layer, seven classes. The three upper layers are merkit's own, "
    "tuned on GoEmotions' 28 labels (`benchmarks/first_model/text_net.py`)."
)
NOT_EVALUATED = (
    "Anything but English, and text from anywhere but Reddit and one television series. Sarcasm and context: each line is "
    "judged alone. Raters of GoEmotions read the comment without its thread and agree moderately; disgust and fear are rare "
    "there (under 2 % of rows each)."
)


def tokens_of(part: str, extractor: TextExtractor) -> Tokens:
    """Token states of a part, half precision, computed once."""

    def make() -> Tokens:
        texts, _ = goemotions(part)
        return Tokens.of([tokens.astype(np.float16) for tokens in extractor(texts)])

    return cached(WORK / f"text-{extractor.id}-{part}.npz", make)


def floor(tokens: Tokens, target: np.ndarray, dev: Tokens, dev_target: np.ndarray) -> dict[str, float]:
    """Logistic regression over frozen MiniLM sentence vectors: unit mean of the last layer's token states."""
    from sklearn.linear_model import LogisticRegression

    def sentences(some: Tokens) -> np.ndarray:
        total = np.add.reduceat(some.flat[:, -384:].astype(np.float32), some.edges[:-1])
        mean = total / some.lengths()[:, None]
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    one, dev_one = target.max(1) == 1, dev_target.max(1) == 1
    best: dict[str, float] = {"macro_f1": 0.0}
    train_x, dev_x = sentences(tokens)[one], sentences(dev)[dev_one]
    for strength in (1.0, 10.0, 100.0):
        model = LogisticRegression(C=strength, max_iter=300).fit(train_x, target[one].argmax(1))
        prob, truth = model.predict_proba(dev_x), dev_target[dev_one].argmax(1)
        found = {"macro_f1": macro_f1(prob, truth), "accuracy": accuracy(prob, truth), "C": strength}
        print("floor, logistic regression:", found, flush=True)
        best = max(best, found, key=lambda row: row["macro_f1"])
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    extractor, untuned = TextExtractor(tuned=True), TextExtractor(layers=(3, 6))
    tokens, dev = tokens_of("train", extractor), tokens_of("dev", extractor)
    target, dev_target = goemotions("train")[1], goemotions("dev")[1]
    one = np.flatnonzero(dev_target.max(1) == 1)
    truth = dev_target[one].argmax(1)
    floor_found = floor(tokens_of("train", untuned), target, tokens_of("dev", untuned), dev_target)

    def logit_of(net: PooledClassifier) -> np.ndarray:
        with torch.inference_mode():
            return net.out(embed(net, dev, one)).numpy().astype(float)

    def say(epoch: int, net: PooledClassifier) -> None:
        prob = softmax(logit_of(net), -1)
        print(
            f"epoch {epoch}: dev macro F1 {macro_f1(prob, truth):.4f}, accuracy {accuracy(prob, truth):.4f}, "
            f"NLL {nll(prob, truth):.4f}",
            flush=True,
        )

    torch.manual_seed(arguments.seed)
    net = PooledClassifier(extractor.width, 7, pooling="mean", hidden=256, dropout=0.3)
    rows = np.arange(len(target))
    train(net, tokens, target, rows, epochs=arguments.epochs, lr=1e-3, weight_decay=0.05, seed=arguments.seed, say=say)
    members = refit_members(net, embed(net, tokens, rows), target, None, penalty=1e-4)
    logit = logit_of(net)
    prob = cross_calibrated(logit, truth, None)
    facts = {
        "version": "2",
        "modality": "text",
        "extractor": {"name": extractor.name, "params": extractor.params, "id": extractor.id},
        "licence": "Apache-2.0 (GoEmotions, MiniLM)",
        "non_commercial": False,
        "permissive": True,
        "data": "GoEmotions train (43,410 Reddit comments, English), Ekman grouping, several groups = soft label",
        "valid": f"GoEmotions dev, the {len(one)} of {len(dev_target)} rows whose labels fall into one group",
        "classes": list(EKMAN7.labels),
        "to_label": list(EKMAN7.labels),
        "temperature": round(fit_temperature(logit, truth), 4),
        "figures": figures(prob, truth),
        "skill": skill(prob, truth),
        "floor": {
            "what": f"logistic regression over frozen MiniLM sentence vectors (C={floor_found['C']:g}, chosen on dev)",
            "measure": "macro F1",
            "value": round(floor_found["macro_f1"], 4),
            "ours": round(macro_f1(prob, truth), 4),
        },
        "command": "python -m benchmarks.first_model.text",
        "seed": arguments.seed,
    }
    facts = ship("text", net, members, facts)
    write_card(
        facts,
        about=ABOUT,
        not_evaluated=NOT_EVALUATED,
    )
    print("now run: python -m benchmarks.first_model.pooling_weights")
    print("text", facts["figures"], "floor", facts["floor"], "skill", facts["skill"], f"{facts['bytes'] / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
