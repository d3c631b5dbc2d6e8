"""The champion's trials: cached, aged and run anew, or side by side with the candidate's; and promotions of equal harnesses."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from lorimer.meta_agent.reports.export import evidence_card
from lorimer.meta_agent.reports.promotions import score_words
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.events import Decided, StageFinished
from lorimer.traces.schema import PlannedTrial, Purpose, Stage
from tests.meta_agent.test_loop import HOLDOUT, SEED, Bench, config, make_bench, rate, run, script
from tests.support.dice_trials import Killed

AGING: dict[str, Any] = {"models": {"task": "dice/fair"}, "gate": {"champion_max_age": 6.0}}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def aged(bench: Bench, hours: float) -> None:
    """As if the trials so far had been run that long ago."""
    then = (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="seconds")
    engine = create_engine(f"sqlite:///{bench.root / 'traces.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE trial SET started = :then"), {"then": then})
    engine.dispose()


def decisions(bench: Bench) -> dict[str, Any]:
    return {row.id: row for row in bench.reader().decisions("demo")}


# ---- age


async def test_a_champions_old_trials_are_run_anew_before_they_are_compared_with(bench: Bench) -> None:
    await run(bench, script("NULL"), config(budget={"candidates": 1}, **AGING))
    aged(bench, 7)
    with bench.parts(script("NULL", "GOOD", "NULL"), config(budget={"candidates": 3}, **AGING)) as (parts, trials, _):
        await optimize(parts, "demo")
    found = decisions(bench)
    assert found["demo/c001/age-full"].numbers["refresh"] is False
    said = found["demo/c002/age-full"].reason
    assert said == (
        "the champion's trials (demo/baseline/baseline) are 7.0 h old, over the 6 h of gate.champion_max_age; they are run anew"
    )
    again = [name for name in trials.ran if name.startswith("demo/baseline/audit-00002/")]
    assert len(again) == 28
    assert not {name.rsplit("/", 2)[-1] for name in again} & {"0", "1"}, "fresh luck"
    # The new ones stand for it, and what won the promotion is not among them.
    world = scan(bench.reader(), "demo")
    assert world.standing_at("", 1) == "demo/baseline/baseline"
    assert world.standing_at("", 2) == "demo/baseline/audit-00002"
    assert world.champion_before(3) == "demo/c002"
    assert world.standing == "demo/c002/audit"
    assert world.holdout_queries == 1
    assert found["demo/c003/age-full"].numbers["refresh"] is False


async def test_trials_from_the_future_have_no_known_age_and_are_run_anew(bench: Bench) -> None:
    await run(bench, script("NULL"), config(budget={"candidates": 1}, **AGING))
    aged(bench, -3)
    with bench.parts(script("NULL", "NULL"), config(budget={"candidates": 2}, **AGING)) as (parts, trials, _):
        await optimize(parts, "demo")
    assert decisions(bench)["demo/c002/age-full"].reason == (
        "the champion's trials (demo/baseline/baseline) began later than now: the clock was set back; they are run anew"
    )
    assert len([name for name in trials.ran if name.startswith("demo/baseline/audit-00002/")]) == 28


async def test_what_a_clock_said_is_told_to_people_and_to_no_model(bench: Bench) -> None:
    await run(bench, script("NULL"), config(budget={"candidates": 1}, **AGING))
    aged(bench, 7)
    with bench.parts(script("NULL", "NULL"), config(budget={"candidates": 2}, **AGING)) as (parts, _, _):
        await optimize(parts, "demo")
    assert "  champion: the champion's trials (demo/baseline/baseline) are 7.0 h old" in bench.log()
    assert " h old" not in bench.told()


async def test_an_age_is_judged_once_and_a_resumed_study_abides_by_it(bench: Bench) -> None:
    await run(bench, script("NULL"), config(budget={"candidates": 1}, **AGING))
    aged(bench, 7)
    settings = config(budget={"candidates": 2}, **AGING)
    with bench.parts(script("NULL", "NULL"), settings, fail_after=12) as (parts, _, _), pytest.raises(Killed):
        await optimize(parts, "demo")
    assert "demo/baseline/audit-00002" not in decisions(bench)
    aged(bench, 0)
    with bench.parts(script("NULL", "NULL"), settings) as (parts, trials, _):
        await optimize(parts, "demo")
    assert len([name for name in trials.ran if name.startswith("demo/baseline/audit-00002/")]) < 28
    assert decisions(bench)["demo/baseline/audit-00002"].numbers["trials"] == 28


async def test_a_simulated_model_does_not_age(bench: Bench) -> None:
    settings = config(budget={"candidates": 1}, gate={"champion_max_age": 6.0})
    await run(bench, script(), config(budget={"candidates": 1}, gate={"champion_max_age": 6.0}))
    aged(bench, 700)
    with bench.parts(script("NULL", "NULL"), settings.model_copy(update={"budget": settings.budget})) as (parts, _, _):
        await optimize(parts, "demo")
    assert not [name for name in decisions(bench) if "age-" in name]


async def test_a_champion_that_errors_when_it_is_run_anew_pauses_the_study(bench: Bench) -> None:
    def broken(text: str, planned: PlannedTrial) -> float | None:
        return None if "audit-" in planned.evaluation and planned.task in ("t02", "t03", "t04") else rate(text, planned)

    await run(bench, script("NULL"), config(budget={"candidates": 1}, **AGING))
    aged(bench, 7)
    settings = config(budget={"candidates": 2}, **AGING)
    with bench.parts(script("NULL", "NULL"), settings, broken) as (parts, _, _):
        done = await optimize(parts, "demo")
    assert done.state == "paused"
    assert "6 of 28 trials of the champion errored (6 engine_failure" in done.reason
    with bench.parts(script("NULL", "NULL"), settings) as (parts, trials, _):
        assert (await optimize(parts, "demo")).state == "finished"
    assert len([name for name in trials.ran if name.startswith("demo/baseline/audit-00002/")]) == 6


# ---- side by side

BESIDE = {"champion": "interleaved"}


async def test_side_by_side_every_candidate_meets_the_champion_afresh(bench: Bench) -> None:
    _, recorder = await run(bench, script("GOOD", "NULL"), config(budget={"candidates": 2}, gate=BESIDE))
    reader, found = bench.reader(), decisions(bench)
    assert found["demo/c001/full"].kind == "promote"
    assert found["demo/c001/full"].numbers["champion_trials"] == 28
    mine, theirs = reader.evaluation("demo/c001/full"), reader.evaluation("demo/c001/full-beside")
    assert mine is not None
    assert theirs is not None
    assert [task for task, _ in mine.plan] == [task for task, _ in theirs.plan]
    assert {repeat for _, repeat in theirs.plan} == {2, 3}
    second = reader.evaluation("demo/c002/full-beside")
    assert second is not None
    assert second.harness == mine.harness
    assert {repeat for _, repeat in second.plan} == {4, 5}
    assert reader.evaluation("demo/c001/holdout-beside") is not None
    # The score reported is the audit's.
    assert scan(reader, "demo").standing == "demo/c001/audit"
    assert [event.stage for event in recorder.events if isinstance(event, Decided) and event.candidate == "demo/c001"] == [
        Stage.SPOT, Stage.FULL, Stage.AUDIT, Stage.HOLDOUT,
    ]  # fmt: skip


THREE = ("BAD", "GOOD", "NULL")
OF_THREE = config(budget={"candidates": 3}, gate=BESIDE)


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = make_bench(tmp_path_factory.mktemp("alone") / "work")
    asyncio.run(run(made, script(*THREE), OF_THREE))
    return made


@pytest.mark.parametrize("width", [1, 5])
async def test_side_by_side_a_killed_study_ends_like_one_left_alone(
    tmp_path: Path, left_alone: Bench, width: int
) -> None:
    killed = make_bench(tmp_path / "killed")
    finished, attempt = False, 0
    while not finished:
        with killed.parts(script(*THREE), OF_THREE, width=width, order=attempt, fail_after=37) as (parts, _, _):
            if not attempt:
                await killed.create(parts)
            try:
                await optimize(parts, "demo")
                finished = True
            except Killed:
                attempt += 1
    assert attempt > 2
    assert killed.log() == left_alone.log()


async def test_side_by_side_drift_is_shared_and_promotes_nothing(bench: Bench) -> None:
    """A provider that gets better in the night lifts every trial after the baseline: cached ones would promote the null."""

    def drifting(text: str, planned: PlannedTrial) -> float:
        easy = int(planned.task[1:]) % 14 < 6
        return 1.0 if easy else 0.1 if planned.evaluation.startswith("demo/baseline/") else 0.8

    settings = config(budget={"candidates": 1}, gate=BESIDE)
    await run(bench, script("NULL"), settings, rate_of=drifting)
    assert decisions(bench)["demo/c001/full"].kind == "reject"
    other = make_bench(bench.root.parent / "cached")
    await run(other, script("NULL"), config(budget={"candidates": 1}), rate_of=drifting)
    assert decisions(other)["demo/c001/full"].kind == "promote"


# ---- simpler, cheaper

LONG = "def solve(task, env, llm):\n    words = 'plain and more of it than anyone could ever need'\n    return words\n"


async def test_a_simpler_harness_is_promoted_for_being_no_worse(bench: Bench) -> None:
    """The parent is the long text; the edit takes words and nodes away and changes no rate."""
    from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
    from lorimer.meta_agent.workspace.parts import create
    from tests.meta_agent.test_loop import proposal, suite

    async def shorten(session: ProposalSession) -> Proposal | NoProposal:
        made = proposal(session, "NULL")
        return Proposal(made.title, made.hypothesis, made.hunks, made.fixes, made.at_risk, SEED)

    settings = config(budget={"candidates": 1}, gate={"simplify_margin": 0.2, "repeats": 3, "champion_repeats": 6})
    (bench.root / "harness" / "agent.py").write_text(LONG)
    bench.git("-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qam", "long")
    with bench.parts(shorten, settings) as (parts, _, _):
        await create(
            parts.store, study="demo", kind="optimize", suite=suite(), holdout=HOLDOUT, config=settings, harness=LONG
        )
        done = await optimize(parts, "demo")
    row = decisions(bench)["demo/c001/full"]
    assert "not better, but simpler and no worse by 0.2 (" in row.reason
    assert done.champion_candidate == "demo/c001"


# ---- what people are shown of the holdout


async def test_no_score_of_the_holdout_is_shown_and_all_are_kept(bench: Bench) -> None:
    def rates(text: str, planned: PlannedTrial) -> float:
        if planned.task in HOLDOUT and "NULL" not in text:
            return 1.0 if "GOOD" in text else 0.0
        return 0.9 if "GOOD" in text else rate(text, planned)

    _, recorder = await run(bench, script("GOOD"), config(budget={"candidates": 1}), rate_of=rates)
    found = decisions(bench)
    row = found["demo/c001/holdout"]
    assert row.reason == (
        "not vetoed by the sealed holdout: no worse than the champion, and the gain is there (query 1 of the holdout)"
    )
    assert row.numbers["candidate_mean"] == 1.0
    sealed = [e for e in recorder.events if isinstance(e, StageFinished) and e.stage is Stage.HOLDOUT]
    assert [event.score is None for event in sealed] == [False, True]


async def test_the_card_tells_a_champions_audit_and_beside_it_all_trials_that_stand_for_it(bench: Bench) -> None:
    await run(bench, script("GOOD"), config(gate={"champion_every": 1}, budget={"candidates": 4}))
    reader, world = bench.reader(), scan(bench.reader(), "demo")
    audit, reported = world.decided("demo/c001", Stage.AUDIT), world.reported
    assert audit is not None
    assert reported is not None
    assert reported.purpose == Purpose.ADDED
    lines = evidence_card(reader, "demo").splitlines()
    assert f"- audit: {score_words(audit)}" in lines
    trials = reported.numbers["trials"]
    assert f"- standing: {score_words(reported)} over the {trials} trials that stand for it, or did in the end" in lines
