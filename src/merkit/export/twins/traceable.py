"""From a network to its twin: which module is replaced by which, and which cannot be."""

import copy

from torch import nn

from merkit.errors import ConfigError
from merkit.export.twins.attention import TracedAttentionLayer, TracedAttentionStages
from merkit.export.twins.emotx import TracedEmoTx, TracedSingleStream
from merkit.export.twins.encoders import TracedPhysiologyEncoder, TracedTextEncoder, TracedUnitEncoder
from merkit.export.twins.fusion import TracedFirstPooling, TracedFusionModel, TracedLastPooling, TracedTensorMixer
from merkit.export.twins.merc2020 import (
    TracedFaceNet,
    TracedFrameNet,
    TracedMERC2020,
    TracedSpeechNet,
    TracedWordNet,
)
from merkit.export.twins.recurrent import TracedBiLSTM, TracedRecurrentContext
from merkit.export.twins.sse_ft import TracedSSEFT
from merkit.models.hlm12erc.dialogue_text import DialogueText
from merkit.models.hlm12erc.sight import PictureVector
from merkit.models.hlm12erc.words import WordMean
from merkit.models.tuned import WaveStates
from merkit.networks.x3d import X3D

__all__ = ["REFUSED", "TWINS", "traceable"]

_TWINS: tuple[type[nn.Module], ...] = (
    TracedAttentionLayer,
    TracedAttentionStages,
    TracedBiLSTM,
    TracedEmoTx,
    TracedFaceNet,
    TracedFirstPooling,
    TracedFrameNet,
    TracedFusionModel,
    TracedLastPooling,
    TracedMERC2020,
    TracedPhysiologyEncoder,
    TracedRecurrentContext,
    TracedSSEFT,
    TracedSingleStream,
    TracedSpeechNet,
    TracedTensorMixer,
    TracedTextEncoder,
    TracedUnitEncoder,
    TracedWordNet,
)

TWINS: dict[type, type[nn.Module]] = {twin.__bases__[0]: twin for twin in _TWINS}
"""Network -> the class that computes the same with padding."""

REFUSED: dict[type[nn.Module], str] = {
    WaveStates: "an encoder of speech that is trained along cuts waveforms by what is in them, clip by clip",
    DialogueText: "which earlier turns of a dialogue are read depends on how long they are",
    WordMean: "which earlier turns of a dialogue are read depends on how long they are",
    PictureVector: "pictures are prepared by the encoder's own processor, outside of the network",
    X3D: "X3D convolves over the pictures of one clip at a time, and would see the padding behind a shorter one",
}
"""Network -> why no graph can be made of it."""


def traceable(model: nn.Module, what: str) -> nn.Module:
    """A copy of a network that a tracer can follow, in evaluation mode. Modules that are not known are taken as they are.

    Args:
        model: left as it is.
        what: it is, for messages.

    Raises:
        ConfigError: it holds something of which no graph can be made.

    Example:
        >>> from merkit.models.pooling import FirstPooling
        >>> type(traceable(nn.Sequential(FirstPooling(3)), "a model")[0]).__name__
        'TracedFirstPooling'
    """
    for module in model.modules():
        for kind, why in REFUSED.items():
            if isinstance(module, kind):
                raise ConfigError(f"{what} cannot become a graph: {why}; --to hf takes it as it is")
    made = copy.deepcopy(model).eval()
    for module in made.modules():
        twin = TWINS.get(type(module))
        if twin is not None:
            module.__class__ = twin
    return made.requires_grad_(False)
