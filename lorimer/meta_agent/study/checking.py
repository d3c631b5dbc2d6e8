"""Checking a benchmark: its solution must score 1 and doing nothing 0, before any score is trusted."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lorimer.benchmarks.base import ISOLATIONS, Isolation, Suite
from lorimer.config.settings import Config
from lorimer.errors import LorimerError, UserError
from lorimer.meta_agent.workspace.parts import create
from lorimer.meta_agent.workspace.session import Session, next_name, open_session
from lorimer.meta_agent.workspace.watching import Watcher, tell_problems, tellers
from lorimer.task_agent.check import CheckResult, check_tasks, problem, worst
from lorimer.task_agent.limits import Budget
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import TrialState
from lorimer.traces.tables import Trial
from lorimer.traces.writing.holder import this_process


async def check(
    root: Path, config: Config, watcher: Watcher, only: tuple[str, ...] = (), repeats: int = 1
) -> list[CheckResult]:
    """Run oracle and nop on the configured benchmark's tasks; every trial is kept as a study of kind `check`.

    Args:
        repeats: trials of each per task, to find verifiers that do not always say the same.

    Raises ConfigError, PrerequisiteError, SandboxError.
    """
    async with open_session(root, config, models=False, watcher=watcher) as session:
        suite = session.load_suite(only)
        tell_problems(suite, watcher)
        return await run_check(session, suite, watcher, repeats)


async def run_check(session: Session, suite: Suite, watcher: Watcher, repeats: int = 1) -> list[CheckResult]:
    study = next_name(session.reader, "check")
    config = session.config.model_copy(update={"budget": session.config.budget.model_copy(update={"trials": None})})
    await create(session.store, study=study, kind="check", suite=suite, holdout=(), config=config, harness="")
    budget = Budget(study, config.budget, session.store)
    on_trial, on_image = tellers(watcher)
    holder = this_process()
    await session.store.claim(study, holder)
    try:
        await session.store.set_study_state(study, "running")
        found = await check_tasks(
            lambda tasks: session.scheduler(tasks, budget, on_trial, on_image), study, suite.tasks, repeats
        )
        bad = sum(bool(result.problem) for result in found)
        await session.store.set_study_state(study, "finished", f"{len(found) - bad} of {len(found)} tasks are valid")
        return found
    except BaseException as error:
        why = "by the user" if isinstance(error, asyncio.CancelledError) else f"by an error: {error}"
        with suppress(LorimerError):  # a store that cannot be written is the error already on its way
            # Nothing goes on with a check: the next one begins with the tasks of which nothing is known.
            await session.store.set_study_state(study, "finished", f"stopped before its end {why}")
        raise
    finally:
        with suppress(LorimerError):
            await session.store.release(study, holder)


async def valid(session: Session, suite: Suite, watcher: Watcher) -> Suite:
    """The suite's tasks that can be scored, each under the isolation that it needs. Checks what never was.

    The starter benchmark is checked where it is made.
    """
    if session.config.benchmark.source == "starter" or not session.config.benchmark.check:
        return suite
    wanted = session.config.benchmark.isolation
    scaled = frozenset(task.digest for task in suite.tasks if task.is_scaled)
    known = checked(session.reader, ISOLATIONS if wanted == "task" else (wanted,), scaled)
    unknown = [task for task in suite.tasks if task.digest not in known]
    if unknown:
        watcher.say(
            f"checking {len(unknown)} tasks that were never checked: their solution must score 1, doing nothing 0"
        )
        for result in await run_check(session, dataclasses.replace(suite, tasks=tuple(unknown)), watcher):
            known[result.digest] = Checked(result.isolation, result.problem)
    for task in suite.tasks:
        if known[task.digest].problem:
            watcher.say(f"left out: task {task.id}: {known[task.digest].problem}")
    tasks = tuple(
        dataclasses.replace(task, isolation=known[task.digest].isolation)
        for task in suite.tasks
        if not known[task.digest].problem
    )
    if not tasks:
        raise UserError(
            f"{suite.name}: none of its tasks can be scored, each for the reason above; mend them (`lorimer benchmarks check` "
            "tries again), or run them unchecked: --set benchmark.check=false"
        )
    return dataclasses.replace(suite, tasks=tasks)


@dataclass(frozen=True)
class Checked:
    """What is known of a task from an earlier check."""

    isolation: Isolation
    problem: str


def checked(
    reader: StudyReader, isolations: Sequence[Isolation] = ISOLATIONS, scaled: frozenset[str] = frozenset()
) -> dict[str, Checked]:
    """What earlier checks under one of `isolations` found, by task digest. A task whose check errored counts as never checked.

    Args:
        scaled: digests of the tasks whose rewards are read on a scale.
    """
    found: dict[str, Checked] = {}
    for study in reader.studies():
        if study.kind != "check":
            continue
        tasks = reader.tasks(study.id)
        for isolation in isolations:
            rows: dict[tuple[str, str], list[Trial]] = {}
            for row in reader.trials(evaluation=f"{study.id}/{isolation}", limit=None):
                rows.setdefault((row.harness, row.task), []).append(row)
            for task in tasks:
                nops, oracles = rows.get(("nop", task.id), []), rows.get(("oracle", task.id), [])
                on_scale = task.digest in scaled
                nop, oracle = worst("nop", _scored(nops)), worst("oracle", _scored(oracles), scaled=on_scale)
                known = found.get(task.digest)
                if oracle is None and oracles:
                    continue  # it has a solution, and nothing is known of that
                if nop is not None and (known is None or known.problem):
                    found[task.digest] = Checked(isolation, problem(oracle, nop, scaled=on_scale))
    return found


def _scored(rows: Iterable[Trial]) -> list[Trial]:
    return [row for row in rows if row.state == TrialState.SCORED]
