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
from lorimer.config.settings import Config
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
from lorimer.task_agent.causes import SCORED, Cause
from lorimer.task_agent.limits import TaskModel
from lorimer.task_agent.output import cut, last_line
from lorimer.task_agent.paired.replay import RecordReplay
from lorimer.task_agent.ready import wait_until_healthy
from lorimer.task_agent.serving import wire
from lorimer.task_agent.serving.calls import Calls
from lorimer.task_agent.serving.gateway import AgentResult, Gateway, last_words, preload, start_line
from lorimer.task_agent.serving.spells import Spells
from lorimer.task_agent.spec import Harness, Oracle, TrialSpec
from lorimer.task_agent.upload import make_executable, upload
from lorimer.task_agent.verdict.judge import Court, judge
from lorimer.task_agent.verdict.parts import combined, heading, missed
from lorimer.task_agent.verdict.verify import Reward
from lorimer.traces.schema import Conditions, StepData, StepKind, TraceSink, TrialEnd, TrialState

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
    spells: Spells = dataclasses.field(default_factory=Spells)
    """Those of all trials that run at once here."""


def jail_request(config: Config, owner: Owner) -> JailRequest:
    """The jail that every harness gets."""
    jail = config.jail
    return JailRequest(host.ARGV, owner, memory_mb=jail.memory_mb, pids=jail.pids, cpus=jail.cpus, preload=preload())


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
    trial = _Trial(machine, spec, task)
    if not opened:
        machine.sink.open_trial(spec.start)
    try:
        return trial.judged(await trial.run())
    except (BudgetExhausted, ConfigError, PrerequisiteError):
        raise
    except ImageError as error:
        trial.trace(StepKind.ERROR, error.log)
        return trial.end(Cause.IMAGE_BUILD, str(error))
    except EngineOutage as error:
        return trial.end(Cause.ENGINE_OUTAGE, str(error))
    except (SandboxError, SandboxFileError) as error:
        return trial.end(Cause.SANDBOX_LOST if trial.acted else Cause.ENGINE_FAILURE, str(error))
    except Exception as error:  # noqa: BLE001 - the trial boundary: our bug errors this trial, with its traceback
        trial.trace(StepKind.ERROR, traceback.format_exc())
        return trial.end(Cause.INTERNAL, f"{type(error).__name__}: {error}")


class _Trial:
    """A trial under way: what it runs on, and what it has come to so far."""

    def __init__(self, machine: Machine, spec: TrialSpec, task: Task) -> None:
        self._began = time.monotonic()
        self._machine, self._spec, self._task = machine, spec, task
        self._owner = Owner(spec.start.planned.study, spec.start.id)
        record = spec.record if isinstance(spec.agent, Harness) else None
        self._replay = None if record is None else RecordReplay(record)
        self._result = AgentResult(Cause.FINISHED)
        self._ran = Conditions(spec.settings.sandbox.concurrency)
        self.acted = False
        """Whether the agent may have done something."""

    async def run(self) -> Reward:
        """Have the agent work in the task's sandbox, and its work verified."""
        image = await self._prepare_images()
        async with AsyncExitStack() as held:
            sandbox, jail = await _acquire(self._machine, self._spec, self._task, image, self._owner)
            held.push_async_callback(sandbox.close)
            if jail is not None:
                held.push_async_callback(jail.close)
            await _make_ready(sandbox, self._task)
            reward = await self._run_parts(sandbox, jail, held)
            if self._spec.start.network:
                self.trace(StepKind.TASK, reached(await sandbox.hosts()))
        return reward

    async def _prepare_images(self) -> str:
        """Make all that the task needs, and return that of its sandbox."""
        provider = self._machine.provider
        images = [await provider.prepare(image) for image in self._task.images()]
        digests = [await provider.image_digest(image) for image in images]
        self._ran = dataclasses.replace(self._ran, images=tuple(digests))
        return images[0]

    async def _run_parts(self, sandbox: Sandbox, jail: Jail | None, held: AsyncExitStack) -> Reward:
        """Run the agent on one part of the task after another, each of which is verified before the next begins."""
        task, reward, rewards = self._task, Reward(None), list[tuple[str, Reward]]()
        parts = task.parts or (Part("", task),)
        for at, part in enumerate(parts):
            title = heading(part, at, len(parts)) if task.parts else ""
            # What isolation a check found the task to need holds for all of its parts.
            now = dataclasses.replace(part.task, isolation=task.isolation)
            if task.parts:
                self.trace(StepKind.TASK, f"{title} begins")
                await _make_ready(sandbox, now, part.setup)
            self.acted = True
            if at and jail is not None:
                jail = await self._machine.provider.jail(jail_request(self._spec.settings, self._owner))
                held.push_async_callback(jail.close)
            await self._run_agent(now, title, sandbox, jail)
            if self._result.cause not in SCORED:
                return reward
            reward = await judge(self._court(), sandbox, now, self._result.answer, last=at + 1 == len(parts))
            rewards.append((title, reward))
            if task.parts and reward.value is not None:
                self.trace(StepKind.TASK, f"{title} is verified: reward {reward.value:g}")
            if reward.cause is not None:
                break
            if at + 1 < len(parts) and (why := missed(part, reward)):
                self.trace(StepKind.TASK, f"no further part is begun: {why}")
                break
        return combined(rewards, task.reward_of) if task.parts else reward

    async def _run_agent(self, task: Task, title: str, sandbox: Sandbox, jail: Jail | None) -> None:
        """Run the agent on a part of the task, or on the whole. Raises SandboxError."""
        agent = self._spec.agent
        if isinstance(agent, Oracle):
            self._result = _added(self._result, await _run_solution(sandbox, task), title)
        elif isinstance(agent, Harness):
            assert jail is not None
            commands = sandbox.series(env=task.env, user=task.user)
            try:
                gateway = self._gateway(task, sandbox, commands, jail)
                self._result = _added(self._result, await gateway.run(agent.text), title)
            finally:
                await commands.close()
            # An engine that stops takes both along: that is no death of the harness's own.
            if self._result.cause in (Cause.JAIL_DIED, Cause.JAIL_MEMORY) and not await sandbox.running():
                raise SandboxError("the harness's jail and the task's sandbox ended together")

    def _gateway(self, task: Task, sandbox: Sandbox, commands: Series, jail: Jail) -> Gateway:
        """What serves the harness on a part. The limits are the trial's, of which earlier parts have used some."""
        machine, before = self._machine, self._result
        assert machine.model is not None
        planned, limits = self._spec.start.planned, self._spec.settings.limits
        if limits.seconds is not None:
            limits = limits.model_copy(update={"seconds": max(0.001, limits.seconds - before.active_seconds)})
        stage = str(planned.stage)
        calls = Calls(
            sandbox=sandbox,
            commands=commands,
            model=machine.model,
            sink=machine.sink,
            owner=self._spec.start.id,
            task=task,
            limits=limits,
            context=CallContext("task", planned.seed, planned.harness, task.id, planned.repeat, stage=stage),
            began=self._began,
            on_wait=machine.on_wait,
            spells=machine.spells,
            used=before.used,
            answered=before.answered,
            first=before.next_call,
            replay=self._replay,
        )
        return Gateway(jail, calls)

    def _court(self) -> Court:
        machine, spec = self._machine, self._spec

        async def acquire(task: Task) -> Sandbox:
            image = await machine.provider.prepare(task.image)
            return await machine.provider.acquire(sandbox_request(task, image, spec.settings, self._owner))

        limits = spec.settings.limits
        return Court(
            acquire,
            lambda text: self.trace(StepKind.TASK, text),
            limits.artifact_bytes,
            limits.verifier_seconds,
            watch=isinstance(spec.agent, Harness),
            zero_suspects=spec.settings.verifier.on_suspect == "zero",
            passed=machine.passed,
        )

    def trace(self, kind: StepKind, text: str) -> None:
        """A step of the trial's own."""
        seconds = time.monotonic() - self._began
        self._machine.sink.step(StepData(self._spec.start.id, kind, seconds, 0.0, {"text": text}, text))

    def judged(self, reward: Reward) -> TrialEnd:
        """The verdict on a trial that came to its end."""
        result = self._result
        # How a harness failed says more than that it left no answer.
        broke = result.detail if reward.cause is None and result.cause is not Cause.FINISHED else ""
        return self.end(reward.cause or result.cause, broke or reward.detail or result.detail, reward)

    def end(self, cause: Cause, detail: str, reward: Reward | None = None) -> TrialEnd:
        """The verdict by its cause."""
        result, reward = self._result, reward or Reward(None)
        parted = detail if cause is Cause.RECORD_PARTED else ""
        return TrialEnd(
            id=self._spec.start.id,
            state=TrialState.SCORED if cause in SCORED else TrialState.ERRORED,
            cause=cause.value,
            detail=detail,
            reward=reward.value,
            rewards=reward.named,
            answer=cut(result.answer, self._spec.settings.limits.trace_bytes),
            verifier_output=reward.output,
            used=result.used,
            seconds=time.monotonic() - self._began,
            active_seconds=result.active_seconds,
            flags=reward.flags,
            conditions=dataclasses.replace(self._ran, answered=result.answered),
            replayed=None if self._replay is None else self._replay.told(whole=parted),
            ran=result.ran,
        )


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


def _added(before: AgentResult, now: AgentResult, title: str) -> AgentResult:
    """What the agent's parts came to: the gateway counts on from part to part, the first trouble is the trial's."""
    if now.cause not in SCORED:
        before = dataclasses.replace(before, cause=Cause.FINISHED, detail="")
    trouble = before if before.cause is not Cause.FINISHED or before.detail else now
    detail = f"{title}: {now.detail}" if title and now.detail and trouble is now else trouble.detail
    active = before.active_seconds + now.active_seconds
    ran = now.ran if before.ran is None else before.ran if now.ran is None else before.ran + now.ran
    return dataclasses.replace(now, cause=trouble.cause, detail=detail, active_seconds=active, ran=ran)


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


def reached(hosts: tuple[str, ...] | None) -> str:
    """The trace's line on a network."""
    if hosts is None:
        return "the network was open; which hosts were reached is not known"
    return f"the network's proxy was asked for: {', '.join(hosts) or 'nothing'}"


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
