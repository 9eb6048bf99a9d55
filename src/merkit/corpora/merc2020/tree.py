"""The challenge's folders: clips by name, their word vectors, and which test phase asks for which."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from merkit.corpora.corpus import Found
from merkit.corpora.manifest import Rejected
from merkit.corpora.merc2020.names import SPECS, ClipName
from merkit.corpora.merc2020.templates import COLUMN, read_templates
from merkit.corpora.paths import Root
from merkit.errors import MediaError
from merkit.schema import Clip, Stream

__all__ = ["read_tree"]

# part -> split, and the folders that it is known under; the published README calls test3 `test_merc`
_PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "train": ("train", ("qia2020/train", "train")),
    "val": ("valid", ("qia2020/val", "val")),
    "test": ("test", ("qia2020/test", "test")),
    "test3": ("test", ("2020-3/test3", "2020-3/test_merc", "test_merc", "test3", "qia2020/test3")),
}
_VIDEO, _WORDS = ".mp4", ".npz"
_BARE = re.compile(r"\d{1,12}")


def read_tree(root: Root, out: Path | None) -> Found:
    """Every clip whose name can be read. A clip is `<part>/<id>`, for test and test3 count each for themselves.

    Words without a clip are kept in the test parts, where an answer is asked for all the same.
    """
    templates, rejected = read_templates(root)
    phase_of = {file_id: phase for phase in ("test1", "test2") if phase in templates for file_id in templates[phase][1]}
    clips: list[Clip] = []
    for part, (split, folders) in _PARTS.items():
        folder = next((name for name in folders if root.place(name).is_dir()), None)
        if folder is None:
            rejected.append(Rejected(folders[0], "no such folder", what="part"))
            continue
        for clip in _clips(root, part, split, folder, rejected):
            if split == "test":
                phase = "test3" if part == "test3" else phase_of.get(int(clip.id.rpartition("/")[2]), "test")
                clips.append(replace(clip, groups={"phase": phase}))
            else:
                clips.append(clip)
    asked = {phase: set(ids) for phase, (_, ids) in templates.items()}
    for clip in clips:
        if (phase := clip.groups.get("phase")) in asked:
            asked[phase].discard(int(clip.id.rpartition("/")[2]))
    rejected += [
        Rejected(f"{phase} FileID {file_id}", "the template asks for it, and there is neither clip nor words", COLUMN)
        for phase, ids in asked.items()
        for file_id in sorted(ids)
    ]
    return Found(
        clips, SPECS, rejected, {"templates": {phase: root.name(path) for phase, (path, _) in templates.items()}}
    )


def _clips(root: Root, part: str, split: str, folder: str, rejected: list[Rejected]) -> Iterator[Clip]:
    files = sorted(name for name in _names(root, folder) if not name.startswith("."))
    stems = {Path(name).stem: name for name in files if name.lower().endswith(_VIDEO)}
    words = {Path(name).stem: f"{folder}/{name}" for name in files if name.lower().endswith(_WORDS)}
    kept = f"features/{part}/text"
    words |= {Path(name).stem: f"{kept}/{name}" for name in _names(root, kept) if Path(name).stem not in words}
    seen: dict[int, str] = {}
    for stem, name in stems.items():
        try:
            parsed = ClipName.of(stem, labelled=split != "test")
        except MediaError as error:
            rejected.append(Rejected(f"{folder}/{name}", error.reason, error.field))
            continue
        if parsed.file_id in seen:
            rejected.append(Rejected(f"{folder}/{name}", f"its id is also that of {seen[parsed.file_id]}", "file name"))
            continue
        seen[parsed.file_id] = name
        clip_id = f"{part}/{parsed.id}"
        streams: list[Stream] = []
        try:
            path = root.file(f"{folder}/{name}")
            streams += [Stream("face", path), Stream("speech", path)]
        except MediaError as error:
            rejected.append(Rejected(clip_id, error.reason, error.field, what="face, speech"))
        streams += _words(root, words.get(parsed.id) or words.get(stem), clip_id, rejected)
        if streams:
            yield Clip(clip_id, tuple(streams), split, {}, parsed.targets)
        else:
            rejected.append(Rejected(clip_id, "neither the clip nor its words can be read"))
    if split == "test":
        for stem in sorted(stem for stem in words if _BARE.fullmatch(stem) and int(stem) not in seen):
            clip_id = f"{part}/{stem}"
            rejected.append(Rejected(clip_id, "there are words, and no clip", what="face, speech"))
            if streams := _words(root, words[stem], clip_id, rejected):
                yield Clip(clip_id, tuple(streams), split, {})


def _words(root: Root, name: str | None, clip_id: str, rejected: list[Rejected]) -> list[Stream]:
    try:
        if name is None:
            raise MediaError("there are no word vectors (.npz)")
        return [Stream("text", root.file(name))]
    except MediaError as error:
        rejected.append(Rejected(clip_id, error.reason, error.field, what="text"))
        return []


def _names(root: Root, folder: str) -> list[str]:
    path = root.place(folder)
    return [file.name for file in path.iterdir()] if path.is_dir() else []
