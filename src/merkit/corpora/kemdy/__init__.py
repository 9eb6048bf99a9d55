"""KEMDy19 and KEMDy20: Korean talks with ten raters' votes, valence and arousal, and sensors of chest and wrist."""

from merkit.corpora.kemdy.aihub import KEMDY_AIHUB
from merkit.corpora.kemdy.both import KEMDY, both_with_options
from merkit.corpora.kemdy.corpus import KEMDY19, KEMDY20, with_options
from merkit.corpora.kemdy.merged import MERGED_FILE, Ratings, read_ratings
from merkit.corpora.kemdy.names import (
    AFFECT,
    CENTROIDS,
    EMOTION,
    KEMDY7,
    LISTENER_AFFECT,
    LISTENER_EMOTION,
    SPREAD,
    SegmentName,
    fold_of,
)
from merkit.corpora.kemdy.options import Options

__all__ = [
    "AFFECT",
    "CENTROIDS",
    "EMOTION",
    "KEMDY",
    "KEMDY7",
    "KEMDY19",
    "KEMDY20",
    "KEMDY_AIHUB",
    "LISTENER_AFFECT",
    "LISTENER_EMOTION",
    "MERGED_FILE",
    "SPREAD",
    "Options",
    "Ratings",
    "SegmentName",
    "both_with_options",
    "fold_of",
    "read_ratings",
    "with_options",
]
