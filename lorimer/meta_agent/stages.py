"""The stages: from a plan through trials to a stored decision.

Each is one transaction in the end. Until then a stage may be run again at no cost: its plan is stored before its first trial,
and finished trials are taken from the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from lorimer.errors import InternalError
from lorimer.meta_agent import gate
from lorimer.meta_agent.events import (
    Decided,
    StageFinished,
    StageStarted,
)
from lorimer.meta_agent.gate import Decision, Evidence, Outcome, Policy
from lorimer.meta_agent.levels import at_level
from lorimer.meta_agent.study import StudyParts, now
from lorimer.meta_agent.world import (
    CandidateView,
    World,
    attempts,
    by_task_and_repeat,
    costs,
    full_plan,
    outcomes,
    planned_trials,
    policy_of,
    results,
    score_numbers,
    settled_trials,
    spot_plan,
    spot_trials,
    tests_so_far,
)
from lorimer.task_agent.executor import Attempt, TrialOutcome
from lorimer.traces.schema import DecisionRow, Evaluation, Stage, TrialState


class Pause(Exception):
    """The study cannot go on by itself."""


class Stages:
    """Runs and decides the stages of one study."""

    def __init__(self, parts: StudyParts, study: str) -> None:
        self._parts, self._study = parts, study
        self._retries = parts.config.retries.errored
        settings = parts.config.gate
        self._repeats, self._champion_repeats = settings.repeats, settings.champion_repeats or 2 * settings.repeats
        self._policy = policy_of(parts.config)
        self._tell = parts.progress.on_event

    async def measure(self, world: World) -> None:
        """The seed harness on all tasks, whatever errors."""
        if world.decided(world.baseline, Stage.BASELINE) is None:
            found = await self._run(
                world, Stage.BASELINE, None, by_task_and_repeat(world.train, self._champion_repeats)
            )
            await self._decide_measured(world.baseline, Stage.BASELINE, found)

    async def evaluate(self, world: World, stage: Stage, candidate: CandidateView | None) -> None:
        """Run a stage of a candidate, or of the seed harness, and store its decision. Raises Pause."""
        if candidate is None:
            tasks = world.train if stage is Stage.BASELINE else world.holdout
            await self._baseline(world, stage, by_task_and_repeat(tasks, self._champion_repeats))
        elif stage is Stage.SPOT:
            await self._spot(world, candidate)
        elif stage is Stage.FULL:
            await self._full(world, candidate)
        elif stage is Stage.HOLDOUT:
            await self._holdout(world, candidate)
        elif stage is Stage.AUDIT:
            plan = by_task_and_repeat(world.train, self._champion_repeats)
            found = await self._run(world, stage, candidate, plan)
            await self._decide_measured(candidate.id, stage, found)
        else:
            raise InternalError(f"no candidate has a stage {stage}")

    async def _baseline(self, world: World, stage: Stage, plan: Sequence[tuple[str, int]]) -> None:
        """Everything is compared with the baseline, so one with too many errors stops the study until they are put right.

        On resume its errored trials, and only those, are tried anew.
        """
        resumed = self._parts.query.evaluation(f"{world.baseline}/{stage}") is not None
        found = await self._run(world, stage, None, plan)
        if gate.too_errored(results(found), self._policy) and resumed:
            found = await self._run(world, stage, None, plan, forgive=True)
        if gate.too_errored(results(found), self._policy):
            errored = [outcome for outcome in found if outcome.reward is None]
            causes = ", ".join(f"{count} {cause}" for cause, count in Counter(e.cause for e in errored).most_common())
            raise Pause(
                f"{len(errored)} of {len(found)} trials of the seed harness errored ({causes}; such as: "
                f"{errored[0].planned.task}: {errored[0].detail or errored[0].cause}), over the "
                f"{self._policy.max_errored:.0%} that are allowed; put that right, then they are tried anew"
                if errored
                else "the seed harness has no trials"
            )
        await self._decide_measured(world.baseline, stage, found)

    async def _spot(self, world: World, candidate: CandidateView) -> None:
        champion, settings = self._standing(world), self._parts.config.gate
        plan = spot_plan(world, candidate, champion, settings.spot_fixes, settings.spot_guards)
        found = await self._run(world, Stage.SPOT, candidate, plan) if plan else []
        await self._decide(candidate.id, Stage.SPOT, gate.spot_verdict(spot_trials(results(found), champion)))

    async def _full(self, world: World, candidate: CandidateView) -> None:
        champion = self._standing(world)
        plan = full_plan(world, candidate, self._repeats, self._others(world, candidate))
        plan = self._stored_plan(f"{candidate.id}/{Stage.FULL}") or plan
        planned = [task for task, _ in plan]
        run: list[Outcome] = []

        policy = at_level(self._policy, self._parts.config.gate.error, tests_so_far(world))

        def enough(prefix: Sequence[TrialOutcome]) -> bool:
            run.extend(results(prefix[len(run) :]))
            return gate.settled(Evidence(run, champion, planned), policy)

        found: list[TrialOutcome] = []
        if not gate.settled(Evidence([], champion, planned), policy):
            found = await self._run(world, Stage.FULL, candidate, plan, stop=enough)
        decision = gate.decide(Evidence(results(found), champion, planned), policy)
        if decision.kind == "promote" and policy.max_cost_increase is not None:
            read = found[: int(decision.numbers["run"] or 0)]
            kind = self._parts.config.gate.cost
            theirs = settled_trials(self._parts.query, world.standing, world.seed, self._retries)
            decision = gate.within_cost(decision, costs(read, kind), costs(theirs, kind), kind, policy)
        await self._decide(candidate.id, Stage.FULL, decision, policy)

    async def _holdout(self, world: World, candidate: CandidateView) -> None:
        plan = by_task_and_repeat(world.holdout, self._repeats)
        found = await self._run(world, Stage.HOLDOUT, candidate, plan)
        champion = outcomes(self._parts.query, world.standing_holdout, world.seed, self._retries)
        evidence = Evidence(results(found), champion, [outcome.planned.task for outcome in found])
        decision = gate.holdout_verdict(evidence, self._policy, query=world.holdout_queries + 1)
        await self._decide(candidate.id, Stage.HOLDOUT, decision)

    def _standing(self, world: World) -> list[Outcome]:
        return outcomes(self._parts.query, world.standing, world.seed, self._retries)

    def _others(self, world: World, candidate: CandidateView) -> list[Outcome]:
        """Train trials that the test will not count: earlier candidates' full ones, as far as the gate read them, and
        all spot-checks, this candidate's too."""
        found: list[Outcome] = []
        for each in world.candidates:
            if world.decided(each.id, Stage.SPOT) is not None:
                found += outcomes(self._parts.query, f"{each.id}/{Stage.SPOT}", world.seed, self._retries)
            full = world.decided(each.id, Stage.FULL)
            if full is not None and each.id != candidate.id:
                read = outcomes(self._parts.query, f"{each.id}/{Stage.FULL}", world.seed, self._retries)
                found += read[: int(full.numbers.get("run") or 0)]
        return found

    def _stored_plan(self, evaluation: str) -> list[tuple[str, int]]:
        row = self._parts.query.evaluation(evaluation)
        return [(str(task), int(repeat)) for task, repeat in row.plan] if row else []

    async def _run(
        self,
        world: World,
        stage: Stage,
        candidate: CandidateView | None,
        plan: Sequence[tuple[str, int]],
        *,
        stop: Callable[[Sequence[TrialOutcome]], bool] | None = None,
        forgive: bool = False,
    ) -> list[TrialOutcome]:
        """A stage's trials, those of an earlier process included. A plan that is stored already is the one that holds.

        `forgive`: errored trials are tried again, however often they were.
        """
        store, query = self._parts.store, self._parts.query
        subject = candidate.id if candidate else world.baseline
        harness = (candidate.harness if candidate else None) or world.seed_harness
        row = query.evaluation(f"{subject}/{stage}")
        if row is None:
            row = Evaluation(
                id=f"{subject}/{stage}",
                study=self._study,
                candidate=candidate.id if candidate else None,
                stage=stage.value,
                harness=harness,
                plan=[list(item) for item in plan],
            )
            await store.add_evaluation(row)
        trials = planned_trials(row, world.seed)
        evaluation, text = row.id, query.harness(harness).text
        past = attempts(query, evaluation)
        if forgive:
            past = {name: [_forgiven(attempt) for attempt in tried] for name, tried in past.items()}
        done = len(outcomes(query, evaluation, world.seed, self._retries))
        self._tell(StageStarted(evaluation, subject, stage, len(trials), done))
        found = await self._parts.trials.run(trials, text, past=past, stop=stop)
        self._tell(StageFinished(evaluation, subject, stage, gate.score(results(found))))
        return found

    async def _decide_measured(self, subject: str, stage: Stage, found: Sequence[TrialOutcome]) -> None:
        """The decision of a measuring stage: a score. An audit with too many errors cannot stand for a champion."""
        score = gate.score(results(found))
        said = f"{score} over {score.trials} trials of {score.tasks} tasks"
        kind: gate.Kind = "pass"
        if stage is Stage.AUDIT and gate.too_errored(results(found), self._policy):
            kind = "undecided"
            said = f"undecided: {score.errored} of {len(found)} audit trials errored, so no score can be reported"
        await self._decide(subject, stage, Decision(kind, said, score_numbers(score)))

    async def _decide(self, subject: str, stage: Stage, decision: Decision, policy: Policy | None = None) -> None:
        row = DecisionRow(
            id=f"{subject}/{stage}",
            study=self._study,
            candidate=subject,
            stage=stage.value,
            kind=decision.kind,
            reason=decision.reason,
            numbers=dict(decision.numbers),
            policy=dict((policy or self._policy).as_json()),
            made=now(),
        )
        await self._parts.store.add_decision(row)
        self._tell(Decided(subject, stage, decision))


def _forgiven(attempt: Attempt) -> Attempt:
    return replace(attempt, state=TrialState.CANCELLED) if attempt.state is TrialState.ERRORED else attempt
