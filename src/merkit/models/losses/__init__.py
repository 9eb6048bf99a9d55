"""Losses on logits, with masks and weights, and losses on vectors."""

from merkit.models.losses.classes import CrossEntropyLoss, FocalLoss, KLLoss
from merkit.models.losses.dice import DiceLoss
from merkit.models.losses.embedding import (
    EMBEDDING_LOSSES,
    AnchorLoss,
    InfoNCELoss,
    SupervisedContrastiveLoss,
    TripletLoss,
)
from merkit.models.losses.families import LOSSES, WeightedSumLoss, build_loss
from merkit.models.losses.labels import BCELoss, MultilabelFocalLoss, MultilabelSoftMarginLoss
from merkit.models.losses.values import CCCLoss, L1Loss, MSELoss

__all__ = [
    "EMBEDDING_LOSSES",
    "LOSSES",
    "AnchorLoss",
    "BCELoss",
    "CCCLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "InfoNCELoss",
    "KLLoss",
    "L1Loss",
    "MSELoss",
    "MultilabelFocalLoss",
    "MultilabelSoftMarginLoss",
    "SupervisedContrastiveLoss",
    "TripletLoss",
    "WeightedSumLoss",
    "build_loss",
]
