"""Whether an exported form says what the run says: the greatest difference over many batches."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from merkit.data.batch import Batch
from merkit.errors import MerkitError
from merkit.export.clips import Check
from merkit.export.config import MerkitConfig
from merkit.export.tensors import tensors_of

__all__ = ["Answer", "Parity", "ParityError", "answers", "parity_of", "reloaded"]

Answer = Mapping[str, Tensor]
"""`TARGET.logits` and `TARGET.probs` of a batch."""


class ParityError(MerkitError):
    """An exported form answers otherwise than the run that it was made from."""


@dataclass(frozen=True, slots=True)
class Parity:
    """What a comparison found.

    Args:
        difference: the greatest absolute one, over logits and probabilities.
        where: the batch and the answer that it was found in; empty where there is none.
        batches: that were compared.
        clips: in them.
        made: whether they were made, in place of the run's own.
    """

    difference: float
    where: str
    batches: int
    clips: int
    made: bool

    def __str__(self) -> str:
        clips = f"{self.clips} {'made ' * self.made}clips"
        return f"greatest difference {self.difference:.1e} over {clips} in {self.batches} batches"


def parity_of(
    checks: Sequence[Check], wanted: Sequence[Answer], found: Sequence[Answer], *, made: bool, limit: float, what: str
) -> Parity:
    """Compares answers batch by batch.

    Args:
        checks: the batches.
        wanted: of the run.
        found: of the exported form.
        made: whether the clips were made.
        limit: the greatest difference that is let pass.
        what: form, for messages.

    Raises:
        ParityError: they differ by more, or are not numbers.
    """
    worst, where = 0.0, ""
    for check, want, have in zip(checks, wanted, found, strict=True):
        for key, value in want.items():
            other = have[key]
            if other.shape != value.shape:
                raise ParityError(
                    f"{what}: {key} of {check.about} is {tuple(other.shape)}, of the run {tuple(value.shape)}"
                )
            difference = float((other.double() - value.double()).abs().max()) if value.numel() else 0.0
            if not difference <= worst:  # not a number counts as worse than any
                worst, where = difference, f"{key}, {check.about}"
    if not worst <= limit:
        raise ParityError(f"{what}: differs from the run by {worst:.1e} ({where}); {limit:.0e} is let pass")
    return Parity(worst, where, len(checks), sum(check.batch.size for check in checks), made)


# what a fresh process does: nothing but what a user does
_RELOAD = """
import sys, merkit, torch
from pathlib import Path
from safetensors.torch import load_file, save_file
from transformers import AutoModel
torch.set_num_threads(int(sys.argv[3]))
model = AutoModel.from_pretrained(sys.argv[1])
work = Path(sys.argv[2])
for file in sorted(work.glob("in-*.safetensors")):
    with torch.inference_mode():
        out = model(**load_file(file))
    said = {f"{t}.{kind}": x.contiguous() for kind in ("logits", "probs") for t, x in out[kind].items()}
    save_file(said, work / file.name.replace("in-", "out-"))
"""


def reloaded(folder: Path, config: MerkitConfig, batches: Sequence[Batch]) -> list[Answer]:
    """What `AutoModel.from_pretrained(folder)` answers in another process.

    Raises:
        ParityError: it cannot be loaded there.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for i, batch in enumerate(batches):
            tensors = {key: value.contiguous() for key, value in tensors_of(config, batch).items()}
            save_file(tensors, Path(scratch) / f"in-{i:03}.safetensors")
        command = [sys.executable, "-c", _RELOAD, str(folder), scratch, str(torch.get_num_threads())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ParityError(f"{folder}: does not load in another process: {done.stderr.strip().splitlines()[-1]}")
        return [load_file(Path(scratch) / f"out-{i:03}.safetensors") for i in range(len(batches))]


@torch.inference_mode()
def answers(ask: Callable[[Batch], Answer], checks: Sequence[Check]) -> list[Answer]:
    """What one form says to all batches."""
    return [ask(check.batch) for check in checks]
