"""`lorimer watch`: a study in a terminal, from the store alone."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.made_store import STUDY
from lorimer.dashboard.shelf import Shelf
from lorimer.dashboard.views.overview import Overview, overview
from lorimer.models.flow import places
from lorimer.models.flow.control import Flow, User
from lorimer.traces.writing.holder import this_process
from lorimer.watch.cells import StyledText, clean, columns, cut, fit, wrapped, written
from lorimer.watch.frame import frame, seconds_left
from tests.cli.support import LORIMER, refused, typed
from tests.dashboard.conftest import Served
from tests.dashboard.test_hostile import PAYLOADS, poison
from tests.support.whole_screen import WholeScreen


def page(served: Served) -> Overview:
    shelf = Shelf(served.reader, served.root)
    return overview(shelf, shelf.open(STUDY))


def shown(served: Served, width: int = 79, height: int = 24) -> list[str]:
    return [written(row, colour=False) for row in frame(page(served), width, height, "q ends")]


@pytest.fixture
def watched(served: Served) -> Iterator[WholeScreen]:
    made = WholeScreen([*LORIMER, "watch", "-C", str(served.root)], (80, 24), {"NO_COLOR": "1"})
    yield made
    made.close()


def at_rest(screen: WholeScreen) -> bool:
    return bool(screen.rows) and screen.rows[-1].startswith("q ends")


def test_a_study_is_seen_in_a_terminal_and_q_ends_it(watched: WholeScreen) -> None:
    watched.until(at_rest)
    assert (watched.alternate, watched.hidden) == (True, True)
    assert len(watched.rows) == 24
    assert max(map(len, watched.rows)) < 80
    said = "\n".join(watched.rows)
    assert said.startswith(f"{STUDY} paused")
    assert re.search(r"champion +0\.\d{3} \[0\.\d\d, 0\.\d\d\] +c\d{3}: ", said)
    assert "=====" in said
    assert "*" in said
    assert "spent     $" in said
    assert not re.search(r"\x1b\[[\d;]*m", watched.said), "NO_COLOR"
    watched.type("q")
    assert watched.end() == 0
    assert (watched.alternate, watched.hidden, watched.restored) == (False, False, True)


def test_it_follows_the_store_and_leaves_no_debris_at_a_resize(served: Served, watched: WholeScreen) -> None:
    watched.until(at_rest)
    watched.resize(44, 12)
    watched.until(lambda screen: len(screen.rows) == 12 and at_rest(screen))
    assert max(map(len, watched.rows)) < 44
    watched.resize(120, 40)
    watched.until(lambda screen: len(screen.rows) == 40 and at_rest(screen))
    assert sum(row.startswith("spent") for row in watched.rows) == 1
    assert sum(row.startswith("q ends") for row in watched.rows) == 1
    served.change("UPDATE study SET state = 'finished' WHERE id = ?", STUDY)
    watched.until(lambda screen: screen.rows[0].startswith(f"{STUDY} finished") and at_rest(screen))
    watched.type("\x03")  # Ctrl-C
    assert watched.end() == 0
    assert watched.restored


def test_a_signal_leaves_the_terminal_as_it_was(watched: WholeScreen) -> None:
    watched.until(at_rest)
    os.kill(watched.process.pid, signal.SIGTERM)
    assert watched.end() == 128 + signal.SIGTERM
    assert (watched.alternate, watched.restored) == (False, True)


def test_where_nobody_watches_it_is_printed_once(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    said = typed(capsys, "watch", STUDY, "-C", served.root)
    assert said.code == 0
    assert said.out.startswith(f"{STUDY} paused")
    assert "\x1b" not in said.out
    assert "q ends" not in said.out
    assert "there is no study nowhere" in refused(capsys, 2, "watch", "nowhere", "-C", served.root)


def test_what_runs_is_shown_and_what_is_sealed_is_not(served: Served) -> None:
    plan = served.reader.trials(STUDY, stage="full", limit=1)[0]
    sealed = served.reader.trials(STUDY, stage="holdout", limit=1)[0]
    served.change("UPDATE study SET state = 'running', holder = ? WHERE id = ?", this_process(), STUDY)
    for row in served.reader.sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").rows:
        served.change(f'DROP TRIGGER "{row[0]}"')
    served.change("UPDATE trial SET state = 'running', reward = NULL WHERE id IN (?, ?)", plan.id, sealed.id)
    said = "\n".join(shown(served, 120, 40))
    assert re.search(rf"runs now +c\d+, full +\d+/\d+ +[#-]+ +{plan.task}", said)
    assert "sealed tasks" in said
    assert not [name for name in page(served).opened.world.holdout if name in said]
    assert "sealed tasks: shown at the end" in said


def test_what_holds_back_requests_is_shown_while_it_runs(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    me = f"{this_process().partition(':')[2]}:0"
    at_limit = Flow(limit=6.5, cut=0.0, users={me: User(flying=6, provider="anthropic")})
    kept = places.at("http://127.0.0.1:9", "key", {})
    kept.change(lambda flow: (at_limit, None))
    try:
        assert "requests  " not in typed(capsys, "watch", STUDY, "-C", served.root).out
        served.change("UPDATE study SET state = 'running', holder = ? WHERE id = ?", this_process(), STUDY)
        said = typed(capsys, "watch", STUDY, "-C", served.root).out
    finally:
        kept.close()
    assert "requests  anthropic: at most 6 at once, as it had too much to do at 00:00 UTC" in said


@pytest.mark.parametrize(("width", "height"), [(79, 24), (40, 10), (20, 5), (200, 60), (1, 1)])
def test_it_fits_whatever_terminal_there_is(served: Served, width: int, height: int) -> None:
    rows = shown(served, width, height)
    assert len(rows) == height
    assert max(map(columns, rows)) <= width


def test_nothing_that_others_wrote_moves_the_cursor(served: Served) -> None:
    poison(served, "".join(PAYLOADS) + "\x1b[2J\x1b]0;title\x07\r\n\x9b31m\u202e\u200b")
    said = "".join(shown(served, 200, 60))
    assert not [letter for letter in said if ord(letter) < 32 or letter in "\x7f\x9b\u202e\u200b"]


@given(st.text(), st.integers(0, 30))
def test_a_cut_text_is_never_wider_than_it_may_be(text: str, width: int) -> None:
    assert columns(cut(clean(text), width)) <= width
    assert sum(columns(piece.text) for piece in fit([StyledText(text), StyledText(text)], width)) <= width
    assert all(columns(line) <= max(width, 1) for line in wrapped(text, max(width, 1), 3))
    assert len(wrapped(text, 10, 3)) <= 3


def test_wide_letters_count_twice_and_marks_on_letters_nothing() -> None:
    assert columns("漢字e\u0301") == 5
    assert cut("漢字漢字", 5) == "漢.."


def test_the_time_left_is_that_of_the_bound_that_is_reached_first() -> None:
    assert seconds_left(100.0, [0.5, 0.1]) == pytest.approx(100.0)
    assert seconds_left(100.0, [0.0]) is None
    assert seconds_left(0.0, [0.5]) is None


def test_colours_are_for_those_who_want_them() -> None:
    row = [StyledText("paused", "warn"), StyledText(" x")]
    assert written(row, colour=True) == "\x1b[33mpaused\x1b[0m x"
    assert written(row, colour=False) == "paused x"


def test_a_terminal_that_only_speaks_ascii_is_served(served: Served) -> None:
    served.change("UPDATE candidate SET title = ?", "Prüfe 漢字")
    command = [*LORIMER, "watch", "-C", str(served.root)]
    screen = WholeScreen(command, (80, 24), {"PYTHONIOENCODING": "ascii"})
    try:
        screen.until(at_rest)
        assert any("Pr?fe ??" in row for row in screen.rows)
        screen.type("q")
        assert screen.end() == 0
    finally:
        screen.close()
