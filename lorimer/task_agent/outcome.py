"""How a planned trial came out: when its attempts settle it, and when it needs another one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lorimer.task_agent.causes import FINAL, SAYS_NOTHING, SUSPECT
from lorimer.traces.schema import NOT_SAVED, NOTHING, PlannedTrial, Saved, TrialEnd, TrialState, Used

SUSPECT_ATTEMPTS = 2
"""A verifier that fails after the agent acted is tried once more from the start, then judged (DESIGN 4.3)."""


@dataclass(frozen=True)
class TrialOutcome:
    """How a planned trial came out, all attempts told."""

    planned: PlannedTrial
    state: TrialState
    reward: float | None
    cause: str
    detail: str = ""
    used: Used = NOTHING
    """What all attempts that tell something have used."""
    seconds: float = 0.0
    attempts: int = 1
    saved: Saved = NOT_SAVED
    """What a record answered in the attempt that scored."""


class Ended(Protocol):
    """An attempt that has ended: a `TrialEnd`, or what the store tells of it."""

    @property
    def state(self) -> str: ...
    @property
    def cause(self) -> str: ...


EndedT = TypeVar("EndedT", bound=Ended)


def is_settled(ends: Sequence[Ended], retries: int) -> bool:
    """Whether a planned trial whose attempts ended so needs no other one."""
    telling = telling_of(ends)
    if not telling:
        return False
    last = telling[-1]
    if last.state == TrialState.SCORED or last.cause in FINAL:
        return True
    suspects = suspect_count(telling)
    if last.cause in SUSPECT:
        return suspects >= SUSPECT_ATTEMPTS
    return len(telling) - suspects > retries


def outcome_of(planned: PlannedTrial, ends: Sequence[TrialEnd], retries: int) -> TrialOutcome | None:
    """The outcome of a planned trial, or `None` where it needs (another) attempt."""
    if not is_settled(ends, retries):
        return None
    telling = telling_of(ends)
    last = telling[-1]
    return TrialOutcome(
        planned=planned,
        state=last.state,
        reward=last.reward,
        cause=last.cause,
        detail=last.detail,
        used=last.used if len(telling) == 1 else sum((each.used for each in telling), start=NOTHING),
        seconds=sum(each.seconds for each in telling),
        attempts=len(ends),
        saved=Saved.of(last.replayed if last.state == TrialState.SCORED else None),
    )


def suspect_count(ends: Sequence[Ended]) -> int:
    """Attempts without a usable reward for which the agent may be to blame."""
    return sum(each.cause in SUSPECT for each in ends)


def telling_of(ends: Sequence[EndedT]) -> list[EndedT]:
    """The attempts that say something of the trial.

    Cancelled attempts, outages of provider or engine and those that parted from a record say nothing of the trial, use up no
    retry, and are no part of what it cost: that must not depend on how often the study was stopped. A scored attempt that
    another one follows was taken back: every call of it was refused, and the study was stopped for that (`study.heard`).
    """
    telling = [each for each in ends if each.state != TrialState.CANCELLED and each.cause not in SAYS_NOTHING]
    return [each for each in telling if each.state != TrialState.SCORED or each is ends[-1]]
