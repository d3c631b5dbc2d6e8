"""Whether honest passes of a suite raise flags: an agent does what each task's own solution does, and its pass is looked at.

    python -m bench.honest SOURCE [TASKS]        # such as harbor:DIR; TASKS limits how many; needs a Docker Engine

The agent's harness writes the solution's files into the sandbox and runs its script there, as a model that knew the answer would.
So what packages it installs, what it compiles and what the verifier imports of it are those of the real task.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lorimer.benchmarks.base import Script, Task
from lorimer.benchmarks.registry import open_benchmark
from lorimer.config.settings import BudgetSettings, Config
from lorimer.models.replay import ReplayModel
from lorimer.sandbox.docker.provider import DockerProvider
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.spec import spec_of
from lorimer.task_agent.trial import Machine, run_trial
from lorimer.traces.schema import PlannedTrial, Stage, TrialEnd, TrialStart
from lorimer.traces.writing.store import Store

HARNESS = """
import base64

FILES = {files!r}


def solve(task, env, llm):
    for path, data in FILES.items():
        env.write(path, base64.b64decode(data))
    return env.exec({command!r}, timeout={timeout!r}, cwd=task.workdir or None).stdout
"""


def harness(solution: Script) -> str:
    """A harness that brings a solution's files and runs its command. No model has a say in it."""
    files = {path: base64.b64encode(data).decode() for path, data in brought(solution)}
    command = "".join(f"export {name}={value!r}; " for name, value in solution.env.items()) + solution.command
    return HARNESS.format(files=files, command=command, timeout=solution.timeout)


def brought(solution: Script) -> Iterator[tuple[str, bytes]]:
    """Every file of a solution by its path in the sandbox."""
    for source, target in solution.files():
        if isinstance(source, bytes):
            yield target, source
        elif source.is_file():
            yield target, source.read_bytes()
        else:
            for path in sorted(source.rglob("*")):
                if path.is_file() and path not in solution.without:
                    yield f"{target}/{path.relative_to(source).as_posix()}", path.read_bytes()


async def play(tasks: list[Task]) -> list[TrialEnd]:
    """One trial of each task, by a harness of its own, two at a time."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder, "bench.db")) as store:
        provider = DockerProvider()
        budget = Budget("bench", BudgetSettings(), store)
        machine = Machine(provider, store, Metered(ReplayModel(lambda key: None), budget, store, 100))
        at_once = asyncio.Semaphore(2)

        async def one(task: Task) -> TrialEnd:
            assert task.solution is not None
            planned = PlannedTrial(f"bench/{task.id}", "bench", "bench", Stage.BASELINE, "bench", task.id, 0, 0)
            spec = spec_of(TrialStart(planned, 0, "none"), harness(task.solution), task, Config())
            async with at_once:
                end = await run_trial(machine, spec, task)
            said = "; ".join(end.flags) or (end.detail if not end.reward else "")
            print(f"{task.id}: {end.reward} {end.cause} {said}", flush=True)
            return end

        try:
            return await asyncio.gather(*map(one, tasks))
        finally:
            await provider.close()


def main() -> None:
    here = Path.cwd()
    tasks = [task for task in open_benchmark(sys.argv[1], here).load().tasks if task.solution and not task.parts]
    ends = asyncio.run(play(tasks[: int(sys.argv[2])] if len(sys.argv) > 2 else tasks))
    passed = [end for end in ends if end.reward]
    flagged = [end for end in passed if end.flags]
    print(f"{len(ends)} trials, {len(passed)} passed, {len(flagged)} of those flagged")
    raise SystemExit(bool(flagged))


if __name__ == "__main__":
    main()
