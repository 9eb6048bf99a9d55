"""Options of `merkit predict` that name raw input and say how it is read."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AsrOption",
    "ClipOption",
    "DialogueOption",
    "DownloadOption",
    "EncoderOption",
    "ExtractorOption",
    "FpsOption",
    "KeepOption",
    "PhysioOption",
    "SpeakerOption",
    "TextOption",
    "TranscriptOption",
    "WithoutOption",
]

_RAW = "Raw input"

TextOption = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=_RAW, help="What is said, alone or in the one --clip; repeated, the turns of one dialogue."
    ),
]
SpeakerOption = Annotated[
    list[str] | None, typer.Option(rich_help_panel=_RAW, help="Who speaks; once for each --text, or once for all.")
]
ClipOption = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=_RAW,
        help="Video, sound, picture or words; a folder or a pattern ('*.mp4') too; may be repeated.",
    ),
]
TranscriptOption = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=_RAW, help="Words of the one --clip (.srt, .vtt, .txt); none = beside it, else heard."
    ),
]
PhysioOption = Annotated[
    Path | None, typer.Option(rich_help_panel=_RAW, help="CSV of ECG, EDA, temperature, IBI; for one clip.")
]
DialogueOption = Annotated[
    list[Path] | None,
    typer.Option(
        rich_help_panel=_RAW,
        help="CSV of turns (speaker, words, clip, start_s, end_s), or a folder of clips in order of name.",
    ),
]
AsrOption = Annotated[
    bool, typer.Option(rich_help_panel=_RAW, help="Transcribe speech where a clip brings no words (English).")
]
ExtractorOption = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=_RAW, help="MODALITY=NAME, where the run's own extractor is not found; as of `merkit extract`."
    ),
]
EncoderOption = Annotated[
    list[str] | None, typer.Option(rich_help_panel=_RAW, help="MODALITY=NAME of an encoder, as of `merkit extract`.")
]
DownloadOption = Annotated[
    bool, typer.Option("--download", rich_help_panel=_RAW, help="Fetch encoders from the Hugging Face hub.")
]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option(rich_help_panel=_RAW, help="A modality to leave out, e.g. one whose features cannot be made."),
]
FpsOption = Annotated[
    float | None, typer.Option(min=0.1, max=60, rich_help_panel=_RAW, help="Frames a second; none = as in training.")
]
KeepOption = Annotated[
    Path | None, typer.Option(rich_help_panel=_RAW, help="Folder to keep what was extracted in, for the next time.")
]
