"""One trial, start to verdict."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import traceback
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from lorimer.benchmarks.base import Graded, Task
from lorimer.config import Config
from lorimer.errors import BudgetExhausted, ConfigError, ImageError, PrerequisiteError, SandboxError
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
from lorimer.task_agent import wire
from lorimer.task_agent.calls import Calls
from lorimer.task_agent.causes import SCORED, Cause
from lorimer.task_agent.gateway import AgentResult, Gateway, last_words, start_line
from lorimer.task_agent.limits import Metered
from lorimer.task_agent.output import last_line
from lorimer.task_agent.ready import wait_until_healthy
from lorimer.task_agent.upload import upload
from lorimer.task_agent.verify import Reward, verify
from lorimer.traces.schema import StepData, StepKind, TraceSink, TrialEnd, TrialStart, TrialState

DRY_START_SECONDS = 20.0
"""An import takes milliseconds; a harness that is not loaded after this is one that never will be."""


@dataclass(frozen=True)
class Harness:
    """An agent: the harness with this text, in its jail, on the task model."""

    text: str


@dataclass(frozen=True)
class Oracle:
    """An agent that runs the task's reference solution. A valid task gives it reward 1."""


@dataclass(frozen=True)
class Nop:
    """An agent that does nothing. A valid task gives it reward 0."""


Agent = Harness | Oracle | Nop


@dataclass(frozen=True)
class World:
    """What a trial runs in. One for a study; it knows nothing of any trial."""

    provider: SandboxProvider
    sink: TraceSink
    config: Config
    model: Metered | None = None
    """The task model; only a Harness needs one."""
    on_wait: Callable[[float, str], None] = lambda seconds, why: None


def jail_request(config: Config, owner: Owner) -> JailRequest:
    """The jail that every harness gets."""
    jail = config.jail
    return JailRequest(host.ARGV, owner, memory_mb=jail.memory_mb, pids=jail.pids, cpus=jail.cpus)


def sandbox_request(task: Task, image: str, config: Config, owner: Owner) -> SandboxRequest:
    """The sandbox that a task asks for, within what the configuration allows."""
    limits = task.limits
    if config.sandbox.network == "none":
        limits = dataclasses.replace(limits, network=False)
    return SandboxRequest(image, owner, limits, task.workdir)


async def run_trial(world: World, start: TrialStart, task: Task, agent: Agent, seed: int) -> TrialEnd:
    """Run one trial to its verdict, which is returned and not yet stored: the caller may still have to judge it.

    Its steps are stored as they happen. Raises BudgetExhausted and ConfigError (the study must stop), and CancelledError;
    everything else ends in the verdict, by the table in `causes`.
    """
    began = time.monotonic()
    world.sink.open_trial(start)
    owner = Owner(start.study, start.id)
    result = AgentResult(Cause.FINISHED)
    reward = Reward(None)
    acted = False
    try:
        image = await world.provider.prepare(task.image)
        async with AsyncExitStack() as held:
            sandbox, jail = await _acquire(world, task, image, owner, agent)
            held.push_async_callback(sandbox.close)
            if jail is not None:
                held.push_async_callback(jail.close)
            for source, target in task.workspace:
                await upload(sandbox, source, target)
            await wait_until_healthy(sandbox, task)
            acted = True
            if isinstance(agent, Harness):
                assert jail is not None
                result = await _gateway(world, start, task, seed, sandbox, jail, began).run(agent.text)
            elif isinstance(agent, Oracle):
                result = await _run_solution(sandbox, task)
            if result.cause in SCORED:
                timeout = world.config.limits.verifier_seconds or task.verifier.timeout
                reward = await verify(sandbox, task, timeout, result.answer)
        return _end(start, began, result, reward.cause or result.cause, reward.detail or result.detail, reward)
    except (BudgetExhausted, ConfigError, PrerequisiteError):
        raise
    except ImageError as error:
        _trace_error(world, start, began, error.log)
        cause, detail = Cause.IMAGE_BUILD, str(error)
    except (SandboxError, SandboxFileError) as error:
        cause, detail = Cause.SANDBOX_LOST if acted else Cause.ENGINE_FAILURE, str(error)
    except Exception as error:  # noqa: BLE001 - the trial boundary: our bug errors this trial, with its traceback
        _trace_error(world, start, began, traceback.format_exc())
        cause, detail = Cause.INTERNAL, f"{type(error).__name__}: {error}"
    return _end(start, began, result, cause, detail, Reward(None))


async def _acquire(world: World, task: Task, image: str, owner: Owner, agent: Agent) -> tuple[Sandbox, Jail | None]:
    """The task's sandbox and, for a harness, its jail, made side by side. Both or none."""
    wanted_sandbox = world.provider.acquire(sandbox_request(task, image, world.config, owner))
    if not isinstance(agent, Harness):
        return await wanted_sandbox, None
    wanted_jail = world.provider.jail(jail_request(world.config, owner))
    sandbox, jail = await asyncio.gather(wanted_sandbox, wanted_jail, return_exceptions=True)
    if isinstance(sandbox, BaseException):
        if not isinstance(jail, BaseException):
            await jail.close()
        raise sandbox
    if isinstance(jail, BaseException):
        await sandbox.close()
        raise jail
    return sandbox, jail


def _gateway(
    world: World, start: TrialStart, task: Task, seed: int, sandbox: Sandbox, jail: Jail, began: float
) -> Gateway:
    assert world.model is not None
    calls = Calls(
        sandbox=sandbox,
        model=world.model,
        sink=world.sink,
        owner=start.id,
        task=task,
        limits=world.config.limits,
        context=CallContext("task", seed, start.harness, task.id, start.repeat, stage=str(start.stage)),
        began=began,
        on_wait=world.on_wait,
    )
    return Gateway(jail, calls)


async def _run_solution(sandbox: Sandbox, task: Task) -> AgentResult:
    solution = task.solution
    if solution is None:
        return AgentResult(Cause.FINISHED, detail="the task has no solution")
    for source, target in solution.files():
        await upload(sandbox, source, target)
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


def _trace_error(world: World, start: TrialStart, began: float, text: str) -> None:
    world.sink.step(StepData(start.id, StepKind.ERROR, time.monotonic() - began, 0.0, {"text": text}, text))


def _end(start: TrialStart, began: float, result: AgentResult, cause: Cause, detail: str, reward: Reward) -> TrialEnd:
    return TrialEnd(
        id=start.id,
        state=TrialState.SCORED if cause in SCORED else TrialState.ERRORED,
        cause=cause.value,
        detail=detail,
        reward=reward.value,
        rewards=reward.named,
        answer=result.answer,
        verifier_output=reward.output,
        model_calls=result.model_calls,
        input_tokens=result.input_tokens,
        output_tokens=result.output_tokens,
        cached_tokens=result.cached_tokens,
        cost_usd=result.cost_usd,
        seconds=time.monotonic() - began,
        active_seconds=result.active_seconds,
    )


async def dry_start(world: World, harness_text: str, owner: Owner) -> str:
    """Load a harness in a jail without a task. Returns "" or why it does not start, in words for the meta-agent.

    Raises SandboxError, PrerequisiteError.
    """
    jail = await world.provider.jail(jail_request(world.config, owner))
    try:
        try:
            async with asyncio.timeout(DRY_START_SECONDS):
                await jail.send(start_line(harness_text, None))
                line = await jail.receive()
        except TimeoutError:
            return f"agent.py did not finish loading in {DRY_START_SECONDS:.0f} s"
        if line is None:
            ended = await last_words(jail)
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
