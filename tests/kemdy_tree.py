"""Small trees in the release formats of KEMDy19, KEMDy20 and of the pre-training set beside them: made-up talks.

Sessions are those of the release by number, so that five of them fill the five folds. Sound, words, sensors and votes all
follow the emotion of a turn, so that a model has something to learn.
"""

import csv
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import soundfile

EMOTIONS = ("surprise", "fear", "angry", "neutral", "happy", "sad", "disgust")
SESSIONS19, SESSIONS20 = (1, 5, 9, 13, 17), (1, 9, 17, 25, 33)
RATERS = ("Eval01F", "Eval02M", "Eval03M", "Eval04F", "Eval05M", "Eval06F", "Eval07F", "Eval08M", "Eval09F", "Eval10M")
# valence, arousal about which raters place each emotion
PLACE = ((2.6, 3.6), (1.7, 3.6), (1.8, 3.8), (3.0, 3.0), (4.3, 3.9), (1.9, 2.6), (2.2, 3.1))
WORDS = ("어머 깜짝", "무서워 제발", "화가 나", "그래 알았어", "정말 좋아", "너무 슬퍼", "역겨워 싫어")
SYLLABLES = "가나다라마바사아자차카타파하고노도로모보소오조초코토포호"
# what goes around and around; neutral most of all, and a tie each time
TURNS = (3, 4, 5, 3, 2, 0, 3, 6, 1, 4)
TIE = 3  # every so many turns, from the fourth: two emotions with as many votes
_START = np.datetime64("2019-10-21T13:29:34.000")


def write_wave(path: Path, emotion: int, seconds: float, rng: np.random.Generator, voice: bool = False) -> None:
    """A tone whose pitch and loudness follow the emotion; or a real voice, slower or faster, softer or louder by it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = 16_000
    t = np.arange(round(seconds * rate)) / rate
    if voice:
        said, heard = soundfile.read(str(files("merkit.demo") / "speech.flac"))
        at = (rng.uniform(0, 2) + t * (0.8 + 0.07 * emotion)) * heard
        soundfile.write(
            path, (0.4 + 0.08 * emotion) * np.interp(at, np.arange(len(said)), said), rate, subtype="PCM_16"
        )
        return
    wave = (0.05 + 0.04 * emotion) * np.sin(2 * np.pi * (120 + 60 * emotion) * t) + rng.normal(0, 0.01, len(t))
    soundfile.write(path, wave, rate, subtype="PCM_16")


def sentence(emotion: int, rng: np.random.Generator) -> str:
    """Words of the emotion, and some that nobody else says."""
    return f"{WORDS[emotion]} {''.join(rng.choice(list(SYLLABLES), 12))} {''.join(rng.choice(list(SYLLABLES), 9))} b/"


def ratings(emotion: int, tie: bool, rng: np.random.Generator, typo: bool = False) -> tuple[list[str], list[list[str]]]:
    """`(total, [[emotion, valence, arousal] of each rater])` as cells."""
    other = 3 if emotion != 3 else 4
    if tie:
        said = [emotion] * 4 + [other] * 4 + [(emotion + 2) % 7] + [(emotion + 2) % 7]
        if (emotion + 2) % 7 == other:  # six against four is no tie
            said[-2:] = [(emotion + 3) % 7] * 2
    else:
        said = [emotion] * int(rng.integers(6, 10))
        said += [other] * (10 - len(said))
    said = [said[i] for i in rng.permutation(10)]
    name = lambda label: "disqust" if typo and label == 6 else EMOTIONS[label]  # noqa: E731
    place = np.clip(np.rint(np.array([PLACE[label] for label in said]) + rng.normal(0, 0.4, (10, 2))), 1, 5).astype(int)
    counts = np.bincount(said, minlength=7)
    top = [name(label) for label in np.flatnonzero(counts == counts.max())]
    mean = place.mean(0)
    cells = [[name(label), str(v), str(a)] for label, (v, a) in zip(said, place.tolist(), strict=True)]
    return [";".join(top), f"{mean[0]:.1f}", f"{mean[1]:.1f}"], cells


def clock(seconds: float) -> str:
    """Calendar time, to the millisecond."""
    return str(_START + np.timedelta64(round(seconds * 1000), "ms")).replace("T", " ")


def _sensor(kind: str, emotion: int, person: int, start_s: float, end_s: float, rng: np.random.Generator) -> list:
    """`[(seconds, value)]` of one stretch."""
    if kind == "IBI":
        beat = 0.95 - 0.05 * emotion
        at, found = start_s + beat, []
        while at < end_s:
            found.append((at, beat + rng.normal(0, 0.01)))
            at += beat
        return found
    rate = {"EDA": 4, "TEMP": 4, "ECG": 50}[kind]
    at = np.arange(np.ceil(start_s * rate), np.ceil(end_s * rate)) / rate
    if kind == "ECG":
        values = np.sin(2 * np.pi * (1.0 + 0.1 * emotion) * at) ** 15
    else:
        level, step = (1.0 + person, 0.3) if kind == "EDA" else (33.0 + person, 0.1)
        values = level + step * emotion + rng.normal(0, 0.02, len(at))
    return list(zip(at.tolist(), np.round(values, 6).tolist(), strict=True))


def _rows(path: Path, rows: list, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def header19() -> list[list[str]]:
    """The two header rows: 13 columns about the segment, 3 for each rater."""
    first = ["Numb", "Wav", "", "ECG", "", "E4-EDA", "", "E4-TEMP", "", "Segment ID", "Total Evaluation", "", ""]
    second = ["", *["start", "end"] * 4, "", "Emotion", "Valence", "Arousal"]
    return [first + [x for r in RATERS for x in (r, "", "")], second + ["Emotion", "Valence", "Arousal"] * 10]


def header20() -> list[list[str]]:
    """The two header rows: 7 columns about the segment, 3 for each rater."""
    first = ["Numb", "WAV", " ", "Segment ID", "Total Evaluation", " ", " "]
    second = [" ", "start", "end", " ", "Emotion", "Valence", "Arousal"]
    return [first + [x for r in RATERS for x in (r, " ", " ")], second + ["Emotion", "Valence", "Arousal"] * 10]


def write_kemdy19(
    root: Path,
    sessions: Sequence[int] = SESSIONS19,
    *,
    scripts: Sequence[str] = ("script01", "impro01"),
    turns: int = 6,
    seconds: float = 1.0,
    sensors: Sequence[str] = ("ECG", "EDA", "TEMP"),
    voice: bool = False,
) -> Path:
    """`turns` turns of each script, of her and him in turn; either's file rates both of them in every turn."""
    for session in sessions:
        rng = np.random.default_rng(1900 + session)
        rows: dict[str, list] = {"M": [], "F": []}
        measured = {(kind, sex): [] for kind in sensors for sex in "MF"}
        now, number = 10.0 * session, 0
        for script in scripts:
            for turn in range(turns):
                number += 1
                sex, emotion = "FM"[turn % 2], TURNS[(turn + session) % len(TURNS)]
                segment = f"Sess{session:02d}_{script}_{sex}{turn // 2 + 1:03d}"
                wav = root / f"wav/Session{session:02d}/Sess{session:02d}_{script}/{segment}.wav"
                write_wave(wav, emotion, seconds, rng, voice)
                wav.with_suffix(".txt").write_text(sentence(emotion, rng) + "\n", encoding="utf-8")
                start_s, end_s = now, now + seconds
                for who in "MF":
                    # who listens shows another state than who speaks
                    state = emotion if who == sex else (emotion + 1) % 7
                    total, cells = ratings(state, number % TIE == 0, rng)
                    means = [f"{x:.3f}" for x in (0.1, 0.2, 1.0 + state, 1.1 + state, 33.0, 33.1)]
                    about = [str(number), f"{start_s:.3f}", f"{end_s:.3f}", *means, segment, *total]
                    rows[who].append(about + [x for cell in cells for x in cell])
                    for kind in sensors:
                        person = 2 * session + (who == "M")
                        measured[kind, who] += [
                            _line19(kind, at, value, now, segment)
                            for at, value in _sensor(kind, state, person % 7, start_s, end_s, rng)
                        ]
                        # between two turns nobody's segment runs: the row ends after the clock
                        pause = _sensor(kind, 3, person % 7, end_s, end_s + 0.5, rng)
                        measured[kind, who] += [_line19(kind, at, value, now, None) for at, value in pause]
                now = end_s + 0.5
        for who in "MF":
            _rows(root / f"annotation/Session{session:02d}_{who}_res.csv", [*header19(), *rows[who]])
            for kind in sensors:
                file = root / f"{kind}/Session{session:02d}/Original/Sess{session:02d}{who}.csv"
                _rows(file, measured[kind, who])
    return root


def _line19(kind: str, at: float, value: float, begin: float, segment: str | None) -> list[str]:
    offset = f"{(at - begin) * 1000:.0f}"
    first = [offset, f"{value:.6f}"] if kind == "ECG" else [f"{value:.6f}", offset]
    return [*first, clock(at), *([segment] if segment else [])]


def write_kemdy20(
    root: Path,
    sessions: Sequence[int] = SESSIONS20,
    *,
    scripts: Sequence[str] = ("script01", "script02"),
    turns: int = 6,
    seconds: float = 1.0,
    sensors: Sequence[str] = ("EDA", "IBI", "TEMP"),
    voice: bool = False,
) -> Path:
    """Two users a session; texts in cp949, `disqust`, wristband files with their own first rows."""
    for session in sessions:
        rng = np.random.default_rng(2000 + session)
        users = (f"User{2 * session - 1:03d}F", f"User{2 * session:03d}M")
        rows, now, number = [], 10.0 * session, 0
        for script in scripts:
            begin = now
            measured: dict = {
                (kind, user): [[str(1571664574.0 + begin), "IBI"]]
                if kind == "IBI"
                else [[str(1571664574.0 + begin)], ["4.000000"]]
                for kind in sensors
                for user in users
            }
            for turn in range(turns):
                number += 1
                user, emotion = users[turn % 2], TURNS[(turn + session) % len(TURNS)]
                segment = f"Sess{session:02d}_{script}_{user}_{turn // 2 + 1:03d}"
                wav = root / f"wav/Session{session:02d}/{segment}.wav"
                write_wave(wav, emotion, seconds, rng, voice)
                wav.with_suffix(".txt").write_bytes((sentence(emotion, rng) + "\n").encode("cp949"))
                total, cells = ratings(emotion, number % TIE == 0, rng, typo=True)
                about = [str(number), f"{now:.3f}", f"{now + seconds:.3f}", segment, *total]
                rows.append(about + [x for cell in cells for x in cell])
                for kind in sensors:
                    for place, who in enumerate(users):
                        state = emotion if who == user else 3
                        for at, value in _sensor(kind, state, (2 * session + place) % 7, now, now + seconds, rng):
                            first = [f"{at - begin:.6f}"] if kind == "IBI" else []
                            tail = [segment] if who == user else []
                            measured[kind, who].append([*first, f"{value:.6f}", clock(at), *tail])
                now += seconds + 0.5
            for (kind, user), lines in measured.items():
                _rows(root / f"{kind}/Session{session:02d}/Sess{session:02d}_{script}_{user}.csv", lines)
        _rows(root / f"annotation/Sess{session:02d}_eval.csv", [*header20(), *rows])
    return root


def write_aihub(root: Path, clips: int = 12, seconds: float = 0.3) -> Path:
    """`annotation/part.csv` (txt, segment_id, emotion) and `wav/`."""
    rng = np.random.default_rng(7)
    rows = [["txt", "segment_id", "emotion"]]
    for number in range(clips):
        emotion = TURNS[number % len(TURNS)]
        segment = f"5e25{number:04d}"
        write_wave(root / f"wav/{segment}.wav", emotion, seconds, rng)
        rows.append([sentence(emotion, rng), segment, EMOTIONS[emotion]])
    _rows(root / "annotation/part.csv", rows, "utf-8-sig")
    return root
