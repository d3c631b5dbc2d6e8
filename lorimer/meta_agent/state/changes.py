"""The train tasks on which candidates did better and worse than the champion that they met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lorimer.meta_agent.gate.permutation import TIE
from lorimer.meta_agent.gate.scores import mean_of
from lorimer.meta_agent.state.trials import rewards
from lorimer.meta_agent.state.world import World
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Stage
from lorimer.traces.tables import Candidate


@dataclass(frozen=True)
class Changes:
    """Train tasks whose mean reward changed, in the suite's order."""

    better: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()


def changes(reader: StudyReader, world: World, candidates: Iterable[Candidate], retries: int) -> dict[int, Changes]:
    """The changes of those of these candidates whose full run is decided, by number. All of their trials are read at once.

    Only trials that the gate read count: what finished beyond an early stop depends on timing.
    """
    mine, theirs, runs = arms(reader, world, candidates)
    found = rewards(reader, runs, retries)
    # Many candidates meet the same trials of a champion.
    standing = {names: _means([found[name] for name in names]) for names in set(theirs.values())}
    return {number: _changes(world, _means([found[mine[number]]]), standing[theirs[number]]) for number in mine}


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


def _changes(world: World, mine: Mapping[str, float], theirs: Mapping[str, float]) -> Changes:
    both = [task for task in world.train if task in mine and task in theirs]
    return Changes(
        tuple(task for task in both if mine[task] > theirs[task] + TIE),
        tuple(task for task in both if mine[task] < theirs[task] - TIE),
    )
