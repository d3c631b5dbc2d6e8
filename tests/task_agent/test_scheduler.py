"""Many trials: retries, judging what an agent may have broken, stopping early, being cancelled."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lorimer.benchmarks.base import Task
from lorimer.config.settings import BudgetSettings, Config
from lorimer.errors import BudgetExhausted, EngineOutage, ProviderOutage, SandboxError
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import ExecOutput, SandboxProvider, SandboxRequest
from lorimer.sandbox.fake import FakeProvider, FakeSandbox
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.traces.schema import PlannedTrial, Stage, TrialEnd, TrialState
from tests.hostile.leftovers import left_behind
from tests.support.trials import (
    REAL,
    Answer,
    Remembering,
    ScriptedModel,
    config,
    local_scheduler,
    make_task,
    reply,
    solve,
)

WRITES = solve("env.write('/app/answer', llm.complete([user(task.instruction)]).text)\nreturn ''").text


def plan(tasks: Sequence[Task], repeats: int = 1, harness: str = "sha") -> list[PlannedTrial]:
    return [
        PlannedTrial(f"s/e/{task.id}/{repeat}", "s", "s/e", Stage.FULL, harness, task.id, repeat, 7)
        for repeat in range(repeats)
        for task in tasks
    ]


class Rig:
    """A scheduler on some provider, with all that it leaves behind."""

    def __init__(
        self,
        provider: SandboxProvider,
        tasks: Sequence[Task],
        *,
        answer: Answer = lambda request, context: reply(),
        budget: BudgetSettings | None = None,
        concurrency: int = 2,
        retries: int = 2,
        settings: Config | None = None,
    ) -> None:
        self.waits: list[str] = []
        self.sink = Remembering()
        self.model = ScriptedModel(answer)
        self.scheduler = local_scheduler(
            provider,
            tasks,
            self.sink,
            settings=settings,
            budget=budget,
            model=self.model,
            waits=self.waits,
            concurrency=concurrency,
            retries=retries,
        )

    def rows(self) -> list[tuple[str, str, str]]:
        """Every trial's row: id, state, cause."""
        return [(end.id, end.state.value, end.cause) for end in self.sink.ends.values()]


class Scripted(FakeProvider):
    """A fake engine whose verifiers leave what `verdict` says: the text of a reward, or `None` for no reward at all."""

    def __init__(self, verdict: Any) -> None:
        super().__init__(self._run, allow_unsandboxed_jail=True)
        self._verdict = verdict
        self.acquired: list[str] = []

    def _run(self, command: str, sandbox: FakeSandbox) -> ExecOutput:
        if command.startswith("sh /tests/"):
            reward = self._verdict(sandbox.request.owner.trial, sandbox)
            if reward is not None:
                sandbox.files["/logs/verifier/reward.txt"] = str(reward).encode()
        return ExecOutput(b"", b"", 0)

    async def acquire(self, request: SandboxRequest) -> FakeSandbox:
        self.acquired.append(request.owner.trial)
        return await super().acquire(request)


def is_nop(trial: str) -> bool:
    return "/nop/" in trial


# ---- how many at once -----------------------------------------------------------------------------------------------


async def test_more_run_at_once_from_the_moment_that_they_may(tmp_path: Path) -> None:
    together = asyncio.Event()
    asked = list[str]()

    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        asked.append(context.task)
        if len(asked) == 1:
            rig.scheduler.resize(3)
        if len(asked) == 3:
            together.set()
        await together.wait()  # which the first never would if it had to end before the others begin
        return reply()

    tasks = [make_task(tmp_path, name=name) for name in ("a", "b", "c", "d")]
    rig = Rig(Scripted(lambda trial, sandbox: 1), tasks, answer=answer, concurrency=1)
    outcomes = await rig.scheduler.run(plan(tasks), WRITES)
    assert [(outcome.planned.task, outcome.reward) for outcome in outcomes] == [(name, 1.0) for name in "abcd"]
    assert (asked[0], set(asked[:3])) == ("a", set("abc"))


# ---- who is to blame ------------------------------------------------------------------------------------------------


async def test_a_verifier_broken_twice_scores_zero_where_nop_verifies_cleanly(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name="a")]
    rig = Rig(Scripted(lambda trial, sandbox: 0 if is_nop(trial) else None), tasks)
    (outcome,) = await rig.scheduler.run(plan(tasks), WRITES)
    assert (outcome.state, outcome.reward, outcome.cause, outcome.attempts) == (
        TrialState.SCORED,
        0.0,
        "reward_missing",
        2,
    )
    assert outcome.detail.endswith("the task verifies cleanly without the agent, so it scores 0")
    assert rig.rows() == [
        ("s/e/a/0/0", "errored", "reward_missing"),
        ("s/e/a/0/nop/1", "scored", "finished"),
        ("s/e/a/0/1", "scored", "reward_missing"),
    ]


async def test_a_verifier_that_is_broken_without_an_agent_too_errors_the_trial(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name="a")]
    rig = Rig(Scripted(lambda trial, sandbox: None), tasks)
    (outcome,) = await rig.scheduler.run(plan(tasks), WRITES)
    assert (outcome.state, outcome.reward, outcome.cause) == (TrialState.ERRORED, None, "reward_missing")


async def test_a_verifier_broken_once_is_forgotten(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name="a")]
    rig = Rig(Scripted(lambda trial, sandbox: None if trial.endswith("/0") else 1), tasks)
    (outcome,) = await rig.scheduler.run(plan(tasks), WRITES)
    assert (outcome.state, outcome.reward, outcome.attempts) == (TrialState.SCORED, 1.0, 2)


async def test_nop_is_asked_once_a_task(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name=name) for name in ("a", "b")]
    provider = Scripted(lambda trial, sandbox: 0 if is_nop(trial) else None)
    rig = Rig(provider, tasks, concurrency=6)
    outcomes = await rig.scheduler.run(plan(tasks, repeats=3), WRITES)
    assert [outcome.reward for outcome in outcomes] == [0.0] * 6
    assert len([trial for trial in provider.acquired if is_nop(trial)]) == 2


async def test_what_the_engine_breaks_is_retried_and_every_attempt_is_kept(tmp_path: Path) -> None:
    class Flaky(Scripted):
        async def acquire(self, request: SandboxRequest) -> FakeSandbox:
            if not request.owner.trial.endswith("/2"):
                raise SandboxError("engine: 500")
            return await super().acquire(request)

    tasks = [make_task(tmp_path, name="a")]
    rig = Rig(Flaky(lambda trial, sandbox: 1), tasks, retries=2)
    (outcome,) = await rig.scheduler.run(plan(tasks), WRITES)
    assert (outcome.reward, outcome.attempts) == (1.0, 3)
    assert rig.rows() == [
        ("s/e/a/0/0", "errored", "engine_failure"),
        ("s/e/a/0/1", "errored", "engine_failure"),
        ("s/e/a/0/2", "scored", "finished"),
    ]
    impatient = Rig(Flaky(lambda trial, sandbox: 1), tasks, retries=1)
    (outcome,) = await impatient.scheduler.run(plan(tasks), WRITES)
    assert (outcome.state, outcome.cause, outcome.attempts) == (TrialState.ERRORED, "engine_failure", 2)


async def test_an_outage_stops_the_run_and_cancels_what_is_under_way(tmp_path: Path) -> None:
    both = asyncio.Barrier(2)

    async def fails(request: ModelRequest, context: CallContext) -> ModelReply:
        await both.wait()
        if context.task == "a":
            raise ProviderOutage("scripted: unreachable for 600 s")
        await asyncio.sleep(60)
        return reply()

    tasks = [make_task(tmp_path, name=name) for name in ("a", "b", "c")]
    rig = Rig(Scripted(lambda trial, sandbox: 1), tasks, answer=fails)
    with pytest.raises(ProviderOutage, match="unreachable for 600 s"):
        await rig.scheduler.run(plan(tasks), WRITES)
    assert sorted(rig.rows()) == [
        ("s/e/a/0/0", "errored", "provider_outage"),
        ("s/e/b/0/0", "cancelled", "cancelled"),
    ]


class Stopped(Scripted):
    """An engine that does not answer so many times; `refused` counts."""

    def __init__(self, times: int) -> None:
        super().__init__(lambda trial, sandbox: 1)
        self.times, self.refused = times, 0

    def _answer(self) -> None:
        self.refused += 1
        if self.refused <= self.times:
            raise EngineOutage("docker: connection refused")

    async def acquire(self, request: SandboxRequest) -> FakeSandbox:
        self._answer()
        return await super().acquire(request)

    async def reap(self) -> int:
        self._answer()
        return 0


async def test_an_engine_that_comes_back_is_waited_for_and_uses_up_no_retry(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name="a")]
    rig = Rig(Stopped(2), tasks, retries=0)
    (outcome,) = await rig.scheduler.run(plan(tasks), WRITES)
    assert (outcome.reward, outcome.attempts) == (1.0, 2)
    assert rig.rows() == [("s/e/a/0/0", "errored", "engine_outage"), ("s/e/a/0/1", "scored", "finished")]
    assert rig.waits == ["docker: connection refused"]


async def test_an_engine_that_stays_away_stops_the_run(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name="a")]
    rig = Rig(Stopped(1_000_000), tasks, settings=config(retries={"engine_seconds": 0}))
    with pytest.raises(EngineOutage, match="connection refused"):
        await rig.scheduler.run(plan(tasks), WRITES)
    assert rig.rows() == [("s/e/a/0/0", "errored", "engine_outage")]


async def test_a_trial_under_which_the_engine_falls_again_and_again_stops_the_run(tmp_path: Path) -> None:
    class Brittle(Scripted):
        async def acquire(self, request: SandboxRequest) -> FakeSandbox:
            raise EngineOutage("docker: hung up")

    tasks = [make_task(tmp_path, name="a")]
    rig = Rig(Brittle(lambda trial, sandbox: 1), tasks)
    with pytest.raises(EngineOutage, match="hung up"):
        await rig.scheduler.run(plan(tasks), WRITES)
    assert len(rig.rows()) == 3


# ---- plans ----------------------------------------------------------------------------------------------------------


def shuffled_delays(salt: int) -> Answer:
    """Answers in an order that has nothing to do with the plan's, and a word that is the trial's own."""

    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        digest = hashlib.sha256(f"{salt} {context.task} {context.attempt}".encode()).digest()
        await asyncio.sleep(digest[0] / 2000)
        return reply(f"{context.task}{context.attempt}")

    return answer


def luck(trial: str, sandbox: FakeSandbox) -> int:
    """The reward is a function of what the harness wrote."""
    return hashlib.sha256(sandbox.files["/app/answer"]).digest()[0] % 2


async def test_the_outcome_does_not_depend_on_concurrency_or_on_who_is_first(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name=name) for name in "abcdef"]
    asked: list[list[list[tuple[str, float | None]]]] = []
    for concurrency, salt in ((1, 0), (3, 1), (8, 2)):
        seen: list[list[tuple[str, float | None]]] = []

        def stop(prefix: Sequence[TrialOutcome], seen: list[list[tuple[str, float | None]]] = seen) -> bool:
            seen.append([(each.planned.id, each.reward) for each in prefix])
            return sum(each.reward == 0 for each in prefix) >= 3

        rig = Rig(Scripted(luck), tasks, answer=shuffled_delays(salt), concurrency=concurrency)
        outcomes = await rig.scheduler.run(plan(tasks, repeats=2), WRITES, stop=stop)
        seen.append([(each.planned.id, each.reward) for each in outcomes])
        asked.append(seen)
        assert all(end.state is not TrialState.RUNNING for end in rig.sink.ends.values())
        assert set(rig.sink.starts) == set(rig.sink.ends)
    assert asked[0] == asked[1] == asked[2]
    assert 3 <= len(asked[0][-1]) < 12


async def test_a_look_that_takes_long_keeps_no_trial_waiting(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name=name) for name in "abc"]
    ended = threading.Event()

    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        if context.task == tasks[2].id:
            ended.set()
        return reply("x")

    def stop(prefix: Sequence[TrialOutcome]) -> bool:
        # Within the first look the last trial comes as far as its model's answer, which a blocked loop could not bring.
        assert len(prefix) > 1 or ended.wait(60)
        return False

    rig = Rig(Scripted(luck), tasks, answer=answer, concurrency=3)
    assert len(await rig.scheduler.run(plan(tasks), WRITES, stop=stop)) == 3


async def test_what_is_settled_is_not_run_again(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name=name) for name in "ab"]
    rig = Rig(Scripted(lambda trial, sandbox: 1), tasks)
    past = {
        "s/e/a/0": [TrialEnd("s/e/a/0/0", TrialState.SCORED, "finished", reward=0.25)],
        "s/e/b/0": [TrialEnd("s/e/b/0/0", TrialState.CANCELLED, "cancelled")],
    }
    outcomes = await rig.scheduler.run(plan(tasks), WRITES, past=past)
    assert [outcome.reward for outcome in outcomes] == [0.25, 1.0]
    assert list(rig.sink.starts) == ["s/e/b/0/1"]


async def test_trials_are_named_for_what_they_are_and_nothing_a_model_reads_is_an_accident(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name=name) for name in "ab"]
    runs = []
    for concurrency in (1, 4):
        rig = Rig(
            Scripted(lambda trial, sandbox: 1), tasks, answer=shuffled_delays(concurrency), concurrency=concurrency
        )
        await rig.scheduler.run(plan(tasks, repeats=2), WRITES)
        contexts = sorted((c.task, c.attempt, c.call_index, c.seed, c.harness, c.stage) for c in rig.model.contexts)
        requests = sorted(repr(request) for request in rig.model.requests)
        runs.append((sorted(rig.sink.starts), contexts, requests))
    assert runs[0] == runs[1]
    assert runs[0][0] == ["s/e/a/0/0", "s/e/a/1/0", "s/e/b/0/0", "s/e/b/1/0"]
    assert runs[0][1][0] == ("a", 0, 0, 7, "sha", "full")


async def test_a_budget_of_trials_ends_the_run_and_what_is_finished_is_kept(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name=name) for name in "abc"]
    rig = Rig(Scripted(lambda trial, sandbox: 1), tasks, budget=BudgetSettings(trials=2), concurrency=3)
    with pytest.raises(BudgetExhausted, match=r"budget.trials: 2 of 2 used"):
        await rig.scheduler.run(plan(tasks), WRITES)
    assert sorted(rig.rows()) == [("s/e/a/0/0", "scored", "finished"), ("s/e/b/0/0", "scored", "finished")]


async def test_a_budget_spent_inside_a_trial_cancels_it(tmp_path: Path) -> None:
    tasks = [make_task(tmp_path, name="a")]
    rig = Rig(Scripted(lambda trial, sandbox: 1), tasks, budget=BudgetSettings(usd=0.01))
    with pytest.raises(BudgetExhausted, match=r"budget.usd"):
        await rig.scheduler.run(plan(tasks), WRITES)
    assert rig.rows() == [("s/e/a/0/0", "cancelled", "cancelled")]


# ---- cancellation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", REAL, indirect=True)
async def test_ctrl_c_leaves_cancelled_rows_and_nothing_running(provider: SandboxProvider, tmp_path: Path) -> None:
    under_way = asyncio.Semaphore(0)

    async def stuck(request: ModelRequest, context: CallContext) -> ModelReply:
        under_way.release()
        await asyncio.sleep(60)
        return reply()

    tasks = [make_task(tmp_path, name=name) for name in "abc"]
    rig = Rig(provider, tasks, answer=stuck, concurrency=2)
    run = asyncio.create_task(rig.scheduler.run(plan(tasks), WRITES))
    await under_way.acquire()
    await under_way.acquire()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert sorted(rig.rows()) == [("s/e/a/0/0", "cancelled", "cancelled"), ("s/e/b/0/0", "cancelled", "cancelled")]
    for end in rig.sink.ends.values():
        (reserved,) = (each.usd for each in rig.sink.reservations if each.owner == end.id)
        assert (end.used.calls, end.used.usd) == (1, reserved)
        assert end.detail == "a model call was not answered; the cost holds what was set aside for that"
    await provider.close()
    for _ in range(300):  # the kernel reaps a killed process a moment later
        if not (left := await left_behind(provider)):
            break
        await asyncio.sleep(0.1)
    assert left == []
