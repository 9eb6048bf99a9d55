"""From a name to a speech encoder with its weights, held to what its own files say about its input."""

from merkit.errors import WeightError
from merkit.networks.hub_model import ModelSource, find_model, model_sha256, preprocessing, pretrained
from merkit.networks.speech_clock import SAMPLE_RATE
from merkit.networks.speech_encoder import SpeechEncoder

__all__ = ["load_speech_encoder"]


def load_speech_encoder(
    name: str, *, layer: int = -1, freeze_layers: int = -1, download: bool = False
) -> SpeechEncoder:
    """The speech encoder of that name, in evaluation mode.

    Args:
        name: `wav2vec2-base` or `wavlm-base-plus` of the catalogue, a folder, or a name on the Hugging Face hub.
        layer: see `SpeechEncoder`.
        freeze_layers: see `SpeechEncoder`; -1 = frozen, for features.
        download: fetch what is not on this machine.

    Raises:
        WeightError: not on this machine, weights missing, not over 16 kHz samples, or built otherwise.
        ConfigError: it has fewer blocks.

    Example:
        >>> load_speech_encoder("facebook/hubert-base-ls960", layer=9).encode([samples])  # doctest: +SKIP
    """
    source = find_model(name, "speech encoder", download=download)
    normalise = _normalises(source)
    backbone, missing = pretrained(source)
    lacking = [key for key in missing if "masked_spec_embed" not in key]
    if lacking:
        raise WeightError(f"speech encoder {source.name!r}: no weights for {', '.join(lacking[:3])} in {source.folder}")
    sha256 = model_sha256(source)
    return SpeechEncoder(
        backbone, normalise=normalise, layer=layer, freeze_layers=freeze_layers, name=source.name, sha256=sha256
    ).eval()


def _normalises(source: ModelSource) -> bool:
    """What the checkpoint says about its input: samples at 16 kHz, normalised or as they are."""
    about = preprocessing(source, "feature_extractor")
    kind = about.get("feature_extractor_type", "Wav2Vec2FeatureExtractor")
    rate, width = about.get("sampling_rate", SAMPLE_RATE), about.get("feature_size", 1)
    if kind != "Wav2Vec2FeatureExtractor" or rate != SAMPLE_RATE or width != 1:
        raise WeightError(
            f"speech encoder {source.name!r} takes {width} feature(s) at {rate} Hz made by {kind}; what can be encoded here "
            f"is samples at {SAMPLE_RATE} Hz"
        )
    return bool(about.get("do_normalize", True))
