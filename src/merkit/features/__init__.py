"""What each modality's bytes become: tokens with times, made in one pass over a clip and kept in a feature store."""

from merkit.features.clip import ClipFeatures, Tools, extract_clip
from merkit.features.extractor import Extractor, extractor_id
from merkit.features.extractors import EXTRACTORS
from merkit.features.face import FaceApiExtractor, FaceNetExtractor
from merkit.features.face_baseline import MiniXceptionExtractor
from merkit.features.physiology import PHYSIOLOGY_COLUMNS, PhysiologyExtractor
from merkit.features.scene import SceneExtractor
from merkit.features.speech import SpeechExtractor
from merkit.features.text import TextExtractor

__all__ = [
    "EXTRACTORS",
    "PHYSIOLOGY_COLUMNS",
    "ClipFeatures",
    "Extractor",
    "FaceApiExtractor",
    "FaceNetExtractor",
    "MiniXceptionExtractor",
    "PhysiologyExtractor",
    "SceneExtractor",
    "SpeechExtractor",
    "TextExtractor",
    "Tools",
    "extract_clip",
    "extractor_id",
]
