"""Where trials run, as whoever asks for their attempts sees it."""

from __future__ import annotations

from typing import Protocol

from lorimer.benchmarks.base import Task
from lorimer.sandbox.base import ImageSpec
from lorimer.task_agent.spec import TrialSpec
from lorimer.traces.schema import TrialEnd


class Executor(Protocol):
    """Runs trials on one machine or on several: it judges nothing, stores no end and counts nothing (`attempts`).

    One conformance suite (`tests/task_agent/test_attempts.py`) runs on every kind.
    """

    async def image(self, spec: ImageSpec) -> int | None:
        """Make an image ready wherever trials may run, and tell its bytes; `None` where images are no things of their own.

        Raises SandboxError where it cannot be had; PrerequisiteError where no image of that kind can.
        """
        ...

    async def run(self, spec: TrialSpec, task: Task, *, opened: bool) -> TrialEnd:
        """One trial, start to verdict, with its steps stored as they happen (`trial.run_trial`, which says what is raised).

        Args:
            task: the one that the spec names.
            opened: its row is in the store already.

        What it ran on being lost ends it as ENGINE_OUTAGE.
        """
        ...

    async def answers(self) -> None:
        """Returns where there is something that trials can run on. Raises EngineOutage with why not."""
        ...

    def at_once(self, trials: int) -> None:
        """So many run at once from now on."""
        ...
