"""Trials on the nodes of a cluster: one that is lost takes its trials along and no others, and every call is billed once."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lorimer import errors
from lorimer.benchmarks.base import Task
from lorimer.config.settings import Config, parse
from lorimer.errors import BudgetExhausted, CallFailed, ConfigError, LorimerError, PrerequisiteError, ProviderOutage
from lorimer.meta_agent.workspace.nodes import said_to_nodes
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import BuiltImage, ExecOutput
from lorimer.sandbox.fake import FakeProvider, FakeSandbox
from lorimer.task_agent.cluster.messages import GaveUp, Told
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.scheduling.attempts import StudyAttempts
from lorimer.task_agent.trial import Machine
from lorimer.traces.schema import PlannedTrial, Stage, StepKind, TrialEnd, TrialState
from tests.support.cluster import InProcess, on_cluster
from tests.support.trials import Remembering, ScriptedModel, config, make_task, reply, solve

HARNESS = solve("llm.complete([user(task.instruction)])\nenv.exec('true')\nreturn ''").text


def planned(task: str = "a", repeat: int = 0) -> PlannedTrial:
    return PlannedTrial(f"s/e/{task}/{repeat}", "s", "s/e", Stage.FULL, "sha", task, repeat, 7)


@dataclass
class Rig:
    """Two nodes, and a model that answers as a test says."""

    tasks: dict[str, Task]
    answer: Callable[[ModelRequest, CallContext], Awaitable[ModelReply]]
    budget_of: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sink, self.told, self.waits = Remembering(), list[str](), list[tuple[float, str]]()
        settings = config(budget=self.budget_of) if self.budget_of else config()
        self.budget = Budget("s", settings.budget, self.sink)
        self.model = ScriptedModel(self.answer)
        self.engines = engines = [FakeProvider(_ran, allow_unsandboxed_jail=True) for _ in range(2)]
        self.machine = Machine(
            engines[0],
            self.sink,
            Metered(self.model, self.budget, self.sink, 100),
            lambda seconds, why: self.waits.append((seconds, why)),
        )
        self.links = [InProcess(engine, self.tasks) for engine in engines]
        self.executor = on_cluster(self.links, self.machine, self.told)
        self.attempts = StudyAttempts(self.machine, settings, self.tasks, self.budget, executor=self.executor)

    async def attempt(self, task: str = "a", repeat: int = 0) -> TrialEnd:
        return await self.attempts.attempt(planned(task, repeat), HARNESS, [])


def _ran(command: str, sandbox: FakeSandbox) -> ExecOutput:
    if command.startswith("sh /tests/"):
        sandbox.files["/logs/verifier/reward.txt"] = b"1"
    return ExecOutput(b"", b"", 0)


@pytest.fixture
def tasks(tmp_path: Path) -> dict[str, Task]:
    return {name: make_task(tmp_path, name=name) for name in ("a", "b", "c")}


def test_no_password_of_the_store_goes_to_a_node() -> None:
    url = "postgresql+psycopg://u:word-of-the-store@h/db"
    settings = parse(
        {"store": {"url": url}, "notify": {"command": ["tell", "word-of-the-store"]}, "limits": {"calls": 7}}
    )
    said = said_to_nodes(settings)
    assert "word-of-the-store" not in said
    assert Config.model_validate_json(said).limits.calls == 7


async def test_a_trial_is_traced_and_billed_as_on_this_machine(tasks: dict[str, Task]) -> None:
    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        return reply(tokens=(10, 5))

    far, near = Rig(tasks, answer), Rig(tasks, answer)
    near.attempts = StudyAttempts(near.machine, config(), tasks, near.budget)
    ends = [await rig.attempt() for rig in (far, near)]
    assert [(end.state, end.reward, end.used) for end in ends] == [(TrialState.SCORED, 1.0, ends[0].used)] * 2
    for what in ("kind", "text", "call"):
        assert [getattr(step, what) for step in far.sink.steps] == [getattr(step, what) for step in near.sink.steps]
    assert [dataclasses.replace(call, at=0) for call in far.sink.calls] == [
        dataclasses.replace(call, at=0) for call in near.sink.calls
    ]
    assert [call.number for call in far.sink.wire_calls] == [call.number for call in near.sink.wire_calls]
    assert all(0 <= step.at <= end.seconds for end in ends[:1] for step in far.sink.steps)
    assert far.budget.certain.task == near.budget.certain.task
    assert [settled.used for settled in far.sink.settlements] == [settled.used for settled in near.sink.settlements]


async def test_a_lost_node_takes_its_trials_along_and_no_others(tasks: dict[str, Task]) -> None:
    asked, both, may_answer = list[str](), asyncio.Event(), asyncio.Event()

    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        asked.append(context.task)
        if len(asked) == 2:
            both.set()
        await may_answer.wait()
        return reply()

    rig = Rig(tasks, answer)
    running = [asyncio.ensure_future(rig.attempt(name)) for name in ("a", "b")]
    await both.wait()
    rig.links[0].away = True
    rig.links[0].lose()
    first = await running[0]
    assert (first.state, first.cause) == (TrialState.ERRORED, "engine_outage")
    assert first.detail == "node 0: its worker is gone: killed"
    # What its call may have cost stays spent: its provider may bill it.
    assert (first.used.calls, rig.budget.spent.task.calls) == (1, 2)
    assert rig.told == [
        "warning: node 0 takes no trials: its worker is gone: killed; it is asked again every 15 s",
    ]
    may_answer.set()
    assert (await running[1]).reward == 1.0
    again = await rig.attempts.attempt(planned("a"), HARNESS, [first])
    assert (again.reward, rig.links[1].opened) == (1.0, 1)
    assert {end.id for end in rig.sink.ends.values()} == {"s/e/a/0/0", "s/e/b/0/0", "s/e/a/0/1"}


async def test_a_node_that_is_back_gets_a_new_worker(tasks: dict[str, Task]) -> None:
    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        return reply()

    rig = Rig(tasks, answer)
    assert (await rig.attempt()).reward == 1.0
    rig.links[0].lose()
    lost = await rig.attempt("b")
    assert lost.cause == "engine_outage"
    await rig.executor.answers()
    assert (await rig.attempt("c")).reward == 1.0
    assert [link.opened for link in rig.links] == [2, 1]


async def test_a_node_that_cannot_be_told_its_answers_counts_as_lost(
    tasks: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        return reply()

    async def tell(events: Sequence[Told]) -> None:
        raise TypeError("cannot pickle it")

    rig = Rig(tasks, answer)
    monkeypatch.setattr(rig.links[0], "tell", tell)
    first = await rig.attempt()  # and waits for no answer for ever
    said = "node 0: what is said to the node does not reach it: TypeError: cannot pickle it"
    assert (first.cause, first.detail) == ("engine_outage", said)
    assert (await rig.attempts.attempt(planned(), HARNESS, [first])).reward == 1.0


async def test_a_cancelled_trial_ends_on_its_node_and_its_call_is_given_up(tasks: dict[str, Task]) -> None:
    asked, ended = asyncio.Event(), list[str]()

    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(context.task)
        raise AssertionError("unreachable")

    rig = Rig(tasks, answer)
    running = asyncio.ensure_future(rig.attempt())
    await asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (end,) = rig.sink.ends.values()
    assert (end.state, end.used.calls) == (TrialState.CANCELLED, 1)
    assert ended == ["a"]
    assert [sandbox._closed for sandbox in rig.engines[0].sandboxes] == [True]
    assert (await rig.attempts.attempt(planned("b"), solve("return ''").text, [])).reward == 1.0  # the node works on


async def test_waits_of_a_call_do_not_count_and_are_told(tasks: dict[str, Task]) -> None:
    queues = list[bool]()

    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        with context.queued():
            queues.append(True)
        context.on_wait(3000.0, "rate limit")
        await asyncio.sleep(0)
        return reply()

    rig = Rig(tasks, answer)
    end = await rig.attempt()
    assert (end.reward, queues, rig.waits) == (1.0, [True], [(3000.0, "rate limit")])
    assert end.active_seconds < end.seconds


@pytest.mark.parametrize("others", [True, False])
async def test_a_call_that_fails_alone_is_told_from_a_provider_that_does(tasks: dict[str, Task], others: bool) -> None:
    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        if context.once:
            if others:
                return reply()
            raise ProviderOutage("scripted: no answer", "refused", "unreachable")
        assert context.answers is not None
        if await context.answers():
            raise CallFailed("it fails at this one")
        raise ProviderOutage("scripted: no answer", "refused", "unreachable")

    end = await Rig(tasks, answer).attempt()
    said = ("provider_call", "it fails at this one") if others else ("provider_outage", "scripted: no answer")
    assert (end.state, end.cause, end.detail) == (TrialState.ERRORED, *said)


async def test_a_spent_budget_stops_the_study_from_a_node_too(tasks: dict[str, Task]) -> None:
    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        return reply()

    rig = Rig(tasks, answer, {"tokens": 5})
    with pytest.raises(BudgetExhausted) as raised:
        await rig.attempt()
    assert (raised.value.key, raised.value.limit, rig.model.requests) == ("budget.tokens", 5, [])
    assert [end.state for end in rig.sink.ends.values()] == [TrialState.CANCELLED]


async def test_a_wrong_setting_that_a_call_finds_stops_the_study(tasks: dict[str, Task]) -> None:
    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        raise ConfigError("models.task: no such model", "name another")

    with pytest.raises(ConfigError, match="no such model; name another"):
        await Rig(tasks, answer).attempt()


async def test_a_bug_in_a_call_is_the_trials_own_and_told(tasks: dict[str, Task]) -> None:
    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        raise ZeroDivisionError("ours")

    rig = Rig(tasks, answer)
    end = await rig.attempt()
    assert (end.state, end.cause) == (TrialState.ERRORED, "internal")
    assert "ZeroDivisionError: ours" in end.detail
    assert any("ZeroDivisionError: ours" in text for text in rig.sink.texts(StepKind.ERROR))


async def test_a_node_with_other_files_takes_no_trials(tasks: dict[str, Task]) -> None:
    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        return reply()

    rig = Rig(tasks, answer)
    await rig.links[0].open()
    rig.links[0]._world = dataclasses.replace(
        rig.links[0]._world, task=lambda name: dataclasses.replace(tasks[name], digest="other")
    )
    first = await rig.attempt()
    assert first.cause == "engine_outage"
    said = "its files of task a are not those of the study; every node needs the benchmark's folder at the same path"
    assert said in first.detail
    assert said in rig.told[0]
    assert (await rig.attempts.attempt(planned(), HARNESS, [first])).reward == 1.0

    def unreadable(name: str) -> Task:
        raise errors.UserError("there is no folder tasks/")

    rig.links[1]._world = dataclasses.replace(rig.links[1]._world, task=unreadable)
    rig.links[1].lose()
    await rig.executor.answers()
    with pytest.raises(PrerequisiteError, match="task b cannot be read: there is no folder tasks/; every node needs"):
        await rig.attempt("b", 1)


async def test_an_image_whose_folder_a_node_has_elsewhere_is_made_within_its_first_trial(
    tasks: dict[str, Task], tmp_path: Path
) -> None:
    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        return reply()

    rig = Rig(tasks, answer)
    assert await rig.executor.image(BuiltImage(tmp_path / "nowhere")) is None


async def test_what_is_given_up_late_harms_nobody(tasks: dict[str, Task]) -> None:
    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        return reply()

    rig = Rig(tasks, answer)
    assert (await rig.attempt()).reward == 1.0
    rig.links[0].worker.outbox.say(GaveUp(0))
    rig.links[0].worker.outbox.say(GaveUp(99))
    assert (await rig.attempt("b")).reward == 1.0


ERRORS = [
    errors.UserError("a", "b"),
    errors.ConfigError("a"),
    errors.TaskError("task", "key", "problem"),
    errors.HarnessError("a"),
    errors.PrerequisiteError("a", "b"),
    errors.SandboxError("a"),
    errors.ImageError("a", log="b"),
    errors.EngineOutage("a"),
    errors.ProviderOutage("a", why="b", kind="slow"),
    errors.BudgetExhausted("budget.usd", 1.0, 2.0),
    errors.InternalError("a"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_come_back_as_they_were_raised(error: LorimerError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))
