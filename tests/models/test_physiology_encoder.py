"""The learned encoder of raw windows: what it may see, what it computes, and that it learns what statistics cannot say."""

import copy

import numpy as np
import pytest
import torch
from made_models import EMOTION
from torch.nn import functional as F

from merkit.data import Batch, Tokens
from merkit.errors import ConfigError
from merkit.features.physiology_windows import PhysiologyWindowsExtractor
from merkit.media import Signal
from merkit.models import FUSIONS, FusionModel
from merkit.models.physiology import PhysiologyEncoder

SAMPLES = {"ecg": 160, "eda": 20, "ibi": 7}
DIM = 187 + 3


def windows(rows: int = 6, longest: int = 4, seed: int = 0) -> Tokens:
    """`(rows, 1, longest, 190)` with ragged masks and every set of channels; garbage where nothing is real or measured."""
    numbers = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 1, longest, DIM, generator=numbers) * 2 + 5
    mask = torch.arange(longest) < torch.randint(0, longest + 1, (rows, 1, 1), generator=numbers)
    mask[0], mask[1] = True, False
    there = torch.randint(0, 2, (rows, 1, longest, 3), generator=numbers).float()
    there[0, 0, 0] = 1
    there[0, 0, 1] = 0
    x[..., -3:] = there
    for (first, last), channel in zip(((0, 160), (160, 180), (180, 187)), range(3), strict=True):
        x[..., first:last] = torch.where(there[..., channel, None] > 0, x[..., first:last], 0.0)
    return Tokens(x, mask)


def encoder(seed: int = 0) -> PhysiologyEncoder:
    torch.manual_seed(seed)
    made = PhysiologyEncoder(SAMPLES, width=12, hidden=8)
    for name in SAMPLES:
        made.absent[name].data.normal_()
    return made.eval()


def test_what_is_not_real_or_not_measured_cannot_be_seen():
    made, tokens = encoder(), windows()
    want = made(tokens)
    x = torch.where(tokens.mask[..., None], tokens.x, torch.nan)
    there = tokens.x[..., -3:].repeat_interleave(torch.tensor(list(SAMPLES.values())), -1)
    x[..., :-3] = torch.where(there > 0, x[..., :-3], torch.nan)
    got = made(Tokens(F.pad(x, (0, 0, 0, 3), value=torch.nan), F.pad(tokens.mask, (0, 3))))
    torch.testing.assert_close(got.x[..., :4, :], want.x)
    assert torch.equal(got.mask[..., :4], want.mask) and not got.mask[..., 4:].any()
    assert not got.x[~got.mask].any()


def test_a_token_s_state_is_its_own_whatever_stands_beside_it():
    made, tokens = encoder(), windows()
    want = made(tokens)
    for row, place in tokens.mask[:, 0].nonzero().tolist():
        alone = made(Tokens(tokens.x[row : row + 1, :, place : place + 1], torch.ones(1, 1, 1) > 0))
        torch.testing.assert_close(alone.x[0, 0, 0], want.x[row, 0, place], atol=1e-5, rtol=1e-4)


def test_a_token_without_any_channel_is_masked_and_others_are_not():
    tokens = windows()
    states = encoder()(tokens)
    assert torch.equal(states.mask, tokens.mask & tokens.x[..., -3:].any(-1))
    assert not states.mask[0, 0, 1] and states.mask[0, 0, 0]


def test_only_what_was_measured_is_computed():
    made, tokens = encoder(), windows()
    seen = dict.fromkeys(SAMPLES, 0)
    for name, part in made.channels.items():
        part.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: len(given[0])}))
    made(tokens)
    real = tokens.x[tokens.mask][:, -3:]
    assert list(seen.values()) == real.sum(0).int().tolist() and min(seen.values()) < int(tokens.mask.sum())


def test_an_absent_channel_is_not_a_flat_one():
    made = encoder()
    x = torch.zeros(2, 1, DIM)
    x[:, 0, -3:] = torch.tensor([[1.0, 0, 0], [1.0, 1, 0]])
    states = made(Tokens(x, torch.ones(2, 1) > 0)).x
    assert (states[0] - states[1]).abs().max() > 1e-3


def test_centre_and_scale_are_those_of_the_measured_windows_of_each_channel():
    numbers = np.random.default_rng(0)
    x = numbers.normal(30, 4, (50, DIM)).astype(np.float32)
    x[:, -3:] = numbers.random((50, 3)) < 0.6
    x[x[:, -2] == 0, 160:180] = 0
    x[:, -1], x[:, 180:187] = 0, 0  # never measured
    made = encoder()
    made.fit(x)
    for i, (first, last) in enumerate(((0, 160), (160, 180))):
        rows = x[x[:, i - 3] > 0, first:last].astype(np.float64)
        assert made.centre[i].item() == pytest.approx(rows.mean(), rel=1e-5)
        assert made.scale[i].item() == pytest.approx(rows.std(), rel=1e-5)
    assert (made.centre[2].item(), made.scale[2].item()) == (0, 1)
    # the unit of a signal does not matter once it is fitted
    twice = x.copy()
    twice[:, :-3] = np.where(x[:, :-3] != 0, x[:, :-3] * 1000 - 7, 0)
    twice[:, -3:] = x[:, -3:]
    again = copy.deepcopy(made)
    again.fit(twice)
    mask = torch.ones(50, 1) > 0
    torch.testing.assert_close(
        again(Tokens(torch.from_numpy(twice)[:, None], mask)).x,
        made(Tokens(torch.from_numpy(x)[:, None], mask)).x,
        atol=1e-3,
        rtol=1e-3,
    )


def test_gradients_reach_every_parameter_and_are_finite_under_garbage():
    made, tokens = encoder().train(), windows()
    x = torch.where(tokens.mask[..., None], tokens.x, torch.nan)
    states = made(Tokens(x, tokens.mask))
    (states.x * torch.randn_like(states.x)).sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_other_tokens_than_windows_are_refused():
    with pytest.raises(ConfigError, match=r"44 wide; windows of ecg \(160\), eda \(20\), ibi \(7\) are 190 wide"):
        encoder()(Tokens(torch.zeros(1, 1, 44), torch.ones(1, 1) > 0))
    with pytest.raises(ConfigError, match="44 wide"):
        encoder().fit(np.zeros((2, 44)))
    with pytest.raises(ConfigError, match="needs channels"):
        PhysiologyEncoder({})


@pytest.mark.parametrize("fusion", FUSIONS)
def test_it_is_the_fourth_stream_of_every_fusion_present_and_absent(fusion: str):
    torch.manual_seed(0)
    others = {"text": 5, "speech": 4, "face": 3}
    model = FusionModel({**others, "physiology": DIM}, [EMOTION], fusion=fusion, width=12, dropout=0.0)
    model.projections["physiology"] = encoder()
    model.eval()
    tokens = {name: Tokens(torch.randn(6, 1, 2, dim), torch.ones(6, 1, 2) > 0) for name, dim in others.items()}
    tokens["physiology"] = windows()
    want = model.outputs(Batch(tuple("abcdef"), 6, tokens))
    assert want.present["physiology"].tolist()[:2] == [True, False]
    for row in range(6):
        mine = {name: Tokens(t.x[row : row + 1], t.mask[row : row + 1]) for name, t in tokens.items()}
        alone = model(Batch(("a",), 1, mine))["emotion"][0]
        torch.testing.assert_close(alone, want.logits["emotion"][row], atol=1e-5, rtol=1e-4)
    # what is measured matters where it is there, and nowhere else
    moved = {**tokens, "physiology": Tokens(tokens["physiology"].x * 1.5, tokens["physiology"].mask)}
    apart = (model(Batch(tuple("abcdef"), 6, moved))["emotion"] - want.logits["emotion"]).abs().amax(1)
    assert apart[0] > 1e-6 and apart[1] == 0


def test_it_learns_a_rhythm_that_no_window_statistic_tells():
    """Beats of 1.0 and of 1.6 Hz: same mean, deviation and extremes. Steps on 96 windows, judged on others."""
    extract = PhysiologyWindowsExtractor(10.0, 10.0, {"ecg": 32.0})

    def made(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        numbers = np.random.default_rng(seed)
        labels, found = numbers.integers(0, 2, count), []
        times_s = np.arange(10 * 128) / 128
        for label in labels:
            phase = numbers.random()
            wave = np.cos(2 * np.pi * ((1.6 if label else 1.0) * times_s + phase)) + 0.3 * numbers.standard_normal(1280)
            found.append(extract([Signal("ecg", "mV", wave, times_s, 128.0)]).x[0])
        return torch.from_numpy(np.stack(found))[:, None], torch.from_numpy(labels)

    (x, y), (unseen, answers) = made(0, 96), made(1, 100)
    torch.manual_seed(0)
    made_ = PhysiologyEncoder(extract.layout.samples, width=16, hidden=16)
    made_.fit(x[:, 0].numpy())
    head = torch.nn.Linear(16, 2)
    optimiser = torch.optim.AdamW([*made_.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        F.cross_entropy(head(made_(Tokens(x, torch.ones(96, 1) > 0)).x[:, 0]), y).backward()
        optimiser.step()
    made_.eval()
    right = head(made_(Tokens(unseen, torch.ones(100, 1) > 0)).x[:, 0]).argmax(1) == answers
    assert right.float().mean() > 0.95
