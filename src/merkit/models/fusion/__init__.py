"""Fusion families: from the tokens of several modalities to one vector a row."""

from merkit.models.fusion.concat import ConcatFusion
from merkit.models.fusion.contract import Fused, Fusion
from merkit.models.fusion.cross_attention import CrossAttentionFusion
from merkit.models.fusion.cross_modal import CrossModalFusion
from merkit.models.fusion.families import FUSIONS, build_fusion
from merkit.models.fusion.label_query import LabelQueryFusion
from merkit.models.fusion.modality_attention import ModalityAttentionFusion
from merkit.models.fusion.pooled_streams import PooledStreams
from merkit.models.fusion.tensor import TensorFusion

__all__ = [
    "FUSIONS",
    "ConcatFusion",
    "CrossAttentionFusion",
    "CrossModalFusion",
    "Fused",
    "Fusion",
    "LabelQueryFusion",
    "ModalityAttentionFusion",
    "PooledStreams",
    "TensorFusion",
    "build_fusion",
]
