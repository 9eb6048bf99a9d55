"""What PeakL does to votes of real raters: CREMA-D's crowds and GoEmotions' comments.

    python -m benchmarks.tensor_mixer.peakl --pictures docs/assets

A table of numbers for each source, and two pictures. CREMA-D: about ten raters a recording, counts as published. GoEmotions: the
published tables keep the labels that two raters or more chose and say nothing of single raters, so that neither their agreement
nor a true vote is known; a comment's labels with equal parts stand in.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.tensor_mixer.packs import SEEN, crema_votes, goemotions_votes
from merkit.data.votes import peak, soft
from merkit.evaluation.agreement import agreement
from merkit.labels import CREMA_D6, EKMAN7

TITLES = {"voice": "voice alone", "face": "face alone", "both": "voice and face"}
# told apart by colour-blind eyes too (Okabe and Ito)
SOFT, PEAKL = "#0072B2", "#D55E00"


def entropy(shares: np.ndarray) -> np.ndarray:
    """`(n,)` nats."""
    return -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(1)


def one_by_one(votes: np.ndarray) -> np.ndarray:
    """`(n, R)` class of each vote, NaN beyond the last: who is who does not matter to the statistics of agreement."""
    said = np.full((len(votes), int(votes.sum(1).max())), np.nan)
    for row, counts in enumerate(votes):
        own = np.repeat(np.arange(len(counts)), counts)
        said[row, : len(own)] = own
    return said


def facts(votes: np.ndarray, *, rated: bool) -> dict[str, str]:
    """What a row of the table says. `rated`: counts are of single raters."""
    plain = soft(votes)[0].astype(np.float64)
    sharp = peak(plain)
    k = votes.shape[1]
    tied = (votes == votes.max(1, keepdims=True)).sum(1) > 1
    flat = np.isclose(plain, 1 / k).all(1)

    def both(function) -> str:
        return f"{function(plain):.3f} → {function(sharp):.3f}"

    told = {
        "rows": f"{len(votes):,}",
        "votes a row": f"{votes.sum(1).mean():.2f}",
        "most votes tied": f"{tied.mean():.3f}",
        "all agree": f"{(plain.max(1) == 1).mean():.3f} → {np.isclose(sharp.max(1), 1).mean():.3f}",
        "even over all classes": f"{flat.mean():.4f}",
        "entropy, nats": both(lambda p: entropy(p).mean()),
        "mass on the top": both(lambda p: p.max(1).mean()),
        "classes with mass": both(lambda p: (p > 1e-6).sum(1).mean()),
        "changed rows": f"{(np.abs(plain - sharp).max(1) > 1e-6).mean():.3f}",
        "mass moved": f"{np.abs(plain - sharp).sum(1).mean() / 2:.3f}",
    }
    if rated:
        own = agreement(one_by_one(votes), {})
        told["Fleiss κ"] = f"{own['fleiss_kappa']:.3f} ({own['fleiss_items']:,} rows)"
        told["Krippendorff α"] = f"{own['alpha_nominal']:.3f}"
        count = votes.sum(1)
        told["two raters agree"] = f"{((votes * (votes - 1)).sum(1) / (count * (count - 1))).mean():.3f}"
    order = np.sort(plain, 1) == plain.max(1, keepdims=True)
    kept = (plain.argmax(1) == sharp.argmax(1)) | (order.sum(1) > 1)
    assert kept.all(), "PeakL never changes who is on top"
    return told


def table(named: dict[str, dict[str, str]]) -> str:
    rows = list(dict.fromkeys(key for own in named.values() for key in own))
    lines = [f"| | {' | '.join(named)} |", "|---" * (len(named) + 1) + "|"]
    return "\n".join(lines + [f"| {key} | {' | '.join(own.get(key, '') for own in named.values())} |" for key in rows])


def main(pictures: Path) -> None:
    crema = {TITLES[name]: found.votes for name, found in crema_votes().items()}
    print(table({f"CREMA-D, {name}": facts(votes, rated=True) for name, votes in crema.items()}))
    parts = {k: np.concatenate([goemotions_votes(p, groups=k == 7)[1] for p in ("train", "dev")]) for k in (28, 7)}
    print(table({f"GoEmotions, {k} classes": facts(votes, rated=False) for k, votes in parts.items()}))
    draw_crema(crema).savefig(pictures / "peakl-crema-d.png", metadata={"Software": None})
    draw_goemotions(parts).savefig(pictures / "peakl-goemotions.png", metadata={"Software": None})


def draw_crema(crema: dict[str, np.ndarray]) -> Figure:
    """For each kind of rating: mass on the top class and entropy before and after; below, single recordings."""
    with matplotlib.rc_context({"font.size": 7, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(7.2, 5.8), dpi=130, layout="constrained")
        grid = figure.subplots(3, len(SEEN), sharey="row")
        for column, (name, votes) in enumerate(crema.items()):
            plain = soft(votes)[0].astype(np.float64)
            sharp = peak(plain)
            own = [entropy(plain).mean(), entropy(sharp).mean()]
            # about ten raters: tenths are in the middle of a bin
            _steps(
                grid[0, column], plain.max(1), sharp.max(1), np.arange(0.15, 1.1, 0.1), "share of the most-voted class"
            )
            grid[0, column].set_title(f"{name}\nentropy {own[0]:.2f} → {own[1]:.2f} nats", fontsize=8)
            _steps(grid[1, column], entropy(plain), entropy(sharp), np.linspace(0, 1.8, 10), "entropy, nats")
            _classes(grid[2, column], plain, sharp)
        grid[0, 0].set_ylabel("share of recordings")
        grid[1, 0].set_ylabel("share of recordings")
        grid[2, 0].set_ylabel("mean share")
        grid[0, 0].legend(frameon=False, loc="upper left")
        figure.suptitle(
            "CREMA-D: raters' shares, and what PeakL makes of them", x=0.01, ha="left", fontsize=9, weight="bold"
        )
    return figure


def _steps(axes: Axes, before: np.ndarray, after: np.ndarray, bins: np.ndarray, label: str) -> None:
    for values, colour, name, line in ((before, SOFT, "as voted", "-"), (after, PEAKL, "PeakL", "--")):
        weights = np.full(len(values), 1 / len(values))
        axes.hist(
            values, bins, weights=weights, histtype="step", color=colour, label=name, linestyle=line, linewidth=1.2
        )
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)


def _classes(axes: Axes, plain: np.ndarray, sharp: np.ndarray) -> None:
    at = np.arange(plain.shape[1])
    axes.bar(at - 0.2, plain.mean(0), 0.4, color=SOFT)
    axes.bar(at + 0.2, sharp.mean(0), 0.4, color=PEAKL)
    axes.set_xticks(at, CREMA_D6.labels if len(at) == 6 else EKMAN7.labels, rotation=45, ha="right")
    axes.spines[["top", "right"]].set_visible(False)


def draw_goemotions(parts: dict[int, np.ndarray]) -> Figure:
    """Labels a comment, and the shares that PeakL changes and those that it cannot."""
    with matplotlib.rc_context({"font.size": 7, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(7.2, 2.6), dpi=130, layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        labels = np.bincount((parts[28] > 0).sum(1))[1:]
        left.bar(np.arange(1, len(labels) + 1), labels / labels.sum(), color="0.5")
        for at, count in enumerate(labels, start=1):
            left.text(at, count / labels.sum() + 0.02, f"{count:,}", ha="center")
        left.set(xlabel="labels of a comment", ylabel="share of comments", title="all comments", ylim=(0, 1))
        left.set_xticks(np.arange(1, len(labels) + 1))
        plain = soft(parts[7])[0].astype(np.float64)
        sharp = peak(plain)
        vague = plain.max(1) < 1
        _steps(middle, plain[vague].max(1), sharp[vague].max(1), np.linspace(0.2, 1, 33), "share of the top group")
        middle.set_title(f"{vague.sum():,} comments of several groups")
        middle.legend(frameon=False, loc="upper right")
        _classes(right, plain[vague], sharp[vague])
        right.set_title("their mean shares")
        left.spines[["top", "right"]].set_visible(False)
        figure.suptitle(
            "GoEmotions: labels that two raters or more chose", x=0.01, ha="left", fontsize=9, weight="bold"
        )
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, default=Path("docs/assets"))
    main(parser.parse_args().pictures)
