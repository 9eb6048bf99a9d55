"""The report in a real browser: it draws what the data say, follows the playhead, and runs nothing but its own."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from merkit.report import Preview, write_html
from merkit.schema import Timeline

from .browser import Browser, Page
from .sample import LABELS, sample_sound, sample_timeline

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(300)]

HOSTILE = "</script><img src=x onerror=document.title='owned'><script>document.title='owned'</script><!--"


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return sample_timeline()


@pytest.fixture(scope="module")
def report(timeline: Timeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_html(timeline, tmp_path_factory.mktemp("report") / "report.html")


def answer_at(timeline: Timeline, person: str | None, t: float) -> np.ndarray | None:
    """The fused probabilities that the page must show: of the window whose centre is nearest to `t`."""
    windows = [window for window in timeline.windows if window.person == person]
    return min(windows, key=lambda window: abs((window.start_s + window.end_s) / 2 - t)).fused


def assert_sound(page: Page) -> None:
    assert page.data("faults") is None
    assert page.data("ready") == "yes"
    assert [url for url in page.requests() if not url.startswith(("data:", "blob:"))] == []


def test_draws_every_entity_and_asks_for_nothing(browser: Browser, report: Path, timeline: Timeline) -> None:
    with browser.open(report) as page:
        assert_sound(page)
        assert page.data("entities") == page.data("lanes") == "3"
        assert page.data("segments") == str(len(timeline.segments))
        answered = sum(window.fused is not None for window in timeline.windows)
        assert int(page.data("points")) == answered
        assert int(page.data("faces")) > 8
        # Something is painted: the plot of the clip holds many colours, none of them by chance of an empty canvas.
        colours = page.value(
            "(() => { const c = document.querySelector('[data-entity=clip]').nextSibling.querySelector('canvas');"
            " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; const seen = new Set();"
            " for (let i = 0; i < d.length; i += 4)"
            " if (d[i + 3] === 255) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);"
            " return seen.size; })()"
        )
        assert colours >= len(LABELS)


@pytest.mark.parametrize("t", [1.5, 6.2, 20.05])
def test_the_hash_seeks_and_the_panel_says_what_the_data_say(
    browser: Browser, report: Path, timeline: Timeline, t: float
) -> None:
    fused = answer_at(timeline, None, t)
    assert fused is not None
    with browser.open(report, hash=f"t={t}") as page:
        assert_sound(page)
        assert float(page.data("t")) == pytest.approx(t)
        assert page.value("document.getElementById('now').dataset.label") == LABELS[fused.argmax()]
        shown = page.value(
            "Object.fromEntries([...document.querySelectorAll('.bar-row')].map(row =>"
            " [row.querySelector('.word').textContent, row.querySelector('.value').textContent]))"
        )
        for label, prob in zip(LABELS, fused, strict=True):
            assert int(shown[label].split()[0]) == pytest.approx(100 * prob, abs=0.51)


def test_the_line_being_said_is_marked_and_a_click_on_a_line_seeks(
    browser: Browser, report: Path, timeline: Timeline
) -> None:
    said, other = timeline.segments[1], timeline.segments[4]
    with browser.open(report, hash=f"t={said.start_s + 0.1}") as page:
        marked = "[...document.querySelectorAll('.line[aria-current=true]')].map(line => line.textContent)"
        assert len(page.value(marked)) == 1 and said.text in page.value(marked)[0]
        page.value("document.querySelectorAll('.line')[4].click()")
        assert float(page.data("t")) == pytest.approx(other.start_s, abs=1e-3)
        assert other.text in page.value(marked)[0]


def test_nothing_is_said_of_a_person_who_is_not_there(browser: Browser, report: Path, timeline: Timeline) -> None:
    assert answer_at(timeline, "person_2", 1.0) is None
    with browser.open(report, hash="t=1&who=person_2") as page:
        assert page.value("document.getElementById('now').dataset.label") == ""
        assert page.value("document.getElementById('now-top').textContent") == "Person 2 is not seen here"
        assert page.value("[...document.querySelectorAll('.bar-row .value')].every(v => v.textContent === '')")


def test_pointer_and_keys_move_the_playhead(browser: Browser, report: Path) -> None:
    with browser.open(report, height=2400) as page:
        box = page.box("#seek")
        page.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert float(page.data("t")) == pytest.approx(12.0, abs=0.05)
        assert page.value("document.activeElement.id") == "seek"
        page.key("ArrowRight")
        assert float(page.data("t")) == pytest.approx(12.5, abs=0.05)
        page.key("ArrowLeft", shift=True)
        assert float(page.data("t")) == pytest.approx(7.5, abs=0.05)
        page.key("Home")
        assert float(page.data("t")) == 0.0
        page.key("+")
        page.settle()
        assert float(page.data("span")) == pytest.approx(12.0)
        assert page.value("!document.getElementById('overview').hidden")
        assert "seek" in page.value("document.activeElement.id")
        assert re.match(r"0\.0 s, ", page.value("document.getElementById('seek').getAttribute('aria-valuetext')"))


def test_without_a_player_the_playhead_still_runs(browser: Browser, report: Path) -> None:
    with browser.open(report) as page:
        page.value("document.getElementById('play').click()")
        page.wait("Number(document.documentElement.dataset.t) > 0.3")
        page.value("document.getElementById('play').click()")
        stopped = page.data("t")
        page.settle()
        assert page.data("t") == stopped


def test_text_of_the_clip_is_never_run(browser: Browser, tmp_path: Path, timeline: Timeline) -> None:
    hostile = replace(
        timeline,
        clip={**timeline.clip, "id": HOSTILE, "file": HOSTILE},
        segments=tuple(replace(s, text=HOSTILE, source=HOSTILE) for s in timeline.segments),
        warnings=(HOSTILE,),
        notice=HOSTILE,
        settings={HOSTILE: HOSTILE},
        model={**timeline.model, "name": HOSTILE},
        presence=tuple(replace(p, reason=HOSTILE) for p in timeline.presence),
    )
    with browser.open(write_html(hostile, tmp_path / "hostile.html"), hash="t=1", width=390) as page:
        assert_sound(page)
        assert page.value("document.scrollingElement.scrollWidth") <= 390
        assert page.value("document.title").startswith("</script>")
        assert page.value("document.querySelectorAll('img[src=x]').length") == 0
        assert page.value("document.querySelector('.line').textContent").count(HOSTILE) == 1
        assert page.value("document.getElementById('name').textContent") == HOSTILE


def test_the_policy_stops_scripts_that_are_not_the_reports_own(browser: Browser, report: Path) -> None:
    """The check that the policy works at all: an injected script does not run and is seen as a violation."""
    with browser.open(report) as page:
        page.value(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
        )
        page.value("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/pixel.png'}))")
        page.wait("(document.documentElement.dataset.faults || '').includes('img-src')")
        assert page.value("window.ran ?? null") is None
        assert "blocked script-src" in page.data("faults")


@pytest.mark.parametrize("width", [390, 320, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_fits_the_screen_in_both_schemes(browser: Browser, report: Path, width: int, dark: bool) -> None:
    with browser.open(report, width=width, height=844, dark=dark, hash="t=6.2") as page:
        assert_sound(page)
        page.settle()
        assert page.value("innerWidth") == width
        assert page.value("document.scrollingElement.scrollWidth") <= width
        paper = page.value("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 200) == dark
        page.value("document.getElementById('theme').click()")
        assert page.value("getComputedStyle(document.body).backgroundColor") != paper


def test_modality_view_draws_one_strip_per_modality(browser: Browser, report: Path) -> None:
    with browser.open(report, hash="view=modality&t=6.2") as page:
        page.settle()
        assert_sound(page)
        named = page.value(
            "[...document.querySelectorAll('[data-entity=clip] .caps span')].map(cap => cap.textContent)"
        )
        assert named == ["text", "speech", "face", "scene"]


def test_sound_plays_and_the_playhead_follows(browser: Browser, tmp_path: Path) -> None:
    clip = sample_timeline(video=False, persons=0)
    preview = Preview.from_file(sample_sound(tmp_path / "a.wav"))
    with browser.open(write_html(clip, tmp_path / "sound.html", preview=preview), hash="t=3") as page:
        page.wait("document.documentElement.dataset.media === 'ready'")
        page.wait("!!document.documentElement.dataset.levels")
        assert page.value("document.querySelector('audio').currentTime") == pytest.approx(3.0, abs=0.01)
        page.value("document.querySelector('audio').play()")
        page.wait("Number(document.documentElement.dataset.t) > 3.3")
        page.value("document.querySelector('audio').pause()")
        page.value("document.querySelector('audio').currentTime = 10")
        page.wait("Number(document.documentElement.dataset.t) === 10")
        assert_sound(page)


def test_a_clip_from_disk_can_be_opened(browser: Browser, tmp_path: Path) -> None:
    clip = sample_timeline(video=False, persons=0)
    right, wrong = sample_sound(tmp_path / "right.wav"), sample_sound(tmp_path / "wrong.wav", 9.0)
    path = write_html(clip, tmp_path / "report.html")
    for sound, doubt in ((right, False), (wrong, True)):
        with browser.open(path, hash="t=2") as page:
            node = page.call("DOM.querySelector", {"nodeId": root_of(page), "selector": "#pick-file"})["nodeId"]
            page.call("DOM.setFileInputFiles", {"files": [str(sound)], "nodeId": node})
            page.wait("document.documentElement.dataset.media === 'ready'")
            assert page.value("document.querySelector('audio').currentTime") == pytest.approx(2.0, abs=0.01)
            assert page.value("!document.getElementById('stage-note').hidden") is doubt
            assert_sound(page)


def root_of(page: Page) -> int:
    return page.call("DOM.getDocument")["root"]["nodeId"]


@pytest.mark.parametrize(
    "case",
    [
        {"video": False, "audio": False, "persons": 0},
        {"persons": 0, "words": ()},
        {"duration": 0.7, "persons": 1, "words": ()},
        {"words": (None,), "signals": True},
        {"persons": 40, "duration": 60.0},
    ],
    ids=["words-only", "no-person-no-words", "shorter-than-a-window", "untranscribed-with-signals", "crowd"],
)
def test_every_kind_of_clip_draws(browser: Browser, tmp_path: Path, case: dict) -> None:
    with browser.open(write_html(sample_timeline(**case), tmp_path / "r.html"), width=390, hash="t=0.3") as page:
        page.settle()
        assert_sound(page)
        assert page.value("document.scrollingElement.scrollWidth") <= 390
        assert page.value("document.getElementById('now-top').textContent") != ""


def test_labels_that_the_page_has_no_colour_for_get_one_each(browser: Browser, tmp_path: Path) -> None:
    names = tuple(f"feeling {n}" for n in range(len(LABELS)))
    with browser.open(write_html(replace(sample_timeline(), labels=names), tmp_path / "r.html"), hash="t=6.2") as page:
        assert_sound(page)
        dots = page.value("[...document.querySelectorAll('#legend .dot')].map(dot => dot.style.background)")
        assert len(set(dots)) == len(names)
        assert page.value("document.getElementById('now').dataset.label") in names


def test_a_timeline_with_nothing_in_it_says_so(browser: Browser, tmp_path: Path) -> None:
    empty = replace(
        sample_timeline(4.0, persons=0, words=()), windows=(), summary=(), segments=(), persons=(), presence=()
    )
    with browser.open(write_html(empty, tmp_path / "empty.html")) as page:
        assert_sound(page)
        assert page.value("document.getElementById('now-top').textContent") == "Nothing seen or heard here"
        assert "No words" in page.value("document.getElementById('words').textContent")


def test_an_hour_draws_as_few_points_and_zooms_into_all(browser: Browser, tmp_path: Path) -> None:
    hour = sample_timeline(3600.0, hop=1.0, persons=3)
    path = write_html(hour, tmp_path / "hour.html")
    assert path.stat().st_size < 5_000_000
    with browser.open(path, hash="t=1800") as page:
        page.settle()
        assert_sound(page)
        assert 100 < int(page.data("points")) < 1200
        assert "mean over" in page.value("document.getElementById('grain').textContent")
        for _ in range(8):
            page.value("document.getElementById('zoom-in').click()")
        page.settle()
        assert page.value("document.getElementById('grain').textContent") == ""
        fused = answer_at(hour, None, 1800.0)
        assert page.value("document.getElementById('now').dataset.label") == LABELS[fused.argmax()]


def drawn_film(path: Path, duration: float) -> Path:
    """A WebM of plain 320x180 pictures, 10 a second."""
    import av

    with av.open(str(path), "w", format="webm") as sink:
        stream = sink.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for n in range(round(duration * 10)):
            picture = av.VideoFrame.from_ndarray(np.full((180, 320, 3), n % 200, np.uint8), format="rgb24")
            sink.mux(stream.encode(picture.reformat(format="yuv420p")))
        sink.mux(stream.encode())
    return path


@pytest.mark.parametrize("width", [390, 1280])
def test_face_boxes_lie_on_the_picture(browser: Browser, tmp_path: Path, timeline: Timeline, width: int) -> None:
    preview = Preview.from_file(drawn_film(tmp_path / "a.webm", 24.0))
    path = write_html(timeline, tmp_path / "film.html", preview=preview)
    person = timeline.persons[0]
    seen = 7  # the time of one sighting
    with browser.open(path, width=width, hash=f"t={person.times_s[seen] + 1e-4}") as page:
        page.wait("document.documentElement.dataset.media === 'ready'")
        page.settle()
        stage, box = page.box("video"), page.box(".face-box")
        scale = min(stage["width"] / 320, stage["height"] / 180)
        left = stage["x"] + (stage["width"] - 320 * scale) / 2
        top = stage["y"] + (stage["height"] - 180 * scale) / 2
        x0, y0, x1, y1 = person.boxes[seen] * [320, 180, 320, 180] * scale
        assert (box["x"], box["y"]) == pytest.approx((left + x0, top + y0), abs=1.5)
        assert (box["width"], box["height"]) == pytest.approx((x1 - x0, y1 - y0), abs=1.5)
        assert page.value("document.querySelector('video').videoWidth") == 320
        page.value("document.getElementById('play').click()")
        page.wait(f"document.querySelector('video').currentTime > {person.times_s[seen] + 0.3}")
        assert float(page.data("t")) == pytest.approx(
            page.value("document.querySelector('video').currentTime"), abs=0.2
        )
        assert_sound(page)


def test_between_sightings_far_apart_no_box_is_drawn(browser: Browser, report: Path, timeline: Timeline) -> None:
    times = timeline.persons[0].times_s
    wide = int(np.argmax(np.diff(times)))
    assert np.diff(times)[wide] > 2
    boxes = (
        "[...document.querySelectorAll('.face-box:not([hidden])')]"
        ".filter(box => box.textContent.startsWith('Person 1')).length"
    )
    with browser.open(report, hash=f"t={times[wide] + 1.2}") as page:
        assert page.value(boxes) == 0
        page.value(f"location.hash = 't={times[wide]}'")
        page.wait(f"{boxes} === 1")


@pytest.mark.parametrize(
    ("view", "entity", "modality"),
    [("fused", "person_1", None), ("modality", "person_1", "face"), ("modality", None, "text")],
)
def test_gaps_are_left_open(
    browser: Browser, report: Path, timeline: Timeline, view: str, entity: str | None, modality: str | None
) -> None:
    """Paint stands in every column with evidence and in none without; the strip looked at is the lane's first."""
    windows = [w for w in timeline.windows if w.person == entity]
    centres = np.array([(w.start_s + w.end_s) / 2 for w in windows])
    seen = np.array([w.fused is not None and (modality is None or modality in w.prob) for w in windows])
    opaque = (
        f"(t => {{ const c = document.querySelector('[data-entity={entity or 'clip'}]').nextSibling"
        ".querySelector('canvas'); const x = Math.round(t / 24 * c.width);"
        " const d = c.getContext('2d').getImageData(x, 2, 1, 30).data;"
        " let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] === 255; return n; })"
    )
    with browser.open(report, hash=f"view={view}") as page:
        page.settle()
        for centre in centres[seen][::4]:
            assert page.value(f"{opaque}({centre})") >= 20  # where two bands meet a pixel is not quite opaque
        assert (~seen).any()
        for centre in centres[~seen]:
            assert page.value(f"{opaque}({centre})") == 0


def test_only_modalities_with_evidence_are_said_to_weigh_in(browser: Browser, report: Path, timeline: Timeline) -> None:
    window = next(w for w in timeline.windows if w.person is None and "text" not in w.prob)
    with browser.open(report, hash=f"t={(window.start_s + window.end_s) / 2}") as page:
        rows = page.value("[...document.querySelectorAll('.share')].map(row => row.textContent)")
    expected = [
        f"{name} {round(100 * window.contribution[name])} %{LABELS[prob.argmax()]} {round(100 * prob.max())} %"
        for name, prob in window.prob.items()
    ]
    assert rows == expected
