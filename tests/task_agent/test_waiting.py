"""Which trial begins next: no outcome depends on it, only how long places are idle."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.sandbox.base import Owner
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.task_agent.scheduling.waiting import Durations, Waiting
from lorimer.traces.schema import PlannedTrial, Stage, TrialEnd, TrialState
from lorimer.traces.wired import Gap, Record

SECONDS = {"a": 1.0, "b": 9.0, "c": 3.0, "d": 3.0}


def trial(task: str, repeat: int = 0, evaluation: str = "s/e") -> PlannedTrial:
    return PlannedTrial(f"{evaluation}/{task}/{repeat}", "s", evaluation, Stage.FULL, "sha", task, repeat, 7)


def ended(planned: PlannedTrial, seconds: float, state: TrialState = TrialState.SCORED) -> TrialEnd:
    return TrialEnd(f"{planned.id}/0", state, "finished", reward=1.0, seconds=seconds)


def knowing(seconds: Mapping[str, float]) -> Durations:
    durations = Durations()
    for task, each in seconds.items():
        durations.learn(task, ended(trial(task), each))
    return durations


def order(waiting: Waiting) -> list[str]:
    taken = []
    while waiting:
        planned = waiting.take()
        taken.append(f"{planned.task}{planned.repeat}")
    return taken


def test_in_a_round_the_longest_begin_first_and_equals_keep_their_order() -> None:
    plan = [trial(task, repeat) for repeat in (0, 1) for task in "abcd"]
    assert order(Waiting(plan, (), knowing(SECONDS), in_rounds=True)) == [
        *("b0", "c0", "d0", "a0"),
        *("b1", "c1", "d1", "a1"),
    ]
    assert order(Waiting(plan, (), knowing(SECONDS), in_rounds=False)) == [
        f"{task}{repeat}" for repeat in (0, 1) for task in "abcd"
    ]


def test_a_task_of_which_nothing_is_known_begins_before_all_others() -> None:
    plan = [trial(task) for task in "axb"]
    assert order(Waiting(plan, (), knowing(SECONDS), in_rounds=True)) == ["x0", "b0", "a0"]


def test_what_is_settled_does_not_wait_and_leaves_the_rest_in_its_rounds() -> None:
    plan = [trial(task, repeat) for repeat in (0, 1) for task in "ab"]
    assert order(Waiting(plan, {"s/e/b/0"}, knowing(SECONDS), in_rounds=True)) == ["a0", "b1", "a1"]


def test_two_harnesses_side_by_side_stay_side_by_side() -> None:
    plan = [trial(task, 0, side) for task in "abcd" for side in ("s/mine", "s/theirs")]
    waiting = Waiting(plan, (), knowing(SECONDS), in_rounds=True)
    taken = [waiting.take() for _ in plan]
    assert [planned.task for planned in taken] == [*"bbccddaa"]
    assert [planned.evaluation for planned in taken] == ["s/mine", "s/theirs"] * 4


def test_only_scored_trials_say_how_long_one_takes() -> None:
    durations = knowing({"a": 2.0})
    durations.learn("a", ended(trial("a"), 4.0))
    durations.learn("a", ended(trial("a"), 900.0, TrialState.ERRORED))
    durations.learn("b", ended(trial("b"), 0.1, TrialState.CANCELLED))
    assert durations.expected("a") == 3.0
    assert not durations.known("b")


def makespan(seconds: Sequence[float], places: int) -> float:
    """When the last of these trials ends, begun one after another, each in the place that is free first."""
    free = [0.0] * places
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


@given(st.lists(st.floats(0.1, 100.0), min_size=1, max_size=6), st.integers(1, 3))
def test_a_round_ends_at_most_a_third_later_than_by_the_best_order(seconds: list[float], places: int) -> None:
    tasks = {f"t{number}": each for number, each in enumerate(seconds)}
    waiting = Waiting([trial(task) for task in tasks], (), knowing(tasks), in_rounds=True)
    ours = makespan([tasks[waiting.take().task] for _ in tasks], places)
    best = min(makespan(each, places) for each in permutations(seconds))
    assert ours <= best * 4 / 3 + 1e-9


class Noted:
    """Attempts that end in the order in which they began, and take as long as SECONDS says."""

    def __init__(self) -> None:
        self.began: list[str] = []

    async def prepare(self, plan: Sequence[PlannedTrial]) -> None:
        return

    async def attempt(
        self, planned: PlannedTrial, harness: str, tried: Sequence[TrialEnd], record: Record | Gap | None = None
    ) -> TrialEnd:
        self.began.append(f"{planned.task}{planned.repeat}")
        await asyncio.sleep(0)
        return ended(planned, SECONDS[planned.task])

    async def engine_answers(self, why: str) -> None:
        return

    async def dry_start(self, harness: str, owner: Owner) -> str:
        return ""


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_run_learns_how_long_trials_take_from_its_own_and_from_an_earlier_process(resumed: bool) -> None:
    attempts = Noted()
    scheduler = Scheduler(attempts, concurrency=1, retries=0)
    plan = [trial(task, repeat) for repeat in (0, 1) for task in "abc"]
    past = {each.id: [ended(each, SECONDS[each.task])] for each in plan[:3]} if resumed else {}
    outcomes = await scheduler.run(plan, "", past=past, in_rounds=True)
    assert [outcome.planned for outcome in outcomes] == plan, "outcomes are told in the order of the plan"
    first = [] if resumed else ["a0", "b0", "c0"]
    assert attempts.began == [*first, "b1", "c1", "a1"]
