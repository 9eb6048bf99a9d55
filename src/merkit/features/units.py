"""Speech as a row of numbers: the k-means unit of every state of a self-supervised encoder.

The BERT-like model reads voice as words: the two code books of vq-wav2vec, numbered by the dictionary of a speech RoBERTa.
Neither checkpoint can be had in a form that today's libraries load. These units take their place and are not the same
thing: k centroids over the states of an encoder that can be had (as HuBERT's own targets are made; Hsu et al. 2021), at its
50 tokens a second in place of 100, one number a token in place of a pair, fitted on the corpus at hand. Whatever reads them
learns its embedding of units from nothing.

Centroids see the training clips alone; which ones is written down, so that `leaks` can tell.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.atomic import replacing
from merkit.errors import ConfigError, StoreError, WeightError
from merkit.features.extractor import extractor_id
from merkit.features.kmeans import fit_centroids, nearest
from merkit.features.record import record_key
from merkit.features.shard import ClipRecord, Row
from merkit.features.speech_by_name import SpeechEncoderExtractor, named_layer
from merkit.features.store import FeatureStore
from merkit.schema import TokenSequence

if TYPE_CHECKING:
    from merkit.corpora import Manifest

__all__ = ["SpeechUnits", "SpeechUnitsExtractor", "collapsed", "fit_units", "is_units", "write_unit_store"]

_CENTROIDS, _ABOUT = "centroids.safetensors", "units.json"


@dataclass(frozen=True, slots=True, eq=False)
class SpeechUnits:
    """Centroids, and where they come from.

    Args:
        centroids: `(k, D)` float32.
        about: JSON types: `encoder` (its name and layer, as `--encoder speech=` takes it), `states` (extractor id of the
            states), `corpus`, `statistics_on` (splits), `clips` (ids of the clips they were fitted on), `tokens`, `seed`.
    """

    centroids: np.ndarray
    about: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.centroids)

    @property
    def sha256(self) -> str:
        """Of the centroids."""
        return hashlib.sha256(np.ascontiguousarray(self.centroids, np.float32).tobytes()).hexdigest()

    def assign(self, x: np.ndarray) -> np.ndarray:
        """States `(T, D)` -> `(T, 1)` float32: the number of the nearest centroid, 0 to k - 1.

        Raises:
            ConfigError: states of another width.

        Example:
            >>> SpeechUnits(np.array([[0.0], [1.0]], np.float32), {}).assign(np.array([[0.9], [0.2]])).ravel()
            array([1., 0.], dtype=float32)
        """
        if x.ndim != 2 or x.shape[1] != self.centroids.shape[1]:
            raise ConfigError(f"units over states {self.centroids.shape[1]} wide cannot number states {x.shape}")
        return nearest(x, self.centroids)[0].astype(np.float32)[:, None]

    def leaks(self, manifest: "Manifest") -> list[str]:
        """Clips of the manifest that the centroids were fitted on although they are not for training."""
        seen = set(self.about.get("clips", ()))
        return [clip.id for clip in manifest.clips if clip.id in seen and clip.split != "train"]

    def save(self, folder: str | Path) -> Path:
        """Writes `centroids.safetensors` and `units.json`."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / _CENTROIDS) as temporary:
            save_file({"centroids": np.ascontiguousarray(self.centroids, np.float32)}, temporary)
        with replacing(folder / _ABOUT) as temporary:
            text = json.dumps({**self.about, "k": len(self), "sha256": self.sha256}, indent=1, ensure_ascii=False)
            temporary.write_text(text, encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "SpeechUnits":
        """What `save` wrote.

        Raises:
            WeightError: it is not there, or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder).expanduser()
        try:
            about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            centroids = load_file(folder / _CENTROIDS)["centroids"]
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise WeightError(f"{folder}: no speech units ({error})") from None
        units = cls(centroids, about)
        if units.sha256 != about.get("sha256"):
            raise WeightError(f"{folder}: the centroids are not those that {_ABOUT} describes")
        return units


def is_units(folder: str | Path) -> bool:
    """Whether `SpeechUnits.save` made the folder.

    Example:
        >>> is_units("no such folder")
        False
    """
    return (Path(folder).expanduser() / _ABOUT).is_file()


def fit_units(
    manifest: "Manifest",
    store: FeatureStore,
    encoder: str,
    k: int = 100,
    *,
    most: int = 200_000,
    seed: int = 0,
    rounds: int = 100,
) -> SpeechUnits:
    """Units of the states that a store holds, from the training clips of a manifest alone.

    Args:
        manifest: says which clips are for training.
        store: of `merkit extract --encoder speech=ENCODER`.
        encoder: the same name, with the same `:layer`.
        k: units.
        most: states at most; more are thinned evenly by chance.
        seed: of the thinning and of k-means.
        rounds: of k-means at most.

    Raises:
        ConfigError: no training clip has speech, states of another encoder, or fewer states than units.
        WeightError: the encoder is not on this machine.
    """
    name, layer = named_layer(encoder)
    states = SpeechEncoderExtractor(name, layer=layer).id
    train = sorted(clip.id for clip in manifest.clips if clip.split == "train")
    rows = [(clip, row) for clip in train if (row := store.row(clip, "speech")) is not None]
    if not rows:
        raise ConfigError(f"{store.path}: none of the {len(train)} training clips of {manifest.name} has speech tokens")
    made_by = sorted(set(store.index["extractor_id"].take([row for _, row in rows]).to_pylist()))
    if made_by != [states]:
        raise ConfigError(f"{store.path}: speech was made by {', '.join(made_by)}, not by {encoder} ({states})")
    lengths = [len(store.x(row)) for _, row in rows]
    ends = np.cumsum(lengths)
    kept = np.arange(ends[-1])
    if len(kept) > most:
        kept = np.sort(np.random.default_rng(seed).choice(len(kept), most, replace=False))
    x = np.concatenate(
        [
            np.asarray(store.x(row)[kept[(kept >= end - length) & (kept < end)] - (end - length)], np.float32)
            for (_, row), end, length in zip(rows, ends, lengths, strict=True)
        ]
    )
    about = {
        "encoder": encoder,
        "states": states,
        "corpus": manifest.name,
        "statistics_on": ["train"],
        "clips": [clip for clip, _ in rows],
        "tokens": len(x),
        "seed": seed,
    }
    return SpeechUnits(fit_centroids(x, k, seed=seed, rounds=rounds), about)


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
        return extractor_id(self.name, self.version, self.params, [self.units.about["states"], self.units.sha256])

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
    units, made_by = SpeechUnits.load(folder), SpeechUnitsExtractor(str(folder), collapse)
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
                tokens, segment, source = _units_of(units, tokens, segment, collapse), segment, made_by.id
                if collapse:
                    segment = segment[_run_starts(units.assign(np.asarray(store.x(i), np.float32)), segment)]
            rows.append(
                Row(modality, entity, source, np.asarray(tokens.x, np.float32), tokens.start_s, tokens.end_s, segment)
            )
        input_hash = index["input_sha256"][own[0]]
        key = record_key(input_hash or "", {"store": store.key_of(clip), "units": made_by.id})
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
