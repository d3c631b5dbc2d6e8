"""The trials of a study as the store has them: planned, attempted, settled, standing, earlier, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from lorimer.kinds import Refused, TrialState
from lorimer.meta_agent.gate.cost import Paid, Unit
from lorimer.meta_agent.gate.statistics.scores import Result, Score, score
from lorimer.meta_agent.gate.statistics.weights import EarlierTrials, Rates
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.world import World
from lorimer.task_agent.outcome import Ended, TrialOutcome, is_settled, outcome_of, telling_of
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.bulk import TrialCost
from lorimer.traces.schema import PlannedTrial, Stage, TrialEnd
from lorimer.traces.tables import DecisionRow, Evaluation, Trial

NOTHING_CUT: Mapping[str, int | None] = {}
"""Every evaluation was read whole."""


def planned_trials(evaluation: Evaluation, seed: int) -> list[PlannedTrial]:
    """An evaluation's plan. Ids are names; stages have luck of their own with the same seed."""
    return [
        PlannedTrial(
            id=f"{evaluation.id}/{task}/{repeat}",
            study=evaluation.study,
            evaluation=evaluation.id,
            stage=Stage(evaluation.stage),
            harness=evaluation.harness,
            task=task,
            repeat=repeat,
            seed=seed,
        )
        for task, repeat in evaluation.plan
    ]


def attempts(reader: StudyReader, evaluation: str) -> dict[str, list[TrialEnd]]:
    """How the attempts at each planned trial ended, in order, without what the agent and the verifier said."""
    found: dict[str, list[TrialEnd]] = {}
    for planned, end in reader.ends(evaluation):
        found.setdefault(planned, []).append(end)
    return found


def results(found: Iterable[TrialOutcome]) -> list[Result]:
    """Outcomes as the gate reads them."""
    return [Result(outcome.planned.task, outcome.reward) for outcome in found]


def refused(found: Iterable[TrialOutcome]) -> Refused:
    """How many of the calls behind their score were refused."""
    used = [outcome.used for outcome in found if outcome.reward is not None]
    return Refused(sum(each.refused for each in used), sum(each.calls for each in used))


def counted_score(found: Sequence[TrialOutcome]) -> Score:
    """The score of these trials, with what of their calls was refused."""
    return replace(score(results(found)), refused=refused(found))


TrialRewards = Mapping[tuple[str, int], float | None]
"""The rewards of one evaluation by task and repeat; `None` where a trial errored."""


def scored_rewards(reader: StudyReader, evaluations: Sequence[str]) -> dict[str, dict[tuple[str, int], float | None]]:
    """The rewards of the scored trials of many evaluations at once, by task and repeat in no order."""
    found: dict[str, dict[tuple[str, int], float | None]] = {name: {} for name in evaluations}
    for evaluation, task, repeat, reward in reader.scored(evaluations):  # there may be 100,000 rows
        found[evaluation][task, repeat] = reward
    return found


def settled_rewards(
    reader: StudyReader, evaluations: Sequence[str], retries: int
) -> dict[str, dict[tuple[str, int], float | None]]:
    """The rewards of the settled trials of many evaluations at once, by task and repeat in no order; `None` where one errored."""
    known = scored_rewards(reader, evaluations)
    attempted: dict[tuple[str, str, int], list[Ended]] = {}
    for row in reader.unscored(evaluations):
        attempted.setdefault((row.evaluation, row.task, row.repeat), []).append(row)
    for (evaluation, task, repeat), tried in attempted.items():
        if (task, repeat) not in known[evaluation] and is_settled(tried, retries):
            known[evaluation][task, repeat] = None
    return known


def read_trials(
    reader: StudyReader, runs: Mapping[str, int | None], retries: int
) -> dict[str, dict[tuple[str, int], float | None]]:
    """The trials that decisions have read, of many evaluations at once: rewards by task and repeat, `None` where one errored.

    Args:
        runs: evaluations, each with how many settled trials of its plan the gate read; `None` is all of them.
    """
    known = settled_rewards(reader, list(runs), retries)
    # A plan is read where trials finished beyond what the gate read: nothing else depends on their order.
    longer = [name for name, run in runs.items() if run is not None and len(known[name]) > run]
    for name, plan in reader.plans(longer).items():
        settled = known[name]
        known[name] = {
            trial: settled[trial] for trial in islice((each for each in plan if each in settled), runs[name])
        }
    return known


def rewards(reader: StudyReader, runs: Mapping[str, int | None], retries: int) -> dict[str, dict[str, list[float]]]:
    """The rewards that decisions have read, of many evaluations at once: by evaluation and task, in no order.

    A task whose trials errored alone is left out.

    Args:
        runs: as of `read_trials`.
    """
    return {name: by_task(trials) for name, trials in read_trials(reader, runs, retries).items()}


def by_task(trials: TrialRewards) -> dict[str, list[float]]:
    """An evaluation's rewards by task. A task whose trials errored alone is left out."""
    found: dict[str, list[float]] = {}
    for (task, _), each in trials.items():
        if each is not None:
            found.setdefault(task, []).append(each)
    return found


class EarlierRates:
    """What the trials that a test does not count say of each train task, as a study goes on: those of earlier candidates' full
    runs, as far as the gate read them, and those of the first champion once it is champion no more. Spot-checks are left out, as
    the tasks that these try follow from trials that the test counts.

    An evaluation is read once, however many candidates follow it.

    Args:
        read: gives the rewards that decisions have read, as `rewards` does.
    """

    def __init__(self, read: Callable[[Mapping[str, int | None]], Mapping[str, Mapping[str, Sequence[float]]]]) -> None:
        self._rewards = read
        self._seen, self._baseline, self._full = EarlierTrials(), "", list[DecisionRow]()

    def before(self, world: World, candidate: CandidateView) -> Rates:
        """The earlier trials that the test of `candidate` counts."""
        baseline = world.standing_at("", 0) if world.champion_before(candidate.number) else ""
        full = world.full_runs_before(candidate.number)
        if self._baseline not in ("", baseline) or full[: len(self._full)] != self._full:
            self._seen, self._baseline, self._full = EarlierTrials(), "", []  # another study, or an earlier candidate
        new: dict[str, int | None] = {} if baseline == self._baseline else {baseline: None}
        new |= {row.id: int(row.numbers.get("run") or 0) for row in full[len(self._full) :]}
        for own in self._rewards(new).values():
            self._seen.add_rewards(own)
        self._baseline, self._full = baseline, full
        return self._seen.rates()


class Withstood:
    """The trials of the candidates that a champion withstood, as a study goes on. An evaluation is read once.

    Args:
        read: gives the rewards that decisions have read, as `rewards` does.
    """

    def __init__(self, read: Callable[[Mapping[str, int | None]], Mapping[str, Mapping[str, Sequence[float]]]]) -> None:
        self._rewards = read
        self._known: dict[str, list[Result]] = {}

    def before(self, world: World, candidate: CandidateView) -> list[Result]:
        """The earlier trials that the test of `candidate` counts, in no order."""
        return self.at(world, candidate.number)

    def at(self, world: World, number: int) -> list[Result]:
        """The same of candidate `number`, which need not be there yet."""
        wanted = world.withstood(number)
        self._known = {name: found for name, found in self._known.items() if name in wanted}
        new = {name: read for name, read in wanted.items() if name not in self._known}
        for name, own in self._rewards(new).items():
            self._known[name] = [Result(task, reward) for task, rewards in own.items() for reward in rewards]
        return [result for name in wanted for result in self._known[name]]


def settled_trials(reader: StudyReader, evaluation: str, seed: int, retries: int) -> list[TrialOutcome]:
    """The settled trials of an evaluation in planned order; those still to be (re)tried are left out."""
    row = reader.evaluation(evaluation)
    if row is None:
        return []
    tried = attempts(reader, evaluation)
    found = (outcome_of(planned, tried.get(planned.id, []), retries) for planned in planned_trials(row, seed))
    return [outcome for outcome in found if outcome is not None]


def standing_trials(reader: StudyReader, evaluations: Iterable[str], seed: int, retries: int) -> list[TrialOutcome]:
    """The settled trials of several evaluations, one after another."""
    return [trial for evaluation in evaluations for trial in settled_trials(reader, evaluation, seed, retries)]


def named_trials(
    reader: StudyReader, study: str, evaluations: Sequence[str], read: Mapping[str, int | None] = NOTHING_CUT
) -> list[tuple[str, Trial]]:
    """The scored trials of train tasks, by task and number, each with the name that it has as a case ("task/number").

    Args:
        evaluations: whose trials they are. Those of another study and those on the holdout are ignored.
        read: how many trials of an evaluation's plan the gate read, where it did not read all: which others finished depends on
            timing.
    """
    place = {task.id: position for position, task in enumerate(reader.tasks(study, "train"))}
    found: list[tuple[int, int, Trial]] = []
    counted: dict[str, int] = {}
    for name in evaluations:
        evaluation = reader.evaluation(name)
        if evaluation is None or evaluation.study != study or evaluation.stage == Stage.HOLDOUT.value:
            continue
        finished = {(trial.task, trial.repeat): trial for trial in reader.outcomes(name)}
        for task, repeat in evaluation.plan[: read.get(name)]:
            number = counted[task] = counted.get(task, -1) + 1
            trial = finished.get((task, repeat))
            if task in place and trial is not None and trial.state == TrialState.SCORED.value:
                found.append((place[task], number, trial))
    # By task and number, whatever the plans' order: that is how people and models look things up.
    found.sort(key=lambda item: item[:2])
    return [(f"{trial.task}/{number}", trial) for _, number, trial in found]


def paid(candidate: Sequence[TrialOutcome], champion: Sequence[TrialOutcome], units: Iterable[Unit]) -> Paid:
    """What the trials of both arms cost, in these units."""
    return paid_for(_scored_costs_of(candidate), _scored_costs_of(champion), units)


def paid_for(candidate: Sequence[TrialCost], champion: Sequence[TrialCost], units: Iterable[Unit]) -> Paid:
    """What these scored trials of both arms cost, in these units."""
    asked = tuple(units)
    return Paid({unit: _costs(candidate, unit) for unit in asked}, {unit: _costs(champion, unit) for unit in asked})


def scored_costs(
    reader: StudyReader, evaluations: Sequence[str], retries: int
) -> dict[str, dict[tuple[str, int], TrialCost]]:
    """What the settled trials that scored took in all attempts that tell something of them: by evaluation, and by task and repeat
    in no order. It is what `settled_trials` says of them, without all the rest."""
    attempted: dict[tuple[str, str, int], list[TrialCost]] = {}
    for row in reader.trial_costs(evaluations):
        attempted.setdefault((row.evaluation, row.task, row.repeat), []).append(row)
    found: dict[str, dict[tuple[str, int], TrialCost]] = {name: {} for name in evaluations}
    for (evaluation, task, repeat), tried in attempted.items():
        telling = telling_of(tried)
        if is_settled(tried, retries) and telling[-1].state == TrialState.SCORED:
            found[evaluation][task, repeat] = _together(telling)
    return found


def _together(attempts: Sequence[TrialCost]) -> TrialCost:
    """What several attempts at a trial took, as the last of them."""
    last = attempts[-1]
    if len(attempts) == 1:
        return last
    usd = [each.usd for each in attempts if each.usd is not None]
    return last._replace(
        tokens=sum(each.tokens for each in attempts),
        usd=sum(usd) if len(usd) == len(attempts) else None,
        seconds=sum(each.seconds for each in attempts),
    )


def _scored_costs_of(found: Iterable[TrialOutcome]) -> list[TrialCost]:
    return [
        TrialCost(
            evaluation=outcome.planned.evaluation,
            task=outcome.planned.task,
            repeat=outcome.planned.repeat,
            state=outcome.state,
            cause=outcome.cause,
            tokens=outcome.used.tokens,
            usd=outcome.used.usd,
            seconds=outcome.seconds,
        )
        for outcome in found
        if outcome.reward is not None
    ]


def _costs(found: Iterable[TrialCost], kind: Unit) -> dict[str, list[float | None]]:
    """What the trials of each task cost; `None` where a price is unknown."""
    spent: dict[str, list[float | None]] = {}
    for each in found:
        value = {"usd": each.usd, "tokens": float(each.tokens), "seconds": each.seconds}[kind]
        spent.setdefault(each.task, []).append(value)
    return spent


def plan_of(evaluation: Evaluation) -> list[tuple[str, int]]:
    """An evaluation's tasks and repeats in planned order."""
    return [(str(task), int(repeat)) for task, repeat in evaluation.plan]
