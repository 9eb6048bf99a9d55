"""Every twin computes what its network computes, whatever stands where nothing is."""

import pytest
import torch
from made_export import CASES, checks_for, network, said
from torch import nn

from merkit.errors import ConfigError
from merkit.export.clips import Check, padded, without
from merkit.export.twins import TWINS, traceable
from merkit.export.twins.recurrent import both_ways, to_front
from merkit.models.tuned import WaveStates


@pytest.mark.parametrize("name", CASES)
def test_a_twin_says_what_its_network_says(name: str) -> None:
    case = CASES[name]
    model = network(case)
    twin = traceable(model, name)
    checks = checks_for(case, model)
    last = checks[-1].batch
    checks += [Check("padding", padded(last)), *(Check(f"no {m}", without(last, m)) for m in case.widths)]
    spread = 0.0
    for check in checks:
        wanted, found = said(case, model, check), said(case, twin, check)
        for key, value in wanted.items():
            torch.testing.assert_close(found[key], value, atol=2e-6, rtol=1e-5, msg=f"{key}, {check.about}")
            spread = max(spread, float(value.max() - value.min()))
    # answers that are all alike would be equal whatever the twin did
    assert spread > 1e-2
    assert type(model) is not type(twin) or name == "members"


def test_a_twin_leaves_the_network_and_its_names_alone() -> None:
    model = network(CASES["cross_modal"])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    twin = traceable(model, "a model")
    assert list(twin.state_dict()) == list(before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(type(module) in TWINS.values() for module in model.modules())


def test_recurrent_twins_equal_torch_on_every_length() -> None:
    torch.manual_seed(0)
    x, lengths = torch.randn(4, 6, 3), torch.tensor([6, 1, 4, 2])
    for kind in (nn.LSTM, nn.GRU):
        cell = kind(3, 5, batch_first=True, bidirectional=True)
        found = both_ways(cell, x, lengths)
        for row, length in enumerate(lengths.tolist()):
            alone = cell(x[row : row + 1, :length])[0][0]
            torch.testing.assert_close(found[row, :length], alone, atol=1e-6, rtol=1e-5)


def test_real_places_come_first_wherever_they_are() -> None:
    mask = torch.rand(20, 9, generator=torch.Generator().manual_seed(1)) < 0.5
    for row, order in zip(mask, to_front(mask), strict=True):
        places = row.nonzero()[:, 0].tolist()
        assert order[: len(places)].tolist() == places


def test_what_cannot_become_a_graph_is_refused_with_the_reason() -> None:
    class Encoder(nn.Module):
        width = 4

    model = nn.ModuleDict({"speech": WaveStates(Encoder())})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="system sse_ft cannot become a graph: an encoder of speech"):
        traceable(model, "system sse_ft")
