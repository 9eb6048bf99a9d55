"""All of a clip's sound as samples, for networks that learn from the waveform itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from merkit.features.clip import ClipFeatures
from merkit.features.extractor import extractor_id
from merkit.features.sources import Sources
from merkit.features.waveform import FRAME, WaveformExtractor
from merkit.features.whole_clip import NoSoundError, features_of, sound_of
from merkit.media import SAMPLE_RATE
from merkit.schema import Clip, Modality, TokenSequence

__all__ = ["SAMPLES", "SoundExtraction"]

SAMPLES = ("waveform", "whole-waveform")
"""Names of what makes samples: of stretches of voice (`WaveformExtractor`), and of all sound of a clip."""


@dataclass(frozen=True)
class SoundExtraction:
    """Speech as 16 kHz mono samples in [-1, 1], tokens of 20 ms, from the clip's first sample on, silence included.

    Args:
        most_s: seconds of a clip that are kept at most; what comes after is cut, and the record says so.

    Example:
        >>> SoundExtraction(30.0).identity["most_s"]
        30.0
    """

    most_s: float = 30.0

    @cached_property
    def id(self) -> str:
        """Of the tokens; another one than of samples that voice detection has cut out."""
        return extractor_id("whole-waveform", 1, {"frame": FRAME, "most_s": self.most_s})

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What the tokens depend on, beside the clip."""
        return {"speech": self.id, "most_s": self.most_s}

    def __call__(self, clip: Clip, /) -> ClipFeatures:
        """The samples of a clip, or why there are none.

        Raises:
            MediaError: the file cannot be read.
        """
        ids: dict[Modality, str] = {"speech": self.id}
        try:
            samples, start_s, more = sound_of(Sources.of(clip), self.most_s)
        except NoSoundError as error:
            return features_of(clip, {}, {"speech": str(error)}, 0.0, ids)
        if not np.abs(samples).max(initial=0.0) > 0.0:
            return features_of(clip, {}, {"speech": "the sound is silent from start to end"}, 0.0, ids)
        if len(samples) < FRAME:
            why = f"only {1000 * len(samples) / SAMPLE_RATE:.0f} ms of sound"
            return features_of(clip, {}, {"speech": why}, 0.0, ids)
        (made,) = WaveformExtractor().timed([samples])
        tokens = TokenSequence(made.x, made.start_s + start_s, made.end_s + start_s)
        warnings = (f"only the first {self.most_s:g} s of its sound were kept",) if more else ()
        return features_of(clip, {("speech", None): tokens}, {}, float(tokens.end_s[-1]), ids, warnings=warnings)
