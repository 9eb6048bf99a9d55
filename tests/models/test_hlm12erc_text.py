"""Words behind their dialogue: a dialogue read once says what every prompt read alone says, and nothing of what comes later."""

import json
from dataclasses import replace

import pytest
import torch
from tiny_encoders import write_encoder

from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError
from merkit.models.hlm12erc import DialogueText, TurnVectors, cut_turns, read_together
from merkit.models.hlm12erc.memory import Memory
from merkit.models.hlm12erc.turns import turns_of
from merkit.networks.text_pretrained import load_text_encoder

KINDS = ("gpt2", "bert", "roberta")
LENGTHS = (5, 2, 0, 3, 1, 4, 2)
# two dialogues, of four turns (the third is silent) and of three; the last row is context alone
AROUND = [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [6, 4, 5, -1], [6, 4, 5, -1]]
OWN = [0, 1, 2, 3, 1, 2]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    return {kind: load_text_encoder(str(write_encoder(folder / kind, kind, positions=24))) for kind in KINDS}


def talk(lengths=LENGTHS, clips: int = 6, seed: int = 0) -> Batch:
    """Random words; `lengths` of each row."""
    x = torch.randint(4, 18, (7, 1, max(lengths), 1), generator=torch.Generator().manual_seed(seed)).float()
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])[:, None]
    place = torch.arange(4) - torch.tensor(OWN)[:, None]
    return Batch(tuple("abcdefg"), clips, {"text": Tokens(x, mask)}, torch.tensor(AROUND), place)


def said(encoder, batch: Batch, **options) -> torch.Tensor:
    with torch.no_grad():
        return DialogueText(encoder, **options).eval()(batch.tokens["text"], batch)[0]


def ids_of(batch: Batch, rows) -> list[int]:
    tokens = batch.tokens["text"]
    return [int(i) for row in rows for i in tokens.x[row, 0, :, 0][tokens.mask[row, 0]]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [0, 9, 4])
def test_a_dialogue_read_once_says_what_every_prompt_says_alone(encoders, kind, limit):
    batch = talk()
    together = said(encoders[kind], batch, limit=limit)
    alone = said(encoders[kind], batch, limit=limit, share=False)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert together[[0, 1, 3, 4, 5]].abs().sum(1).min() > 0 and not together[2].any()  # clip 2 says nothing


def test_of_a_model_that_reads_onward_it_is_the_last_state_of_the_prompt(encoders):
    batch, gpt2 = talk(), encoders["gpt2"]
    found = said(gpt2, batch)
    for clip, rows in {1: [0, 1], 3: [0, 1, 3], 5: [6, 4, 5]}.items():
        with torch.no_grad():
            states = gpt2.backbone(input_ids=torch.tensor([ids_of(batch, rows)])).last_hidden_state
        torch.testing.assert_close(found[clip], states[0, -1], atol=1e-5, rtol=1e-5)


def test_of_a_model_that_reads_both_ways_a_turn_looks_at_itself_and_at_earlier_ones(encoders):
    batch, bert = talk(), encoders["bert"]
    found = said(bert, batch)
    begin = bert.tokeniser.tokenizer.cls_token_id
    first = torch.tensor([[begin, *ids_of(batch, [0])]])
    with torch.no_grad():  # the first turn is what the encoder alone makes of it
        torch.testing.assert_close(found[0], bert.backbone(input_ids=first).last_hidden_state[0, 1:].mean(0))
    # the fourth, with a mask written out: [CLS] and five tokens, two, three
    ids = torch.tensor([[begin, *ids_of(batch, [0, 1, 3])]])
    block = [0] * 6 + [1] * 2 + [2] * 3
    mask = torch.tensor([[block[k] <= block[q] for k in range(11)] for q in range(11)])[None, None]
    with torch.no_grad():
        states = bert.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found[3], states[0, 8:].mean(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(said(bert, batch, pooling="last")[3], states[0, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_earlier_turns_matter_and_later_ones_do_not(encoders, kind):
    batch = talk()
    before = said(encoders[kind], batch)
    x = batch.tokens["text"].x.clone()
    x[1, 0, 0, 0] = 4 + (x[1, 0, 0, 0] - 3) % 14
    after = said(encoders[kind], replace(batch, tokens={"text": Tokens(x, batch.tokens["text"].mask)}))
    moved = (after - before).abs().amax(1) > 1e-6
    assert moved.tolist() == [False, True, False, True, False, False]
    # without context an utterance is what it is anywhere
    alone = said(encoders[kind], replace(batch, context=None, position=None))
    torch.testing.assert_close(alone[0], before[0], atol=1e-5, rtol=1e-5)
    assert (alone[3] - before[3]).abs().max() > 1e-3


def test_attention_over_the_whole_prompt_lets_earlier_turns_look_ahead(encoders):
    batch, bert = talk(), encoders["bert"]
    found = said(bert, batch, attention="whole")
    ids = torch.tensor([[bert.tokeniser.tokenizer.cls_token_id, *ids_of(batch, [0, 1, 3])]])
    with torch.no_grad():
        states = bert.backbone(input_ids=ids).last_hidden_state
    torch.testing.assert_close(found[3], states[0, -3:].mean(0), atol=1e-5, rtol=1e-5)
    assert (found[3] - said(bert, batch)[3]).abs().max() > 1e-3


def test_a_dialogue_is_cut_by_whole_turns_and_the_last_always_stays(encoders):
    batch, gpt2 = talk(), encoders["gpt2"]
    found = said(gpt2, batch, limit=5)  # turns of 5, 2, 3: the last two have room
    with torch.no_grad():
        states = gpt2.backbone(input_ids=torch.tensor([ids_of(batch, [1, 3])])).last_hidden_state
    torch.testing.assert_close(found[3], states[0, -1], atol=1e-5, rtol=1e-5)
    short = said(gpt2, batch, limit=3)  # alone over the limit, the first loses its beginning
    with torch.no_grad():
        states = gpt2.backbone(input_ids=torch.tensor([ids_of(batch, [0])[-3:]])).last_hidden_state
    torch.testing.assert_close(short[0], states[0, -1], atol=1e-5, rtol=1e-5)
    assert cut_turns([7], {7: 9}, 3) == [7]


def test_a_dialogue_is_one_sequence_as_long_as_nothing_is_cut():
    batch = talk()
    turns = turns_of(batch, LENGTHS)
    assert turns == [[0], [0, 1], [], [0, 1, 3], [6, 4], [6, 4, 5]]
    reading = read_together(turns)
    assert reading.sequences == [[0, 1, 3], [6, 4, 5]]
    assert reading.sequence == [0, 0, -1, 0, 1, 1] and reading.turn == [0, 1, 0, 2, 1, 2]
    # cut at different places they begin with different turns
    cut = [cut_turns(own, LENGTHS, 5) for own in turns]
    assert cut == [[0], [1], [], [1, 3], [6, 4], [4, 5]] and len(read_together(cut).sequences) == 4


def test_an_answer_does_not_depend_on_who_else_is_in_the_batch(encoders):
    whole = talk()
    for kind in KINDS:
        found = said(encoders[kind], whole)
        few = replace(
            whole, size=1, context=torch.tensor([[1, 2, -1, 0]]), position=torch.tensor([[-3, -2, -1, 0]]),
            tokens={"text": Tokens(whole.tokens["text"].x[[3, 0, 1]], whole.tokens["text"].mask[[3, 0, 1]])},
        )  # fmt: skip
        torch.testing.assert_close(said(encoders[kind], few)[0], found[3], atol=1e-5, rtol=1e-5)


def test_limits_and_encoders_that_cannot_be_are_told(encoders):
    with pytest.raises(ConfigError, match=r"text.limit=99: .* takes up to"):
        DialogueText(encoders["bert"], limit=99)
    with pytest.raises(ConfigError, match="no room for a word"):
        DialogueText(encoders["bert"], limit=1)


def test_a_frozen_encoder_reads_a_clip_once_and_other_weights_read_it_anew(tmp_path):
    folder = str(write_encoder(tmp_path / "bert", "bert", positions=24))
    passes = []

    def text(freeze: int) -> DialogueText:
        made = DialogueText(load_text_encoder(folder, freeze_layers=freeze, training=True)).train()
        made.encoder.backbone.register_forward_hook(lambda *_: passes.append(1))
        return made

    def reads(reader: DialogueText, batch: Batch) -> tuple[torch.Tensor, bool]:
        before = len(passes)
        x, says = reader(batch.tokens["text"], batch)
        assert says.tolist() == [True, True, False, True, True, True]
        return x, len(passes) > before

    frozen = text(-1)
    first, fresh = reads(frozen, talk(seed=7))
    assert fresh and not first.requires_grad
    again, fresh = reads(frozen, talk(seed=7))
    assert not fresh and torch.equal(first, again)  # bit for bit, in training: a frozen encoder drops nothing
    other, fresh = reads(text(-1), talk(seed=7))
    assert not fresh and torch.equal(first, other)  # another run of the same encoder
    assert reads(frozen, talk(seed=8))[1]  # other words

    state = frozen.state_dict()
    name = next(key for key in state if key.endswith("word_embeddings.weight"))
    frozen.load_state_dict({**state, name: state[name] * 3})
    changed, fresh = reads(frozen, talk(seed=7))
    assert fresh and not torch.allclose(changed, first)

    trained = text(0)
    assert reads(trained, talk(seed=7))[1] and reads(trained, talk(seed=7))[1]
    assert reads(trained, talk(seed=7))[0].requires_grad


@pytest.mark.parametrize("kind", ["gru", "lstm", "attention"])
def test_two_storeys_read_each_turn_alone_and_then_the_turns_so_far(encoders, kind):
    torch.manual_seed(0)
    text = TurnVectors(encoders["bert"], kind=kind).eval()
    batch = talk()

    def of(batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            x, says = text(batch.tokens["text"], batch)
        assert says.tolist() == [True, True, False, True, True, True] and not x[2].any()
        return x

    def with_turn(row: int) -> Batch:
        tokens = batch.tokens["text"]
        x = tokens.x.clone()
        x[row] = 4 + (x[row] - 4 + 5) % 14
        return replace(batch, tokens={"text": Tokens(x, tokens.mask)})

    found = of(batch)
    with torch.no_grad():  # what the dialogue adds is added to the turn as the encoder alone reads it
        alone = DialogueText(encoders["bert"]).eval()(batch.tokens["text"], replace(batch, context=None, position=None))
        context = batch.context.masked_fill(batch.position > 0, -1)
        added = text.dialogue(
            torch.cat([alone[0], said_alone(text, batch, 6)]),
            torch.tensor([1, 1, 0, 1, 1, 1, 1]) > 0,
            context,
            batch.position,
        )
    torch.testing.assert_close(found, (alone[0] + added) * alone[1][:, None])
    later, earlier = of(with_turn(3)), of(with_turn(0))
    torch.testing.assert_close(
        later[[0, 1, 4, 5]], found[[0, 1, 4, 5]]
    )  # the fourth turn changes nobody's answer but its own
    assert (later[3] - found[3]).abs().max() > 1e-3
    assert (earlier[[0, 1, 3]] - found[[0, 1, 3]]).abs().amax(1).min() > 1e-4  # the first turn, that of all behind it
    torch.testing.assert_close(earlier[[4, 5]], found[[4, 5]])
    assert (of(with_turn(6))[[4, 5]] - found[[4, 5]]).abs().amax(1).min() > 1e-4  # a row of context alone
    single = text(batch.tokens["text"], replace(batch, context=None, position=None))[0]
    torch.testing.assert_close(single[0], found[0])  # nothing was said before it


def said_alone(text: DialogueText, batch: Batch, row: int) -> torch.Tensor:
    """The vector of a row of context, `(1, D)`, read by itself."""
    tokens = batch.tokens["text"]
    one = Batch(("x",), 1, {"text": Tokens(tokens.x[[row]], tokens.mask[[row]])})
    return DialogueText(text.encoder).eval()(one.tokens["text"], one)[0]


def test_a_frozen_encoder_of_other_heads_or_precision_is_read_anew(tmp_path):
    folders = [write_encoder(tmp_path / name, "bert", positions=24) for name in ("a", "b", "c")]
    (folders[1] / "model.safetensors").write_bytes((folders[0] / "model.safetensors").read_bytes())
    (folders[2] / "model.safetensors").write_bytes((folders[0] / "model.safetensors").read_bytes())
    about = json.loads((folders[1] / "config.json").read_text())
    (folders[1] / "config.json").write_text(json.dumps({**about, "layer_norm_eps": 0.5}))
    batch = talk()
    first, other, copy = (DialogueText(load_text_encoder(str(f), freeze_layers=-1)).eval() for f in folders)

    def read(text: DialogueText) -> torch.Tensor:
        with torch.no_grad():
            return text(batch.tokens["text"], batch)[0]

    with torch.autocast("cpu", torch.bfloat16):
        rough = read(first)
    found = read(first)
    assert rough.dtype != found.dtype or not torch.equal(rough, found)
    first._memory[0]._held.clear()
    assert torch.equal(read(first), found)
    assert (read(other) - found).abs().max() > 1e-3
    held = len(first._memory[0]._held)
    # the same encoder in another folder is found again
    assert torch.equal(read(copy), found) and len(first._memory[0]._held) == held


def test_memory_forgets_the_oldest_when_room_runs_out():
    memory = Memory(room=2 * 3 * 4)
    memory.keep(["a", "b"], torch.arange(6.0).view(2, 3))
    memory.keep(["b", "c"], torch.ones(2, 3))
    assert memory.find(["a"]) is None
    assert memory.find(["c", "b"]).tolist() == [[1, 1, 1], [3, 4, 5]]
