"""Speech units as tokens: of sound, and of states that a store holds already."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from merkit.errors import StoreError, WeightError
from merkit.features.extractor import extractor_id
from merkit.features.record import record_key
from merkit.features.shard import ClipRecord, Row
from merkit.features.speech_by_name import SpeechEncoderExtractor, named_layer
from merkit.features.store import FeatureStore
from merkit.features.units import SpeechUnits
from merkit.schema import TokenSequence

__all__ = ["SpeechUnitsExtractor", "collapsed", "unit_ids", "write_unit_store"]


def unit_ids(units: SpeechUnits) -> tuple[str, str]:
    """Extractor ids of a row of these units: one token a state, and one a run.

    Example:
        >>> one, runs = unit_ids(SpeechUnits(np.zeros((2, 3), np.float32), {"states": "speech-encoder@0"}))
        >>> one.split("@")[0], one == runs
        ('speech-units', False)
    """
    made = [_extractor_id(units, collapse) for collapse in (False, True)]
    return made[0], made[1]


def _extractor_id(units: SpeechUnits, collapse: bool) -> str:
    hashes = [units.about["states"], units.sha256]
    return extractor_id(SpeechUnitsExtractor.name, SpeechUnitsExtractor.version, {"collapse": collapse}, hashes)


def collapsed(tokens: TokenSequence) -> TokenSequence:
    """Runs of one unit as one token, from the start of the first to the end of the last.

    Example:
        >>> at_s = np.arange(4.0)
        >>> runs = collapsed(TokenSequence(np.array([[7.0], [7.0], [2.0], [7.0]]), at_s, at_s + 1))
        >>> runs.x.ravel().tolist(), runs.start_s.tolist(), runs.end_s.tolist()
        ([7.0, 2.0, 7.0], [0.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    """
    first = _run_starts(tokens.x)
    last = np.append(first[1:], len(tokens)) - 1 if len(first) else first
    return TokenSequence(tokens.x[first], tokens.start_s[first], tokens.end_s[last])


def _run_starts(x: np.ndarray, segment: np.ndarray | None = None) -> np.ndarray:
    """Where runs begin; none goes on from one segment into the next."""
    if not len(x):
        return np.zeros(0, np.int64)
    new = (x[1:] != x[:-1]).any(1)
    if segment is not None:
        new = new | (segment[1:] != segment[:-1])
    return np.append(0, np.flatnonzero(new) + 1)


class SpeechUnitsExtractor:
    """`(T, 1)` float32 units of each utterance, 0 to k - 1; `statistics_on` says which splits the centroids saw.

    Args:
        folder: that `SpeechUnits.save` wrote.
        collapse: runs of one unit are one token.
        download: fetch the encoder if it is not on this machine.
        encoder: the same encoder under another name, where its folder has moved.

    Raises:
        WeightError: no units, no encoder, or an encoder that is not the one whose states they are made for.
    """

    name = "speech-units"
    version = 1
    modality = "speech"
    width = 1
    weights: tuple[str, ...] = ()

    def __init__(self, folder: str, collapse: bool = False, download: bool = False, encoder: str = "") -> None:
        self.units = SpeechUnits.load(folder)
        encoder = encoder or self.units.about["encoder"]
        name, layer = named_layer(encoder)
        self._states = SpeechEncoderExtractor(name, layer=layer, download=download)
        if self._states.id != self.units.about["states"]:
            raise WeightError(
                f"{folder}: units of {self.units.about['states']}, but {encoder} is {self._states.id}: "
                "other weights, or another layer"
            )
        self.params = {"collapse": collapse}
        self.statistics_on = tuple(self.units.about["statistics_on"])

    @cached_property
    def id(self) -> str:
        return _extractor_id(self.units, self.params["collapse"])

    @property
    def rate_hz(self) -> float | None:
        """Tokens a second; None where runs are collapsed."""
        return None if self.params["collapse"] else self._states.rate_hz

    @property
    def least_s(self) -> float:
        """Seconds that a waveform must last to have a token."""
        return self._states.least_s

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`(T_i, 1)` units per utterance.

        Args:
            inputs: `(n,)` float32 mono at 16 kHz in [-1, 1], one per utterance.
        """
        return [tokens.x for tokens in self.timed(inputs)]

    def timed(self, inputs: Sequence[np.ndarray]) -> list[TokenSequence]:
        """As `__call__`, with the seconds from the utterance's first sample that each token is made of."""
        made = [
            TokenSequence(self.units.assign(states.x), states.start_s, states.end_s)
            for states in self._states.timed(inputs)
        ]
        return [collapsed(tokens) for tokens in made] if self.params["collapse"] else made


def write_unit_store(
    store: FeatureStore, folder: str | Path, out: str | Path, *, collapse: bool = False
) -> FeatureStore:
    """The units of states that were extracted already, without the encoder; other modalities stay as they are.

    Args:
        store: with the states.
        folder: of the units.
        out: the new store; tokens are those that `merkit extract --encoder speech=FOLDER` makes.
        collapse: runs of one unit within an utterance are one token.

    Raises:
        StoreError: a clip's speech is made by another encoder than the units are for; `out` is `store`.
        WeightError: no units.
    """
    units = SpeechUnits.load(folder)
    made_by = _extractor_id(units, collapse)
    if Path(out).resolve() == store.path.resolve():
        raise StoreError(f"{out}: units go into a store of their own")
    target = FeatureStore.create(out)
    index = store.index.select(["clip", "modality", "entity", "extractor_id", "input_sha256"]).to_pydict()
    of_clip: dict[str, list[int]] = {}
    for i, clip in enumerate(index["clip"]):
        of_clip.setdefault(clip, []).append(i)
    for clip, own in of_clip.items():
        rows = []
        for i in own:
            modality, entity = index["modality"][i], index["entity"][i]
            if modality is None:
                continue
            tokens, segment, source = store.tokens(i), store.segment_of(i), index["extractor_id"][i]
            if modality == "speech":
                if source != units.about["states"]:
                    raise StoreError(
                        f"{store.path}: speech of clip {clip} was made by {source}, not by {units.about['states']}"
                    )
                tokens, segment, source = _units_of(units, tokens, segment, collapse), segment, made_by
                if collapse:
                    segment = segment[_run_starts(units.assign(np.asarray(store.x(i), np.float32)), segment)]
            rows.append(
                Row(modality, entity, source, np.asarray(tokens.x, np.float32), tokens.start_s, tokens.end_s, segment)
            )
        input_hash = index["input_sha256"][own[0]]
        key = record_key(input_hash or "", {"store": store.key_of(clip), "units": made_by})
        target.add(ClipRecord(clip, key, input_hash or "", store.about(clip), tuple(rows)))
    target.finalise()
    return target


def _units_of(units: SpeechUnits, tokens: TokenSequence, segment: np.ndarray, collapse: bool) -> TokenSequence:
    made = TokenSequence(units.assign(np.asarray(tokens.x, np.float32)), tokens.start_s, tokens.end_s)
    if not collapse:
        return made
    first = _run_starts(made.x, segment)
    last = np.append(first[1:], len(made)) - 1
    return TokenSequence(made.x[first], made.start_s[first], made.end_s[last])
