"""Trials that wait for a place: which one begins next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count
from math import inf

from lorimer.traces.schema import PlannedTrial, TrialEnd, TrialState


class Durations:
    """How long a trial of each task takes, by the scored trials that were seen of it, whatever their harness."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, int]] = {}

    def learn(self, task: str, end: TrialEnd) -> None:
        """Take in an attempt at a task's trial. One that errored or was cancelled does not say how long a whole one takes."""
        if end.state is TrialState.SCORED:
            seconds, trials = self._seen.get(task, (0.0, 0))
            self._seen[task] = seconds + end.seconds, trials + 1

    def known(self, task: str) -> bool:
        """Whether a scored trial of the task was seen."""
        return task in self._seen

    def expected(self, task: str) -> float:
        """Seconds, by the mean; infinite of a task that is not known, which may take the longest of all."""
        seconds, trials = self._seen.get(task, (inf, 1))
        return seconds / trials


class Waiting:
    """Trials in the order of their plan, or in rounds whose longest trials begin first.

    A round has each task once (of each harness, where there are several), and begins when no trial of an earlier one waits. Its
    order is that of the longest processing time (R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969), by
    which it ends at most a third later than by the best order there is. In an order that ignores how long trials
    take it can end nearly twice as late: one long trial that begins last keeps every other place idle.

    Args:
        settled: ids of those trials of the plan that are not to be run.
    """

    def __init__(
        self, plan: Sequence[PlannedTrial], settled: Iterable[str], durations: Durations, *, in_rounds: bool
    ) -> None:
        self._durations = durations
        done, rounds = set(settled), dict[int, list[PlannedTrial]]()
        times: dict[tuple[str, str, str], count[int]] = {}
        for place, planned in enumerate(plan):
            time = next(times.setdefault((planned.evaluation, planned.harness, planned.task), count()))
            if planned.id not in done:
                rounds.setdefault(time if in_rounds else place, []).append(planned)
        self._rounds = deque(rounds[each] for each in sorted(rounds))

    def __bool__(self) -> bool:
        return bool(self._rounds)

    def take(self) -> PlannedTrial:
        """The one that begins next. Raises IndexError where none waits."""
        current = self._rounds[0]
        chosen = max(current, key=lambda planned: self._durations.expected(planned.task))
        current.remove(chosen)
        if not current:
            self._rounds.popleft()
        return chosen
