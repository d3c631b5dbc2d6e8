"""What a study looks like: live, plain, quiet, JSON."""

from __future__ import annotations

import io
import json
import math
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lorimer
from lorimer.meta_agent.gate.comparison import Decision
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.workspace.events import (
    BudgetUsed,
    BudgetWarning,
    Decided,
    Event,
    Promoted,
    ProposalFailed,
    Proposed,
    Proposing,
    StageFinished,
    StageStarted,
    StudyEnded,
    TrialFinished,
)
from lorimer.task_agent.budget import Allowance
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.terminal.live import Mode, Terminal, choose_mode
from lorimer.terminal.pace import StudyPace, TokenPace
from lorimer.terminal.screen import Screen
from lorimer.terminal.words import duration, score_text, table, to_json
from lorimer.traces.schema import PlannedTrial, Saved, Stage, TrialState
from lorimer.wording import dollars, dollars_apart
from tests.support.tty import Tty

SCORE = Score(0.5, 0.2, 0.8, 4, 8, 1)


def trial(number: int, reward: float | None = 1.0) -> TrialFinished:
    planned = PlannedTrial(f"s/{number}", "s", "s/baseline/baseline", Stage.BASELINE, "sha", f"t{number}", 0, 0)
    return TrialFinished(TrialOutcome(planned, TrialState.SCORED, reward, "finished"))


def used(usd: float, unknown: int = 0, *left: Allowance) -> BudgetUsed:
    return BudgetUsed(None if unknown else usd, usd, unknown, 1000, left)


EVENTS: tuple[Event, ...] = (
    StageStarted("s/baseline/baseline", "", None, Stage.BASELINE, 4, 1),
    used(0.25),
    trial(1),
    used(0.5),
    trial(2, reward=0.0),
    StageFinished("s/baseline/baseline", "", Stage.BASELINE, SCORE),
    Decided("", Stage.BASELINE, Decision("pass", "said already", {"score": 0.5})),
    Proposing("s/c001", 1, 3),
    Proposed(
        "s/c001", "Check [the] result", "Most end early.", ("t1",), (), "touches 1 of 2 failed and 0 of 1 solved trials"
    ),
    StageStarted("s/c001/full", "s/c001", 1, Stage.FULL, 4, 0),
    StageFinished("s/c001/full", "s/c001", Stage.FULL, SCORE),
    Decided("s/c001", Stage.FULL, Decision("promote", "passed: 4/4 against 1/4")),
    Promoted("s/c001", "Check the result", "0123456789abcdef", SCORE, ""),
    Proposing("s/c002", 2, None),
    ProposalFailed("s/c002", "no edit that applies"),
    StudyEnded("s", "finished", "all tried", "done"),
)

PLAIN = """\
  baseline score 0.500 [0.20, 0.80] over 4 tasks, 1 errored  $0.5000
s/c001: Check [the] result
  Most end early.
  touches 1 of 2 failed and 0 of 1 solved trials
  full     score 0.500 [0.20, 0.80] over 4 tasks, 1 errored  $0.5000
  full     passed: 4/4 against 1/4
  promoted score 0.500 [0.20, 0.80] over 4 tasks, 1 errored  commit 0123456789
s/c002: no usable edit: no edit that applies
"""


def shown(mode: Mode, stream: io.StringIO, *events: Event) -> str:
    with Terminal(mode, stream) as terminal:
        for event in events:
            terminal.on_event(event)
        terminal.on_wait(75, "HTTP 429: slow down")
    return stream.getvalue()


def test_a_pipe_gets_plain_lines() -> None:
    wait = "  waiting 1:15 before asking again: HTTP 429: slow down\n"
    assert shown("plain", io.StringIO(), *EVENTS) == PLAIN + wait


def test_whom_a_request_waits_for_is_said_without_a_time() -> None:
    stream = io.StringIO()
    with Terminal("plain", stream) as terminal:
        terminal.on_wait(0.0, "for a turn: local may have 1 request in flight at once, and process 4711 has 1")
    assert stream.getvalue() == (
        "  waiting for a turn: local may have 1 request in flight at once, and process 4711 has 1\n"
    )


def test_what_records_saved_stands_beside_what_is_spent() -> None:
    spent = BudgetUsed(0.5, 0.5, 0, 1000, (), Saved(2, 4, 240, 0.02, 0, 9.0))
    unpriced = BudgetUsed(None, 0.0, 3, 1000, (), Saved(2, 4, 240, 0.0, 4, 9.0))
    ended = StageFinished("s/c001/spot", "s/c001", Stage.SPOT, SCORE)
    first, second, _ = shown("plain", io.StringIO(), spent, ended, unpriced, ended).splitlines()
    assert first.endswith("  $0.5000 (saved $0.0200)")
    assert second.endswith("  $ unknown (saved $ unknown)")


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tty, int], None]:
    """Gives a terminal another width, as its user does with the mouse."""

    def resize(tty: Tty, width: int) -> None:
        tty.width = width
        monkeypatch.setenv("COLUMNS", str(width))

    monkeypatch.setenv("TERM", "xterm")
    return resize


Columns = Callable[[Tty, int], None]


def test_a_terminal_keeps_what_is_said_and_nothing_else(columns: Columns) -> None:
    tty = Tty()
    columns(tty, 200)
    with Terminal("live", tty) as terminal:
        for event in EVENTS:
            terminal.on_event(event)
        terminal.on_wait(75, "HTTP 429: slow down")
    assert tty.rows == [*PLAIN.splitlines(), "  waiting 1:15 before asking again: HTTP 429: slow down", ""]
    assert tty.getvalue().startswith("\x1b[?25l")
    assert tty.getvalue().endswith("\x1b[?25h")


def test_arriving_tokens_are_shown_where_there_is_room_and_only_while_they_arrive(columns: Columns) -> None:
    tty = Tty()
    columns(tty, 80)
    with Terminal("live", tty) as terminal:
        terminal.on_event(Proposing("study-1/c012", 12, 40))
        terminal.on_tokens(50.0)
        terminal.on_event(Proposing("study-1/c012", 12, 40))
        assert re.fullmatch(r"(at work|reading traces)  \d+ tokens/s", tty.rows[0])
        terminal.on_event(StageStarted("study-1/c012/full", "study-1/c012", 12, Stage.FULL, 84, 40))
        for number in range(2):
            terminal.on_tokens(600.0)
            terminal.on_event(trial(number, float(number)))
        stage = r"c012 full  42/84  0\.500 \[0\.09, 0\.91\]  stage \d+:\d\d left"
        assert re.fullmatch(rf"{stage}  \d+ tokens/s  #+-+", tty.rows[0])
        columns(tty, 72)
        terminal.on_tokens(1.0)
        terminal.on_event(trial(2))
        assert "tokens/s" not in tty.rows[0]
        assert re.search(r" left  #{4,}-{4,}$", tty.rows[0])


def test_what_is_no_terminal_says_nothing_of_tokens() -> None:
    for mode in ("plain", "quiet", "json"):
        stream, silent = io.StringIO(), io.StringIO()
        for out, tokens in ((stream, 5000.0), (silent, 0.0)):
            with Terminal(mode, out, plain_seconds=0.0) as terminal:
                for event in EVENTS:
                    terminal.on_tokens(tokens)
                    terminal.on_event(event)
        assert re.sub(r"\d+:\d\d", "", stream.getvalue()) == re.sub(r"\d+:\d\d", "", silent.getvalue())


def test_the_pace_of_tokens_is_that_of_the_last_seconds() -> None:
    now = 1000.9
    pace = TokenPace(lambda: now)
    assert pace.each_second() == 0
    for _ in range(20):
        pace.add(10.0)
    assert pace.each_second() == 40.0
    for _ in range(60):
        now += 1.0
        pace.add(100.0)
    assert 100.0 <= pace.each_second() <= 120.0
    now += 4.0
    assert 0 < pace.each_second() <= 40.0
    now += 3.0
    assert pace.each_second() == 0


def test_80_columns_show_score_interval_cost_times_and_candidate(columns: Columns) -> None:
    tty = Tty()
    columns(tty, 80)
    bounds = (Allowance("budget.usd", 0.5, 20.0), Allowance("budget.tokens", 12_000, 10_000_000))
    with Terminal("live", tty) as terminal:
        terminal.on_event(Proposing("study-1/c012", 12, 40))
        terminal.on_event(StageStarted("study-1/c012/full", "study-1/c012", 12, Stage.FULL, 84, 40))
        terminal.on_event(used(0.4321, 0, *bounds))
        for number in range(2):
            terminal.on_event(trial(number, float(number)))
        stage, study = tty.rows
    assert re.fullmatch(r"c012 full  42/84  0\.500 \[0\.09, 0\.91\]  stage \d+:\d\d left  #{10,}-{10,}", stage)
    assert re.fullmatch(r"candidate 12 of 40  \$0\.4321  study \? left  0:0\d so far", study)
    assert max(len(stage), len(study)) < 80


def test_a_wide_terminal_shows_what_is_left_too(columns: Columns) -> None:
    tty = Tty()
    columns(tty, 200)
    with Terminal("live", tty) as terminal:
        terminal.on_event(used(0.5, 0, *BOUNDS))
        terminal.on_event(EVENTS[0])
        assert tty.rows[1].endswith("$4.50, 88,000 tokens, 0 trials, 7:59:24, meta $0.7500 left")


def test_sealed_trials_show_no_score(columns: Columns) -> None:
    tty = Tty()
    columns(tty, 80)
    planned = PlannedTrial("s/1", "s", "s/c001/holdout", Stage.HOLDOUT, "sha", "t1", 0, 0)
    with Terminal("live", tty) as terminal:
        terminal.on_event(StageStarted("s/c001/holdout", "s/c001", 1, Stage.HOLDOUT, 4, 0))
        terminal.on_event(TrialFinished(TrialOutcome(planned, TrialState.SCORED, 1.0, "finished")))
        assert tty.rows[0].startswith("c001 holdout  1/4  stage ")


@given(st.lists(st.tuples(st.integers(1, 120), st.text("abc ", max_size=90)), max_size=8))
def test_a_resize_leaves_no_debris(steps: list[tuple[int, str]]) -> None:
    """However the terminal is made wider or narrower: what was said, and the live lines once, below it."""
    with pytest.MonkeyPatch.context() as patch:
        tty, said = Tty(), list[str]()
        patch.setenv("COLUMNS", "80")
        screen = Screen(tty, lambda width: ["#" * min(70, width), "=" * min(50, width)])
        screen.draw()
        for width, line in steps:
            tty.width = width
            patch.setenv("COLUMNS", str(width))
            screen.above(line)
            said.append(line)
            rows = [row for each in said for row in tty.wrapped(each)]
            assert tty.rows == [*rows, *["#" * min(70, width - 1), "=" * min(50, width - 1)]]
        screen.close()
        assert tty.rows == [row for each in [*said, ""] for row in tty.wrapped(each)]


def test_the_clock_goes_on_where_nothing_happens(columns: Columns) -> None:
    tty, drawn = Tty(), threading.Event()
    columns(tty, 80)
    calls: list[int] = []

    def lines(width: int) -> list[str]:
        calls.append(width)
        if len(calls) > 2:
            drawn.set()
        return ["x"]

    screen = Screen(tty, lines)
    assert drawn.wait(60)
    screen.close()
    assert set(calls) == {79}


def test_a_study_is_as_far_from_its_end_as_its_pace_says() -> None:
    now = [100.0]
    pace = StudyPace(lambda: now[0])
    bounds = [Allowance("budget.usd", 1.0, 5.0)]
    assert pace.left(bounds) is None  # nothing has been used yet
    pace.candidate(1, 4)
    now[0] += 60
    assert pace.left(()) is None  # no candidate has ended yet
    pace.candidate(2, 4)
    assert pace.left(()) == 60 + 60 + 60
    now[0] += 90
    assert pace.left(()) == 60 + 60  # the one under way takes longer than the first
    # A dollar in 150 s, and two are left: that bound is met later than the candidates are tried.
    assert pace.left([Allowance("budget.usd", 2.0, 4.0)]) == 120
    assert pace.left([Allowance("budget.usd", 2.0, 2.5)]) == 75
    assert pace.left([Allowance("budget.hours", 0.0, 0.01)]) == 36


def test_progress_lines_come_now_and_then_where_nobody_watches() -> None:
    stream = io.StringIO()
    with Terminal("plain", stream, plain_seconds=0.0) as terminal:
        for event in EVENTS[:5]:
            terminal.on_event(event)
    said = stream.getvalue().splitlines()
    assert said[1].startswith(
        "  baseline: 3/4 trials  score 0.500 [0.09, 0.91] over 2 tasks  $0.5000  stage 0:00 left, study ? left"
    )


def test_quiet_says_nothing() -> None:
    assert shown("quiet", io.StringIO(), *EVENTS) == ""


def test_json_is_a_line_for_each_event_and_wait() -> None:
    lines = [json.loads(line) for line in shown("json", io.StringIO(), *EVENTS).splitlines()]
    assert [line["event"] for line in lines] == [*(type(event).__name__ for event in EVENTS), "Waiting"]
    assert lines[2]["outcome"]["planned"]["task"] == "t1"
    assert lines[-1] == {"event": "Waiting", "seconds": 75, "why": "HTTP 429: slow down"}


def test_an_unknown_price_is_never_shown_as_nothing() -> None:
    stage, done = EVENTS[0], EVENTS[5]
    assert "$ unknown" in shown("plain", io.StringIO(), stage, used(0.0, 1), trial(1), done)
    assert "$0.2500+" in shown("plain", io.StringIO(), stage, used(0.25, 1), trial(1), done)


BOUNDS = (
    Allowance("budget.usd", 0.5, 5.0),
    Allowance("budget.tokens", 12_000, 100_000),
    Allowance("budget.trials", 600, 500),
    Allowance("budget.hours", 0.01, 8.0),
    Allowance("budget.meta.usd", 0.25, 1.0),
)


def test_what_is_left_of_the_budget_is_always_shown() -> None:
    said = shown("plain", io.StringIO(), EVENTS[0], used(0.5, 0, *BOUNDS), trial(1), EVENTS[5])
    assert "$0.5000, $4.50, 88,000 tokens, 0 trials, 7:59:24, meta $0.7500 left" in said


def test_a_study_that_goes_on_shows_what_it_cost_before() -> None:
    said = shown("plain", io.StringIO(), used(3.0), EVENTS[0], used(3.25), trial(1), EVENTS[5])
    assert "$3.25" in said


def test_a_budget_warning_is_a_line() -> None:
    said = shown("plain", io.StringIO(), BudgetWarning(Allowance("budget.usd", 4.2, 5.0), 80))
    assert said.startswith("warning: 80% of budget.usd is used; $0.8000 of $5.00 left\n")
    said = shown("plain", io.StringIO(), BudgetWarning(Allowance("budget.hours", 4.0, 8.0), 50))
    assert said.startswith("warning: 50% of budget.hours is used; 4:00:00 of 8:00:00 left\n")


def test_the_mode_follows_the_options_and_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert choose_mode(quiet=False, as_json=False, stream=Tty()) == "live"
    assert choose_mode(quiet=False, as_json=False, stream=io.StringIO()) == "plain"
    assert choose_mode(quiet=True, as_json=False, stream=Tty()) == "quiet"
    assert choose_mode(quiet=True, as_json=True, stream=Tty()) == "json"
    monkeypatch.setenv("TERM", "dumb")
    assert choose_mode(quiet=False, as_json=False, stream=Tty()) == "plain"


def test_texts() -> None:
    assert (dollars(0.0), dollars(0.0125), dollars(12.5), dollars(None)) == ("$0.00", "$0.0125", "$12.50", "$ unknown")
    assert (dollars(0.00004567), dollars(0.757), dollars(1234.5), dollars(-0.5)) == (
        "$0.0000457", "$0.7570", "$1,234.50", "$-0.5000"
    )  # fmt: skip
    assert dollars_apart([0.757, 12.0]) == ["$0.7570", "$12.00"], "as each is said where it stands alone"
    assert dollars_apart([12.001, 12.0, 12.0]) == ["$12.001", "$12.000", "$12.000"]
    assert (duration(0.6), duration(725), duration(10_800)) == ("0:01", "12:05", "3:00:00")
    assert score_text(Score(math.nan, 0, 1, 0, 0, 3)) == "no score (3 errored)"
    assert table(("a", "long"), [(1.0, None), ("two\nlines", "x")]) == "a          long\n1.000      -\ntwo lines  x"


def test_dollars_are_written_in_one_place() -> None:
    package = Path(lorimer.__file__).parent
    # An amount that two places round in two ways is read as two amounts.
    written = re.compile(r"""\$\{[^}"']*:[^}"']*[fg]\}""")
    found = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in sorted(package.rglob("*.py"))
        if path != package / "wording.py" and "tasks" not in path.parts
        for line in path.read_text(encoding="utf-8").splitlines()
        if written.search(line)
    ]
    assert found == []


def test_json_has_no_nan_and_keeps_every_letter() -> None:
    assert json.loads(to_json({"score": Score(math.nan, 0, 1, 0, 0, 3), "text": "ü"}))["score"]["mean"] is None
    assert "ü" in to_json("ü")
    assert "\n" not in to_json({"a": [1, 2]}, indent=None)


def test_of_a_round_every_candidate_is_named_before_what_came_of_its_stages() -> None:
    def proposed(name: str) -> Proposed:
        return Proposed(name, f"The edit of {name}", "It should help.", (), (), "")

    def spot(number: int) -> StageStarted:
        return StageStarted(f"s/c00{number}/spot", f"s/c00{number}", number, Stage.SPOT, 4, 0)

    def spotted(number: int) -> StageFinished:
        return StageFinished(f"s/c00{number}/spot", f"s/c00{number}", Stage.SPOT, SCORE)

    champion = StageStarted("s/c009/audit-00001", "s/c009", 9, Stage.AUDIT, 4, 0)
    both = (proposed("s/c001"), proposed("s/c002"), spot(1), spot(2))
    decided = Decided("s/c001", Stage.SPOT, Decision("reject", "rejected: it broke two guards"))
    said = shown("plain", io.StringIO(), *both, spotted(2), spotted(1), decided, champion)
    score = "  spot     score 0.500 [0.20, 0.80] over 4 tasks, 1 errored  $0.00"
    assert said.splitlines()[4:-1] == [score, "s/c001", score, "  spot     rejected: it broke two guards"], (
        "the last that was named is c002, and c001 ends after it"
    )
    alone = shown("plain", io.StringIO(), proposed("s/c001"), spot(1), spotted(1), champion)
    assert "s/c001" not in alone.splitlines(), "its title has just been said"


def test_the_stages_of_a_round_share_a_line(columns: Columns) -> None:
    tty = Tty()
    columns(tty, 80)
    with Terminal("live", tty) as terminal:
        for number in (1, 2):
            terminal.on_event(Proposing(f"s/c00{number}", number, 4, 1))
        assert tty.rows[0] == "reading traces"
        for number, planned in ((1, 10), (2, 30)):
            terminal.on_event(StageStarted(f"s/c00{number}/full", f"s/c00{number}", number, Stage.FULL, planned, 1))
        terminal.on_event(trial(1))
        assert tty.rows[0].startswith("2 x full  3/40  stage ")
        terminal.on_event(StageFinished("s/c002/full", "s/c002", Stage.FULL, SCORE))
        terminal.on_event(trial(2))
        assert re.search(r"^c001 full  2/10  1\.000 \[", "\n".join(tty.rows), re.MULTILINE)
