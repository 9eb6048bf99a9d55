"""What each modality's bytes become: tokens with times, made in one pass over a clip and kept in a feature store."""

from merkit.features.clip import ClipFeatures, Tools, extract_clip
from merkit.features.encoders import ENCODERS, encoder_by_name
from merkit.features.extraction import ClipExtraction, ExtractionProgress, ExtractionReport, Skipped, extract_many
from merkit.features.extractor import Extractor, extractor_id
from merkit.features.extractors import EXTRACTORS
from merkit.features.face import FaceApiExtractor, FaceNetExtractor
from merkit.features.face_baseline import MiniXceptionExtractor
from merkit.features.physiology import PHYSIOLOGY_COLUMNS, PhysiologyExtractor
from merkit.features.record import input_sha256, record_key, record_of
from merkit.features.scene import SceneExtractor
from merkit.features.sentences import SentenceEncoder, sentence_encoder
from merkit.features.shard import ClipRecord, Row
from merkit.features.speech import SpeechExtractor, SpeechStatisticsExtractor
from merkit.features.store import FeatureStore
from merkit.features.text import TextExtractor

__all__ = [
    "ENCODERS",
    "EXTRACTORS",
    "PHYSIOLOGY_COLUMNS",
    "ClipExtraction",
    "ClipFeatures",
    "ClipRecord",
    "ExtractionProgress",
    "ExtractionReport",
    "Extractor",
    "FaceApiExtractor",
    "FaceNetExtractor",
    "FeatureStore",
    "MiniXceptionExtractor",
    "PhysiologyExtractor",
    "Row",
    "SceneExtractor",
    "SentenceEncoder",
    "Skipped",
    "SpeechExtractor",
    "SpeechStatisticsExtractor",
    "TextExtractor",
    "Tools",
    "encoder_by_name",
    "extract_clip",
    "extract_many",
    "extractor_id",
    "input_sha256",
    "record_key",
    "record_of",
    "sentence_encoder",
]
