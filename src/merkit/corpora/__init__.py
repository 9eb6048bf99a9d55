"""Published corpora and the user's own tables, read into checked manifests."""

from merkit.corpora.catalogue import CORPORA
from merkit.corpora.corpus import Corpus, KnownBad
from merkit.corpora.headers import check_headers
from merkit.corpora.manifest import Manifest, Rejected
from merkit.corpora.own import read_user_manifest
from merkit.corpora.storage import read_manifest, write_manifest
from merkit.corpora.table import clip_table

__all__ = [
    "CORPORA",
    "Corpus",
    "KnownBad",
    "Manifest",
    "Rejected",
    "check_headers",
    "clip_table",
    "read_manifest",
    "read_user_manifest",
    "write_manifest",
]
