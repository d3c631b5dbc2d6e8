"""Rounds of `[search] width` proposals: of other failures each, unaware of one another, all against the same champion."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.config.settings import Config
from lorimer.errors import BudgetExhausted, ProviderOutage
from lorimer.harness.version import Hunk, apply_edit
from lorimer.meta_agent.gate.ranking import p_of
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.reports import audit
from lorimer.meta_agent.state.names import About, candidate_id, short
from lorimer.meta_agent.state.world import World, scan
from lorimer.meta_agent.study.candidates import edits
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.events import Proposed
from lorimer.meta_agent.workspace.parts import StudyParts
from lorimer.task_agent.causes import Cause
from lorimer.traces.schema import PlannedTrial, Stage, TrialEnd
from tests.meta_agent.test_loop import Bench, Proposer, Recorder, config, make_bench
from tests.support.dice_trials import DiceTrials, Killed, Sigkill

PLACES = 6
SEED = "".join(f"# place {number}\n" for number in range(1, PLACES + 1)) + "def solve(task, env, llm):\n    return ''\n"
CAUSES = (Cause.LIMIT_CALLS, Cause.HARNESS_EXCEPTION, Cause.SANDBOX_LOST, Cause.FINISHED)
KINDS = {"limit", "exception", "unverifiable", "did-nothing"}
"""What `list_failures` makes of these."""


def failed_by(planned: PlannedTrial) -> Cause:
    """Failures of four kinds."""
    return CAUSES[int(planned.task[1:]) % len(CAUSES)]


def rate(text: str, planned: PlannedTrial) -> float:
    """The easy tasks are always solved; each `GOOD` lifts the others, `BAD` breaks all, `LUCKY` is of no use on sealed ones."""
    number = int(planned.task[1:])
    if "BAD" in text:
        return 0.0
    if "LUCKY" in text and planned.stage is Stage.HOLDOUT:
        return 0.0
    if number % 14 < 4:
        return 1.0
    return min(1.0, 0.6 * text.count("GOOD") + 1.0 * text.count("LUCKY"))


@dataclass
class Edits:
    """Proposes these edits by number, each at a place of the harness: `GOOD 2` writes there; null ones after them."""

    by_number: Mapping[int, str]
    sessions: dict[int, ProposalSession] = field(default_factory=dict)

    @property
    def asked(self) -> list[ProposalSession]:
        """In order of number: those of a round are asked at once."""
        return [self.sessions[number] for number in sorted(self.sessions)]

    async def __call__(self, session: ProposalSession) -> Proposal | NoProposal:
        self.sessions[session.number] = session
        mark, _, place = self.by_number.get(session.number, "").partition(" ")
        if mark == "none":
            return NoProposal("the model answered with a poem")
        search = f"# place {place}\n" if place else "def solve("
        hunk = Hunk(search, f"# {mark or 'NULL'} of {session.number}\n" + ("" if place else search))
        text = apply_edit(session.harness, [hunk])
        return Proposal(f"{mark or 'NULL'} at {place}", "It should help.", (hunk,), ("t07", "t08"), (), text)


def wide(width: int = 4, **overrides: Any) -> Config:
    return config(**{"budget": {"candidates": 4}, "search": {"width": width}, **overrides})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return seeded(tmp_path / "work")


def seeded(root: Path) -> Bench:
    made = replace(make_bench(root), seed=SEED)
    (root / "harness" / "agent.py").write_text(SEED)
    made.git("-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qam", "seed")
    return made


async def run(bench: Bench, propose: Proposer, settings: Config, **dice: Any) -> World:
    with opened(bench, propose, settings, **dice) as (parts, _):
        await bench.create(parts)
        await optimize(parts, "demo")
    return scan(bench.reader(), "demo")


@contextmanager
def opened(bench: Bench, propose: Proposer, settings: Config, **dice: Any) -> Iterator[tuple[StudyParts, DiceTrials]]:
    with bench.parts(propose, settings, rate, failed_by=failed_by, **dice) as (parts, trials, _):
        yield parts, trials


def states(world: World) -> dict[str, str]:
    return {short(each.number): each.state for each in world.candidates}


TWO_GOOD = {1: "NULL 1", 2: "GOOD 2", 3: "BAD 3", 4: "GOOD 4"}


async def test_a_round_shares_out_the_kinds_of_failures(bench: Bench) -> None:
    propose = Edits(TWO_GOOD)
    world = await run(bench, propose, wide())
    first = [each for each in world.candidates if each.number <= 4]
    assert [each.first for each in first] == [1, 1, 1, 1]
    assert {each.cluster for each in first} == KINDS
    assert [session.focus for session in propose.asked[:4]] == [each.cluster for each in first]
    log = bench.log()
    assert "c003 [rejected] BAD at 3: " in log
    assert (
        f"  asked about: failures of kind {first[2].cluster}\n  round: c001 to c004, against the same champion\n" in log
    )


async def test_a_proposal_knows_nothing_of_its_siblings(bench: Bench) -> None:
    propose = Edits({2: "GOOD 2", 3: "BAD 3"})
    await run(bench, propose, wide(budget={"candidates": 8}))
    logs = [session.log.within(10**6) for session in propose.asked]
    assert logs[0] == logs[1] == logs[2] == logs[3]
    assert "No experiment has been made yet" in logs[0]
    assert [each.number for each in propose.asked[3].checks.earlier] == []
    later = propose.asked[4]
    assert [short(each.number) for each in later.checks.earlier] == ["c001", "c002", "c003", "c004"]
    assert "c003 [rejected]" in logs[4]


async def test_the_surest_is_promoted_and_the_others_are_judged_again_on_top_of_it(bench: Bench) -> None:
    world = await run(bench, Edits(TWO_GOOD), wide())
    good = {each.number: p_of(world.decisions[About(each.id, Stage.FULL)].numbers) for each in world.candidates[1:4:2]}
    winner = min(good, key=lambda number: (good[number], number))
    (other,) = good.keys() - {winner}
    assert states(world) == {
        "c001": "rejected",
        short(winner): "promoted",
        "c003": "rejected",
        short(other): "rebased",
    } | {"c005": states(world)["c005"]}
    again = world.candidates[4]
    assert (again.rebased, again.first, again.cluster) == (other, 5, world.candidates[other - 1].cluster)
    assert again.parent == world.candidates[winner - 1].harness
    # It met the new champion, and its siblings the one before.
    assert [world.champion_before(number) for number in range(1, 6)] == ["", "", "", "", candidate_id("demo", winner)]
    assert About(again.id, Stage.FULL) in world.decisions
    assert About(candidate_id("demo", other), Stage.AUDIT) not in world.decisions
    text = bench.reader().harness(again.harness or "").text
    assert text.count("GOOD") == 2
    log = bench.log()
    assert f"but {short(winner)} of its round was promoted first; its edit goes on as c005" in log
    assert f"  rebased: the edit of {short(other)}, made for the champion before\n" in log
    # It is no new proposal: four were allowed, and four were made.
    assert world.proposals == 4
    assert bench.reader().study("demo").state_reason.startswith("budget.candidates: 4 of 4 tried")


async def test_an_edit_that_does_not_apply_to_the_new_champion_ends_there(bench: Bench) -> None:
    world = await run(bench, Edits({1: "GOOD 2", 2: "GOOD 2"}), wide(2, budget={"candidates": 2}))
    assert sorted(states(world).values()) == ["failed", "promoted", "rebased"]
    assert world.champion is not None
    said = world.candidates[2].failure
    assert said.startswith(
        f"it was made for an earlier champion, and for {short(world.champion.number)} the edit was not applied"
    )
    assert world.fruitless == 0, "it was a usable edit when it was proposed"


async def test_where_the_surest_fails_its_confirmation_the_next_one_goes_on(bench: Bench) -> None:
    world = await run(bench, Edits({1: "GOOD 1", 2: "LUCKY 2"}), wide(2, budget={"candidates": 2}))
    first, second = world.candidates
    p = [p_of(world.decisions[About(each.id, Stage.FULL)].numbers) for each in (first, second)]
    assert p[1] < p[0]
    assert states(world) == {"c001": "promoted", "c002": "rejected"}
    assert world.decisions[About(second.id, Stage.HOLDOUT)].kind == "reject"
    order = [about.subject for about in world.decisions if about.stage is Stage.HOLDOUT and about.subject]
    assert order == [second.id, first.id]


async def test_the_same_edit_twice_in_a_round_is_paid_for_once(bench: Bench) -> None:
    async def propose(session: ProposalSession) -> Proposal:
        hunk = Hunk("# place 1\n", "# GOOD\n")
        return Proposal("The same", "", (hunk,), (), (), apply_edit(session.harness, [hunk]))

    world = await run(bench, propose, wide(2, budget={"candidates": 2}))
    assert states(world) == {"c001": "promoted", "c002": "failed"}
    assert "the edit gives the same harness as c001 of the same round" in world.candidates[1].failure


async def test_the_budget_of_candidates_ends_within_a_round(bench: Bench) -> None:
    world = await run(bench, Edits({}), wide(budget={"candidates": 6}))
    assert [each.first for each in world.candidates] == [1, 1, 1, 1, 5, 5]


async def test_worn_out_sealed_tasks_end_a_round_before_its_next_confirmation(bench: Bench) -> None:
    marks = {1: "LUCKY 1", 2: "LUCKY 2"}
    world = await run(bench, Edits(marks), wide(2, budget={"candidates": 2}, gate={"holdout_queries": 1}))
    assert sorted(states(world).values()) == ["proposed", "rejected"]
    assert world.holdout_queries == 1
    assert (
        bench.reader()
        .study("demo")
        .state_reason.startswith("gate.holdout_queries: the sealed holdout has answered 1 of 1")
    )


@pytest.mark.parametrize(
    ("before", "after", "rounds"), [(1, 3, [1, 2, 2, 2, 5, 5]), (3, 1, [1, 1, 1, 4, 5, 6]), (2, 4, [1, 1, 3, 3, 3, 3])]
)
async def test_a_width_that_a_person_changes_is_that_of_the_next_round(
    bench: Bench, before: int, after: int, rounds: list[int]
) -> None:
    chosen, plain, heard = wide(before, budget={"candidates": 6}), Edits({}), asyncio.Event()
    settings = chosen.model_dump(mode="json")

    async def meanwhile(session: ProposalSession) -> Proposal | NoProposal:
        if session.number == 1:
            await parts.store.set_settings(
                "demo", settings, {**settings, "search": {**settings["search"], "width": after}}
            )
            await heard.wait()
        return await plain(session)

    with opened(bench, meanwhile, chosen) as (parts, _):
        await bench.create(parts)
        await optimize(replace(parts, tuned=lambda found: heard.set()), "demo")
    assert [each.first for each in scan(bench.reader(), "demo").candidates] == rounds
    assert bench.reader().study("demo").config["search"]["width"] == after
    (chained,) = bench.reader().chain("demo", "settings")
    assert chained.body["changes"] == [{"key": "search.width", "from": before, "to": after}]
    checks = audit.verify(bench.root, bench.reader()).checks
    assert not [check for check in checks if check.what != "benchmark" and check.problems]


async def test_a_persons_edit_waits_for_the_end_of_the_round(bench: Bench) -> None:
    plain = Edits({1: "NULL 1", 2: "GOOD 2"})
    config_of = wide(2, budget={"candidates": 2}, replay={"enabled": False})
    text = SEED.replace("# place 5\n", "# GOOD by hand\n")

    async def meanwhile(session: ProposalSession) -> Proposal | NoProposal:
        if session.number == 1:
            jails = edits.Jails(parts.trials.dry_start, None, str)
            await edits.put_forward(parts.store, parts.reader, "demo", config_of, jails, text, "More of it.")
        return await plain(session)

    with opened(bench, meanwhile, config_of) as (parts, _):
        await bench.create(parts)
        await optimize(parts, "demo")
    world = scan(bench.reader(), "demo")
    assert [each.first for each in world.candidates] == [1, 1, 3]
    assert states(world)["c002"] == "promoted"
    hand = world.candidates[2]
    assert hand.parent == world.candidates[1].harness, "it is applied to the champion that the round made"
    subjects = [about.subject for about in world.decisions if about.subject]
    assert subjects.index(hand.id) > max(place for place, name in enumerate(subjects) if name == "demo/c002")


async def test_the_proposals_of_a_round_are_made_at_once_and_kept_in_order(bench: Bench) -> None:
    plain, asked, made = Edits(TWO_GOOD), list[int](), list[int]()
    turns = [asyncio.Event() for _ in range(4)]

    async def last_first(session: ProposalSession) -> Proposal | NoProposal:
        if session.number > 4:
            return await plain(session)
        asked.append(session.number)
        if len(asked) == 4:
            turns[3].set()
        await turns[session.number - 1].wait()  # none would come back were they asked one after another
        made.append(session.number)
        turns[session.number - 2].set()
        return await plain(session)

    with opened(bench, last_first, wide(), width=4) as (parts, _):
        recorder = parts.progress
        await bench.create(parts)
        await optimize(parts, "demo")
    assert isinstance(recorder, Recorder)
    assert made == [4, 3, 2, 1]
    kept = [event.candidate for event in recorder.events if isinstance(event, Proposed)]
    assert kept[:4] == [candidate_id("demo", number) for number in range(1, 5)]


@pytest.mark.parametrize("stage", [Stage.SPOT, Stage.FULL])
async def test_the_runs_of_a_round_share_the_places_of_a_study(
    bench: Bench, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, all_have = set[str](), asyncio.Event()

    async def prepare(plan: Sequence[PlannedTrial]) -> None:
        asked.update(planned.id.split("/")[1] for planned in plan if planned.stage is stage)
        if asked >= {"c001", "c002", "c003"}:
            all_have.set()

    with opened(bench, Edits({1: "GOOD 1", 2: "GOOD 2", 3: "GOOD 4"}), wide(3), width=3) as (parts, trials):
        attempt = trials.attempt

        async def held(planned: PlannedTrial, *rest: Any) -> TrialEnd:
            """No trial ends before all three runs have asked for places: how soon they do is the machine's affair."""
            if planned.stage is stage:
                await all_have.wait()
            return await attempt(planned, *rest)

        monkeypatch.setattr(trials, "prepare", prepare)
        monkeypatch.setattr(trials, "attempt", held)
        await bench.create(parts)
        await optimize(parts, "demo")
    ran = [each.split("/")[1] for each in trials.ran if f"/{stage}/" in each]
    first = [name for name in ran if name in ("c001", "c002", "c003")]
    last = {name: len(first) - 1 - first[::-1].index(name) for name in first}
    assert len(last) == 3
    assert all(first.index(name) < min(last.values()) for name in last), "each began before any of them had ended"
    assert trials.most_at_once == 3
    # What was decided is stored by number, whoever ended first.
    decided = [each.subject for each in scan(bench.reader(), "demo").decisions if each.stage is stage]
    assert decided[:3] == [candidate_id("demo", number) for number in (1, 2, 3)]


async def test_a_spent_budget_ends_a_round_once_all_its_trials_have_ended(bench: Bench) -> None:
    marks = {1: "GOOD 1", 2: "GOOD 2"}
    propose, settings = Edits(marks), wide(2, budget={"candidates": 2})
    dice: dict[str, Any] = {"width": 4, "fail_after": 60, "failure": BudgetExhausted}
    with opened(bench, propose, settings, **dice) as (parts, _):
        await bench.create(parts)
        done = await optimize(parts, "demo")
    assert (done.state, done.reason.partition(":")[0]) == ("finished", "budget.trials")
    assert not bench.reader().trials(study="demo", state="cancelled", limit=None)
    with opened(bench, propose, settings) as (parts, _):
        await optimize(parts, "demo")
    straight = seeded(bench.root.parent / "straight")
    await run(straight, Edits(marks), settings)
    assert bench.log() == straight.log()


async def test_what_breaks_in_one_run_of_a_round_ends_the_others(bench: Bench) -> None:
    dice: dict[str, Any] = {"width": 4, "fail_after": 60, "failure": ProviderOutage}
    with opened(bench, Edits({1: "GOOD 1", 2: "GOOD 2"}), wide(2), **dice) as (parts, _):
        await bench.create(parts)
        done = await optimize(parts, "demo")
    assert (done.state, done.reason.partition(":")[0]) == (
        "paused",
        "provider the dice were taken away; `lorimer resume demo` goes on when it answers",
    )


async def test_a_round_without_a_usable_edit_counts_once_for_patience(bench: Bench) -> None:
    barren = dict.fromkeys((1, 2, 3, 4, 6, 7, 8), "none") | {5: "NULL 1"}
    world = await run(bench, Edits(barren | dict.fromkeys(range(9, 30), "none")), wide(budget={"candidates": 40}))
    assert [each.first for each in world.candidates][-1] == 17, "the round of candidate 5 had a usable edit"
    assert bench.reader().study("demo").state_reason == "the last 3 rounds held no usable edit (meta.patience is 3)"


MARKS = {1: "NULL 1", 2: "GOOD 2", 3: "none", 4: "GOOD 4", 5: "GOOD 5", 6: "LUCKY 6", 7: "BAD 3", 8: "GOOD 1"}
LONG = {"candidates": 7}


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, World]:
    """A study of these edits in rounds that nothing disturbed, one trial at a time. It is read alone."""
    made = seeded(tmp_path_factory.mktemp("alone") / "work")
    return made, asyncio.run(run(made, Edits(MARKS), wide(budget=LONG)))


@pytest.mark.parametrize(("at_once", "order"), [(4, 1), (8, 2)])
async def test_concurrency_changes_no_decision_of_a_round(
    bench: Bench, left_alone: tuple[Bench, World], at_once: int, order: int
) -> None:
    one, straight = left_alone
    many = bench
    again = await run(many, Edits(MARKS), wide(budget=LONG), width=at_once, order=order)
    assert list(states(straight).values()).count("promoted") >= 2
    assert one.log() == many.log()
    assert one.told() == many.told()
    assert list(straight.decisions) == list(again.decisions)


@pytest.mark.parametrize("step", [17, 41])
async def test_a_study_killed_in_its_rounds_resumes_without_repeating_a_trial(
    bench: Bench, left_alone: tuple[Bench, World], step: int
) -> None:
    straight, killed = left_alone[0], bench
    ran: list[str] = []
    finished = False
    for attempt in range(100):
        dice: dict[str, Any] = {"width": 4, "order": attempt, "fail_after": step}
        with opened(killed, Edits(MARKS), wide(budget=LONG), **dice) as (parts, trials):
            if attempt == 0:
                await killed.create(parts)
            try:
                await optimize(parts, "demo")
                finished = True
            except Killed:
                pass
            ran += trials.ran
        if finished:
            break
    assert finished
    assert attempt > 3
    assert len(ran) == len(set(ran))
    assert killed.log() == straight.log()
    assert killed.git("log", "--format=%s") == straight.git("log", "--format=%s")


def child(root: str, after: int) -> None:
    """What the process that is killed runs."""

    async def work() -> None:
        bench = Bench(Path(root), seed=SEED)
        dice: dict[str, Any] = {"width": 4, "fail_after": after, "failure": Sigkill}
        with opened(bench, Edits(MARKS), wide(budget=LONG), **dice) as (parts, _):
            if not parts.reader.studies():
                await bench.create(parts)
            await optimize(parts, "demo")

    asyncio.run(work())


async def test_a_round_killed_by_the_system_resumes_with_the_same_decisions(
    bench: Bench, left_alone: tuple[Bench, World]
) -> None:
    straight, killed = left_alone[0], bench
    for after in (50, 60):
        code = f"from tests.meta_agent.test_rounds import child; child({str(killed.root)!r}, {after})"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        assert await process.wait() == -signal.SIGKILL
    under_way = scan(killed.reader(), "demo").round
    assert under_way is not None
    assert len(under_way.candidates) > 1, "it was killed in the middle of a round"
    with opened(killed, Edits(MARKS), wide(budget=LONG)) as (parts, trials):
        before = {trial.planned for trial in parts.reader.trials(study="demo", state="scored", limit=None)}
        await optimize(parts, "demo")
    assert not before & set(trials.ran)
    assert killed.log() == straight.log()
