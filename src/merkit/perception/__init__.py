"""What is where and when in a clip: faces, persons, shots, speech. Models that locate; none that judges."""

from merkit.perception.crops import crop_faces
from merkit.perception.detector import FaceDetector, Faces

__all__ = ["FaceDetector", "Faces", "crop_faces"]
