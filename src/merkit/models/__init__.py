"""What merkit itself trains: plain modules that know no file and no trainer, and the shipped heads made of them."""

from merkit.models.heads import EmotionHead, HeadOutput
from merkit.models.pooled import PooledClassifier, Pooling, pad

__all__ = ["EmotionHead", "HeadOutput", "PooledClassifier", "Pooling", "pad"]
