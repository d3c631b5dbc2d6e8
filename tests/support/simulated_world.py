"""A world for the simulated model: the real text of a harness run in process, on a sandbox that knows outcomes by command.

It stands for a sandbox where thousands of trials are needed; that the commands do what is assumed here is tested on real
shells in tests/models/test_simulated.py.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorimer.harness import api
from lorimer.harness.structured import checked
from lorimer.models.base import CallContext, ModelClient, ModelRequest
from lorimer.models.simulated.tasks import KnownTask, SolutionScript

SEED_HARNESS = (importlib.resources.files("lorimer") / "harness" / "seeds" / "plain.py").read_text(encoding="utf-8")


@dataclass
class Shell:
    """What the model's commands would do in the task's sandbox."""

    task: KnownTask
    commands: list[str] = field(default_factory=list)
    _written: SolutionScript | None = None
    left: SolutionScript | None = None
    """Which script made the output that is there."""

    @property
    def solved(self) -> bool:
        return self.left is SolutionScript.SOLVE

    def exec(self, command: str, *, timeout: float | None = None, cwd: str | None = None) -> api.ExecResult:
        self.commands.append(command)
        scripts = self.task.scripts
        if "work.py <<" in command:
            self._written = next(
                script for script in SolutionScript if script in scripts and scripts[script] in command
            )
        if command.rstrip().endswith("python3 /tmp/work.py"):
            self.left = self._written
            return api.ExecResult("", "", 0)
        if scripts.get(SolutionScript.CHECK, "\0") in command:
            return api.ExecResult("OK\n" if self.solved else "PROBLEM: the numbers differ\n", "", 0)
        if scripts.get(SolutionScript.FLOOD, "\0") in command:
            return api.ExecResult("x" * (60_000 if self.task.large else 1_500), "", 0)
        if scripts.get(SolutionScript.LOOK, "\0") in command:
            return api.ExecResult("y" * 700, "", 0)
        return api.ExecResult("", "", 0)

    def read(self, path: str) -> bytes:
        raise api.EnvError(path)

    def read_text(self, path: str) -> str:
        raise api.EnvError(path)

    def write(self, path: str, data: bytes | str) -> None:
        raise api.EnvError(path)


@dataclass
class Asking:
    """The harness's `llm`: a model client, asked as the gateway asks it."""

    model: ModelClient
    context: CallContext
    limit: int = 50
    completions: list[api.Completion] = field(default_factory=list)

    def complete(
        self,
        messages: Sequence[api.Message],
        *,
        system: str | None = None,
        tools: Sequence[api.Tool] = (),
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        temperature: float | None = None,
        effort: api.Effort | None = None,
        schema: Mapping[str, Any] | None = None,
        tool_choice: api.ToolChoice | None = None,
    ) -> api.Completion:
        if len(self.completions) >= self.limit:
            raise api.LimitReached("model calls")
        c = self.context
        context = CallContext(c.role, c.seed, c.harness, c.task, c.attempt, len(self.completions), c.stage)
        form = effort, schema, tool_choice
        request = ModelRequest(tuple(messages), system, tuple(tools), max_tokens, tuple(stop), temperature, *form)
        completion = checked(run(self.model, request, context), schema, tool_choice)
        self.completions.append(completion)
        return completion


def run(model: ModelClient, request: ModelRequest, context: CallContext) -> api.Completion:
    """One reply. A simulated model waits for nothing, so its coroutine ends at the first step."""
    coroutine = model.complete(request, context)
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value.completion  # type: ignore[no-any-return]
    raise AssertionError("a simulated model awaited something")


@dataclass(frozen=True)
class Played:
    """One trial and what was seen of it."""

    task: KnownTask
    shell: Shell
    completions: Sequence[api.Completion]
    answer: str

    @property
    def solved(self) -> bool:
        return self.shell.solved


def play(
    model: ModelClient, task: KnownTask, *, harness: str = SEED_HARNESS, seed: int = 0, repeat: int = 0, stage: str = ""
) -> Played:
    """One trial of a harness's text on a task."""
    sha = hashlib.sha256(harness.encode()).hexdigest()
    module = sys.modules.get(f"harness_{sha}")
    if module is None:
        module = types.ModuleType(f"harness_{sha}")
        sys.modules[module.__name__] = module
        exec(compile(harness, "agent.py", "exec"), module.__dict__)
    shell = Shell(task)
    asking = Asking(model, CallContext("task", seed, sha, task.id, repeat, 0, stage))
    answer = module.solve(api.Task(task.instruction, "/app", 300.0, 50), shell, asking)
    return Played(task, shell, asking.completions, answer)


def rate(
    model: ModelClient, tasks: Iterable[KnownTask], harness: str = SEED_HARNESS, seeds: Iterable[int] = range(3)
) -> float:
    """Share of trials that a harness solves."""
    played = [play(model, task, harness=harness, seed=seed).solved for seed in seeds for task in tasks]
    return sum(played) / len(played)


def told(*lines: str, harness: str = SEED_HARNESS) -> str:
    """The harness with more lines in its prompt."""
    head, quotes, tail = harness.partition('tool call."""')
    assert quotes, "the seed harness's prompt has moved"
    return head + "tool call." + "".join(f"\n{line}" for line in lines) + '"""' + tail
