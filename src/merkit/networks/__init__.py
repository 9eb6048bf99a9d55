"""Pretrained networks as plain modules, each with a loader that reads the catalogue's verified files."""

from merkit.networks.checkpoint import fast_dtype
from merkit.networks.efficientnet import EfficientNet
from merkit.networks.efficientnet_lite import EfficientNetLite0, load_efficientnet_lite0
from merkit.networks.efficientnet_weights import load_efficientnet
from merkit.networks.face_api import (
    FACE_API_LABELS,
    FaceExpression,
    FaceRecognition,
    load_face_api_expression,
    load_face_api_recognition,
    prepare_faces,
)
from merkit.networks.mini_xception import MINI_XCEPTION_LABELS, MiniXception, load_mini_xception
from merkit.networks.minilm import MiniLM, load_minilm
from merkit.networks.mtcnn import MTCNNNets, ONet, PNet, RNet, load_mtcnn
from merkit.networks.silero import SileroVAD, load_silero
from merkit.networks.text_encoder import TextEncoder
from merkit.networks.text_pretrained import load_text_encoder
from merkit.networks.whisper import Whisper, load_whisper
from merkit.networks.x3d import X3D

__all__ = [
    "FACE_API_LABELS",
    "MINI_XCEPTION_LABELS",
    "X3D",
    "EfficientNet",
    "EfficientNetLite0",
    "FaceExpression",
    "FaceRecognition",
    "MTCNNNets",
    "MiniLM",
    "MiniXception",
    "ONet",
    "PNet",
    "RNet",
    "SileroVAD",
    "TextEncoder",
    "Whisper",
    "fast_dtype",
    "load_efficientnet",
    "load_efficientnet_lite0",
    "load_face_api_expression",
    "load_face_api_recognition",
    "load_mini_xception",
    "load_minilm",
    "load_mtcnn",
    "load_silero",
    "load_text_encoder",
    "load_whisper",
    "prepare_faces",
]
