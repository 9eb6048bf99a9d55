"""The corpora that merkit reads, by name."""

from collections.abc import Mapping

from merkit.corpora.cmu_mosi import MOSEI, MOSI
from merkit.corpora.corpus import Corpus
from merkit.corpora.crema_d import CREMA_D
from merkit.corpora.emodb import EMODB
from merkit.corpora.emorynlp import EMORYNLP
from merkit.corpora.fer2013 import FER2013
from merkit.corpora.goemotions import GOEMOTIONS
from merkit.corpora.iemocap import IEMOCAP
from merkit.corpora.kemdy import KEMDY, KEMDY19, KEMDY20, KEMDY_AIHUB
from merkit.corpora.meld import MELD
from merkit.corpora.merc2020 import MERC2020
from merkit.corpora.moviegraphs import MOVIEGRAPHS
from merkit.corpora.ravdess import RAVDESS
from merkit.corpora.sse_manifests import SSE_MANIFESTS
from merkit.corpora.wesad import WESAD

__all__ = ["CORPORA"]

_ALL = (
    RAVDESS,
    CREMA_D,
    EMODB,
    FER2013,
    GOEMOTIONS,
    MELD,
    EMORYNLP,
    IEMOCAP,
    MOSI,
    MOSEI,
    MOVIEGRAPHS,
    MERC2020,
    KEMDY19,
    KEMDY20,
    KEMDY,
    KEMDY_AIHUB,
    WESAD,
    *SSE_MANIFESTS,
)

CORPORA: Mapping[str, Corpus] = {corpus.name: corpus for corpus in _ALL}
