"""What a harness broke on and what errored: the most frequent words first, and the line of the harness that they come from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lorimer.meta_agent.study.heard import BREAKS
from lorimer.task_agent.causes import Cause
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import StepKind, TrialState
from lorimer.traces.tables import Trial
from lorimer.wording import count, quoted

_FRAME = re.compile(r'^  File "(?:[^"\n]*/)?agent\.py", line (\d+), in (\S+)', re.MULTILINE)
"""A line of a traceback that is the harness's own."""


@dataclass(frozen=True)
class Ending:
    """One cause by which trials broke or errored."""

    cause: str
    trials: int
    of: int
    words: str
    """What the most of them say."""
    alike: int
    """How many say it."""
    where: str
    """The line of the harness, of an exception; else ""."""
    trial: str
    """One that says it, for `lorimer traces show`."""

    def __str__(self) -> str:
        at = f" at {self.where}" if self.where else ""
        such = "" if self.alike == self.trials else f", {self.alike} of them"
        return f"{count(self.trials, 'trial')} of {self.of}{such}{at}: {quoted(self.words)}; `lorimer traces show {self.trial}`"


def endings_of(reader: StudyReader, trials: Sequence[Trial]) -> tuple[Ending, ...]:
    """What the harness broke on and what errored, the most frequent cause first."""
    said = [
        (trial, _where(reader, trial), trial.detail or trial.cause)
        for trial in trials
        if trial.cause in BREAKS or trial.state == TrialState.ERRORED
    ]
    found = []
    for cause, number in Counter(trial.cause for trial, _, _ in said).most_common():
        own = [(place, words) for trial, place, words in said if trial.cause == cause]
        (where, words), alike = Counter(own).most_common(1)[0]
        shown = next(trial for trial, *rest in said if trial.cause == cause and rest == [where, words])
        found.append(Ending(cause, number, len(trials), words, alike, where, shown.id))
    return tuple(found)


def _where(reader: StudyReader, trial: Trial) -> str:
    """The innermost line of agent.py in an exception's traceback; "" where there is none."""
    if trial.cause != Cause.HARNESS_EXCEPTION:
        return ""
    # A trial that broke at its end may have hundreds of long steps before.
    errors = reader.steps(trial.id, kind=StepKind.ERROR)
    frames = _FRAME.findall(str(errors[-1].data.get("text", ""))) if errors else []
    return f"agent.py line {frames[-1][0]}, in {frames[-1][1]}" if frames else ""


def told_of_breaks(whose: str, broken: int, endings: Sequence[Ending]) -> str:
    """Why a study stops when its harness breaks in every trial, in one line.

    Args:
        broken: in how many trials.
        endings: on what; at least once the harness broke.
    """
    most = next(ending for ending in endings if ending.cause in BREAKS)
    at = f" at {most.where}" if most.where else ""
    return (
        f"{whose} broke in {count(broken, 'trial')} of {broken}{at}, so its score says nothing of how it works: "
        f"{quoted(most.words)}; `lorimer traces show {most.trial}` shows one of them; mend it, commit it, and begin anew"
    )
