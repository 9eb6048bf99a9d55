"""Scaling by person against numpy person by person, and what the leakage check is told of it."""

from dataclasses import replace

import numpy as np
import pytest

from merkit.data.leakage import check_leakage, check_standardiser
from merkit.data.persons import Measured, centre_and_scale_of, check_scales, normalise_by_person
from merkit.data.table import ClipTable, Provenance, TokenColumn
from merkit.errors import ConfigError
from merkit.features.physiology import PHYSIOLOGY_COLUMNS
from merkit.features.physiology_columns import measured_statistics, measured_windows
from merkit.features.physiology_windows import PhysiologyWindowsExtractor
from merkit.models.physiology import PhysiologyEncoder

SUBJECTS = {"S2": "train", "S3": "train", "S4": "valid", "S5": "test"}


def corpus(seed: int = 0, clips: int = 6, width: int = 3) -> tuple[ClipTable, np.ndarray]:
    """Clips of one to four tokens, each person on a scale of their own; and `(R,)` who each token is of."""
    numbers = np.random.default_rng(seed)
    who = [name for name in SUBJECTS for _ in range(clips)]
    order = numbers.permutation(len(who))
    who = [who[i] for i in order]
    place = {name: numbers.normal(0, 20, width) for name in SUBJECTS}
    wide = {name: numbers.uniform(0.2, 9, width) for name in SUBJECTS}
    tokens = [place[n] + wide[n] * numbers.standard_normal((numbers.integers(1, 5), width)) for n in who]
    table = ClipTable(
        "made",
        np.array([f"c{i}" for i in range(len(who))]),
        np.array([SUBJECTS[name] for name in who]),
        {"physiology": TokenColumn.of_sequences(tokens)},
        {},
        {"subject": np.array(who)},
        provenance={"physiology": Provenance("made here")},
    )
    return table, np.repeat(who, [len(each) for each in tokens])


def test_each_person_ends_at_mean_0_and_deviation_1_and_differences_within_a_person_stay():
    table, owner = corpus()
    before, after = table.streams["physiology"].x, normalise_by_person(table, "physiology", by="subject")
    x = after.streams["physiology"].x
    for name in SUBJECTS:
        mine = owner == name
        np.testing.assert_allclose(x[mine], (before[mine] - before[mine].mean(0)) / before[mine].std(0), atol=2e-4)
    assert (table.streams["physiology"].x == before).all()
    assert (after.streams["physiology"].clip == table.streams["physiology"].clip).all()


def test_persons_do_not_touch_each_other():
    """However another person's windows change, with theirs own scale nobody else's tokens do."""
    table, owner = corpus()
    column = table.streams["physiology"]
    x = np.array(column.x)
    x[owner == "S5"] = x[owner == "S5"] * 7 + 1000
    changed = replace(table, streams={"physiology": replace(column, x=x)})
    one, other = (normalise_by_person(t, "physiology", by="subject").streams["physiology"].x for t in (table, changed))
    np.testing.assert_array_equal(one[owner != "S5"], other[owner != "S5"])
    np.testing.assert_allclose(one[owner == "S5"], other[owner == "S5"], atol=1e-3)


def test_training_persons_alone_is_the_standardiser_of_train_for_everybody():
    table, _ = corpus()
    column = table.streams["physiology"]
    train = column.take(np.flatnonzero(table.split == "train")).x.astype(np.float64)
    found = normalise_by_person(table, "physiology", by="subject", how="train").streams["physiology"].x
    np.testing.assert_allclose(found, (column.x - train.mean(0)) / train.std(0), rtol=1e-4, atol=1e-5)
    assert not check_standardiser(train.mean(0), train.std(0), table, "physiology").findings


def test_training_persons_alone_does_not_look_at_who_is_judged():
    table, owner = corpus()
    column = table.streams["physiology"]
    judged = ~np.isin(owner, ["S2", "S3"])
    x = np.array(column.x)
    x[judged] += 500
    changed = replace(table, streams={"physiology": replace(column, x=x)})
    one, other = (
        normalise_by_person(t, "physiology", by="subject", how="train").streams["physiology"].x
        for t in (table, changed)
    )
    np.testing.assert_array_equal(one[~judged], other[~judged])


def test_the_leakage_check_is_told_and_warns_of_own_scales_only():
    table, _ = corpus()
    assert not check_leakage(table, group="subject").findings
    own = normalise_by_person(table, "physiology", by="subject")
    (finding,) = check_leakage(own, group="subject").findings
    assert (finding.kind, finding.severity, finding.splits) == ("statistics", "warning", ("valid", "test"))
    assert finding.count == 12 and "each subject" in finding.explanation
    train = normalise_by_person(table, "physiology", by="subject", how="train")
    assert not check_leakage(train, group="subject").findings
    # what was known of the features before stays known
    fitted = replace(table, provenance={"physiology": Provenance("made", ("valid",), ("test",))})
    about = normalise_by_person(fitted, "physiology", by="subject", how="train").provenance["physiology"]
    assert (about.fitted_on, about.statistics_on) == (("valid",), ("train", "test"))


def test_a_person_of_few_windows_and_one_without_a_name_have_training_s_scale():
    table, owner = corpus()
    names = np.where(table.groups["subject"] == "S4", "", table.groups["subject"])
    table = replace(table, groups={"subject": names})
    few = 1 + int((owner == "S5").sum())
    own = normalise_by_person(table, "physiology", by="subject", least=few)
    train = normalise_by_person(table, "physiology", by="subject", how="train")
    kept = ~np.isin(owner, ["S4", "S5"])
    one, other = own.streams["physiology"].x, train.streams["physiology"].x
    np.testing.assert_array_equal(one[~kept], other[~kept])
    assert "test" not in own.provenance["physiology"].statistics_on
    assert "valid" not in own.provenance["physiology"].statistics_on


def test_what_was_not_measured_stays_zero_and_out_of_the_scale():
    """One channel of two samples and its mask; skin that never varies in one person has training's scale."""
    numbers = np.random.default_rng(1)
    x = np.concatenate([10 + numbers.standard_normal((40, 2)), np.ones((40, 1))], 1)
    x[::4] = 0  # not measured
    x[20:] = np.where(x[20:, 2:] > 0, [5.0, 5.0, 1.0], 0.0)
    table = ClipTable(
        "t",
        np.arange(40).astype(str),
        np.repeat(["train", "test"], 20),
        {"physiology": TokenColumn.one_per_clip(x)},
        {},
        {"subject": np.repeat(["S2", "S3"], 20)},
    )
    parts = [Measured(slice(0, 2), 2, True)]
    got = normalise_by_person(table, "physiology", by="subject", measured=parts).streams["physiology"].x
    mine = x[:20][x[:20, 2] > 0, :2]
    assert not got[::4].any()
    np.testing.assert_array_equal(got[:, 2], x[:, 2])
    np.testing.assert_allclose(got[:20][x[:20, 2] > 0, :2], (mine - mine.mean()) / mine.std(), atol=1e-4)
    assert not got[20:, :2].any()  # its own centre, and nothing apart from it
    assert np.isfinite(got).all()


def test_what_the_extractors_measure_together_covers_every_column_once():
    layout = PhysiologyWindowsExtractor(4.0, 2.0).layout
    for parts, width in ((measured_statistics(), len(PHYSIOLOGY_COLUMNS)), (measured_windows(layout), layout.width)):
        seen = np.zeros(width, int)
        for part in parts:
            seen[part.columns] += 1
        masks = {part.present for part in parts}
        assert [i for i in range(width) if seen[i] == 0] == sorted(masks)
        assert seen.max() == 1
    names = {PHYSIOLOGY_COLUMNS[part.present]: PHYSIOLOGY_COLUMNS[part.columns] for part in measured_statistics()}
    assert names["heart_present"] == ("heart_rate_per_min", "heart_sdnn_ms", "heart_rmssd_ms")
    assert names["bvp_present"][0] == "bvp_mean" and names["bvp_present"][-1] == "bvp_slope_per_s"


def test_a_scale_that_saw_other_clips_is_found_out_and_its_splits_are_named():
    """As an encoder would fit it: over the measured windows of a channel, on train, on train and test, on half of train."""
    numbers = np.random.default_rng(2)
    x = np.concatenate([numbers.normal(5, 2, (300, 4)), numbers.integers(0, 2, (300, 1))], 1).astype(np.float32)
    x[x[:, 4] == 0, :4] = 0
    split = np.repeat(["train", "valid", "test"], 100)
    stream = {"physiology": TokenColumn.one_per_clip(x)}
    table = ClipTable("t", np.arange(300).astype(str), split, stream, {})
    parts = [Measured(slice(0, 4), 4, True)]
    encoder = PhysiologyEncoder({"eda": 4}, width=4)
    encoder.fit(x[:100])
    assert not check_scales(*encoder.per_column(), table, "physiology", parts).findings
    encoder.fit(np.concatenate([x[:100], x[200:]]))
    (finding,) = check_scales(*encoder.per_column(), table, "physiology", encoder.measured).errors
    assert (finding.kind, finding.splits, finding.count) == ("statistics", ("train", "test"), 100)
    centre, scale, _ = centre_and_scale_of(x[:50], parts)
    (finding,) = check_scales(centre, scale, table, "physiology", parts).errors
    assert finding.splits == () and "nor of any union" in finding.explanation


def test_clips_of_new_persons_alone_are_scaled_as_beside_the_training_clips():
    """Prediction has no training clips: whoever has windows enough needs none, also with a channel that nobody wore."""
    table, owner = corpus(clips=10)
    x = np.concatenate([table.streams["physiology"].x, np.ones((len(owner), 1)), np.zeros((len(owner), 3))], 1)
    column = replace(table.streams["physiology"], x=x.astype(np.float32))
    table = replace(table, streams={"physiology": column})
    parts = [Measured(slice(0, 3), 3, True), Measured(slice(4, 6), 6, True)]
    beside = normalise_by_person(table, "physiology", by="subject", measured=parts).where("test")
    alone = normalise_by_person(table.where("test"), "physiology", by="subject", measured=parts)
    np.testing.assert_array_equal(alone.streams["physiology"].x, beside.streams["physiology"].x)
    assert alone.provenance["physiology"].statistics_on == ("test",)
    nobody = replace(table.where("test"), groups={"subject": np.full(10, "")})
    for few, least, who in ((table.where("test"), 1000, "subject S5"), (nobody, 8, "subject without a name")):
        with pytest.raises(ConfigError, match=f"{who} of corpus made has .* no training clip is here"):
            normalise_by_person(few, "physiology", by="subject", measured=parts, least=least)


def test_what_cannot_be_scaled_is_refused():
    table, _ = corpus()
    with pytest.raises(ConfigError, match="has no face; it has physiology"):
        normalise_by_person(table, "face", by="subject")
    with pytest.raises(ConfigError, match="by=speaker: corpus made has subject"):
        normalise_by_person(table, "physiology")
    with pytest.raises(ConfigError, match="no training clip"):
        normalise_by_person(table.where("test"), "physiology", by="subject", how="train")
    with pytest.raises(ConfigError, match="own or train"):
        normalise_by_person(table, "physiology", by="subject", how="median")
