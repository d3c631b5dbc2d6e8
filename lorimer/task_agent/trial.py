"""One trial, start to verdict."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from lorimer.benchmarks.base import Graded, Part, Task
from lorimer.config import Config
from lorimer.errors import BudgetExhausted, ConfigError, EngineOutage, ImageError, PrerequisiteError, SandboxError
from lorimer.harness import host
from lorimer.models.base import CallContext
from lorimer.sandbox.base import (
    Jail,
    JailRequest,
    LineTooLong,
    Owner,
    Sandbox,
    SandboxFileError,
    SandboxProvider,
    SandboxRequest,
)
from lorimer.sandbox.series import Series
from lorimer.task_agent import wire
from lorimer.task_agent.calls import Calls
from lorimer.task_agent.causes import SCORED, Cause
from lorimer.task_agent.gateway import AgentResult, Gateway, last_words, start_line
from lorimer.task_agent.judge import Court, judge
from lorimer.task_agent.limits import TaskModel
from lorimer.task_agent.output import cut, last_line
from lorimer.task_agent.paired.replay import RecordReplay
from lorimer.task_agent.parts import combined, heading, missed
from lorimer.task_agent.ready import wait_until_healthy
from lorimer.task_agent.spec import Harness, Oracle, TrialSpec
from lorimer.task_agent.upload import make_executable, upload
from lorimer.task_agent.verify import Reward
from lorimer.traces.schema import Conditions, StepData, StepKind, TraceSink, TrialEnd, TrialStart, TrialState

SETUP_SECONDS = 600.0
"""The time of a part's set-up, for which Harbor has no limit: an installation takes minutes."""

DRY_START_SECONDS = 20.0
"""An import takes milliseconds; a harness that is not loaded after this is one that never will be."""


@dataclass(frozen=True)
class Machine:
    """What trials run on: one for a process and a study. It knows nothing of any trial."""

    provider: SandboxProvider
    sink: TraceSink
    model: TaskModel | None = None
    """The task model; only a harness needs one."""
    on_wait: Callable[[float, str], None] = lambda seconds, why: None
    passed: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    """Variables that verifiers may be given, with their values."""


def jail_request(config: Config, owner: Owner) -> JailRequest:
    """The jail that every harness gets."""
    jail = config.jail
    return JailRequest(host.ARGV, owner, memory_mb=jail.memory_mb, pids=jail.pids, cpus=jail.cpus)


def sandbox_request(task: Task, image: str, config: Config, owner: Owner) -> SandboxRequest:
    """The sandbox that a task asks for, within what the configuration allows."""
    limits = task.limits
    if config.sandbox.network == "none":
        limits = dataclasses.replace(limits, network=False)
    start = task.start
    return SandboxRequest(
        image, owner, limits, task.workdir, dict(start.env), entrypoint=start.entrypoint, group=task.group
    )


async def run_trial(machine: Machine, spec: TrialSpec, task: Task, *, opened: bool = False) -> TrialEnd:
    """Run one trial to its verdict, which is returned and not yet stored: the caller may still have to judge it.

    Args:
        task: the one that the spec names (`TrialSpec.fits`).
        opened: its row is in the store already.

    Its steps are stored as they happen. Raises BudgetExhausted and ConfigError (the study must stop), and CancelledError;
    everything else ends in the verdict, by the table in `causes`.
    """
    began, start, agent = time.monotonic(), spec.start, spec.agent
    if not opened:
        machine.sink.open_trial(start)
    owner = Owner(start.planned.study, start.id)
    result = AgentResult(Cause.FINISHED)
    reward = Reward(None)
    acted = False
    replay = RecordReplay(spec.record) if spec.record is not None and isinstance(agent, Harness) else None
    ran = Conditions(spec.settings.sandbox.concurrency)
    try:
        images = [await machine.provider.prepare(image) for image in task.images()]
        digests = [await machine.provider.image_digest(image) for image in images]
        ran = dataclasses.replace(ran, images=tuple(digests))
        async with AsyncExitStack() as held:
            sandbox, jail = await _acquire(machine, spec, task, images[0], owner)
            held.push_async_callback(sandbox.close)
            if jail is not None:
                held.push_async_callback(jail.close)
            await _make_ready(sandbox, task)
            rewards: list[tuple[str, Reward]] = []
            parts = task.parts or (Part("", task),)
            for at, part in enumerate(parts):
                title = heading(part, at, len(parts)) if task.parts else ""
                # What isolation a check found the task to need holds for all of its parts.
                now = dataclasses.replace(part.task, isolation=task.isolation)
                if task.parts:
                    _tell(machine, start, began, f"{title} begins")
                    await _make_ready(sandbox, now, part.setup)
                acted = True
                if isinstance(agent, Harness):
                    if at:
                        jail = await machine.provider.jail(jail_request(spec.settings, owner))
                        held.push_async_callback(jail.close)
                    assert jail is not None
                    before = result
                    commands = sandbox.series(env=now.env, user=now.user)
                    try:
                        gateway = _gateway(machine, spec, now, sandbox, commands, jail, began, before, replay)
                        result = _added(before, await gateway.run(agent.text), title)
                    finally:
                        await commands.close()
                    # An engine that stops takes both along: that is no death of the harness's own.
                    if result.cause in (Cause.JAIL_DIED, Cause.JAIL_MEMORY) and not await sandbox.running():
                        raise SandboxError("the harness's jail and the task's sandbox ended together")
                elif isinstance(agent, Oracle):
                    result = _added(result, await _run_solution(sandbox, now), title)
                if result.cause not in SCORED:
                    break
                court = _court(machine, spec, began, owner)
                reward = await judge(court, sandbox, now, result.answer, last=at + 1 == len(parts))
                rewards.append((title, reward))
                if not task.parts:
                    break
                if reward.value is not None:
                    _tell(machine, start, began, f"{title} is verified: reward {reward.value:g}")
                if reward.cause is not None:
                    break
                if at + 1 < len(parts) and (why := missed(part, reward)):
                    _tell(machine, start, began, f"no further part is begun: {why}")
                    break
            if task.parts and rewards and result.cause in SCORED:
                reward = combined(rewards, task.reward_of)
            if start.network:
                _tell(machine, start, began, reached(await sandbox.hosts()))
        # How a harness failed says more than that it left no answer.
        broke = result.detail if reward.cause is None and result.cause is not Cause.FINISHED else ""
        said = broke or reward.detail or result.detail
        return _end(spec, began, result, reward.cause or result.cause, said, reward, ran, replay)
    except (BudgetExhausted, ConfigError, PrerequisiteError):
        raise
    except ImageError as error:
        _trace_error(machine, start, began, error.log)
        cause, detail = Cause.IMAGE_BUILD, str(error)
    except (SandboxError, SandboxFileError) as error:
        cause, detail = Cause.SANDBOX_LOST if acted else Cause.ENGINE_FAILURE, str(error)
        if isinstance(error, EngineOutage):
            cause = Cause.ENGINE_OUTAGE
    except Exception as error:  # noqa: BLE001 - the trial boundary: our bug errors this trial, with its traceback
        _trace_error(machine, start, began, traceback.format_exc())
        cause, detail = Cause.INTERNAL, f"{type(error).__name__}: {error}"
    return _end(spec, began, result, cause, detail, Reward(None), ran, replay)


async def _acquire(
    machine: Machine, spec: TrialSpec, task: Task, image: str, owner: Owner
) -> tuple[Sandbox, Jail | None]:
    """The task's sandbox and, for a harness, its jail, made side by side. Both or none, even where the trial is cancelled."""
    wanted_sandbox = machine.provider.acquire(sandbox_request(task, image, spec.settings, owner))
    if not isinstance(spec.agent, Harness):
        return await wanted_sandbox, None
    wanted_jail = machine.provider.jail(jail_request(spec.settings, owner))
    making_sandbox, making_jail = asyncio.create_task(wanted_sandbox), asyncio.create_task(wanted_jail)
    try:
        await asyncio.wait((making_sandbox, making_jail))
        return making_sandbox.result(), making_jail.result()
    except BaseException:  # one of them failed, or the trial is cancelled
        await asyncio.shield(_undo(making_sandbox, making_jail))
        raise


async def _undo(*making: asyncio.Task[Sandbox | Jail]) -> None:
    """Stop what is being made, and close what is made already."""
    for task in making:
        task.cancel()
    for made in await asyncio.gather(*making, return_exceptions=True):
        if not isinstance(made, BaseException):
            await made.close()


async def _make_ready(sandbox: Sandbox, task: Task, setup: str = "") -> None:
    """Bring in the loose files of a task or of a part, run its set-up and wait until it is healthy. Raises SandboxError."""
    if task.folders:
        places = " ".join(shlex.quote(path) for path in task.folders)
        command = f"mkdir -p -- {places} && chmod a+rwx -- {places}"
        await sandbox.exec(command, timeout=SETUP_SECONDS, cwd="/", user="0")
    for source, target in task.workspace:
        await upload(sandbox, source, target)
    if setup:
        ran = await sandbox.exec(
            setup, timeout=SETUP_SECONDS, cwd=task.workdir, env=task.env, user=task.user, output_limit=4096
        )
        if ran.exit_code != 0:
            said = last_line((ran.stderr or ran.stdout).decode("utf-8", "replace"))
            how = f"ran over its {SETUP_SECONDS:.0f} s" if ran.timed_out else f"exit code {ran.exit_code}: {said}"
            raise SandboxError(f"the set-up of a part failed: {how}")
    await wait_until_healthy(sandbox, task)


def _court(machine: Machine, spec: TrialSpec, began: float, owner: Owner) -> Court:
    async def acquire(task: Task) -> Sandbox:
        image = await machine.provider.prepare(task.image)
        return await machine.provider.acquire(sandbox_request(task, image, spec.settings, owner))

    limits = spec.settings.limits
    return Court(
        acquire,
        lambda text: _tell(machine, spec.start, began, text),
        limits.artifact_bytes,
        limits.verifier_seconds,
        watch=isinstance(spec.agent, Harness),
        zero_suspects=spec.settings.verifier.on_suspect == "zero",
        passed=machine.passed,
    )


def _added(before: AgentResult, now: AgentResult, title: str) -> AgentResult:
    """What the agent's parts came to: the gateway counts on from part to part, the first trouble is the trial's."""
    if now.cause not in SCORED:
        before = dataclasses.replace(before, cause=Cause.FINISHED, detail="")
    trouble = before if before.cause is not Cause.FINISHED or before.detail else now
    detail = f"{title}: {now.detail}" if title and now.detail and trouble is now else trouble.detail
    active = before.active_seconds + now.active_seconds
    ran = now.ran if before.ran is None else before.ran if now.ran is None else before.ran + now.ran
    return dataclasses.replace(now, cause=trouble.cause, detail=detail, active_seconds=active, ran=ran)


def _gateway(
    machine: Machine,
    spec: TrialSpec,
    task: Task,
    sandbox: Sandbox,
    commands: Series,
    jail: Jail,
    began: float,
    before: AgentResult,
    replay: RecordReplay | None,
) -> Gateway:
    """`before`: what earlier parts of the task used; the limits are the trial's."""
    assert machine.model is not None
    planned, limits = spec.start.planned, spec.settings.limits
    if limits.seconds is not None:
        limits = limits.model_copy(update={"seconds": max(0.001, limits.seconds - before.active_seconds)})
    calls = Calls(
        sandbox=sandbox,
        commands=commands,
        model=machine.model,
        sink=machine.sink,
        owner=spec.start.id,
        task=task,
        limits=limits,
        context=CallContext("task", planned.seed, planned.harness, task.id, planned.repeat, stage=str(planned.stage)),
        began=began,
        on_wait=machine.on_wait,
        used=before.used,
        answered=before.answered,
        first=before.next_call,
        replay=replay,
    )
    return Gateway(jail, calls)


async def _run_solution(sandbox: Sandbox, task: Task) -> AgentResult:
    solution = task.solution
    if solution is None:
        return AgentResult(Cause.FINISHED, detail="the task has no solution")
    for source, target in solution.files():
        await upload(sandbox, source, target, without=solution.without)
    await make_executable(sandbox, solution)
    env = {**task.env, **solution.env}
    user = solution.user or task.user
    ran = await sandbox.exec(solution.command, timeout=solution.timeout, cwd=task.workdir, env=env, user=user)
    if ran.timed_out:
        return AgentResult(Cause.FINISHED, detail=f"the solution ran over its {solution.timeout:.6g} s")
    if ran.exit_code:
        said = last_line((ran.stderr or ran.stdout).decode("utf-8", "replace"))
        return AgentResult(Cause.FINISHED, detail=f"the solution ended with exit code {ran.exit_code}: {said}")
    judged = isinstance(task.reward, Graded) or task.verifier.message is not None
    return AgentResult(Cause.FINISHED, answer=ran.stdout.decode("utf-8", "replace") if judged else "")


def _tell(machine: Machine, start: TrialStart, began: float, text: str) -> None:
    machine.sink.step(StepData(start.id, StepKind.TASK, time.monotonic() - began, 0.0, {"text": text}, text))


def reached(hosts: tuple[str, ...] | None) -> str:
    """The trace's line on a network."""
    if hosts is None:
        return "the network was open; which hosts were reached is not known"
    return f"the network's proxy was asked for: {', '.join(hosts) or 'nothing'}"


def _trace_error(machine: Machine, start: TrialStart, began: float, text: str) -> None:
    machine.sink.step(StepData(start.id, StepKind.ERROR, time.monotonic() - began, 0.0, {"text": text}, text))


def _end(
    spec: TrialSpec,
    began: float,
    result: AgentResult,
    cause: Cause,
    detail: str,
    reward: Reward,
    ran: Conditions,
    replay: RecordReplay | None,
) -> TrialEnd:
    return TrialEnd(
        id=spec.start.id,
        state=TrialState.SCORED if cause in SCORED else TrialState.ERRORED,
        cause=cause.value,
        detail=detail,
        reward=reward.value,
        rewards=reward.named,
        answer=cut(result.answer, spec.settings.limits.trace_bytes),
        verifier_output=reward.output,
        used=result.used,
        seconds=time.monotonic() - began,
        active_seconds=result.active_seconds,
        flags=reward.flags,
        conditions=dataclasses.replace(ran, answered=result.answered),
        replayed=None if replay is None else replay.told(whole=detail if cause is Cause.RECORD_PARTED else ""),
        ran=result.ran,
    )


async def dry_start(provider: SandboxProvider, settings: Config, harness_text: str, owner: Owner) -> str:
    """Load a harness in a jail without a task. Returns "" or why it does not start, in words for the meta-agent.

    Raises SandboxError, PrerequisiteError.
    """
    jail = await provider.jail(jail_request(settings, owner))
    try:
        try:
            async with asyncio.timeout(DRY_START_SECONDS):
                await jail.send(start_line(harness_text, None))
                line = await jail.receive()
        except TimeoutError:
            return f"agent.py did not finish loading in {DRY_START_SECONDS:.0f} s"
        if line is None:
            ended = await last_words(jail)
            if ended.exit_code == host.CUT_OFF:
                raise SandboxError("the connection to the harness broke while it was loaded")
            printed = ended.stderr.decode("utf-8", "replace")[-2_000:]
            return f"the process ended while loading agent.py (exit code {ended.exit_code})\n{printed}".strip()
        request = wire.parse_request(line)
        if request.method != "finish":
            return f"agent.py called {request.method} while it was loaded; only `solve` may act"
        finish: wire.FinishParams = wire.parse_params(request)
        return "" if finish.status == "returned" else finish.detail[-4_000:]
    except (wire.Breach, wire.Invalid, LineTooLong) as error:
        return f"agent.py broke the protocol while it was loaded: {error}"
    finally:
        await jail.close()
