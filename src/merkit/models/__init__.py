"""What merkit itself trains: plain modules that know no file and no trainer, and the shipped heads made of them."""

from merkit.models.classifier import FusionModel, Outputs
from merkit.models.context import DialogueContext
from merkit.models.fusion import FUSIONS, Fused, Fusion
from merkit.models.heads import EmotionHead, HeadOutput
from merkit.models.losses import EMBEDDING_LOSSES, LOSSES, build_loss
from merkit.models.pooled import PooledClassifier, Pooling, pad
from merkit.models.pooling import POOLINGS

__all__ = [
    "EMBEDDING_LOSSES",
    "FUSIONS",
    "LOSSES",
    "POOLINGS",
    "DialogueContext",
    "EmotionHead",
    "Fused",
    "Fusion",
    "FusionModel",
    "HeadOutput",
    "Outputs",
    "PooledClassifier",
    "Pooling",
    "build_loss",
    "pad",
]
