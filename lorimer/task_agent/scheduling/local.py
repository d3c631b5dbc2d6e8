"""Trials on this machine's sandboxes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from lorimer.benchmarks.base import Task
from lorimer.sandbox.base import ImageSpec, SandboxProvider
from lorimer.task_agent.spec import TrialSpec
from lorimer.task_agent.trial import Machine, run_trial
from lorimer.traces.schema import TrialEnd


class Local:
    """An `Executor` on one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def image(self, spec: ImageSpec) -> int | None:
        return await ready(self._machine.provider, spec)

    async def run(self, spec: TrialSpec, task: Task, *, opened: bool) -> TrialEnd:
        return await run_trial(self._machine, spec, task, opened=opened)

    async def answers(self) -> None:
        await self._machine.provider.reap()

    def at_once(self, trials: int) -> None:
        """See Executor. Whoever starts the trials keeps to it."""


def local_on(machine: Machine) -> Callable[[SandboxProvider], Local]:
    """What runs trials on the sandboxes of any provider, with all else that a machine has."""
    return lambda provider: Local(dataclasses.replace(machine, provider=provider))


async def ready(provider: SandboxProvider, spec: ImageSpec) -> int | None:
    """Make an image ready and tell its bytes. Raises SandboxError, PrerequisiteError."""
    return await provider.image_bytes(await provider.prepare(spec))
