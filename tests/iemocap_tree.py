"""A small tree in IEMOCAP's release format: its own line syntax, its own oddities, made-up dialogues."""

from pathlib import Path

import numpy as np
import soundfile

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
# (speaker and number, start, end, emotion, [V, A, D], categories by rater, words)
Turns = list[tuple[str, float, float, str, tuple[float, float, float], dict[str, str], str]]
FIRST: Turns = [
    ("F000", 6.2901, 8.2357, "neu", (2.5, 2.5, 2.5), {"E2": "Neutral", "E3": "Neutral", "E4": "Anger"}, "Pardon me."),
    ("M000", 7.5, 9.25, "exc", (4.0, 3.5, 3.0), {"E2": "Excited", "E3": "Excited; Happiness", "F1": "Anger"}, "Great!"),
    ("F001", 10.01, 11.3925, "xxx", (2.0, 3.0, 3.0), {"E2": "Sadness", "E3": "Neutral state", "E4": "Fear"}, "Well."),
    ("M001", 14.0, 18.0175, "fru", (2.0, 3.5, 3.5), {"E2": "Frustration", "E3": "Frustration"}, "I have waited."),
]


def wave(path: Path, seconds: float = 0.02) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(seconds * 16_000), np.float32), 16_000)


def evaluation(dialogue: str, turns: Turns) -> str:
    text = HEADER
    for name, start_s, end_s, emotion, means, raters, _ in turns:
        v, a, d = (f"{number:.4f}" for number in means)
        text += f"[{start_s:.4f} - {end_s:.4f}]\t{dialogue}_{name}\t{emotion}\t[{v}, {a}, {d}]\n"
        text += "".join(f"C-{rater}:\t{chosen};\t()\n" for rater, chosen in raters.items())
        text += "A-E3:\tval 3; act 2; dom  2;\t()\nA-E4:\tval 2; act 3; dom  ;\t(mildly; annoyed)\n"
        text += f"A-{name[0]}1:\tval 5; act 5; dom  5;\t()\n\n"
    return text


def transcription(dialogue: str, turns: Turns) -> str:
    lines = [f"{dialogue}_{name} [{start:08.4f}-{end:08.4f}]: {words}" for name, start, end, *_, words in turns]
    return "\n".join([*lines, "M: (laughter)", f"{dialogue}_FXX0 [020.0000-020.5000]: Mhm."]) + "\n"


def write_dialogue(root: Path, dialogue: str, turns: Turns, *, pictures: bool = True, sound: bool = True) -> None:
    """One dialogue of `Session<n>`, as `dialogue` says."""
    session = root / f"Session{dialogue[4]}"
    for folder, text in (("EmoEvaluation", evaluation), ("transcriptions", transcription)):
        (session / "dialog" / folder).mkdir(parents=True, exist_ok=True)
        (session / "dialog" / folder / f"{dialogue}.txt").write_text(text(dialogue, turns))
    if sound:
        for name, start_s, end_s, *_ in turns:
            wave(session / "sentences/wav" / dialogue / f"{dialogue}_{name}.wav", min(end_s - start_s, 0.05))
    if pictures:
        (session / "dialog/avi/DivX").mkdir(parents=True, exist_ok=True)
        (session / "dialog/avi/DivX" / f"{dialogue}.avi").write_bytes(b"RIFF\0\0\0\0AVI LIST" + bytes(64))


def write_iemocap(root: Path, sessions: int = 5, **what: bool) -> Path:
    """Two dialogues a session: an improvisation, and a scene of the scripts whose line all sessions share."""
    line = "We never should have let the old orchard go to those people from the harbour"
    for number in range(1, sessions + 1):
        # what is improvised is said once: words that no other session has
        rng = np.random.default_rng(number)
        words = " ".join("".join(rng.choice(list("aeioulmnrst"), 6)) for _ in range(9))
        own = [(*turn[:6], f"{turn[6]} Number {number}.") for turn in FIRST]
        own.append(("F002", 20.0, 24.0, "neu", (3.0, 3.0, 3.0), {"E2": "Neutral"}, words))
        write_dialogue(root, f"Ses0{number}F_impro01", own, **what)
        scene: Turns = [
            ("M000", 1.0, 4.0, "sad", (2.0, 2.0, 2.5), {"E1": "Sadness", "E2": "Sadness"}, line),
            ("F000", 4.5, 6.0, "ang", (1.5, 4.0, 4.5), {"E1": "Anger", "E2": "Anger"}, "No."),
            ("M001", 6.5, 8.0, "hap", (4.5, 3.0, 3.0), {"E1": "Happiness", "E2": "Happiness"}, "Then we agree."),
        ]
        write_dialogue(root, f"Ses0{number}M_script01_1", scene, **what)
    return root
