"""Which extractors there are, by the name that heads and configs call them.

Those around a pretrained encoder that the user names have no default and stand in `merkit.features.encoders`.
"""

from typing import Any

from merkit.features.face import FaceApiExtractor, FaceNetExtractor
from merkit.features.face_baseline import MiniXceptionExtractor
from merkit.features.physiology import PhysiologyExtractor
from merkit.features.physiology_windows import PhysiologyWindowsExtractor
from merkit.features.scene import SceneExtractor
from merkit.features.speech import SpeechExtractor, SpeechStatisticsExtractor
from merkit.features.text import TextExtractor

__all__ = ["EXTRACTORS"]

# classes that follow the protocol `merkit.features.Extractor`, called with their `params`
EXTRACTORS: dict[str, Any] = {
    extractor.name: extractor
    for extractor in (
        TextExtractor,
        SpeechExtractor,
        SpeechStatisticsExtractor,
        FaceNetExtractor,
        FaceApiExtractor,
        MiniXceptionExtractor,
        SceneExtractor,
        PhysiologyExtractor,
        PhysiologyWindowsExtractor,
    )
}
