"""From a corpus to batches: tables, splits, votes, the leakage check, samplers, collation."""

from merkit.data.augment import Mixup
from merkit.data.batch import Batch, Tokens, collate, tokens_of
from merkit.data.context import dialogue_context
from merkit.data.draws import Draw
from merkit.data.leakage import Finding, LeakageReport, check_leakage, check_standardiser
from merkit.data.loader import TableBatches, batch_loader
from merkit.data.sampler import EpochBatches
from merkit.data.splits import by_group, kfold_by_group, leave_one_group_out, official, subset
from merkit.data.table import ClipTable, Provenance, TargetColumn, TokenColumn
from merkit.data.token_sampling import Sampling, TokenSampling
from merkit.data.votes import with_hard, with_peak, with_soft

__all__ = [
    "Batch",
    "ClipTable",
    "Draw",
    "EpochBatches",
    "Finding",
    "LeakageReport",
    "Mixup",
    "Provenance",
    "Sampling",
    "TableBatches",
    "TargetColumn",
    "TokenColumn",
    "TokenSampling",
    "Tokens",
    "batch_loader",
    "by_group",
    "check_leakage",
    "check_standardiser",
    "collate",
    "dialogue_context",
    "kfold_by_group",
    "leave_one_group_out",
    "official",
    "subset",
    "tokens_of",
    "with_hard",
    "with_peak",
    "with_soft",
]
