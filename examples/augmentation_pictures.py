"""What each augmentation does to a drawn face and a drawn spectrogram: the pictures of docs/augmentation.md.

python examples/augmentation_pictures.py FOLDER
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from merkit.data.augment import Augment, BrightnessContrast, CutMix3D, Flip, Mixup, Rotation, SpecAugment, WordMixup
from merkit.data.augment.spectrogram import time_warp
from merkit.data.batch import Batch, Tokens
from merkit.data.draws import Draw
from merkit.data.token_sampling import Sampling, TokenSampling
from merkit.schema import TargetSpec

EMOTION = TargetSpec("emotion", "single_label", ("happy", "angry", "disgust", "fear", "sad", "neutral", "surprise"))
SIDE, BANDS = 96, 128
INK, DRAWN = "#37474f", "#e65100"


def spectrogram(frames: int, seed: int = 0) -> np.ndarray:
    """`(frames, 128)` in [0, 1]: four syllables with harmonics that glide."""
    at, band = np.arange(frames)[:, None], np.arange(BANDS)
    out = np.full((frames, BANDS), 0.18)
    middles, lengths = frames * np.array([0.14, 0.38, 0.61, 0.86]), np.array([0.13, 0.2, 0.11, 0.17])
    for middle, length, pitch in zip(middles, lengths, np.random.default_rng(seed).uniform(8, 13, 4), strict=True):
        loud = np.exp(-(((at - middle) / (frames * length / 2)) ** 4))
        glide = pitch + 3 * np.sin((at - middle) / frames * 9 + pitch)
        for harmonic in range(1, 9):
            line = 30 * np.log2(1 + harmonic * glide / 12)
            out = np.maximum(out, loud * np.exp(-(((band - line) / 2.2) ** 2)) * (0.95 - 0.07 * harmonic) + 0.18)
    return out.clip(0, 1).astype(np.float32)


def face(frames: int, *, square: bool = False) -> np.ndarray:
    """`(frames, S, S, 3)` uint8: a drawn head that looks to its right and whose mouth opens."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    pictures = np.empty((frames, SIDE, SIDE, 3))
    skin, back = ((0.95, 0.62, 0.3), (0.2, 0.35, 0.55)) if square else ((0.98, 0.84, 0.4), (0.35, 0.5, 0.42))
    for t in range(frames):
        opened = 0.02 + 0.07 * np.sin(np.pi * (t + 0.5) / frames) ** 2
        pictures[t] = np.array(back) * (0.7 + 0.6 * (x + 0.5))[..., None]
        head = np.maximum(abs(x) / 0.36, abs(y) / 0.38) < 1 if square else x**2 + y**2 < 0.15
        pictures[t][head] = np.array(skin)
        for eye in (-0.19, 0.11):
            pictures[t][(x - eye) ** 2 + (y + 0.1) ** 2 < 0.006] = 1
            pictures[t][(x - eye + 0.03) ** 2 + (y + 0.1) ** 2 < 0.0016] = 0.1
        pictures[t][((x + 0.04) / 0.17) ** 2 + ((y - 0.17) / opened) ** 2 < 1] = (0.45, 0.08, 0.1)
    return (255 * pictures.clip(0, 1)).astype(np.uint8)


def batch_of(**streams: Sequence[np.ndarray]) -> Batch:
    """Clips of any length, `(T, …)` each, and an answer for every one: happy, angry …"""
    tokens, size = {}, 0
    for name, clips in streams.items():
        size, longest = len(clips), max(map(len, clips))
        flat = [torch.from_numpy(clip).flatten(1) for clip in clips]
        x = torch.zeros(size, 1, longest, flat[0].shape[1], dtype=flat[0].dtype)
        mask = torch.zeros(x.shape[:3], dtype=torch.bool)
        for i, clip in enumerate(flat):
            x[i, 0, : len(clip)], mask[i, 0, : len(clip)] = clip, True
        tokens[name] = Tokens(x, mask)
    known = {"emotion": torch.ones(size, dtype=torch.bool)}
    return Batch(tuple(map(str, range(size))), size, tokens, targets={"emotion": torch.arange(size)}, valid=known)


def augmented(step: Augment, batch: Batch, seed: int) -> Batch:
    """The batch as `step` leaves it."""
    torch.manual_seed(seed)
    return step(batch, [EMOTION])


def show_sound(axes: Axes, x: np.ndarray | torch.Tensor, title: str) -> None:
    """Frames to the right, frequencies upwards, one scale for all pictures."""
    axes.imshow(np.asarray(x).T, origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=8, loc="left", color=INK)
    axes.tick_params(labelsize=6, colors=INK)


def show_faces(axes: Axes, x: torch.Tensor, title: str) -> None:
    """The pictures `(T, 3 S²)` of a clip side by side."""
    x = x.float() / 255 if x.dtype == torch.uint8 else x
    pictures = x.reshape(-1, SIDE, SIDE, 3).numpy()
    strip = np.ones((SIDE, len(pictures) * (SIDE + 4) - 4, 3))
    for t, picture in enumerate(pictures):
        strip[:, t * (SIDE + 4) : t * (SIDE + 4) + SIDE] = picture
    axes.imshow(strip, interpolation="nearest")
    axes.set_title(title, fontsize=8, loc="left", color=INK)
    axes.set_axis_off()


def show_answer(axes: Axes, share: torch.Tensor, title: str, labels: Sequence[str] = EMOTION.labels) -> None:
    """A distribution over classes, with its numbers."""
    axes.barh(labels, share.numpy(), color=DRAWN, height=0.6)
    for at, value in enumerate(share.tolist()):
        axes.text(value + 0.02, at, f"{value:.3f}".rstrip("0").rstrip("."), va="center", fontsize=6, color=INK)
    axes.set(xlim=(0, 1.2), xticks=[])
    axes.invert_yaxis()
    axes.tick_params(labelsize=6, colors=INK, length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=8, loc="left", color=INK)


def canvas(rows: int, columns: int, size: tuple[float, float], **layout: object) -> tuple[Figure, np.ndarray]:
    """A figure and its axes `(rows, columns)`."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw=layout)


def random_clip(speech: np.ndarray) -> Figure:
    """A spectrogram with the stretches of three epochs and of evaluation."""
    rule, length = TokenSampling(limit=200, random=True, stretch=True), np.array([len(speech)])
    figure, ((axes,),) = canvas(1, 1, (7, 2.3))
    show_sound(axes, speech, "which 200 of 400 frames are looked at")
    for row, epoch in enumerate((0, 1, 2, None)):
        keep = Sampling({"speech": rule}).keep("speech", None if epoch is None else Draw(0, epoch))
        first = keep(np.array([0]), np.array([0]), length)[0][0]
        name, colour = ("evaluation", "white") if epoch is None else (f"epoch {epoch}", "#ffb74d")
        axes.add_patch(Rectangle((first, 8 + 29 * row), 200, 22, fill=False, lw=1.5, ec=colour))
        axes.text(first + 4, 15 + 29 * row, name, fontsize=7, color=colour)
    return figure


def frame_sampling() -> Figure:
    """Which of 90 pictures are looked at."""
    rule = TokenSampling(limit=16, random=True, strided=True, skip_ends=10)
    figure, ((axes,),) = canvas(1, 1, (7, 1.7))
    for row, epoch in enumerate((0, 1, 2, None)):
        keep = Sampling({"face": rule}).keep("face", None if epoch is None else Draw(0, epoch))
        places = keep(np.array([0]), np.array([0]), np.array([90]))[0]
        axes.scatter(np.arange(90), np.full(90, row), s=5, color="#cfd8dc")
        axes.scatter(places, np.full(len(places), row), s=22, color=INK if epoch is None else DRAWN)
    axes.set_yticks(range(4), ["epoch 0", "epoch 1", "epoch 2", "evaluation"])
    axes.set_title("16 of 90 pictures; the first and last 10 are left out", fontsize=8, loc="left", color=INK)
    axes.invert_yaxis()
    axes.tick_params(labelsize=7, colors=INK)
    return figure


def warp(speech: np.ndarray) -> Figure:
    """A short piece warped by a given anchor, and how time runs then."""
    piece, anchor = torch.from_numpy(speech[:100]), 38
    figure, axes = canvas(1, 4, (9, 2.2), width_ratios=[2, 2, 2, 1.2])
    frames = torch.arange(100.0)
    for at, shift in enumerate((0.0, 4.9, -20.0)):
        warped, ran = (
            time_warp(x[None, None], torch.tensor([[100]]), torch.tensor([[anchor]]), torch.tensor([[shift]]))[0, 0]
            for x in (piece, frames[:, None])
        )
        show_sound(axes[0, at], warped, f"frame {anchor} moved by {shift:+g}" if shift else "100 frames as they are")
        axes[0, at].axvline(anchor + shift, color="white", lw=1, ls=":")
        axes[0, 3].plot(frames, ran[:, 0], lw=1.2, color=(INK, "#ffb74d", DRAWN)[at])
    axes[0, 3].set_title("frame that is heard, by time", fontsize=8, loc="left", color=INK)
    axes[0, 3].tick_params(labelsize=6, colors=INK)
    return figure


def sounds(step: Augment, speech: np.ndarray, title: str, seeds: Sequence[int]) -> Figure:
    """A spectrogram as it is, and as `step` leaves it three times."""
    figure, axes = canvas(1, 4, (9, 2.2))
    show_sound(axes[0, 0], speech, "as it is")
    for ax, seed in zip(axes[0, 1:], seeds, strict=True):
        show_sound(
            ax, augmented(step, batch_of(speech=[speech]), seed).tokens["speech"].x[0, 0], f"{title}, seed {seed}"
        )
    return figure


def clips(step: Augment, pictures: np.ndarray, title: str, seeds: Sequence[int]) -> Figure:
    """A clip as it is, and as `step` leaves it twice."""
    figure, axes = canvas(len(seeds) + 1, 1, (5.2, 1.05 * (len(seeds) + 1)))
    batch = batch_of(face=[pictures])
    show_faces(axes[0, 0], batch.tokens["face"].x[0, 0], "as it is")
    for ax, seed in zip(axes[1:, 0], seeds, strict=True):
        show_faces(ax, augmented(step, batch, seed).tokens["face"].x[0, 0], f"{title}, seed {seed}")
    return figure


def pairs(step: Augment, streams: dict[str, Sequence[np.ndarray]], seed: int) -> Figure:
    """Two clips, one that is happy and one that is angry, and what becomes of the first."""
    before, names = batch_of(**streams), list(streams)
    after = augmented(step, before, seed)
    figure, axes = canvas(3, len(names) + 1, (3.6 * len(names) + 1.8, 3.3), width_ratios=[*[3] * len(names), 1])
    hot = torch.eye(len(EMOTION.labels))
    rows = (
        ("clip a", before, 0, hot[0]),
        ("clip b", before, 1, hot[1]),
        ("what training sees", after, 0, after.targets["emotion"][0]),
    )
    for row, (title, batch, clip, answer) in enumerate(rows):
        for ax, name in zip(axes[row], names, strict=False):
            x = batch.tokens[name].x[clip, 0]
            show_faces(ax, x, title) if name == "face" else show_sound(ax, x, title)
        show_answer(axes[row, -1], answer[:2], "answer", EMOTION.labels[:2])
    return figure


def smoothing() -> Figure:
    """A target in both conventions, ε = 0.1."""
    figure, axes = canvas(1, 3, (7, 1.9))
    hot, eps = torch.eye(7)[2], 0.1
    others, everything = (1 - eps) * hot + eps * (1 - hot) / 6, (1 - eps) * hot + eps / 7
    titles = ("as it is", "spread: others (published)", "spread: all (torch)")
    for ax, share, title in zip(axes[0], (hot, others, everything), titles, strict=True):
        show_answer(ax, share, title)
    return figure


def figures() -> dict[str, Figure]:
    """All pictures of the page by name."""
    speech, other, short = spectrogram(400), spectrogram(400, 3), face(5)
    rng = np.random.default_rng(1)
    words = [rng.random((n, 40)).astype(np.float32) for n in (9, 6)]
    return {
        "augment-random-clip": random_clip(speech),
        "augment-frames": frame_sampling(),
        "augment-light-speech": sounds(BrightnessContrast(prob=0.7), speech, "±.3, p .7", (0, 3, 5)),
        "augment-light-face": clips(BrightnessContrast("face", 0.5, 0.5), short, "±.5", (1, 4)),
        "augment-time-warp": warp(speech),
        "augment-specaugment": sounds(SpecAugment(), speech, "warp and masks", (0, 1, 2)),
        "augment-flip": clips(Flip(prob=1.0), short, "mirrored", (0,)),
        "augment-rotation": clips(Rotation(prob=1.0), short, "±30°", (1, 6)),
        "augment-mixup": pairs(Mixup(), {"face": [short, face(5, square=True)], "speech": [speech, other]}, 16),
        "augment-word-mixup": pairs(WordMixup(), {"text": words}, 16),
        "augment-cutmix": pairs(CutMix3D(), {"face": [short, face(3, square=True)]}, 30),
        "augment-label-smoothing": smoothing(),
    }


if __name__ == "__main__":
    for name, figure in figures().items():
        figure.savefig(Path(sys.argv[1]) / f"{name}.png", dpi=100, metadata={"Software": None})
