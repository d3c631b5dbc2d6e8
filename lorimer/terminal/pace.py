"""How long a stage and a study will still take, by how fast they went in this process. Pure but for the clock that is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.state.trials import counted_score
from lorimer.task_agent.budget import Allowance
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.traces.schema import Stage

TOKEN_SECONDS = 5
"""Seconds over which arriving tokens are counted: a server's pauses do not make the number jump, and its end is soon seen."""


@dataclass
class StagePace:
    """One stage's trials."""

    label: str
    """What it is called where it runs alone."""
    stage: Stage
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
        """Tokens per second; 0 where none arrived lately."""
        now = int(self._clock())
        return sum(tokens for second, tokens in self._seconds if 0 <= now - second <= TOKEN_SECONDS) / TOKEN_SECONDS


@dataclass
class StudyPace:
    """The candidates and the budget of a study, since this process began it."""

    clock: Callable[[], float]
    began: float = field(init=False)
    number: int = 0
    """The number of the candidate under way, the last one of its round; 0 before the first."""
    of: int | None = None
    """How many candidates the budget allows, where it bounds them."""
    round: int = 0
    """The number of the first candidate of the round under way."""
    tried: int = 0
    """Candidates of the rounds that ended in this process."""
    first: float = 0.0
    last: float = 0.0
    """When the first round of this process began, and the one under way."""
    used: dict[str, float] = field(default_factory=dict)
    """What of each bound was used when this process began."""

    def __post_init__(self) -> None:
        self.began = self.clock()

    def candidate(self, number: int, of: int | None, round: int | None = None) -> None:
        """A candidate begins, at once with the others of its round; what was before that has ended."""
        first = number if round is None else round
        if first != self.round:
            now = self.clock()
            if self.number:
                self.tried += first - self.round
            else:
                self.first = now
            self.round, self.last = first, now
        self.number, self.of = number, of

    def left(self, bounds: Sequence[Allowance]) -> float | None:
        """Seconds until the first of the bounds is reached at this pace; `None` while nothing tells."""
        now = self.clock()
        found = []
        if self.of is not None and self.tried:
            each = (self.last - self.first) / self.tried
            under_way = each * (self.number - self.round + 1) - (now - self.last)
            found.append(each * (self.of - self.number) + max(0.0, under_way))
        for bound in bounds:
            used = bound.used - self.used.setdefault(bound.key, bound.used)
            if bound.key == "budget.hours":
                found.append(bound.left * 3600)
            elif used > 0 and now > self.began:
                found.append(bound.left / used * (now - self.began))
        return min(found, default=None)


@dataclass
class StagesUnderWay:
    """The stages under way: of a round several at once."""

    running: dict[str, StagePace] = field(default_factory=dict)
    """The stages under way by evaluation, in the order in which they began."""

    def of(self, outcome: TrialOutcome) -> StagePace | None:
        """The stage that a trial belongs to. One that was run side by side with a candidate's is of an evaluation of its own, and
        counts for the latest."""
        latest = next(reversed(self.running.values()), None)
        return self.running.get(outcome.planned.evaluation, latest)

    @property
    def label(self) -> str:
        """`c003 full`, or `2 x full` where two candidates are at it."""
        stages = list(self.running.values())
        return stages[0].label if len(stages) == 1 else f"{len(stages)} x {stages[0].stage}"

    @property
    def planned(self) -> int:
        return sum(each.planned for each in self.running.values())

    @property
    def finished(self) -> int:
        return sum(each.finished for each in self.running.values())

    def left(self, now: float) -> float | None:
        """Seconds until the end of all at their pace; `None` before their first trial."""
        times = [left for each in self.running.values() if (left := each.left(now)) is not None]
        return max(times, default=None)
