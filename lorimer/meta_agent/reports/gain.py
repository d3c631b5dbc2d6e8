"""What the gain of a study's champion over its seed harness is made of, from the trials that are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lorimer.kinds import Refused
from lorimer.meta_agent.gate.reported.made_of import HarnessTrials, MadeOf, TaskTrials, made_of
from lorimer.meta_agent.state.sealed import told
from lorimer.meta_agent.state.world import World
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.bulk import ScoredTrial
from lorimer.traces.schema import Purpose, TrialState
from lorimer.traces.tables import DecisionRow, StudyRow

SEALED = "told when the study has finished, as people may steer by it before"
"""Why nothing is said of the sealed tasks while a study goes on (docs/decisions.md)."""


def gain_of(reader: StudyReader, world: World, row: StudyRow) -> MadeOf | None:
    """What the gain of the study's champion is made of; `None` of a study that tries no candidates.

    On the train tasks it rests on the trials that `World.reported_of` is the score of. The sealed tasks' trials are not even read
    while the study can go on by itself.
    """
    if row.kind != "optimize":
        return None
    champion, reported = world.champion, world.reported
    if champion is None:
        return MadeOf(untold="no candidate was promoted, so the champion is the seed harness")
    if reported is None or world.reported_of("") is None:
        return MadeOf(untold="the champion or the seed harness was not measured to the end")
    train = [_trials(reader, world.train, world.reported_by(subject)) for subject in ("", champion.id)]
    sealed, unsealed = None, ""
    if not world.holdout:
        unsealed = "cannot be told: no task is sealed"
    elif not told(row):
        unsealed = SEALED
    else:
        seed, mine = (_trials(reader, world.holdout, [name]) for name in world.sealed_by)
        sealed = seed, mine
    return made_of(train[0], train[1], sealed, unsealed=unsealed, decided_nothing=_decided_nothing(world, reported))


def _decided_nothing(world: World, reported: DecisionRow) -> bool:
    """Whether nothing has been decided by the trials of a score so far: a resumed study may try more candidates by them."""
    return reported.purpose == Purpose.FINAL and reported.met == world.next_number


def _trials(reader: StudyReader, tasks: Iterable[str], evaluations: Sequence[str]) -> HarnessTrials:
    scored = {(each.evaluation, each.task, each.repeat): each for each in reader.scored_trials(evaluations)}
    ended = reader.unscored(evaluations)
    errored = {(each.evaluation, each.task, each.repeat) for each in ended if each.state == TrialState.ERRORED}
    by_task: dict[str, list[ScoredTrial]] = {}
    for trial in scored.values():
        by_task.setdefault(trial.task, []).append(trial)
    return HarnessTrials(
        {task: _task(by_task[task]) for task in tasks if task in by_task},
        errored=len(errored - scored.keys()),
        refused=Refused(sum(each.refused for each in scored.values()), sum(each.calls for each in scored.values())),
    )


def _task(trials: Sequence[ScoredTrial]) -> TaskTrials:
    # A provider that does not count leaves 0 tokens for calls that it answered.
    known = all(each.tokens > 0 or each.calls <= each.refused for each in trials)
    tokens = sum(each.tokens for each in trials) / len(trials) if known else None
    return TaskTrials(tuple(each.reward for each in trials), tokens)
