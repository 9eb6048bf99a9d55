"""Checkpoints: nothing is lost on the way, nothing that is code goes in, and no kill leaves a broken file."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merkit.errors import StoreError
from merkit.training.checkpoint import decode, encode, load_checkpoint, save_checkpoint

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(st.integers(), inner)
    ),
    max_leaves=12,
)


@given(plain)
def test_plain_data_comes_back_equal(value: object) -> None:
    import json

    back = decode(json.loads(json.dumps(encode(value, {}))), {})
    assert back == value and type(back) is type(value)


def test_tensors_come_back_equal_and_shared_ones_do_not_matter(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    state = {
        "a": shared,
        "b": [shared, shared.t()],
        "half": torch.ones(2, dtype=torch.bfloat16),
        "int": torch.tensor(7),
    }
    save_checkpoint(state, tmp_path / "x.ckpt")
    back = load_checkpoint(tmp_path / "x.ckpt")
    assert torch.equal(back["b"][1], shared.t()) and torch.equal(back["a"], shared)
    assert back["half"].dtype == torch.bfloat16 and back["int"].item() == 7


@pytest.mark.parametrize("thing", [object(), print, Path("x"), {1, 2}])
def test_nothing_but_data_goes_in(thing: object, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="numbers, text, containers and tensors"):
        save_checkpoint({"thing": thing}, tmp_path / "x.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.ckpt")
    (tmp_path / "torn.ckpt").write_bytes(b"\x10\0\0\0\0\0\0\0{broken")
    with pytest.raises(StoreError, match=r"torn\.ckpt"):
        load_checkpoint(tmp_path / "torn.ckpt")
    from safetensors.torch import save_file

    save_file({"x": torch.ones(1)}, tmp_path / "other.ckpt")
    with pytest.raises(StoreError, match="not a merkit checkpoint"):
        load_checkpoint(tmp_path / "other.ckpt")


KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from merkit.training.checkpoint import load_checkpoint, save_checkpoint
from merkit.training.run import write_json
folder = Path(sys.argv[1])
rng = random.Random(0)
state = {"step": 0, "weights": {f"w{i}": torch.zeros(256, 256) for i in range(8)}}
save_checkpoint(state, folder / "last.ckpt")
write_json({"step": 0}, folder / "record.json")
steps = set()
for trial in range(int(sys.argv[2])):
    # forked from a process that has one thread, so that so many kills do not cost so many imports
    child = os.fork()
    if child == 0:
        step = load_checkpoint(folder / "last.ckpt")["step"]
        while True:
            step += 1
            save_checkpoint({"step": step, "weights": {f"w{i}": torch.full((256, 256), float(step)) for i in range(8)}},
                            folder / "last.ckpt")
            write_json({"step": step, "filler": "x" * 100_000}, folder / "record.json")
    time.sleep(rng.uniform(0.0, 0.2))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = load_checkpoint(folder / "last.ckpt")
    import json
    record = json.loads((folder / "record.json").read_text())
    assert all(bool((w == found["step"]).all()) for w in found["weights"].values()), "a mixture of two states"
    assert abs(record["step"] - found["step"]) <= 1
    steps.add(found["step"])
print(len(steps), max(steps))
"""


@pytest.mark.parametrize("kills", [15, pytest.param(50, marks=pytest.mark.thorough)])
def test_kill_9_at_random_points_always_leaves_a_whole_checkpoint(tmp_path: Path, kills: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path), str(kills)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    distinct, last = map(int, done.stdout.split())
    assert distinct > kills // 3 and last > kills // 2, (
        "the kills came before anything was written: the test would prove nothing"
    )
