"""MERC2020 / QIA2020: Korean acted clips with an integrated, a face and a speech label."""

from merkit.corpora.merc2020.corpus import MERC2020
from merkit.corpora.merc2020.names import CODES, EMOTION, FACE_EMOTION, LABELS, SPECS, SPEECH_EMOTION, file_id_of
from merkit.corpora.merc2020.templates import PHASES, file_ids

__all__ = [
    "CODES",
    "EMOTION",
    "FACE_EMOTION",
    "LABELS",
    "MERC2020",
    "PHASES",
    "SPECS",
    "SPEECH_EMOTION",
    "file_id_of",
    "file_ids",
]
