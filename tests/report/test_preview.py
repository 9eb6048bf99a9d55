"""A preview is refused for the right reason before anything is read."""

from pathlib import Path

import pytest

from merkit.errors import LimitError, MediaError
from merkit.report import Preview


def test_the_suffix_tells_the_type(tmp_path: Path) -> None:
    for name, mime, kind in (("a.MP4", "video/mp4", "video"), ("a.wav", "audio/wav", "audio")):
        (tmp_path / name).write_bytes(b"1234")
        preview = Preview.from_file(tmp_path / name)
        assert (preview.data, preview.mime, preview.kind) == (b"1234", mime, kind)


def test_a_file_that_browsers_do_not_play_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.flv").write_bytes(b"1234")
    with pytest.raises(MediaError, match=r"a\.flv.*do not play \.flv"):
        Preview.from_file(tmp_path / "a.flv")


def test_a_missing_file_and_a_file_over_the_limit(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot read"):
        Preview.from_file(tmp_path / "none.mp4")
    (tmp_path / "a.mp4").write_bytes(bytes(11))
    with pytest.raises(LimitError, match="11 bytes are over"):
        Preview.from_file(tmp_path / "a.mp4", limit=10)


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="text/html"):
        Preview(b"", "text/html")
