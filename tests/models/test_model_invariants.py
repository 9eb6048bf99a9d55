"""What must hold for the model of every study: five families, every kind of context, one modality or three."""

import itertools

import pytest
import torch
from made_models import CLIPS, CONTEXTS, EMOTION, SOCIAL, SUBSETS, WIDTHS, batch_of, model_of, table
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from merkit.data import Batch, Tokens
from merkit.models import FUSIONS, FusionModel, build_loss


def spoilt(tokens: Tokens) -> Tokens:
    """Padded further, with large numbers under every False mask."""
    x = F.pad(tokens.x, (0, 0, 0, 3))
    mask = F.pad(tokens.mask, (0, 3))
    return Tokens(torch.where(mask[..., None], x, 1e6), mask)


every = pytest.mark.parametrize(
    ("fusion", "context", "modalities"),
    [(f, c, m) for f in FUSIONS for c in CONTEXTS for m in (("text",), tuple(WIDTHS))],
    ids=lambda part: "+".join(part) if isinstance(part, tuple) else part,
)


most = pytest.mark.parametrize(
    ("fusion", "context", "modalities"),
    [*((f, c, tuple(WIDTHS)) for f in FUSIONS for c in CONTEXTS), *((f, CONTEXTS[0], ("text",)) for f in FUSIONS)],
    ids=lambda part: "+".join(part) if isinstance(part, tuple) else part,
)


@every
def test_a_clip_is_answered_the_same_alone_in_any_batch_and_in_any_order(fusion: str, context, modalities) -> None:
    model, clips = model_of(fusion, context, modalities), table()
    rows = [7, 0, 13, 2, 20]
    together = model.outputs(batch_of(clips, rows, modalities, context[0]))
    for place, row in enumerate(rows):
        alone = model.outputs(batch_of(clips, [row], modalities, context[0]))
        for name in together.logits:
            torch.testing.assert_close(alone.logits[name][0], together.logits[name][place], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.embedding[0], together.embedding[place], atol=1e-5, rtol=1e-4)


@every
def test_padding_and_what_stands_in_it_changes_nothing(fusion: str, context, modalities) -> None:
    model, clips = model_of(fusion, context, modalities), table()
    batch = batch_of(clips, range(8), modalities, context[0])
    want = model(batch)
    for chosen in [*([name] for name in modalities), list(modalities)]:
        tokens = {name: spoilt(t) if name in chosen else t for name, t in batch.tokens.items()}
        got = model(Batch(batch.ids, batch.size, tokens, batch.context, batch.position))
        for name in want:
            torch.testing.assert_close(got[name], want[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("context", [("none", "gru"), ("streams", "lstm"), ("fused", "attention")], ids="+".join)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_not_even_nan_under_the_mask_reaches_an_answer_or_a_gradient(fusion: str, context) -> None:
    model, clips = model_of(fusion, context).train(), table()
    batch = batch_of(clips, range(CLIPS), context=context[0])
    tokens = {n: Tokens(t.x.masked_fill(~t.mask[..., None], torch.nan), t.mask) for n, t in batch.tokens.items()}
    out = model.outputs(Batch(batch.ids, batch.size, tokens, batch.context, batch.position))
    sum(logit.square().sum() for logit in out.logits.values()).backward()
    assert all(torch.isfinite(logit).all() for logit in out.logits.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@every
def test_every_parameter_gets_a_gradient(fusion: str, context, modalities) -> None:
    model, clips = model_of(fusion, context, modalities).train(), table()
    out = model.outputs(batch_of(clips, range(CLIPS), modalities, context[0]))
    losses = [logit.square().sum() for logit in out.logits.values()]
    losses += [logit.square().sum() for said in out.auxiliary.values() for logit in said.values()]
    sum(losses).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@every
def test_saved_and_loaded_it_is_identical(fusion: str, context, modalities, tmp_path) -> None:
    model, clips = model_of(fusion, context, modalities), table()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    options = {"width": 8, "dropout": 0.0, "auxiliary": True, "late": True}
    widths = {name: WIDTHS[name] for name in modalities}
    other = FusionModel(
        widths, (EMOTION, SOCIAL), fusion=fusion, context=context[0], context_kind=context[1], **options
    ).eval()
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    batch = batch_of(clips, range(6), modalities, context[0])
    for name, logit in model(batch).items():
        assert torch.equal(other(batch)[name], logit)


@most
def test_it_overfits_eight_clips(fusion: str, context, modalities) -> None:
    clips = table(complete=True)
    model = model_of(fusion, context, modalities, (EMOTION,), auxiliary=False, late=False).train()
    batch, loss = batch_of(clips, range(8), modalities, context[0]), build_loss(EMOTION)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        now = loss(model(batch)["emotion"], batch.targets["emotion"], batch.valid["emotion"])
        if now < 0.05:
            break
        optimiser.zero_grad()
        now.backward()
        optimiser.step()
    assert now < 0.05
    assert torch.equal(model.eval()(batch)["emotion"].argmax(-1), batch.targets["emotion"])


@most
def test_the_same_seed_makes_the_same_step(fusion: str, context, modalities) -> None:
    clips, results = table(), []
    for _ in range(2):
        model = model_of(fusion, context, modalities, dropout=0.3, modality_dropout=0.3).train()
        torch.manual_seed(5)
        out = model(batch_of(clips, range(8), modalities, context[0]))
        sum(logit.sum() for logit in out.values()).backward()
        results.append([*out.values(), *(p.grad for p in model.parameters() if p.grad is not None)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("context", CONTEXTS, ids="+".join)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_subset_of_modalities_gets_its_own_finite_answer(fusion: str, context) -> None:
    model = model_of(fusion, context)
    clips = table(complete=True)
    full = batch_of(clips, [3], context=context[0])
    answers = []
    for subset in SUBSETS:
        tokens = {n: Tokens(t.x, t.mask if n in subset else torch.zeros_like(t.mask)) for n, t in full.tokens.items()}
        answers.append(model(Batch(full.ids, 1, tokens, full.context, full.position))["emotion"])
    assert all(torch.isfinite(answer).all() for answer in answers)
    for one, other in itertools.combinations(answers, 2):
        assert (one - other).abs().max() > 1e-4


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_model_in_the_dialogue_uses_the_neighbours_and_survives_without_them(fusion: str) -> None:
    clips = table(complete=True)
    for context in CONTEXTS[1:]:
        model = model_of(fusion, context)
        inside = model(batch_of(clips, [3]))["emotion"]
        alone = model(batch_of(clips, [3], context="none"))["emotion"]
        assert torch.isfinite(alone).all() and (inside - alone).abs().max() > 1e-4
        itself = Batch(("c",), 1, batch_of(clips, [3], context="none").tokens, torch.tensor([[0]]), torch.tensor([[0]]))
        torch.testing.assert_close(model(itself)["emotion"], alone)
