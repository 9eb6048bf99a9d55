"""The networks of MERC2020 against the published implementation's numbers and against loops over real tokens alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_merc2020 import SMALL as parts
from made_merc2020 import settled, tokens
from safetensors.torch import load_file
from torch import nn

from merkit.data import Tokens
from merkit.errors import ConfigError
from merkit.models.merc2020 import AttentiveBiLSTM, FaceNet, FrameAttention, SpeechNet, WordNet
from merkit.models.merc2020.face import pictures_of
from merkit.models.merc2020.speech import centred
from merkit.models.merc2020.words import sinusoids

GOLDEN = load_file(Path(__file__).parent / "assets" / "merc2020.safetensors")
SMALL = parts["text"]


@pytest.mark.parametrize("mode", ["self", "relation"])
def test_frame_attention_gives_the_published_numbers(mode: str) -> None:
    frames = GOLDEN["in.frames"]
    attention = FrameAttention(frames.shape[-1], mode)
    first = "own" if mode == "self" else "frames.own"
    names = {f"pool.{first}.{kind}": f"fan_{mode}.param.l1.{kind}" for kind in ("weight", "bias")}
    if mode == "relation":
        names |= {f"pool.relation.{kind}": f"fan_{mode}.param.l2.{kind}" for kind in ("weight", "bias")}
    attention.load_state_dict({ours: GOLDEN[theirs] for ours, theirs in names.items()})
    got = attention(frames, torch.ones(frames.shape[:2], dtype=torch.bool))
    torch.testing.assert_close(got, GOLDEN[f"fan_{mode}.out"], atol=1e-5, rtol=1e-5)
    assert attention.width == got.shape[1]


def published() -> AttentiveBiLSTM:
    reader = AttentiveBiLSTM(20, 16, 7).eval()
    prefix = "bilstm_fan.param."
    names = {"attention.l1": "attention.pool.own", "out": "head.linear", "encoder": "encoder"}
    state = {}
    for key, value in GOLDEN.items():
        for theirs, ours in names.items():
            if key.startswith(f"{prefix}{theirs}."):
                state[f"{ours}.{key.removeprefix(f'{prefix}{theirs}.')}"] = value
    reader.load_state_dict(state)
    return reader


def test_bilstm_with_attention_gives_the_published_numbers() -> None:
    frames = GOLDEN["in.frames"]
    feature, logits = published()(frames, torch.ones(frames.shape[:2], dtype=torch.bool))
    torch.testing.assert_close(feature, GOLDEN["bilstm_fan.out.feature"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits, GOLDEN["bilstm_fan.out.logits"], atol=1e-5, rtol=1e-5)


def test_both_directions_read_the_real_frames_and_nothing_else() -> None:
    """Row by row through a cell of its own, backwards from the last real frame."""
    reader, frames = published(), GOLDEN["in.frames"].clone()
    torch.manual_seed(0)
    mask = torch.rand(frames.shape[:2]) < 0.5
    mask[1], mask[2] = True, False
    frames[~mask] = torch.nan
    got, _ = reader(frames, mask)
    for row in range(len(frames)):
        real = frames[row][mask[row]]
        if not len(real):
            assert not got[row].any()
            continue
        states = []
        for suffix, order in (("", 1), ("_reverse", -1)):
            cell = nn.LSTMCell(20, 16)
            cell.load_state_dict({n: getattr(reader.encoder, f"{n}_l0{suffix}").detach() for n in cell.state_dict()})
            state, seen = None, []
            for frame in real[::order] if order == 1 else real.flip(0):
                state = cell(frame[None], state)
                seen.append(state[0][0])
            states.append(torch.stack(seen[::order]))
        both = torch.cat(states, 1)
        weight = (reader.attention.pool.own(both)[:, 0].sigmoid() + 1e-3)[:, None]
        torch.testing.assert_close(got[row], (weight * both).sum(0) / weight.sum(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("frames", [1, 6, 7])
def test_spectrograms_are_centred_by_padding_or_cutting_both_ends(frames: int) -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(10, 9, 2)))
    mask = torch.arange(9) < torch.arange(10)[:, None]
    got, real = centred(x.masked_fill(~mask[..., None], torch.nan), mask, frames, fill=-7.0)
    for row in range(10):
        own, spare = x[row, :row].numpy(), frames - row
        if spare >= 0:
            want = np.pad(own, ((spare // 2, spare - spare // 2), (0, 0)), constant_values=-7.0)
            held = [spare // 2 <= i < spare // 2 + row for i in range(frames)]
        else:
            want, held = own[-spare // 2 :][:frames], [True] * frames
        np.testing.assert_array_equal(got[row], want)
        assert real[row].tolist() == held


def test_speech_sees_the_spectrogram_and_attends_to_columns_that_hold_any_of_it() -> None:
    """By hand: 50 frames in the middle of 100 with 25 before; of four columns of 32 frames, the first three hold some."""
    torch.manual_seed(0)
    net = settled(SpeechNet(7, "tiny", frames=100, hidden=6), tokens(torch.rand(3, 90, 64), [90, 50, 70]))
    x = torch.rand(1, 50, 64)
    feature, logits = net(tokens(x, [50]))
    picture = torch.zeros(1, 1, 64, 100)
    picture[0, 0, :, 25:75] = x[0].T
    columns = net.backbone.features(picture)[0].mean(1).T  # (4, C)
    states, _ = net.recurrent.encoder(columns[None, :3])
    weight = net.recurrent.attention.pool.own(states[0]).sigmoid() + 1e-3
    want = (weight * states[0]).sum(0) / weight.sum()
    torch.testing.assert_close(feature[0], want, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits[0], net.head.linear(want), atol=1e-5, rtol=1e-4)
    assert (net(tokens(x.flip(2), [50]))[0] - feature).abs().max() > 1e-2
    net.fill = 0.5
    assert (net(tokens(x, [50]))[0] - feature).abs().max() > 1e-2


def test_of_a_long_clip_the_middle_is_heard() -> None:
    torch.manual_seed(0)
    net = settled(SpeechNet(7, "tiny", frames=64, hidden=6), tokens(torch.rand(3, 64, 64), [64, 50, 30]))
    x = torch.rand(1, 104, 64)
    torch.testing.assert_close(net(tokens(x, [104]))[1], net(tokens(x[:, 20:84], [64]))[1])


def test_pictures_are_rows_of_pixels_of_three_colours() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    got = pictures_of(torch.from_numpy(picture.reshape(2, -1)))
    for colour, row, column in np.ndindex(3, 5, 5):
        assert got[1, colour, row, column] == pytest.approx(picture[1, row, column, colour] / 255)
    given = torch.from_numpy(picture.reshape(2, -1) / np.float32(255))
    torch.testing.assert_close(pictures_of(given), got)
    for width in (3 * 5 * 5 - 3, 25, 2):
        with pytest.raises(ConfigError, match=f"{width} numbers"):
            pictures_of(torch.zeros(1, width))


@pytest.mark.parametrize("backbone", ["tiny", "x3d_tiny"])
def test_only_real_pictures_are_computed(backbone: str) -> None:
    torch.manual_seed(0)
    net = FaceNet(7, backbone, hidden=6).eval()
    shapes: list[tuple[int, ...]] = []
    net.backbone.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    net(tokens(torch.randint(0, 256, (5, 6, 3 * 32 * 32), dtype=torch.uint8), [2, 0, 6, 2, 1]))
    pictures = [shape[0] * (shape[2] if net.film else 1) for shape in shapes]
    assert sum(pictures) == 2 + 6 + 2 + 1
    # films of one length run together
    assert not net.film or sorted(shape[:3:2] for shape in shapes) == [(1, 1), (1, 6), (2, 2)]


def test_faces_are_standardised_as_imagenet_and_read_in_their_order() -> None:
    torch.manual_seed(0)
    net = settled(FaceNet(7, "tiny", hidden=6), tokens(torch.rand(3, 4, 3 * 32 * 32), [4, 3, 4]))
    x = torch.rand(1, 4, 3 * 32 * 32)
    mask = torch.tensor([[[True, False, True, True]]])
    mean, std = (torch.tensor(part)[:, None, None] for part in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    frames = [net.backbone((x[0, t].view(32, 32, 3).permute(2, 0, 1) - mean)[None] / std) for t in (0, 2, 3)]
    want = net.recurrent(torch.stack(frames, 1), torch.ones(1, 3, dtype=torch.bool))[0]
    torch.testing.assert_close(net(Tokens(x[:, None], mask))[0], want, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("backbone", "mean", "std"), [("lite0", 127 / 255, 128 / 255), ("x3d_tiny", 0.45, 0.225)])
def test_other_backbones_get_what_their_weights_expect(backbone: str, mean: float, std: float) -> None:
    net = FaceNet(7, backbone, hidden=2)
    assert net.mean.flatten().tolist() == pytest.approx([mean] * 3)
    assert net.std.flatten().tolist() == pytest.approx([std] * 3)


def test_uint8_and_float_pictures_are_one_and_the_same() -> None:
    torch.manual_seed(0)
    net = settled(FaceNet(7, "tiny", hidden=6), tokens(torch.rand(3, 4, 3 * 32 * 32), [4, 3, 4]))
    x = torch.randint(0, 256, (2, 3, 3 * 32 * 32), dtype=torch.uint8)
    torch.testing.assert_close(net(tokens(x, [3, 2]))[1], net(tokens(x.float() / 255, [3, 2]))[1], atol=1e-6, rtol=1e-5)


def test_words_look_at_the_words_of_their_own_sentence() -> None:
    """Against torch's own layers on each sentence alone; the published model attended from clip to clip instead."""
    torch.manual_seed(0)
    net = WordNet(3, 8, **SMALL).eval()
    theirs = [nn.TransformerEncoderLayer(8, 2, 24, batch_first=True).eval() for _ in range(2)]
    for layer, reference in zip(net.encoder.layers, theirs, strict=True):
        layer.load_torch(reference)
    x, lengths = torch.randn(4, 6, 8), [6, 1, 3, 2]
    feature, logits = net(tokens(x, lengths))
    for row, length in enumerate(lengths):
        words = x[row : row + 1, :length] + sinusoids(length, 8)
        for layer in theirs:
            words = layer(words)
        torch.testing.assert_close(feature[row], words[0].mean(0), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(logits[row], net.head.linear(words[0].mean(0)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("positions", "tells"), [("sinusoidal", True), ("learned", True), ("none", False)])
def test_the_order_of_words_counts_where_they_have_positions(positions: str, tells: bool) -> None:
    torch.manual_seed(0)
    net, x = WordNet(3, 8, positions=positions, **SMALL).eval(), torch.randn(1, 5, 8)
    apart = (net(tokens(x, [5]))[1] - net(tokens(x.flip(1), [5]))[1]).abs().max()
    assert (apart > 1e-3) if tells else (apart < 1e-5)


def test_a_word_past_the_last_learned_place_shares_it() -> None:
    torch.manual_seed(0)
    net = WordNet(3, 8, positions="learned", max_positions=2, **SMALL).eval()
    x = torch.randn(1, 4, 8)
    # places 1, 2 and 3 are one: to change words among them changes nothing
    torch.testing.assert_close(net(tokens(x, [4]))[1], net(tokens(x[:, [0, 3, 1, 2]], [4]))[1], atol=1e-5, rtol=1e-4)


def test_sinusoids_are_those_of_the_paper() -> None:
    got = sinusoids(50, 10).numpy()
    for place, i in np.ndindex(50, 5):
        angle = place / 10_000 ** (2 * i / 10)
        np.testing.assert_allclose(got[place, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-5)
    assert sinusoids(3, 7).shape == (3, 7)


def test_several_persons_in_a_clip_are_refused() -> None:
    two = Tokens(torch.zeros(1, 2, 3, 8), torch.ones(1, 2, 3) > 0)
    with pytest.raises(ConfigError, match="2 persons"):
        WordNet(3, 8, **SMALL)(two)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="x3d_s"):
        FaceNet(7, "x3d_s", weights="catalogue")
    with pytest.raises(ConfigError, match="relation"):
        FrameAttention(4, "both")
    with pytest.raises(ConfigError, match="no X3D"):
        FaceNet(7, "x3d_l")
