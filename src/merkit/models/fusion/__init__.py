"""Fusion families: from the tokens of several modalities to one vector a row."""

from merkit.models.fusion.concat import ConcatFusion
from merkit.models.fusion.contract import Fused, Fusion
from merkit.models.fusion.families import FUSIONS, build_fusion

__all__ = ["FUSIONS", "ConcatFusion", "Fused", "Fusion", "build_fusion"]
