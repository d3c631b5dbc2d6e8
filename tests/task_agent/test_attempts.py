"""What every kind of `scheduler.Attempts` does: the real one on each executor, and the dice that stand for it in tests."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest

from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import ExecOutput, Owner
from lorimer.sandbox.fake import FakeProvider, FakeSandbox
from lorimer.sandbox.hosts import Host, Hosts
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.scheduling.attempts import StudyAttempts
from lorimer.task_agent.scheduling.executor import Executor
from lorimer.task_agent.scheduling.hosts import OnHosts
from lorimer.task_agent.scheduling.local import local_on
from lorimer.task_agent.scheduling.scheduler import Attempts
from lorimer.task_agent.trial import Machine
from lorimer.traces.schema import PlannedTrial, Stage, TrialEnd, TrialState
from tests.support.cluster import InProcess, on_cluster
from tests.support.dice_trials import DiceTrials
from tests.support.trials import Remembering, ScriptedModel, config, make_task, reply, solve

HARNESS = solve("llm.complete([user(task.instruction)])\nreturn ''").text
TASKS = ("a", "b", "c")


def planned(task: str = "a") -> PlannedTrial:
    return PlannedTrial(f"s/e/{task}/0", "s", "s/e", Stage.FULL, "sha", task, 0, 7)


@dataclass
class Rig:
    """One kind of attempts, with where they are stored and a model that answers once it may."""

    attempts: Attempts
    sink: Remembering
    asked: asyncio.Event
    may_answer: asyncio.Event


@pytest.fixture(params=["local", "hosts", "cluster", "dice"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    sink, asked, may_answer = Remembering(), asyncio.Event(), asyncio.Event()
    may_answer.set()

    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        asked.set()
        await may_answer.wait()
        return reply()

    def verify(command: str, sandbox: FakeSandbox) -> ExecOutput:
        if command.startswith("sh /tests/"):
            sandbox.files["/logs/verifier/reward.txt"] = b"1"
        return ExecOutput(b"", b"", 0)

    if request.param == "dice":
        return Rig(DiceTrials(sink, lambda text, planned: 1.0), sink, asked, may_answer)
    budget = Budget("s", config().budget, sink)
    engines = [FakeProvider(verify, allow_unsandboxed_jail=True) for _ in range(2)]
    machine = Machine(engines[0], sink, Metered(ScriptedModel(answer), budget, sink, 100))
    tasks = {name: make_task(tmp_path, name=name) for name in TASKS}
    executor: Executor | None = None
    if request.param == "hosts":
        hosts = [Host(f"tcp://{at}", engine) for at, engine in enumerate(engines)]
        executor = OnHosts(Hosts(hosts, most=4, seconds=60), local_on(machine))
    if request.param == "cluster":
        executor = on_cluster([InProcess(engine, tasks) for engine in engines], machine)
    return Rig(StudyAttempts(machine, config(), tasks, budget, executor=executor), sink, asked, may_answer)


async def test_an_attempt_is_stored_under_its_trials_name_when_it_returns(rig: Rig) -> None:
    end = await rig.attempts.attempt(planned(), HARNESS, [])
    assert (end.id, end.state, end.reward) == ("s/e/a/0/0", TrialState.SCORED, 1.0)
    assert rig.sink.ends == {end.id: end}
    assert rig.sink.starts[end.id].planned == planned()


async def test_an_attempt_is_numbered_after_those_before_it(rig: Rig) -> None:
    tried = [TrialEnd("0", TrialState.CANCELLED, "cancelled"), TrialEnd("1", TrialState.ERRORED, "engine_failure")]
    end = await rig.attempts.attempt(planned(), HARNESS, tried)
    assert (end.id, rig.sink.starts[end.id].attempt) == ("s/e/a/0/2", 2)
    assert len(tried) == 2  # whoever asks keeps the list


async def test_attempts_may_run_at_once(rig: Rig) -> None:
    ends = await asyncio.gather(*(rig.attempts.attempt(planned(task), HARNESS, []) for task in TASKS))
    assert [end.id for end in ends] == [f"s/e/{task}/0/0" for task in TASKS]
    assert rig.sink.starts.keys() == rig.sink.ends.keys() == {end.id for end in ends}


async def test_an_attempt_that_is_cancelled_leaves_no_trial_without_an_end(rig: Rig) -> None:
    rig.may_answer.clear()
    under_way = asyncio.create_task(rig.attempts.attempt(planned(), HARNESS, []))
    asked = asyncio.create_task(rig.asked.wait())
    await asyncio.wait({under_way, asked}, return_when=asyncio.FIRST_COMPLETED)  # dice ask no model
    under_way.cancel()
    asked.cancel()
    await asyncio.gather(under_way, asked, return_exceptions=True)
    assert rig.sink.starts.keys() == rig.sink.ends.keys()


async def test_what_trials_need_may_be_asked_for_again_and_for_none(rig: Rig) -> None:
    for plan in ([], [planned()], [planned(), dataclasses.replace(planned(), id="s/e/a/1", repeat=1)]):
        await rig.attempts.prepare(plan)


async def test_an_engine_that_answers_is_not_waited_for(rig: Rig) -> None:
    async with asyncio.timeout(60):  # [retries] engine_seconds is twice that
        await rig.attempts.engine_answers("it was away")


async def test_a_sound_harness_starts(rig: Rig) -> None:
    assert await rig.attempts.dry_start(HARNESS, Owner("s", "dry-start")) == ""
