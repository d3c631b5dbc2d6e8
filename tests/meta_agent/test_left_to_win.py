"""Champions that leave nothing to win: what the gate could still promote over them, and what a study does where it is nothing."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.meta_agent.gate.design import Design, best_result, left_to_win, too_small
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.events import LittleToWin, StudyEnded
from lorimer.terminal.live import Terminal
from lorimer.traces.schema import PlannedTrial
from tests.meta_agent import test_pooled
from tests.meta_agent.test_loop import Bench, config, make_bench, run, script

TASKS = [f"t{number:02}" for number in range(16)]
DEFAULT = Design(Policy(name="pooled", futility=0.42), 5, 4)


def solved(of_last: str, trials: int = 4) -> list[Result]:
    """The trials of a champion that solves all tasks but the last always, and that one so."""
    return [Result(task, 1.0) for task in TASKS[:-1] for _ in range(trials)] + [
        Result(TASKS[-1], float(outcome)) for outcome in of_last
    ]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


@pytest.mark.parametrize("last", ["0000", "1000"])
def test_a_task_that_is_seldom_solved_is_enough_to_win_wherever_its_name_stands(last: str) -> None:
    """A full run begins with it; in the order of names the run would be given up as unlikely before it came."""
    assert left_to_win(DEFAULT, TASKS, solved(last)) is None
    assert best_result(DEFAULT, TASKS, solved(last)).kind == "promote"
    assert too_small(DEFAULT, TASKS, solved(last)) == ""


def test_what_no_result_can_beat_is_said_with_its_p() -> None:
    found = left_to_win(DEFAULT, TASKS, solved("1110"))
    assert found is not None
    assert (found.lasts, found.helps) == (True, {"gate.repeats": 7, "gate.futility": 0})
    assert (
        found.said
        == too_small(DEFAULT, TASKS, solved("1110"))
        == (
            "no edit can be promoted: the champion leaves too little to win on 16 train tasks (rejected: 80/80 against 63/64, "
            "p = 0.13, needs p <= 0.10 - with every trial of the candidate a success); add harder tasks, or set gate.repeats "
            "to 7 and gate.futility to 0"
        )
    )


def test_what_helps_is_named_and_does_help() -> None:
    design = Design(Policy(name="paired"), 2, 2)
    found = left_to_win(design, TASKS, solved("00", 2))
    assert found is not None
    assert (found.lasts, found.helps) == (True, {"gate.repeats": 3})
    assert found.said.endswith("; add harder tasks, or set gate.repeats to 3")
    assert left_to_win(replace(design, repeats=3), TASKS, solved("00", 2)) is None


def test_where_futility_ends_what_would_pass_it_is_named() -> None:
    """Of 16 tasks one is left to win: an edit worth finding is worth more than that, and its run is given up."""
    later = left_to_win(DEFAULT, TASKS, solved("1100"))
    assert later is not None
    assert (later.lasts, later.helps) == (False, {"gate.futility": 0})
    assert later.said.endswith("; add harder tasks, or set gate.futility to 0")
    assert "30 of 80 trials were run" in later.said
    both = left_to_win(DEFAULT, TASKS, solved("1110"))
    assert both is not None
    assert both.said.endswith("; add harder tasks, or set gate.repeats to 7 and gate.futility to 0")
    patient = replace(DEFAULT, policy=replace(DEFAULT.policy, futility=0.0))
    assert left_to_win(patient, TASKS, solved("1100")) is None
    assert left_to_win(replace(patient, repeats=7), TASKS, solved("1110")) is None
    assert left_to_win(replace(patient, repeats=6), TASKS, solved("1110")) is not None


def test_only_harder_tasks_help_where_all_are_solved() -> None:
    found = left_to_win(DEFAULT, TASKS, solved("1111"))
    assert found is not None
    assert (found.lasts, found.helps) == (True, {})
    assert found.said.endswith("; add harder tasks")


def test_what_may_be_won_later_is_told_apart() -> None:
    one = Design(Policy(name="pooled"), 1, 1)
    found = left_to_win(one, TASKS, solved("0", 1))
    assert found is not None
    assert not found.lasts
    # The trials of candidates that it withstood make it known.
    assert left_to_win(one, TASKS, solved("0", 1), solved("0", 1) * 4) is None
    paired = Design(Policy(name="paired", futility=0.42), 1, 1)
    alone = left_to_win(paired, TASKS, solved("0", 1), solved("0", 1) * 20)
    assert alone is not None
    assert alone.lasts, "under `paired` they do not count"


def test_the_level_is_that_of_the_next_test() -> None:
    study = Design(Policy(name="paired"), 3, 4, error="study")
    assert left_to_win(study, TASKS, solved("0000")) is not None, "1/35 is over the first level"
    assert left_to_win(study, TASKS, solved("0000"), passed=[True] * 30) is None
    assert left_to_win(Design(Policy(name="paired"), 3, 4), TASKS, solved("0000")) is None
    beside = Design(Policy(), 1, 4, beside=True)
    assert left_to_win(beside, TASKS, solved("1111")) is None, "its trials are yet to come"


# ---- studies


def nearly(text: str, planned: PlannedTrial) -> float:
    """The seed fails in one trial of one task."""
    return 0.0 if (planned.task, planned.repeat) == ("t13", 0) else 1.0


def halves(text: str, planned: PlannedTrial) -> float:
    """The seed fails on one task always."""
    return 0.0 if planned.task == "t13" else 1.0


def pooled(**gate: Any) -> Any:
    return config(gate={"policy": "pooled", "repeats": 5, "champion_repeats": 4, "futility": 0.42} | gate)


async def test_a_study_whose_champion_no_result_can_beat_ends_before_it_pays_for_a_candidate(bench: Bench) -> None:
    done, recorder = await run(bench, script("GOOD"), pooled(), rate_of=nearly)
    assert done.state == "finished"
    assert done.reason.startswith(
        "no edit can be promoted: the champion leaves too little to win on 14 train tasks (rejected: "
    )
    assert done.reason.endswith(
        "; add harder tasks, or set gate.repeats to 7 and gate.futility to 0; "
        "`lorimer optimize --from demo --set gate.repeats=7 --set gate.futility=0` goes on from this champion"
    )
    assert not bench.reader().candidates("demo")
    assert isinstance(recorder.events[-1], StudyEnded)
    assert not [event for event in recorder.events if isinstance(event, LittleToWin)]


async def test_it_names_the_repeats_that_the_next_study_needs(bench: Bench) -> None:
    settings = config(gate={"repeats": 2, "champion_repeats": 2, "champion_every": 0})
    done, _ = await run(bench, script(), settings, rate_of=halves)
    assert "set gate.repeats to 3; `lorimer optimize --from demo --set gate.repeats=3` goes on" in done.reason


async def test_a_promotion_that_leaves_nothing_to_win_ends_the_study(bench: Bench) -> None:
    def better(text: str, planned: PlannedTrial) -> float:
        return nearly(text, planned) if "GOOD" in text else float(int(planned.task[1:]) % 2)

    settings = config(gate={"repeats": 3, "champion_repeats": 4, "champion_every": 0})
    done, _ = await run(bench, script("GOOD", "NULL"), settings, rate_of=better)
    assert done.champion_candidate == "demo/c001"
    assert done.reason.startswith("no edit can be promoted: ")
    assert len(bench.reader().candidates("demo")) == 1


async def test_the_champion_is_measured_before_a_pooled_study_ends_for_it(bench: Bench) -> None:
    done, _ = await run(bench, script(*test_pooled.MARKS), test_pooled.pooled(study={"seed": 0}))
    reader = bench.reader()
    assert done.champion_candidate == "demo/c003"
    assert done.reason.startswith("no edit can be promoted: ")
    assert len(reader.candidates("demo")) == 3
    assert len(reader.outcomes("demo/c003/audit-final-00004")) == 2 * 14
    assert reader.outcomes("demo/c003/holdout-final-00004")


async def test_what_may_be_won_later_is_warned_of_once_and_the_study_goes_on(bench: Bench) -> None:
    settings = pooled(repeats=1, champion_repeats=1)
    with bench.parts(script(), settings, rate_of=halves) as (parts, _, recorder):
        await bench.create(parts)
        done = await optimize(parts, "demo")
    assert done.reason.startswith("budget.candidates: 5 of 5 tried")
    (said,) = [event.said for event in recorder.events if isinstance(event, LittleToWin)]
    assert said.startswith("no edit can be promoted: the champion leaves too little to win on 14 train tasks (")
    assert said.endswith(
        " goes on from this champion at once, and this study goes on, as later candidates meet more of the champion's trials"
    )


@pytest.mark.parametrize(
    "gate",
    [{"simplify_margin": 0.05}, {"tie_break": "tokens"}, {"champion": "interleaved"}],
    ids=lambda gate: next(iter(gate)),
)
async def test_where_a_candidate_may_be_promoted_without_being_better_the_study_goes_on(
    bench: Bench, gate: dict[str, Any]
) -> None:
    done, recorder = await run(bench, script(), pooled(**gate), rate_of=nearly)
    assert done.reason.startswith("budget.candidates: 5 of 5 tried")
    assert not [event for event in recorder.events if isinstance(event, LittleToWin)]


@pytest.mark.parametrize(("every", "tried"), [(0, 0), (3, 4)])
async def test_a_champion_that_is_yet_to_be_tried_again_is_waited_for(bench: Bench, every: int, tried: int) -> None:
    settings = config(gate={"repeats": 2, "champion_repeats": 2, "champion_every": every})
    _, recorder = await run(bench, script(), settings, rate_of=nearly)
    assert len(bench.reader().candidates("demo")) == tried
    assert len([event for event in recorder.events if isinstance(event, LittleToWin)]) == (1 if tried else 0)


@pytest.mark.parametrize("grows", [{}, {"champion_most": 4}], ids=["stays", "grows"])
async def test_a_suite_that_was_called_too_small_as_it_began_is_not_warned_of_again_and_goes_on(
    bench: Bench, grows: dict[str, int]
) -> None:
    settings = config(gate={"repeats": 1, "champion_repeats": 1, "alpha": 1e-6} | grows)
    assert too_small(Design.of(settings), TASKS[:14])
    _, recorder = await run(bench, script(), settings, rate_of=halves)
    assert bench.reader().candidates("demo")
    assert not [event for event in recorder.events if isinstance(event, LittleToWin)]


def test_the_terminal_tells_it_as_a_warning(tmp_path: Path) -> None:
    stream = io.StringIO()
    said = "no edit can be promoted; `lorimer optimize --from demo` goes on"
    Terminal("plain", stream, workspace=tmp_path).on_event(LittleToWin(said))
    assert (
        stream.getvalue() == f"warning: no edit can be promoted; `lorimer optimize --from demo -C {tmp_path}` goes on\n"
    )
