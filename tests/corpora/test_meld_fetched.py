"""MELD from Kaggle and from addresses, with a client and a file system that are made up: no network, no trust."""

import io
import stat
import sys
import types
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.corpora import read_manifest
from merkit.corpora.meld.kaggle import fetch_kaggle
from merkit.corpora.meld.remote import fetch_address
from merkit.corpora.meld.unpacked import is_complete, unpack_folder
from merkit.errors import ConfigError, LimitError, MediaError
from tests.meld_tree import write_meld

SUBDIR = "MELD-RAW/MELD.Raw"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_meld(tmp_path_factory.mktemp("tree"), "kaggle", dialogues=(1, 1, 1), turns=1, odd=False)


@pytest.fixture(scope="module")
def archive(tree):
    """As Kaggle sends it: the folder that is wanted, and others."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(tree).as_posix())
        packed.writestr("MELD-FEATURES/audio.pkl", b"not wanted")
        packed.writestr(f"{SUBDIR}/train/._train_sent_emo.csv", b"\0")
    return made.getvalue()


class Client(types.ModuleType):
    """Kaggle's client as far as it is used."""

    def __init__(self, archive: bytes, trouble: BaseException | None = None) -> None:
        super().__init__("kaggle")
        self.api, self.archive, self.trouble, self.asked = self, archive, trouble, []

    def authenticate(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def dataset_download_files(self, dataset, path, *, unzip, force, quiet) -> None:
        self.asked.append(dataset)
        assert not unzip, "nothing but merkit unpacks it"
        if not self.archive:
            raise RuntimeError("404 - Not Found")
        (Path(path) / f"{dataset.split('/')[1]}.zip").write_bytes(self.archive)


def test_from_kaggle_to_a_manifest(archive, tree, tmp_path, monkeypatch):
    client = Client(archive)
    monkeypatch.setitem(sys.modules, "kaggle", client)
    words = ["prepare", "meld", "--kaggle", "zaber666/meld-dataset", "--subdir", SUBDIR, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    raw = tmp_path / "out" / "raw"
    got = {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    want = {path.relative_to(tree / SUBDIR).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert got == want, "that folder, without the others and without the archive"
    manifest = read_manifest(tmp_path / "out")
    assert len(manifest) == 3 and all(clip.path_of("scene").is_file() for clip in manifest.clips)
    # what is there is not fetched again unless that is asked
    (raw / "train_sent_emo.csv").rename(raw / "train" / "train_sent_emo.csv")
    assert fetch_kaggle("zaber666/meld-dataset", SUBDIR, raw) == raw and len(client.asked) == 1
    fetch_kaggle("zaber666/meld-dataset", SUBDIR, raw, force=True)
    assert len(client.asked) == 2


def test_a_client_that_is_not_there_or_knows_nobody(tmp_path, monkeypatch):
    cases = [
        (None, r"pip install kaggle.*kaggle\.json"),
        (Client(b"", OSError("Could not find kaggle.json")), r"does not know who asks \(Could not find.*KAGGLE_KEY"),
        (Client(b"", SystemExit(1)), "does not know who asks"),
        (Client(b""), "404 - Not Found"),
        (Client(b"no zip"), "damaged archive"),
    ]
    for client, reason in cases:
        monkeypatch.setitem(sys.modules, "kaggle", client)
        with pytest.raises((ConfigError, MediaError), match=reason):
            fetch_kaggle("a/b", SUBDIR, tmp_path)
    assert not list(tmp_path.rglob("*.zip")), "a damaged archive is not kept for the next time"
    for dataset, subdir in (("meld", SUBDIR), ("a/b/c", SUBDIR), ("a/b", "../x")):
        with pytest.raises(ConfigError):
            fetch_kaggle(dataset, subdir, tmp_path)


def packed(tmp_path, *members):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for member, content in members:
            made.writestr(member, content)
    (tmp_path / "dest").mkdir(exist_ok=True)
    return path


def link(name: str) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = (stat.S_IFLNK | 0o777) << 16
    return made


@pytest.mark.parametrize(
    ("member", "content", "reason"),
    [
        ("d/../../evil.csv", b"x", "leaves the root"),
        ("d/..\\evil.csv", b"x", "leaves the root"),
        ("d/C:/evil.csv", b"x", "must be relative"),
        (link("d/a.mp4"), b"/etc/passwd", "is not a plain file"),
        ("d/zeros.mp4", bytes(32 << 20), "no recordings do that"),
        ("e/a.csv", b"x", "holds no folder d; there is e"),
    ],
)
def test_what_an_archive_may_not_do(tmp_path, member, content, reason):
    archive = packed(tmp_path, (member, content))
    with pytest.raises((MediaError, ConfigError), match=reason):
        unpack_folder(archive, "d", tmp_path / "dest")
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and tmp_path / "dest" not in path.parents]
    assert outside == [archive] and not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_damage_leaves_no_half_file_and_no_table(tmp_path):
    noise = np.random.default_rng(0).bytes(40_000)
    archive = packed(tmp_path, ("d/train_sent_emo.csv", b"a"), ("d/z.mp4", noise), ("d/a.mp4", b"fine"))
    content = bytearray(archive.read_bytes())
    content[20_000:20_040] = bytes(40)
    archive.write_bytes(content)
    with pytest.raises(MediaError, match="damaged archive"):
        unpack_folder(archive, "d", tmp_path / "dest")
    assert [path.name for path in (tmp_path / "dest").rglob("*")] == ["a.mp4"] and not is_complete(tmp_path / "dest")


def test_no_room(tmp_path, monkeypatch):
    from merkit.corpora.meld import unpacked

    archive = packed(tmp_path, ("d/a.csv", b"x" * 99))
    monkeypatch.setattr(unpacked.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 98}))
    with pytest.raises(LimitError, match="has room for"):
        unpack_folder(archive, "d", tmp_path / "dest")


@pytest.fixture
def shop(tree):
    """The tree in a store of objects, with files that nobody wants."""
    memory = fsspec.filesystem("memory")
    for path in tree.rglob("*"):
        if path.is_file():
            memory.pipe(f"/shop/meld/{path.relative_to(tree).as_posix()}", path.read_bytes())
    memory.pipe("/shop/meld/notes.pkl", b"not wanted")
    yield memory
    memory.rm("/shop", recursive=True)


def test_from_an_address_to_a_manifest(shop, tmp_path, monkeypatch):
    cache, out = tmp_path / "cache", tmp_path / "out"
    words = ["prepare", "meld", "--root", "memory://shop/meld", "--cache", str(cache), "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    manifest = read_manifest(out)
    assert len(manifest) == 3 and not list(cache.rglob("*.pkl"))
    for clip in manifest.clips:
        path = clip.path_of("speech")
        assert path.read_bytes() == shop.cat(f"/shop/meld/{path.relative_to(cache).as_posix()}")
    fetched = []
    monkeypatch.setattr(type(shop), "get_file", lambda self, remote, local, **_: fetched.append(remote) or 1 / 0)
    fetch_address("memory://shop/meld", cache)
    assert fetched == [], "what is there stays"
    next(cache.rglob("dia0_utt0.mp4")).write_bytes(b"cut short")
    with pytest.raises(ConfigError, match=r"cannot be fetched.*the same command goes on"):
        fetch_address("memory://shop/meld", cache)
    assert len(fetched) == 1


def test_addresses_that_lead_nowhere(shop, tmp_path):
    for address, reason in (
        ("memory://shop/empty", "no tables of MELD"),
        ("nonsense://a/b", "cannot be reached.*nonsense"),
        ("gs://bucket/meld", "need another package.*gcsfs"),
    ):
        with pytest.raises(ConfigError, match=reason):
            fetch_address(address, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
