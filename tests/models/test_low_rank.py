"""Low-rank adaptation against its formula, on layers and on a transformer of a few thousand weights."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from merkit.errors import ConfigError
from merkit.models.low_rank import LowRankLinear, adapt


def network() -> BertModel:
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    return BertModel(BertConfig(vocab_size=20, **size, max_position_embeddings=12)).eval()


def test_the_low_rank_part_is_alpha_over_r_times_b_a() -> None:
    torch.manual_seed(0)
    layer = LowRankLinear(nn.Linear(6, 4), rank=2, alpha=32).eval()
    x = torch.randn(3, 5, 6)
    nn.init.normal_(layer.up)
    by_hand = x @ (layer.base.weight + 16 * layer.up @ layer.down).T + layer.base.bias
    torch.testing.assert_close(layer(x), by_hand)
    torch.testing.assert_close(layer.merged()(x), by_hand)
    dropped = LowRankLinear(layer.base, rank=2, dropout=0.5).train()
    torch.testing.assert_close(dropped(x), layer.base(x))  # dropout never touches what was learned before


def test_an_adapted_network_begins_as_it_was_and_only_the_named_layers_learn() -> None:
    plain, adapted = network(), network()
    ids = torch.arange(8)[None]
    names = adapt(adapted, ["query", "value"], rank=2)
    assert len(names) == 4 and all(name.endswith(("query", "value")) for name in names)
    torch.testing.assert_close(adapted(ids).last_hidden_state, plain(ids).last_hidden_state)
    learning = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert learning == {f"{name}.{part}" for name in names for part in ("down", "up")}
    optimiser = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.0)
    before = {name: p.clone() for name, p in adapted.named_parameters()}
    for _ in range(2):  # in the first step only `up` has a slope, for it is zero
        optimiser.zero_grad()
        adapted(ids).last_hidden_state.square().mul(torch.arange(16)).sum().backward()
        optimiser.step()
    assert {name for name, p in adapted.named_parameters() if (p != before[name]).any()} == learning


def test_names_and_ranks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"called q_proj; there are dense, key, query, value"):
        adapt(network(), ["q_proj"])
    with pytest.raises(ConfigError, match="rank 17"):
        adapt(network(), ["query"], rank=17)
