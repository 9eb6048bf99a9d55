"""Submissions: the template's files in the template's order, each once, by the right clip, and never a silent guess."""

import csv

import numpy as np
import pytest

from merkit.corpora.templates import Template, read_template
from merkit.errors import ConfigError, MediaError
from merkit.report.asked import match_clips
from merkit.report.submission import class_names, clips_asked, submission_of, write_submission
from merkit.schema import TargetSpec
from merkit.training.predicted import Predicted

LABELS = ("happy", "angry", "disgust", "fear", "sad", "neutral", "surprise")
SPEC = TargetSpec("emotion", "single_label", LABELS)
AUXILIARY = TargetSpec("face_emotion", "single_label", LABELS)


def template_of(folder, text, name="test1.csv"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def answered(ids, classes, seen=None, prior=None) -> Predicted:
    output = np.full((len(ids), 7), 0.01)
    output[np.arange(len(ids)), classes] = 0.94
    seen = np.full(len(ids), True) if seen is None else np.array(seen)
    where = (np.full(len(ids), ""), np.full((len(ids), 2), np.nan), seen)
    return Predicted("r", "s", 1, (SPEC, AUXILIARY), np.array(ids), *where,
        {"emotion": output, "face_emotion": output[:, ::-1]}, prior=prior or {})  # fmt: skip


def test_files_are_found_by_id_by_name_and_by_number():
    template = Template("t.csv", "FileID", ("12", "7", "clip-a", "99", "0"))
    ids = ["test/0012-305-m", "x/7", "clip-a.mp4", "8-12-7", "test/000-1", "b120-1"]
    assert match_clips(template, ids).tolist() == [0, 1, 2, -1, 4]
    # the id itself goes before a name that begins with it
    assert match_clips(Template("t.csv", "FileID", ("12",)), ["test/12-1", "12"]).tolist() == [1]


def test_numbers_that_several_clips_bear_are_an_error_unless_patterns_tell_them_apart():
    ids = np.array(["train/00012-hap", "test/00012", "test3/00012", "test3/00013"])
    split = np.array(["train", "test", "test", "test"])
    template = Template("t.csv", "FileID", ("12",))
    with pytest.raises(MediaError, match=r"12 may be each of train/00012-hap, test/00012, test3/00012"):
        match_clips(template, ids)
    with pytest.raises(MediaError, match=r"each of test/00012, test3/00012;.*--clips"):
        clips_asked(ids, split, np.full(4, True), [template])
    (rows,), wanted = clips_asked(ids, split, np.full(4, True), [template], ["test3/*"])
    assert rows.tolist() == [2] and wanted.tolist() == [False, False, True, False]


def test_a_template_that_is_called_as_a_phase_asks_about_that_phase():
    ids = np.array(["train/1", "test/1", "test/2", "test3/1", "test3/2"])
    split, phase = np.array(["train", *["test"] * 4]), np.array(["", "test1", "test2", "test3", "test3"])
    seen = np.full(5, True)
    templates = [
        Template(f"in/{name}.csv", "FileID", files) for name, files in (("test1", ("1",)), ("test3", ("2", "1")))
    ]
    rows, wanted = clips_asked(ids, split, seen, templates, phase=phase)
    assert [each.tolist() for each in rows] == [[1], [4, 3]] and np.flatnonzero(wanted).tolist() == [1, 3, 4]
    with pytest.raises(
        ConfigError, match=r"1 of 1 files.*: 1"
    ):  # of phase 2 there is no clip 1, though others have one
        clips_asked(ids, split, seen, [Template("test2.csv", "FileID", ("1",))], phase=phase)
    with pytest.raises(MediaError, match="1 may be each of test/1, test3/1"):
        clips_asked(ids, split, seen, [Template("mine.csv", "FileID", ("1",))], phase=phase)


def test_a_test_clip_that_is_missing_is_not_found_among_clips_of_training():
    ids, split = np.array(["train/7-hap-hap-hap", "valid/8", "test/9"]), np.array(["train", "valid", "test"])
    with pytest.raises(ConfigError, match=r"2 of 3 files have no clip here.*: 7, 8\. `--missing prior`"):
        clips_asked(ids, split, np.full(3, True), [Template("t.csv", "FileID", ("9", "7", "8"))])
    _, wanted = clips_asked(ids, split, np.full(3, True), [Template("t.csv", "FileID", ("9", "7"))], prior=True)
    assert wanted.tolist() == [False, False, True]
    _, wanted = clips_asked(ids, split, np.full(3, True), (), ["*"])
    assert wanted.all()
    with pytest.raises(ConfigError, match="none of 3 clips"):
        clips_asked(ids, split, np.full(3, True), (), ["nowhere/*"])


def test_rows_come_in_the_order_of_the_template_with_published_names(tmp_path):
    rng = np.random.default_rng(0)
    numbers = rng.permutation(200)
    truth = rng.integers(0, 7, 200)  # of clip number i
    template = read_template(template_of(tmp_path, "FileID\n" + "\n".join(map(str, numbers))))
    predicted = answered([f"test/{i:05}" for i in range(200)], truth)
    rows = match_clips(template, predicted.ids)
    assert rows.tolist() == numbers.tolist()
    classes, bare = submission_of(predicted, template, rows)
    out = write_submission(template, classes, tmp_path / "out" / "s.csv")
    written = list(csv.DictReader(out.open()))
    assert [int(row["FileID"]) for row in written] == numbers.tolist()
    codes = ["hap", "ang", "dis", "fea", "sad", "neu", "sur"]
    assert [row["Emotion"] for row in written] == [codes[truth[i]] for i in numbers]
    assert bare == [] and out.read_text().splitlines()[0] == "FileID,Emotion"
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["s.csv"]
    assert submission_of(predicted, template, rows, "face_emotion", "numbers")[0] == [
        str(6 - truth[i]) for i in numbers
    ]


def test_files_that_show_nothing_stop_a_submission_or_get_the_prior():
    template, rows = Template("t.csv", "FileID", ("2", "1", "3")), np.array([1, 0, -1])
    seen = [True, False]
    with pytest.raises(ConfigError, match=r"2 of 3 files.*: 2, 3"):
        submission_of(answered(["1", "2"], [4, 5], seen), template, rows)
    prior = {"emotion": np.array([0.1, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1])}
    made = answered(["1", "2"], [4, 3], seen, prior)  # what a panel answers of clip 2 is the prior
    assert submission_of(made, template, rows) == (["fea", "sad", "fea"], ["2", "3"])


def test_names_of_classes():
    two = TargetSpec("mood", "single_label", ("calm", "loud"))
    assert class_names(SPEC) == ("hap", "ang", "dis", "fea", "sad", "neu", "sur")
    assert class_names(SPEC, "labels") == LABELS
    assert class_names(TargetSpec("emotion", "single_label", LABELS[::-1]))[0] == "sur"
    assert class_names(two) == ("calm", "loud")
    assert class_names(two, "loud=L, calm=0") == ("0", "L")
    assert class_names(two, "numbers") == ("0", "1")
    wrong = {
        "codes": "no name for calm, loud",
        "calm=C": "no name for loud",
        "calm=C,loud=C": "share a name",
        "calm": "not 'calm'",
    }
    for choice, said in wrong.items():
        with pytest.raises(ConfigError, match=said):
            class_names(two, choice)
    with pytest.raises(ConfigError, match="one class per clip"):
        class_names(TargetSpec("mood", "multi_label", ("a",)))
    with pytest.raises(ConfigError, match="no target other"):
        submission_of(answered(["1"], [0]), Template("t.csv", "FileID", ("1",)), np.array([0]), "other")


def test_what_is_written_is_read_back_before_it_appears(tmp_path, monkeypatch):
    """A writer that loses a row, or orders them by number, must not leave a file."""
    template = Template(tmp_path / "t.csv", "FileID", ("3", "1", "2"))
    inner = csv.writer

    class Sorting:
        def __init__(self, file, **options):
            self.inner = inner(file, **options)

        def writerow(self, row):
            self.inner.writerow(row)

        def writerows(self, rows):
            self.inner.writerows(sorted(rows))

    (tmp_path / "s.csv").write_text("what was there before")
    monkeypatch.setattr("merkit.report.submission.csv.writer", Sorting)
    with pytest.raises(MediaError, match="was not written as the template asks"):
        write_submission(template, ["hap", "sad", "neu"], tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == "what was there before"
    with pytest.raises(ValueError, match="zip"):
        write_submission(template, ["hap", "sad"], tmp_path / "s.csv")
