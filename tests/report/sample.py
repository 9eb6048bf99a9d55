"""A made-up timeline for the report's tests: seeded random walks, drawn faces, invented words. No model said it."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from merkit.labels import EKMAN7
from merkit.report import NOTICE
from merkit.schema import Person, Presence, Segment, Timeline, Trace, Window

LABELS = EKMAN7.labels
K = len(LABELS)

WORDS = (
    "I brought the tickets, can you believe it?",
    "No. You said that you would ask me first.",
    "I know. I wanted it to be a surprise.",
    "Well, it is one.",
    "Are you cross with me?",
    "A little. Give me a minute.",
    "We can still give them back.",
    "Don't you dare, I have not seen the sea for years!",
)


def _softmax(logit: np.ndarray) -> np.ndarray:
    power = np.exp(logit - logit.max(axis=-1, keepdims=True))
    return power / power.sum(axis=-1, keepdims=True)


def _walk(rng: np.random.Generator, n: int, hop: float, sharpness: float) -> np.ndarray:
    """`(n, K)` logits that wander: a slow part that rests on one label after another, and some noise."""
    knots = max(2, int(n * hop / 3.5) + 2)
    favourite = rng.choice(K, size=knots, p=[0.12, 0.06, 0.08, 0.24, 0.26, 0.12, 0.12])
    anchors = np.eye(K)[favourite] * sharpness
    where = np.linspace(0, knots - 1, n)
    low = np.clip(where.astype(int), 0, knots - 2)
    share = (where - low)[:, None]
    share = share * share * (3 - 2 * share)
    return anchors[low] * (1 - share) + anchors[low + 1] * share + 0.25 * rng.standard_normal((n, K))


def _windows(rng, entity, starts, length, modalities, present) -> list[Window]:
    """Windows of one entity; `present` is modality -> (n,) bool."""
    common = _walk(rng, len(starts), float(starts[1] - starts[0]) if len(starts) > 1 else 1.0, 2.6)
    logit = {m: common + 0.7 * _walk(rng, len(starts), 1.0, 1.4) for m in modalities}
    rows = []
    for i, start in enumerate(starts):
        here = [m for m in modalities if present[m][i]]
        end = round(float(start + length), 3)
        if not here:
            rows.append(Window(float(start), end, entity, {}, None, None, None, {}))
            continue
        prob = {m: _softmax(logit[m][i]) for m in here}
        weight = rng.dirichlet(np.full(len(here), 6.0))
        pooled = sum(w * np.log(prob[m]) for w, m in zip(weight, here, strict=True))
        fused = _softmax(pooled * 1.2)
        members = _softmax(pooled * 1.2 + 0.35 * rng.standard_normal((24, K)))
        low = np.minimum(np.quantile(members, 0.05, axis=0), fused)
        high = np.maximum(np.quantile(members, 0.95, axis=0), fused)
        shares = dict(zip(here, weight.tolist(), strict=True))
        rows.append(Window(float(start), end, entity, prob, fused, low, high, shares))
    return rows


def _face(colour: str, mood: float) -> bytes:
    """A drawn face, so that no real person is in the test data."""
    picture = Image.new("RGB", (96, 96), "#dcd6cc")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((14, 10, 82, 90), fill=colour)
    for x in (36, 60):
        pen.ellipse((x - 5, 38, x + 5, 48), fill="#222222")
    pen.arc((32, 52 - 6 * mood, 64, 72 + 6 * mood), 20, 160, fill="#222222", width=4)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()


def _mean(rows: list[Window], entity: str | None, end: float) -> Window:
    rows = [row for row in rows if row.fused is not None]
    fused, low, high = (np.mean([getattr(r, name) for r in rows], axis=0) for name in ("fused", "low", "high"))
    names = {m for r in rows for m in r.prob}
    prob = {m: np.mean([r.prob[m] for r in rows if m in r.prob], axis=0) for m in names}
    return Window(0.0, end, entity, prob, fused, low, high, {m: 1 / len(names) for m in names})


def sample_timeline(
    duration: float = 24.0,
    *,
    persons: int = 2,
    hop: float = 0.5,
    length: float = 2.0,
    video: bool = True,
    audio: bool = True,
    words: tuple[str | None, ...] = WORDS,
    signals: bool = False,
    name: str = "sample_dialogue",
    seed: int = 7,
) -> Timeline:
    """A timeline with every feature that the report shows: gaps, two persons, shots, speech, an absent modality."""
    rng = np.random.default_rng(seed)
    starts = np.round(np.arange(0, max(duration - length, 0) + 1e-9, hop), 3)
    centres = starts + length / 2
    segments, spoken = _segments(rng, duration, words, centres, persons)
    on = {"text": spoken, "speech": spoken & audio, "face": np.zeros(len(starts), bool)}
    people, rows = [], []
    for index in range(persons):
        seen = _seen(index, centres, duration)
        on["face"] = on["face"] | seen
        rows += _windows(rng, f"person_{index + 1}", starts, length, ["face"], {"face": seen})
        people.append(_person(rng, index, seen, centres, duration))
    present = {m: values for m, values in on.items() if values.any()}
    if video and persons:
        present["scene"] = np.ones(len(starts), bool)
    rows = _windows(rng, None, starts, length, list(present), present) + rows

    def coverage(modality: str) -> float:
        return float(np.mean(present[modality])) if modality in present else float(signals and modality == "physiology")

    presence = tuple(
        Presence(m, m in present or why is None, None if m in present else why or "shown, not judged", coverage(m))
        for m, why in (
            ("text", "nothing was said"),
            ("speech", "no audio stream"),
            ("face", "no face was found" if video else "no video stream"),
            ("scene", "no video stream" if not video else "left out by the settings"),
            ("physiology", None if signals else "no table was given"),
        )
    )
    clip = {"id": name, "file": f"{name}.mp4", "sha256": "5a" * 32, "duration_s": duration}
    if video:
        clip |= {"width": 640, "height": 360, "fps": 25.0}
    return Timeline(
        clip=clip,
        model={"name": "sample", "version": "0", "licence": "none: invented", "weights": {"sample-head": "c0" * 32}},
        settings={"window_s": length, "hop_s": hop, "fps": 3.0, "modalities": sorted(present)},
        labels=LABELS,
        presence=presence,
        persons=tuple(people),
        segments=segments,
        shots_s=tuple(np.round(np.arange(9.4, duration, 9.4), 3).tolist()) if video else (),
        windows=tuple(rows),
        summary=tuple(
            _mean([r for r in rows if r.person == entity], entity, duration)
            for entity in [None, *(person.id for person in people)]
            if any(r.fused is not None for r in rows if r.person == entity)
        ),
        warnings=("These values are invented to show and test the page; no clip was analysed.",),
        notice=NOTICE,
        traces=_signals(rng, duration) if signals else (),
    )


def _signals(rng, duration: float) -> tuple[Trace, ...]:
    """Skin conductance with a stretch that was not measured, and a pulse interval."""
    times = np.linspace(0, duration, 600)
    eda = 2.1 + 0.4 * np.sin(times / 4) + 0.02 * np.cumsum(rng.standard_normal(600))
    ibi = 0.82 + 0.05 * np.sin(times / 2.2) + 0.01 * rng.standard_normal(600)
    measured = np.r_[0:200, 240:600]
    return Trace("eda", "µS", times[measured], eda[measured]), Trace("ibi", "s", times, ibi)


def _segments(rng, duration, words, centres, persons) -> tuple[tuple[Segment, ...], np.ndarray]:
    segments, t, spoken = [], 0.6, np.zeros(len(centres), bool)
    for n in range(10_000 if words else 0):
        text = words[n % len(words)]
        end = t + (1.6 if text is None else 0.6 + 0.045 * len(text))
        if end > duration:
            break
        prob = {m: _softmax(_walk(rng, 1, 1.0, 2.8)[0]) for m in ("text", "speech")}
        prob["fused"] = _softmax(np.log(prob["text"]) + np.log(prob["speech"]))
        person = f"person_{n % persons + 1}" if persons and n % 3 != 2 else None
        segments.append(Segment(round(t, 3), round(end, 3), text, person, "sample words", prob))
        spoken |= (centres > t - 0.5) & (centres < end + 0.5)
        t = end + rng.uniform(0.2, 1.6)
    return tuple(segments), spoken


def _seen(index: int, centres: np.ndarray, duration: float) -> np.ndarray:
    """When a person is in the picture: the first almost always, later ones for a stretch of their own."""
    share = centres / duration
    if index == 0:
        return (share < 0.42) | (share > 0.55)
    begin = (0.13 * index) % 0.6
    return (share > begin + 0.12) & (share < begin + 0.5 - min(0.3, 0.02 * index))


def _person(rng, index: int, seen: np.ndarray, centres: np.ndarray, duration: float) -> Person:
    times = np.round(np.arange(0, duration, 1 / 3), 3)
    times = times[np.interp(times, centres, seen.astype(float)) > 0.5] if len(centres) > 1 else times
    left = 0.16 + 0.42 * (index % 2) + 0.03 * np.sin(times * 0.7 + index)
    top = 0.22 + 0.02 * np.cos(times * 0.5)
    boxes = np.stack([left, top, left + 0.2, top + 0.42], axis=1)
    picks = times[:: max(1, len(times) // 7)] if len(times) else []
    colour = ("#e8b48c", "#b5835a", "#f0cfae", "#8d5a3c")[index % 4]
    faces = tuple((float(t), _face(colour, float(rng.uniform(-1, 1)))) for t in picks)
    return Person(f"person_{index + 1}", times, boxes, rng.uniform(0.9, 1.0, len(times)), faces)


def sample_sound(path: Path, duration: float = 24.0) -> Path:
    """A WAV of bursts of tone and noise, 8 kHz mono."""
    import wave

    rng = np.random.default_rng(3)
    t = np.arange(int(duration * 8000)) / 8000
    loud = np.clip(np.sin(t * 1.9) + 0.3 * np.sin(t * 5.1), 0, 1)
    samples = (loud * (0.5 * np.sin(2 * np.pi * 180 * t) + 0.2 * rng.standard_normal(len(t))) * 12000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    return path
