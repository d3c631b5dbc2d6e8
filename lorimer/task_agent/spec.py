"""All that makes one trial, as plain values: written as JSON, another process or another host can run it from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lorimer.benchmarks.base import Isolation, Task
from lorimer.config.settings import Config
from lorimer.task_agent.paired.carried import Carried, CarriedRecord
from lorimer.traces.schema import PlannedTrial, TrialStart


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

BUILT_IN: dict[str, Agent] = {"oracle": Oracle(), "nop": Nop()}
"""The agents that are no harness, by the name that stands in a plan where else a harness's SHA-256 does."""


def is_harness(planned: PlannedTrial) -> bool:
    """Whether the agent of a planned trial is a harness, which needs a jail and a model."""
    return planned.harness not in BUILT_IN


class TrialSpec(BaseModel):
    """One attempt at one planned trial.

    It holds no key, no task's files and no handle on anything: a key is looked up where a model is opened, and a task is
    loaded from its benchmark, whose digest must then be the same. `model_dump_json` writes it, `model_validate_json` reads it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: TrialStart
    """What is tried, for which time, on which model and which kind of sandbox."""
    harness: str = ""
    """The harness's text; empty for `oracle` and `nop`."""
    digest: str
    """The task's SHA-256."""
    isolation: Literal["restart", "same", "fresh"]
    """The isolation between agent and verifier, as a check found that the task needs."""
    record: CarriedRecord = None
    """The record of another trial of the same task that answers this one's calls until its harness asks for something else."""
    settings: Config
    """lorimer.toml: limits, jail, sandbox, verifier, and where benchmark, models and providers are found."""

    @property
    def agent(self) -> Agent:
        """Who acts."""
        return BUILT_IN.get(self.start.planned.harness) or Harness(self.harness)

    def fits(self, task: Task) -> bool:
        """Whether this is the task that the trial was planned on, under the same isolation."""
        planned = self.start.planned.task
        return (task.id, task.digest, task.isolation) == (planned, self.digest, self.isolation)


def spec_of(start: TrialStart, harness: str, task: Task, settings: Config, record: Carried | None = None) -> TrialSpec:
    """The spec of an attempt on a task that is at hand."""
    isolation: Isolation = task.isolation
    text = harness if is_harness(start.planned) else ""
    return TrialSpec(
        start=start, harness=text, digest=task.digest, isolation=isolation, record=record, settings=settings
    )
