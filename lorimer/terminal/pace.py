"""How long a stage and a study will still take, by how fast they went in this process. Pure but for the clock that is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lorimer.meta_agent.gate.scores import Score
from lorimer.meta_agent.state.trials import counted_score
from lorimer.task_agent.budget import Allowance
from lorimer.task_agent.outcome import TrialOutcome

TOKEN_SECONDS = 5
"""Seconds over which arriving tokens are counted: a server's pauses do not make the number jump, and its end is soon seen."""


@dataclass
class StagePace:
    """One stage's trials."""

    label: str
    planned: int
    finished: int
    began: float
    """The time by the caller's monotonic clock, as are all times here."""
    outcomes: list[TrialOutcome] = field(default_factory=list)
    """What people may see of it."""
    ran: int = 0
    """Trials since this process began the stage: what the time left is judged by."""

    @property
    def score(self) -> Score:
        """The score of those trials, with what of their calls was refused."""
        return counted_score(self.outcomes)

    def left(self, now: float) -> float | None:
        """Seconds until its end at this pace; `None` before its first trial."""
        if not self.ran:
            return None
        return (now - self.began) / self.ran * max(self.planned - self.finished, 0)


class TokenPace:
    """How many tokens of streamed answers arrive, over all trials, in the last seconds. One thread adds, another may read."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds: list[tuple[int, float]] = [(-TOKEN_SECONDS, 0.0)] * (TOKEN_SECONDS + 1)
        """The tokens of each second, in the place of its number's remainder: nothing grows with what arrives."""

    def add(self, tokens: float) -> None:
        """Count tokens that have just arrived."""
        now = int(self._clock())
        place = now % len(self._seconds)
        second, before = self._seconds[place]
        self._seconds[place] = (now, tokens + (before if second == now else 0.0))

    def each_second(self) -> float:
        """Tokens a second; 0 where none arrived lately."""
        now = int(self._clock())
        return sum(tokens for second, tokens in self._seconds if 0 <= now - second <= TOKEN_SECONDS) / TOKEN_SECONDS


@dataclass
class StudyPace:
    """The candidates and the budget of a study, since this process began it."""

    clock: Callable[[], float]
    began: float = field(init=False)
    number: int = 0
    """The number of the candidate under way; 0 before the first."""
    of: int | None = None
    """How many candidates the budget allows, where it bounds them."""
    tried: int = 0
    """Candidates that ended in this process."""
    first: float = 0.0
    last: float = 0.0
    """When the first candidate of this process began, and the one under way."""
    used: dict[str, float] = field(default_factory=dict)
    """What of each bound was used when this process began."""

    def __post_init__(self) -> None:
        self.began = self.clock()

    def candidate(self, number: int, of: int | None) -> None:
        """A candidate begins; the one before it, if any, has ended."""
        now = self.clock()
        if self.number == 0:
            self.first = now
        elif number != self.number:
            self.tried += 1
        self.number, self.of, self.last = number, of, now

    def left(self, bounds: Sequence[Allowance]) -> float | None:
        """Seconds until the first of the bounds is reached at this pace; `None` while nothing tells."""
        now = self.clock()
        found = []
        if self.of is not None and self.tried:
            each = (self.last - self.first) / self.tried
            found.append(each * (self.of - self.number) + max(0.0, each - (now - self.last)))
        for bound in bounds:
            used = bound.used - self.used.setdefault(bound.key, bound.used)
            if bound.key == "budget.hours":
                found.append(bound.left * 3600)
            elif used > 0 and now > self.began:
                found.append(bound.left / used * (now - self.began))
        return min(found, default=None)
