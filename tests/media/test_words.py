"""Subtitles and transcripts: what people's files really look like, and what is wrong with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merkit.errors import LimitError, MediaError
from merkit.media import Cue, Limits, read_text


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_srt_with_tags_music_and_two_speakers(tmp_path) -> None:
    path = write(
        tmp_path / "a.srt",
        "\ufeff1\r\n00:00:01,500 --> 00:00:03,000\r\n<i>Where are you?</i>\r\n\r\n"
        "2\r\n00:00:04,000 --> 00:00:08,000\r\n- Here.\r\n- I looked everywhere.\r\n\r\n"
        "3\r\n00:00:09,000 --> 00:00:10,000\r\n♪ ♪\r\n\r\n"
        "4\r\n01:00:00,000 --> 01:00:01,250 X1:0\r\n{\\an8}Two\r\nlines\r\n",
    )
    cues = read_text(path)
    assert [c.text for c in cues] == ["Where are you?", "Here.", "I looked everywhere.", "Two lines"]
    assert (cues[0].start_s, cues[0].end_s) == (1.5, 3.0)
    # the two share 4 s by length: 5 and 20 letters
    assert cues[1].end_s == pytest.approx(4 + 4 * 5 / 25)
    assert cues[2].start_s == cues[1].end_s
    assert cues[3].start_s == 3600.0


def test_cp1252_and_utf16_are_read(tmp_path) -> None:
    body = "1\n00:00:01,000 --> 00:00:02,000\nC’est déjà vu\n"
    assert read_text(write(tmp_path / "a.srt", body, "cp1252"))[0].text == "C’est déjà vu"
    assert read_text(write(tmp_path / "b.srt", body, "utf-16"))[0].text == "C’est déjà vu"


def test_vtt_notes_styles_and_voices(tmp_path) -> None:
    path = write(
        tmp_path / "a.vtt",
        "WEBVTT - made by hand\n\nNOTE\nnot spoken --> at all\n\nSTYLE\n::cue { color: red }\n\n"
        "intro\n00:01.000 --> 00:02.000 line:0\n<v.loud Ann Lee>Hello <b>you</b> &lt;3\n\n00:59:59.999 --> 01:00:00.500\nbye\n",
    )
    first, second = read_text(path)
    assert first == Cue(1.0, 2.0, "Hello you <3", "Ann Lee")
    assert second.start_s == pytest.approx(3599.999)


@pytest.mark.parametrize(
    ("name", "text", "line", "reason"),
    [
        ("a.srt", "1\n00:00:05,000 --> 00:00:02,000\nback\n", "line 2", "before it starts"),
        ("a.srt", "1\nxx:yy --> 00:00:02,000\nwhat\n", "line 2", "not a time"),
        ("a.vtt", "00:01.000 --> 00:02.000\nno header\n", "line 1", "WEBVTT"),
        ("a.csv", "start_s,end_s,text\n1,2,fine\n3,x,bad\n", "line 3", "seconds"),
        ("a.csv", "start_s,text\n1,bad\n", "line 1", "end_s"),
        ("a.txt", "[0:01] fine\nno time here\n", "line 2", "expected"),
    ],
)
def test_errors_name_file_and_line(tmp_path, name, text, line, reason) -> None:
    with pytest.raises(MediaError, match=reason) as caught:
        read_text(write(tmp_path / name, text))
    assert line in str(caught.value)
    assert name in str(caught.value)


def test_a_file_without_times_or_too_large_or_binary_is_refused(tmp_path) -> None:
    with pytest.raises(MediaError, match="no line"):
        read_text(write(tmp_path / "a.srt", "just words\n"))
    with pytest.raises(LimitError):
        read_text(write(tmp_path / "b.srt", "x" * 100), limits=Limits(max_text_bytes=50))
    (tmp_path / "c.srt").write_bytes(b"\x00\x01\x02" * 50)
    with pytest.raises(MediaError, match="text"):
        read_text(tmp_path / "c.srt")


@given(
    st.lists(
        st.tuples(st.integers(0, 3_000_000), st.integers(1, 9_000), st.text("abc déf!?", min_size=1).filter(str.strip)),
        max_size=8,
    )
)
def test_srt_round_trip(tmp_path_factory, rows) -> None:
    def stamp(ms: int) -> str:
        return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"

    rows = sorted(rows)
    text = "\n".join(f"{i}\n{stamp(a)} --> {stamp(a + n)}\n{words}\n" for i, (a, n, words) in enumerate(rows))
    path = write(tmp_path_factory.mktemp("srt") / "a.srt", text)
    found = [(round(c.start_s * 1000), round((c.end_s - c.start_s) * 1000), c.text) for c in read_text(path)]
    assert sorted(found) == sorted((a, n, " ".join(words.split(" ")).strip()) for a, n, words in rows)


def test_turns_broken_over_lines_and_two_voices_in_one_cue_keep_their_speakers_apart(tmp_path) -> None:
    dashes = write(tmp_path / "a.srt", "1\n00:00:01,000 --> 00:00:03,000\n- Hello\nthere\n- Hi\n")
    assert [c.text for c in read_text(dashes)] == ["Hello there", "Hi"]
    voices = write(tmp_path / "a.vtt", "WEBVTT\n\n00:01.000 --> 00:03.000\n<v Ann>Hello</v>\n<v Bob>Hi all</v>\n")
    ann, bob = read_text(voices)
    assert (ann.speaker, ann.text, bob.speaker, bob.text) == ("Ann", "Hello", "Bob", "Hi all")
    assert (ann.start_s, bob.end_s) == (1.0, 3.0)
    assert ann.end_s == bob.start_s == pytest.approx(1 + 2 * 5 / 11)


@pytest.mark.parametrize(("said", "text"), [("We are #1 in C#", "We are #1 in C#"), ("# la la #", "la la")])
def test_a_hash_is_music_only_around_a_line(tmp_path, said: str, text: str) -> None:
    assert read_text(write(tmp_path / "a.srt", f"1\n00:00:01,000 --> 00:00:03,000\n{said}\n"))[0].text == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.srt", "1\nnan --> inf\nhello\n"),
        ("a.srt", "1\n-5 --> 1e300\nhello\n"),
        ("a.csv", 'start_s,end_s,text\n0,1,"' + "x" * 200_000),
        ("a.csv", "start_s,end_s,text\n0,1,a\rb\n1,2,c\n"),
    ],
)
def test_times_that_are_none_and_broken_tables_are_explained(tmp_path, name: str, text: str) -> None:
    with pytest.raises(MediaError, match=rf"{name}, line \d"):
        read_text(write(tmp_path / name, text))
