"""Evaluations as the store has them, read many at a time, for whoever looks at a whole study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lorimer.meta_agent.gate.statistics.scores import Result, Shared
from lorimer.meta_agent.state.trials import settled_rewards
from lorimer.traces.base import StudyReader


@dataclass(frozen=True)
class StoredRun:
    """An evaluation as far as its trials have settled, without their costs."""

    plan: Sequence[tuple[str, int]]
    """Task and repeat of each trial, in planned order."""
    rewards: Mapping[tuple[str, int], float | None]
    """The settled trials' rewards; `None` where a trial errored."""

    @property
    def settled_trials(self) -> list[tuple[str, int]]:
        """The settled trials in planned order."""
        return [trial for trial in self.plan if trial in self.rewards]

    def prefix(self, repeats: int) -> list[tuple[str, int]]:
        """The longest finished prefix of the plan, of the first `repeats` trials per task."""
        found, seen = list[tuple[str, int]](), Counter[str]()
        for trial in self.plan:
            if trial not in self.rewards:
                break
            if seen[trial[0]] < repeats:
                found.append(trial)
            seen[trial[0]] += 1
        return found

    def results(self, trials: Iterable[tuple[str, int]]) -> list[Result]:
        """Settled trials as the gate reads them."""
        return [Result(trial[0], self.rewards[trial]) for trial in trials]


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
            self._standing = names, Shared(trial for run in runs for trial in run.results(run.settled_trials))
        return self._standing[1]

    def rewards(self, runs: Mapping[str, int | None]) -> dict[str, dict[str, list[float]]]:
        """What `trials.rewards` gives of them."""
        found: dict[str, dict[str, list[float]]] = {}
        for name, read in runs.items():
            own = found[name] = dict[str, list[float]]()
            run = self.run(name)
            for trial in run.settled_trials[:read] if run is not None else []:
                reward = run.rewards[trial] if run is not None else None
                if reward is not None:
                    own.setdefault(trial[0], []).append(reward)
        return found

    def _read(self, evaluations: Sequence[str]) -> None:
        rewards = settled_rewards(self._reader, evaluations, self._retries)
        plans = self._reader.plans(evaluations)
        for name in evaluations:
            # The same trials are planned again and again: each pair of task and repeat is kept once.
            plan = [self._trials.setdefault(trial, trial) for trial in plans.get(name, ())]
            own = {self._trials.setdefault(trial, trial): reward for trial, reward in rewards[name].items()}
            self._known[name] = StoredRun(plan, own) if name in plans else None
