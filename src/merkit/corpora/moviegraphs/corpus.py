"""MovieGraphs with the features that EmoTx was published with."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from merkit.corpora.corpus import Corpus, Found, KnownBad
from merkit.corpora.manifest import Rejected
from merkit.corpora.moviegraphs.convert import Stores
from merkit.corpora.moviegraphs.film import Scene, read_film
from merkit.corpora.moviegraphs.graph import SceneGraph, read_graphs
from merkit.corpora.moviegraphs.options import FEATURES, Options
from merkit.corpora.moviegraphs.tree import Tree
from merkit.corpora.paths import Root
from merkit.corpora.utterances import Said, write_utterances
from merkit.errors import ConfigError
from merkit.schema import Clip, Stream, Target, TargetSpec

__all__ = ["MOVIEGRAPHS", "with_options"]

_KIND = "multi_label"


def with_options(options: Options) -> Corpus:
    """The corpus, converted in this way."""
    return replace(MOVIEGRAPHS, reader=partial(_read, options=options))


def _read(root: Root, out: Path | None, options: Options | None = None) -> Found:
    if out is None:
        raise ConfigError("moviegraphs is converted once: use `merkit prepare moviegraphs --root … --out …`")
    options = options or Options()
    tree = Tree(root)
    features, parts = tree.features(options), tree.split()
    out.mkdir(parents=True, exist_ok=True)
    films, rejected = read_graphs(tree.graphs, out)
    rejected += [
        Rejected(movie, "its film is in no part of split.json", what="clip") for movie in films if movie not in parts
    ]
    rejected += [Rejected(movie, "split.json names it, and it has no graphs") for movie in parts if movie not in films]
    order = [movie for part in ("train", "valid", "test") for movie in parts if parts[movie] == part and movie in films]
    counts = _counts(films, parts)
    words = tuple(sorted(counts["all"], key=lambda word: (-counts["all"][word], word)))
    if not words:
        raise ConfigError(f"{tree.graphs}: no emotion in any graph")
    specs = TargetSpec("scene_words", _KIND, words), TargetSpec("character_words", _KIND, words, per_entity=True)
    stores = Stores(out / "stores", features, options)
    clips: list[Clip] = []
    said: list[Said] = []
    done, total = 0, sum(len(films[movie]) for movie in order)
    for movie in order:
        film = read_film(tree, movie, films[movie], options.name_threshold, out)
        rejected += film.rejected
        done += len(films[movie]) - len(film.scenes)
        for scene, lost, filled in stores.add(tree, film, out):
            done += 1
            if options.progress is not None:
                options.progress(done, total, scene.graph.id)
            if not filled:
                why = lost[0].reason if lost else "its files are empty"
                rejected.append(Rejected(scene.graph.id, f"no features: {why}", lost[0].field if lost else None))
                continue
            rejected += lost
            lines = _said(scene)
            said += lines
            clips.append(_clip(scene, parts[movie], specs, lines))
    stores.finalise()
    write_utterances(said, out)
    facts = {
        # of stores that an earlier run left, too
        "provenance": {
            f.extractor_id: {"source": f.source, "fitted_on": list(f.fitted_on)}
            for f in FEATURES.values()
            if (out / "stores" / f.store).is_dir()
        },
        "dtype": options.dtype,
        "name_threshold": options.name_threshold,
        "not_finite": {name: count for name, count in stores.not_finite.items() if count},
        "word_counts": {part: [count[word] for word in words] for part, count in counts.items()},
    }
    return Found(clips, specs, rejected, facts, out.absolute())


def _counts(films: Mapping[str, Sequence[SceneGraph]], parts: Mapping[str, str]) -> dict[str, Counter[str]]:
    """How often each word was given to a character, in each part and in all films of the pickle, split or not."""
    counts: dict[str, Counter[str]] = {"all": Counter(), "train": Counter(), "valid": Counter(), "test": Counter()}
    for movie, graphs in films.items():
        for graph in graphs:
            given = [word for _, word in graph.emotions]
            counts["all"].update(given)
            if movie in parts:
                counts[parts[movie]].update(given)
    return counts


def _clip(scene: Scene, part: str, specs: Sequence[TargetSpec], said: Sequence[Said]) -> Clip:
    graph = scene.graph
    whole, each = specs
    targets = [Target(whole, _on(whole, [word for _, word in graph.emotions]))]
    feeling = list(dict.fromkeys(who for who, _ in graph.emotions))
    # who was followed first, in order of how long; then those of whom there is nothing but the graph's word
    for who in [*(w for w in scene.characters if w in feeling), *sorted(set(feeling) - set(scene.characters))]:
        targets.append(Target(each, _on(each, graph.words(who)), entity=who))
    text = " ".join(line.text for line in said)
    streams = (Stream("text", None, text=text),) if text else ()
    return Clip(graph.id, streams, part, {"movie": graph.movie}, tuple(targets))


def _on(spec: TargetSpec, words: Sequence[str]) -> np.ndarray:
    given = set(words)
    return np.array([word in given for word in spec.labels], np.float32)


def _said(scene: Scene) -> list[Said]:
    return [
        Said(scene.graph.id, part.offset_s + cue.start_s, part.offset_s + cue.end_s, cue.text)
        for part in scene.parts
        for cue in part.cues
    ]


MOVIEGRAPHS = Corpus(
    name="moviegraphs",
    title="MovieGraphs with EmoTx's features",
    licence="for research; graphs by agreement with their authors, features as EmoTx's authors released them; films are "
    "their owners'",
    obtain="graphs: http://moviegraphs.cs.toronto.edu; features: links in https://github.com/katha-ai/EmoTx-CVPR2023 "
    "(EmoTx_min_feats.tar.gz, 167 GB unpacked, and four more of 32 to 254 GB), unpacked into one folder data/",
    citation="P. Vicol et al. MovieGraphs. CVPR 2018. D. Srivastava et al. How you feelin'? CVPR 2023. arXiv:2304.05634",
    tree="""\
ROOT/[data/]MovieGraph/mg/py3loader/2017-11-02-51-7637_py3.pkl   MovieGraph/resources/split.json
  MovieGraph/srt/clip_srt/<film>/<clip>.srt
  {mvit_v1,resnet50_places,generic}_scene_features/<film>/<clip>.npy
  {resnet50_fer,emo,generic}_face_features/<film>/<clip>.npy
  character_tracks/<film>/<clip>.pkl   track_names/<film>/<clip>.npy   track_names/metadata/<film>.pkl
  srt_feats/{independent,concat}/{pretrained,finetuned_t10,finetuned_t25,finetuned_t26}/<film>/<clip>.pkl""",
    modalities=("scene", "face", "text"),
    labels="emotions and mental states of a scene and of each of its characters, any of about 500 words; the top 10, the "
    "top 25 or Emotic's 26 groups are chosen when training begins",
    split="official: 34 films train, 7 val (valid), 10 test; 7,637 scenes before any is dropped",
    people="actors in their roles; annotators saw the film with its plot. Names are those of the roles.",
    reader=_read,
    known_bad=(
        KnownBad(
            "tt1568346_scene-079.ss-0893.es-0935", "its graph names clips beyond it; the first alone is taken", "scene"
        ),
    ),
    notes=(
        "Features, not media: nobody can make them for a new film with merkit alone.",
        "One clock a scene: a clip begins where the one before it ends, at 24000/1001 frames a second. Published code "
        "counts faces and words of every clip from 0 and is wrong for scenes of several clips.",
        "Fine-tuned words (srt_feat_pretrained=False) come from a network that saw the training scenes' labels and was "
        "chosen on valid: figures on valid are a little too good, and training scenes look easier than they are.",
        "The published lists of 10 and 25 words were counted over all films, those of test included; label_source=train "
        "counts in training scenes alone. `word_counts` in manifest.json says how often each word stands in each part.",
        "A character keeps a place only if the graph knows them and a track is theirs by name; face rows of others are "
        "left out, and so are scenes in which nobody who has an emotion was followed.",
    ),
    derives=True,
)
