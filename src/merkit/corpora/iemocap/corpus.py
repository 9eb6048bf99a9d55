"""The corpus and its reader."""

import re
from pathlib import Path

from merkit.corpora.corpus import Corpus, Found
from merkit.corpora.iemocap.evaluation import DIMENSIONS, EMOTION, Turn, read_evaluation
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.text_lines import read_lines
from merkit.errors import MediaError
from merkit.schema import Clip, Stream

__all__ = ["IEMOCAP"]

_SAID = re.compile(r"(\S+)\s+\[[^\]]*\]\s*:\s*(.*)")
_PICTURE = "face, scene"


def _read(root: Root, out: Path | None) -> Found:
    base = "" if _sessions(root, "") else "IEMOCAP_full_release/"
    sessions = _sessions(root, base)
    rejected = [
        Rejected(f"Session{number}", "no such session", what="session")
        for number in range(1, 6)
        if sessions and f"{base}Session{number}" not in sessions
    ]
    clips: list[Clip] = []
    unlabelled = 0
    for session in sessions:
        pictured = (root.path / session / "dialog/avi/DivX").is_dir()
        if not pictured:
            rejected.append(Rejected(f"{session}/dialog/avi/DivX", "no such folder: no pictures", what=_PICTURE))
        for file in _files(root, f"{session}/dialog/EmoEvaluation"):
            try:
                turns, bad = read_evaluation(root.place(file), file)
            except MediaError as error:
                rejected.append(Rejected(file, error.reason, error.field))
                continue
            rejected += bad
            if turns and turns[0].name.session != f"Ses0{session[-1]}":
                rejected.append(Rejected(file, f"its turns are of another session than {session}", "file name"))
                continue
            dialogue = file.rpartition("/")[2].removesuffix(".txt")
            words, more = _words(root, session, dialogue, {turn.id for turn in turns}, rejected)
            unlabelled += more
            picture = _picture(root, session, dialogue, rejected) if pictured else None
            for place, turn in enumerate(turns):
                clip = _clip(root, session, turn, place, words.get(turn.id, ""), picture, rejected)
                if clip is not None:
                    clips.append(clip)
    return Found(clips, (EMOTION, DIMENSIONS), rejected, {"transcript_lines_without_label": unlabelled})


def _sessions(root: Root, base: str) -> list[str]:
    return [name for number in range(1, 6) if (root.path / (name := f"{base}Session{number}")).is_dir()]


def _files(root: Root, folder: str) -> list[str]:
    """Files of dialogues, sorted; archives unpacked on a Mac leave `._name` beside them."""
    path = root.path / folder
    names = [file.name for file in path.iterdir() if file.is_file()] if path.is_dir() else []
    return [f"{folder}/{name}" for name in sorted(names) if name.startswith("Ses") and name.endswith(".txt")]


def _words(root: Root, session: str, dialogue: str, turns: set[str], rejected: list[Rejected]) -> tuple[dict, int]:
    """Words of each turn, and how many lines are of no turn that was rated (laughter, interjections)."""
    name = f"{session}/dialog/transcriptions/{dialogue}.txt"
    try:
        lines = read_lines(root.place(name))
    except MediaError as error:
        rejected.append(Rejected(name, error.reason, error.field, what="text"))
        return {}, 0
    words: dict[str, str] = {}
    others = 0
    for number, text in lines:
        found = _SAID.fullmatch(text)
        if found is None or found[1] not in turns:
            others += 1
        elif found[1] in words:
            rejected.append(
                Rejected(found[1], "its words stand there twice; the first are taken", name, number, "text")
            )
        else:
            words[found[1]] = found[2].strip()
    rejected += [
        Rejected(turn, "no words in the transcription", name, what="text")
        for turn in sorted(turns)
        if not words.get(turn)
    ]
    return words, others


def _picture(root: Root, session: str, dialogue: str, rejected: list[Rejected]) -> Path | None:
    name = f"{session}/dialog/avi/DivX/{dialogue}.avi"
    try:
        return root.file(name)
    except MediaError as error:
        rejected.append(Rejected(name, f"{error.reason}: {dialogue} has no pictures", error.field, what=_PICTURE))
        return None


def _clip(
    root: Root, session: str, turn: Turn, place: int, words: str, picture: Path | None, rejected: list[Rejected]
) -> Clip | None:
    streams: list[Stream] = []
    if picture is not None:
        streams += [Stream("face", picture), Stream("scene", picture)]
    name = f"{session}/sentences/wav/{turn.name.dialogue}/{turn.id}.wav"
    try:
        # the sound of a turn is a file of its own, which begins where the turn does on the dialogue's clock
        streams.append(Stream("speech", root.file(name), start_s=turn.start_s if picture is not None else 0.0))
    except MediaError as error:
        rejected.append(Rejected(turn.id, f"{error.reason}: {name}", "wav", what="speech"))
    if words:
        streams.append(Stream("text", None, text=words))
    if not streams:
        rejected.append(Rejected(turn.id, "neither sound, pictures nor words", line=turn.line))
        return None
    groups = {
        "session": turn.name.session,
        "speaker": turn.name.speaker,
        "dialogue": turn.name.dialogue,
        "scenario": turn.name.scenario,
    }
    span = (turn.start_s, turn.end_s) if picture is not None else None
    return Clip(turn.id, tuple(streams), None, groups, turn.targets, turn=place, span=span)


IEMOCAP = Corpus(
    name="iemocap",
    title="IEMOCAP: Interactive Emotional Dyadic Motion Capture",
    licence="research licence by agreement with the owners (USC SAIL); no redistribution, non-commercial",
    obtain="https://sail.usc.edu/iemocap/iemocap_release.htm (sign the agreement), IEMOCAP_full_release.tar.gz unpacked",
    citation="C. Busso et al. Language Resources and Evaluation 42: 335–359, 2008. doi:10.1007/s10579-008-9076-6",
    tree="""\
ROOT/[IEMOCAP_full_release/]Session1 … Session5, in each
  dialog/EmoEvaluation/Ses01F_impro01.txt                    what raters chose
  dialog/transcriptions/Ses01F_impro01.txt                   words
  sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav       sound of a turn
  dialog/avi/DivX/Ses01F_impro01.avi                         pictures of a dialogue; both actors side by side""",
    modalities=("text", "face", "scene", "speech"),
    labels="emotion, one of 10: "
    + ", ".join(EMOTION.labels)
    + ", with the raters' votes; valence, arousal and dominance from 1 to 5. 4 or 6 classes are chosen at training "
    "(merkit.corpora.label_maps)",
    split="none; 5 sessions: data.split.kind=leave_one_out data.split.by=session data.split.out=Ses05",
    people="10 actors, a woman and a man in each of 5 sessions, who agreed to research use; improvised and scripted dialogues.",
    reader=_read,
    notes=(
        "About a quarter of the 10,039 turns have no majority (xxx): they are kept for context, votes and dimensions, "
        "without an emotion.",
        "Divide by session: the two speakers of a session are in the same dialogues.",
        "Every session played the same three scripts, so long lines come back in all of them and the leakage check says "
        "duplicate_text, near_duplicate_text: a model of words can know these lines from training. Take improvised turns "
        "alone, or set data.allow_leaks and say so.",
        "The pictures show both actors. The one whose letter the dialogue's name bears (F in Ses01F) is in the left half: "
        "merkit.corpora.iemocap.TurnName says where the speaker is.",
        "What counts as four classes differs: happy with excited (5,531 turns) or without (4,490). State which.",
    ),
)
