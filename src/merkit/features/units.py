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
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.atomic import replacing
from merkit.errors import ConfigError, WeightError
from merkit.features.kmeans import fit_centroids, nearest
from merkit.features.speech_by_name import SpeechEncoderExtractor, named_layer
from merkit.features.store import FeatureStore

if TYPE_CHECKING:
    from merkit.corpora import Manifest

__all__ = ["SpeechUnits", "fit_units", "is_units"]

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

    def fitted_on(self, ids: np.ndarray, split: np.ndarray) -> tuple[str, ...]:
        """The splits of a division that hold clips that the centroids were fitted on.

        Args:
            ids: `(n,)` of clips.
            split: `(n,)`, as a run divides them, which may be otherwise than the manifest does.

        Example:
            >>> units = SpeechUnits(np.zeros((1, 1), np.float32), {"clips": ["a", "b"]})
            >>> units.fitted_on(np.array(["a", "b", "c"]), np.array(["train", "valid", "test"]))
            ('train', 'valid')
        """
        seen = np.isin(ids.astype(str), list(self.about.get("clips", ())))
        there = set(split[seen].astype(str).tolist())
        return tuple(name for name in ("train", "valid", "test") if name in there)

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
    clips: Collection[str] | None = None,
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
        clips: ids of those that are for training, where a run will divide them otherwise than the manifest does (folds by
            session); None = as the manifest says.

    Raises:
        ConfigError: no training clip has speech, states of another encoder, or fewer states than units.
        WeightError: the encoder is not on this machine.
    """
    name, layer = named_layer(encoder)
    states = SpeechEncoderExtractor(name, layer=layer).id
    train = sorted(clip.id for clip in manifest.clips if (clip.split == "train" if clips is None else clip.id in clips))
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
