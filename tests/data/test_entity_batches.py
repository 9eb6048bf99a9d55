"""Batches of clips with several persons: every stream keeps its own number of entities, answers line up with targets."""

from pathlib import Path

import numpy as np
import pytest
import torch

from merkit.data.batch import collate
from merkit.data.table import ClipTable, TargetColumn, TokenColumn
from merkit.errors import ConfigError
from merkit.models.classifier import FusionModel
from merkit.models.losses import build_loss
from merkit.schema import TargetSpec

SCENE = TargetSpec("scene", "multi_label", ("happy", "calm"))
CHARACTER = TargetSpec("character", "multi_label", ("happy", "calm"), per_entity=True)
WIDTHS = {"scene": 3, "face": 4}
# characters with a face, clip by clip: none in clip 4; clip 3 lacks its first one
FACES = [(0,), (0, 1), (0, 1, 2), (1, 2), ()]
ASKED = 4


def table(targets: bool = True) -> ClipTable:
    rng = np.random.default_rng(0)
    n = len(FACES)
    pairs = [(clip, entity) for clip, there in enumerate(FACES) for entity in there]
    lengths = rng.integers(1, 5, len(pairs))
    face = TokenColumn(
        rng.normal(size=(lengths.sum(), 4)).astype(np.float32), np.append(0, np.cumsum(lengths)),
        np.array([clip for clip, _ in pairs]), np.array([entity for _, entity in pairs]),
        rng.uniform(0, 9, lengths.sum()),
    )  # fmt: skip
    scene = TokenColumn.of_sequences([rng.normal(size=(3 + i, 3)) for i in range(n)])
    valid = np.array([[entity in there for entity in range(ASKED)] for there in FACES])
    columns = {
        "scene": TargetColumn(SCENE, rng.integers(0, 2, (n, 2)).astype(np.float32), np.ones((n, 2), bool)),
        "character": TargetColumn(
            CHARACTER, rng.integers(0, 2, (n, ASKED, 2)).astype(np.float32), np.repeat(valid[..., None], 2, 2)
        ),
    }
    ids = np.array([f"c{i}" for i in range(n)])
    return ClipTable("films", ids, np.full(n, "train"), {"scene": scene, "face": face}, columns if targets else {})


@pytest.mark.parametrize("rows", [[0], [4], [0, 4], [2, 0, 3], [0, 1, 2, 3, 4]])
def test_every_stream_has_its_own_number_of_entities(rows: list[int]) -> None:
    films = table()
    batch = collate(films, np.array(rows), modalities=("scene", "face"))
    scene, face = batch.tokens["scene"], batch.tokens["face"]
    assert scene.x.shape[:2] == (len(rows), 1) and face.x.shape[:2] == (len(rows), ASKED)
    assert batch.targets["character"].shape[:2] == face.x.shape[:2]
    column = films.streams["face"]
    for b, row in enumerate(rows):
        for entity in range(ASKED):
            at = np.flatnonzero((column.clip == row) & (column.entity == entity))
            tokens = slice(column.offsets[at[0]], column.offsets[at[0] + 1]) if len(at) else slice(0, 0)
            real = face.mask[b, entity]
            np.testing.assert_array_equal(face.x[b, entity][real].numpy(), column.x[tokens])
            np.testing.assert_array_equal(face.times[b, entity][real].numpy(), column.start_s[tokens])
            assert not face.x[b, entity][~real].any()


def test_without_targets_a_batch_is_as_wide_as_it_needs() -> None:
    films = table(targets=False)
    for rows, entities in (([0], 1), ([0, 1], 2), ([1, 3], 3), ([4], 1)):
        batch = collate(films, np.array(rows), modalities=("face", "scene"))
        assert batch.tokens["face"].x.shape[1] == entities and batch.tokens["scene"].x.shape[1] == 1


def test_what_is_taken_from_a_column_remembers_that_it_is_of_persons() -> None:
    films = table().take(np.array([0]))  # one person, entity 0: by its numbers it might be a clip as a whole
    assert films.streams["face"].per_entity and not films.streams["scene"].per_entity
    batch = collate(films, np.array([0]), modalities=("face", "scene"))
    assert batch.tokens["face"].x.shape[1] == ASKED


@pytest.mark.parametrize("fusion", ["concat", "tensor", "cross_modal", "label_query", "modality_attention"])
@pytest.mark.parametrize("rows", [[0], [0, 2], [3, 1], [0, 4]])
def test_a_person_is_answered_the_same_whoever_else_is_there(fusion: str, rows: list[int]) -> None:
    films = table()
    torch.manual_seed(0)
    model = FusionModel(WIDTHS, [SCENE, CHARACTER], fusion=fusion, width=8, late=True).eval()
    whole = model(collate(films, np.arange(5), modalities=("scene", "face")))
    batch = collate(films, np.array(rows), modalities=("scene", "face"))
    part = model(batch)
    for name in ("scene", "character"):
        assert part[name].shape == batch.targets[name].shape
        torch.testing.assert_close(part[name], whole[name][rows], atol=1e-5, rtol=1e-5)
        loss = build_loss(model.specs[name == "character"], "bce")
        assert torch.isfinite(loss(part[name], batch.targets[name], batch.valid[name], None))
    # the picture of the scene reaches every character that is there, and nobody else
    dark = batch.tokens["scene"].x.clone()
    batch.tokens["scene"].x.add_(1.0)
    changed = (model(batch)["character"] - part["character"]).abs().amax(-1) > 1e-6
    batch.tokens["scene"].x.copy_(dark)
    there = torch.tensor([[entity in FACES[row] for entity in range(ASKED)] for row in rows])
    assert torch.equal(changed, there)


def test_a_batch_without_anybody_is_answered_all_the_same() -> None:
    films = table()
    model = FusionModel(WIDTHS, [SCENE, CHARACTER], width=8)
    batch = collate(films, np.array([4]), modalities=("scene", "face"))
    logits = model(batch)
    assert not logits["character"].any() and logits["character"].shape == (1, ASKED, 2)
    losses = [
        build_loss(spec, "bce")(logits[spec.name], batch.targets[spec.name], batch.valid[spec.name], None)
        for spec in model.specs
    ]
    sum(losses).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_persons_cannot_be_answered_from_streams_of_the_clip_alone() -> None:
    model = FusionModel({"scene": 3}, [SCENE, CHARACTER], width=8)
    with pytest.raises(ConfigError, match=r"scene: no stream of persons"):
        model(collate(table(), np.arange(3), modalities=("scene",)))


def test_tokens_of_persons_that_nobody_is_asked_about_are_refused() -> None:
    films = table()
    face = films.streams["face"]
    with pytest.raises(ValueError, match=r"stream face has entity 5, targets are asked of 4"):
        ClipTable(
            "films", films.ids, films.split,
            {"face": TokenColumn(face.x, face.offsets, face.clip, np.where(face.entity == 2, 5, face.entity))},
            films.targets,
        )  # fmt: skip
    other = TargetColumn(
        TargetSpec("age", "regression", ("years",), True), np.zeros((5, 2, 1), np.float32), np.ones((5, 2, 1), bool)
    )
    with pytest.raises(ValueError, match=r"age is asked of 2 entities, not 4"):
        ClipTable("films", films.ids, films.split, films.streams, {**films.targets, "age": other})


def test_a_store_knows_who_is_a_person(tmp_path: Path) -> None:
    from merkit.corpora.manifest import Manifest
    from merkit.corpora.table import clip_table
    from merkit.features.shard import ClipRecord, Row
    from merkit.features.store import FeatureStore
    from merkit.schema import Clip

    store = FeatureStore.create(tmp_path)
    one = np.ones((1, 2), np.float32), np.zeros(1), np.ones(1), np.zeros(1, np.int32)
    store.add(ClipRecord("a", "k", "h", {}, (Row("face", "Anna", "f@0", *one), Row("scene", None, "s@0", *one))))
    store.finalise()
    films = clip_table(Manifest("m", (Clip("a", (), split="train"),), (), tmp_path), store)
    assert {name: column.per_entity for name, column in films.streams.items()} == {"face": True, "scene": False}
