"""The stages: from a plan through trials to a stored decision.

Each is one transaction in the end. Until then a stage may be run again at no cost: its plan is stored before its first trial,
and finished trials are taken from the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from lorimer.errors import InternalError
from lorimer.meta_agent.gate import confirmation, transfer
from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.cost import bounded, within_cost
from lorimer.meta_agent.gate.plans import by_task_and_repeat
from lorimer.meta_agent.gate.statistics.policies import Value
from lorimer.meta_agent.gate.statistics.scores import Result, score
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import About, short
from lorimer.meta_agent.state.trials import (
    paid,
    results,
)
from lorimer.meta_agent.state.world import World, score_numbers
from lorimer.meta_agent.study.canary import canary_verdict
from lorimer.meta_agent.study.compared import Comparisons
from lorimer.meta_agent.workspace.parts import StudyParts
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.traces.schema import Purpose, Stage

SEED = "the seed harness"


class Stages(Comparisons):
    """Runs and decides the stages of one study."""

    def __init__(self, parts: StudyParts, study: str) -> None:
        super().__init__(parts, study)
        self._holdout_repeats = parts.config.gate.holdout_repeats

    async def measure(self, world: World) -> None:
        """The seed harness on all tasks, whatever errors."""
        if world.decided("", Stage.BASELINE) is None:
            about = About("", Stage.BASELINE)
            found = await self._heard(world, about, by_task_and_repeat(world.train, self._champion_repeats), SEED)
            await self._decide_measured(world, about, found)

    async def evaluate(self, world: World, stage: Stage, candidate: CandidateView | None) -> World:
        """Run a stage of a candidate, or of the seed harness, and store its decision; the world after it. Raises Pause.

        Those that a round passes through at once are `compare`'s.
        """
        about = About(candidate.id if candidate else "", stage)
        if stage is Stage.CANARY:
            found = await self._run(world, about, by_task_and_repeat(world.canaries, 1))
            return await self._decide(world, about, canary_verdict(found))
        if candidate is None:
            if stage is Stage.BASELINE:
                return await self._baseline(world, about, by_task_and_repeat(world.train, self._champion_repeats))
            return await self._baseline(world, about, by_task_and_repeat(world.holdout, self._holdout_repeats))
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
        both = await self._few_errors(world, about, plan, "the champion", "the seed harness", beside=seed)
        mine, theirs = self._arms(about, both)
        champion, before = score(results(mine)), score(results(theirs))
        said = f"{champion} on the holdout against {before} of the seed harness, side by side over {champion.trials} trials each"
        numbers: dict[str, Value] = dict(score_numbers(champion))
        numbers |= {f"seed_{key}": value for key, value in score_numbers(before).items()}
        return await self._decide(world, about, Decision("pass", f"{said}, which decided nothing", numbers))

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
