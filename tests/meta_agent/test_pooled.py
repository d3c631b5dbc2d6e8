"""The pooled comparison: its pure parts, and studies that are decided by it."""

from __future__ import annotations

import asyncio
import math
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorimer.config.settings import Config, parse_stored
from lorimer.dashboard.views.history import history
from lorimer.errors import UserError
from lorimer.exports.targets import pr
from lorimer.exports.winner import winner_of
from lorimer.meta_agent.gate.comparison import POOLED as ARM
from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.confirmation import ROUNDS, confirmed
from lorimer.meta_agent.gate.decide import decide
from lorimer.meta_agent.gate.full_run import FullRun
from lorimer.meta_agent.gate.opponent import opponent
from lorimer.meta_agent.gate.statistics.permutation import Pair
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.pooled import PooledArm, champion_arm, p_value
from lorimer.meta_agent.gate.statistics.revisions import REVISIONS
from lorimer.meta_agent.gate.statistics.scores import Result, by_task, scored
from lorimer.meta_agent.gate.stopping.futility import first_unlikely
from lorimer.meta_agent.gate.verdicts import SpotTrial, spot_verdict
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.ledger.telling import against, came_of
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.reports.export import evidence_card
from lorimer.meta_agent.reports.other_ends import confirmed_again, spot_again
from lorimer.meta_agent.reports.promotions import score_words
from lorimer.meta_agent.reports.replay import replay
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.terminal import listing
from lorimer.traces.schema import PlannedTrial, Purpose, Stage
from lorimer.traces.tables import DecisionRow
from tests.meta_agent.test_loop import HOLDOUT, Bench, Finished, config, make_bench, rate, run, script

POOLED = Policy(name="pooled")
TASKS = [f"t{number:02}" for number in range(30)]
RATES = [0.95] * 12 + [0.1 + 0.8 * step / 11 for step in range(12)] + [0.0] * 6


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def pooled(**overrides: Any) -> Config:
    gate = {"policy": "pooled", "repeats": 4, "champion_repeats": 4, "futility": 0.37} | overrides.pop("gate", {})
    # With this seed no champion of these studies looks so nearly perfect that they end for it.
    return config(gate=gate, **{"study": {"seed": 1}} | overrides)


def trials(rates: Sequence[float], repeats: int, dice: random.Random) -> list[Result]:
    return [
        Result(task, float(dice.random() < rate))
        for _ in range(repeats)
        for task, rate in zip(TASKS, rates, strict=True)
    ]


# ---- the statistic


binary = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=6).map(tuple)
pairs_of = st.lists(st.builds(Pair, binary, binary), min_size=1, max_size=8)


@given(pairs_of)
@settings(max_examples=200, deadline=None)
def test_a_p_value_lies_between_0_and_1_and_no_exchange_of_the_arms_leaves_both_small(pairs: list[Pair]) -> None:
    here, there = p_value(pairs), p_value([Pair(pair.champion, pair.candidate) for pair in pairs])
    assert 0.0 <= here <= 1.0
    assert here + there >= 1.0 - 1e-9


def test_a_success_where_nothing_was_ever_solved_counts_most() -> None:
    rare = [Pair((1.0, 0.0), (0.0,) * 8), Pair((1.0, 1.0), (1.0,) * 8)]
    common = [Pair((0.0, 0.0), (0.0,) * 8), Pair((1.0, 1.0), (1.0, 0.0) * 4)]
    assert p_value(rare) < p_value(common) < 0.5


def test_trials_that_are_all_alike_tell_nothing() -> None:
    assert p_value([Pair((1.0,), (1.0, 1.0)), Pair((0.0,), (0.0,))]) == 1.0


def test_an_edit_without_effect_seldom_passes() -> None:
    dice, rounds = random.Random(4), 400
    passed = 0
    for _ in range(rounds):
        run = trials(RATES, 3, dice)
        passed += (
            decide(Evidence(run, trials(RATES, 4, dice), [r.task for r in run]), POOLED, whole=True).kind == "promote"
        )
    assert passed / rounds <= 0.1 + 2 * math.sqrt(0.1 * 0.9 / rounds)


# ---- the champion's arm


def test_the_rejected_join_the_champion_as_they_are_where_they_are_alike() -> None:
    own, rejected = [Result("a", 1.0), Result("b", 0.0)], [Result("a", 1.0), Result("b", 0.0), Result("b", None)]
    assert champion_arm(own, rejected) == PooledArm([*own, *rejected])


def test_rejected_edits_that_break_things_do_not_make_the_champion_look_weak() -> None:
    dice = random.Random(7)
    own = trials([0.6] * 30, 8, dice)
    found = champion_arm(own, trials([0.3] * 30, 20, dice))
    arm = found.trials
    # Its own 240 trials of a rate of 0.6 tell its level to one part in nineteen.
    assert found.doubt == pytest.approx(math.sqrt(0.4 / 0.6 / 240), rel=0.1)
    mean = sum(r.reward or 0.0 for r in arm) / len(arm)
    assert mean == pytest.approx(0.6, abs=0.05)
    assert all(0.0 <= (r.reward or 0.0) <= 1.0 for r in arm)


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_the_rejected_are_never_lowered(seed: int) -> None:
    dice = random.Random(seed)
    own, rejected = trials(RATES, 3, dice), trials([dice.random() for _ in TASKS], 5, dice)
    arm = champion_arm(own, rejected).trials
    assert arm[: len(own)] == own
    assert all((new.reward or 0.0) >= (old.reward or 0.0) for new, old in zip(arm[len(own) :], rejected, strict=True))


ARM_OF_UNLIKE_RATES = """
from lorimer.meta_agent.gate.statistics.pooled import champion_arm
from lorimer.meta_agent.gate.statistics.scores import Result

def arm(parts):
    return [Result(f"task-{task}", (task * part % 11) / 11) for task in range(40) for part in range(1, parts)]

print(champion_arm(arm(6), [Result(each.task, each.reward / 3) for each in arm(10)]))
"""


def test_the_champions_arm_is_the_same_to_the_last_digit_in_every_process() -> None:
    """A study that is killed goes on in another process, where a set of names has another order."""
    told = {
        subprocess.run(
            [sys.executable, "-c", ARM_OF_UNLIKE_RATES],
            env={**os.environ, "PYTHONHASHSEED": str(seed)}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in range(4)
    }  # fmt: skip
    assert len(told) == 1
    assert "doubt=0.0)" not in told.pop()


# ---- ends before the plan's


def test_what_is_far_ahead_ends_before_its_plan_does() -> None:
    dice = random.Random(1)
    better = [min(1.0, rate + 0.5) for rate in RATES]
    run = trials(better, 5, dice)
    decision = decide(Evidence(run, trials(RATES, 4, dice), [r.task for r in run]), POOLED)
    assert decision.kind == "promote"
    assert int(decision.numbers["run"] or 0) < len(run)
    assert "the rest was not needed" in decision.reason


def test_a_study_of_the_first_revision_ends_its_runs_no_later_for_what_is_ahead() -> None:
    dice, ended = random.Random(5), list[tuple[int, int]]()
    for _ in range(20):
        run = trials([min(1.0, rate + 0.25) for rate in RATES], 5, dice)
        met = Evidence(run, trials(RATES, 4, dice), [r.task for r in run])
        first, now = (decide(met, Policy(name="pooled", revision=revision)) for revision in (1, 2))
        if first.kind == now.kind == "promote":
            ended.append((int(first.numbers["run"] or 0), int(now.numbers["run"] or 0)))
    assert len(ended) >= 10
    assert all(first <= now for first, now in ended)
    assert any(first < now for first, now in ended)


def begun(never: int, champion_trials: int) -> tuple[list[Result], list[Result], list[str]]:
    """A run of five trials per task that has tried in vain what the champion never solves. It solves half of the others."""
    hard, others = TASKS[:never], TASKS[never : never + 9]
    arm = [Result(task, 0.0) for task in hard * champion_trials]
    arm += [Result(task, float(trial % 2)) for trial in range(champion_trials) for task in others]
    return [Result(task, 0.0) for task in hard * 5], arm, hard * 5 + others * 5


@pytest.mark.parametrize("futility", [0.37, 0.42])
def test_a_run_does_not_end_for_having_begun_with_what_is_never_solved(futility: float) -> None:
    """A third of the tasks is beyond every edit; what one does on the others is yet to be seen."""
    mine, champion, planned = begun(5, 20)
    second, third = (
        first_unlikely(mine, scored(by_task(champion)), planned, Policy("pooled", revision=revision, futility=futility))
        for revision in (2, 3)
    )
    assert second is not None
    assert second.at < len(mine)
    assert third is None


def test_the_longer_a_task_was_never_solved_the_less_is_lost_by_failing_it_again() -> None:
    def at(trials: int) -> int:
        mine, champion, planned = begun(9, trials)
        found = first_unlikely(mine, scored(by_task(champion)), planned, Policy("pooled", futility=0.49))
        return found.at if found else len(planned)

    assert at(2) < at(40)


def test_a_run_of_never_solved_tasks_alone_ends_as_one_of_any_tasks_does() -> None:
    """Where all are doubted alike, none is doubted: what is hoped for is the gain that the whole plan would find."""
    champion = [Result(task, 0.0) for task in TASKS[:10] * 6]
    mine, planned = [Result(task, 0.0) for task in TASKS[:10] * 3], TASKS[:10] * 5
    second, third = (
        first_unlikely(mine, scored(by_task(champion)), planned, Policy("pooled", revision=revision, futility=0.42))
        for revision in (2, 3)
    )
    assert second is not None
    assert third is not None
    assert (second.at, second.chance, second.gain) == pytest.approx((third.at, third.chance, third.gain))


@given(st.integers(0, 10_000), st.sampled_from([-0.2, 0.0, 0.2, 0.4]))
@settings(max_examples=40, deadline=None)
def test_timing_changes_no_pooled_decision(seed: int, lift: float) -> None:
    dice, policy = random.Random(seed), Policy(name="pooled", futility=0.37)
    champion = trials(RATES, 4, dice)
    full = trials([min(1.0, max(0.0, rate + lift)) for rate in RATES], 4, dice)
    planned = [r.task for r in full]
    whole = decide(Evidence(full, champion, planned), policy)
    end = int(whole.numbers["run"] or 0)
    for length in (end, min(len(full), end + 1), len(full)):
        assert decide(Evidence(full[:length], champion, planned), policy) == whole


# ---- the confirmation


def beside(mine: Sequence[float | None], theirs: Sequence[float | None], rounds: int) -> Evidence:
    """One reward per task of both arms, in so many rounds alike."""
    names = TASKS[: len(mine)]

    def arm(rewards: Sequence[float | None]) -> list[Result]:
        return [Result(task, reward) for _ in range(rounds) for task, reward in zip(names, rewards, strict=True)]

    return Evidence(arm(mine), arm(theirs), names * ROUNDS)


def test_a_confirmation_ends_where_its_answer_is_plain() -> None:
    worse = confirmed(beside([0.0] * 8 + [1.0] * 2, [1.0] * 8 + [0.0] * 2, 1), POOLED)
    assert worse is not None
    assert worse.kind == "reject"
    assert worse.reason.startswith("not confirmed: 2/10 against 8/10 side by side, a difference of -0.600")
    better = [1.0] * 8 + [0.0] * 2, [0.0] * 8 + [1.0] * 2
    assert confirmed(beside(*better, 1), POOLED) is None  # its trials are to stand for the next champion
    found = confirmed(beside(*better, 2), POOLED)
    assert found is not None
    assert found.kind == "pass"
    assert found.reason.startswith("confirmed: 16/20 against 4/20 side by side, a difference of +0.600")


def test_at_the_end_of_a_confirmation_an_equal_mean_is_none() -> None:
    alike = [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]
    assert confirmed(beside(*alike, ROUNDS - 1), POOLED) is None
    last = confirmed(beside(*alike, ROUNDS), POOLED)
    assert last is not None
    assert last.kind == "reject"


@pytest.mark.parametrize(("revision", "behind", "ahead"), [(1, "reject", None), (2, None, "pass")])
def test_a_confirmation_goes_on_while_neither_is_six_tenths_of_a_standard_error_ahead(
    revision: int, behind: str | None, ahead: str | None
) -> None:
    """Half a standard error behind the first revision gave up, and 0.65 ahead it went on."""
    more, less = [1.0, 0.0] * 5, [0.0, 0.0] + [0.0, 1.0] * 4
    policy = Policy(name="pooled", revision=revision)
    worse, better = confirmed(beside(less, more, 1), policy), confirmed(beside(more, less, 2), policy)
    assert [found and found.kind for found in (worse, better)] == [behind, ahead]


def test_a_confirmation_of_which_too_much_errored_is_undecided() -> None:
    found = confirmed(beside([1.0, None, 1.0], [0.0, 0.0, 0.0], ROUNDS), POOLED)
    assert found is not None
    assert found.kind == "undecided"
    assert (
        found.reason == "undecided: 4 of the candidate's 12 trials side by side errored, over the 20% that are allowed"
    )


# ---- studies

MARKS = ("NULL", "BAD", "GOOD", "NULL", "NULL")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A study of these edits that nothing disturbed. It is read alone."""
    made = make_bench(tmp_path_factory.mktemp("straight") / "work")
    return Finished(made, *asyncio.run(run(made, script(*MARKS), pooled())))


async def test_a_good_edit_is_confirmed_side_by_side_before_the_holdout_is_asked(straight: Finished) -> None:
    done, reader = straight.result, straight.bench.reader()
    assert done.champion_candidate == "demo/c003"
    stages = [row.stage for row in reader.decisions("demo") if row.subject == "demo/c003" and row.purpose == "first"]
    assert stages == ["spot", "full", "audit", "holdout"]
    audit = next(row for row in reader.decisions("demo") if row.id == "demo/c003/audit")
    assert audit.reason.startswith("confirmed: ")
    world = scan(reader, "demo")
    assert world.stood_at("", 3) == ("demo/baseline/baseline", "demo/baseline/audit+00003")
    added = reader.outcomes("demo/baseline/audit+00003")
    mine = reader.outcomes("demo/c003/audit")
    assert len(added) == len(mine) == 2 * 14
    last = reader.outcomes("demo/c003/audit-final-00006")
    assert len(last) == 2 * 14
    assert done.final is not None
    assert done.final.mean == pytest.approx(sum(trial.reward or 0.0 for trial in last) / len(last))


async def test_what_is_better_in_its_full_run_alone_is_not_confirmed_and_its_trials_count_for_the_champion(
    bench: Bench,
) -> None:
    def lucky(text: str, planned: PlannedTrial) -> float:
        if "GOOD" in text and planned.stage is Stage.AUDIT:
            return rate("BAD", planned)
        return rate(text, planned)

    done, _ = await run(bench, script("GOOD", "NULL"), pooled(budget={"candidates": 2}), rate_of=lucky)
    assert done.champion_candidate == ""
    reader = bench.reader()
    audit = next(row for row in reader.decisions("demo") if row.id == "demo/c001/audit")
    assert audit.reason.startswith("not confirmed: ")
    world = scan(reader, "demo")
    assert set(world.withstood(2)) == {"demo/c001/full", "demo/c001/audit"}
    assert world.decided("", Stage.AUDIT, Purpose.ADDED, 1) is not None
    assert "demo/baseline/audit+00001" in world.stood


# ---- whose score it is -------------------------------------------------------------------------------------------------


OWN = [Result("a", 1.0), *[Result(task, 0.0) for task in "aaabbbbcccc"], Result("z", 1.0), Result("a", None)]
"""A champion's: 1 of 12 on the tasks that are run, one errored trial there, and one on a task that no candidate runs."""
WITHSTOOD = [Result("a", 1.0), Result("b", 1.0), *[Result(task, 0.0) for task in "abccz"]]


def judged(withstood: Sequence[Result], policy: Policy = POOLED, mine: str = "111001001", **more: Any) -> DecisionRow:
    """The full run of a candidate with these outcomes on three tasks, decided against the champion, as it is stored."""
    met = opponent(OWN, pools=policy.name == "pooled", withstood=lambda: withstood, earlier=dict)
    rewards = [None if outcome == "-" else float(outcome) for outcome in mine]
    candidate = [Result(task, reward) for task, reward in zip("abcabcabc", rewards, strict=True)]
    run = FullRun(candidate, met.champion, list("abcabcabc"), weights=met.weights, own=met.own)
    found = decide(run.evidence, met.judged_by(policy), whole=True)
    return DecisionRow(
        id="s/c001/full",
        study="s",
        subject="s/c001",
        stage="full",
        kind=found.kind,
        reason=found.reason,
        numbers=dict(found.numbers),
        policy={"name": policy.name},
        made="",
        **more,
    )


def test_the_score_of_an_arm_that_holds_rejected_candidates_is_not_called_the_champions() -> None:
    row = judged(WITHSTOOD)
    theirs = f"{row.numbers['champion_mean']:.3f}"
    assert (row.numbers["champion_own"], row.numbers["champion_trials"]) == (12, 18)
    assert row.reason.startswith(f"passed: 5/9 against 3/18 of {ARM}, p = ")
    told = came_of("rejected", "", [row])
    assert told.startswith(
        f"it scored 0.556 against {theirs} in 12 trials of the champion and 6 of rejected candidates (p = "
    )
    assert "the champion's" not in told
    # What did worse than the champion is lifted, and no longer counted in whole successes.
    lifted = judged([Result(task, 0.0) for task in "abcabcabc"] + [Result("a", 1.0)])
    assert f" trials against {lifted.numbers['champion_mean']:.3f} over 22 of {ARM}, p = " in lifted.reason


def test_an_arm_of_the_champions_trials_alone_is_the_champions() -> None:
    elsewhere = [Result("z", 0.0), Result("z", 1.0)]
    for row in (judged([]), judged(elsewhere), judged(WITHSTOOD, Policy(name="paired"))):
        assert row.numbers["champion_own"] == row.numbers["champion_trials"] == 12
        assert "rejected candidates" not in row.reason
        assert came_of("rejected", "", [row]).startswith("it scored 0.556 against the champion's 0.083 (p = ")


def test_a_pooled_decision_of_an_older_lorimer_is_told_of_the_champions_arm() -> None:
    row = judged(WITHSTOOD)
    row.numbers = {key: value for key, value in row.numbers.items() if key != "champion_own"}
    told = f"it scored 0.556 against {row.numbers['champion_mean']:.3f} of the champion's arm (p = "
    assert came_of("rejected", "", [row]).startswith(told)
    row.policy = {"name": "paired"}
    assert came_of("rejected", "", [row]).startswith("it scored 0.556 against the champion's ")
    row.stage, row.policy = "audit", {"name": "pooled"}
    assert against(row).startswith("the champion's "), "side by side"


def test_errors_of_an_arm_that_holds_rejected_candidates_are_said_to_be_of_both() -> None:
    strict = replace(POOLED, max_errored=0.01)
    assert judged(WITHSTOOD, strict).reason.startswith(
        f"undecided: 1 of the 21 trials of {ARM} errored, over the 1% that are allowed"
    )
    assert judged([], strict).reason.startswith("undecided: 1 of the champion's 14 trials errored, ")
    much = replace(POOLED, max_errored=1.0)
    assert f"errored more often than {ARM}: with " in judged(WITHSTOOD, much, "11-1-----").reason
    assert "errored more often than the champion: with " in judged([], much, "11-------").reason


async def test_a_study_tells_people_and_the_meta_agent_whose_score_a_candidate_met(bench: Bench) -> None:
    await run(bench, script("NULL", "NULL"), pooled(budget={"candidates": 2}))
    world = scan(bench.reader(), "demo")
    first, second = (world.decided(f"demo/c00{number}", Stage.FULL) for number in (1, 2))
    assert first is not None
    assert second is not None
    assert first.numbers["champion_own"] == first.numbers["champion_trials"]
    own, trials = (second.numbers[key] for key in ("champion_own", "champion_trials"))
    assert own < trials
    lines = [line for line in bench.told().splitlines() if line.startswith("c00")]
    assert "against the champion's " in lines[0]
    assert f" in {own} trials of the champion and {trials - own} of rejected candidates" in lines[1]
    assert [ARM in row.reason for row in (first, second)] == [False, True]
    assert history(world).points[1].said.endswith(f" of the champion and {trials - own} of rejected candidates")


@pytest.mark.parametrize(("width", "order"), [(5, 1), (3, 2), (9, 3), (40, 4)])
async def test_concurrency_changes_no_pooled_decision(bench: Bench, straight: Finished, width: int, order: int) -> None:
    await run(bench, script(*MARKS), pooled(), width=width, order=order)
    assert straight.bench.log() == bench.log()


async def test_a_killed_pooled_study_resumes_without_repeating_a_trial(bench: Bench, straight: Finished) -> None:
    killed = bench
    ran: list[str] = []
    for attempt in range(100):
        with killed.parts(script(*MARKS), pooled(), width=4, order=attempt, fail_after=23) as (parts, dice, _):
            if attempt == 0:
                await killed.create(parts)
            try:
                await optimize(parts, "demo")
            except BaseException as error:
                ran += dice.ran
                if type(error).__name__ != "Killed":
                    raise
            else:
                ran += dice.ran
                break
    assert len(ran) == len(set(ran))
    assert straight.bench.log() == killed.log()


async def test_a_pooled_study_is_replayed_with_the_same_words(straight: Finished) -> None:
    bench = straight.bench
    found = replay(bench.reader(), "demo", {})
    assert [each.after for each in found.candidates] == [each.before for each in found.candidates]
    assert (found.changed, found.open) == (0, 0)
    assert all(each.reason == each.was for each in found.candidates if "spot-check" not in each.reason)
    other = replay(bench.reader(), "demo", {"gate.alpha": 0.2, "gate.policy": "paired"})
    third = next(each for each in other.candidates if each.number == 3)
    assert third.after == "open"
    assert "this gate would have gone on" in third.reason


async def test_a_study_is_resumed_and_replayed_by_the_revision_that_it_began_with(bench: Bench) -> None:
    """Its store has no revision, as that of a lorimer which knew one alone."""
    stored = pooled().model_dump(mode="json")
    del stored["gate"]["revision"]
    old = parse_stored(stored, "demo")
    assert old.gate.revision == 1
    await run(bench, script(*MARKS), old)
    reader = bench.reader()
    assert {row.policy["revision"] for row in reader.decisions("demo") if row.stage == "full"} == {1}
    same = replay(reader, "demo", {})
    assert [each.after for each in same.candidates] == [each.before for each in same.candidates]
    assert (same.changed, same.open) == (0, 0)


@pytest.mark.parametrize(("revision", "kind"), [(1, "reject"), (2, "pass")])
async def test_one_broken_guard_kills_in_studies_of_the_first_revision_alone(
    bench: Bench, revision: int, kind: str
) -> None:
    def breaks_the_guard(text: str, planned: PlannedTrial) -> float:
        return 0.0 if planned.stage is Stage.SPOT else rate(text, planned)

    settings = pooled(gate={"revision": revision, "spot_guards": 1}, budget={"candidates": 1})
    await run(bench, script("NULL"), settings, rate_of=breaks_the_guard)
    spot = next(row for row in bench.reader().decisions("demo") if row.id == "demo/c001/spot")
    assert (spot.kind, spot.numbers["broken"], spot.numbers["fixed"]) == (kind, 1, 0)


async def test_a_replay_by_another_revision_says_what_its_trials_tell(bench: Bench) -> None:
    await run(bench, script(*MARKS), pooled(gate={"revision": 1}))
    found = {each.number: each for each in replay(bench.reader(), "demo", {"gate.revision": 2}).candidates}
    # It broke two guards, and the good edit is far ahead: that is the same by either.
    assert (found[2].after, found[3].after) == ("rejected", "promoted")
    newest = {each.number: each for each in replay(bench.reader(), "demo", {"gate.revision": 3}).candidates}
    assert (newest[2].after, newest[3].after) == ("rejected", "promoted")
    back = replay(bench.reader(), "demo", {"gate.revision": 2, "gate.max_cost_increase": "none"})
    assert {each.number: each.after for each in back.candidates}[3] == "promoted"


def test_a_spot_check_under_another_revision_is_told_from_what_it_found() -> None:
    one = spot_verdict([SpotTrial("f", "fix", 0.0, 0.5)] * 2 + [SpotTrial("g", "guard", 0.0, 1.0)], REVISIONS[1])
    assert one.kind == "reject"
    assert spot_again(one.kind, one.numbers, REVISIONS[1]) == "reject"
    assert spot_again(one.kind, one.numbers, REVISIONS[2]) == "pass"
    assert spot_again("reject", {"pairs": 20}, REVISIONS[2]) is None
    assert spot_again("pass", {}, REVISIONS[2]) == "pass"


def test_a_confirmation_under_another_revision_ends_in_its_own_round_or_cannot_be_told() -> None:
    more, less = [1.0, 0.0] * 5, [0.0, 0.0] + [0.0, 1.0] * 4

    def again(mine: list[float], theirs: list[float], rounds: int, revision: int) -> Decision | None:
        met = beside(mine, theirs, rounds)
        return confirmed_again(met.candidate, met.champion, 10, met.planned, Policy("pooled", revision=revision))

    assert again(less, more, 1, 2) is None
    sooner, first = again(more, less, 4, 2), again(less, more, 4, 1)
    assert sooner is not None
    assert (sooner.kind, sooner.numbers["run"]) == ("pass", 20)
    assert first is not None
    assert (first.kind, first.numbers["run"]) == ("reject", 10)


async def test_the_log_says_of_what_was_not_confirmed_what_happened(bench: Bench) -> None:
    def lucky(text: str, planned: PlannedTrial) -> float:
        return rate("BAD" if "GOOD" in text and planned.stage is Stage.AUDIT else text, planned)

    await run(bench, script("GOOD"), pooled(budget={"candidates": 1}), rate_of=lucky)
    line = "c001 [rejected] Edit GOOD: it was better in its full run, but not in fresh trials side by side with the champion's ("
    assert any(each.startswith(line) for each in bench.told().splitlines())


async def test_what_the_holdout_vetoes_was_confirmed_first_and_counts_for_nobody(bench: Bench) -> None:
    def overfitted(text: str, planned: PlannedTrial) -> float:
        return 0.0 if "GOOD" in text and planned.task in HOLDOUT else rate(text, planned)

    done, _ = await run(bench, script("GOOD", "NULL"), pooled(budget={"candidates": 2}), rate_of=overfitted)
    assert done.champion_candidate == ""
    world = scan(bench.reader(), "demo")
    assert world.withstood(2) == {}
    assert "the sealed holdout vetoed it" in bench.told()


async def test_a_study_that_goes_on_has_another_last_audit_and_one_that_does_not_has_none(bench: Bench) -> None:
    await run(bench, script("GOOD"), pooled(budget={"candidates": 1}))
    for candidates, ends in (
        (1, ["demo/c001/audit-final-00002", "demo/c001/holdout-final-00002"]),
        (2, [f"demo/c001/{stage}-final-{met}" for met in ("00002", "00003") for stage in ("audit", "holdout")]),
    ):
        with bench.parts(script("GOOD"), pooled(budget={"candidates": candidates})) as (parts, _, _):
            await optimize(parts, "demo")
        world = scan(bench.reader(), "demo")
        assert [row.id for row in world.decisions.values() if row.purpose == "final"] == ends
        assert world.reported is not None
        assert world.reported.id == ends[-2]
        assert world.stood[0] == "demo/c001/audit"
        assert {name for name in ends if "audit" in name} <= set(world.stood)


async def test_a_study_without_a_promotion_needs_no_last_audit(bench: Bench) -> None:
    await run(bench, script("NULL"), pooled(budget={"candidates": 1}))
    assert not [row for row in bench.reader().decisions("demo") if row.purpose == "final"]


async def test_the_seed_harness_has_one_score_wherever_it_stands_with_its_first_trials_beside_it(bench: Bench) -> None:
    """What it runs beside a candidate in its confirmation stands for it as well, so its score is of these too."""
    done, _ = await run(bench, script("GOOD"), pooled(budget={"candidates": 1}))
    reader, world = bench.reader(), scan(bench.reader(), "demo")
    (all_of_it, first), row = (world.reported_of(""), world.decided("", Stage.BASELINE)), reader.study("demo")
    assert all_of_it is not None
    assert first is not None
    trials, score = all_of_it.numbers["trials"], f"{all_of_it.numbers['score']:.3f}"
    begun = f"the first {first.numbers['trials']}: {first.numbers['score']:.3f}"
    assert (trials, score) != (first.numbers["trials"], f"{first.numbers['score']:.3f}")
    assert done.baseline is not None
    assert done.baseline.trials == trials
    log, card = listing.log(reader, row), evidence_card(reader, "demo")
    assert f" against {score} in {trials}" in str(log.gain.lines() if log.gain else "")
    head = experiments.render(log).splitlines()[0]
    assert head.startswith(f"Baseline (the seed harness): {score} [")
    assert head.endswith(f" over {trials} trials of 14 train tasks; {begun}")
    assert experiments.for_meta_agent(log).everything.splitlines()[0] == head
    status = listing.status_text(listing.status(reader, row, bench.root))
    assert f"  baseline    score {score} [" in status
    assert f" over 14 tasks; {begun}\n" in status
    assert re.search(rf"\| baseline \(the seed harness\) \| {score} \[.*\]; {begun} \| {trials} \|\n", card)
    winner = winner_of(reader, "demo")
    assert (winner.evidence.baseline.trials, winner.evidence.baseline_first) != (first.numbers["trials"], None)
    page = pr.files(winner)[pr.DESCRIPTION].decode()
    assert f"harness: {score} to " in page.splitlines()[0]
    assert re.search(rf"\| before, the seed harness \| {score} \[.*\]; {begun} \| {trials} \|\n", page)
    assert f" against {score} in {trials}" in page


async def test_the_card_tells_the_audit_that_decided_and_the_last_measurement_by_its_own_name(bench: Bench) -> None:
    await run(bench, script("GOOD"), pooled(budget={"candidates": 1}))
    reader, world = bench.reader(), scan(bench.reader(), "demo")
    audit, last = world.decided("demo/c001", Stage.AUDIT), world.reported
    assert audit is not None
    assert last is not None
    assert last.purpose == Purpose.FINAL
    lines = evidence_card(reader, "demo").splitlines()
    assert f"- audit: {audit.reason}; it scored {score_words(audit)}" in lines
    assert f"- at the study's end: {score_words(last)} over {last.numbers['trials']} trials" in lines
    assert audit.reason.startswith("confirmed: ")
    # What was measured last decided nothing, so the score is not called flattered.
    assert "rests on the confirmation" not in "".join(lines)
    page = pr.files(winner_of(reader, "demo"))[pr.DESCRIPTION].decode()
    assert f"| after, on trials that decided nothing | {score_words(last)} |" in page
    assert "and a confirmation in fresh trials, side by side with the harness before it." in page


async def test_until_the_study_ends_a_score_that_promoted_is_said_to_be_rather_too_high(bench: Bench) -> None:
    async def stops(session: ProposalSession) -> Proposal | NoProposal:
        if session.number == 2:
            raise UserError("enough")
        return await script("GOOD")(session)

    with pytest.raises(UserError):
        await run(bench, stops, pooled(budget={"candidates": 2}))
    reader, world = bench.reader(), scan(bench.reader(), "demo")
    assert world.reported is not None
    assert world.reported.id == "demo/c001/audit"
    card, said = evidence_card(reader, "demo"), score_words(world.reported)
    assert f"| champion (`c001`), in the trials that confirmed it | {said} |" in card
    assert (
        "The champion's score rests on the confirmation that it passed, which promoted it, so it is rather too high. "
        in card
    )
    assert "When the study ends, it is measured once more, in trials that decide nothing.\n" in card
    assert "never of those that won it" not in card
    winner = winner_of(reader, "demo")
    assert winner.evidence.audit_won
    page = pr.files(winner)[pr.DESCRIPTION].decode()
    assert f"| after, on the trials that confirmed it, so rather too high | {said} |" in page
