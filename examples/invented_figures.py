"""Figures from your own arrays, here of invented numbers: the pictures of docs/figures.md.

python examples/invented_figures.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np

from merkit.evaluation.by_class import by_class
from merkit.report.figures import ClassPanel, attention_timeline, class_bars

LABELS = ("happy", "worried", "calm", "excited", "quiet", "amused", "curious", "confused", "serious", "surprise")


def bars(rng: np.random.Generator, out: Path, scenes: int = 600) -> None:
    """600 scenes of 12 films with two characters each; answers are a little better than chance."""
    often = np.geomspace(0.35, 0.06, len(LABELS))
    film = rng.integers(0, 12, scenes)
    truth = rng.random((scenes, len(LABELS))) < often
    prob = often + 0.35 * truth * rng.random(truth.shape) + 0.3 * rng.random(truth.shape)
    scene = np.repeat(np.arange(scenes), 2)
    own = truth[scene] & (rng.random((2 * scenes, len(LABELS))) < 0.6)
    panels = []
    for name, unit, p, y, groups in (
        ("scene", "scenes", prob, truth, film),
        ("character", "characters", prob[scene] + 0.3 * rng.random(own.shape), own, film[scene]),
    ):
        scores = by_class([p.clip(0, 1)], y.astype(float), np.ones(y.shape, bool), groups=groups)
        panels.append(ClassPanel(name, LABELS, scores, unit))
    class_bars(
        panels,
        measure="average precision",
        definition="area under the precision-recall steps of one label over the whole split",
        title="Average precision by label: invented numbers · valid",
        name="figures-average-precision",
    ).write(out)


def timeline(rng: np.random.Generator, out: Path) -> None:
    """A scene of 40 seconds with two faces; every label looks at a moment of its own."""
    times = {
        "picture of the scene": np.arange(0, 40, 0.667),
        "face of Ann": np.concatenate([np.arange(5, 15, 0.334), np.arange(25, 36, 0.334)]),
        "face of Bob": np.arange(12, 30, 0.334),
        "dialog": np.array([1.0, 4.5, 8, 10, 14, 20, 24, 33]),
    }
    moments = np.array([9, 31, 4, 14, 22, 28, 16, 20, 6, 33])[:, None]
    share = {"picture of the scene": 0.5, "face of Ann": 1.2, "face of Bob": 0.9, "dialog": 0.3}
    weight = {
        name: share[name]
        / len(at)
        * (np.exp(-(((at - moments) / 3.5) ** 2)) + 0.12 * rng.random((len(LABELS), len(at))))
        for name, at in times.items()
    }
    said = ("Well.", "I told you not to come here.", "You did.", "So why are you here?",
            "Because I had to. There was no train.", "Nobody has to do anything.", "Sit down, please, and have some tea.",
            "All right, all right.")  # fmt: skip
    prob = np.array([0.71, 0.64, 0.2, 0.3, 0.1, 0.4, 0.55, 0.5, 0.35, 0.15])
    attention_timeline(
        times,
        weight,
        LABELS,
        prob,
        truth=prob > 0.6,
        words=list(zip(times["dialog"] - 0.8, said, strict=True)),
        title="Attention of the label queries of the scene: an invented scene",
        name="figures-attention",
    ).write(out)


if __name__ == "__main__":
    bars(np.random.default_rng(4), Path(sys.argv[1]))
    timeline(np.random.default_rng(4), Path(sys.argv[1]))
