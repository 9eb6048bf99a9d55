"""Ragged sequences against torch's own encoder on padded ones: answers, gradients, attention, and how rows are grouped."""

import numpy as np
import pytest
import torch
from torch import nn

from merkit.errors import ConfigError
from merkit.models.ragged import RaggedEncoder, RaggedLayer, RaggedRows


def reference(encoder: RaggedEncoder, width: int, heads: int, inner: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(width, heads, inner, dropout=0.0, batch_first=True)
    theirs = nn.TransformerEncoder(layer, len(encoder.layers), enable_nested_tensor=False)
    with torch.no_grad():
        for one in theirs.layers:
            for parameter in one.parameters():
                parameter.normal_(0, 0.3)
        for ours, one in zip(encoder.layers, theirs.layers, strict=True):
            ours.load_torch(one)
    return theirs


@pytest.mark.parametrize("lengths", [[5], [1, 1, 1], [7, 2, 30, 2, 1], [200, 3, 150, 149, 2]])
def test_answers_and_gradients_equal_torch_on_padded_sequences(lengths):
    torch.manual_seed(0)
    encoder = RaggedEncoder(16, 2, heads=4, feedforward=24, dropout=0.0)
    theirs = reference(encoder, 16, 4, 24)
    rng = np.random.default_rng(1)
    sequence = torch.from_numpy(rng.permutation(np.repeat(np.arange(len(lengths)), lengths)))
    x = torch.randn(len(sequence), 16, requires_grad=True)
    # the first and the last row of every sequence are asked about, in an order of its own
    ends = [torch.nonzero(sequence == i).flatten()[[0, -1]] for i in range(len(lengths))]
    wanted = torch.cat(ends)[torch.from_numpy(rng.permutation(2 * len(lengths)))].unique()
    answers, _ = encoder(x, RaggedRows.of(sequence, wanted, 16))

    padded = nn.utils.rnn.pad_sequence([x[sequence == i] for i in range(len(lengths))], batch_first=True)
    hidden = torch.arange(padded.shape[1]) >= torch.tensor(lengths)[:, None]
    whole = torch.empty_like(x)
    out = theirs(padded, src_key_padding_mask=hidden)
    for i, n in enumerate(lengths):
        whole = whole.index_put((torch.nonzero(sequence == i).flatten(),), out[i, :n])
    torch.testing.assert_close(answers, whole[wanted], atol=2e-5, rtol=1e-5)

    push = torch.randn_like(answers)
    (ours_grad,) = torch.autograd.grad((answers * push).sum(), x)
    (their_grad,) = torch.autograd.grad((whole[wanted] * push).sum(), x)
    torch.testing.assert_close(ours_grad, their_grad, atol=2e-4, rtol=1e-4)


def test_sequences_of_one_length_are_not_masked_and_nearly_equal_ones_share_a_group():
    def groups(lengths: list[int], width: int) -> list[tuple[int, int, bool]]:
        sequence = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        first = torch.tensor([0, *np.cumsum(lengths)[:-1]])
        return [(*group.rows.shape, group.real is not None) for group in RaggedRows.of(sequence, first, width).groups]

    assert groups([20, 20, 20], 512) == [(3, 20, False)]
    assert groups([30, 20, 25], 512) == [(3, 30, True)]  # cheaper than a start each
    assert groups([500, 20, 497], 512) == [(2, 500, True), (1, 20, False)]
    assert groups([500, 20, 60], 512) == [(1, 500, False), (2, 60, True)]


def test_attention_adds_up_to_one_and_says_what_was_looked_at():
    torch.manual_seed(0)
    layer = RaggedLayer(8, heads=2).eval()
    sequence = torch.tensor([0, 0, 1, 1, 1])
    rows = RaggedRows.of(sequence, torch.tensor([1, 4]), 8)
    x = torch.randn(5, 8)
    _, (looked,) = layer(x, rows, last=True, weights=True)
    assert torch.allclose(looked.sum(-1), torch.ones(2, 1), atol=1e-6)
    # the values of a token that is looked at by w move the answer by w: compare with what is attended
    with torch.no_grad():
        q, k = layer.query(x).view(5, 2, 4), layer.memory(x)[:, :8].view(5, 2, 4)
        expected = torch.stack([(q[4, h] @ k[2:, h].T / 2).softmax(-1) for h in range(2)]).mean(0)
    group = rows.groups[0]
    place = group.rows.tolist().index([2, 3, 4])
    torch.testing.assert_close(looked[place, 0], expected, atol=1e-6, rtol=1e-5)


def test_dropout_acts_in_training_alone_and_attention_dropout_is_checked():
    encoder = RaggedEncoder(8, 1, dropout=0.5)
    rows = RaggedRows.of(torch.tensor([0, 0]), torch.tensor([0, 1]), 8)
    x = torch.randn(2, 8)
    assert not torch.equal(encoder(x, rows)[0], encoder(x, rows)[0])
    encoder.eval()
    assert torch.equal(encoder(x, rows)[0], encoder(x, rows)[0])
    dropped = RaggedEncoder(8, 1, dropout=0.0, attention_dropout=0.5).train()
    assert not torch.equal(dropped(x, rows)[0], dropped(x, rows)[0])
    with pytest.raises(ConfigError, match="attention_dropout"):
        RaggedLayer(8, attention_dropout=1.0)
