"""Pickles of arrays are read whatever wrote them; pickles of anything else are refused before they run."""

import builtins
import collections
import io
import os
import pickle
import pickletools
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merkit.corpora import pickles, unpickle
from merkit.corpora.pickles import unpickled, unpickled_each
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


# -- several pickles in a file, many files to a child, tensors


def test_two_pickles_in_one_file(tmp_path) -> None:
    file = tmp_path / "tracks.pkl"
    with file.open("wb") as out:
        pickle.dump({3: np.ones((2, 5))}, out, 2)
        pickle.dump({3: np.full((1, 8), 7.0), 1: np.zeros((0, 8))}, out, 3)
    with unpickled(file, objects=2) as (persons, faces):
        assert persons[3].tolist() == np.ones((2, 5)).tolist()
        assert list(faces) == [3, 1]  # as written, not sorted
        assert (faces[3].shape, faces[1].shape) == ((1, 8), (0, 8))
    assert list(read(file)) == [3]
    with pytest.raises(MediaError, match="2 pickles where 3 were expected"), unpickled(file, objects=3):
        pass


def test_many_files_each_with_its_own_fate(tmp_path) -> None:
    files = []
    for i in range(150):
        file = tmp_path / f"{i}.pkl"
        data = pickle.dumps({"i": i, "x": np.full(3, i)})
        file.write_bytes(pickle.dumps(Runs(os.system, "true")) if i == 70 else data[:-9] if i == 71 else data)
        files.append(file)
    files[5].unlink()
    got = dict(unpickled_each(files))
    assert list(got) == files
    for i, file in enumerate(files):
        if i in (5, 70, 71):
            assert isinstance(got[file], MediaError)
        else:
            assert (got[file]["i"], got[file]["x"].tolist()) == (i, [i] * 3)
    assert str(got[files[5]]) == f"{files[5]}: no such file"
    assert "it calls posix.system" in str(got[files[70]])


def test_a_file_that_ends_its_child_takes_no_other_with_it(tmp_path, monkeypatch) -> None:
    files = [tmp_path / f"{i}.pkl" for i in range(4)]
    for i, file in enumerate(files):
        file.write_bytes(pickle.dumps([i]))
    real, started = pickles.subprocess.run, []

    def run(command, **options):
        """The child as it is, but for a reader that crashes at the second file."""
        started.append(command)
        code = (
            "import runpy, sys, os\n"
            "import pathlib\n"
            "child = runpy.run_path(sys.argv[2])\n"
            "read = child['_read']\n"
            "def crash(path, out, objects):\n"
            "    os.abort() if path.name == '1.pkl' else read(path, out, objects)\n"
            "child['main'].__globals__['_read'] = crash\n"
            "child['main'](sys.argv[3])\n"
        )
        return real([command[0], "-c", code, "x", command[2], command[3]], **options)

    monkeypatch.setattr(pickles.subprocess, "run", run)
    got = dict(unpickled_each(files))
    assert [got[files[i]] for i in (0, 2, 3)] == [[0], [2], [3]]
    assert re.search(r"its reader ended with -?\d+", str(got[files[1]]))
    assert len(started) == 2


def tensors() -> dict:
    base = torch.arange(24, dtype=torch.float32)
    return {
        "plain": base.reshape(4, 6),
        "part": base.reshape(4, 6)[1:3, ::2],
        "turned": base.reshape(4, 6).T,
        "half": base.half(),
        "double": base.double() / 3,
        "whole": torch.arange(5) - 2,
        "truth": torch.tensor([True, False]),
        "one": torch.tensor(3.5),
        "none": torch.zeros(0, 768),
        "grad": torch.ones(2, requires_grad=True),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_are_arrays(tmp_path, protocol) -> None:
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(tensors(), protocol))
    found = read(tmp_path / "t.pkl")
    for name, tensor in tensors().items():
        want = np.atleast_1d(tensor.detach().numpy())
        assert found[name].dtype == want.dtype, name
        assert np.array_equal(found[name], want), name


def _storage(pid_name: bytes = b"FloatStorage", count: int = 4, data: bytes = b"\0" * 16) -> bytes:
    """What torch's own reader would take, by hand."""
    parts = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2)]
    pid = b"(U\x07storagectorch\n" + pid_name + b"\nU\x010U\x03cpuM" + struct.pack("<H", count) + b"NtQ."
    return b"".join([*parts, b"\x80\x02" + pid, pickle.dumps(["0"], 2), struct.pack("<q", count), data])


def _tensor(storage: bytes, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    numbers = pickle.dumps(offset, 2)[2:-1], pickle.dumps(size, 2)[2:-1], pickle.dumps(stride, 2)[2:-1]
    stored = b"ctorch.storage\n_load_from_bytes\n" + pickle.dumps(storage, 3)[2:-1] + b"\x85R"
    return b"\x80\x03ctorch._utils\n_rebuild_tensor_v2\n(" + stored + b"".join(numbers) + b"\x89}tR."


def test_a_handmade_tensor_is_read(tmp_path) -> None:
    """So that those below are refused for what is wrong with them."""
    data = np.arange(4, dtype="<f4").tobytes()
    (tmp_path / "t.pkl").write_bytes(_tensor(_storage(data=data), 1, (3,), (1,)))
    assert read(tmp_path / "t.pkl").tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (_tensor(_storage(), 0, (5,), (1,)), "reaches beyond its storage"),
        (_tensor(_storage(), 3, (2,), (1,)), "reaches beyond its storage"),
        (_tensor(_storage(), -1, (2,), (1,)), "reaches beyond its storage"),
        (_tensor(_storage(), 2, (2,), (-1,)), "reaches beyond its storage"),
        (_tensor(_storage(), 0, (1 << 40,), (0,)), "larger than its storage"),
        (_tensor(_storage(), 0, (2, 2), (1,)), "unusual way"),
        (_tensor(_storage(count=9), 0, (2,), (1,)), "storage is damaged"),
        (_tensor(_storage(b"os_system"), 0, (2,), (1,)), r"it calls torch\.os_system"),
        (_tensor(b"", 0, (2,), (1,)), "EOFError"),
        (_tensor(b"\x80\x02cos\nsystem\n.", 0, (2,), (1,)), r"it calls os\.system"),
        (_tensor(pickle.dumps(1, 2) * 5, 0, (2,), (1,)), "unusual way"),
    ],
)
def test_tensors_that_are_none_are_refused(tmp_path, program, reason) -> None:
    (tmp_path / "t.pkl").write_bytes(program)
    with pytest.raises(MediaError, match=reason):
        read(tmp_path / "t.pkl")
