"""Dialogue context against one pass over the real turns of each clip; gaps, edges and strangers change nothing."""

import pytest
import torch
from torch.nn import functional as F

from merkit.data import Tokens
from merkit.errors import ConfigError
from merkit.models import DialogueContext
from merkit.models.context import CONTEXTS, StreamContext

D = 8
# turns of two dialogues (0-4 and 5-7) around six clips; -1 at the edges and in the middle
AROUND = torch.tensor(
    [[-1, -1, 0, 1, 2], [0, 1, 2, 3, 4], [1, 2, 3, 4, -1], [5, -1, 6, 7, -1], [-1, 5, 6, 7, -1], [0, 1, 2, 3, 4]]
)
OWN = torch.tensor([2, 2, 2, 2, 2, 4])
POSITION = torch.arange(5) - OWN[:, None]
PRESENT = torch.tensor([True, True, False, True, True, True, False, True])


def made(kind: str) -> tuple[DialogueContext, torch.Tensor]:
    torch.manual_seed(0)
    return DialogueContext(D, kind=kind, dropout=0.3).eval(), torch.randn(8, D)


def reference(module: DialogueContext, kind: str, rows: torch.Tensor, clip: int) -> torch.Tensor:
    slots = [s for s in range(5) if AROUND[clip, s] >= 0 and PRESENT[AROUND[clip, s]]]
    turns = rows[AROUND[clip, slots]]
    own = int(OWN[clip])
    reader = module.reader
    if kind != "attention":
        states = reader.cell(turns[None])[0][0] if len(turns) else torch.zeros(0, 2 * D)
        before = [i for i, s in enumerate(slots) if s <= own]
        after = [i for i, s in enumerate(slots) if s >= own]
        left = states[before[-1], :D] if before else torch.zeros(D)
        right = states[after[0], D:] if after else torch.zeros(D)
        return torch.tanh(reader.out(torch.cat([left, right])))
    here = own in slots
    asked = rows[AROUND[clip, own]] if here else reader.unheard[0]
    coded = torch.stack([rows[AROUND[clip, s]] + reader.code.weight[s - own + reader.farthest] for s in slots])
    return reader.layer(asked[None, None], torch.cat([reader.nobody, coded])[None])[0][0, 0]


@pytest.mark.parametrize("kind", CONTEXTS)
def test_each_clip_is_read_as_if_its_real_turns_stood_alone(kind: str) -> None:
    module, rows = made(kind)
    got = module(rows, PRESENT, AROUND, POSITION)
    for clip in range(len(AROUND)):
        torch.testing.assert_close(got[clip], reference(module, kind, rows, clip), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", CONTEXTS)
def test_absent_turns_and_further_padding_count_for_nothing(kind: str) -> None:
    module, rows = made(kind)
    want = module(rows, PRESENT, AROUND, POSITION)
    spoilt = rows.masked_fill(~PRESENT[:, None], 1e6)
    torch.testing.assert_close(module(spoilt, PRESENT, AROUND, POSITION), want)
    wider = F.pad(AROUND, (2, 3), value=-1)
    further = torch.arange(-2, 8) - OWN[:, None]
    torch.testing.assert_close(module(spoilt, PRESENT, wider, further), want)


@pytest.mark.parametrize("kind", CONTEXTS)
def test_a_neighbour_matters_and_another_dialogue_does_not(kind: str) -> None:
    module, rows = made(kind)
    rows.requires_grad_()
    module(rows, PRESENT, AROUND, POSITION)[1].square().sum().backward()
    moved = rows.grad.abs().sum(1) > 0
    assert moved.tolist() == [True, True, False, True, True, False, False, False]


@pytest.mark.parametrize("kind", CONTEXTS)
def test_the_order_of_turns_matters(kind: str) -> None:
    module, rows = made(kind)
    swapped = AROUND[1:2][:, [4, 1, 2, 3, 0]]
    one, other = (module(rows, PRESENT, around, POSITION[1:2]) for around in (AROUND[1:2], swapped))
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("kind", CONTEXTS)
def test_a_clip_without_any_turn_is_answered_with_finite_numbers_and_gradients(kind: str) -> None:
    module, rows = made(kind)
    out = module.train()(rows, torch.zeros(8, dtype=torch.bool), AROUND, POSITION)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_a_shared_dialogue_is_read_once() -> None:
    module, rows = made("gru")
    around = torch.tensor([[0, 1, 2, 3, 4]] * 5)
    read = []
    module.reader.cell.register_forward_hook(lambda _, given, out: read.append(int(given[0].batch_sizes[0])))
    position = torch.arange(5) - torch.arange(5)[:, None]
    together = module(rows, PRESENT, around, position)
    assert read == [1]
    for clip in range(5):
        torch.testing.assert_close(
            module(rows, PRESENT, around[clip : clip + 1], position[clip : clip + 1])[0], together[clip]
        )


@pytest.mark.parametrize("pooling", ["mean", "mean_max"])
def test_a_stream_context_is_one_token_and_masked_where_nobody_has_the_modality(pooling: str) -> None:
    torch.manual_seed(0)
    module = StreamContext(D, pooling=pooling, kind="gru", dropout=0.0).eval()
    mask = torch.zeros(8, 3, dtype=torch.bool)
    mask[:5, :2] = True
    tokens = module(Tokens(torch.randn(8, 3, D), mask), AROUND, POSITION)
    assert tokens.x.shape == (6, 1, D)
    assert tokens.mask[:, 0].tolist() == [True, True, True, False, False, True]
    assert not tokens.x[~tokens.mask].any()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="gru, lstm, attention"):
        DialogueContext(4, kind="rnn")
