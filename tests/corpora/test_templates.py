"""Templates of submissions are read as they are written, or refused by line."""

import pytest

from merkit.corpora.templates import read_template
from merkit.errors import MediaError


def template_of(folder, text, name="test1.csv"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("FileID,Emotion\n3,\n1,\n2,\n", ("3", "1", "2")),
        (b"\xef\xbb\xbfFileID\r\n00012\r\n\r\n7\r\n", ("00012", "7")),  # a spreadsheet's mark, zeros, an empty line
        ('name, FileID \n"a,b", 5 \n', ("5",)),
    ],
)
def test_templates_are_read_as_they_are_written(tmp_path, text, files):
    assert read_template(template_of(tmp_path, text)).files == files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FileID\n3\n1\n003\n", r"line 4: asks about 003 again, after line 2"),
        ("File,Emotion\n3,\n", r"no column FileID; there are File, Emotion"),
        ("", "no column FileID; there are none"),
        ("FileID\n", "asks about no file"),
        ("FileID,Emotion\n,neu\n", "line 2: has no id"),
        (b"FileID\n\xff\xfe\n", "cannot be read as a CSV"),
        ('FileID\n"3\n', "cannot be read as a CSV"),
    ],
)
def test_templates_that_cannot_be_answered_are_refused(tmp_path, text, said):
    with pytest.raises(MediaError, match=said):
        read_template(template_of(tmp_path, text))
    with pytest.raises(MediaError, match=r"none\.csv"):
        read_template(tmp_path / "none.csv")
