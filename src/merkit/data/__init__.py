"""From a corpus to batches: tables, splits, the leakage check, samplers, collation."""

from merkit.data.batch import Batch, Tokens, collate, tokens_of
from merkit.data.table import ClipTable, Provenance, TargetColumn, TokenColumn

__all__ = [
    "Batch",
    "ClipTable",
    "Provenance",
    "TargetColumn",
    "TokenColumn",
    "Tokens",
    "collate",
    "tokens_of",
]
