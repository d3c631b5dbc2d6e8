"""A stage's trials and its decision, as they are planned, run and stored, whatever the stage is about."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NoReturn

from lorimer.meta_agent.gate.comparison import Decision, DecisionKind
from lorimer.meta_agent.gate.design import policy_of
from lorimer.meta_agent.gate.pairs import PairPlan
from lorimer.meta_agent.gate.statistics.policies import Policy, Value
from lorimer.meta_agent.gate.statistics.scores import score
from lorimer.meta_agent.gate.verdicts import too_errored
from lorimer.meta_agent.ledger.conditions import differing
from lorimer.meta_agent.replay.chained import as_body
from lorimer.meta_agent.replay.pairs import records_of
from lorimer.meta_agent.state.folding import CandidateView, state_after
from lorimer.meta_agent.state.names import About, evaluation_id
from lorimer.meta_agent.state.trials import (
    attempts,
    counted_score,
    plan_of,
    planned_trials,
    results,
    standing_trials,
)
from lorimer.meta_agent.state.world import World, score_numbers
from lorimer.meta_agent.study.endings import endings_of, told_of_breaks
from lorimer.meta_agent.study.heard import (
    asks_nothing,
    breaks_in_all,
    is_errored,
    is_for_nothing,
    refuses_all,
    taken_back,
    tells_nothing,
    told,
    told_of_silence,
)
from lorimer.meta_agent.workspace.events import (
    Decided,
    EndCause,
    HarnessNoted,
    StageFinished,
    StageStarted,
)
from lorimer.meta_agent.workspace.parts import StudyParts, now
from lorimer.task_agent.outcome import TrialOutcome, is_settled
from lorimer.traces.schema import PlannedTrial, Purpose, Stage, TrialEnd
from lorimer.traces.tables import DecisionRow, Evaluation
from lorimer.traces.wired import Gap, Record


class Pause(Exception):
    """The study cannot go on by itself.

    Args:
        waits: the candidate that waits for a review, where that is why.
    """

    def __init__(self, said: str, cause: EndCause = "trials", waits: CandidateView | None = None) -> None:
        super().__init__(said)
        self.cause, self.waits = cause, waits


class StageTrials:
    """Runs the trials of one study's stages, and stores what was decided by them."""

    def __init__(self, parts: StudyParts, study: str) -> None:
        self._parts, self._study = parts, study
        self._retries = parts.config.retries.errored
        self._policy = policy_of(parts.config)
        self._tell = parts.progress.on_event

    async def _few_errors(
        self, world: World, about: About, plan: Sequence[tuple[str, int]], *whose: str, beside: About | None = None
    ) -> list[TrialOutcome]:
        """Trials of which few may error; where a resumed study finds too many, those are tried anew. Raises Pause.

        Args:
            whose: the harness in words, and that of the trials beside it.
            beside: as in `_run`; too many errors of either count.
        """

        def broken(found: Sequence[TrialOutcome]) -> tuple[list[TrialOutcome], str] | None:
            arms = zip(self._arms(about, found), whose, strict=False)
            return next((arm for arm in arms if too_errored(results(arm[0]), self._policy)), None)

        resumed = self._parts.reader.evaluation(self._name(about)) is not None
        if beside is None:
            found = await self._heard(world, about, plan, whose[0])
        else:
            found = await self._run(world, about, plan, beside=beside)
        if resumed and broken(found):
            found = await self._run(world, about, plan, anew=is_errored, beside=beside)
        if arm := broken(found):
            self._pause(*arm)
        return found

    async def _heard(
        self, world: World, about: About, plan: Sequence[tuple[str, int]], whose: str
    ) -> list[TrialOutcome]:
        """Trials of a harness that nothing is compared with yet, of which the provider takes some requests.

        Where it refuses every one, though it answers a plain question, their score says nothing: it is what the harness sends
        that it does not take. So the study stops, and a resumed one tries those trials anew. A harness that breaks in all of
        the baseline stops it too, and nothing is tried anew: a study's harness stays as it is. Raises Pause.
        """
        first = about.stage is Stage.BASELINE  # a few sealed tasks in which it breaks stop no study whose others work
        found = await self._run(world, about, plan, stop=tells_nothing if first else refuses_all, anew=is_for_nothing)
        if first and breaks_in_all(found, of=len(plan)):
            reader = self._parts.reader
            endings = await asyncio.to_thread(lambda: endings_of(reader, reader.outcomes(self._name(about))))
            raise Pause(told_of_breaks(whose, len(found), endings), "harness")
        if first and asks_nothing(found):
            self._tell(HarnessNoted(told_of_silence(whose, len(found))))
        if refuses_all(found, of=len(plan)):
            refusal = self._parts.reader.refusal([self._name(about)])
            raise Pause(told(self._parts.config.models.task, whose, len(found), refusal))
        return found

    def _pause(self, found: Sequence[TrialOutcome], whose: str) -> NoReturn:
        errored = [outcome for outcome in found if outcome.reward is None]
        causes = ", ".join(f"{count} {cause}" for cause, count in Counter(e.cause for e in errored).most_common())
        raise Pause(
            f"{len(errored)} of {len(found)} trials of {whose} errored ({causes}; such as: "
            f"{errored[0].planned.task}: {errored[0].detail or errored[0].cause}), over the "
            f"{self._policy.max_errored:.0%} that are allowed; put that right, then they are tried anew"
            if errored
            else f"{whose} has no trials"
        )

    async def _standing(self, evaluations: Sequence[str], seed: int) -> list[TrialOutcome]:
        """The settled trials of these evaluations, one after another."""
        return await asyncio.to_thread(standing_trials, self._parts.reader, evaluations, seed, self._retries)

    def _name(self, about: About) -> str:
        return evaluation_id(self._study, about)

    def _stored_plan(self, about: About) -> list[tuple[str, int]]:
        row = self._parts.reader.evaluation(self._name(about))
        return plan_of(row) if row else []

    async def _run(
        self,
        world: World,
        about: About,
        plan: Sequence[tuple[str, int]],
        *,
        stop: Callable[[Sequence[TrialOutcome]], bool] | None = None,
        anew: Callable[[TrialEnd], bool] | None = None,
        beside: About | None = None,
        at_once: int | None = None,
        pairs: PairPlan | None = None,
        ordered: bool = False,
    ) -> list[TrialOutcome]:
        """A stage's trials, those of an earlier process included. A plan that is stored already is the one that holds.

        Args:
            anew: says of what attempts of an earlier process count for nothing, so that their trials are tried again.
            at_once: so many trials (of both, where two are run side by side) end before `stop` is asked and the next begin. So
                none is ever run beyond what was read: these trials stand for a harness later on.
            beside: the trials of another harness, where it runs the same plan side by side: every trial of this one is followed
                by one of the other on the same task.
            ordered: that the plan's order is the one in which it ends soonest, so that its trials begin in it.
            pairs: the recorded trials that answer these at first, chained with the plan; `stop` is asked at its stops alone, and
                no trial of a later one begins before.
        """
        reader, subject = self._parts.reader, world.candidate(about.subject)
        row, *besides = rows = await self._rows(world, about, plan, beside, pairs)
        others = {each.harness: reader.harness(each.harness).text for each in besides}
        trials = [
            trial for pair in zip(*(planned_trials(each, world.seed) for each in rows), strict=True) for trial in pair
        ]
        past = await self._attempts(rows)
        if anew is not None:
            past = {planned: [taken_back(end, anew) for end in tried] for planned, tried in past.items()}
        done = sum(is_settled(past.get(trial.id, ()), self._retries) for trial in trials)
        number = subject.number if subject else None
        self._tell(StageStarted(row.id, about.subject, number, about.stage, len(trials), done))
        text = reader.harness(row.harness).text
        run = partial(self._parts.trials.run, others=others, in_rounds=not ordered)
        looks = pairs.stops if pairs else [*range(at_once, len(trials), at_once), len(trials)] if at_once else []
        if not looks:
            found = await run(trials, text, past=past, stop=stop)
        else:
            found = list[TrialOutcome]()
            for end in looks:
                if pairs is not None:
                    run = partial(run, records=await self._records(pairs, trials[len(found) : end], past))
                found = await run(trials[:end], text, past=past)
                if stop is not None and await asyncio.to_thread(stop, found):
                    break
                past = await self._attempts(rows)
        own = [outcome for outcome in found if outcome.planned.evaluation == row.id]
        # What the sealed tasks gave a candidate is nobody's to see while the study goes on.
        sealed = about.stage is Stage.HOLDOUT and about.subject
        self._tell(StageFinished(row.id, about.subject, about.stage, None if sealed else counted_score(own)))
        return found

    async def _records(
        self, pairs: PairPlan, trials: Sequence[PlannedTrial], past: Mapping[str, Sequence[TrialEnd]]
    ) -> dict[str, Record | Gap]:
        """The records that answer those of these trials that are still to be run."""
        ahead = [trial for trial in trials if not is_settled(past.get(trial.id, ()), self._retries)]
        return await asyncio.to_thread(records_of, self._parts.reader, pairs, ahead)

    async def _attempts(self, rows: Sequence[Evaluation]) -> dict[str, list[TrialEnd]]:
        """How the attempts at the planned trials of these evaluations ended, as far as they did.

        Nothing need be flushed before: an attempt ends when its verdict is committed (`TraceSink.close_trial`), so the trials of
        an earlier round are all there.
        """
        return {
            planned: tried
            for each in rows
            for planned, tried in (await asyncio.to_thread(attempts, self._parts.reader, each.id)).items()
        }

    async def _rows(
        self,
        world: World,
        about: About,
        plan: Sequence[tuple[str, int]],
        beside: About | None = None,
        pairs: PairPlan | None = None,
    ) -> list[Evaluation]:
        """The evaluation, and the one side by side with it if there is one, as `_run` takes them; stored."""

        def harness(subject: str) -> str:
            found = world.candidate(subject)
            return (found.harness if found else None) or world.seed_harness

        rows = [await self._planned(about, harness(about.subject), plan, pairs)]
        if beside is not None and beside.met is not None:
            # Repeats of its own: a trial's luck follows from its name, and every candidate meets the champion afresh.
            held = plan_of(rows[0])
            times = max(repeat for _, repeat in held) + 1
            again = [(task, beside.met * times + repeat) for task, repeat in held]
            rows.append(await self._planned(beside, harness(beside.subject), again))
        return rows

    async def _planned(
        self, about: About, harness: str, plan: Sequence[tuple[str, int]], pairs: PairPlan | None = None
    ) -> Evaluation:
        """The evaluation, stored before its first trial."""
        name = self._name(about)
        row = self._parts.reader.evaluation(name)
        if row is None:
            row = Evaluation(
                id=name,
                study=self._study,
                subject=about.subject,
                stage=about.stage.value,
                purpose=about.purpose.value,
                met=about.met,
                harness=harness,
                plan=[list(item) for item in plan],
            )
            await self._parts.store.add_evaluation(row, chained=as_body(pairs) if pairs else None)
        return row

    async def _decide_measured(self, world: World, about: About, found: Sequence[TrialOutcome]) -> World:
        """The decision of a measuring stage: a score. An audit with too many errors cannot stand for a champion."""
        measured = score(results(found))
        said = f"{measured} over {measured.trials} trials of {measured.tasks} tasks"
        kind: DecisionKind = "pass"
        if about.stage is Stage.AUDIT and too_errored(results(found), self._policy):
            kind = "undecided"
            said = f"undecided: {measured.errored} of {len(found)} audit trials errored, so no score can be reported"
        numbers: dict[str, Value] = dict(score_numbers(measured))
        return await self._decide(world, about, Decision(kind, said, numbers))

    async def _decide(self, world: World, about: About, decision: Decision, policy: Policy | None = None) -> World:
        row = DecisionRow(
            id=self._name(about),
            study=self._study,
            subject=about.subject,
            stage=about.stage.value,
            purpose=about.purpose.value,
            met=about.met,
            kind=decision.kind,
            reason=decision.reason,
            numbers=dict(decision.numbers),
            policy=dict((policy or self._policy).as_json()),
            made=now(),
        )
        stored = await self._parts.store.add_decision(row, leaves=state_after(about, decision.kind))
        world = world.with_decision(stored)
        if about.purpose is not Purpose.AGE:
            found = await asyncio.to_thread(differing, self._parts.reader, world, [stored])
            self._tell(Decided(about.subject, about.stage, decision, found.get(stored.id, "")))
        return world

    def _beside(self, world: World, about: About, number: int) -> About:
        """The champion's trials side by side with those of candidate `number`."""
        return About(world.champion_id, about.stage, Purpose.BESIDE, number)

    def _arms(self, about: About, found: Sequence[TrialOutcome]) -> tuple[list[TrialOutcome], list[TrialOutcome]]:
        """The trials of an evaluation, and those that were run side by side with them."""
        own = self._name(about)
        mine = [outcome for outcome in found if outcome.planned.evaluation == own]
        return mine, [outcome for outcome in found if outcome.planned.evaluation != own]
