"""Optimisers and schedules against torch's and transformers' own."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from merkit.training.optim import OPTIMISERS, SCHEDULES, OptimConfig, build_optimiser, build_schedule, parameter_groups
from merkit.training.ranger import Ranger


def rates(config: OptimConfig, total: int, epochs: int = 1) -> list[float]:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=config.lr)
    schedule, _ = build_schedule(optimiser, config, total, epochs=epochs)
    found = []
    for _ in range(total):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("name", "reference"), [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)]
)
def test_schedules_equal_those_of_transformers_after_warm_up(name: str, reference) -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = reference(optimiser, 4, 20)
    expected = []
    for _ in range(20):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step()
    ours = rates(OptimConfig(lr=0.1, schedule=name, warmup=4), 20)
    assert ours[4:] == pytest.approx(expected[4:], abs=1e-12)
    # ours warms up from a first step that already moves; theirs wastes it with a rate of zero
    assert ours[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])


def test_other_schedules_by_their_formulas() -> None:
    power = rates(OptimConfig(lr=1.0, schedule="polynomial", power=2.0, final=0.1), 10)
    assert power == pytest.approx([0.1 + 0.9 * (1 - i / 10) ** 2 for i in range(10)])
    step = rates(OptimConfig(lr=1.0, schedule="step", step_every=0.5, factor=0.1), 10)
    assert step == pytest.approx([1.0] * 5 + [0.1] * 5)
    cycles = rates(OptimConfig(lr=1.0, schedule="cosine_restarts", restarts=2), 8)
    one = [0.5 * (1 + math.cos(math.pi * i / 4)) for i in range(4)]
    assert cycles == pytest.approx(one * 2)
    share = rates(OptimConfig(lr=1.0, schedule="constant", warmup=0.5), 4)
    assert share == pytest.approx([0.5, 1.0, 1.0, 1.0])
    # the published schedules: cosine over all steps, a tenth at half time, warm-up in epochs
    cosine = rates(OptimConfig(lr=4e-3, schedule="cosine"), 12, epochs=3)
    assert cosine == pytest.approx([4e-3 * (1 + math.cos(math.pi * i / 12)) / 2 for i in range(12)])
    assert rates(OptimConfig(lr=3e-4, schedule="step"), 12, epochs=3) == pytest.approx([3e-4] * 6 + [3e-5] * 6)
    epochs = rates(OptimConfig(lr=1.0, schedule="linear", warmup_epochs=2), 12, epochs=3)
    assert epochs == pytest.approx([(i + 1) / 8 for i in range(8)] + [1.0, 0.75, 0.5, 0.25])
    longer = rates(OptimConfig(lr=1.0, schedule="constant", warmup=6, warmup_epochs=0.5), 12, epochs=3)
    assert longer == pytest.approx([(i + 1) / 6 for i in range(6)] + [1.0] * 6)
    assert rates(OptimConfig(lr=1.0, warmup_epochs=9), 4, epochs=3) == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert set(SCHEDULES) == {"constant", "linear", "polynomial", "cosine", "cosine_restarts", "plateau", "step"}


@pytest.mark.parametrize(("first", "growth"), [(5, 1), (7, 2), (3, 3)])
def test_warm_restarts_are_those_of_torch_of_whatever_length(first: int, growth: int) -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, first, growth, eta_min=0.004)
    expected = []
    for _ in range(200):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step()
    asked = {"lr": 0.4, "schedule": "cosine_restarts", "final": 0.01, "restart_growth": growth}
    assert rates(OptimConfig(**asked, restart_steps=first), 200) == pytest.approx(expected, abs=1e-12)
    # a run that is three cycles long needs no number of steps
    whole = first * sum(growth**i for i in range(3))
    assert rates(OptimConfig(**asked, restarts=3), whole) == pytest.approx(expected[:whole], abs=1e-12)
    # cut off where the run ends, and behind a warm-up
    assert rates(OptimConfig(**asked, restart_steps=first, warmup=4), 20)[4:] == pytest.approx(expected[:16], abs=1e-12)


def test_every_parameter_is_in_exactly_one_group_with_the_rate_of_its_part() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
            self.encoder_head = nn.Linear(3, 2)
            self.frozen = nn.Linear(2, 2).requires_grad_(False)
            self.tied = self.encoder_head

    net = Net()
    config = OptimConfig(lr=0.1, weight_decay=0.3, module_lr={"encoder": 0.01, "encoder.1": 0.001})
    groups = parameter_groups(net, config)
    ids = [id(p) for group in groups for p in group["params"]]
    trainable = [p for p in net.parameters() if p.requires_grad]
    assert sorted(ids) == sorted(map(id, trainable)) and len(ids) == len(set(ids))
    rate = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert rate[id(net.encoder[0].weight)] == (0.01, 0.3)
    assert rate[id(net.encoder[1].weight)] == (0.001, 0.0)  # a norm is not decayed
    assert rate[id(net.encoder_head.weight)] == (0.1, 0.3)  # a prefix ends at a dot


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_every_optimiser_goes_down(name: str) -> None:
    torch.manual_seed(0)
    net = nn.Linear(4, 1)
    x, y = torch.randn(64, 4), torch.randn(64, 1)
    optimiser = build_optimiser(net, OptimConfig(name=name, lr=0.05))
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = (net(x) - y).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_ranger_is_radam_on_centred_gradients_with_a_slow_copy() -> None:
    torch.manual_seed(1)
    start, gradients = torch.randn(3, 4), torch.randn(12, 3, 4)
    ours = nn.Parameter(start.clone())
    optimiser = Ranger([ours], lr=0.1, weight_decay=0.01, every=4, alpha=0.3)
    fast = nn.Parameter(start.clone())
    radam = torch.optim.RAdam([fast], lr=0.1, weight_decay=0.01, decoupled_weight_decay=True)
    slow = start.clone()
    for step, gradient in enumerate(gradients, start=1):
        ours.grad = gradient.clone()
        optimiser.step()
        fast.grad = gradient - gradient.mean(1, keepdim=True)
        radam.step()
        if step % 4 == 0:
            slow = slow + 0.3 * (fast.detach() - slow)
            fast.data.copy_(slow)
        torch.testing.assert_close(ours.data, fast.data)


def test_ranger_by_the_formulas_of_its_papers() -> None:
    """RAdam (algorithm 2), decoupled decay, centralised gradients (eq. 1) and LookAhead (algorithm 1), in numpy."""
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 2, 2)), rng.normal(size=(20, 3, 2, 2))
    lr, b1, b2, decay, every, alpha = 0.05, 0.9, 0.95, 0.1, 6, 0.5
    weight, slow, m, v = start.copy(), start.copy(), 0.0, 0.0
    ours = nn.Parameter(torch.from_numpy(start.copy()))
    optimiser = Ranger([ours], lr=lr, betas=(b1, b2), weight_decay=decay, every=every, alpha=alpha)
    rectified = 0
    for t, gradient in enumerate(gradients, start=1):
        ours.grad = torch.from_numpy(gradient.copy())
        optimiser.step()
        g = gradient - gradient.mean((1, 2), keepdims=True)  # a filter at a time
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        longest = 2 / (1 - b2) - 1
        length = longest - 2 * t * b2**t / (1 - b2**t)
        weight = weight * (1 - lr * decay)
        if length > 5:
            rectified += 1
            r = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            weight = weight - lr * np.sqrt(r) * m / (1 - b1**t) * np.sqrt(1 - b2**t) / (np.sqrt(v) + 1e-8)
        else:
            weight = weight - lr * m / (1 - b1**t)
        if t % every == 0:
            slow = slow + alpha * (weight - slow)
            weight = slow.copy()
        np.testing.assert_allclose(ours.detach().numpy(), weight, rtol=1e-9, atol=1e-12)
    assert 5 < rectified < 20  # both branches were walked


def test_sgd_is_that_of_nesterov() -> None:
    torch.manual_seed(2)
    start, gradients = torch.randn(2, 3), torch.randn(6, 2, 3)
    ours = nn.Linear(3, 2, bias=False)
    ours.weight.data.copy_(start)
    optimiser = build_optimiser(ours, OptimConfig(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.01))
    weight, velocity = start.clone(), torch.zeros(2, 3)
    for gradient in gradients:
        ours.weight.grad = gradient.clone()
        optimiser.step()
        gradient = gradient + 0.01 * weight
        velocity = 0.9 * velocity + gradient
        weight = weight - 0.1 * (gradient + 0.9 * velocity)
        torch.testing.assert_close(ours.weight.data, weight)
