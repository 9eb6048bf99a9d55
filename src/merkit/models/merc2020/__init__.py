"""The networks of MERC2020: speech, face sequences, words, and all of them together."""

from merkit.models.merc2020.face import FaceNet
from merkit.models.merc2020.frame_attention import FrameAttention
from merkit.models.merc2020.frames import FrameNet
from merkit.models.merc2020.multimodal import NETWORKS, MERC2020Model
from merkit.models.merc2020.recurrent import AttentiveBiLSTM
from merkit.models.merc2020.speech import SpeechNet
from merkit.models.merc2020.words import WordNet

__all__ = [
    "NETWORKS",
    "AttentiveBiLSTM",
    "FaceNet",
    "FrameAttention",
    "FrameNet",
    "MERC2020Model",
    "SpeechNet",
    "WordNet",
]
