"""The stages: from a plan through trials to a stored decision.

Each is one transaction in the end. Until then a stage may be run again at no cost: its plan is stored before its first trial,
and finished trials are taken from the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from lorimer.errors import InternalError
from lorimer.harness.size import size_of
from lorimer.meta_agent.gate import confirmation, full_run, transfer
from lorimer.meta_agent.gate.alpha import at_level
from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.cost import bounded, within_cost
from lorimer.meta_agent.gate.full_run import FullRun
from lorimer.meta_agent.gate.looks import Looks
from lorimer.meta_agent.gate.opponent import Opponent, opponent
from lorimer.meta_agent.gate.pairs import PairPlan, pair_verdict
from lorimer.meta_agent.gate.plans import Luck, by_task_and_repeat, full_plan, rounds, spot_plan, spot_trials
from lorimer.meta_agent.gate.policies import ANYTIME, Value
from lorimer.meta_agent.gate.scores import Result, score
from lorimer.meta_agent.gate.verdicts import spot_verdict
from lorimer.meta_agent.replay.pairs import planned_pairs, stored_pairs, trials_of
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import About, candidate_id, short
from lorimer.meta_agent.state.trials import (
    EarlierRates,
    Withstood,
    paid,
    results,
    rewards,
)
from lorimer.meta_agent.state.world import World, score_numbers
from lorimer.meta_agent.study.canary import canary_verdict
from lorimer.meta_agent.study.stage_trials import StageTrials
from lorimer.meta_agent.workspace.parts import StudyParts, now
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.traces.schema import Purpose, Stage

CLOCK_SLACK_SECONDS = 60.0
"""A clock may be behind one of an hour ago by this before it counts as set back, and an age by it as unknown."""


SEED = "the seed harness"


class Stages(StageTrials):
    """Runs and decides the stages of one study."""

    def __init__(self, parts: StudyParts, study: str) -> None:
        super().__init__(parts, study)
        settings = parts.config.gate
        self._repeats, self._champion_repeats = settings.repeats, settings.first_champion_repeats
        self._holdout_repeats = settings.holdout_repeats
        read = partial(rewards, parts.reader, retries=self._retries)
        self._earlier, self._withstood = EarlierRates(read), Withstood(read)

    async def measure(self, world: World) -> None:
        """The seed harness on all tasks, whatever errors."""
        if world.decided("", Stage.BASELINE) is None:
            about = About("", Stage.BASELINE)
            found = await self._heard(world, about, by_task_and_repeat(world.train, self._champion_repeats), SEED)
            await self._decide_measured(world, about, found)

    async def evaluate(self, world: World, stage: Stage, candidate: CandidateView | None) -> World:
        """Run a stage of a candidate, or of the seed harness, and store its decision; the world after it. Raises Pause."""
        about = About(candidate.id if candidate else "", stage)
        if stage is Stage.CANARY:
            found = await self._run(world, about, by_task_and_repeat(world.canaries, 1))
            return await self._decide(world, about, canary_verdict(found))
        if candidate is None:
            if stage is Stage.BASELINE:
                return await self._baseline(world, about, by_task_and_repeat(world.train, self._champion_repeats))
            return await self._baseline(world, about, by_task_and_repeat(world.holdout, self._holdout_repeats))
        if stage is Stage.SPOT:
            return await self._spot(world, candidate)
        if stage is Stage.FULL:
            return await self._full(world, candidate)
        if stage is Stage.HOLDOUT:
            return await self._holdout(world, candidate)
        if stage is Stage.AUDIT and self._policy.name == "pooled":
            return await self._confirm(world, candidate)
        if stage is Stage.AUDIT:
            found = await self._run(world, about, by_task_and_repeat(world.train, self._champion_repeats))
            return await self._decide_measured(world, about, found)
        raise InternalError(f"no candidate has a stage {stage}")

    async def _baseline(self, world: World, about: About, plan: Sequence[tuple[str, int]]) -> World:
        """Everything is compared with the baseline, so one with too many errors stops the study until they are put right.

        On resume its errored trials, and only those, are tried anew.
        """
        found = await self._few_errors(world, about, plan, SEED)
        return await self._decide_measured(world, about, found)

    async def _spot(self, world: World, candidate: CandidateView) -> World:
        settings, about = self._parts.config.gate, About(candidate.id, Stage.SPOT)
        pairs = await self._pairs(world, candidate)
        if pairs is not None:
            return await self._spot_in_pairs(world, about, pairs)
        champion = results(await self._standing(world.stood, world.seed))
        plan = spot_plan(
            candidate.fixes, Luck(world.seed, candidate.number), champion, settings.spot_fixes, settings.spot_guards
        )
        found = await self._run(world, about, plan) if plan else []
        return await self._decide(world, about, spot_verdict(spot_trials(results(found), champion)))

    async def _pairs(self, world: World, candidate: CandidateView) -> PairPlan | None:
        """The recorded trials that are run again from where the edit touches them; `None` where that would tell too little."""
        reader, settings, name = (
            self._parts.reader,
            self._parts.config.gate,
            self._name(About(candidate.id, Stage.SPOT)),
        )
        if not self._parts.config.replay.enabled or candidate.touches is None:
            return None
        if reader.evaluation(name) is not None:
            return await asyncio.to_thread(stored_pairs, reader, self._study, name)
        met = await self._opponent(world, candidate, await self._standing(world.stood, world.seed))
        planned = partial(planned_pairs, weights=met.weights, repeats=self._repeats, alpha=settings.alpha)
        return await asyncio.to_thread(planned, reader, world, candidate)

    async def _spot_in_pairs(self, world: World, about: About, pairs: PairPlan) -> World:
        def verdict(found: Sequence[TrialOutcome]) -> Decision | None:
            return pair_verdict(pairs, [outcome.reward for outcome in found])

        found = await self._run(
            world, about, trials_of(pairs), stop=lambda found: verdict(found) is not None, pairs=pairs
        )
        decision = verdict(found)
        if decision is None:
            raise InternalError(f"{about.subject} was checked in {len(found)} pairs, which decide nothing")
        return await self._decide(world, about, decision)

    async def _opponent(self, world: World, candidate: CandidateView, standing: Sequence[TrialOutcome]) -> Opponent:
        """Whom a candidate meets in its full run, given the champion's own trials."""
        return await asyncio.to_thread(
            opponent,
            results(standing),
            pools=self._parts.config.gate.pools,
            withstood=partial(self._withstood.before, world, candidate),
            earlier=partial(self._earlier.before, world, candidate),
        )

    async def _full(self, world: World, candidate: CandidateView) -> World:
        settings = self._parts.config.gate
        side = settings.champion == "interleaved"
        in_rounds = side or settings.policy in ANYTIME
        standing: list[TrialOutcome] = []
        if not side:
            world = await self._fresh(world, candidate)
            world = await self._once_more(world, candidate)
            standing = await self._standing(world.stood, world.seed)
        met = await self._opponent(world, candidate, standing)
        plan = full_plan(world.train, Luck(world.seed, candidate.number), self._repeats, met.known, in_rounds=in_rounds)
        about = About(candidate.id, Stage.FULL)
        plan = self._stored_plan(about) or plan
        planned = [task for task, _ in plan]
        policy = at_level(met.judged_by(self._policy), settings.error, passed_before(world, candidate))
        simpler = self._simpler(world, candidate)
        ends = {2 * end for end in rounds(planned)}

        def split(found: Sequence[TrialOutcome]) -> tuple[list[TrialOutcome], list[TrialOutcome]]:
            """The candidate's trials and the champion's."""
            return self._arms(about, found) if side else (list(found), standing)

        def run_of(found: Sequence[TrialOutcome]) -> FullRun:
            mine, theirs = split(found)
            return FullRun(
                results(mine), results(theirs) if side else met.champion, planned, side, simpler, met.weights
            )

        looks = await asyncio.to_thread(Looks, run_of([]), policy, settings)
        own = self._name(about)

        def enough(prefix: Sequence[TrialOutcome]) -> bool:
            fresh = prefix[looks.read :]
            for outcome, trial in zip(fresh, results(fresh), strict=True):
                looks.add(trial, of_champion=outcome.planned.evaluation != own)
            # Side by side the gate looks at the ends of rounds alone.
            return (not side or len(prefix) in ends) and looks.settled

        found: list[TrialOutcome] = []
        if side or not looks.settled:
            beside = self._beside(world, about, candidate.number) if side else None
            found = await self._run(world, about, plan, stop=enough, beside=beside)
        run, (mine, theirs) = run_of(found), split(found)
        decision = await asyncio.to_thread(full_run.full_verdict, run, policy, settings)
        kinds = full_run.units(settings, decision)
        if kinds:
            mine = mine[: int(decision.numbers["run"] or 0)] if decision.kind == "promote" else mine
            cost = await asyncio.to_thread(paid, mine, theirs, kinds)
            decision = await asyncio.to_thread(full_run.full_verdict, run, policy, settings, cost)
        return await self._decide(world, about, decision, policy)

    async def _confirm(self, world: World, candidate: CandidateView) -> World:
        """A candidate that was better meets the champion anew, side by side; what it scores there is its audit.

        The champion's trials stand for it from then on, so they have a decision of their own, stored before the candidate's.
        """
        about = About(candidate.id, Stage.AUDIT)
        beside = About(world.champion_id, Stage.AUDIT, Purpose.ADDED, candidate.number)
        plan = by_task_and_repeat(world.train, confirmation.ROUNDS)
        planned = [task for task, _ in plan]

        def met(found: Sequence[TrialOutcome]) -> Evidence:
            mine, theirs = self._arms(about, found)
            return Evidence(results(mine), results(theirs), planned)

        def enough(found: Sequence[TrialOutcome]) -> bool:
            return confirmation.confirmed(met(found), self._policy) is not None

        standing = results(await self._standing(world.stood, world.seed))
        found = await self._run(world, about, plan, stop=enough, beside=beside, at_once=2 * len(world.train))
        evidence = met(found)
        decision = confirmation.confirmed(evidence, self._policy)
        if decision is None:
            raise InternalError(f"{candidate.id} was met in {len(evidence.candidate)} trials, which decide nothing")
        kinds = bounded(self._parts.config.gate, decision)
        if kinds:
            cost = await asyncio.to_thread(paid, *self._arms(about, found), kinds)
            decision = within_cost(decision, cost, self._parts.config.gate.cost, self._policy)
        if beside not in world.decisions:
            champion = score([*standing, *evidence.champion])
            those = f"with those beside {short(candidate.number)}"
            said = f"{champion} over {champion.trials} trials of {champion.tasks} tasks, {those}"
            world = await self._decide(world, beside, Decision("pass", said, score_numbers(champion)))
        numbers = dict(decision.numbers) | score_numbers(score(evidence.candidate))
        return await self._decide(world, about, Decision(decision.kind, decision.reason, numbers))

    async def measure_last(self, world: World, stage: Stage) -> World:
        """The champion at the study's end, in trials that decide nothing: on every train task, or on the sealed ones.

        Raises Pause.
        """
        about = About(world.champion_id, stage, Purpose.FINAL, world.next_number)
        if stage is Stage.HOLDOUT:
            return await self._sealed_last(world, about)
        repeats = confirmation.FINAL_REPEATS
        since = world.next_number * repeats
        plan = [(task, since + repeat) for task, repeat in by_task_and_repeat(world.train, repeats)]
        measured = score(results(await self._few_errors(world, about, plan, "the champion")))
        said = f"{measured} over {measured.trials} trials of {measured.tasks} tasks, which decided nothing"
        return await self._decide(world, about, Decision("pass", said, score_numbers(measured)))

    async def _sealed_last(self, world: World, about: About) -> World:
        repeats, seed = self._holdout_repeats, About("", about.stage, about.purpose, about.met)
        since = world.next_number * repeats
        plan = [(task, since + repeat) for task, repeat in by_task_and_repeat(world.holdout, repeats)]
        mine, theirs = self._arms(about, await self._run(world, about, plan, beside=seed))
        champion, before = score(results(mine)), score(results(theirs))
        said = f"{champion} on the holdout against {before} of the seed harness, side by side over {champion.trials} trials each"
        numbers: dict[str, Value] = dict(score_numbers(champion))
        numbers |= {f"seed_{key}": value for key, value in score_numbers(before).items()}
        return await self._decide(world, about, Decision("pass", f"{said}, which decided nothing", numbers))

    def _simpler(self, world: World, candidate: CandidateView) -> bool:
        if self._parts.config.gate.simplify_margin is None or candidate.harness is None:
            return False
        mine, theirs = (self._parts.reader.harness(sha).text for sha in (candidate.harness, world.champion_harness))
        return size_of(mine).simpler_than(size_of(theirs))

    async def _holdout(self, world: World, candidate: CandidateView) -> World:
        """The sealed tasks, side by side with the champion: those of its trials that passed its own veto were lucky."""
        about = About(candidate.id, Stage.HOLDOUT)
        plan = by_task_and_repeat(world.holdout, self._holdout_repeats)
        both = await self._run(world, about, plan, beside=self._beside(world, about, candidate.number))
        mine, theirs = (results(arm) for arm in self._arms(about, both))

        async def stored(*evaluations: str) -> Sequence[Result]:
            return results(await self._standing(evaluations, world.seed))

        audit = await stored(self._name(About(candidate.id, Stage.AUDIT)))
        step = transfer.Met((audit, await stored(*self._audited_against(world, candidate))), (mine, theirs))
        before = await stored(self._name(About("", Stage.HOLDOUT)))
        since_seed = transfer.Met((audit, await stored(*world.stood_at(""))), (mine, before))
        asked = world.holdout_queries + 1
        sealed = Evidence(mine, theirs, [task for task, _ in plan])
        decision = await asyncio.to_thread(transfer.sealed_verdict, sealed, self._policy, step, since_seed, asked)
        return await self._decide(world, about, replace(decision, reason=transfer.sentence(decision, asked)))

    def _audited_against(self, world: World, candidate: CandidateView) -> Sequence[str]:
        """The champion's evaluations that a candidate's audit is set against: that side by side with it, where there is one."""
        if self._policy.name == "pooled":
            return [self._name(About(world.champion_id, Stage.AUDIT, Purpose.ADDED, candidate.number))]
        return world.stood_for(candidate.number)

    # ---- the champion's trials

    async def _fresh(self, world: World, candidate: CandidateView) -> World:
        """The world in which the champion's trials are young enough to be compared with: they are run anew where not.

        Whether they are is judged once, before the first full run of a round, and stored before anything follows from it: a
        resumed study does what was decided then, whatever its clock says now. Raises Pause.
        """
        first = world.round_of(candidate.number)
        world = await self._aged(world, first)
        aged = world.decided(world.champion_id, Stage.FULL, Purpose.AGE, first)
        if aged is None or not aged.numbers["refresh"]:
            return world
        again = About(world.champion_id, Stage.AUDIT, Purpose.REFRESHED, first)
        if again in world.decisions:
            return world
        # Repeats of their own: a trial's luck follows from its name.
        since = first * self._champion_repeats
        plan = [(task, since + repeat) for task, repeat in by_task_and_repeat(world.train, self._champion_repeats)]
        found = await self._few_errors(world, again, plan, "the champion")
        measured = score(results(found))
        again_for = f"run anew for {short(first)}"
        said = f"{measured} over {measured.trials} trials of {measured.tasks} tasks, {again_for}"
        return await self._decide(world, again, Decision("pass", said, score_numbers(measured)))

    async def _once_more(self, world: World, candidate: CandidateView) -> World:
        """The world in which a champion that withstood `champion_every` more full runs has one more trial of every task.

        A champion that was lucky in its audit stands longest, and hides what is better: the longer it stands, the better it
        must be known. Raises Pause.
        """
        settings, stood, first = self._parts.config.gate, world.stood, world.round_of(candidate.number)
        more, tried = len(stood) - 1, self._champion_repeats + len(stood) - 1
        met = len(world.full_runs_before(first, since=world.met_since))
        if (
            not settings.champion_grows
            or About(world.champion_id, Stage.AUDIT, Purpose.ADDED, first) in world.decisions
            or met // settings.champion_every <= more
            or tried >= settings.most_champion_repeats
        ):
            return world
        about = About(world.champion_id, Stage.AUDIT, Purpose.ADDED, first)
        plan = [(task, first * self._champion_repeats) for task in world.train]
        found = await self._few_errors(world, about, plan, "the champion")
        known = await self._standing(stood, world.seed)
        measured = score(results([*known, *found]))
        said = f"{measured} over {measured.trials} trials of {measured.tasks} tasks, after one more of each"
        return await self._decide(world, about, Decision("pass", said, score_numbers(measured)))

    async def _aged(self, world: World, first: int) -> World:
        """The world in which it is decided whether the champion's trials are too old for the round of which this is the first
        number, where age matters."""
        limit = self._parts.config.gate.champion_max_age
        # A simulated model does not drift, and its study is a function of its seed: no clock may enter it.
        if limit is None or self._parts.config.models.task.startswith("simulated/"):
            return world
        about, standing = About(world.champion_id, Stage.FULL, Purpose.AGE, first), world.standing
        if about in world.decisions:
            return world
        trials = await asyncio.to_thread(self._parts.reader.outcomes, standing)
        started = [datetime.fromisoformat(trial.started) for trial in trials]
        today = datetime.fromisoformat(now())
        hours = (today - min(started)).total_seconds() / 3600
        set_back = (max(started) - today).total_seconds() > CLOCK_SLACK_SECONDS
        old = set_back or hours > limit
        bound = f"the {limit:g} h of gate.champion_max_age"
        if set_back:
            said = f"the champion's trials ({standing}) began later than now: the clock was set back; they are run anew"
        elif old:
            said = f"the champion's trials ({standing}) are {hours:.1f} h old, over {bound}; they are run anew"
        else:
            said = f"the champion's trials are within {bound}"
        numbers: dict[str, Value] = {"hours": hours, "max_age": limit, "refresh": old, "standing": standing}
        return await self._decide(world, about, Decision("pass", said, numbers))

    def _beside(self, world: World, about: About, number: int) -> About:
        """The champion's trials side by side with those of candidate `number`."""
        return About(world.champion_id, about.stage, Purpose.BESIDE, number)

    def _arms(self, about: About, found: Sequence[TrialOutcome]) -> tuple[list[TrialOutcome], list[TrialOutcome]]:
        """The trials of an evaluation, and those that were run side by side with them."""
        own = self._name(about)
        mine = [outcome for outcome in found if outcome.planned.evaluation == own]
        return mine, [outcome for outcome in found if outcome.planned.evaluation != own]


def passed_before(world: World, candidate: CandidateView) -> list[bool]:
    """Whether the tests before a candidate's were passed, in order. What those of its own round came to it does not know, so they
    count as tests that found nothing: its level is what it would be at any order of theirs, or lower."""
    first = world.round_of(candidate.number)
    before = [row.kind == "promote" for row in world.full_runs_before(first)]
    beside = (world.decided(candidate_id(world.study, each), Stage.SPOT) for each in range(first, candidate.number))
    return before + [False for spot in beside if spot is not None and spot.kind == "pass"]
