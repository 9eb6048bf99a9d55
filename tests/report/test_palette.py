"""The seven colours stay apart for readers with each kind of colour blindness, on both backgrounds.

Simulation: Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency",
IEEE TVCG 15(6), 2009, severity 1.0. Distance: CIE 1976 ΔE*ab, D65; 12 is plain to see side by side.
"""

import re
from importlib import resources
from itertools import combinations

import numpy as np
import pytest

SIGHT = {
    "usual": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def colours(kind: str, scheme: int) -> dict[str, np.ndarray]:
    """Label -> linear RGB of the page's `--fill-…` or `--ink-…`; scheme 0 is light, 1 dark."""
    css = resources.files("merkit.report").joinpath("page", "page.css").read_text(encoding="utf-8")
    found = re.findall(rf"--{kind}-?(\w*): light-dark\((#\w{{6}}), (#\w{{6}})\)", css)
    assert found
    rgb = {name: np.array([int(pair[scheme][i : i + 2], 16) for i in (1, 3, 5)]) / 255 for name, *pair in found}
    return {name: np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for name, c in rgb.items()}


def lab(linear: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(linear, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a: np.ndarray, b: np.ndarray) -> float:
    """WCAG 2.2 contrast ratio of two linear RGB colours."""
    light, dark = sorted((float(TO_XYZ[1] @ a), float(TO_XYZ[1] @ b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_fills_stay_apart(sight: str, scheme: int) -> None:
    seen = {name: lab(SIGHT[sight] @ colour) for name, colour in colours("fill", scheme).items()}
    assert len(seen) == 7
    near = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in combinations(seen, 2)}
    assert min(near.values()) >= 12, {pair: round(d, 1) for pair, d in near.items() if d < 12}


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_words_in_label_colours_can_be_read(scheme: int) -> None:
    card = colours("card", scheme)[""]
    for name, colour in {**colours("ink", scheme), **{"soft": colours("soft", scheme)[""]}}.items():
        assert contrast(card, colour) >= 4.5, (name, contrast(card, colour))
