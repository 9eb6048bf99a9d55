"""Mixup over streams and answers, mixup of words, and how steps are put together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from augmented_batches import EMOTION, SPECS, batch_of, faces, pictures, spectrograms
from torch import nn

from merkit.data.augment import (
    BrightnessContrast,
    Chain,
    CutMix3D,
    FirstOf,
    Flip,
    Mixup,
    Rotation,
    SpecAugment,
    WordMixup,
    unit_range,
)
from merkit.data.batch import Batch
from merkit.errors import ConfigError
from merkit.models.classifier import Outputs
from merkit.models.losses import build_loss
from merkit.training.objective import Objective

LENGTHS = {"speech": [9, 4, 0, 7, 9, 2], "face": [2, 3, 3, 0, 1, 3], "text": [1, 5, 2, 4, 5, 0]}


def clips(**lengths: list[int]) -> Batch:
    """Three streams, with bytes for faces, as a run over all modalities has them."""
    lengths = {**LENGTHS, **lengths}
    generator = torch.Generator().manual_seed(2)
    x = {name: torch.rand(len(n), max(n), 5, generator=generator) for name, n in lengths.items()}
    shape = len(lengths["face"]), max(lengths["face"]), 12
    x["face"] = torch.randint(1, 256, shape, generator=generator, dtype=torch.uint8)
    return batch_of(lengths, x)


def augmented(step, batch: Batch, seed: int = 0) -> Batch:
    torch.manual_seed(seed)
    return step(batch, SPECS)


def same(a: Batch, b: Batch) -> bool:
    pairs = [(a.tokens[name].x, b.tokens[name].x) for name in a.tokens] + [
        (a.targets[n], b.targets[n]) for n in a.targets
    ]
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("per", ["clip", "batch"])
def test_streams_and_answers_of_a_pair_are_mixed_with_one_weight(per: str) -> None:
    batch = clips()
    out = augmented(Mixup(alpha=0.5, per=per), batch, 3)
    torch.manual_seed(3)
    partner = torch.randperm(6).numpy()
    hot = np.eye(7)[batch.targets["emotion"].numpy()]
    weights = []
    for i, j in enumerate(partner):
        if i == j or batch.targets["emotion"][i] == batch.targets["emotion"][j]:
            continue
        weight = float(out.targets["emotion"][i, batch.targets["emotion"][i]])
        weights.append(weight)
        np.testing.assert_allclose(out.targets["emotion"][i], weight * hot[i] + (1 - weight) * hot[j], atol=1e-6)
        for name, lengths in LENGTHS.items():
            x = unit_range(batch.tokens[name].x)[:, 0].double().numpy()
            mixed, n, m = out.tokens[name].x[i, 0].numpy(), lengths[i], lengths[j]
            both, longer = min(n, m), max(n, m)
            np.testing.assert_allclose(mixed[:both], (weight * x[i] + (1 - weight) * x[j])[:both], atol=1e-6)
            # what only one of the two has is there whole
            np.testing.assert_allclose(mixed[both:longer], x[i if n > m else j, both:longer], atol=1e-7)
            assert not mixed[longer:].any() and int(out.tokens[name].mask[i].sum()) == longer
    assert len(weights) > 2 and (len({round(w, 4) for w in weights}) == 1) == (per == "batch")


def test_one_weight_for_a_batch_takes_nothing_away_from_it() -> None:
    batch = clips(speech=[9] * 6, face=[3] * 6, text=[5] * 6)
    out = augmented(Mixup(per="batch"), batch)
    for name, tokens in batch.tokens.items():
        torch.testing.assert_close(out.tokens[name].x.sum(0), unit_range(tokens.x).sum(0))
    torch.testing.assert_close(out.targets["liking"].sum(0), batch.targets["liking"].sum(0))
    counts = torch.bincount(batch.targets["emotion"], minlength=7).float()
    torch.testing.assert_close(out.targets["emotion"].sum(0), counts)


def test_bytes_are_mixed_as_shares_of_one() -> None:
    batch, floats = faces([3, 2, 3, 1], bytes_=True), faces([3, 2, 3, 1])
    one, other = augmented(Mixup(), batch), augmented(Mixup(), floats)
    torch.testing.assert_close(one.tokens["face"].x, other.tokens["face"].x)
    assert one.tokens["face"].x.max() <= 1 and batch.tokens["face"].x.dtype == torch.uint8
    assert torch.equal(batch.tokens["face"].x, faces([3, 2, 3, 1], bytes_=True).tokens["face"].x)


def test_words_are_mixed_as_mixup_does_and_only_where_they_are_all_there_is() -> None:
    text = clips().tokens["text"]
    batch = replace(clips(), tokens={"text": text})
    assert same(augmented(WordMixup(0.7), batch), augmented(Mixup(0.7), batch))
    with pytest.raises(ConfigError, match="answers of speech, face"):
        WordMixup()(clips(), SPECS)
    with pytest.raises(ConfigError, match="answers of speech, text"):
        CutMix3D()(clips(), SPECS)
    for step in (Mixup(), CutMix3D(), WordMixup(stream="face")):
        alone = replace(clips(), tokens={"face": clips().tokens["face"]})
        with pytest.raises(ConfigError, match="stand alone"):
            step(replace(alone, context=torch.zeros(6, 1, dtype=torch.long)), SPECS)
        with pytest.raises(ConfigError, match="stand alone"):
            step(alone, [replace(EMOTION, per_entity=True)])


def test_mixup_is_asked_first_and_cutmix_else() -> None:
    batch = faces([2] * 8, side=8, bytes_=True)
    step = FirstOf((Mixup(prob=0.4), CutMix3D(prob=0.5)))
    kinds = {"mixed": 0, "cut": 0, "as it was": 0}
    for seed in range(400):
        out = augmented(step, batch, seed)
        x = out.tokens["face"].x
        kinds["mixed" if x.is_floating_point() else "as it was" if out is batch else "cut"] += 1
        if not x.is_floating_point():  # never one on top of the other
            own = pictures(batch)
            assert all(any(bool((p == q).all()) for q in own[:, 0, 0, 0]) for p in pictures(out)[:, 0, 0, 0])
    assert abs(kinds["mixed"] - 160) < 40 and abs(kinds["cut"] - 120) < 40 and abs(kinds["as it was"] - 120) < 40


def test_a_chain_is_its_steps_in_order_and_leaves_the_batch_alone() -> None:
    batch = faces([4, 3, 0], bytes_=True)
    steps = (Flip(), BrightnessContrast("face", 0.5, 0.5), Rotation(), CutMix3D())
    torch.manual_seed(1)
    wanted = batch
    for step in steps:
        wanted = step(wanted, SPECS)
    state = np.random.get_state()[1].copy()
    assert same(augmented(Chain(steps), batch, 1), wanted) and same(batch, faces([4, 3, 0], bytes_=True))
    assert not same(augmented(Chain(steps), batch, 2), wanted)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # torch's numbers alone
    assert wanted.ids == batch.ids and torch.equal(wanted.tokens["face"].mask, batch.tokens["face"].mask)


class Seen(nn.Module):
    """A model that remembers the batch it was asked about."""

    def outputs(self, batch: Batch) -> Outputs:
        self.batch = batch
        x = batch.tokens["speech"].x[:, 0].sum(1)[:, :7]
        return Outputs(logits={"emotion": x}, auxiliary={}, embedding=x, present={}, attention={})


def test_evaluation_sees_the_batch_itself() -> None:
    batch, model = spectrograms([30, 20], bands=16), Seen()
    objective = Objective([EMOTION], {"emotion": build_loss(EMOTION)}, augment=Chain((SpecAugment(), Mixup())))
    objective.eval()
    objective(model, batch)
    assert model.batch is batch
    objective.train()
    objective(model, batch)
    assert not torch.equal(model.batch.tokens["speech"].x, batch.tokens["speech"].x)
    assert model.batch.targets["emotion"].shape == (2, 7)


def test_what_cannot_be_is_refused() -> None:
    for bad in ({"alpha": 0.0}, {"prob": 1.1}, {"per": "token"}):
        for kind in (Mixup, WordMixup):
            with pytest.raises(ConfigError):
                kind(**bad)
