"""Raw input as turns: words, clips or both, each a clip of a dialogue, before anything is extracted from it."""

import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from merkit.corpora.dialogues import with_context
from merkit.corpora.manifest import Manifest, Rejected
from merkit.corpora.own import MEDIA_SUFFIXES, modalities_of_file
from merkit.corpora.paths import Root
from merkit.corpora.table import natural_order
from merkit.corpora.text_lines import read_lines
from merkit.errors import ConfigError, MediaError
from merkit.media import read_text
from merkit.schema import Clip, Modality, Stream

__all__ = ["Turn", "clip_files", "manifest_of", "turns_of_clips", "turns_said", "words_beside", "words_in"]

# words that lie beside a clip, the timed ones first
_BESIDE = (".srt", ".vtt", ".txt")
_MAX_TEXT = 100_000
# the first line of a timed transcript: `[0:01.5] words`, or the header of a table
_TIMED = re.compile(r"\[\s*\d|start\w*\s*[\t,]", re.IGNORECASE)
_KINDS: Mapping[str, tuple[Modality, ...]] = {"words": ("text",), "physio": ("physiology",)}


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing to answer for.

    Args:
        id: distinct among those that are asked about together.
        speaker: who speaks; empty where nobody says.
        words: what is said; empty where `words_file` has it, or where it is to be heard.
        clip: video, sound or picture.
        words_file: subtitles or a timed transcript.
        physio: table of signals.
        span: `start_s, end_s` of the turn within its files; None = the whole of them.
        dialogue: turns of one dialogue are context of one another.
        turn: place in the dialogue, counted from 0.
        line: of the table that it came from; None where there is none.

    Example:
        >>> Turn("hi", words="Oh my God!", speaker="Ross").clip is None
        True
    """

    id: str
    speaker: str = ""
    words: str = ""
    clip: Path | None = None
    words_file: Path | None = None
    physio: Path | None = None
    span: tuple[float, float] | None = None
    dialogue: str = ""
    turn: int = 0
    line: int | None = None


def turns_said(texts: Sequence[str], speakers: Sequence[str] = ()) -> list[Turn]:
    """Utterances that follow one another, as turns of one dialogue.

    Args:
        texts: what is said.
        speakers: by whom: one for each, one for all, or none.

    Raises:
        ConfigError: another number of speakers, or a text without a word.

    Example:
        >>> [(turn.id, turn.speaker, turn.turn) for turn in turns_said(["Hi!", "You again?"], ["Ross", "Joey"])]
        [('turn 1', 'Ross', 0), ('turn 2', 'Joey', 1)]
    """
    if len(speakers) not in (0, 1, len(texts)):
        raise ConfigError(f"{len(speakers)} speakers for {len(texts)} texts: give one for each, one for all, or none")
    for number, text in enumerate(texts, 1):
        if not text.strip() or len(text) > _MAX_TEXT:
            raise ConfigError(f"text {number} is {'empty' if not text.strip() else 'too long'}")
    who = [*speakers] * len(texts) if len(speakers) == 1 else [*speakers] or [""] * len(texts)
    return [
        Turn(f"turn {i + 1}", speaker.strip(), text.strip(), dialogue="words", turn=i)
        for i, (text, speaker) in enumerate(zip(texts, who, strict=True))
    ]


def turns_of_clips(
    named: Sequence[str],
    *,
    transcript: Path | None = None,
    words: str = "",
    physio: Path | None = None,
    speaker: str = "",
) -> tuple[list[Turn], list[Rejected]]:
    """Clips as turns that have nothing to do with one another; and those that cannot be used, with the reason.

    Args:
        named: files, folders or patterns such as `talks/*.mp4`.
        transcript: words of the one clip; none = a file of its name with `.srt`, `.vtt` or `.txt` beside each, if there.
        words: of the one clip, in place of a transcript.
        physio: signals of the one clip.
        speaker: who speaks in all of them.

    Raises:
        ConfigError: words or signals of one clip beside several clips, or nothing is found.
    """
    files, rejected = clip_files(named)
    if transcript and words:
        raise ConfigError("--transcript and --text both give the words of the clip: take one of them")
    if len(files) + len(rejected) > 1 and (transcript or words or physio):
        raise ConfigError("--transcript, --text and --physio belong to one clip; several were given (see --dialogue)")
    turns = []
    for clip_id, file in zip(_names(files), files, strict=True):
        try:
            alone = modalities_of_file(file, "clip") == ("text",)  # words without a clip
            told = transcript or (None if words else file if alone else words_beside(file))
            said, told = words_in(told) if told else (words, None)
        except MediaError as error:
            rejected.append(Rejected(str(file), str(error)))
            continue
        turns.append(Turn(clip_id, speaker, said, None if alone else file, told, physio, dialogue=clip_id))
    return turns, rejected


def clip_files(named: Sequence[str]) -> tuple[list[Path], list[Rejected]]:
    """The media files that these names, folders and patterns mean, each once, and what there is not.

    Files of a folder and of a pattern come in order of their names, with `clip10` behind `clip9`.

    Raises:
        ConfigError: not one was found.
    """
    found: dict[Path, None] = {}
    missing: list[Rejected] = []
    for name in named:
        path = Path(name).expanduser()
        if path.is_dir():
            own = [file for file in path.iterdir() if file.suffix.lower() in MEDIA_SUFFIXES and file.name[0] != "."]
        elif path.exists() or not glob.has_magic(str(path)):
            own = [path]
        else:
            # `Path.glob` takes no absolute patterns
            own = [Path(each) for each in glob.glob(str(path), recursive=True) if Path(each).is_file()]  # noqa: PTH207
        if not own:
            missing.append(Rejected(name, "no media files in it" if path.is_dir() else "no file matches"))
        found |= dict.fromkeys(
            file.absolute() for file in sorted(own, key=lambda each: (natural_order(each.name), str(each)))
        )
    if not found:
        raise ConfigError("; ".join(map(str, missing)) or "no clip was named")
    return list(found), missing


def words_beside(file: Path) -> Path | None:
    """The file with a clip's words that lies beside it under its name, if there is one."""
    beside = (file.with_suffix(suffix) for suffix in _BESIDE)
    return next((each for each in beside if each.is_file() and each != file), None)


def words_in(file: Path) -> tuple[str, Path | None]:
    """The words of a plain text, or, of subtitles and timed transcripts, the file itself, to be cut by its times.

    Raises:
        MediaError: there is no such file, or it cannot be read as words.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plain = Path(folder) / "talk.txt"
        ...     _ = plain.write_text("Oh my God!\\nYou are here.\\n")
        ...     words_in(plain)
        ('Oh my God! You are here.', None)
    """
    if file.suffix.lower() != ".txt":
        read_text(file)  # which says what is wrong with it
        return "", file
    lines = [line for _, line in read_lines(file)]
    if lines and _TIMED.match(lines[0]):
        read_text(file)
        return "", file
    return " ".join(lines)[:_MAX_TEXT], None


def manifest_of(turns: Sequence[Turn], rejected: Sequence[Rejected] = ()) -> Manifest:
    """Turns as a manifest over the whole file system; those whose files cannot be used are left out, with the reason.

    A turn whose clip cannot be used is kept for its words, if it brings any.

    Args:
        turns: of any dialogues.
        rejected: what was left out before.
    """
    under, clips, lost = Root("/"), [], list(rejected)
    for turn in turns:
        streams: list[Stream] = []
        for path, what in ((turn.clip, "clip"), (turn.words_file, "words"), (turn.physio, "physio")):
            if path is None:
                continue
            try:
                file = under.file(os.path.normpath(path.absolute())[1:])
                streams += [Stream(kind, file) for kind in _KINDS.get(what) or modalities_of_file(file, what)]
            except MediaError as error:
                kept = "its clip" if what == "clip" else what
                lost.append(Rejected(turn.id, f"{error.reason}: {path}", what, turn.line, kept))
                if what == "clip":
                    streams = []
                    break
        if turn.words and not any(stream.modality == "text" for stream in streams):
            streams.append(Stream("text", None, text=turn.words))
        if not streams:
            known = [each for each in lost if each.item == turn.id]
            lost = [each for each in lost if each.item != turn.id]
            lost += [replace(each, what="clip") for each in known] or [
                Rejected(turn.id, "names neither words nor a clip", None, turn.line)
            ]
            continue
        groups = {"dialogue": turn.dialogue or turn.id}
        # corpora of series call them characters
        groups |= {"speaker": turn.speaker, "character": turn.speaker} if turn.speaker else {}
        timed = turn.span if any(stream.path is not None for stream in streams) else None
        clips.append(Clip(turn.id, tuple(streams), None, groups, turn=turn.turn, span=timed))
    return Manifest("raw input", with_context(clips), (), under.path, tuple(lost))


def _names(files: Sequence[Path]) -> list[str]:
    """Names of clips: of their files, with as much of the folders as tells them apart."""
    names = [file.name for file in files]
    if len(set(names)) == len(names):
        return names
    shared = os.path.commonpath(files) if len(files) > 1 else ""
    return [os.path.relpath(file, shared) for file in files]
