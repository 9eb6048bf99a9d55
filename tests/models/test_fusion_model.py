"""The model of every study, part by part: entities, precision, late fusion, standardiser, modality dropout, bad input."""

import numpy as np
import pytest
import torch
from made_models import CLIPS, CONTEXTS, EMOTION, SOCIAL, WIDTHS, batch_of, model_of, table

from merkit.data import Batch, ClipTable, TokenColumn, Tokens
from merkit.errors import ConfigError
from merkit.models import FUSIONS, FusionModel, build_loss
from merkit.models.streams import centre_and_scale
from merkit.schema import TargetSpec


@pytest.mark.parametrize("context", [("none", "gru"), ("streams", "attention"), ("fused", "gru")], ids="+".join)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_entities_are_answered_as_clips_of_their_own(fusion: str, context) -> None:
    """Persons at any place, absent ones in between, and a text stream that belongs to the clip as a whole."""
    person = TargetSpec("person", "multi_label", ("kind", "tense"), per_entity=True)
    model = model_of(fusion, context, ("text", "face"), (EMOTION, person))
    generator = torch.Generator().manual_seed(2)
    face = Tokens(torch.randn(2, 3, 4, 3, generator=generator), torch.rand(2, 3, 4, generator=generator) < 0.6)
    face.mask[0, 1] = False
    face.mask[0, 2, 0] = face.mask[0, 0, 0] = face.mask[1, 0, 0] = face.mask[1, 1, 0] = True
    face.mask[1, 2] = False
    text = Tokens(torch.randn(2, 1, 2, 5, generator=generator), torch.ones(2, 1, 2, dtype=torch.bool))
    out = model.outputs(Batch(("a", "b"), 2, {"text": text, "face": face}))
    assert out.logits["emotion"].shape == (2, 3) and out.logits["person"].shape == (2, 3, 2)
    there = face.mask.any(-1)
    assert not out.logits["person"][~there].any() and out.logits["person"][there].any(-1).all()
    assert out.auxiliary["face"]["person"].shape == (2, 3, 2)
    if context[0] == "none":  # with context, a clip of one person is another dialogue
        for clip, entity in there.nonzero().tolist():
            alone = {
                "text": Tokens(text.x[clip : clip + 1], text.mask[clip : clip + 1]),
                "face": Tokens(
                    face.x[clip : clip + 1, entity : entity + 1], face.mask[clip : clip + 1, entity : entity + 1]
                ),
            }
            got = model(Batch(("x",), 1, alone))["person"][0, 0]
            torch.testing.assert_close(got, out.logits["person"][clip, entity], atol=1e-5, rtol=1e-4)
    second = {name: Tokens(t.x[1:], t.mask[1:]) for name, t in (("text", text), ("face", face))}
    torch.testing.assert_close(
        model(Batch(("b",), 1, second))["person"][0], out.logits["person"][1], atol=1e-5, rtol=1e-4
    )
    if context[0] == "fused":
        return
    # and the order of persons says nothing (after fusion, codes for places run through all tokens of the clip)
    turned = Tokens(face.x.flip(1), face.mask.flip(1))
    back = model(Batch(("a", "b"), 2, {"text": text, "face": turned}))
    torch.testing.assert_close(back["person"].flip(1), out.logits["person"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("context", CONTEXTS, ids="+".join)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_half_precision_takes_a_step_close_to_that_of_single_precision(fusion: str, context) -> None:
    clips, losses = table(), []
    batch = batch_of(clips, range(CLIPS), context=context[0])
    for half in (False, True):
        model = model_of(fusion, context).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = model(batch)
        loss = sum(
            build_loss(spec)(out[spec.name], batch.targets[spec.name], batch.valid[spec.name])
            for spec in (EMOTION, SOCIAL)
        )
        loss.backward()
        losses.append(loss.item())
        assert loss.dtype == torch.float32
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert losses[1] == pytest.approx(losses[0], rel=0.03)


def test_late_fusion_adds_what_each_present_modality_says() -> None:
    clips = table()
    model = model_of("concat", late=True)
    batch = batch_of(clips, range(CLIPS), context="none")
    out = model.outputs(batch)
    model.late = False
    joint = model.outputs(batch)
    for name, logit in out.logits.items():
        said = sum(out.auxiliary[m][name] for m in WIDTHS)
        torch.testing.assert_close(logit, joint.logits[name] + said)
    for m in WIDTHS:
        assert torch.equal(out.present[m], batch.tokens[m].mask.any(-1).any(-1))
        assert not out.auxiliary[m]["emotion"][~out.present[m]].any()


def test_the_standardiser_is_mean_and_deviation_of_the_tokens_it_is_given() -> None:
    model, clips = model_of("concat"), table()
    for name, column in clips.streams.items():
        layer = model.projections[name]
        np.testing.assert_allclose(layer.centre, column.x.mean(0), rtol=1e-5)
        np.testing.assert_allclose(layer.scale, column.x.std(0), rtol=1e-5)
    flat = TokenColumn.one_per_clip(np.full((5, 3), 7.0))
    layer.fit(flat.x)
    assert layer.centre.tolist() == [7.0] * 3 and layer.scale.tolist() == [1.0] * 3
    state = model.state_dict()
    assert "projections.text.centre" in state and "projections.text.scale" in state


@pytest.mark.parametrize("unit", [1e-9, 1e-7, 1.0, 1e6])
def test_features_in_small_units_are_no_constants(unit: float) -> None:
    x = np.random.default_rng(0).normal(size=(100, 3)) * unit
    x[:, 1] = 0.3 * unit  # this one is
    centre, scale = centre_and_scale(x)
    np.testing.assert_allclose(centre, x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(scale, [x[:, 0].std(), 1.0, x[:, 2].std()], rtol=1e-9)


def test_shifted_and_scaled_features_give_the_same_answers_after_fitting() -> None:
    clips = table()
    moved = {name: column.x * 50 - 7 for name, column in clips.streams.items()}
    other = ClipTable(
        "moved",
        clips.ids,
        clips.split,
        {
            name: TokenColumn(moved[name], column.offsets, column.clip, column.entity)
            for name, column in clips.streams.items()
        },
        clips.targets,
    )
    model = model_of("modality_attention")
    want = model(batch_of(clips, range(6), context="none"))["emotion"]
    model.fit_standardiser(other.streams)
    torch.testing.assert_close(model(batch_of(other, range(6), context="none"))["emotion"], want, atol=1e-4, rtol=1e-4)


def test_modality_dropout_takes_whole_modalities_at_its_rate_and_never_the_last() -> None:
    from merkit.models.streams import drop_modalities

    rows, rate = 20_000, 0.3
    torch.manual_seed(0)
    had = torch.rand(rows, 3) < 0.7
    streams = {name: Tokens(torch.ones(rows, 2, 1), had[:, i, None].expand(-1, 2)) for i, name in enumerate(WIDTHS)}
    dropped = drop_modalities(streams, rate)
    kept = torch.stack([dropped[name].present for name in WIDTHS], 1)
    assert not (kept & ~had).any()
    assert torch.equal(kept.any(1), had.any(1))
    for name in WIDTHS:
        assert torch.equal(dropped[name].mask.any(1), dropped[name].mask.all(1))
    for many in (1, 2, 3):
        among = had.sum(1) == many
        # each stays unless its own draw says so, and the best draw stays always
        want = 1 - rate if many == 0 else (many * (1 - rate) + rate**many) / many
        share = kept[among].sum() / (many * among.sum())
        assert share.item() == pytest.approx(want, abs=0.02)


def test_modality_dropout_is_for_training_alone() -> None:
    clips = table(complete=True)
    model = model_of("concat", modality_dropout=0.9)
    batch = batch_of(clips, range(8), context="none")
    assert torch.equal(model(batch)["emotion"], model(batch)["emotion"])
    assert not torch.equal(model.train()(batch)["emotion"], model(batch)["emotion"])
    assert not all(present.all() for present in model.outputs(batch).present.values())


@pytest.mark.parametrize("pooling", ["max", "mean_max", "attention", "fan_relation", "last"])
@pytest.mark.parametrize("context", [("none", "gru"), ("streams", "gru"), ("fused", "attention")], ids="+".join)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_other_poolings_and_a_hidden_layer_fit_every_family(fusion: str, context, pooling: str) -> None:
    model = model_of(fusion, context, pooling=pooling, hidden=6)
    out = model.outputs(batch_of(table(), range(5), context=context[0]))
    assert out.embedding.shape == (5, 6) and torch.isfinite(out.logits["mood"]).all()


def test_rows_that_are_only_context_are_not_paid_for_without_context() -> None:
    clips = table()
    model = model_of("concat", auxiliary=False, late=False)
    seen = []
    model.projections["text"].register_forward_hook(lambda _, given, out: seen.append(len(given[0].x)))
    model(batch_of(clips, [3]))
    assert seen == [1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fusion": "sum"}, "concat"),
        ({"pooling": "median"}, "mean_max"),
        ({"context": "before"}, "streams"),
        ({"context": "fused", "context_kind": "rnn"}, "lstm"),
        ({"fusion_params": {"rank": 3}}, "no parameter 'rank'"),
        ({"widths": {"text.glove": 3}}, "dots"),
        ({"widths": {}}, "at least one"),
    ],
)
def test_a_wrong_model_is_refused_in_words(options: dict, says: str) -> None:
    widths = options.pop("widths", WIDTHS)
    with pytest.raises(ConfigError, match=says):
        FusionModel(widths, [EMOTION], **options)


def test_a_batch_without_one_of_the_modalities_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="no face"):
        model_of("concat")(batch_of(table(), [0], ("text", "speech"), "none"))
