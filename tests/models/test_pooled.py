"""The heads' network: padding and batches change nothing, pooling is what it says."""

import numpy as np
import pytest
import torch

from merkit.models import PooledClassifier, pad

KINDS = ("mean", "statistics", "attention")


def network(pooling: str) -> PooledClassifier:
    torch.manual_seed(0)
    net = PooledClassifier(6, 4, pooling=pooling, hidden=8, heads=3, dropout=0.5).eval()
    net.centre.normal_()
    net.scale.uniform_(0.5, 2.0)
    return net


@pytest.fixture
def ragged() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(t, 6)).astype(np.float32) for t in (1, 4, 9, 2)]


@pytest.mark.parametrize("pooling", KINDS)
def test_a_sequence_is_judged_the_same_alone_in_a_batch_and_padded_further(pooling: str, ragged) -> None:
    net = network(pooling)
    tokens, mask = pad(ragged)
    together = net(tokens, mask)
    further = net(
        torch.nn.functional.pad(tokens, (0, 0, 0, 7), value=99.0), torch.nn.functional.pad(mask, (0, 7), value=False)
    )
    torch.testing.assert_close(together, further)
    for i, one in enumerate(ragged):
        torch.testing.assert_close(net(*pad([one]))[0], together[i], atol=1e-5, rtol=1e-5)


def test_statistics_are_mean_and_deviation(ragged) -> None:
    net = PooledClassifier(6, 2, pooling="statistics")
    pooled = net.pool(*pad(ragged)).numpy()
    for row, one in zip(pooled, ragged, strict=True):
        np.testing.assert_allclose(row[:6], one.mean(0), atol=1e-5)
        np.testing.assert_allclose(row[6:], one.std(0), atol=1e-3)


def test_every_parameter_gets_a_gradient(ragged) -> None:
    for pooling in KINDS:
        net = network(pooling).train()
        net(*pad(ragged)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters()), pooling


def test_dropout_is_off_in_evaluation(ragged) -> None:
    net = network("mean")
    torch.testing.assert_close(net(*pad(ragged)), net(*pad(ragged)))
