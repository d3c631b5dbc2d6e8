"""The train tasks on which candidates did better and worse than the champion that they met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lorimer.meta_agent.gate.statistics.permutation import TIE
from lorimer.meta_agent.gate.statistics.scores import mean_of
from lorimer.meta_agent.state.trials import TrialRewards, by_task, read_trials
from lorimer.meta_agent.state.world import World
from lorimer.traces.base import StudyReader
from lorimer.traces.effects import TaskChanges
from lorimer.traces.schema import Stage
from lorimer.traces.tables import Candidate


@dataclass(frozen=True)
class FullRuns:
    """The full runs of candidates that are decided, each by the candidate's number, and what the gate read of them.

    What finished beyond an early stop is left out: it depends on timing.
    """

    own: Mapping[int, str]
    """The candidate's evaluation."""
    met: Mapping[int, tuple[str, ...]]
    """Those of the champion that it met."""
    read: Mapping[str, TrialRewards]
    """The trials of each of these evaluations that the gate read."""


def full_runs(reader: StudyReader, world: World, candidates: Iterable[Candidate], retries: int) -> FullRuns:
    """Read those of these candidates, all at once."""
    own, met, runs = arms(reader, world, candidates)
    return FullRuns(own, met, read_trials(reader, runs, retries))


def changes(world: World, runs: FullRuns) -> dict[int, TaskChanges]:
    """The changes of these candidates, by number."""
    # Many candidates meet the same trials of a champion.
    standing = {names: _means([by_task(runs.read[name]) for name in names]) for names in set(runs.met.values())}
    return {
        number: _changes(world, _means([by_task(runs.read[name])]), standing[runs.met[number]])
        for number, name in runs.own.items()
    }


def arms(
    reader: StudyReader, world: World, candidates: Iterable[Candidate]
) -> tuple[dict[int, str], dict[int, tuple[str, ...]], dict[str, int | None]]:
    """The arms of those of these candidates whose full run is decided, by number: its evaluation, those of the champion that it
    met, and how many settled trials of each evaluation's plan the gate read (`trials.read_trials`).
    """
    stored = reader.evaluation_ids(world.study)
    mine: dict[int, str] = {}
    theirs: dict[int, tuple[str, ...]] = {}
    runs: dict[str, int | None] = {}
    for candidate in candidates:
        decision = world.decided(candidate.id, Stage.FULL)
        if decision is None:
            continue
        number, side = candidate.number, world.beside(candidate.number, Stage.FULL)
        stood = (side,) if side in stored else world.stood_at(world.champion_before(number), number)
        mine[number], theirs[number] = decision.id, stood
        runs[decision.id] = int(decision.numbers.get("run") or 0)
        runs |= dict.fromkeys(stood, decision.numbers.get("champion_run"))
    return mine, theirs, runs


def _means(runs: Sequence[Mapping[str, list[float]]]) -> dict[str, float]:
    """Each task's mean reward over all of these runs."""
    tasks = {task for run in runs for task in run}
    return {task: mean_of([reward for run in runs for reward in run.get(task, ())]) for task in tasks}


def _changes(world: World, mine: Mapping[str, float], theirs: Mapping[str, float]) -> TaskChanges:
    both = [task for task in world.train if task in mine and task in theirs]
    return TaskChanges(
        tuple(task for task in both if mine[task] > theirs[task] + TIE),
        tuple(task for task in both if mine[task] < theirs[task] - TIE),
    )
