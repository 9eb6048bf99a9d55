"""Our dropout draws fairly, independently and reproducibly, and scales what it keeps."""

import pytest
import torch

from merkit.errors import ConfigError
from merkit.models.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_every_place_is_zeroed_at_the_rate_and_neighbours_say_nothing_of_each_other(rate: float) -> None:
    torch.manual_seed(0)
    gone = Dropout(rate)(torch.ones(50_000, 7)) == 0  # seven is no multiple of the four that share a draw
    flat = gone.flatten().double()
    for k in range(8):
        assert flat[k::8].mean().item() == pytest.approx(rate, abs=0.01)
    for lag in (1, 2, 3, 4, 7):
        together = (flat[lag:] * flat[:-lag]).mean().item()
        assert together == pytest.approx(rate**2, abs=0.01)


def test_what_is_kept_is_scaled_so_that_the_mean_stays_and_the_gradient_follows() -> None:
    torch.manual_seed(0)
    x = torch.rand(400, 500, requires_grad=True)
    out = Dropout(0.3)(x)
    assert out.mean().item() == pytest.approx(x.mean().item(), abs=0.005)
    out.sum().backward()
    torch.testing.assert_close(x.grad, (out / x).detach())


def test_a_seed_decides_and_evaluation_draws_nothing() -> None:
    layer, x = Dropout(0.5), torch.ones(3, 5)
    results = []
    for _ in range(2):
        torch.manual_seed(7)
        results.append(layer(x))
    assert torch.equal(*results) and not torch.equal(layer(x), results[0])
    before = torch.get_rng_state()
    assert layer.eval()(x) is x and Dropout(0.0)(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_precision_stays_and_empty_stays_empty() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        assert Dropout(0.5)(torch.ones(3, dtype=dtype)).dtype == dtype
    assert Dropout(0.5)(torch.ones(0, 4)).shape == (0, 4)


@pytest.mark.parametrize("rate", [1.0, -0.1])
def test_a_rate_outside_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="dropout"):
        Dropout(rate)
