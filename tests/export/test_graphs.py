"""Graphs answer as the networks do for sizes that they were not traced with, in other hands: onnxruntime, torch.export."""

from pathlib import Path

import numpy as np
import pytest
from made_export import CASES, checks_for, config_of, network, said
from torch import nn

from merkit.errors import ConfigError
from merkit.export.clips import Check, made_batch, padded
from merkit.export.graph import graph_answers, ready, write_graph
from merkit.models.classifier import FusionModel


# masks, persons, times and attention within scenes at once; ONNX is tried on a trained run in tests/cli
@pytest.mark.parametrize(("name", "form"), [("emotx", "torch-export")])
def test_a_graph_says_what_the_network_says(name: str, form: str, tmp_path: Path) -> None:
    case = CASES[name]
    model, config = network(case), config_of(case)
    write_graph(config, [model], made_batch(config, 3, 11, model), tmp_path, form)
    checks = checks_for(case, model)
    checks.append(Check("padding", padded(checks[-1].batch)))
    for check, found in zip(checks, graph_answers(config, tmp_path, form, checks), strict=True):
        for key, value in said(case, model, check).items():
            np.testing.assert_allclose(found[key].numpy(), value.numpy(), atol=1e-5, err_msg=f"{key}, {check.about}")


def test_a_network_that_looks_into_its_numbers_is_refused(tmp_path: Path) -> None:
    class Peeking(nn.Module):
        width = 8

        def __init__(self, widths: dict[str, int], *, width: int = 8, labels: int = 1, dropout: float = 0.0) -> None:
            super().__init__()

        def forward(self, tokens):
            from merkit.models.fusion import Fused

            x = tokens["text"].x.mean(1)
            return Fused(x * float(x.sum().item()) if x.sum() > 0 else x)

    case = CASES["concat"]
    config = config_of(case)
    model = FusionModel(case.widths, case.specs, fusion=Peeking, width=8).eval()
    with pytest.raises(ConfigError, match="system fusion: its networks cannot be traced"):
        write_graph(config, [model], made_batch(config, 3, 11, model), tmp_path, "torch-export")
    assert not list(tmp_path.glob("model.*"))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merkit.export.graph.find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ConfigError, match=r"needs onnxscript: pip install 'merkit\[export\]'"):
        ready("onnx")
    ready("torch-export")
