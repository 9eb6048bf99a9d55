"""A few made texts with a signal to find: one word among others says what the label is."""

import numpy as np

from merkit.data.table import ClipTable, TargetColumn
from merkit.schema import TargetSpec

LABELS = ("joy", "anger", "calm")
FILLERS = "the film is was very it day no . yes a b c".split(" ")  # noqa: SIM905


def small_texts(n: int = 24) -> ClipTable:
    """The label is one word among others; clips 5 and 17 say nothing; one target of every kind."""
    rng = np.random.default_rng(3)
    label = np.arange(n) % 3
    texts = []
    for k in label:
        words = list(rng.choice(FILLERS, rng.integers(1, 9)))
        words.insert(rng.integers(0, len(words) + 1), LABELS[k])
        texts.append(" ".join(words))
    texts[5], texts[17] = "", "  "
    onehot = np.eye(3, dtype=np.float32)[label]
    specs = {
        "emotion": (TargetSpec("emotion", "single_label", LABELS), label, np.arange(n) % 11 != 0),
        "soft": (TargetSpec("soft", "soft_label", LABELS), 0.8 * onehot + 0.2 / 3, np.ones((n, 3), bool)),
        "many": (TargetSpec("many", "multi_label", LABELS[:2]), onehot[:, :2], np.ones((n, 2), bool)),
        "a.value": (
            TargetSpec("a.value", "regression", ("v",)),
            label[:, None].astype(np.float32),
            np.ones((n, 1), bool),
        ),
    }
    return ClipTable(
        "made", np.array([f"c{i}" for i in range(n)]), np.where(np.arange(n) < 16, "train", "valid"), {},
        {name: TargetColumn(*parts) for name, parts in specs.items()}, texts=np.array(texts),
    )  # fmt: skip
