"""What tests of trials run on: a scripted task model, a sink that remembers, real sandboxes, and one trial in a line."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lorimer.benchmarks.base import Script, Task
from lorimer.config.settings import BudgetSettings, Config, parse
from lorimer.errors import PrerequisiteError
from lorimer.harness.api import Completion, StopReason, Usage, assistant
from lorimer.models.base import CallContext, ModelClient, ModelReply, ModelRequest
from lorimer.sandbox.base import PythonImage, SandboxLimits, SandboxProvider
from lorimer.sandbox.beside import JailsBeside
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.paired.carried import Carried
from lorimer.task_agent.scheduling.attempts import StudyAttempts
from lorimer.task_agent.scheduling.images import ImageReport
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.task_agent.serving.spells import Spells
from lorimer.task_agent.spec import Agent, Harness, Nop, Oracle, TrialSpec, spec_of
from lorimer.task_agent.trial import Machine, run_trial
from lorimer.traces.schema import (
    ModelCallData,
    PlannedTrial,
    Reservation,
    Settlement,
    Stage,
    StepData,
    StepKind,
    TrialEnd,
    TrialStart,
)
from lorimer.traces.wired import WireCall, WirePart

REAL = (
    pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    pytest.param("docker", marks=pytest.mark.docker),
)
"""The providers that isolate, for `parametrize`."""

MIXED = pytest.param("mixed", marks=(pytest.mark.bubblewrap, pytest.mark.docker))
"""Docker's sandboxes with jails by bubblewrap beside them: what `[jail] provider = "auto"` takes where both work."""

USD_PER_TOKEN = 0.001


def reply(
    text: str = "ok", *, stop: StopReason = "end", error: str = "", tokens: tuple[int, int] = (10, 5)
) -> ModelReply:
    """A model's answer, priced at a tenth of a cent a token."""
    usage = Usage(*tokens)
    return ModelReply(Completion(assistant(text), stop, usage, error), cost_usd=sum(tokens) * USD_PER_TOKEN)


Answer = Callable[[ModelRequest, CallContext], ModelReply | Awaitable[ModelReply]]


class ScriptedModel:
    """A ModelClient that answers by a function of the request and its context."""

    def __init__(self, answer: Answer = lambda request, context: reply()) -> None:
        self._answer = answer
        self.requests: list[ModelRequest] = []
        self.contexts: list[CallContext] = []

    @property
    def id(self) -> str:
        return "scripted/model"

    async def complete(self, request: ModelRequest, context: CallContext) -> ModelReply:
        self.requests.append(request)
        self.contexts.append(context)
        answer = self._answer(request, context)
        return await answer if inspect.isawaitable(answer) else answer

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return (input_tokens + output_tokens) * USD_PER_TOKEN

    async def close(self) -> None:
        return


@dataclass
class Remembering:
    """A TraceSink in memory, which holds trials to the store's rules: opened once, ended once, no step after the end."""

    starts: dict[str, TrialStart] = field(default_factory=dict)
    ends: dict[str, TrialEnd] = field(default_factory=dict)
    steps: list[StepData] = field(default_factory=list)
    calls: list[ModelCallData] = field(default_factory=list)
    parts: list[WirePart] = field(default_factory=list)
    wire_calls: list[WireCall] = field(default_factory=list)
    reservations: list[Reservation] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    warnings: dict[str, str] = field(default_factory=dict)

    def open_trial(self, start: TrialStart) -> None:
        assert start.id not in self.starts, f"trial {start.id} began twice"
        self.starts[start.id] = start

    def step(self, step: StepData) -> None:
        assert step.owner in self.starts
        assert step.owner not in self.ends
        self.steps.append(step)

    def model_call(self, call: ModelCallData) -> None:
        assert call.owner not in self.ends
        self.calls.append(call)

    def wire_part(self, part: WirePart) -> None:
        assert part.owner not in self.ends
        self.parts.append(part)

    def wire_call(self, call: WireCall) -> None:
        assert call.owner not in self.ends
        self.wire_calls.append(call)

    async def close_trial(self, end: TrialEnd) -> None:
        assert end.id in self.starts
        assert end.id not in self.ends, f"trial {end.id} ended twice"
        self.ends[end.id] = end

    async def reserve(self, reservation: Reservation) -> None:
        self.reservations.append(reservation)

    def settle(self, settlement: Settlement) -> None:
        self.settlements.append(settlement)

    def warn(self, name: str, study: str, text: str) -> None:
        self.warnings.setdefault(name, text)

    def texts(self, kind: StepKind) -> list[str]:
        """The text of each step of a kind, as search would find it."""
        return [step.text for step in self.steps if step.kind is kind]


def open_provider(name: str) -> SandboxProvider:
    """A real provider, or a skipped test where this machine has none."""
    from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider
    from lorimer.sandbox.docker.provider import DockerProvider

    if name == "docker":
        return DockerProvider()
    try:
        bubblewrap = BubblewrapProvider()
    except PrerequisiteError as error:
        pytest.skip(str(error))
    return JailsBeside(DockerProvider(), bubblewrap) if name == "mixed" else bubblewrap


SCORE_ONE = "echo 1 > /logs/verifier/reward.txt"


def script(folder: Path, name: str, text: str, *, timeout: float = 20.0) -> Script:
    """A folder with one shell script, to be run in the sandbox's folder `/name`."""
    source = folder / name
    source.mkdir(parents=True, exist_ok=True)
    (source / "run.sh").write_text(text + "\n")
    return Script(source, f"/{name}", f"sh /{name}/run.sh", timeout)


def make_task(folder: Path, verifier: str = SCORE_ONE, *, name: str = "task", **changes: Any) -> Task:
    """A task on a plain Python image whose verifier is a shell script; it scores 1 for anything unless told otherwise."""
    verifier_timeout = changes.pop("verifier_timeout", 20.0)
    values: dict[str, Any] = {
        "id": name,
        "instruction": "Do it.",
        "image": PythonImage(),
        "verifier": script(folder / name, "tests", verifier, timeout=verifier_timeout),
        "limits": SandboxLimits(cpus=1, memory_mb=256, pids=64),
        "agent_timeout": 60.0,
        "workdir": "/app",
    }
    return Task(**{**values, **changes})


def solve(body: str, *, before: str = "") -> Harness:
    """A harness whose `solve` has this body (indented or not)."""
    import textwrap

    head = "import base64, json, os, sys, threading, time\nfrom lorimer.harness.api import *\nfrom lorimer.harness import api\n"
    inner = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return Harness(f"{head}{textwrap.dedent(before)}\ndef solve(task, env, llm):\n{inner}\n")


@dataclass
class Played:
    """One trial, played."""

    end: TrialEnd
    sink: Remembering
    model: ScriptedModel
    waits: list[str]

    def only(self, kind: StepKind) -> Mapping[str, Any]:
        """The data of the only step of a kind."""
        steps = [step for step in self.sink.steps if step.kind is kind]
        assert len(steps) == 1, Counter(step.kind for step in self.sink.steps)
        return steps[0].data


def trial_spec(agent: Agent, task: Task, settings: Config | None = None, record: Carried | None = None) -> TrialSpec:
    """The first attempt of an agent on a task, in a study `s`."""
    name = {Oracle(): "oracle", Nop(): "nop"}.get(agent, "sha")
    planned = PlannedTrial(f"s/e/{task.id}/0", "s", "s/e", Stage.BASELINE, name, task.id, 0, 7)
    text = agent.text if isinstance(agent, Harness) else ""
    return spec_of(TrialStart(planned, 0, "scripted/model"), text, task, settings or config(), record)


def local_scheduler(
    provider: SandboxProvider,
    tasks: Iterable[Task],
    sink: Remembering,
    *,
    settings: Config | None = None,
    budget: BudgetSettings | None = None,
    model: ModelClient | None = None,
    waits: list[str] | None = None,
    on_image: Callable[[ImageReport], None] = lambda report: None,
    concurrency: int = 1,
    retries: int = 0,
) -> Scheduler:
    """A scheduler of trials on this machine. `waits` takes what is waited for."""
    meter = Budget("s", budget or BudgetSettings(), sink)
    metered = None if model is None else Metered(model, meter, sink, 100)
    told = [] if waits is None else waits
    machine = Machine(provider, sink, metered, lambda seconds, why: told.append(why))
    by_name = {task.id: task for task in tasks}
    attempts = StudyAttempts(machine, settings or config(), by_name, meter, on_image=on_image)
    return Scheduler(attempts, concurrency=concurrency, retries=retries)


def config(**tables: Mapping[str, Any]) -> Config:
    """A Config with these tables: `config(limits={"calls": 3})`."""
    return parse({name: dict(table) for name, table in tables.items()})


async def play(
    provider: SandboxProvider,
    task: Task,
    agent: Agent,
    *,
    answer: Answer = lambda request, context: reply(),
    budget: BudgetSettings | None = None,
    sink: Remembering | None = None,
    max_tokens: int = 100,
    passed: Mapping[str, str] | None = None,
    record: Carried | None = None,
    spells: Spells | None = None,
    **tables: Mapping[str, Any],
) -> Played:
    """Run one trial and give back all there is to know of it."""
    sink = sink or Remembering()
    model, waits = ScriptedModel(answer), list[str]()
    metered = Metered(model, Budget("s", budget or BudgetSettings(), sink), sink, max_tokens)
    machine = Machine(
        provider,
        sink,
        metered,
        lambda seconds, why: waits.append(f"{why}: {seconds}"),
        passed or {},
        spells or Spells(),
    )
    end = await run_trial(machine, trial_spec(agent, task, config(**tables), record), task)
    return Played(end, sink, model, waits)
