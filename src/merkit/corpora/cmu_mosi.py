"""CMU-MOSI and CMU-MOSEI as features: the pickles that most papers train on, converted once into a feature store.

Two releases are in use. MMSA's `aligned_50.pkl` and `unaligned_50.pkl` carry raw text, lengths and `regression_labels`;
MulT's `mosi_data.pkl` and `mosei_senti_data.pkl` carry arrays padded with zeros and `labels`.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from merkit.corpora.corpus import Corpus, Found
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.pickles import unpickled
from merkit.corpora.targets import value_target
from merkit.errors import ConfigError, MediaError
from merkit.schema import Clip, Stream, TargetSpec

__all__ = ["MOSEI", "MOSI"]

SENTIMENT = TargetSpec("sentiment", "regression", ("sentiment",))
_MODALITIES = {"text": "text", "audio": "speech", "vision": "face"}
_SPLITS = ("train", "valid", "test")
_FILES = {
    "mosi": ("unaligned_50.pkl", "aligned_50.pkl", "mosi_data.pkl", "mosi_data_noalign.pkl"),
    "mosei": ("unaligned_50.pkl", "aligned_50.pkl", "mosei_senti_data.pkl", "mosei_senti_data_noalign.pkl"),
}


@dataclass(frozen=True, slots=True)
class _Part:
    """One split of a pickle, its columns checked to be of one length `n`."""

    features: Mapping[str, np.ndarray]
    labels: np.ndarray
    ids: list[Any] | None
    texts: list[str] | None
    lengths: Mapping[str, np.ndarray]


def _read(name: str, root: Root, out: Path | None) -> Found:
    if out is None:
        raise ConfigError(f"{name} is converted once: use `merkit prepare {name} --root … --out …`")
    folders = ("", "Processed/", f"{name.upper()}/", f"{name.upper()}/Processed/")
    there = [base + file for file in _FILES[name] for base in folders if (root.path / base / file).is_file()]
    if not there:
        raise ConfigError(f"{root.path}: none of {', '.join(_FILES[name])} is there")
    path = root.file(there[0])
    rejected = [
        Rejected(other, f"another release of the same clips; {there[0]} was read", what="file") for other in there[1:]
    ]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    clips: list[Clip] = []
    facts: dict[str, Any] = {}
    out.mkdir(parents=True, exist_ok=True)
    with unpickled(path, out) as content:
        parts = {split: _part(content, split, path) for split in _SPLITS if _has(content, split)}
        if not parts:
            raise MediaError("holds none of train, valid and test", path=path)
        kept = _store(out / "features", path.name, digest, _clips(parts, path, clips, rejected))
    facts["file"] = {"name": path.name, "sha256": digest}
    facts["not_finite"] = kept
    facts["provenance"] = {m: {"source": f"{path.name}: {key}"} for key, m in _MODALITIES.items()}
    return Found(_in_turn(clips), (SENTIMENT,), rejected, facts)


def _has(content: Any, split: str) -> bool:
    return isinstance(content, dict) and isinstance(content.get(split), dict)


def _part(content: Mapping[str, Any], split: str, path: Path) -> _Part:
    part = content[split]
    label_key = "regression_labels" if "regression_labels" in part else "labels"
    columns = {key: part.get(key) for key in (*_MODALITIES, label_key)}
    for key, value in columns.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise MediaError("is not an array of numbers", path=path, field=f"{split}.{key}")
    n = len(columns["audio"])
    for key, value in columns.items():
        if value.ndim < 1 or len(value) != n or (key in _MODALITIES and value.ndim != 3):
            raise MediaError(f"has shape {value.shape}, beside {n} clips", path=path, field=f"{split}.{key}")
    labels = columns[label_key].reshape(n, -1)
    if labels.shape[1] != 1:
        reason = f"holds {labels.shape[1]} numbers a clip: not a release with sentiment"
        raise MediaError(reason, path=path, field=f"{split}.{label_key}")
    ids, texts = part.get("id"), part.get("raw_text")
    for key, value in (("id", ids), ("raw_text", texts)):
        if value is not None and len(value) != n:
            raise MediaError(f"has {len(value)} entries for {n} clips", path=path, field=f"{split}.{key}")
    lengths = {key: np.asarray(part[f"{key}_lengths"]) for key in ("audio", "vision") if f"{key}_lengths" in part}
    tokens = part.get("text_bert")
    if isinstance(tokens, np.ndarray) and tokens.ndim == 3 and tokens.shape[:2] == (n, 3):
        lengths["text"] = tokens[:, 1].sum(1)  # BERT's attention mask
    lengths = {key: value for key, value in lengths.items() if value.shape == (n,)}
    features = {key: columns[key] for key in _MODALITIES}
    return _Part(
        features, labels[:, 0], _listed(ids), [str(text) for text in texts] if texts is not None else None, lengths
    )


def _listed(ids: Any) -> list[Any] | None:
    return None if ids is None else [row.tolist() if isinstance(row, np.ndarray) else row for row in ids]


def _clips(
    parts: Mapping[str, _Part], path: Path, clips: list[Clip], rejected: list[Rejected]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Fills `clips` and `rejected`; yields id and tokens by modality of every clip that is kept."""
    seen: set[str] = set()
    names = _names(parts)
    for split, part in parts.items():
        for i in range(len(part.labels)):
            item, video = names[split][i]
            label = float(part.labels[i])
            reason = None
            if item in seen:
                reason = "the id is there twice"
            elif not -3.001 <= label <= 3.001:
                reason = f"sentiment {label:g} is not from -3 to 3"
            tokens = {m: x for key, m in _MODALITIES.items() if len(x := _tokens(part, key, i))}
            if reason is None and not tokens:
                reason = "no modality has a token"
            if reason is not None:
                rejected.append(Rejected(item, reason, f"{split}[{i}]"))
                continue
            if missing := sorted(set(_MODALITIES.values()) - set(tokens)):
                rejected.append(Rejected(item, "all zeros", f"{split}[{i}]", what=", ".join(missing)))
            seen.add(item)
            words = part.texts[i].strip() if part.texts is not None else ""
            clips.append(
                Clip(
                    item,
                    (Stream("text", None, text=words),) if words else (),
                    split,
                    {"dialogue": video} if video else {},
                    (value_target(SENTIMENT, {"sentiment": label}),),
                )
            )
            yield item, tokens


def _names(parts: Mapping[str, _Part]) -> dict[str, list[tuple[str, str | None]]]:
    """Id and video of every clip; ids that name the video alone are numbered within it, in the order of the file."""
    names = {
        split: [_named(part.ids[i] if part.ids is not None else None, split, i) for i in range(len(part.labels))]
        for split, part in parts.items()
    }
    bare = Counter(item for named in names.values() for item, video in named if video is None)
    if not any(count > 1 for count in bare.values()):
        return names
    met: Counter[str] = Counter()
    for named in names.values():
        for i, (item, video) in enumerate(named):
            if video is None:
                named[i] = (f"{item}_{met[item]}", item)
                met[item] += 1
    return names


def _named(given: Any, split: str, i: int) -> tuple[str, str | None]:
    """Id and video, from `video$_$clip`, `video[clip]`, `video_clip`, or (video, start, end)."""
    if isinstance(given, list) and len(given) == 1:
        given = str(given[0])
    if isinstance(given, list) and given:
        video, *edges = (str(part) for part in given)
        return ("_".join([video, *edges]), video) if video not in ("", "0") else (f"{split}_{i:05}", None)
    if isinstance(given, str) and given:
        found = re.fullmatch(r"(.+?)(?:\$_\$|\[)(\d+)\]?", given) or re.fullmatch(r"(.+)_(\d+)", given)
        return given, found[1] if found else None
    return f"{split}_{i:05}", None


def _tokens(part: _Part, key: str, i: int) -> np.ndarray:
    """`(T, D)` float32 without padding; what is not finite is left for `_store` to count."""
    x = np.asarray(part.features[key][i], np.float32)
    if key in part.lengths:
        x = x[: max(0, int(part.lengths[key][i]))]
    there = np.flatnonzero((x != 0).any(1))
    # releases pad in front or behind, with zeros
    return x[there[0] : there[-1] + 1] if len(there) else x[:0]


def _store(folder: Path, file: str, digest: str, tokens: Iterator[tuple[str, dict[str, np.ndarray]]]) -> dict[str, int]:
    """Keeps all clips; returns how many numbers of each modality were not finite and became 0."""
    # merkit.features loads torch, which a listing of corpora need not wait for
    from merkit.features.record import record_key
    from merkit.features.shard import ClipRecord, Row
    from merkit.features.store import FeatureStore

    store = FeatureStore.create(folder)
    have = {clip: store.key_of(clip) for clip in store.clips}
    bad: dict[str, int] = defaultdict(int)
    keys = {modality: key for key, modality in _MODALITIES.items()}
    for item, by_modality in tokens:
        rows = []
        for modality, x in by_modality.items():
            bad[modality] += int((~np.isfinite(x)).sum())
            steps = np.arange(len(x), dtype=np.float64)
            made_by = f"{file.removesuffix('.pkl')}-{keys[modality]}@{digest[:12]}"
            finite = np.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
            rows.append(Row(modality, None, made_by, finite, steps, steps + 1, np.full(len(x), -1, np.int32)))
        key = record_key(digest, {"clip": item, "reader": 1})
        if have.get(item) != key:
            # what the clip was made from is not at hand, so two clips can never be told to be the same media
            store.add(ClipRecord(item, key, "", {"source": file}, tuple(rows)))
    store.finalise()
    return {modality: count for modality, count in sorted(bad.items()) if count}


def _in_turn(clips: list[Clip]) -> list[Clip]:
    """Clips of a video numbered by their own clip number or start, counted from 0."""
    videos: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for clip in clips:
        if "dialogue" in clip.groups:
            rest = re.findall(r"\d+(?:\.\d+)?", clip.id.removeprefix(clip.groups["dialogue"]))
            videos[clip.groups["dialogue"]].append((float(rest[0]) if rest else 0.0, clip.id))
    turns = {item: turn for video in videos.values() for turn, (_, item) in enumerate(sorted(video))}
    return [replace(clip, turn=turns.get(clip.id)) for clip in clips]


_TREE = """\
ROOT/[Processed/]unaligned_50.pkl or aligned_50.pkl         (MMSA)
or ROOT/{name}.pkl or {name}_noalign.pkl    (MulT)
The first that is there is read, in this order."""
_NOTES = (
    "Features, not media: nobody can make them for a new clip. Times are places in the sequence, not seconds.",
    "Numbers that are not finite (audio has some) become 0; the manifest says how many.",
)

MOSI = Corpus(
    name="mosi",
    title="CMU-MOSI (features)",
    licence="for academic research; no redistribution",
    obtain="https://github.com/thuiar/MMSA (links to the processed files), or MulT's https://github.com/yaohungt/Multimodal-Transformer",
    citation="A. Zadeh et al. IEEE Intelligent Systems 31(6), 2016. arXiv:1606.06259",
    tree=_TREE.format(name="mosi_data"),
    modalities=("text", "speech", "face"),
    labels="sentiment from -3 (negative) to 3 (positive), mean of five raters",
    split="official: train 1,284 utterances, valid 229, test 686, by video",
    people="89 speakers of public YouTube reviews.",
    reader=partial(_read, "mosi"),
    notes=_NOTES,
    derives=True,
)
MOSEI = Corpus(
    name="mosei",
    title="CMU-MOSEI (features)",
    licence="for academic research; no redistribution",
    obtain="https://github.com/thuiar/MMSA (links to the processed files), or MulT's https://github.com/yaohungt/Multimodal-Transformer",
    citation="A. Zadeh et al. ACL 2018, pp. 2236–2246",
    tree=_TREE.format(name="mosei_senti_data"),
    modalities=("text", "speech", "face"),
    labels="sentiment from -3 (negative) to 3 (positive), mean of three raters",
    split="official: train about 16,300 utterances, valid 1,870, test 4,650, by video",
    people="1,000 speakers of public YouTube videos.",
    reader=partial(_read, "mosei"),
    notes=_NOTES,
    derives=True,
)
