"""Trials on several hosts: one that is lost takes its running trials along and no others, and they are tried elsewhere."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lorimer.benchmarks.base import Task
from lorimer.errors import EngineOutage, ImageError, NotRemoved, PrerequisiteError
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import (
    ExecOutput,
    ImageSpec,
    JailRequest,
    Owner,
    PulledImage,
    SandboxProvider,
    SandboxRequest,
)
from lorimer.sandbox.fake import FakeProvider, FakeSandbox, UnsandboxedJail
from lorimer.sandbox.hosts import AnyHost, Host, Hosts, open_hosts
from lorimer.sandbox.select import Wanted
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.task_agent.scheduling.attempts import StudyAttempts
from lorimer.task_agent.scheduling.hosts import OnHosts
from lorimer.task_agent.scheduling.images import ImageReport
from lorimer.task_agent.scheduling.local import local_on
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.task_agent.trial import Machine
from lorimer.traces.schema import PlannedTrial, Stage, TrialState
from tests.support.engine_proxy import EngineProxy
from tests.support.trials import Remembering, ScriptedModel, config, make_task, reply, solve

HARNESS = solve("llm.complete([user(task.instruction)])\nenv.exec('true')\nreturn ''").text
LACKS = "warning: tcp://b takes no trials of tasks whose image it cannot have: tcp://b: no such image"
AWAY = "docker: exec: the engine does not answer (Connection refused)"


class Engine(FakeProvider):
    """A provider whose engine may be away, or lack something."""

    def __init__(self) -> None:
        super().__init__(self._ran, allow_unsandboxed_jail=True)
        self.away = False
        self.lacks = ""
        self.stuck = ""
        self.reaped = False
        self.images: list[ImageSpec] = []
        self.missing: set[str] = set()
        self.gone: set[str] = set()
        """Images that it has had once."""

    def _ran(self, command: str, sandbox: FakeSandbox) -> ExecOutput:
        self._check()
        if command.startswith("sh /tests/"):
            sandbox.files["/logs/verifier/reward.txt"] = b"1"
        return ExecOutput(b"", b"", 0)

    def _check(self) -> None:
        if self.away:
            raise EngineOutage(AWAY)

    async def prepare(self, spec: ImageSpec) -> str:
        self._check()
        self.images.append(spec)
        again = self.images.count(spec) > 1
        if isinstance(spec, PulledImage) and (spec.name in self.missing or (again and spec.name in self.gone)):
            raise ImageError("no such image")
        return "fake"

    async def acquire(self, request: SandboxRequest) -> FakeSandbox:
        self._check()
        if self.lacks:
            raise PrerequisiteError(self.lacks, "install it")
        return await super().acquire(request)

    async def jail(self, request: JailRequest) -> UnsandboxedJail:
        self._check()
        return await super().jail(request)

    async def reap(self) -> int:
        self._check()
        self.reaped = True
        if self.stuck:
            raise NotRemoved(self.stuck)
        return 1

    async def answers(self) -> None:
        self._check()

    async def close(self) -> None:
        await super().close()
        if self.stuck:
            raise NotRemoved(self.stuck)


@dataclass
class Rig:
    """Two hosts, and a model that answers once it may."""

    engines: tuple[Engine, Engine] = field(default_factory=lambda: (Engine(), Engine()))
    sink: Remembering = field(default_factory=Remembering)
    said: list[str] = field(default_factory=list)
    reports: list[ImageReport] = field(default_factory=list)
    asked: int = 0
    all_asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: int = 4

    def __post_init__(self) -> None:
        named: list[Host[SandboxProvider]] = [
            Host(f"tcp://{name}", engine) for name, engine in zip("ab", self.engines, strict=True)
        ]
        self.hosts = Hosts(named, most=4, seconds=60, tell=self.said.append)

    async def answer(self, request: ModelRequest, context: CallContext) -> ModelReply:
        self.asked += 1
        if self.asked >= self.wanted:
            self.all_asked.set()
        await self.may_answer.wait()
        return reply()

    def scheduler(self, tasks: list[Task], retries: int = 0) -> Scheduler:
        budget = Budget("s", config().budget, self.sink)
        machine = Machine(AnyHost(self.hosts), self.sink, Metered(ScriptedModel(self.answer), budget, self.sink, 100))
        by_name = {task.id: task for task in tasks}
        attempts = StudyAttempts(
            machine,
            config(retries={"engine_seconds": 0}),
            by_name,
            budget,
            executor=OnHosts(self.hosts, local_on(machine)),
            on_image=self.reports.append,
        )
        return Scheduler(attempts, concurrency=4, retries=retries, on_resize=attempts.at_once)

    def made(self) -> list[int]:
        """Sandboxes that each host has made."""
        return [len(engine.sandboxes) for engine in self.engines]


def plan(tasks: list[Task], agent: str = "sha") -> list[PlannedTrial]:
    return [PlannedTrial(f"s/e/{task.id}/0", "s", "s/e", Stage.FULL, agent, task.id, 0, 7) for task in tasks]


def tasks_in(folder: Path, count: int = 4) -> list[Task]:
    return [make_task(folder, name=f"task-{number}") for number in range(count)]


def scored(outcomes: list[TrialOutcome]) -> list[tuple[str, float | None, int]]:
    return [(outcome.state, outcome.reward, outcome.attempts) for outcome in outcomes]


async def test_a_host_that_stops_answering_loses_its_running_trials_alone(tmp_path: Path) -> None:
    rig, tasks = Rig(), tasks_in(tmp_path)
    running = asyncio.create_task(rig.scheduler(tasks).run(plan(tasks), HARNESS))
    await rig.all_asked.wait()
    assert rig.made() == [2, 2]
    rig.engines[0].away = True
    rig.may_answer.set()
    outcomes = await running
    # No retry is used up by it: there are none.
    assert sorted(scored(outcomes)) == [("scored", 1.0, 1)] * 2 + [("scored", 1.0, 2)] * 2
    lost = [end for end in rig.sink.ends.values() if end.state is TrialState.ERRORED]
    assert {end.cause for end in lost} == {"engine_outage"}
    assert {end.detail for end in lost} == {f"tcp://a: {AWAY}"}
    assert rig.made() == [2, 4]
    assert rig.said == [f"warning: tcp://a takes no trials: {AWAY}; it is asked again every 15 s"]


async def test_a_host_that_answers_again_takes_trials_again(tmp_path: Path) -> None:
    rig, tasks = Rig(), tasks_in(tmp_path)
    rig.may_answer.set()
    rig.engines[0].away = True
    scheduler = rig.scheduler(tasks)
    await scheduler.run(plan(tasks), HARNESS)
    assert rig.made() == [0, 4]
    rig.engines[0].away = False
    await rig.hosts.look()
    more = [PlannedTrial(f"{each.id}/more", *list(vars(each).values())[1:]) for each in plan(tasks)]
    await scheduler.run(more, HARNESS)
    assert rig.made() == [2, 6]


async def test_a_lost_host_is_asked_again_while_trials_wait_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorimer.sandbox.hosts.AGAIN_SECONDS", 0.01)
    rig = Rig()
    lost = rig.hosts.all[1]
    rig.hosts.at_once(2)
    rig.engines[1].away = True
    rig.hosts.lost(lost, "gone")

    async def place() -> str:
        async with rig.hosts.place() as host:
            return host.url

    async with rig.hosts.place():  # the only one of the other host, whose trial does not end
        waiting = asyncio.create_task(place())
        await asyncio.sleep(0)
        rig.engines[1].away = False
        async with asyncio.timeout(20):
            assert await waiting == lost.url
    await rig.hosts.close()


async def test_trials_error_as_an_outage_only_where_no_host_answers(tmp_path: Path) -> None:
    rig, tasks = Rig(), tasks_in(tmp_path, 1)
    for engine in rig.engines:
        engine.away = True
    with pytest.raises(EngineOutage, match=r"tcp://a: docker: .*; tcp://b: docker: "):
        await rig.scheduler(tasks).run(plan(tasks), HARNESS)


async def test_a_host_that_lacks_what_another_has_does_not_stop_the_study(tmp_path: Path) -> None:
    rig, tasks = Rig(), tasks_in(tmp_path)
    rig.may_answer.set()
    rig.engines[1].lacks = "it has no runtime 'runsc'"
    outcomes = await rig.scheduler(tasks).run(plan(tasks), HARNESS)
    assert {(outcome.state, outcome.reward) for outcome in outcomes} == {("scored", 1.0)}
    assert rig.made() == [4, 0]
    assert rig.said == [
        "warning: tcp://b takes no trials: it has no runtime 'runsc'; install it; resume the study once it is there"
    ]


async def test_images_are_made_ready_once_on_every_host_and_reported_once(tmp_path: Path) -> None:
    rig = Rig()
    rig.may_answer.set()
    tasks = [make_task(tmp_path, name=name, image=PulledImage(name)) for name in ("x", "y")]
    rig.engines[1].missing = {"y"}
    scheduler = rig.scheduler(tasks)
    await scheduler.run([], HARNESS)
    await scheduler.run(plan(tasks[:1], "nop"), "")
    await scheduler.run(plan(tasks[1:], "nop"), "")
    told = [(report.tasks, report.done, report.of, report.problem) for report in rig.reports]
    assert told == [(("x",), 1, 1, ""), (("y",), 1, 1, "")]
    assert rig.said == [LACKS]
    # Each trial asks for the image that it has, on the host that it is on.
    assert [engine.images.count(PulledImage("x")) for engine in rig.engines] == [2, 1]


async def test_trials_wait_for_a_host_that_has_their_image_and_no_retry_is_used_up(tmp_path: Path) -> None:
    """One that lacks it is free first, as all trials fail there at once."""
    rig = Rig()
    rig.may_answer.set()
    rig.engines[1].missing = {"y", "z"}
    tasks = [make_task(tmp_path, name=f"{name}{at}", image=PulledImage(name)) for name in "yz" for at in range(4)]
    outcomes = await rig.scheduler(tasks).run(plan(tasks), HARNESS)
    assert scored(outcomes) == [("scored", 1.0, 1)] * 8
    assert rig.made() == [8, 0]
    assert [report.problem for report in rig.reports] == ["", ""]
    assert rig.said == [LACKS]


async def test_an_image_that_no_host_has_is_told_and_its_trials_error(tmp_path: Path) -> None:
    rig = Rig()
    for engine in rig.engines:
        engine.missing = {"x"}
    tasks = [make_task(tmp_path, image=PulledImage("x"))]
    (outcome,) = await rig.scheduler(tasks).run(plan(tasks, "nop"), "")
    assert outcome.state == "errored"
    assert [report.problem for report in rig.reports] == ["tcp://a: no such image"]
    assert rig.said == []


async def test_a_trial_whose_image_is_gone_from_one_host_is_tried_on_the_other(tmp_path: Path) -> None:
    rig = Rig()
    tasks = [make_task(tmp_path, image=PulledImage("x"))]
    scheduler = rig.scheduler(tasks, retries=1)
    await scheduler.run([], HARNESS)
    rig.engines[0].gone = {"x"}
    (outcome,) = await scheduler.run(plan(tasks, "nop"), "")
    assert (outcome.state, outcome.attempts) == ("scored", 2)
    assert rig.made() == [0, 1]


async def test_more_places_are_used_at_once(tmp_path: Path) -> None:
    rig, tasks = Rig(wanted=6), tasks_in(tmp_path, 6)
    scheduler = rig.scheduler(tasks)
    running = asyncio.create_task(scheduler.run(plan(tasks), HARNESS))
    scheduler.resize(6)
    await rig.all_asked.wait()
    assert rig.made() == [3, 3]
    rig.may_answer.set()
    await running


async def test_jails_for_what_is_no_trial_are_made_by_a_host_that_answers() -> None:
    rig = Rig()
    provider = AnyHost(rig.hosts)
    rig.engines[0].away = True
    jail = await provider.jail(JailRequest(["python3", "-c", "print('hello')"], Owner("s", "dry-start")))
    assert await jail.receive() == b"hello"
    assert await provider.reap() == 1  # of the other
    await provider.close()
    assert not await jail.running()
    rig.engines[1].away = True
    with pytest.raises(EngineOutage):
        await provider.jail(JailRequest(["python3"], Owner("s", "dry-start")))


async def test_what_stays_behind_on_one_host_keeps_no_other_from_being_cleared_up() -> None:
    rig = Rig()
    provider = AnyHost(rig.hosts)
    rig.engines[0].stuck = "removed 0; docker: 1 container could not be removed"
    with pytest.raises(NotRemoved) as one:
        await provider.reap()
    assert str(one.value) == "tcp://a: removed 0; docker: 1 container could not be removed; removed 1 elsewhere"
    assert [engine.reaped for engine in rig.engines] == [True, True]
    rig.engines[1].stuck = "removed 2; docker: 3 containers could not be removed"
    with pytest.raises(NotRemoved) as both:
        await provider.reap()
    assert str(both.value) == (
        "tcp://a: removed 0; docker: 1 container could not be removed; "
        "tcp://b: removed 2; docker: 3 containers could not be removed"
    )


async def test_what_stays_behind_on_each_host_is_told_where_they_are_left() -> None:
    rig = Rig()
    for engine in rig.engines:
        engine.stuck = "docker: 1 container could not be removed"
    with pytest.raises(NotRemoved) as told:
        await rig.hosts.close()
    assert str(told.value) == (
        "tcp://a: docker: 1 container could not be removed; tcp://b: docker: 1 container could not be removed"
    )


# ---- a real engine behind two doors

STUDY = f"test-hosts-{os.getpid()}"


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[list[EngineProxy]]:
    made = [EngineProxy(tmp_path / f"{name}.sock") for name in "ab"]
    yield made
    for proxy in made:
        proxy.stop(kill=f"lorimer.study={STUDY}")
    gc.collect()


@pytest.mark.docker
# Of a connection that is refused, the SDK leaves the socket to the garbage collector, which the fixture calls.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_trials_on_a_real_engine_outlive_one_of_its_two_addresses(
    tmp_path: Path, doors: list[EngineProxy]
) -> None:
    rig, tasks = Rig(wanted=2), tasks_in(tmp_path, 3)
    hosts = await open_hosts(
        [door.url for door in doors], (), jails="docker", wanted=Wanted(), warm=0, most=2, seconds=60
    )
    rig.hosts = hosts
    try:
        plans = [PlannedTrial(f"{STUDY}/e/{t.id}/0", STUDY, "s/e", Stage.FULL, "sha", t.id, 0, 7) for t in tasks]
        running = asyncio.create_task(rig.scheduler(tasks).run(plans, HARNESS))
        await rig.all_asked.wait()
        assert [host.taken for host in hosts.all] == [1, 1]
        doors[0].stop()
        rig.may_answer.set()
        outcomes = await running
        assert {(outcome.state, outcome.reward) for outcome in outcomes} == {("scored", 1.0)}
        lost = [end for end in rig.sink.ends.values() if end.state is TrialState.ERRORED]
        assert {(end.cause, end.detail.partition(": docker: ")[0]) for end in lost} == {("engine_outage", doors[0].url)}
        assert [bool(host.down) for host in hosts.all] == [True, False]
        doors[0].start()
        await hosts.look()
        assert [bool(host.down) for host in hosts.all] == [False, False]
    finally:
        await hosts.close()
    assert doors[1].containers(f"lorimer.study={STUDY}") == []


@pytest.mark.docker
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_hosts_are_opened_where_one_answers_and_refused_in_one_line_where_none_does(
    tmp_path: Path, doors: list[EngineProxy]
) -> None:
    told = list[str]()
    urls = [f"unix://{tmp_path}/nobody.sock", doors[0].url]

    async def opened(urls: list[str]) -> Hosts[SandboxProvider]:
        return await open_hosts(
            urls,
            (1, 2)[: len(urls)],
            jails="auto",
            wanted=Wanted(),
            warm=0,
            most=3,
            seconds=60,
            tell=told.append,
        )

    hosts = await opened(urls)
    await hosts.close()
    assert [bool(host.down) for host in hosts.all] == [True, False]
    assert [host.provider.jails for host in hosts.all] == ["docker", "docker"]
    assert told == [
        f"warning: {urls[0]} takes no trials: no Docker Engine answers at {urls[0]}; it is asked again every 15 s"
    ]
    with pytest.raises(PrerequisiteError) as refused:
        await opened(urls[:1])
    assert str(refused.value) == (
        f"none of [executor] docker_hosts answers: {urls[0]}: no Docker Engine answers at {urls[0]}; "
        "start one of these engines, or name others"
    )
