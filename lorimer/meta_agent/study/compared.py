"""What all candidates of a round pass through at once, against the same champion: spot-checks, then full runs.

Plans and decisions are stored in order of their numbers: all plans before the first trial, and decisions as the runs end, none
before those of lower numbers. What a run reads is older than the round. So only trials run side by side, and nothing
follows from which of them end first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from lorimer.errors import InternalError
from lorimer.harness.size import size_of
from lorimer.meta_agent.gate import full_run
from lorimer.meta_agent.gate.comparison import Decision
from lorimer.meta_agent.gate.design import Design, TooLittle, left_to_win
from lorimer.meta_agent.gate.full_run import FullRun
from lorimer.meta_agent.gate.looks import Looks
from lorimer.meta_agent.gate.opponent import Opponent, opponent
from lorimer.meta_agent.gate.pairs import PairPlan, pair_verdict
from lorimer.meta_agent.gate.plans import Luck, by_task_and_repeat, full_plan, rounds, spot_plan, spot_trials
from lorimer.meta_agent.gate.statistics.alpha import at_level
from lorimer.meta_agent.gate.statistics.policies import ANYTIME, Policy, Value
from lorimer.meta_agent.gate.statistics.scores import score
from lorimer.meta_agent.gate.verdicts import spot_verdict
from lorimer.meta_agent.replay.chained import trials_of
from lorimer.meta_agent.replay.pairs import parted_pairs, planned_pairs, stored_pairs, touched_failures
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import About, candidate_id, short
from lorimer.meta_agent.state.trials import EarlierRates, Withstood, paid, results, rewards
from lorimer.meta_agent.state.world import World, score_numbers
from lorimer.meta_agent.study.candidates.abreast import abreast
from lorimer.meta_agent.study.stage_trials import StageTrials
from lorimer.meta_agent.workspace.parts import StudyParts, now
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.traces.schema import Purpose, Stage

CLOCK_SLACK_SECONDS = 60.0
"""A clock may be behind one of an hour ago by this before it counts as set back, and an age by it as unknown."""


@dataclass(frozen=True)
class Judged:
    """What a run came to; not stored yet."""

    about: About
    decision: Decision
    policy: Policy | None = None
    """The one that judged it, where that is not the study's."""


RunStage = Callable[[], Awaitable[Judged]]
"""Runs the trials of a candidate, whose plan is stored, and judges them. It reads nothing that a run beside it writes."""


class Comparisons(StageTrials):
    """Compares the candidates of one study's rounds with its champion."""

    def __init__(self, parts: StudyParts, study: str) -> None:
        super().__init__(parts, study)
        settings = parts.config.gate
        self._repeats, self._champion_repeats = settings.repeats, settings.first_champion_repeats
        read = partial(rewards, parts.reader, retries=self._retries)
        self._earlier, self._withstood = EarlierRates(read), Withstood(read)

    async def compare(self, world: World, stage: Stage, candidates: Sequence[CandidateView]) -> World:
        """Run the spot-checks or the full runs of these candidates of a round, and store their decisions; the world after them.

        Raises Pause; BudgetExhausted once the trials of all have ended, each within what was set aside for it.
        """
        prepare, runs = self._spot if stage is Stage.SPOT else self._full, list[RunStage]()
        for each in candidates:
            world, run = await prepare(world, each)
            runs.append(run)

        async def decide(judged: Judged) -> None:
            nonlocal world
            world = await self._decide(world, judged.about, judged.decision, judged.policy)

        await abreast([run() for run in runs], decide)
        return world

    async def _spot(self, world: World, candidate: CandidateView) -> tuple[World, RunStage]:
        settings, about = self._parts.config.gate, About(candidate.id, Stage.SPOT)
        pairs = await self._pairs(world, candidate)
        if pairs is not None:
            await self._rows(world, about, trials_of(pairs), pairs=pairs)
            return world, partial(self._spot_in_pairs, world, about, pairs)
        champion = results(await self._standing(world.stood, world.seed))
        touched = await self._touched(world, candidate)
        luck, many = Luck(world.seed, candidate.number), (settings.spot_fixes, settings.spot_guards)
        plan = self._stored_plan(about) or spot_plan(candidate.fixes, luck, champion, *many, touched)
        if plan:
            await self._rows(world, about, plan)

        async def run() -> Judged:
            found = await self._run(world, about, plan) if plan else []
            return Judged(about, spot_verdict(spot_trials(results(found), champion), self._policy.ends))

        return world, run

    async def _touched(self, world: World, candidate: CandidateView) -> list[str]:
        """The tasks of the champion's failed trials that an edit is known to touch."""
        if not self._parts.config.replay.enabled or candidate.touches is None:
            return []
        return await asyncio.to_thread(touched_failures, self._parts.reader, world, candidate)

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

    async def _spot_in_pairs(self, world: World, about: About, pairs: PairPlan) -> Judged:
        def verdict(found: Sequence[TrialOutcome]) -> Decision | None:
            parted = parted_pairs(self._parts.reader, self._name(about), [outcome.planned for outcome in found])
            return pair_verdict(pairs, [outcome.reward for outcome in found], parted)

        found = await self._run(
            world, about, trials_of(pairs), stop=lambda found: verdict(found) is not None, pairs=pairs, ordered=True
        )
        decision = await asyncio.to_thread(verdict, found)
        if decision is None:
            raise InternalError(f"{about.subject} was checked in {len(found)} pairs, which decide nothing")
        return Judged(about, decision)

    async def _opponent(self, world: World, candidate: CandidateView, standing: Sequence[TrialOutcome]) -> Opponent:
        """Whom a candidate meets in its full run, given the champion's own trials."""
        return await asyncio.to_thread(
            opponent,
            results(standing),
            pools=self._parts.config.gate.pools,
            withstood=partial(self._withstood.before, world, candidate),
            earlier=partial(self._earlier.before, world, candidate),
        )

    async def left_to_win(self, world: World) -> TooLittle | None:
        """Why the next candidate cannot be promoted over the champion; `None` where it can, be it as simpler or cheaper."""
        config, number = self._parts.config, world.next_number
        gate = config.gate
        if gate.simplify_margin is not None or gate.tie_break != "none":
            return None
        standing = results(await self._standing(world.stood, world.seed))
        withstood = await asyncio.to_thread(self._withstood.at, world, number) if gate.pools else []
        passed = [row.kind == "promote" for row in world.full_runs_before(number)]
        look = partial(left_to_win, Design.of(config), world.train, standing, withstood, passed)
        found = await asyncio.to_thread(look)
        # Trials of the champion that are still to come may show it to be less than it seems.
        grows = gate.champion_grows and self._champion_repeats + len(world.stood) - 1 < gate.most_champion_repeats
        if found is not None and (grows or gate.champion_max_age is not None):
            return replace(found, lasts=False)
        return found

    async def _full(self, world: World, candidate: CandidateView) -> tuple[World, RunStage]:
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
                results(mine), results(theirs) if side else met.champion, planned, side, simpler, met.weights, met.own
            )

        looks = await asyncio.to_thread(Looks, run_of([]), policy, settings)
        own = self._name(about)
        beside = self._beside(world, about, candidate.number) if side else None
        if side or not looks.settled:
            await self._rows(world, about, plan, beside)

        def enough(prefix: Sequence[TrialOutcome]) -> bool:
            fresh = prefix[looks.read :]
            for outcome, trial in zip(fresh, results(fresh), strict=True):
                looks.add(trial, of_champion=outcome.planned.evaluation != own)
            # Side by side the gate looks at the ends of rounds alone.
            return (not side or len(prefix) in ends) and looks.settled

        async def run() -> Judged:
            found: list[TrialOutcome] = []
            if side or not looks.settled:
                found = await self._run(world, about, plan, stop=enough, beside=beside, ordered=not side)
            whole, (mine, theirs) = run_of(found), split(found)
            decision = await asyncio.to_thread(full_run.full_verdict, whole, policy, settings)
            kinds = full_run.units(settings, decision)
            if kinds:
                mine = mine[: int(decision.numbers["run"] or 0)] if decision.kind == "promote" else mine
                cost = await asyncio.to_thread(paid, mine, theirs, kinds)
                decision = await asyncio.to_thread(full_run.full_verdict, whole, policy, settings, cost)
            return Judged(about, decision, policy)

        return world, run

    def _simpler(self, world: World, candidate: CandidateView) -> bool:
        if self._parts.config.gate.simplify_margin is None or candidate.harness is None:
            return False
        mine, theirs = (self._parts.reader.harness(sha).text for sha in (candidate.harness, world.champion_harness))
        return size_of(mine).simpler_than(size_of(theirs))

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


def passed_before(world: World, candidate: CandidateView) -> list[bool]:
    """Whether the tests before a candidate's were passed, in order. What those of its own round came to it does not know, so they
    count as tests that found nothing: its level is what it would be at any order of theirs, or lower."""
    first = world.round_of(candidate.number)
    before = [row.kind == "promote" for row in world.full_runs_before(first)]
    beside = (world.decided(candidate_id(world.study, each), Stage.SPOT) for each in range(first, candidate.number))
    return before + [False for spot in beside if spot is not None and spot.kind == "pass"]
