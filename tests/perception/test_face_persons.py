"""Joining tracks into persons, on vectors whose truth is known."""

import numpy as np

from merkit.perception import Track, name_persons


def _track(number: int, start_s: float, end_s: float, kept: bool = True) -> Track:
    return Track(number, start_s, end_s, max(1, round((end_s - start_s) * 3)), kept)


def _people(count: int, tracks_each: int, seed: int = 0) -> tuple[list[Track], dict[int, np.ndarray], dict[int, int]]:
    """Shots in turn; vectors of one person scatter by about 0.3, those of two lie about 1.0 apart."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, 128)) / np.sqrt(128) / np.sqrt(2)
    tracks, vectors, truth = [], {}, {}
    for i in range(count * tracks_each):
        who = int(rng.integers(count))
        tracks.append(_track(i, 10.0 * i, 10.0 * i + 8))
        vectors[i] = centres[who] + rng.normal(scale=0.2 / np.sqrt(128), size=128)
        truth[i] = who
    return tracks, vectors, truth


def test_hundreds_of_tracks_of_an_hour_are_grouped_by_person() -> None:
    tracks, vectors, truth = _people(6, 60)
    named = name_persons(tracks, vectors)
    groups = {(named[i], truth[i]) for i in truth}
    assert len(groups) == len(set(truth.values())) == len(set(named.values()))


def test_tracks_beyond_the_comparable_number_join_the_groups_of_the_longest(monkeypatch) -> None:
    tracks, vectors, truth = _people(5, 40)
    monkeypatch.setattr("merkit.perception.persons.MOST_COMPARED", 30)
    stranger = Track(900, 9000.0, 9001.0, 2, True)
    beside = Track(901, tracks[0].start_s + 1, tracks[0].end_s - 1, 2, True)  # in one picture with track 0
    vectors |= {900: np.full(128, 1.0), 901: vectors[0]}
    named = name_persons([*tracks, stranger, beside], vectors)
    assert len({(named[i], truth[i]) for i in truth}) == 5
    assert named[900] not in {named[i] for i in truth}
    assert named[901] != named[0]


def test_names_follow_first_appearance() -> None:
    tracks, vectors, _ = _people(4, 10)
    named = name_persons(tracks[::-1], vectors)
    seen = list(dict.fromkeys(named[track.id] for track in tracks))
    assert seen == [f"person_{i + 1}" for i in range(len(seen))]


def test_two_faces_in_one_picture_are_never_one_person() -> None:
    same = np.zeros(128)
    tracks = [_track(0, 0, 5), _track(1, 4, 9), _track(2, 20, 25), _track(3, 20, 22)]
    named = name_persons(tracks, dict.fromkeys(range(4), same))
    assert named[0] != named[1]
    assert named[2] != named[3]
    assert len(set(named.values())) == 2


def test_unlike_faces_stay_apart_and_unknown_ones_alone() -> None:
    rng = np.random.default_rng(1)
    vectors = {i: rng.normal(size=128) / np.sqrt(128) for i in range(5)}  # about 1.4 apart
    tracks = [_track(i, 10 * i, 10 * i + 5) for i in range(6)]
    assert len(set(name_persons(tracks, vectors).values())) == 6
    assert len(set(name_persons(tracks).values())) == 6


def test_dropped_tracks_have_no_name_and_bind_nobody() -> None:
    tracks = [_track(0, 0, 5), _track(1, 2, 2, kept=False), _track(2, 9, 12)]
    same = np.zeros(128)
    assert name_persons(tracks, dict.fromkeys(range(3), same)) == {0: "person_1", 2: "person_1"}
    assert name_persons([]) == {}
