"""What `lorimer run` found: a line for each task, and what broke or errored, with where to look."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lorimer.meta_agent.ledger.trust import Trust, trust
from lorimer.meta_agent.state.names import About, evaluation_id
from lorimer.meta_agent.state.result import StudyResult
from lorimer.meta_agent.study.endings import Ending, endings_of
from lorimer.meta_agent.study.heard import BREAKS
from lorimer.meta_agent.workspace.caching import CacheUse, cache_use
from lorimer.task_agent.output import last_line
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Stage
from lorimer.traces.tables import Trial

_LACKS = re.compile(
    r"no module named|modulenotfounderror|command not found|: not found\b|permission denied", re.IGNORECASE
)
"""What a program says that cannot start, or that lacks what it needs."""


@dataclass(frozen=True)
class RunReport:
    """What `lorimer run` found."""

    result: StudyResult
    tasks: Sequence[TaskLine]
    cost_usd: float | None
    tokens: int
    seconds: float
    cache: CacheUse
    """What was read from the provider's cache, and what was lost there."""
    trust: Trust
    """What speaks against the results."""
    endings: tuple[Ending, ...]
    """What the harness broke on, and what errored."""
    lacking: str
    """What the verifiers of all tasks say that they lack, where no trial has any reward; else ""."""


@dataclass(frozen=True)
class TaskLine:
    """One task of a run: its mean reward over its scored trials, and what to look at."""

    task: str
    reward: float | None
    trials: int
    causes: str
    trial: str
    """The id of the last trial, for `lorimer traces show`."""


def report_of(reader: StudyReader, result: StudyResult, seconds: float) -> RunReport:
    """What a run came to, read from the store."""
    lines = []
    trials = reader.outcomes(evaluation_id(result.study, About("", Stage.BASELINE)))
    for task in dict.fromkeys(trial.task for trial in trials):
        own = [trial for trial in trials if trial.task == task]
        rewards = [trial.reward for trial in own if trial.reward is not None]
        causes = ", ".join(sorted({trial.cause for trial in own}))
        mean = sum(rewards) / len(rewards) if rewards else None
        lines.append(TaskLine(task, mean, len(own), causes, own[-1].id))
    spent = reader.spent(result.study)
    cache = cache_use(reader.study(result.study), spent, reader.cache_breaks)
    return RunReport(
        result=result,
        tasks=lines,
        cost_usd=spent.usd,
        tokens=spent.tokens,
        seconds=seconds,
        cache=cache,
        trust=trust(reader, result.study),
        endings=endings_of(reader, trials),
        lacking=lacking(trials),
    )


def lacking(trials: Sequence[Trial]) -> str:
    """What the verifiers of all tasks say that they lack, where no trial has any reward; else "".

    A verifier that lacks a package may write a reward of 0 all the same, which looks like the agent's.
    """
    scored = [trial for trial in trials if trial.reward is not None]
    if len({trial.task for trial in scored}) < 2 or any(trial.reward or trial.cause in BREAKS for trial in scored):
        return ""
    words = {last_line(trial.verifier_output) for trial in scored}
    said = words.pop() if len(words) == 1 else ""
    return said if _LACKS.search(said) else ""
