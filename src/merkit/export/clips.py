"""What an export is checked on: clips of the run's valid split where they are at hand, else made ones; never those of test.

Batches of several sizes, with padding that holds rubbish and with each modality taken away in turn: a form that was right
only for the shapes that it was made from would be found out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from merkit.data.batch import Batch, Tokens, collate
from merkit.data.context import dialogue_context
from merkit.data.table import ClipTable
from merkit.errors import MerkitError
from merkit.training.run import Run

if TYPE_CHECKING:
    from merkit.export.config import MerkitConfig

__all__ = ["Check", "checks_of", "clips_of", "made_batch", "padded", "reads_times", "without"]

_MOST = 24
_SIZES = (1, 2, 5)
# what stands where nothing is: any number that a mask does not hide shows at once
_RUBBISH = 7.0


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """One batch and what it is there to try.

    Args:
        about: in a few words.
        batch: without targets.
    """

    about: str
    batch: Batch


def clips_of(run: Run) -> ClipTable | None:
    """Clips that the run was validated on, or else trained on; None where its data is not at hand."""
    try:
        table = run.system.load(run.config)
        if any(name not in table.streams for name in run.record["modalities"]):
            return None
        for split in ("valid", "train"):
            rows = np.flatnonzero(table.split == split)
            if len(rows):
                return table.take(rows)
    except (MerkitError, OSError, ValueError):
        return None
    return None


def checks_of(run: Run, config: "MerkitConfig", table: ClipTable | None, model: nn.Module) -> list[Check]:
    """Batches to compare on.

    Args:
        run: of one seed.
        config: of the export.
        table: of `clips_of`.
        model: of the run, for what its embeddings take.
    """
    if table is None:
        made = [made_batch(config, size, 4 + 3 * i, model, seed=i) for i, size in enumerate(_SIZES)]
        checks = [Check(f"{batch.size} made clips", batch) for batch in made]
    else:
        checks = [Check(f"{batch.size} clips", batch) for batch in _real(run, config, table)]
    last = checks[-1]
    checks.append(Check("padding", padded(last.batch)))
    if len(config.modalities) > 1:
        checks += [Check(f"no {name}", without(last.batch, name)) for name in config.modalities]
    return checks


def _real(run: Run, config: "MerkitConfig", table: ClipTable) -> list[Batch]:
    around = dialogue_context(table, *config.context)
    sampling = run.system.sampling(run.config, table)
    batches, first = [], 0
    for size in (*_SIZES, _MOST):
        rows = np.arange(first, min(first + size, len(table), _MOST))
        if len(rows):
            batches.append(
                collate(
                    table,
                    rows,
                    modalities=tuple(config.modalities),
                    context=around,
                    with_targets=False,
                    sampling=sampling,
                )
            )
        first += size
    return batches


def made_batch(config: "MerkitConfig", size: int, length: int, model: nn.Module | None = None, seed: int = 0) -> Batch:
    """`size` clips out of nothing, each stream of another length, with gaps at their ends.

    Args:
        config: of the export.
        size: `B`.
        length: of the shortest stream.
        model: that takes them: ids must be ones that its embeddings have.
        seed: of the numbers.

    Example:
        >>> from merkit.export.config import MerkitConfig
        >>> batch = made_batch(MerkitConfig(modalities=["text", "speech"], widths={"text": 3, "speech": 2}), 2, 4)
        >>> [tuple(tokens.x.shape) for tokens in batch.tokens.values()]
        [(2, 1, 4, 3), (2, 1, 5, 2)]
    """
    draw = torch.Generator().manual_seed(seed)
    rows = size + 2 * any(config.context)
    tokens = {}
    for i, name in enumerate(config.modalities):
        about = config.streams.get(name, {})
        persons, steps, width = 3 if about.get("per_entity") else 1, length + i, config.widths[name]
        shape = (rows, persons, steps, width)
        if about.get("dtype") == "ids":
            most = _fewest_ids(model)
            x = torch.randint(0, most, shape, generator=draw).float()
        elif about.get("dtype") == "uint8":
            x = torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)
        else:
            x = torch.randn(shape, generator=draw)
        lengths = torch.randint(1, steps + 1, (rows, persons), generator=draw)
        lengths[0, 0] = steps
        mask = torch.arange(steps) < lengths[..., None]
        times = (torch.arange(steps, dtype=torch.float64) * 0.4).expand(mask.shape).contiguous()
        tokens[name] = Tokens(x, mask, times)
    context = position = None
    if any(config.context):
        context = torch.stack([torch.full((size,), rows - 2), torch.arange(size), torch.full((size,), rows - 1)], 1)
        position = torch.tensor([-1, 0, 1]).expand(size, -1).contiguous()
        context[0, 0] = -1
    return Batch(("",) * rows, size, tokens, context, position)


def _fewest_ids(model: nn.Module | None) -> int:
    tables = [] if model is None else [m.num_embeddings for m in model.modules() if isinstance(m, nn.Embedding)]
    return min((n for n in tables if n > 2), default=3)


def _changed(batch: Batch, tokens: Mapping[str, Tokens]) -> Batch:
    return replace(batch, tokens={**batch.tokens, **tokens})


def padded(batch: Batch, columns: int = 3) -> Batch:
    """The same clips with more columns, in which stands rubbish.

    Example:
        >>> from merkit.export.config import MerkitConfig
        >>> batch = padded(made_batch(MerkitConfig(modalities=["text"], widths={"text": 3}), 2, 4), 2)
        >>> batch.tokens["text"].x.shape, batch.tokens["text"].mask[..., 4:].any().item()
        (torch.Size([2, 1, 6, 3]), False)
    """

    def wider(x: Tensor, fill: float) -> Tensor:
        more = x.new_full((*x.shape[:2], columns, *x.shape[3:]), fill)
        return torch.cat([x, more], 2)

    return _changed(
        batch,
        {
            name: Tokens(wider(t.x, _RUBBISH), wider(t.mask, False), None if t.times is None else wider(t.times, 1e3))
            for name, t in batch.tokens.items()
        },
    )


def without(batch: Batch, name: str) -> Batch:
    """Every other clip loses a stream, but for what stands under the mask.

    Example:
        >>> from merkit.export.config import MerkitConfig
        >>> batch = without(made_batch(MerkitConfig(modalities=["text"], widths={"text": 3}), 3, 4), "text")
        >>> batch.tokens["text"].present[:, 0].tolist()
        [False, True, False]
    """
    tokens = batch.tokens[name]
    mask = tokens.mask.clone()
    mask[::2] = False
    return _changed(batch, {name: Tokens(tokens.x, mask, tokens.times)})


@torch.inference_mode()
def reads_times(model: nn.Module, batches: Sequence[Batch], name: str) -> bool:
    """Whether the network's answers depend on when the tokens of a stream were: they are asked with other times.

    Args:
        model: in evaluation mode.
        batches: to try it on.
        name: of the stream.
    """
    for batch in batches:
        tokens = batch.tokens[name]
        if tokens.times is None or not tokens.mask.any():
            continue
        other = _changed(batch, {name: Tokens(tokens.x, tokens.mask, tokens.times * 3 + 11)})
        before, after = model(batch), model(other)
        if any(not torch.equal(before[key], after[key]) for key in before):
            return True
        none = model(_changed(batch, {name: Tokens(tokens.x, tokens.mask)}))
        if any(not torch.equal(before[key], none[key]) for key in before):
            return True
    return False
