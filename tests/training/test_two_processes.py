"""Two processes over gloo take the steps that one process takes with gradients of two batches added up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_corpus import ARRAYS, write_arrays

from merkit.config import override
from merkit.errors import ConfigError
from merkit.systems.sse_ft import SSEFTConfig
from merkit.training.run import Run
from merkit.training.train import train, train_seeds

CHANGES = (
    "encoder_ffn_embed_dim=8", "encoder_layers=1", "encoder_layers_cross=1", "data.num_data=0", "trainer.batch_size=6",
    "trainer.max_epochs=3", "trainer.accelerator=cpu", "trainer.watch=accuracy", "data.split.by=dialogue",
)  # fmt: skip
# a script of its own: Lightning starts the second process by running the same command again
SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from merkit.cli.main import run
run()
"""


def config(root: Path, *changes: str) -> SSEFTConfig:
    base = SSEFTConfig().model_copy(update={"data": SSEFTConfig().data.model_copy(update={"arrays": ARRAYS})})
    return override(base, [f"data.root={root}", *CHANGES, *changes])


@pytest.mark.timeout(240)
def test_same_gradients_as_one_process(tmp_path):
    root = write_arrays(tmp_path / "corpus")
    train("sse_ft", config(root, "trainer.accumulate=2"), tmp_path / "one")
    wanted = config(root, "trainer.devices=2")
    (tmp_path / "wanted.json").write_text(json.dumps({"system": "sse_ft", "config": wanted.to_dict()}))
    script = tmp_path / "command.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), "train", "sse_ft", "--config", str(tmp_path / "wanted.json"), "--out",
               str(tmp_path / "two"), "--json"]  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=220)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)[0]["status"] == "finished"  # the second process says nothing
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=2e-5, rtol=1e-4, msg=name)
    best = [Run(tmp_path / name).record["best"]["accuracy"]["epoch"] for name in ("one", "two")]
    assert best[0] == best[1]
    assert not (tmp_path / "two" / "last.ckpt").exists()


def test_several_processes_train_one_seed_at_a_time(tmp_path):
    with pytest.raises(ConfigError, match="one seed"):
        train_seeds("sse_ft", config(tmp_path, "trainer.devices=2"), tmp_path / "run", 2)
