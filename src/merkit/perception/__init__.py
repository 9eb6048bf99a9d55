"""What is where and when in a clip: faces, persons, shots, speech. Models that locate; none that judges."""

from merkit.perception.crops import FACE_MARGIN, FACE_SHIFT, PicturePyramid, crop_faces, face_squares
from merkit.perception.detector import FaceDetector, Faces
from merkit.perception.follower import FaceFollower, FollowedFaces, FollowedPersons
from merkit.perception.likeness import clip_likeness
from merkit.perception.persons import Likeness, name_persons
from merkit.perception.recognition import HubRecogniser, Recogniser
from merkit.perception.shots import ShotDetector
from merkit.perception.tracker import FaceTracker, Track
from merkit.perception.voice import SpeechSpan, VoiceActivity

__all__ = [
    "FACE_MARGIN",
    "FACE_SHIFT",
    "FaceDetector",
    "FaceFollower",
    "FaceTracker",
    "Faces",
    "FollowedFaces",
    "FollowedPersons",
    "HubRecogniser",
    "Likeness",
    "PicturePyramid",
    "Recogniser",
    "ShotDetector",
    "SpeechSpan",
    "Track",
    "VoiceActivity",
    "clip_likeness",
    "crop_faces",
    "face_squares",
    "name_persons",
]
