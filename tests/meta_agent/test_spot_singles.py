"""The spot-check on single tasks: which are tried, what it says, and how the loop runs it where an edit names none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.meta_agent.gate.plans import Luck, spot_plan
from lorimer.meta_agent.gate.statistics.revisions import REVISIONS
from lorimer.meta_agent.gate.verdicts import SpotTrial, spot_verdict
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.task_agent.shadow.outcome import NotPreviewable, Outcome, Touched, Untouched
from lorimer.traces.schema import PlannedTrial, Stage
from lorimer.traces.tables import DecisionRow, Trial
from tests.meta_agent.test_gate import fix, guard, outcomes
from tests.meta_agent.test_loop import Bench, Proposer, config, make_bench
from tests.meta_agent.test_loop import rate as rated
from tests.meta_agent.test_spot_pairs import previewing
from tests.support.dice_trials import Killed

# ---- what it says


def test_a_spot_check_that_could_reject_nothing_does_not_say_that_it_was_passed() -> None:
    assert spot_verdict([fix(1), fix(0), guard(0)]).reason == (
        "not rejected on the spot-check: 1 of 2 fix trials better; its only guard broke, and one alone rejects nothing; "
        "the full run decides"
    )
    assert spot_verdict([guard(0), guard(None)]).reason == (
        "not rejected on the spot-check: there was no task to try that it should fix; its only guard broke, and one alone "
        "rejects nothing; the full run decides"
    )
    assert spot_verdict([]).reason == (
        "skipped the spot-check: there was no task to try that it should fix, and fewer than 2 guards reject nothing"
    )
    assert spot_verdict([guard(0), guard(1)]).reason == (
        "passed the spot-check: there was no task to try that it should fix, 1 of 2 guards broken"
    )
    assert spot_verdict([fix(None), guard(1)]).reason == (
        "passed the spot-check: 0 of 0 fix trials better, 0 of 1 guards broken"
    )
    assert spot_verdict([fix(1), guard(0), guard(1)]).reason == (
        "passed the spot-check: 1 of 1 fix trials better, 1 of 2 guards broken"
    )


@given(
    st.lists(st.builds(fix, st.sampled_from([0.0, 1.0, None])), max_size=3),
    st.lists(st.builds(guard, st.sampled_from([0.0, 1.0, None])), max_size=3),
    st.sampled_from(sorted(REVISIONS)),
)
def test_a_spot_check_is_passed_only_where_a_guard_held_or_none_was_scored(
    fixes: list[SpotTrial], guards: list[SpotTrial], revision: int
) -> None:
    found = spot_verdict([*fixes, *guards], REVISIONS[revision])
    assert found.kind in ("pass", "reject")
    scored_guards = [each.reward for each in guards if each.reward is not None]
    if found.reason.startswith("passed"):
        assert fixes or guards
        assert not scored_guards or 1.0 in scored_guards
    if len(scored_guards) - sum(scored_guards) >= 2:
        assert found.kind == "reject", "two broken guards reject it, whatever else was tried"


# ---- which single tasks are tried

CHAMPION = outcomes({"good": (1, 1), "fine": (1, 1), "flaky": (1, 0), "poor": (0, 0), "bad": (0, 0), "lost": (None,)})
SPOT_LUCK = Luck(1, 1)


def spot(named: Sequence[str], touched: Sequence[str] = (), fixes: int = 2, guards: int = 2) -> list[tuple[str, int]]:
    return spot_plan(named, SPOT_LUCK, CHAMPION, fixes, guards, touched)


def test_a_spot_check_tries_what_the_edit_names_and_where_that_is_nothing_what_it_touches() -> None:
    solved = spot([], guards=2)
    assert sorted(solved) == [("fine", 0), ("good", 0)]
    assert spot(["flaky"], ["bad", "poor"]) == [("flaky", 0), ("flaky", 1), *solved]
    assert spot([], ["flaky"]) == [("flaky", 0), ("flaky", 1), *solved]
    worst = sorted(["bad", "poor"], key=SPOT_LUCK.place)
    assert spot([], ["flaky", "bad", "poor", "bad"]) == [*((task, 0) for task in worst), *solved]
    assert spot(["good", "lost", "unknown"], ["flaky"]) == spot([], ["flaky"]), "none of these is known to fail"
    assert spot([], ["good"]) == solved, "a task that the champion solves has nothing to fix"


def test_a_spot_check_that_could_tell_nothing_is_not_run() -> None:
    assert spot([], guards=1) == []
    assert spot([], ["flaky"], fixes=0, guards=1) == []
    assert len(spot([], ["flaky"], guards=1)) == 3
    assert len(spot([], guards=2)) == 2, "two guards may reject it"


@given(st.lists(st.sampled_from(["good", "fine", "flaky", "poor", "bad", "lost"]), max_size=8), st.randoms())
def test_which_tasks_are_tried_depends_on_no_order(touched: list[str], dice: random.Random) -> None:
    again = [*touched, *touched[:2]]
    dice.shuffle(again)
    assert spot([], again) == spot([], touched)


# ---- in a study

SPOT = "demo/c001/spot"


def at_once(*tasks: str) -> Any:
    """An edit that touches all trials at their first request, or the failed ones of these tasks: none of it is run in pairs."""

    def outcome(trial: Trial) -> Outcome:
        if tasks and (trial.reward or trial.task not in tasks):
            return Untouched(4)
        return Touched(1, 4, "llm.complete", ("system",), "the request now says so", "", model_calls=0, tokens=0)

    return outcome


def naming_none(bench: Bench, outcome: Any) -> Proposer:
    """Edits with their preview that name no task, as a person's do."""
    proposer = previewing(bench, "NULL", outcome=outcome)

    async def propose(session: ProposalSession) -> Proposal | NoProposal:
        made = await proposer(session)
        assert isinstance(made, Proposal)
        return replace(made, fixes=())

    return propose


async def checked(bench: Bench, outcome: Any, rate: Any = rated, **tables: Any) -> DecisionRow:
    settings = config(budget={"candidates": 1}, **tables)
    with bench.parts(naming_none(bench, outcome), settings, rate) as (parts, _, _):
        await bench.create(parts)
        await optimize(parts, "demo")
    found = scan(bench.reader(), "demo").decided("demo/c001", Stage.SPOT)
    assert found is not None
    return found


def tried(bench: Bench) -> list[tuple[str, int]]:
    row = bench.reader().evaluation(SPOT)
    return [(task, repeat) for task, repeat in row.plan] if row else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


async def test_an_edit_that_names_no_task_is_tried_on_those_whose_failed_trials_it_touches(bench: Bench) -> None:
    decision = await checked(bench, at_once())
    reader = bench.reader()
    standing = [trial for name in scan(reader, "demo").stood for trial in reader.outcomes(name)]
    failed = {trial.task for trial in standing if not trial.reward}
    fixes, guards = tried(bench)[:2], tried(bench)[2:]
    assert len({task for task, _ in fixes}) == 2
    assert {task for task, _ in fixes} <= failed
    assert len(guards) == 2
    assert not {task for task, _ in guards} & failed
    counted = {key: decision.numbers[key] for key in ("fix_trials", "guard_trials")}
    assert counted == {"fix_trials": 2, "guard_trials": 2}


async def test_it_is_tried_on_no_failed_task_that_it_does_not_touch(bench: Bench) -> None:
    await checked(bench, at_once("t07"))
    assert tried(bench)[:2] == [("t07", 0), ("t07", 1)]


async def test_a_task_of_which_it_touches_solved_trials_alone_is_none_that_it_should_fix(bench: Bench) -> None:
    def outcome(trial: Trial) -> Outcome:
        touches = Touched(1, 4, "llm.complete", ("system",), "the request now says so", "", model_calls=0, tokens=0)
        return touches if trial.reward else NotPreviewable("it has no record")

    def flaky(text: str, planned: PlannedTrial) -> float:
        return 1.0 if planned.repeat == 0 else rated(text, planned)

    await checked(bench, outcome, flaky)
    assert len(tried(bench)) == 2, "guards alone"


async def test_a_check_that_an_earlier_process_planned_is_gone_on_with(bench: Bench) -> None:
    """By the settings of the later one nothing would be tried."""
    settings = config(budget={"candidates": 1})
    with bench.parts(naming_none(bench, at_once()), settings, fail_after=42) as (parts, _, _):
        await bench.create(parts)
        with pytest.raises(Killed):
            await optimize(parts, "demo")
    later = config(budget={"candidates": 1}, gate={"spot_guards": 0, "spot_fixes": 0})
    with bench.parts(naming_none(bench, at_once()), later) as (parts, _, _):
        await parts.store.release("demo", parts.reader.study("demo").holder)
        await optimize(parts, "demo")
    decision = scan(bench.reader(), "demo").decided("demo/c001", Stage.SPOT)
    assert decision is not None
    assert (decision.numbers["fix_trials"], decision.numbers["guard_trials"]) == (2, 2)


@pytest.mark.parametrize("tables", [{}, {"replay": {"enabled": False}}])
async def test_an_edit_of_which_no_failed_trial_is_known_to_be_touched_is_checked_by_guards_alone(
    bench: Bench, tables: dict[str, Any]
) -> None:
    """That is so where it touches none, and where nothing is asked of records."""
    decision = await checked(bench, at_once() if tables else at_once("t00"), **tables)
    assert len(tried(bench)) == 2
    assert decision.reason == (
        "passed the spot-check: there was no task to try that it should fix, 0 of 2 guards broken"
    )


async def test_without_a_task_to_fix_one_guard_is_not_run(bench: Bench) -> None:
    decision = await checked(bench, at_once("t00"), gate={"spot_guards": 1})
    assert tried(bench) == []
    assert decision.kind == "pass"
    assert decision.reason.startswith("skipped the spot-check: ")
    assert scan(bench.reader(), "demo").decided("demo/c001", Stage.FULL) is not None


async def test_a_check_whose_only_guard_breaks_does_not_say_that_it_was_passed(bench: Bench) -> None:
    def breaks(text: str, planned: PlannedTrial) -> float:
        return 0.0 if planned.stage is Stage.SPOT else rated(text, planned)

    decision = await checked(bench, at_once(), breaks, gate={"spot_guards": 1})
    assert (decision.kind, decision.numbers["broken"], decision.numbers["guard_trials"]) == ("pass", 1, 1)
    assert decision.reason == (
        "not rejected on the spot-check: 0 of 2 fix trials better; its only guard broke, and one alone rejects nothing; "
        "the full run decides"
    )


async def test_a_study_that_is_killed_in_such_a_check_tries_the_same_tasks(bench: Bench, tmp_path: Path) -> None:
    await checked(bench, at_once())
    settings = config(budget={"candidates": 1})
    for after in (40, 42):  # the baseline takes 28 trials, the holdout 12
        other = make_bench(tmp_path / str(after))
        with other.parts(naming_none(other, at_once()), settings, fail_after=after) as (parts, _, _):
            await other.create(parts)
            with pytest.raises(Killed):
                await optimize(parts, "demo")
        with other.parts(naming_none(other, at_once()), settings, width=2) as (parts, _, _):
            await parts.store.release("demo", parts.reader.study("demo").holder)
            await optimize(parts, "demo")
        assert tried(other) == tried(bench), after
        assert other.log() == bench.log(), after
