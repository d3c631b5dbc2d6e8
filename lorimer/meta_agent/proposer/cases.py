"""The champion's trials on the train split, as a model reads them.

A trial is a case, named `<task>/<number>`. Cases are values, made by whoever runs the study; what happened in one is asked for
by its name, and nothing that has no such name can be asked for. What is shown holds no time, no duration, no id of the store,
no order of completion, and nothing that the verifier said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorimer.harness.api import Completion, Message
from lorimer.kinds import SOLVED, StepKind
from lorimer.task_agent.causes import SUSPECT, Cause
from lorimer.traces.schema import StepOutline

ENDED = {
    Cause.FINISHED: "the harness returned, but the result is wrong",
    Cause.HARNESS_EXCEPTION: "the harness raised an exception",
    Cause.BAD_RETURN: "`solve` did not return a string",
    Cause.LIMIT_CALLS: "the limit of model calls was reached",
    Cause.LIMIT_TOKENS: "the limit of tokens was reached",
    Cause.LIMIT_DOLLARS: "the limit of dollars was reached",
    Cause.LIMIT_SECONDS: "the time limit was reached",
    Cause.PROTOCOL_BREACH: "the harness broke the protocol",
    Cause.JAIL_MEMORY: "the harness used too much memory",
    Cause.JAIL_DIED: "the harness's process died",
}
UNVERIFIABLE = "what the agent left could not be verified"

OWN_WORDS = frozenset({Cause.HARNESS_EXCEPTION, Cause.BAD_RETURN, Cause.PROTOCOL_BREACH})
"""Causes whose detail comes from the harness's own process; that of others may quote what a verifier wrote."""


@dataclass(frozen=True)
class Case:
    """One finished, scored trial under the name that the model sees."""

    name: str
    task: str
    reward: float
    cause: Cause
    detail: str
    """More of how it ended, of `OWN_WORDS` alone."""
    answer: str
    """What `solve` returned."""
    model_calls: int
    tokens: int = 0
    """Input plus output of its model calls."""
    usd: float | None = None
    """What these cost; `None` where a price is unknown."""

    @property
    def solved(self) -> bool:
        return self.reward >= SOLVED

    @property
    def ending(self) -> str:
        """Why it ended, in words; the verifier's are left out."""
        if self.solved:
            return "solved"
        words = UNVERIFIABLE if self.cause in SUSPECT else ENDED.get(self.cause, UNVERIFIABLE)
        return f"{words}: {one_line(self.detail, 200)}" if self.detail else words


@dataclass(frozen=True)
class CaseCall:
    """One model call of a case, without the conversation that was there before it."""

    begins: bool
    """Whether there was none."""
    system: str
    messages: tuple[Message, ...]
    completion: Completion


@dataclass(frozen=True)
class CaseStep:
    """One step of a case."""

    index: int
    kind: StepKind
    data: Mapping[str, Any]
    """The step's data, as in `StepData` of the traces; empty for a model call."""
    call: CaseCall | None = None
    """What was asked and answered; of a model call alone."""


@dataclass(frozen=True)
class CasePlace:
    """Where a step of a case is."""

    case: str
    index: int
    kind: StepKind


@dataclass(frozen=True)
class Recorded:
    """What happened in the cases that it was made for, by their names. Raises KeyError for any other name.

    The verdict's steps are not among a case's.
    """

    steps: Callable[[str, int, int], Sequence[CaseStep]]
    """A case's steps from a first to a last index, both included, in order."""
    outlines: Callable[[Sequence[str]], Mapping[str, Sequence[StepOutline]]]
    """A few facts of each step of these cases, in order."""
    find: Callable[[str], Sequence[CasePlace]]
    """The steps of the cases that match any text, by case in their order and by step."""
    snippets: Callable[[str, Sequence[CasePlace]], Sequence[str]]
    """The words around the match at each of these steps, which is in [brackets]."""


class Cases:
    """The champion's cases.

    Args:
        tasks: the ids of the train tasks.
        cases: in the order in which they are listed.
        recorded: what happened in them.
    """

    def __init__(self, tasks: Sequence[str], cases: Sequence[Case], recorded: Recorded) -> None:
        self.tasks, self.cases = tuple(tasks), tuple(cases)
        self.recorded = recorded

    @property
    def failures(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if not case.solved)

    def find(self, name: str) -> Case | None:
        """A case by its name; `task#0` is understood too."""
        wanted = name.strip().strip("`'\"").replace("#", "/")
        return next((case for case in self.cases if case.name == wanted), None)

    def of_task(self, task: str) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.task == task)


CUT_MARK_CHARS = 50
"""The line that says how much was left out of a text that was cut."""


def cut(text: str, room: int) -> str:
    """Both ends of a text that is longer than `room` characters, `room` in all, with the number left out said between them in
    at most `CUT_MARK_CHARS` more.
    """
    if len(text) <= room:
        return text
    mark = f"\n[… {len(text) - room} characters left out …]\n"
    head = room * 2 // 3
    return text[:head] + mark + text[len(text) - (room - head) :]


def one_line(text: str, room: int) -> str:
    """A text without line breaks, at most `room` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= room else flat[: room - 1] + "…"
