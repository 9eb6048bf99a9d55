"""Parts of HLM12ERC: shares and heads as published, attention within a clip, voice, pictures and word vectors as one vector."""

from functools import partial

import numpy as np
import pytest
import torch
from tiny_sights_and_sounds import write_image_encoder, write_speech_encoder

from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError
from merkit.models.hlm12erc import (
    MultiHeadedFusion,
    PictureVector,
    SpeechVector,
    StoredFeatures,
    WaveformLayers,
    WordMean,
    heads_of_degree,
    proportional_widths,
)
from merkit.models.losses import AnchorLoss, FocalLoss
from merkit.networks.image_encoder import load_image_encoder
from merkit.networks.speech_pretrained import load_speech_encoder
from merkit.schema import TargetSpec

DRAW = torch.Generator().manual_seed(0)
close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)


def batch_of(size: int) -> Batch:
    return Batch(tuple(map(str, range(size))), size, {})


def frames(x: torch.Tensor, lengths) -> Tokens:
    """`(R, T, D)` with as many real tokens as said, in the shape of a batch."""
    return Tokens(x[:, None], (torch.arange(x.shape[1]) < torch.tensor(lengths)[:, None])[:, None])


def test_shares_and_heads_are_the_published_ones():
    assert proportional_widths([768, 2048, 1536], 512) == [90, 242, 180]
    for total in (7, 64, 512, 1024):
        shares = proportional_widths([50, 2048, 768], total)
        assert sum(shares) == total and min(shares) > 0
    with pytest.raises(ConfigError, match="fusion_width=2"):
        proportional_widths([1, 1, 1], 2)
    assert [heads_of_degree(512, d) for d in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert heads_of_degree(768, 3) == 3  # whatever a comment beside the published key says
    with pytest.raises(ConfigError, match="2 divisors"):
        heads_of_degree(7, 3)


def fused(fusion, vectors: dict[str, torch.Tensor], present: dict[str, list[bool]]):
    tokens = {name: Tokens(x[:, None], torch.tensor(present[name])[:, None]) for name, x in vectors.items()}
    return fusion(tokens)


def test_modalities_of_a_clip_look_at_one_another_and_never_at_another_clip():
    torch.manual_seed(1)
    fusion = MultiHeadedFusion({"text": 5, "speech": 9, "scene": 7}, width=16, heads=4).eval()
    assert list(fusion.shares.values()) == [3, 8, 5]
    x = {name: torch.randn(6, dim, generator=DRAW) for name, dim in (("text", 5), ("speech", 9), ("scene", 7))}
    there = {"text": [True] * 6, "speech": [i % 2 == 0 for i in range(6)], "scene": [i < 4 for i in range(6)]}
    there["text"][5] = False  # clip 5 has nothing at all
    whole = fused(fusion, x, there)
    for i in range(6):
        alone = fused(fusion, {n: v[i : i + 1] for n, v in x.items()}, {n: p[i : i + 1] for n, p in there.items()})
        close(alone.x[0], whole.x[i])
    weights = whole.attention["modalities"]
    close(weights.sum(-1), torch.ones(6, 3))
    assert weights[1, :, 1].abs().max() == 0 and weights[0].min() > 0  # nobody looks at what is absent
    assert torch.isfinite(whole.x).all()
    # what an absent modality holds does not matter; what a present one holds does, for the shares of the others too
    x["speech"] = x["speech"] + 5.0
    moved = (fused(fusion, x, there).x - whole.x).abs()
    assert moved[[1, 3, 5]].max() == 0 and moved[0, :3].max() > 1e-4


def test_attention_is_torchs_over_tokens_then_residual_and_norm():
    torch.manual_seed(2)
    fusion = MultiHeadedFusion({"text": 4, "speech": 4}, width=8, heads=2).eval()
    vectors = {"text": torch.randn(1, 4, generator=DRAW), "speech": torch.randn(1, 4, generator=DRAW)}
    found = fused(fusion, vectors, {"text": [True], "speech": [True]}).x
    shares = [fusion.project[n](v) for n, v in vectors.items()]
    x = torch.stack([fusion.up[n](s) for n, s in zip(vectors, shares, strict=True)], 1)[0]
    q, k, v = (x @ fusion.attention.in_proj_weight.T + fusion.attention.in_proj_bias).chunk(3, -1)
    heads = [((q[:, h] @ k[:, h].T) / 2).softmax(-1) @ v[:, h] for h in (slice(0, 4), slice(4, 8))]  # two heads of four
    attended = torch.cat(heads, -1) @ fusion.attention.out_proj.weight.T + fusion.attention.out_proj.bias
    back = torch.cat([fusion.down["text"](attended[:1]), fusion.down["speech"](attended[1:])], 1)
    close(found, fusion.norm(torch.cat(shares, 1) + back))


def test_stored_features_are_pooled_over_what_is_real():
    reader = StoredFeatures(3, "mean_max").eval()
    train = torch.randn(50, 3, generator=DRAW).numpy() * 4 + 2
    reader.fit(train)
    x = torch.randn(2, 4, 3, generator=DRAW)
    x[0, 2:] = float("nan")
    found, present = reader(frames(x, [2, 0]), batch_of(2))
    scaled = (x[0, :2].numpy() - train.mean(0)) / train.std(0)
    np.testing.assert_allclose(found[0].numpy(), np.concatenate([scaled.mean(0), scaled.max(0)]), atol=1e-5)
    assert present.tolist() == [True, False] and not found[1].any()


def test_samples_go_through_three_layers_and_padding_is_silence():
    torch.manual_seed(3)
    reader = WaveformLayers(0.1, out=4).eval()  # 1600 samples: five tokens
    assert [tuple(p.shape) for p in reader.parameters() if p.ndim == 2] == [(12, 1600), (8, 12), (4, 8)]
    x = torch.randn(3, 7, 320, generator=DRAW)
    found, present = reader(frames(x, [3, 7, 0]), batch_of(3))
    padded = torch.cat([x[0, :3].flatten(), torch.zeros(640)])
    close(found[0], reader.layers(padded))
    close(found[1], reader.layers(x[1, :5].flatten()))
    assert present.tolist() == [True, True, False] and not found[2].any()


def test_stretches_of_sound_look_at_one_another_and_not_at_other_clips():
    torch.manual_seed(4)
    reader = WaveformLayers(0.2, out=6, chunk_s=0.04, degree=3).eval()  # five stretches of two tokens
    x = torch.randn(3, 10, 320, generator=DRAW)
    whole, _ = reader(frames(x, [10, 5, 2]), batch_of(3))
    for i, n in enumerate((10, 5, 2)):
        close(reader(frames(x[i : i + 1], [n]), batch_of(1))[0][0], whole[i])
    changed = x.clone()
    changed[0, 8:] += 3.0  # the last stretch changes what the others bring
    moved, _ = reader(frames(changed, [10, 5, 2]), batch_of(3))
    assert (moved[0] - whole[0]).abs().max() > 1e-4 and torch.equal(moved[1:], whole[1:])
    with pytest.raises(ConfigError, match="chunk_s"):
        WaveformLayers(0.1, chunk_s=1.0)


def test_the_level_of_samples_is_that_of_training():
    reader = WaveformLayers(0.1, out=4)
    x = np.random.default_rng(0).normal(0.3, 0.05, (40, 320)).astype(np.float32)
    reader.fit(x)
    np.testing.assert_allclose(reader.level.numpy(), [x.mean(), x.std()], rtol=1e-4)


def test_states_of_a_speech_encoder_are_averaged_and_their_largest_taken(tmp_path):
    encoder = load_speech_encoder(str(write_speech_encoder(tmp_path / "w")), freeze_layers=0)
    reader = SpeechVector(encoder, "mean_max").eval()
    x = torch.randn(3, 3, 320, generator=DRAW) * 0.1
    with torch.no_grad():
        found, present = reader(frames(x, [3, 1, 0]), batch_of(3))
    for i, n in ((0, 3), (1, 1)):
        (states,) = encoder.encode([x[i, :n].flatten().numpy()])
        np.testing.assert_allclose(found[i], np.concatenate([states.mean(0), states.max(0)]), atol=1e-4)
    assert present.tolist() == [True, True, False] and not found[2].any()
    names = [name for name, _ in reader.named_parameters()]
    assert len(names) == len({id(p) for p in reader.parameters()}) == len(set(names))


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_pictures_of_a_clip_are_encoded_one_by_one_and_averaged(tmp_path, kind):
    encoder = load_image_encoder(str(write_image_encoder(tmp_path / kind, kind)))
    x = torch.randint(0, 256, (3, 3, 3 * 40 * 52), generator=DRAW).to(torch.uint8)
    reader = PictureVector(encoder, (40, 52)).eval()
    with torch.no_grad():
        found, present = reader(frames(x, [3, 1, 0]), batch_of(3))
    for i, n in ((0, 3), (1, 1)):
        own = encoder.encode(x[i, :n].numpy().reshape(n, 40, 52, 3))
        np.testing.assert_allclose(found[i], own.mean(0), atol=1e-4)
    assert present.tolist() == [True, True, False] and not found[2].any()
    reader(frames(x, [3, 1, 0]), batch_of(3))[0].sum().backward()
    assert [name for name, p in reader.named_parameters() if p.requires_grad and p.grad is None] == []
    with pytest.raises(ConfigError, match="trained on 40x52"):
        reader(frames(x[..., :48], [1, 1, 1]), batch_of(3))


def test_a_mosaic_is_looked_at_whole(tmp_path):
    """The published crop kept 1.78 of five frames, which only its shape was tested for."""
    encoder = load_image_encoder(str(write_image_encoder(tmp_path / "r", "resnet")))
    reader = PictureVector(encoder, (60, 16), height=64).eval()
    x = torch.full((1, 1, 60, 16, 3), 9, dtype=torch.uint8)
    with torch.no_grad():
        before = reader(frames(x.reshape(1, 1, -1), [1]), batch_of(1))[0]
        for frame in range(5):  # each of five frames, one under the other, matters
            changed = x.clone()
            changed[:, :, 12 * frame : 12 * frame + 12] = 200
            after = reader(frames(changed.reshape(1, 1, -1), [1]), batch_of(1))[0]
            assert (after - before).abs().max() > 1e-3, frame
        prepared = reader._prepared(x.reshape(1, 60, 16, 3))
    assert prepared.shape == (1, 3, 64, 17)
    mean, deviation = np.array(encoder.processor.image_mean), np.array(encoder.processor.image_std)
    np.testing.assert_allclose(prepared[0, :, 30, 8], (9 / 255 - mean) / deviation, atol=1e-5)


def test_a_frozen_encoder_of_pictures_stays_as_it_is(tmp_path):
    encoder = load_image_encoder(str(write_image_encoder(tmp_path / "r", "resnet")))
    reader = PictureVector(encoder, (8, 8), frozen=True, out=3).train()
    assert not encoder.training and reader.training
    reader(frames(torch.zeros(2, 1, 192, dtype=torch.uint8), [1, 1]), batch_of(2))[0].sum().backward()
    assert [name for name, p in reader.named_parameters() if p.grad is not None] == ["project.weight", "project.bias"]


def test_words_are_averaged_over_those_that_have_a_vector_and_silence_survives():
    vectors = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    x = torch.tensor([[0, 1, 5], [2, 9, 9], [9, 9, 9], [4, 3, 9]]).float()[..., None]
    tokens = frames(x, [3, 1, 0, 2])
    found, present = WordMean(vectors)(tokens, batch_of(4))
    np.testing.assert_allclose(found[0].detach(), vectors[[0, 1, 5]].mean(0), atol=1e-6)
    assert present.tolist() == [True, True, False, True] and not found[2].any()
    # with its dialogue: words of earlier turns count like its own; a limit keeps the last turns
    context, position = torch.tensor([[0, 1, 2, 3]] * 4), torch.arange(4) - torch.arange(4)[:, None]
    talk = Batch(tuple("abcd"), 4, {}, context, position)
    close(WordMean(vectors)(tokens, talk)[0][3], torch.from_numpy(vectors[[0, 1, 5, 2, 4, 3]].mean(0)))
    close(WordMean(vectors, limit=3)(tokens, talk)[0][3], torch.from_numpy(vectors[[2, 4, 3]].mean(0)))


def test_the_published_triplet_is_of_the_first_row_of_each_class():
    rng = np.random.default_rng(5)
    x, label = rng.normal(size=(8, 4)).astype(np.float32), np.array([2, 0, 2, 1, 0, 0, 3, 3])
    valid = np.array([True] * 7 + [False])  # of class 3 one row is known, and class 1 has but one
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    terms = []
    for k, anchor in ((2, 0), (0, 1)):
        s = (1 + unit @ unit[anchor]) / 2
        near = s[(label == k) & (np.arange(8) != anchor)].mean()
        far = s[(label != k) & valid].mean()
        terms.append(-np.log(near / (near + far)))
    found = AnchorLoss()(torch.from_numpy(x), torch.from_numpy(label), torch.from_numpy(valid))
    assert found.item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_focal_with_the_published_alpha_is_the_mean_over_rows_or_their_sum():
    alpha = [9.01, 36.86, 37.27, 5.73, 2.12, 14.63, 8.29]
    spec = TargetSpec("emotion", "single_label", tuple("abcdefg"))
    logit = torch.randn(5, 7, generator=DRAW)
    target, known = torch.tensor([0, 4, 2, 6, 1]), torch.tensor([True, True, True, True, False])
    prob = np.exp(logit.numpy()) / np.exp(logit.numpy()).sum(1, keepdims=True)
    p = prob[np.arange(4), target[:4]]
    terms = np.array(alpha)[target[:4]] * (1 - p) ** 2 * -np.log(p)
    for reduction, wanted in (("mean", terms.mean()), ("sum", terms.sum()), ("weighted_mean", None)):
        found = FocalLoss(spec, gamma=2.0, class_weight=alpha, reduction=reduction)(logit, target, known).item()
        wanted = terms.sum() / np.array(alpha)[target[:4]].sum() if wanted is None else wanted
        assert found == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ConfigError, match="reduction"):
        FocalLoss(spec, reduction="none")
