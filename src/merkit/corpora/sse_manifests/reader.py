"""Reading the lists of a set, and the media that they name, into clips."""

from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit.corpora.corpus import Found
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.rows import Row
from merkit.corpora.sse_manifests.lists import Listed, read_labels, read_lists
from merkit.corpora.sse_manifests.media import Media, decoder_of, read_words_or_ids
from merkit.corpora.sse_manifests.sets import SETS, Name, SetOfClips
from merkit.corpora.token_ids import TokenIds, write_token_ids
from merkit.errors import ConfigError, MediaError
from merkit.schema import Clip, Stream, Target

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["read_set"]

_SPLITS = ("train", "valid", "test")


@dataclass(slots=True)
class _Reading:
    """What has been read so far."""

    kind: SetOfClips
    media: Media
    decoder: "Tokenizer | None"
    clips: dict[str, tuple[Name, Clip]] = field(default_factory=dict)
    tokens: list[TokenIds] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def read_set(root: Root, out: Path | None, *, of: str, published: bool) -> Found:
    """The clips that the lists of a set name.

    Args:
        root: of lists and media.
        out: folder for `token_ids.parquet`; None = numbers of a vocabulary are passed over.
        of: `iemocap`, `meld`, `mosi` or `mosei`.
        published: the splits of the lists, whatever clips they share, with a group `copy_of`; else every clip once, and
            IEMOCAP's without a split.

    Raises:
        ConfigError: there are no lists.
        MediaError: the user's tokenizer cannot be used.
    """
    kind = SETS[of]
    folder = _folder(root, kind)
    reading = _Reading(kind, Media(root, apart=not kind.across), decoder_of(root))
    stems: dict[str, set[str]] = {}
    for split in _SPLITS:
        listed = read_lists(root, folder, split, reading.rejected)
        stems[split] = {item.stem for item in listed}
        if not listed:
            reading.rejected.append(Rejected(f"{folder}{split}_*.tsv", f"no lists of {split}", what=split))
            continue
        _add_split(root, folder, split, listed, reading, renamed=of == "iemocap" and published)
    clips = [clip for _, clip in sorted(reading.clips.values(), key=lambda each: _order(*each))]
    if of == "iemocap" and not published:
        clips = [replace(clip, split=None) for clip in clips]
    if reading.tokens and out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_token_ids(reading.tokens, out)
    answered = {target.spec.name for clip in clips for target in clip.targets}
    facts: dict[str, Any] = {
        "lists": {split: len(names) for split, names in stems.items()},
        "in_two_lists": {f"{a} and {b}": len(stems[a] & stems[b]) for a, b in combinations(_SPLITS, 2)}
        if kind.across
        else {},
        "token_ids": len(reading.tokens),
        "words_decoded": reading.decoder is not None and bool(reading.tokens),
    }
    return Found(clips, tuple(spec for spec in kind.specs if spec.name in answered), reading.rejected, facts)


def _order(name: Name, clip: Clip) -> tuple[Any, ...]:
    return _SPLITS.index(clip.split or "train"), tuple(map(str, name.order[:1])), name.order[1:]


def _folder(root: Root, kind: SetOfClips) -> str:
    for base in ("", "T_data/"):
        for name in kind.folders:
            if (root.path / base / name).is_dir() and list((root.path / base / name).glob("t*_[atv].tsv")):
                return f"{base}{name}/"
    if list(root.path.glob("t*_[atv].tsv")):
        return ""
    places = ", ".join(f"[T_data/]{name}" for name in kind.folders)
    raise ConfigError(f"{root.path}: no lists (train_t.tsv …) in it nor in {places}")


def _add_split(root: Root, folder: str, split: str, listed: list[Listed], reading: _Reading, *, renamed: bool) -> None:
    rejected = reading.rejected
    csv = f"{folder}label_file_{split}.csv"
    try:
        labels = read_labels(root, folder, split, rejected)
    except MediaError as error:
        rejected.append(Rejected(csv, error.reason, error.field, what="labels"))
        labels = None
    if labels is None:
        rejected.append(Rejected(csv, "no usable label file: only labels in names are known", what="labels"))
    known = {item.stem for item in listed}
    if labels is not None and (unlisted := sorted(set(labels) - known)):
        why = f"{len(unlisted)} labels are of clips that no list names, e.g. {unlisted[0]}"
        rejected.append(Rejected(csv, why, what="labels"))
    for item in listed:
        try:
            name = reading.kind.name(item.stem, split)
            targets = reading.kind.targets(_row(labels, item.stem), name)
        except MediaError as error:
            rejected.append(Rejected(item.stem, error.reason, error.field, item.line))
            continue
        if renamed:
            name = replace(name, id=f"{split}/{item.stem}", groups={**name.groups, "copy_of": item.stem})
        if name.id in reading.clips:
            before = reading.clips[name.id][1].split
            # IEMOCAP's lists are meant to be divided anew: the same clip once is all that is needed
            if reading.kind is not SETS["iemocap"]:
                rejected.append(Rejected(item.stem, f"{split} names it, and so does {before}", "name", item.line))
            continue
        clip = _clip(item, split, name, targets, reading)
        if clip is not None:
            reading.clips[name.id] = (name, clip)


def _row(labels: Any, stem: str) -> Row | None:
    if labels is None:
        return None
    if stem not in labels:
        raise MediaError("the label file does not name it", field="FileName")
    return labels[stem]


def _clip(item: Listed, split: str, name: Name, targets: tuple[Target, ...], reading: _Reading) -> Clip | None:
    streams: list[Stream] = []
    media, rejected = reading.media, reading.rejected
    tokens: list[TokenIds] = []
    if "v" in item.lists:
        try:
            picture = media.pictures(item.stem, split)
            # faces, cut out and resized by the authors: there is no scene in it
            streams.append(Stream("face", picture))
        except MediaError as error:
            rejected.append(Rejected(name.id, error.reason, error.field, item.line, "face"))
    if "a" in item.lists:
        try:
            heard = media.sound_tokens(item.stem, split)
            ids = None if heard is None else read_words_or_ids(heard)
            if isinstance(ids, tuple):
                tokens.append(TokenIds(name.id, "speech", ids))
            if not isinstance(ids, tuple) or media.has_sound(item.stem, split):
                streams.append(Stream("speech", media.sound(item.stem, split)))
        except MediaError as error:
            rejected.append(Rejected(name.id, error.reason, error.field, item.line, "speech"))
    if "t" in item.lists:
        try:
            said = read_words_or_ids(media.words(item.stem, split))
            if isinstance(said, tuple):
                tokens.append(TokenIds(name.id, "text", said))
                said = reading.decoder.decode(list(said)).strip() if reading.decoder is not None else ""
            if said:
                streams.append(Stream("text", None, text=said))
        except MediaError as error:
            rejected.append(Rejected(name.id, error.reason, error.field, item.line, "text"))
    if not streams and not tokens:
        rejected.append(Rejected(name.id, "nothing of it is below the root", line=item.line))
        return None
    reading.tokens += tokens
    return Clip(name.id, tuple(streams), split, name.groups, targets, turn=name.turn)
