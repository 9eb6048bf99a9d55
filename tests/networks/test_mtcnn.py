"""MTCNN against facenet-pytorch's own modules."""

from pathlib import Path

import numpy as np
import pytest
import torch

from merkit.networks import RNet, load_mtcnn
from merkit.networks.checkpoint import adopt

from .pictures import pictures

GOLDEN = Path(__file__).parent / "golden" / "mtcnn.npz"


def prepared(images: np.ndarray) -> torch.Tensor:
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127.5) / 128.0


def test_all_three_stages_equal_the_original(weights):
    weights("mtcnn")
    nets, golden = load_mtcnn(), np.load(GOLDEN)

    prob, offsets = nets.pnet(prepared(pictures(2, 48)[:, :37]))
    np.testing.assert_allclose(prob, golden["pnet_prob"], atol=1e-6)
    np.testing.assert_allclose(offsets, golden["pnet_offsets"], atol=1e-5)

    prob, offsets = nets.rnet(prepared(pictures(3, 24)))
    np.testing.assert_allclose(prob, golden["rnet_prob"], atol=1e-6)
    np.testing.assert_allclose(offsets, golden["rnet_offsets"], atol=1e-5)

    prob, offsets, points = nets.onet(prepared(pictures(3, 48)))
    np.testing.assert_allclose(prob, golden["onet_prob"], atol=1e-6)
    np.testing.assert_allclose(offsets, golden["onet_offsets"], atol=1e-5)
    np.testing.assert_allclose(points[..., 0], golden["onet_points"][:, :5], atol=1e-5)
    np.testing.assert_allclose(points[..., 1], golden["onet_points"][:, 5:], atol=1e-5)


def test_dense_layers_read_columns_first():
    """One lit cell of the last feature map must reach the dense layer at `column * 3 * 64 + row * 64 + channel`."""
    net = RNet().eval().requires_grad_(False)
    seen = {}
    net.dense4.register_forward_hook(lambda module, args, out: seen.update(flat=args[0]))
    net.prelu3.register_forward_hook(lambda module, args, out: torch.zeros_like(out).index_put_(_cell(2, 1, 5), one))
    one = torch.tensor(1.0)
    net(torch.zeros(1, 3, 24, 24))
    assert seen["flat"].argmax().item() == 1 * 3 * 64 + 2 * 64 + 5


def _cell(row: int, column: int, channel: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor([i]) for i in (0, channel, row, column))


def test_a_window_of_a_large_picture_is_judged_as_if_it_were_cut_out(weights):
    weights("mtcnn")
    pnet = load_mtcnn().pnet
    x = prepared(pictures(1, 48))
    prob, offsets = pnet(x)
    row, column = 7, 11
    alone, alone_offsets = pnet(x[:, :, 2 * row : 2 * row + 12, 2 * column : 2 * column + 12])
    torch.testing.assert_close(prob[0, row, column], alone[0, 0, 0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(offsets[0, :, row, column], alone_offsets[0, :, 0, 0], atol=1e-6, rtol=1e-5)


def test_weights_of_another_shape_are_refused():
    from merkit.errors import WeightError

    with pytest.raises(WeightError, match="does not fit RNet"):
        adopt(RNet(), {"conv1.weight": torch.zeros(1)}, Path("rnet.pt"))
