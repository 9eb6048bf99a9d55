"""Pickles of arrays are read whatever wrote them; pickles of anything else are refused before they run."""

import builtins
import collections
import io
import os
import pickle
import pickletools
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merkit.corpora import unpickle
from merkit.corpora.pickles import unpickled
from merkit.errors import MediaError


def read(path):
    with unpickled(path) as found:
        return _copied(found)


def _copied(value):
    """Arrays lie on disk only while the context lasts."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return np.array(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol(tmp_path, protocol) -> None:
    rng = np.random.default_rng(0)
    data = {
        "train": {
            "audio": rng.normal(size=(3, 4, 5)).astype(np.float32),
            "vision": np.asfortranarray(rng.normal(size=(3, 4))),
            "raw_text": np.array(["a", "Grüß dich", ""], dtype=object),
            "id": np.array([["vid", "1.5", "2"], ["vid", "2", "3"], ["w", "0", "1"]]),
            "audio_lengths": [3, 4, 1],
            "label": [np.float32(0.5), np.float32(-1), np.float64(2)],
            "name": collections.OrderedDict(b=np.array([b"one", b"two"], dtype=object)),
        },
        "n": 7,
        "skipped": None,
        "ragged": [[1], [1, 2]],
    }
    file = tmp_path / "data.pkl"
    file.write_bytes(pickle.dumps(data, protocol))
    found = read(file)
    train = found["train"]
    assert set(train) == set(data["train"])
    for name in ("audio", "vision"):
        assert train[name].dtype == data["train"][name].dtype
        assert np.array_equal(train[name], data["train"][name])
    assert train["raw_text"] == ["a", "Grüß dich", ""]
    assert train["id"] == data["train"]["id"].tolist()
    assert train["audio_lengths"] == [3, 4, 1]
    assert train["label"] == [0.5, -1, 2]
    assert train["name"] == {"b": ["one", "two"]}
    assert (found["n"], found["skipped"], found["ragged"]) == (7, None, [[1], [1, 2]])


def test_a_pickle_as_python_2_wrote_it(tmp_path) -> None:
    # cPickle, protocol 2: bytes are SHORT_BINSTRING ('U'), arrays come from numpy.core.multiarray
    raw = np.array([1.5, -2.0], "<f4").tobytes()
    program = (
        b"\x80\x02}U\x05chest(cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U" + bytes([len(raw)]) + raw + b"tbs."
    )
    program = program.replace(b"chest(c", b"chestc", 1)
    file = tmp_path / "S2.pkl"
    file.write_bytes(program)
    assert read(file)["chest"].tolist() == [1.5, -2.0]


class Runs:
    """Pickles itself as a call."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (Runs(os.system, "touch {mark}"), "system"),
        (Runs(builtins.eval, "open({mark!r}, 'w')"), "eval"),
        (Runs(builtins.open, "{mark}", "w"), "open"),
        (Runs(subprocess.Popen, ["touch", "{mark}"]), "Popen"),
        (Runs(builtins.getattr, {}, "items"), "getattr"),
        (Runs(np.load, "{mark}"), "numpy"),
        (Path("x"), "pathlib"),
        (collections.Counter("ab"), "collections.Counter"),
        (np.random.default_rng(0), "numpy.random"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_what_is_not_plain_data_is_refused_and_never_runs(tmp_path, call, named, protocol) -> None:
    mark = tmp_path / "it ran"
    if isinstance(call, Runs):
        function, arguments = call.call
        filled = [
            [word.replace("{mark}", str(mark)) for word in a]
            if isinstance(a, list)
            else a.replace("{mark!r}", repr(str(mark))).replace("{mark}", str(mark))
            if isinstance(a, str)
            else a
            for a in arguments
        ]
        call = Runs(function, *filled)
    file = tmp_path / "bad.pkl"
    file.write_bytes(pickle.dumps({"train": {"audio": np.ones(3), "x": call}}, protocol))
    with pytest.raises(
        MediaError, match=rf"bad\.pkl: the pickle was refused: it calls .*{named}.*, which is not allowed"
    ):
        read(file)
    assert not mark.exists()


def test_the_malicious_files_would_have_run(tmp_path) -> None:
    """So that the test above cannot pass for want of malice."""
    mark = tmp_path / "it ran"
    pickle.loads(pickle.dumps(Runs(os.system, f"touch '{mark}'"), 2))
    assert mark.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02cposix\nsystem\nU\x04true\x85R.",
        b"\x80\x02\x82\x01.",  # an extension code
        b"(S'true'\nios\nsystem\n.",  # INST
        b"Pstored elsewhere\n.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nc__builtin__\nset\nK\x00\x85U\x01b\x87R.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x01O\x85RU\x02hi\x86R.",
    ],
)
def test_handmade_programs_are_refused(tmp_path, program) -> None:
    file = tmp_path / "bad.pkl"
    file.write_bytes(program)
    with pytest.raises(MediaError, match=r"bad\.pkl"):
        read(file)


def test_a_small_file_cannot_build_a_large_array(tmp_path) -> None:
    bomb = b"\x80\x02}U\x01xcnumpy\nndarray\n" + b"\x8a\x05" + struct.pack("<q", 1 << 35)[:5] + b"\x85\x85Rs."
    pickletools.dis(bomb, io.StringIO())  # it is a well-formed program
    file = tmp_path / "bomb.pkl"
    file.write_bytes(bomb)
    with pytest.raises(MediaError, match=r"it needs more than the \d+ MB"):
        read(file)


def test_damage_and_absence_are_named(tmp_path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        read(tmp_path / "nowhere.pkl")
    whole = pickle.dumps({"a": np.arange(100)}, 2)
    for damaged in (b"", whole[: len(whole) // 2], b"<html>not found</html>", whole[:-1]):
        (tmp_path / "bad.pkl").write_bytes(damaged)
        with pytest.raises(MediaError, match=r"bad\.pkl: the pickle was refused"):
            read(tmp_path / "bad.pkl")


NOISE = """
import contextlib, io, pickle, random, resource, runpy, sys
import numpy as np
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))  # some noise asks for an array of gigabytes
reader = runpy.run_path(sys.argv[1])["_Reader"]
whole = pickle.dumps({"a": np.arange(3), "b": [np.float64(1)], "c": "words"}, 2)
draw, read = random.Random(0), 0
for _ in range(1000):
    noise = draw.randbytes(draw.randrange(1, 12))
    at = draw.randrange(len(whole))
    program = whole[:at] + noise + whole[at + len(noise) :]
    with contextlib.suppress(Exception):
        reader(io.BytesIO(program), fix_imports=False, encoding="latin1").load()
        read += 1
print(read)
"""


def test_noise_is_an_error_and_nothing_worse() -> None:
    command = [sys.executable, "-I", "-c", NOISE, unpickle.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < 1000  # some noise falls into numbers and words, most does not


@given(st.text(max_size=12), st.text(max_size=12))
def test_every_global_off_the_list_is_refused(module, name) -> None:
    reader = unpickle._Reader(io.BytesIO(b"N."), fix_imports=False, encoding="latin1")
    for asked in ((module, name), ("builtins", name), ("numpy", name), (module, "system")):
        if asked not in unpickle._Reader.names:
            with pytest.raises(pickle.UnpicklingError):
                reader.find_class(*asked)


def test_the_child_reads_no_python_of_the_current_folder(tmp_path) -> None:
    (tmp_path / "numpy.py").write_text("open('it ran', 'w')")
    (tmp_path / "data.pkl").write_bytes(pickle.dumps({"a": np.arange(2)}))
    code = (
        "from pathlib import Path\nfrom merkit.corpora.pickles import unpickled\n"
        "with unpickled(Path('data.pkl')) as found: print(found['a'].sum())"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "1"
    assert not (tmp_path / "it ran").exists()
