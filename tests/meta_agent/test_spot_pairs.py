"""The spot-check in pairs as the loop runs it, on dice: its plan, what is run with which record, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.kinds import SOLVED
from lorimer.meta_agent.gate.pairs import STEP
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.replay.chained import CHAINED, as_body, of_body, trials_of
from lorimer.meta_agent.replay.pairs import parted_share, stored_pairs
from lorimer.meta_agent.reports.audit import verify
from lorimer.meta_agent.state.trials import named_trials
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.task_agent.shadow.outcome import NotPreviewable, Outcome, Touched, Untouched
from lorimer.task_agent.shadow.previewed import Preview, Previewed
from lorimer.traces.schema import PlannedTrial, Stage, Used
from lorimer.traces.tables import DecisionRow, Trial
from tests.meta_agent.test_loop import Bench, Proposer, config, make_bench, proposal
from tests.meta_agent.test_rounds import failed_by
from tests.support.dice_trials import Killed

SPOT = "demo/c001/spot"
NO_DICE: Mapping[str, Any] = {}


def touched(trial: Trial) -> Outcome:
    """An edit makes a difference half way through the trials of some tasks."""
    if trial.task < "t04":
        return Untouched(4)
    return Touched(3, 4, "llm.complete", ("messages",), "the request now says so", "", model_calls=1, tokens=5)


def untold(trial: Trial) -> Outcome:
    return NotPreviewable("it has no record") if trial.task > "t05" else Untouched(4)


def previewing(bench: Bench, *marks: str, outcome: Any = touched) -> Proposer:
    """A proposer whose edits come with their preview."""

    async def propose(session: ProposalSession) -> Proposal | NoProposal:
        reader = bench.reader()
        world = scan(reader, "demo")
        trials = [trial for _, trial in named_trials(reader, "demo", world.stood)]
        shown = tuple(
            Previewed(trial.id, trial.task, trial.repeat, (trial.reward or 0.0) >= SOLVED, outcome(trial))
            for trial in trials
        )
        mark = marks[session.number - 1] if session.number <= len(marks) else "NULL"
        return replace(proposal(session, mark), preview=Preview(world.champion_harness, shown))

    return propose


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


async def run(
    bench: Bench,
    *marks: str,
    outcome: Any = touched,
    width: int = 1,
    order: int = 0,
    dice: Mapping[str, Any] = NO_DICE,
    **tables: Any,
) -> Any:
    settings = config(budget={"candidates": len(marks)}, **tables)
    proposer = previewing(bench, *marks, outcome=outcome)
    with bench.parts(proposer, settings, width=width, order=order, **dice) as (parts, trials, _):
        await bench.create(parts)
        await optimize(parts, "demo")
    return trials


async def test_spot_trials_go_where_the_edit_touches_each_with_the_record_that_it_is_paired_with(bench: Bench) -> None:
    trials = await run(bench, "GOOD")
    reader = bench.reader()
    plan = stored_pairs(reader, "demo", SPOT)
    assert plan is not None
    evaluation, decision = reader.evaluation(SPOT), scan(reader, "demo").decided("demo/c001", Stage.SPOT)
    assert evaluation is not None
    assert decision is not None
    assert [tuple(item) for item in evaluation.plan] == trials_of(plan)
    assert len(set(trials_of(plan))) == len(plan.order), "every pair has a name of its own"
    ran = [name for name in trials.ran if name.startswith(SPOT)]
    assert len(ran) == decision.numbers["pairs"]
    given = {
        f"{SPOT}/{task}/{repeat}": touch.trial
        for (task, repeat), touch in zip(trials_of(plan), plan.order, strict=True)
    }
    assert {name: trials.given[name] for name in ran} == {name: given[name] for name in ran}
    assert set(trials.given) == set(ran), "no other trial is answered from a record"
    assert all(touch.task >= "t04" and touch.left == 0.5 for touch in plan.order)
    assert of_body(as_body(plan)) == plan
    older = {key: value for key, value in as_body(plan).items() if key != "parting"}
    assert of_body(older) == plan, "a plan of a time when nothing was priced by what parted"


async def test_the_plan_is_chained_before_its_first_trial(bench: Bench) -> None:
    settings = config(budget={"candidates": 1})
    # The baseline takes 28 trials, the holdout 12; the first pair is killed.
    with bench.parts(previewing(bench, "BAD"), settings, fail_after=41) as (parts, trials, _):
        await bench.create(parts)
        with pytest.raises(Killed):
            await optimize(parts, "demo")
    reader = bench.reader()
    (entry,) = reader.chain("demo", CHAINED)
    assert (entry.subject, len(trials.ran)) == (SPOT, 41)
    assert scan(reader, "demo").decided("demo/c001", Stage.SPOT) is None
    checks = {check.what: check.problems for check in verify(bench.root, reader, "demo").checks}
    assert (checks["chain"], checks["decisions"], checks["trials"]) == ((), (), ())


async def test_an_edit_that_breaks_what_it_touches_is_killed_before_the_full_run(bench: Bench) -> None:
    await run(bench, "BAD")
    (candidate,) = scan(bench.reader(), "demo").candidates
    decision = scan(bench.reader(), "demo").decided(candidate.id, Stage.SPOT)
    assert decision is not None
    assert candidate.state == "rejected"
    assert decision.reason.startswith("rejected on the spot-check: from the touch on, ")
    assert bench.reader().evaluation("demo/c001/full") is None
    said = "in the spot-check, run again from where it first makes a difference, it won 0 of 3 failed trials and lost 3 of 3"
    assert said in bench.told()


async def test_what_is_decided_follows_from_the_seed_alone(bench: Bench, tmp_path: Path) -> None:
    marks = ("BAD", "NULL", "GOOD", "NULL")
    await run(bench, *marks)
    for order in (0, 1):
        other = make_bench(tmp_path / f"other-{order}")
        await run(other, *marks, width=4, order=order)
        assert other.log() == bench.log(), order


async def test_a_study_that_is_killed_anywhere_in_its_pairs_decides_the_same(bench: Bench, tmp_path: Path) -> None:
    await run(bench, "BAD")
    for after in (40, 43, 46):
        other = make_bench(tmp_path / str(after))
        settings = config(budget={"candidates": 1})
        with other.parts(previewing(other, "BAD"), settings, fail_after=after, width=2) as (parts, _, _):
            await other.create(parts)
            with suppress(Killed):
                await optimize(parts, "demo")
        with other.parts(previewing(other, "BAD"), settings, width=2) as (parts, _, _):
            await parts.store.release("demo", parts.reader.study("demo").holder)
            await optimize(parts, "demo")
        assert other.log() == bench.log(), after


async def test_without_a_preview_the_spot_check_is_what_it_was(bench: Bench, tmp_path: Path) -> None:
    marks = ("BAD", "GOOD")
    trials = await run(bench, *marks, outcome=untold)
    off, without = make_bench(tmp_path / "off"), make_bench(tmp_path / "without")
    await run(off, *marks, replay={"enabled": False})
    settings = config(budget={"candidates": 2})

    async def propose(session: ProposalSession) -> Proposal | NoProposal:
        return proposal(session, marks[session.number - 1])

    with without.parts(propose, settings) as (parts, _, _):
        await without.create(parts)
        await optimize(parts, "demo")
    all_of_them = (bench, off, without)
    decided = [
        [(row.id, row.kind, row.reason, row.numbers) for row in each.reader().decisions("demo")] for each in all_of_them
    ]
    assert decided[0] == decided[1] == decided[2]
    assert trials.given == {}
    assert all(each.reader().chain("demo", CHAINED) == [] for each in all_of_them)


async def test_what_touches_trials_at_their_very_end_is_taken_to_add_calls_there_and_is_looked_at_as_soon(
    bench: Bench,
) -> None:
    def at_its_end(trial: Trial) -> Outcome:
        if trial.task < "t04":
            return Untouched(4)
        return Touched(5, 5, "finish", (), "it asks for a check", "", model_calls=4, tokens=trial.input_tokens)

    await run(bench, "GOOD", outcome=at_its_end)
    plan = stored_pairs(bench.reader(), "demo", SPOT)
    assert plan is not None
    assert {touch.left for touch in plan.order} == {0.5}, "two of a trial's four calls"
    assert plan.looks[0] == STEP / 0.5 < len(plan.order)


# ---- pairs that part from their records


def late(trial: Trial) -> Outcome:
    """An edit makes a difference in the last tenth of every trial."""
    return Touched(39, 40, "llm.complete", ("messages",), "the request now says so", "", model_calls=18, tokens=90)


def parting(*candidates: str) -> dict[str, Any]:
    """Dice of trials of twenty calls, in which all pairs of these candidates part from their records."""

    def parts(planned: PlannedTrial) -> str:
        return "the output of `ps` is another one" if planned.evaluation in named else ""

    named = {f"demo/{each}/spot" for each in candidates}
    return {"used": lambda text, planned: Used(calls=20, input_tokens=100), "parts": parts}


def spot_of(bench: Bench, candidate: str) -> DecisionRow:
    found = scan(bench.reader(), "demo").decided(f"demo/{candidate}", Stage.SPOT)
    assert found is not None
    return found


def pairs_run(trials: Any, candidate: str) -> int:
    return sum(name.startswith(f"demo/{candidate}/spot/") for name in trials.ran)


async def test_pairs_that_part_from_their_records_end_the_check_before_they_cost_a_full_run(bench: Bench) -> None:
    trials = await run(bench, "BAD", outcome=late, dice=parting("c001"))
    plan, decision = stored_pairs(bench.reader(), "demo", SPOT), spot_of(bench, "c001")
    assert plan is not None
    assert (len(plan.order), round(plan.price(28), 6)) == (28, 2.8)
    assert pairs_run(trials, "c001") == 4
    assert decision.kind == "pass", "they may only kill, so the full run decides"
    assert decision.reason == (
        "not rejected on the spot-check, which ended early: 4 of 4 pairs parted from their records and cost a whole trial each, "
        "4.0 in all where 0.4 were planned; the full run decides"
    )
    counted = {key: decision.numbers[key] for key in ("pairs", "parted", "spent", "planned")}
    assert counted == {"pairs": 4, "parted": 4, "spent": 4.0, "planned": pytest.approx(0.4)}
    assert scan(bench.reader(), "demo").decided("demo/c001", Stage.FULL) is not None
    checks = {check.what: check.problems for check in verify(bench.root, bench.reader(), "demo").checks}
    assert (checks["chain"], checks["decisions"], checks["trials"]) == ((), (), ())


async def test_pairs_that_go_on_from_their_records_are_run_to_the_verdict_that_they_come_to(bench: Bench) -> None:
    trials = await run(bench, "BAD", outcome=late, dice=parting())
    decision = spot_of(bench, "c001")
    assert (decision.kind, pairs_run(trials, "c001"), decision.numbers["parted"]) == ("reject", 28, 0)
    assert decision.numbers["spent"] == pytest.approx(2.8)


async def test_once_pairs_are_known_to_part_the_plans_of_later_candidates_are_priced_by_it(bench: Bench) -> None:
    """Where all parted, 28 pairs of a tenth of a trial are priced at 28 whole ones: single tasks are checked in their place."""
    trials = await run(bench, "BAD", "BAD", outcome=late, dice=parting("c001", "c002"))
    assert stored_pairs(bench.reader(), "demo", "demo/c002/spot") is None
    assert "pairs" not in spot_of(bench, "c002").numbers
    assert not [name for name in trials.given if name.startswith("demo/c002/")]


async def test_the_candidates_of_one_round_are_priced_alike_and_those_of_the_next_by_what_came_of_them(
    bench: Bench,
) -> None:
    dice = parting("c001") | {"failed_by": failed_by}  # failures of two kinds, so that two edits are made at once
    await run(bench, "BAD", "BAD", "BAD", "BAD", outcome=late, dice=dice, search={"width": 2})
    plans = [stored_pairs(bench.reader(), "demo", f"demo/c00{number}/spot") for number in (1, 2, 3, 4)]
    assert [plan and plan.parting for plan in plans] == [0.0, 0.0, 4 / 32, 4 / 32]
    world = scan(bench.reader(), "demo")
    assert [parted_share(world, number) for number in (1, 2, 3, 4)] == [0.0, 0.0, 4 / 32, 4 / 32]


async def test_a_study_that_is_killed_anywhere_in_pairs_that_part_decides_the_same(
    bench: Bench, tmp_path: Path
) -> None:
    """Attempts 41 to 48 are those of the four pairs: each parts, and is run whole by another one."""
    marks, dice = ("BAD", "NULL"), parting("c001", "c002")
    await run(bench, *marks, outcome=late, dice=dice)
    for after in range(40, 50):
        other = make_bench(tmp_path / str(after))
        settings = config(budget={"candidates": 2})
        proposer = previewing(other, *marks, outcome=late)
        with other.parts(proposer, settings, fail_after=after, width=2, **dice) as (parts, _, _):
            await other.create(parts)
            with pytest.raises(Killed):
                await optimize(parts, "demo")
        with other.parts(proposer, settings, width=3, order=after, **dice) as (parts, _, _):
            await parts.store.release("demo", parts.reader.study("demo").holder)
            await optimize(parts, "demo")
        assert other.log() == bench.log(), after
        assert spot_of(other, "c001").numbers == spot_of(bench, "c001").numbers, after
