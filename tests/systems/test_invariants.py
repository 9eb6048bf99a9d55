"""What must hold for every system and preset: the suite of docs/architecture.md, section 6, over whole recipes.

A new system adds its cases to `CASES`; nothing else changes. (Metrics against references: tests/evaluation. Resume:
tests/training/test_resume.py. Content of preprocessing: tests/features.)
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_dialogues import made_dialogues, tiny_folder
from safetensors.torch import load_file, save_file
from small_clips import NAMES as QUESTIONS
from small_clips import SIDE, small_clips
from small_scenes import small_scenes

from merkit.config import override
from merkit.data.batch import Batch, Tokens, collate
from merkit.data.context import dialogue_context
from merkit.data.loader import TableBatches, batch_loader
from merkit.data.sampler import EpochBatches
from merkit.data.table import ClipTable, TargetColumn, TokenColumn
from merkit.schema import TargetSpec
from merkit.systems import find_system
from merkit.systems.hlm12erc_prompts import tokenised
from merkit.training.fit import Plan
from merkit.training.module import collect
from merkit.training.optim import parameter_groups

GATED = str(Path(__file__).resolve().parents[2] / "examples" / "gated_fusion.py") + ":GatedFusion"
SMALL = {
    "fusion": ("model.width=12", "trainer.batch_size=8", "trainer.accelerator=cpu"),
    "sse_ft": ("encoder_ffn_embed_dim=16", "encoder_layers=1", "trainer.batch_size=8", "trainer.accelerator=cpu"),
    "emotx": ("hidden_dim=16", "num_heads=4", "feedforward=16", "trainer.batch_size=8", "trainer.accelerator=cpu"),
    "merc2020": (
        "speech_coeff=tiny", "face_coeff=tiny", "speech.frames=32", "speech.hidden=8", "face.hidden=8", "text.layers=1",
        "text.heads=2", "text.feedforward=16", "speech.pretrained=none", "face.pretrained=none", "trainer.batch_size=8",
        "trainer.accelerator=cpu",
    ),
    "tensor_mixer": (
        "width=8", "mixer.patch=2", "mixer.channels=12", "mixer.depth=1", "trainer.batch_size=8", "trainer.accelerator=cpu",
        "trainer.watch=loss",
    ),
    "hlm12erc": (
        "trainer.batch_size=8", "trainer.accelerator=cpu", "feedforward=[{out_features: 12}]", "text.limit=0",
        "modality_dropout=0.1", "fusion_width=16", "fusion_heads=2",
    ),
}  # fmt: skip
UNITS = ("speech_units=7", "unit_width=8", "unit_layers=1")
# MERC2020 over features that others have made: no convolutions, which take long.
FRAMES = ("speech.backbone=none", "cutmix_prob=0")
# A case is a system, or `system:preset`, and changes.
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "concat": ("fusion", ("model.fusion=concat", "model.late=true", "objective.auxiliary=0.3")),
    "concat-pooled": ("fusion", ("model.fusion=concat", "model.pooling=attention", "model.hidden=8")),
    "modality_attention": ("fusion", ("model.fusion=modality_attention",)),
    "tensor": ("fusion", ("model.fusion=tensor",)),
    "cross_modal": ("fusion", ("model.fusion=cross_modal",)),
    "label_query": ("fusion", ("model.fusion=label_query",)),
    "members": ("fusion", ("model.fusion=concat", "model.members=3", "model.late=true")),
    "own": ("fusion", (f"model.fusion={GATED}",)),
    "context-fused": ("fusion", ("model.context=fused", "data.earlier=2", "data.later=1")),
    "context-streams": ("fusion", ("model.context=streams", "data.earlier=-1", "model.context_kind=attention")),
    "sse_ft": ("sse_ft", ()),
    "sse_ft-concat": ("sse_ft", ("inter=concat", "width=8", "cls={text: mean}")),
    "sse_ft-shallow": ("sse_ft", ("inter=none", "head=linear", "cls={text: first}", "self_layers={text: 0}")),
    "sse_ft-one-vs-rest": ("sse_ft", ("target=one_vs_rest", "encoder_layers_cross=1")),
    "sse_ft-pair": ("sse_ft", ("t_only=true", "a_only=true")),
    "sse_ft-single": ("sse_ft", ("v_only=true",)),
    "sse_ft-context": ("sse_ft", ("data.earlier=2", "data.later=1", "cls={text: mean}")),
    "sse_ft-mosei": ("sse_ft:mosei", ("encoder_attention_heads=1",)),
    "sse_ft-bert_like": ("sse_ft:bert_like", ("tune_text=''", "encoder_attention_heads=1", *UNITS)),
    "sse_ft-co_attention": ("sse_ft:co_attention", ("tune_text=''", "encoder_attention_heads=1", *UNITS)),
    "sse_ft-units": ("sse_ft", ("all_in=true", "cls={speech: first}", *UNITS)),
    "sse_ft-context-preset": ("sse_ft:context", ("width=8",)),
    "emotx": ("emotx", ()),
    "emotx-readme": ("emotx:readme", ("pos_weight=auto",)),
    "emotx-paper": ("emotx:paper", ("pos_weight=none", "shuffle_characters=true")),
    "emotx-mlsm-preset": ("emotx:mlsm", ()),
    "emotx-dialogues": ("emotx:dialogues", ()),
    "emotx-1cls": ("emotx", ("model_no=3.0", "loss=multilabel_soft_margin")),
    "emotx-mlsm": ("emotx", ("model_no=5.0", "shuffle_characters=true")),
    "emotx-scene": ("emotx", ("get_char_targets=false",)),
    "emotx-character": ("emotx", ("get_scene_targets=false", "pos_weight=none")),
    "emotx-transformer": ("emotx", ("model_no=transformer",)),
    "emotx-mlp": ("emotx", ("model_no=mlp",)),
    "merc2020-speech": ("merc2020:speech", ()),
    "merc2020-face": ("merc2020:face", ()),
    "merc2020-text": ("merc2020:text", ()),
    "merc2020-multimodal": ("merc2020:multimodal", ()),
    "merc2020-big": ("merc2020:multimodal_big", (*FRAMES, "lam=0")),
    "merc2020-speech-small": ("merc2020:speech_small", FRAMES),
    "merc2020-face-small": ("merc2020:face_small", FRAMES),
    "merc2020-text-small": ("merc2020:text_small", ("text.positions=learned",)),
    "merc2020-small": ("merc2020:multimodal_small", (*FRAMES, "attention=relation")),
    "tensor_mixer": ("tensor_mixer:tensor_mixer", ()),
    "tensor_mixer-two": ("tensor_mixer", ("ones=append", "cls_loss=kl", "reg_loss=0.5*mse + 0.5*l1")),
    "tensor_mixer-tensor": ("tensor_mixer:tensor", ("hidden=8",)),
    "tensor_mixer-low_rank": ("tensor_mixer:low_rank", ()),
    "tensor_mixer-concat": ("tensor_mixer:concat", ("pooling={text: first}",)),
    "tensor_mixer-cross_attention": ("tensor_mixer:cross_attention", ()),
    "tensor_mixer-contrastive": ("tensor_mixer:contrastive", ()),
    "tensor_mixer-speech": ("tensor_mixer:speech_both", ()),
    "hlm12erc-text": ("hlm12erc:text", ("text.encoder=tiny:bert",)),
    "hlm12erc-turns": ("hlm12erc:text", ("text.encoder=tiny:bert", "text.over_turns=gru")),
    "hlm12erc-attention": ("hlm12erc:offline", ("text.encoder=tiny:gpt2",)),
    "hlm12erc-utterance": (
        "hlm12erc:utterance",
        ("text.encoder=tiny:gpt2", "speech.encoder=stored", "contrast=anchor", "loss=dice + 0.1*cross_entropy"),
    ),
}
cases = pytest.mark.parametrize("case", sorted(CASES))


def system_of(case: str) -> str:
    return CASES[case][0].split(":")[0]


def own_changes(case: str) -> list[str]:
    """The case's changes; encoders that they name as `tiny:bert` are made when somebody asks for them."""
    named = [change.partition("tiny:") for change in CASES[case][1]]
    return [before + (tiny_folder(kind) if tiny else "") for before, tiny, kind in named]


MODALITIES = ("text", "speech", "face")
# What the single-stream baselines judge; they look at nothing else.
JUDGED = {"emotx-transformer": {"scene", "face"}, "emotx-mlp": {"scene", "face"}}


def corpus_for(case: str) -> ClipTable:
    """The made corpus that a case's system reads."""
    if system_of(case) == "merc2020":
        mode = next((name for name in MODALITIES if f"merc2020-{name}" in case), "multimodal")
        asked = {"speech": ("speech_emotion",), "face": ("face_emotion",), "text": ("emotion",)}.get(mode, QUESTIONS)
        table = small_clips(targets=("emotion",) if case in ("merc2020-small", "merc2020-big") else asked)
        streams = {name: table.streams[name] for name in (MODALITIES if mode == "multimodal" else (mode,))}
        if "face" in streams and "cutmix_prob=0" in CASES[case][1]:
            pixels = streams["face"].x.reshape(-1, SIDE, SIDE, 3)[:, ::8, ::8].reshape(-1, 48)
            streams["face"] = replace(streams["face"], x=pixels.astype(np.float32) / 255)
        return replace(table, streams=streams)
    if system_of(case) == "tensor_mixer":
        streams = dict(corpus().streams)
        streams["physiology"] = streams.pop("face")
        if case == "tensor_mixer-speech":  # of eight clips, at most one without: two would be told apart by nothing
            streams = {"speech": streams["physiology"]}
        kept = ("text", "speech") if case == "tensor_mixer-two" else tuple(streams)
        return replace(corpus(), streams={name: streams[name] for name in kept})
    if system_of(case) == "hlm12erc":
        preset, own = CASES[case][0].partition(":")[2], own_changes(case)
        config = override(find_system("hlm12erc").presets[preset](), [*SMALL["hlm12erc"], *own])
        table = tokenised(config, made_dialogues())
        return replace(table, streams={name: table.streams[name] for name in config.encoders})
    if system_of(case) != "emotx":
        table = corpus()
        pairs = ("sse_ft-pair", "sse_ft-bert_like", "sse_ft-co_attention")
        kept = ("text", "speech") if case in pairs else ("face",) if case == "sse_ft-single" else MODALITIES
        streams = {name: table.streams[name] for name in kept}
        if "speech_units=7" in CASES[case][1]:
            streams["speech"] = as_units(streams["speech"])
        return replace(table, streams=streams)
    table = small_scenes()
    wanted = {"emotx-scene": ["scene"], "emotx-character": ["character"]}.get(case, ["scene", "character"])
    return replace(table, targets={name: table.targets[name] for name in wanted})


def as_units(column: TokenColumn) -> TokenColumn:
    """Ids 0 to 6 in place of features."""
    return replace(column, x=(np.abs(column.x[:, :1]) * 10 // 1 % 7).astype(np.float32))


def corpus(n: int = 24) -> ClipTable:
    """Sequences of many lengths, some modalities missing, four dialogues, a class and a number per clip."""
    rng = np.random.default_rng(3)
    label = np.arange(n) % 3
    centre = rng.normal(size=(3, 6)) * 2
    streams = {}
    for m, (name, width) in enumerate(zip(MODALITIES, (6, 5, 4), strict=True)):
        tokens = [centre[k][:width] + rng.normal(size=(rng.integers(1, 6), width)) for k in label]
        streams[name] = TokenColumn.of_sequences([None if i % 7 == m else x for i, x in enumerate(tokens)], width)
    emotion = TargetSpec("emotion", "single_label", ("joy", "anger", "neutral"))
    arousal = TargetSpec("arousal", "regression", ("arousal",))
    targets = {
        "emotion": TargetColumn(emotion, label, np.arange(n) % 11 != 0),
        "arousal": TargetColumn(arousal, label[:, None].astype(np.float32), np.ones((n, 1), bool)),
    }
    return ClipTable(
        "made", np.array([f"c{i}" for i in range(n)]), np.where(np.arange(n) < 16, "train", "valid"), streams, targets,
        dialogue=np.array([f"d{i // 6}" for i in range(n)]), turn=np.arange(n) % 6,
    )  # fmt: skip


def planned(case: str, *changes: str, table: ClipTable | None = None):
    (system, _, preset), own = CASES[case][0].partition(":"), own_changes(case)
    recipe = find_system(system)
    config = recipe.presets[preset]() if preset else recipe.config()
    config = override(config, [*SMALL[system], *own, *changes])
    torch.manual_seed(config.trainer.seed)
    table = corpus_for(case) if table is None else table
    return recipe, config, table, recipe.plan(config, table)


def batch_of(table: ClipTable, rows, made) -> Batch:
    context = dialogue_context(table, *made.context)
    return collate(table, np.asarray(rows), modalities=made.modalities, context=context)


def answers(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        return torch.cat([out.flatten(1) for out in model(batch).values()], 1)


@cases
def test_1_a_clip_is_answered_the_same_alone_and_in_any_company(case: str) -> None:
    _, _, table, made = planned(case)
    whole = answers(made.model, batch_of(table, np.arange(24), made))
    order = np.random.default_rng(0).permutation(24)
    torch.testing.assert_close(answers(made.model, batch_of(table, order, made)), whole[order], atol=1e-5, rtol=1e-5)
    for i in (0, 5, 17):
        torch.testing.assert_close(answers(made.model, batch_of(table, [i], made))[0], whole[i], atol=1e-5, rtol=1e-5)


@cases
def test_2_masked_padding_changes_nothing_whatever_it_holds(case: str) -> None:
    _, _, table, made = planned(case)
    batch = batch_of(table, np.arange(12), made)
    longer = {}
    for name, tokens in batch.tokens.items():
        shape = list(tokens.x.shape)
        shape[2] = 3
        bytes_ = tokens.x.dtype == torch.uint8
        x = torch.cat([tokens.x, torch.full(shape, 200 if bytes_ else 1e4, dtype=tokens.x.dtype)], 2)
        x[..., : tokens.x.shape[2], :][~tokens.mask] = 100 if bytes_ else -1e4
        longer[name] = Tokens(
            x,
            torch.cat([tokens.mask, torch.zeros(shape[:3], dtype=torch.bool)], 2),
            None if tokens.times is None else torch.cat([tokens.times, torch.full(shape[:3], 9.0).double()], 2),
        )
    changed = answers(made.model, replace(batch, tokens=longer))
    torch.testing.assert_close(changed, answers(made.model, batch), atol=1e-5, rtol=1e-5)


@cases
def test_3_every_subset_of_modalities_is_answered_and_none_is_ignored(case: str) -> None:
    _, _, table, made = planned(case)
    batch = batch_of(table, np.arange(1, 7), made)
    names = list(made.modalities)
    found: dict[tuple[str, ...], torch.Tensor] = {}
    for bits in range(1, 1 << len(names)):
        kept = tuple(name for i, name in enumerate(names) if bits >> i & 1)
        tokens = {
            name: t if name in kept else Tokens(torch.full_like(t.x, 7.0), torch.zeros_like(t.mask), t.times)
            for name, t in batch.tokens.items()
        }
        out = answers(made.model, replace(batch, tokens=tokens))
        assert torch.isfinite(out).all()
        looked = tuple(name for name in kept if name in JUDGED.get(case, names))
        found.setdefault(looked, out)
    # of scenes without people only the scene can be answered, so a model of characters alone says nothing without them
    there = {kept: out for kept, out in found.items() if case != "emotx-character" or {"face", "lines"} & set(kept)}
    for a, one in there.items():
        for b, other in there.items():
            assert a == b or (one - other).abs().max() > 1e-6, (a, b)


@cases
def test_4_every_trainable_parameter_is_in_one_group_and_gets_a_gradient(case: str) -> None:
    _, config, table, made = planned(case)
    grouped = [id(p) for group in parameter_groups(made.model, config.optim) for p in group["params"]]
    trainable = {id(p): name for name, p in made.model.named_parameters() if p.requires_grad}
    assert sorted(grouped) == sorted(trainable)
    made.objective.train(), made.model.train()
    made.objective(made.model, batch_of(table, np.arange(16), made)).backward()
    silent = [name for name, p in made.model.named_parameters() if p.grad is None]
    assert silent == []


@cases
def test_5_it_can_learn_eight_clips_by_heart(case: str) -> None:
    table = corpus_for(case).take(np.arange(1, 9))
    still = {
        "fusion": ("model.dropout=0",),
        "emotx": ("dropout=0",),
        "sse_ft": ("dropout=0", "pooler_dropout=0", "modality_dropout=0"),
        "merc2020": (
            "augment=false", "mixup_prob=0", "cutmix_prob=0", "label_smoothing=0", "dropout=0", "text.dropout=0",
            "drop_path=0", "modality_dropout=0",
        ),
        "tensor_mixer": ("dropout=0", "modality_dropout=0"),
        "hlm12erc": ("modality_dropout=0", "fusion_dropout=0"),
    }[system_of(case)]  # fmt: skip
    _, _, _, made = planned(case, *still, table=replace(table, split=np.full(8, "train")))
    batch = batch_of(table, np.arange(8), made)
    quick = {"fusion": (0.02, 150), "sse_ft": (0.005, 300), "merc2020": (0.02, 40), "tensor_mixer": (0.02, 150)}
    quick["hlm12erc"] = (0.005, 300)
    lr, steps = quick.get(system_of(case), (0.005, 150))
    optimiser = torch.optim.Adam(made.model.parameters(), lr=lr)
    made.model.train()
    wrong = set(batch.targets)
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        made.objective(made.model, batch).backward()
        optimiser.step()
        if step % 10 == 0 and not (wrong := unlearned(case, made, batch)):
            break
    assert not wrong


def unlearned(case: str, made: Plan, batch: Batch) -> set[str]:
    """The targets of which the model does not answer all clips of the batch rightly."""
    settle(made.model, batch)
    with torch.no_grad():
        logits = made.model.eval()(batch)
    made.model.train()
    wrong = set()
    for spec in made.specs:
        logit, target, valid = logits[spec.name], batch.targets[spec.name], batch.valid[spec.name]
        if spec.kind == "single_label":
            right = torch.equal(logit.argmax(1), target)
        elif spec.kind == "multi_label":
            if case in JUDGED:  # they cannot tell one scene without their stream from another
                valid = valid & batch.tokens["scene"].mask.any((1, 2)).view(-1, *[1] * (valid.ndim - 1))
            right = torch.equal((logit > 0)[valid], (target > 0.5)[valid])
        else:
            right = bool((logit - target).abs().max() < 0.3)
        if not right:
            wrong.add(spec.name)
    return wrong


@torch.no_grad()
def settle(model: torch.nn.Module, batch: Batch) -> None:
    """Batch norm's running statistics lag behind weights that move as fast as here."""
    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    if norms:
        model.train()(batch)


@cases
def test_6_saved_and_loaded_is_the_same(case: str, tmp_path: Path) -> None:
    recipe, config, table, made = planned(case)
    save_file({k: v.contiguous() for k, v in made.model.state_dict().items()}, tmp_path / "model.safetensors")
    torch.manual_seed(99)
    again = recipe.build_model(config, {name: c.width for name, c in table.streams.items()}, made.specs)
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    batch = batch_of(table, np.arange(8), made)
    assert torch.equal(answers(again, batch), answers(made.model, batch))


@cases
def test_8_order_and_result_do_not_depend_on_workers(case: str) -> None:
    _, _, table, made = planned(case)
    rows = dialogue_context(table, *made.context)
    ids = []
    for workers in (0, 2) if case == "concat" else (0,):  # starting processes is slow: once is enough for the loader
        order = EpochBatches(24, 5, seed=1)
        order.set_epoch(3)
        loader = batch_loader(TableBatches(table, made.modalities, rows), order, workers=workers)
        ids.append([batch.ids for batch in loader])
    assert all(other == ids[0] for other in ids)


@cases
def test_9_bucketed_batches_answer_as_padded_ones(case: str) -> None:
    _, _, table, made = planned(case)
    rows = dialogue_context(table, *made.context)
    plain = collect(made.model, [batch_of(table, np.arange(24), made)], made.specs)
    order = EpochBatches(24, 4, seed=5, lengths=np.random.default_rng(0).integers(1, 9, 24))
    batches = list(batch_loader(TableBatches(table, made.modalities, rows), order))
    bucketed = collect(made.model, batches, made.specs)
    place = {clip: i for i, clip in enumerate(clip for batch in batches for clip in batch.ids[: batch.size])}
    rows_of = [place[str(clip)] for clip in table.ids]
    for spec in made.specs:
        output, target, _ = plain[spec.name]
        at = np.array(rows_of)
        if spec.per_entity:  # one answer a person: those of a clip stay together
            people = table.targets[spec.name].valid.any(-1).sum(1)
            first = np.zeros(24, np.int64)
            first[np.argsort(at)] = np.cumsum(people[np.argsort(at)]) - people[np.argsort(at)]
            at = np.concatenate([first[i] + np.arange(people[i]) for i in range(24)])
        np.testing.assert_allclose(bucketed[spec.name][0][at], output, atol=1e-5)
        np.testing.assert_array_equal(bucketed[spec.name][1][at], target)


@cases
def test_11_standardisation_comes_from_train_alone(case: str) -> None:
    table = corpus_for(case)
    _, _, _, made = planned(case, table=table)
    streams = {}
    for name, column in table.streams.items():
        later = np.repeat(column.clip >= 16, column.lengths)
        streams[name] = replace(column, x=np.where(later[:, None], column.x * 100 + 5, column.x).astype(np.float32))
    _, _, _, other = planned(case, table=replace(table, streams=streams))
    for (name, a), b in zip(made.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


HASHED = """
import sys
sys.path[:0] = sys.argv[1:3]
import torch
torch.set_num_threads(1)
from test_invariants import CASES, batch_of, planned
import numpy as np
for case in ("concat", "cross_modal", "context-fused", "emotx", "merc2020-small", "tensor_mixer"):
    _, _, table, made = planned(case)
    made.model.train()
    torch.manual_seed(0)
    loss = made.objective(made.model, batch_of(table, np.arange(16), made))
    print(case, loss.item().hex(), table.fingerprint())
"""


def test_8_results_do_not_depend_on_pythonhashseed() -> None:
    here = Path(__file__).resolve().parent
    running = [
        subprocess.Popen(
            [sys.executable, "-c", HASHED, str(here), str(here.parent)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PATH": ""},
        )
        for seed in ("0", "1")
    ]  # fmt: skip
    said = [process.communicate() for process in running]
    assert all(process.returncode == 0 for process in running), said
    assert said[0][0] == said[1][0] != ""
