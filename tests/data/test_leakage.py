"""Planted leaks of every kind are caught, clean tables give nothing, and harmless likeness is no error."""

import json
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merkit.data.context import dialogue_context
from merkit.data.group_folds import group_fold
from merkit.data.leakage import check_leakage, check_standardiser
from merkit.data.splits import by_group, kfold_by_group, leave_one_group_out
from merkit.data.table import ClipTable, Provenance, TargetColumn, TokenColumn
from merkit.errors import ConfigError, LeakageError, MerkitError
from merkit.schema import TargetSpec

N = 240
WORDS = [
    a + b for a in ("ba", "co", "du", "fi", "ge", "hu", "ja", "ko") for b in ("lor", "min", "tek", "sap", "rud", "vel")
]


def clean(seed: int = 0, n: int = N) -> ClipTable:
    """Dialogues of ten turns, each in one split with speakers of its own; sequences of tokens, words, hashes."""
    rng = np.random.default_rng(seed)
    dialogue = np.arange(n) // 10
    split = np.array(["train", "train", "train", "valid", "test"])[dialogue % 5]
    lengths = rng.integers(1, 6, n)
    texts = [" ".join(rng.choice(WORDS, rng.integers(9, 20))) if i % 4 else "Yeah." for i in range(n)]
    spec = TargetSpec("emotion", "single_label", ("joy", "anger", "fear"))
    return ClipTable(
        "made",
        np.char.mod("c%03d", np.arange(n)),
        split,
        {
            "text": TokenColumn.one_per_clip(rng.normal(size=(n, 12))),
            "speech": TokenColumn.of_sequences([rng.normal(size=(t, 10)).astype(np.float32) for t in lengths]),
            "face": TokenColumn.one_per_clip(rng.normal(size=(n, 16)), rng.uniform(size=n) < 0.8),
        },
        {"emotion": TargetColumn(spec, rng.integers(3, size=n), split != "test")},
        {"speaker": np.char.mod("s%d", dialogue)},
        dialogue=np.char.mod("d%02d", dialogue),
        turn=np.arange(n) % 10,
        texts=np.array(texts),
        media_sha256=np.where(np.arange(n) % 3 == 0, "", np.char.mod("%064x", np.arange(n))),
        provenance={"speech": Provenance("made", ("train",), ("train",))},
    )


def rows_of(table: ClipTable, *splits: str) -> list[int]:
    """The third clip with a face of each split: none of them says `Yeah.`"""
    face = np.zeros(len(table), bool)
    face[table.streams["face"].clip] = True
    long = np.array([len(text) > 10 for text in table.texts])
    return [int(np.flatnonzero((table.split == split) & face & long)[2]) for split in splits]


def changed(column: TokenColumn, row: int, tokens: np.ndarray) -> TokenColumn:
    sequences = [column.x[column.offsets[s] : column.offsets[s + 1]] for s in range(len(column.clip))]
    whole: list[np.ndarray | None] = [None] * N
    for s, clip in enumerate(column.clip):
        whole[clip] = sequences[s]
    whole[row] = tokens
    return TokenColumn.of_sequences(whole)


def tokens_of(column: TokenColumn, row: int) -> np.ndarray:
    return column.take(np.array([row])).x


def copied(table: ClipTable, source: int, target: int, names: tuple[str, ...], noise: float = 0.0) -> ClipTable:
    rng = np.random.default_rng(1)
    streams = dict(table.streams)
    for name in names:
        tokens = tokens_of(streams[name], source)
        streams[name] = changed(
            streams[name], target, tokens + (noise * rng.normal(size=tokens.shape)).astype(np.float32)
        )
    return replace(table, streams=streams)


def found(table: ClipTable, **how) -> list[tuple[str, str]]:
    return [(finding.kind, finding.severity) for finding in check_leakage(table, **how).findings]


@pytest.mark.parametrize("seed", range(5))
def test_a_clean_table_gives_nothing(seed: int) -> None:
    table = clean(seed)
    report = check_leakage(table, group="speaker", context=dialogue_context(table, -1, -1))
    assert report.findings == ()
    report.raise_if_leaking()


def test_tables_with_next_to_nothing_in_them() -> None:
    empty = ClipTable(
        "e", np.zeros(0, str), np.zeros(0, str), {"speech": TokenColumn.one_per_clip(np.zeros((0, 9)))}, {}
    )
    assert check_leakage(empty).findings == ()
    bare = ClipTable("b", np.array(["a", "b"]), np.array(["train", "test"]), {}, {}, texts=np.array(["", ""]))
    assert check_leakage(bare).findings == ()
    lacking = replace(bare, streams={"face": TokenColumn.one_per_clip(np.ones((2, 9)), np.zeros(2, bool))})
    assert check_leakage(lacking).findings == ()


def test_duplicate_ids() -> None:
    table = clean()
    a, b = rows_of(table, "train", "test")
    ids = table.ids.copy()
    ids[b] = ids[a]
    (finding,) = check_leakage(replace(table, ids=ids)).findings
    assert (finding.kind, finding.severity, finding.splits, finding.count) == (
        "duplicate_ids",
        "error",
        ("train", "test"),
        1,
    )
    assert finding.examples == (str(ids[a]),)
    ids = table.ids.copy()
    ids[a] = ids[a - 1 if table.split[a - 1] == "train" else a + 1]
    assert found(replace(table, ids=ids)) == [("duplicate_ids", "warning")]


def test_group_and_other_groups() -> None:
    table = clean()
    a, b = rows_of(table, "train", "valid")
    speaker = table.groups["speaker"].copy()
    speaker[b] = speaker[a]
    torn = replace(table, groups={"speaker": speaker})
    (finding,) = check_leakage(torn, group="speaker").findings
    assert (finding.kind, finding.severity, finding.splits) == ("group", "error", ("train", "valid"))
    assert finding.examples[1] == table.ids[b]
    assert "speaker" in finding.explanation
    assert found(torn) == found(torn, group="dialogue") == [("group", "warning")]
    # nobody's name is no name
    speaker[[a, b]] = ""
    assert found(replace(table, groups={"speaker": speaker}), group="speaker") == []
    # a clip in no split tears nothing
    split = table.split.copy()
    split[b] = ""
    assert found(replace(torn, split=split), group="speaker") == []
    with pytest.raises(ConfigError, match="by=film: corpus made has speaker, dialogue"):
        check_leakage(table, group="film")


def test_context_that_crosses_splits() -> None:
    table = clean()
    context = dialogue_context(table, 2, 0)
    assert context is not None
    a, b = rows_of(table, "train", "test")
    context[b, 0] = a
    (finding,) = check_leakage(table, context=context).findings
    assert (finding.kind, finding.severity, finding.count) == ("context", "error", 1)
    assert finding.examples == (str(table.ids[a]), str(table.ids[b]))
    for wrong in (context[:5], context + N, context - 5):
        with pytest.raises(ValueError, match="rows of the table"):
            check_leakage(table, context=wrong)


def test_duplicate_media() -> None:
    table = clean()
    a, b = rows_of(table, "valid", "test")
    sha = table.media_sha256.copy()
    sha[[a, b]] = "f" * 64
    (finding,) = check_leakage(replace(table, media_sha256=sha)).findings
    assert (finding.kind, finding.severity, finding.splits) == ("duplicate_media", "error", ("valid", "test"))


def test_features_identical_in_all_modalities_are_an_error_and_in_one_a_warning() -> None:
    table = clean()
    a, b = rows_of(table, "train", "test")
    (finding,) = check_leakage(copied(table, a, b, ("text", "speech", "face"))).findings
    assert (finding.kind, finding.severity, finding.count) == ("duplicate_features", "error", 1)
    assert finding.examples == (str(table.ids[a]), str(table.ids[b]))
    (finding,) = check_leakage(copied(table, a, b, ("speech",))).findings
    assert (finding.kind, finding.severity) == ("duplicate_features", "warning")
    assert "speech" in finding.explanation
    # the same words make the same text features; without the words themselves that is worth a note, and no more
    assert found(copied(table, a, b, ("text",))) == []
    assert found(replace(copied(table, a, b, ("text",)), texts=None)) == [("duplicate_features", "warning")]
    # within a split a copy leaks nothing
    inside = np.flatnonzero((table.split == "train") & np.isin(np.arange(N), table.streams["face"].clip))
    assert found(copied(table, int(inside[0]), int(inside[5]), ("text", "speech", "face"))) == []


def test_features_nearly_identical() -> None:
    table = clean()
    a, b = rows_of(table, "train", "valid")
    texts = table.texts.copy()
    texts[b] = texts[a].replace("lor", "lo")  # the recogniser heard something a little different
    near = replace(copied(table, a, b, ("text", "speech", "face"), noise=0.005), texts=texts)
    kinds = dict(found(near))
    assert kinds["near_duplicate_features"] == "error"
    (finding,) = [f for f in check_leakage(near).findings if f.kind == "near_duplicate_features"]
    assert finding.examples == (str(table.ids[a]), str(table.ids[b]))
    # other words or another face say that these are two recordings
    assert (
        found(copied(table, a, b, ("speech", "face"), noise=0.005)).count(("near_duplicate_features", "warning")) == 2
    )
    assert found(copied(table, a, b, ("speech",), noise=0.005)) == [("near_duplicate_features", "warning")]
    assert found(copied(table, a, b, ("speech", "face"), noise=0.5)) == []


def test_placeholders_are_no_copies() -> None:
    """Zeros where no face was found, and one constant vector for silence, are everywhere and mean nothing."""
    table = clean()
    rng = np.random.default_rng(2)
    x = rng.normal(size=(N, 16)).astype(np.float32)
    x[rng.uniform(size=N) < 0.4] = 0.0
    silent = np.linspace(-1, 1, 16, dtype=np.float32)
    y = rng.normal(size=(N, 16)).astype(np.float32)
    quiet = rng.uniform(size=N) < 0.4
    y[quiet] = silent
    z = y.copy()
    z[quiet] += 1e-4 * rng.normal(size=(quiet.sum(), 16)).astype(np.float32)
    for features in (x, y, z, np.zeros((N, 16)), np.ones((N, 1))):
        assert found(replace(table, streams={"face": TokenColumn.one_per_clip(features)})) == []


def test_short_and_common_words_are_no_leak_and_long_ones_are() -> None:
    table = clean()
    a, b = rows_of(table, "train", "test")
    texts = table.texts.astype("<U300")
    texts[[a, b]] = "What are you doing here?"
    assert found(replace(table, texts=texts)) == []
    texts[a] = "I told the harbour master that eleven crates of lemons would never fit."
    texts[b] = "i TOLD the harbour-master, that eleven crates… of lemons would never fit"
    (finding,) = check_leakage(replace(table, texts=texts)).findings
    assert (finding.kind, finding.severity, finding.count) == ("duplicate_text", "error", 1)
    texts[b] = texts[a].replace("would never fit", "would never fit in")
    (finding,) = check_leakage(replace(table, texts=texts)).findings
    assert (finding.kind, finding.severity) == ("near_duplicate_text", "error")
    assert finding.examples == (str(table.ids[a]), str(table.ids[b]))


def test_scripted_sentences_are_a_warning() -> None:
    table = clean()
    lines = np.array(["The dogs are sitting by the old wooden door", "Kids are talking by the small garden door again"])
    assert found(replace(table, texts=lines[np.arange(N) % 2])) in (
        [("duplicate_text", "warning")],
        [("duplicate_text", "warning"), ("near_duplicate_text", "warning")],
    )


def test_features_fitted_on_labels_of_valid() -> None:
    table = clean()
    about = {"speech": Provenance("somebody's network", ("train", "valid")), "smell": Provenance("x", ("test",))}
    (finding,) = check_leakage(replace(table, provenance=about)).findings
    assert (finding.kind, finding.severity, finding.splits) == ("fitted_on_labels", "error", ("valid",))
    assert finding.count == (table.split == "valid").sum()
    assert "near perfect" in finding.explanation
    assert found(replace(table, provenance={"face": Provenance("x", ("test",))})) == [("fitted_on_labels", "error")]
    # a split that is not there is not judged
    assert found(replace(table, provenance=about).where("train")) == []


def test_what_the_official_train_split_gave_features_is_known_in_every_other_division() -> None:
    about = {
        "speech": Provenance("somebody's network", ("train",)),
        "text": Provenance("counted words", (), ("train",)),
        "labels.emotion": Provenance("25 most frequent labels", (), ("train",)),
        "face": Provenance("fitted elsewhere", ("pool",)),
    }
    table = replace(clean(), provenance=about)
    assert found(table) == []
    kinds = [("fitted_on_labels", "error"), ("label_vocabulary", "error"), ("statistics", "warning")]
    for divided in (
        kfold_by_group(table, "speaker", 4, 1),
        by_group(table, "speaker", (0.5, 0.3, 0.2), keep_test=False),
        leave_one_group_out(table, "speaker", "s0"),
        group_fold(table, 0, "speaker"),
    ):
        assert sorted(found(divided)) == kinds
        (fitted,) = [each for each in check_leakage(divided).findings if each.kind == "fitted_on_labels"]
        trained = table.split == "train"
        assert set(fitted.splits) == set(divided.split[trained]) - {"train"} and "valid" in fitted.splits
        assert "of train, before the clips were divided anew" in fitted.explanation
        assert divided.provenance["face"].fitted_on == ("pool",)
    # whom train did not know is judged as before, and a division of a division forgets nothing
    assert found(leave_one_group_out(table, "speaker", "s3")) == []  # s3 is of valid
    again = group_fold(leave_one_group_out(table, "speaker", "s3"), 0, "speaker")
    assert sorted(found(again)) == kinds
    assert again.provenance["speech"].before == ("train",) and (again.official == table.split).all()


def test_features_that_come_after_a_division_are_described_in_its_terms() -> None:
    table = clean()
    about = Provenance("an encoder", ("train",))
    assert table.described(about) == about
    later = table.divided(np.where(np.arange(len(table)) % 2, "train", "valid"))
    assert later.described(about).fitted_on == ("train", "valid") and later.described(about).before == ("train",)


def test_a_list_of_labels_made_outside_train() -> None:
    table = clean()
    for splits, judged in (
        (("train",), ()),
        (("train", "valid"), ("valid",)),
        (("train", "valid", "test"), ("valid", "test")),
    ):
        about = {"labels.emotion": Provenance("25 most frequent labels", (), splits)}
        findings = check_leakage(replace(table, provenance=about)).findings
        assert [(f.kind, f.severity, f.splits) for f in findings] == [("label_vocabulary", "error", judged)] * bool(
            judged
        )
    # a label that no training clip has is worth a note; what test holds is not looked at
    held = table.targets["emotion"]
    for kind in ("single_label", "multi_label"):
        value = held.value.copy()
        value[(value == 2) & (table.split == "train")] = 0
        spec, valid = replace(held.spec, kind=kind), held.valid
        if kind == "multi_label":
            value, valid = np.eye(3, dtype=np.float32)[value], np.repeat(valid[:, None], 3, 1)
        column = TargetColumn(spec, value, valid)
        (finding,) = check_leakage(replace(table, targets={"emotion": column})).findings
        assert (finding.kind, finding.severity, finding.splits) == ("label_vocabulary", "warning", ("valid",))
        assert "fear of emotion has clips in valid and none in train" in finding.explanation
        assert finding.count == ((held.value == 2) & (table.split == "valid")).sum()
        known = np.ones_like(valid)
        known[table.split == "valid"] = False
        assert found(replace(table, targets={"emotion": replace(column, valid=known)})) == []


def test_statistics_fitted_outside_train() -> None:
    table = replace(clean(), provenance={"text": Provenance("vocabulary of all", (), ("train", "valid", "test"))})
    (finding,) = check_leakage(table).findings
    assert (finding.kind, finding.severity, finding.splits) == ("statistics", "warning", ("valid", "test"))


@pytest.mark.parametrize(
    ("splits", "named"),
    [(("train",), None), (("train", "valid"), ("train", "valid")), (("train", "valid", "test"),) * 2, (("test",),) * 2],
)
def test_standardiser_of_other_rows(splits: tuple[str, ...], named: tuple[str, ...] | None) -> None:
    table = clean()
    column = table.streams["speech"]
    x = column.x[np.isin(np.repeat(table.split[column.clip], column.lengths), splits)]
    for ddof in (0, 1):
        report = check_standardiser(x.mean(0), x.std(0, ddof=ddof), table, "speech")
        if named is None:
            assert report.findings == ()
        else:
            (finding,) = report.findings
            assert (finding.kind, finding.severity, finding.splits) == ("statistics", "error", named)
    report = check_standardiser(x.mean(0) + 0.1, x.std(0), table, "speech")
    with pytest.raises(LeakageError, match="nor of any union"):
        report.raise_if_leaking()


def test_a_dimension_that_hardly_varies_may_have_any_scale() -> None:
    table = clean()
    x = table.streams["face"].x.copy()
    x[:, 3] = 7.0
    table = replace(table, streams={"face": replace(table.streams["face"], x=x)})
    train = x[table.split[table.streams["face"].clip] == "train"]
    scale = train.std(0)
    scale[3] = 1.0
    assert check_standardiser(train.mean(0), scale, table, "face").findings == ()


def test_the_error_names_everything_and_how_to_go_on() -> None:
    table = clean()
    a, b = rows_of(table, "train", "test")
    sha = table.media_sha256.copy()
    sha[[a, b]] = "e" * 64
    table = replace(copied(table, a, b, ("text", "speech", "face")), media_sha256=sha)
    report = check_leakage(table)
    with pytest.raises(LeakageError) as raised:
        report.raise_if_leaking()
    assert isinstance(raised.value, MerkitError)
    said = str(raised.value)
    for part in ("corpus made", "duplicate_media", str(table.ids[a]), str(table.ids[b])):
        assert part in said
    assert "data.allow_leaks=[duplicate_media,duplicate_features]" in said
    half = check_leakage(table, allow=["duplicate_media"])
    assert [(f.kind, f.severity) for f in half.findings] == [
        ("duplicate_features", "error"),
        ("duplicate_media", "warning"),
    ]
    assert len(half.errors) == len(half.warnings) == 1
    check_leakage(table, allow=["duplicate_media", "duplicate_features"]).raise_if_leaking()
    assert json.loads(json.dumps([asdict(f) for f in report.findings]))[0]["examples"] == [table.ids[a], table.ids[b]]
    with pytest.raises(ConfigError, match="no kind grup; there are duplicate_ids"):
        check_leakage(table, allow=["grup"])


def test_answers_are_never_looked_at() -> None:
    table = clean()
    a, b = rows_of(table, "train", "test")
    table = copied(table, a, b, ("speech",))
    assert found(replace(table, targets={})) == found(table)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), shift=st.integers(1, N - 1))
def test_the_order_of_rows_does_not_matter(seed: int, shift: int) -> None:
    table = clean()
    a, b = rows_of(table, "train", "test")
    table = copied(table, a, b, ("speech", "face"), noise=0.003)
    rows = np.roll(np.random.default_rng(seed).permutation(N), shift)
    ours, theirs = check_leakage(table), check_leakage(table.take(rows))
    assert {(f.kind, f.severity, f.splits, f.count, f.examples) for f in ours.findings} == {
        (f.kind, f.severity, f.splits, f.count, f.examples) for f in theirs.findings
    }


def test_three_thousand_clips_of_three_modalities_take_under_two_seconds() -> None:
    table = clean(n=3000)
    started = time.process_time()
    check_leakage(table)
    assert time.process_time() - started < 2.0
