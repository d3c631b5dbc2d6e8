"""A candidate's spot-check in pairs: from its preview to the plan, from the plan to what runs, and back from the chain.

The plan is chained with its evaluation, before its first trial: which recorded trials are run again, in which order, after how
many of them the candidate may be killed, and by which numbers. A study that goes on reads it there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lorimer.meta_agent.gate.pairs import PairPlan, TouchedTrial, pair_plan
from lorimer.meta_agent.gate.plans import Luck
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.replay.chained import CHAINED, of_body, trials_of
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import candidate_id
from lorimer.meta_agent.state.trials import named_trials
from lorimer.meta_agent.state.world import World
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import PlannedTrial, Stage
from lorimer.traces.tables import Trial
from lorimer.traces.wired import Gap, Record

LEAST_CALLS = 2
"""What a pair is taken to cost at least, in mean calls of its recorded trial. Where an edit touches a trial at its very end, the
record holds nothing that comes after, and yet something does: a turn more, say. Its first call sends the whole conversation, so
it costs about twice a mean one. In demos a pair of an edit that asks for a check takes 2.4 calls."""


def planned_pairs(
    reader: StudyReader,
    world: World,
    candidate: CandidateView,
    *,
    weights: Mapping[str, int],
    repeats: int,
    alpha: float,
) -> PairPlan | None:
    """The pairs of a candidate, by its stored preview; `None` where it has none that tells enough.

    Args:
        weights: what a reward of each task counts in its full run.
        repeats: trials per task of that.
        alpha: the level of its test.
    """
    preview = reader.preview(candidate.id)
    if preview is None or preview.champion != world.champion_harness:
        return None
    told_of = {each.trial: each.touch for each in preview.trials if each.told}
    trials = [trial for _, trial in named_trials(reader, world.study, world.stood)]
    mean = sum(trial.tokens for trial in trials) / max(1, len(trials))
    told, touched = list[Result](), list[TouchedTrial]()
    for trial in trials:
        if trial.id not in told_of or trial.reward is None:
            continue
        told.append(Result(trial.task, trial.reward))
        touch = told_of[trial.id]
        if touch is not None and mean:
            touched.append(TouchedTrial(trial.id, trial.task, trial.reward, _left(trial, touch.tokens) / mean))
    luck = Luck(world.seed, candidate.number)
    known = [Result(trial.task, trial.reward) for trial in trials]
    untold = len(preview.trials) - len(told_of)
    parting = parted_share(world, candidate.number)
    return pair_plan(
        touched, told, untold, luck, standing=known, weights=weights, repeats=repeats, alpha=alpha, parting=parting
    )


def parted_share(world: World, number: int) -> float:
    """The share of the study's pairs before the round of candidate `number` that parted from their records; 0 without any.

    Those of its own round are left out: their trials may have been run before or after its plan is made. So are checks of a time
    when it was not counted.
    """
    before = (world.decided(candidate_id(world.study, each), Stage.SPOT) for each in range(1, world.round_of(number)))
    counted = [row.numbers for row in before if row is not None and "parted" in row.numbers]
    pairs, parted = (sum(int(numbers[key] or 0) for numbers in counted) for key in ("pairs", "parted"))
    return parted / pairs if pairs else 0.0


def touched_failures(reader: StudyReader, world: World, candidate: CandidateView) -> list[str]:
    """The tasks of the champion's failed trials that a candidate's edit touches, by its preview; none where it has none."""
    preview = reader.preview(candidate.id)
    if preview is None or preview.champion != world.champion_harness:
        return []
    return [each.task for each in preview.trials if each.touch is not None and not each.solved]


def _left(trial: Trial, before: int) -> float:
    """What a pair of this trial may cost, in tokens, where so many of its own come before the touch."""
    least = LEAST_CALLS * trial.tokens / max(1, trial.model_calls)
    return max(trial.tokens - before, min(trial.tokens, least))


def records_of(reader: StudyReader, plan: PairPlan, trials: Sequence[PlannedTrial]) -> dict[str, Record | Gap]:
    """The records of the recorded trials that these planned ones are paired with, by the planned trial's id."""
    recorded = {place: touch.trial for place, touch in zip(trials_of(plan), plan.order, strict=True)}
    paired = {planned.id: recorded[planned.task, planned.repeat] for planned in trials}
    found = reader.records(sorted(set(paired.values())))
    return {name: found[trial] for name, trial in paired.items()}


def parted_pairs(reader: StudyReader, evaluation: str, trials: Sequence[PlannedTrial]) -> list[bool]:
    """Whether each of these trials parted from its record, or had none, and so was run whole. It is read from the store alone, as
    what an attempt came to in an earlier process is known there."""
    whole = reader.ran_whole(evaluation)
    return [(planned.task, planned.repeat) in whole for planned in trials]


def stored_pairs(reader: StudyReader, study: str, evaluation: str) -> PairPlan | None:
    """The plan that was chained with an evaluation; `None` where it is no check in pairs."""
    entries = [row for row in reader.chain(study, CHAINED) if row.subject == evaluation]
    return of_body(entries[0].body) if entries else None
