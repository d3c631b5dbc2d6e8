"""Evaluations as the store has them, read many at a time, for whoever looks at a whole study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from lorimer.meta_agent.gate.statistics.scores import Result, Shared
from lorimer.meta_agent.state.trials import by_task, settled_rewards
from lorimer.traces.base import StudyReader


@dataclass(frozen=True)
class StoredRun:
    """An evaluation as far as its trials have settled, without their costs."""

    plan: Sequence[tuple[str, int]]
    """Task and repeat of each trial, in planned order."""
    rewards: Mapping[tuple[str, int], float | None]
    """The settled trials' rewards in planned order; `None` where a trial errored."""

    @property
    def settled(self) -> list[Result]:
        """The settled trials as the gate reads them, in planned order."""
        return self.results(self.rewards)

    def prefix(self, repeats: int) -> list[tuple[str, int]]:
        """The longest finished prefix of the plan, of the first `repeats` trials per task."""
        finished = list(takewhile(self.rewards.__contains__, self.plan))
        if all(repeat < repeats for _, repeat in finished):
            return finished
        found, seen = list[tuple[str, int]](), Counter[str]()
        for trial in finished:
            if seen[trial[0]] < repeats:
                found.append(trial)
            seen[trial[0]] += 1
        return found

    def results(self, trials: Iterable[tuple[str, int]]) -> list[Result]:
        """Settled trials as the gate reads them."""
        rewards = self.rewards
        return [Result(trial[0], rewards[trial]) for trial in trials]


class StoredRuns:
    """Evaluations of a study, read many at a time and kept, for whoever looks at a whole study.

    Args:
        ahead: evaluations that will be asked for, in that order. With one of them, those that follow it are read.
    """

    MANY = 100
    """Evaluations that are read at a time: a question costs as much as reading some 500 trials, and what is read takes memory."""

    def __init__(self, reader: StudyReader, retries: int, ahead: Sequence[str] = ()) -> None:
        self._reader, self._retries = reader, retries
        self._ahead, self._places = ahead, {name: place for place, name in enumerate(ahead)}
        self._known: dict[str, StoredRun | None] = {}
        self._trials: dict[tuple[str, int], tuple[str, int]] = {}
        self._standing: tuple[tuple[str, ...], Shared] | None = None

    def run(self, evaluation: str) -> StoredRun | None:
        """An evaluation; `None` where it was never planned."""
        if evaluation not in self._known:
            place = self._places.get(evaluation)
            following = [evaluation] if place is None else self._ahead[place : place + self.MANY]
            self._read([name for name in following if name not in self._known])
        return self._known[evaluation]

    def standing(self, evaluations: Sequence[str]) -> Shared:
        """The settled trials of several evaluations, one after another; prepared once for candidates in a row that met them."""
        names = tuple(evaluations)
        if self._standing is None or self._standing[0] != names:
            runs = [run for run in map(self.run, names) if run is not None]
            self._standing = names, Shared(trial for run in runs for trial in run.settled)
        return self._standing[1]

    def rewards(self, runs: Mapping[str, int | None]) -> dict[str, dict[str, list[float]]]:
        """What `trials.rewards` gives of them."""
        found: dict[str, dict[str, list[float]]] = {}
        for name, read in runs.items():
            run = self.run(name)
            found[name] = {} if run is None else by_task(dict(islice(run.rewards.items(), read)))
        return found

    def _read(self, evaluations: Sequence[str]) -> None:
        rewards = settled_rewards(self._reader, evaluations, self._retries)
        plans = self._reader.plans(evaluations)
        for name in evaluations:
            # The same trials are planned again and again: each pair of task and repeat is kept once.
            plan = [self._trials.setdefault(trial, trial) for trial in plans.get(name, ())]
            settled = rewards[name]
            own = {trial: settled[trial] for trial in plan if trial in settled}
            self._known[name] = StoredRun(plan, own) if name in plans else None
