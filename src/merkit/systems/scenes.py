"""Where scenes come from: prepared films with their characters, or dialogues; with the label set that a run asks for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from merkit.config import Config
from merkit.data.scenes import scenes_of_dialogues
from merkit.data.table import ClipTable, Provenance, TargetColumn, TokenColumn
from merkit.errors import ConfigError
from merkit.systems.data import DataConfig, SplitConfig, arranged, load_table

if TYPE_CHECKING:
    from merkit.corpora.label_sets import LabelSet
    from merkit.corpora.manifest import Manifest
    from merkit.features.store import FeatureStore

__all__ = ["FRAME_S", "SceneConfig", "load_scenes", "spacing_s"]

# Films run at 24000/1001 frames a second.
FRAME_S = 1001 / 24000
# Words of the graphs, before a label set is chosen.
_WORDS = {"scene": "scene_words", "character": "character_words"}
_MEASURED = 500


class SceneConfig(Config):
    """The scenes of a run, and which label set they are asked about."""

    data: DataConfig = DataConfig(split=SplitConfig(by="movie"))
    """Folder and splits. `data.text_encoder` makes dialog and lines from the words; without it, stored subtitle features
    are taken, or MiniLM where there are none."""
    top_k: int = Field(10, ge=1)
    """The most frequent emotions of MovieGraphs."""
    label_source: Literal["published", "train"] = "published"
    """`published` lists exist for 10 and 25 (counted over all films, test included); `train` counts in training scenes."""
    use_emotic_mapping: bool = False
    """181 words in the 26 groups of Emotic in place of the top k."""
    emotic_mapping_path: Path | None = None
    """Another mapping: a JSON file `{group: [word, …]}`."""
    scene_feat_type: str = "mvit_v1"
    """`mvit_v1`, `resnet50_places`, `generic`, as far as prepared."""
    face_feat_type: str = "resnet50_fer"
    """`resnet50_fer`, `emo`, `generic`."""
    srt_feat_type: Literal["independent", "concat"] = "independent"
    """Utterances encoded one by one, or as the whole text of the scene."""
    srt_feat_pretrained: bool = False
    """Subtitle features from the encoder as it came; False = after fine-tuning on this label set."""
    num_chars: int = Field(4, ge=1)
    """`N`: characters of a scene at most; those who are seen most, then those who say most."""
    scenes: Literal["auto", "prepared", "dialogues"] = "auto"
    """`dialogues` makes one scene of each dialogue of an utterance corpus; `prepared` takes scenes as they are."""


def load_scenes(
    config: SceneConfig, needs: Sequence[str], *, root: Path | None = None, split: str | None = None
) -> ClipTable:
    """The scenes as a table, with the targets `scene` and `character` where the corpus has answers.

    Scenes without any label of the label set, or without a character who has one, are left out, as published; a character
    without one has no target.

    Args:
        config: of a run.
        needs: streams that are wanted, of `scene`, `face`, `text`, `lines`; what a corpus lacks is not there. None at all =
            the words (`texts`) and what is asked of scenes, for text encoders: a scene is then kept by its own labels.
        root: another folder of the same layout in place of `data.root`.
        split: give only these scenes.

    Raises:
        ConfigError: no scenes, none of the streams, or features that were not prepared.
        MediaError: the data cannot be read.
    """
    from merkit.corpora import read_manifest

    where = Path(root) if root is not None else config.data.root
    manifest = read_manifest(where)
    kind = config.scenes
    if kind == "auto":
        said = any(spec.name not in _WORDS.values() for spec in manifest.specs)
        kind = "dialogues" if said else "prepared"
    if kind == "dialogues":
        table = _from_dialogues(config, root, needs)
    else:
        table = _labelled(_prepared(config, manifest, where, needs), config, manifest, needs)
    table = replace(table, streams={name: column for name, column in table.streams.items() if name in needs})
    if needs and not table.streams:
        raise ConfigError(f"{where}: has none of the streams {', '.join(needs)}")
    return arranged(table, config.data, where=where, moved=root is not None, split=split)


def spacing_s(column: TokenColumn) -> float:
    """Median seconds between neighbouring tokens of a sequence, over the first sequences; 0 where there is nothing to tell.

    Example:
        >>> times = np.array([0.0, 0.5, 1.0, 9.0])
        >>> column = TokenColumn(np.zeros((4, 1)), np.array([0, 3, 4]), np.arange(2), np.zeros(2, int), times)
        >>> spacing_s(column)
        0.5
    """
    if column.start_s is None:
        return 0.0
    last = int(column.offsets[min(_MEASURED, len(column.offsets) - 1)])
    within = np.ones(max(last - 1, 0), bool)
    inner = column.offsets[(column.offsets > 0) & (column.offsets < last)]
    within[inner - 1] = False
    steps = np.diff(column.start_s[:last])[within]
    return float(np.median(steps)) if len(steps) else 0.0


def _from_dialogues(config: SceneConfig, root: Path | None, needs: Sequence[str]) -> ClipTable:
    data = config.data.model_copy(update={"split": SplitConfig(), "num_data": 0, "modalities": (), "targets": ()})
    if not needs:
        table = load_table(data.model_copy(update={"text_encoder": ""}), root=root)
        # dialogues are cut along a text stream; what it holds is dropped again
        unread = TokenColumn.one_per_clip(np.zeros((len(table), 1), np.float32))
        return scenes_of_dialogues(replace(table, streams={"text": unread}), characters=config.num_chars)
    if not data.text_encoder and not _has_features(data, root):
        data = data.model_copy(update={"text_encoder": "minilm"})
    if data.text_encoder and config.srt_feat_type == "concat":
        table = load_table(data.model_copy(update={"text_encoder": ""}), root=root)
        table = _read_together(table, data.text_encoder)
    else:
        table = load_table(data, root=root)
    return scenes_of_dialogues(table, characters=config.num_chars)


def _read_together(table: ClipTable, name: str) -> ClipTable:
    """The table with text features of each utterance as its dialogue makes it understood."""
    from merkit.corpora.utterances import Said
    from merkit.features.sentences import sentence_encoder

    if table.texts is None or table.dialogue is None or table.turn is None:
        raise ConfigError(f"srt_feat_type=concat: corpus {table.name} has no dialogues of words")
    encoder = sentence_encoder(name)
    order = np.lexsort((table.turn, table.dialogue, table.split))
    said = [Said(f"{table.split[i]}\t{table.dialogue[i]}", 0.0, 0.0, str(table.texts[i])) for i in order]
    x = np.zeros((len(table), encoder.width), np.float32)
    x[order] = encoder.per_utterance(said, "concat")
    column = TokenColumn.one_per_clip(x, np.array([bool(str(text).strip()) for text in table.texts]))
    provenance = {**table.provenance, "text": Provenance(encoder.id, encoder.fitted_on)}
    return replace(table, streams={"text": column}, provenance=provenance)


def _has_features(data: DataConfig, root: Path | None) -> bool:
    where = root if root is not None else data.root
    return (data.store is not None and root is None) or (where / "features").is_dir()


def _prepared(config: SceneConfig, manifest: "Manifest", where: Path, needs: Sequence[str]) -> ClipTable:
    """Scenes with their features, before a label set is chosen."""
    from merkit.corpora.scene_table import scene_table
    from merkit.corpora.utterances import UTTERANCES_FILE, read_utterances
    from merkit.features.sentences import sentence_encoder

    stores = _stores(config, where, needs)
    said = read_utterances(where) if (where / UTTERANCES_FILE).is_file() else []
    encoder = config.data.text_encoder or ("" if "text" in stores else "minilm")
    spoken = None
    if encoder and said and {"text", "lines"} & set(needs):
        made_by = sentence_encoder(encoder)
        spoken = made_by.per_utterance(said, config.srt_feat_type)
        stores.pop("text", None)
    table = scene_table(manifest, stores, said=said, spoken=spoken, characters=config.num_chars)
    if spoken is not None:
        own = Provenance(made_by.id, made_by.fitted_on)
        table = replace(table, provenance={**table.provenance, "text": own, "lines": own})
    return table


def _stores(config: SceneConfig, where: Path, needs: Sequence[str]) -> "dict[str, FeatureStore]":
    """stream -> the store that holds it: one a feature type (MovieGraphs), or one for all (a film)."""
    from merkit.features.store import FeatureStore

    if not (where / "stores").is_dir():
        path = config.data.store if config.data.store is not None else where / "features"
        if not path.is_dir():
            return {}
        store = FeatureStore.open(path)
        held = set(store.index.column("modality").to_pylist())
        return {name: store for name in ("scene", "face") if name in needs and name in held}
    labels = 26 if config.use_emotic_mapping else config.top_k
    tuned = "pretrained" if config.srt_feat_pretrained else f"finetuned_t{labels}"
    wanted = {
        "scene": f"scene_{config.scene_feat_type}",
        "face": f"face_{config.face_feat_type}",
        "text": f"text_{config.srt_feat_type}_{tuned}",
    }
    found = {}
    for name, folder in wanted.items():
        if name not in needs or (name == "text" and config.data.text_encoder):
            continue
        if not (where / "stores" / folder).is_dir():
            there = sorted(path.name for path in (where / "stores").iterdir() if path.name.startswith(f"{name}_"))
            raise ConfigError(
                f"{where / 'stores'}: no features {folder}; there are {', '.join(there) or 'none of this kind'}"
                + (" (or make them from the words: data.text_encoder=minilm)" if name == "text" else "")
            )
        found[name] = FeatureStore.open(where / "stores" / folder)
    return found


def _labelled(table: ClipTable, config: SceneConfig, manifest: "Manifest", needs: Sequence[str]) -> ClipTable:
    """The table's words as the config's label set, without scenes and characters that have none of its labels."""
    if not set(_WORDS.values()) <= set(table.targets):
        return table
    chosen = _label_set(config, table.targets[_WORDS["scene"]].spec.labels, manifest)
    targets: dict[str, TargetColumn] = {}
    for name, words in _WORDS.items():
        column = chosen.apply(table.targets[words], name)
        has = column.value.any(-1, keepdims=True)
        targets[name] = replace(column, valid=column.valid & has)
    kept = targets["scene"].valid.any(-1)
    if needs:
        kept &= targets["character"].valid.any((-1, -2))
    return replace(table, targets=targets).take(np.flatnonzero(kept))


def _label_set(config: SceneConfig, words: Sequence[str], manifest: "Manifest") -> "LabelSet":
    from merkit.corpora.label_sets import LabelSet

    if config.use_emotic_mapping:
        return LabelSet.emotic(words, config.emotic_mapping_path)
    if config.label_source == "published" and config.top_k in (10, 25):
        return LabelSet.published_top(config.top_k, words)
    return LabelSet.top_of_train(config.top_k, words, _counts(manifest, len(words)))


def _counts(manifest: "Manifest", words: int) -> np.ndarray:
    """How many characters of training scenes show each word: as the reader counted all graphs, or in the scenes that are left."""
    counted = manifest.facts.get("word_counts", {}).get("train")
    if counted is not None and len(counted) == words:
        return np.array(counted, float)
    counts = np.zeros(words)
    for clip in manifest.clips:
        if clip.split == "train":
            for target in clip.targets:
                if target.spec.name == _WORDS["character"]:
                    counts += target.value
    return counts
