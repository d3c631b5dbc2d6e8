"""The loop: scan the store, decide what is next, do it, until nothing is left.

    world = scan(query, study)
    command = next_command(world, config)     # pure, in `world`
    await execute(command)                    # stores its result in one transaction

A process that is killed leaves a store from which `scan` finds the same world, so the next one goes on where it ended:
plans are stored before their first trial, finished trials are never run again, and decisions follow from trials in planned
order.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from lorimer.benchmarks.base import Suite
from lorimer.config import Config
from lorimer.errors import BudgetExhausted, InternalError, LorimerError, ProviderOutage, UserError
from lorimer.harness.version import sha
from lorimer.meta_agent import gate, ledger
from lorimer.meta_agent.events import (
    Decided,
    Progress,
    Promoted,
    ProposalFailed,
    Proposed,
    Proposing,
    Silent,
    StageFinished,
    StageStarted,
    StudyEnded,
)
from lorimer.meta_agent.gate import Decision, Evidence, Outcome, Policy, Score
from lorimer.meta_agent.session import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.workspace import Promotion, Workspace
from lorimer.meta_agent.world import (
    CandidateView,
    Close,
    Evaluate,
    Finish,
    Promote,
    Propose,
    World,
    attempts,
    by_task_and_repeat,
    full_plan,
    next_command,
    outcomes,
    planned_trials,
    results,
    scan,
    score_numbers,
    score_of,
    spot_plan,
    spot_trials,
)
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import Owner
from lorimer.task_agent.executor import Attempt, PlannedTrial, TrialOutcome
from lorimer.traces.query import Query
from lorimer.traces.schema import Candidate, DecisionRow, Evaluation, Stage, Study, TaskRow, TrialState
from lorimer.traces.store import Store, this_process


class Trials(Protocol):
    """Runs planned trials; `task_agent.executor.Executor` is one."""

    async def run(
        self,
        plan: Sequence[PlannedTrial],
        harness_text: str,
        *,
        past: Mapping[str, Sequence[Attempt]] | None = None,
        stop: Callable[[Sequence[TrialOutcome]], bool] | None = None,
    ) -> list[TrialOutcome]:
        """The outcomes in plan order: all, or the prefix that `stop` accepted. What is settled by `past` is not run.

        Raises BudgetExhausted, ProviderOutage.
        """
        ...

    async def dry_start(self, harness_text: str, owner: Owner) -> str:
        """Load a harness in a jail; "" or why it does not start."""
        ...


class MetaModel(Protocol):
    """The metered model that proposes; `task_agent.limits.Metered.complete` is one."""

    async def __call__(self, request: ModelRequest, context: CallContext, *, owner: str, began: float) -> ModelReply:
        """One call, paid and traced under `owner`'s name, its time counted from `began` (monotonic).

        Raises BudgetExhausted, ProviderOutage, ConfigError.
        """
        ...


async def meta_agent(session: ProposalSession) -> Proposal | NoProposal:
    """The proposer of the product. Imported when it is used: measuring a harness needs none."""
    from lorimer.meta_agent.proposer import propose

    return await propose(session)


@dataclass(frozen=True)
class StudyParts:
    """What the loop works with. Opened and closed by the caller."""

    store: Store
    query: Query
    trials: Trials
    complete: MetaModel
    config: Config
    workspace: Workspace | None = None
    """Where promotions are committed; needed by `optimize` alone."""
    program: str = ""
    """The user's direction in plain English."""
    progress: Progress = field(default_factory=Silent)
    propose: Callable[[ProposalSession], Awaitable[Proposal | NoProposal]] = meta_agent


@dataclass(frozen=True)
class StudyResult:
    """Where a study stands when the loop ends."""

    study: str
    state: str
    """`finished` or `paused`."""
    reason: str
    baseline: Score | None
    """`None` where it was not measured to the end."""
    final: Score | None
    """The champion's audit; the baseline where nothing was promoted."""
    champion: str
    """SHA-256 of the champion's text."""
    champion_candidate: str
    """Its candidate id; empty for the seed harness."""
    candidates: Mapping[str, int]
    """How many are in each state."""


async def create(
    store: Store,
    *,
    study: str,
    kind: str,
    suite: Suite,
    holdout: Collection[str],
    config: Config,
    harness: str,
) -> None:
    """Store a new study: its tasks with their split, its settings and its seed harness.

    Args:
        kind: `optimize`, `run` or `check`.
        suite: the tasks that take part.
        holdout: ids of the sealed ones.

    Raises UserError when the study exists, or no task is left to train on.
    """
    sealed = set(holdout)
    if not any(task.id not in sealed for task in suite.tasks):
        raise UserError(f"{suite.name}: no task is left to work on; check [benchmark] tasks and [split]")
    rows = [
        TaskRow(
            study=study,
            id=task.id,
            position=position,
            split="holdout" if task.id in sealed else "train",
            digest=task.digest,
            instruction=task.instruction,
            category=task.category,
            difficulty=task.difficulty,
            isolation=task.isolation,
        )
        for position, task in enumerate(suite.tasks)
    ]
    row = Study(
        id=study,
        kind=kind,
        created=_now(),
        state="paused",
        state_reason="not started yet",
        seed=config.study.seed,
        task_model=config.models.task,
        meta_model=config.meta_model,
        benchmark=suite.name,
        suite_digest=suite.digest(),
        config=config.model_dump(mode="json"),
        seed_harness=sha(harness),
    )
    await store.create_study(row, rows, harness)


async def optimize(parts: StudyParts, study: str) -> StudyResult:
    """Run a study, new or interrupted, until it is finished, its budget is spent, or the world stops it.

    Cancelling it (Ctrl-C) stops cleanly: trials under way are dropped, finished ones kept, the state is `paused`.
    An outage pauses it; a spent budget finishes it. Both are results, and both can be resumed.

    Raises UserError when another process runs the study; other LorimerErrors after marking it `paused`.
    """
    loop = _Loop(parts, study)
    return await _attended(parts, study, loop.work)


async def evaluate(parts: StudyParts, study: str) -> StudyResult:
    """Run a study of kind `run`: its harness on all its tasks, `[gate] repeats` times each, and nothing more.

    Interrupted and resumed like `optimize`, and raising the same.
    """
    loop = _Loop(parts, study)
    return await _attended(parts, study, loop.measure)


async def _attended(parts: StudyParts, study: str, work: Callable[[], Awaitable[str]]) -> StudyResult:
    """`work` under the study's lock, its end stored whatever it is."""
    again = f"`lorimer resume {study}` goes on"
    async with _held(parts, study):
        try:
            state, reason = "finished", await work()
        except BudgetExhausted as error:
            state, reason = "finished", f"{error}; with a larger budget {again}"
        except ProviderOutage as error:
            state, reason = "paused", f"{error}; {again} when the provider answers"
        except _Pause as pause:
            state, reason = "paused", f"{pause}; {again}"
        except BaseException as error:
            said = str(error) or type(error).__name__
            why = "stopped by the user" if isinstance(error, asyncio.CancelledError) else said
            with suppress(LorimerError):  # a store that cannot be written is the error already on its way
                await _end(parts, study, "paused", f"{why}; {again}")
            raise
        await _end(parts, study, state, reason)
        return result(parts.query, study)


async def _end(parts: StudyParts, study: str, state: str, reason: str) -> None:
    await parts.store.set_study_state(study, state, reason)
    parts.progress.on_event(StudyEnded(study, state, reason))


@asynccontextmanager
async def _held(parts: StudyParts, study: str) -> AsyncIterator[None]:
    """The study is this process's alone, and leftovers of a dead one are marked."""
    holder = this_process()
    await parts.store.claim(study, holder)
    try:
        await parts.store.cancel_running(study)
        await parts.store.set_study_state(study, "running")
        yield
    finally:
        with suppress(LorimerError):  # a dead holder is taken over anyway
            await parts.store.release(study, holder)


def result(query: Query, study: str) -> StudyResult:
    """Where a study stands, from the store alone. Raises UserError for an unknown one."""
    world, row = scan(query, study), query.study(study)
    baseline = world.decided(world.baseline, Stage.BASELINE)
    final = world.decisions.get(world.standing)
    return StudyResult(
        study=study,
        state=row.state,
        reason=row.state_reason,
        baseline=score_of(baseline) if baseline else None,
        final=score_of(final) if final else None,
        champion=world.champion_harness,
        champion_candidate=world.champion.id if world.champion else "",
        candidates=dict(Counter(candidate.state for candidate in world.candidates)),
    )


class _Pause(Exception):
    """The study cannot go on by itself."""


class _Loop:
    """Executes commands for one study."""

    def __init__(self, parts: StudyParts, study: str) -> None:
        self._parts, self._study = parts, study
        self._retries = parts.config.retries.errored
        settings = parts.config.gate
        self._repeats = settings.repeats
        self._policy = Policy(
            name=settings.policy,
            alpha=settings.alpha,
            max_errored=settings.max_errored,
            holdout_margin=settings.holdout_margin,
            seed=parts.config.study.seed,
        )
        self._tell = parts.progress.on_event

    async def work(self) -> str:
        """Commands until `Finish`; its reason."""
        while True:
            world = await self._scan()
            command = next_command(world, self._parts.config)
            match command:
                case Finish(reason):
                    return reason
                case Evaluate(stage, candidate):
                    await self._evaluate(world, stage, candidate)
                case Propose(number):
                    await self._propose(world, number)
                case Promote(candidate):
                    await self._promote(world, candidate)
                case Close(candidate, state):
                    await self._parts.store.update_candidate(candidate.id, "proposed", state=state)

    async def measure(self) -> str:
        """The seed harness on all tasks."""
        world = await self._scan()
        if world.decided(world.baseline, Stage.BASELINE) is None:
            found = await self._run(world, Stage.BASELINE, None, by_task_and_repeat(world.train, self._repeats))
            await self._decide_measured(world.baseline, Stage.BASELINE, found)
        return "all trials were run"

    async def _scan(self) -> World:
        await self._parts.store.flush()
        return scan(self._parts.query, self._study)

    # ---- stages

    async def _evaluate(self, world: World, stage: Stage, candidate: CandidateView | None) -> None:
        if candidate is None:
            tasks = world.train if stage is Stage.BASELINE else world.holdout
            await self._baseline(world, stage, by_task_and_repeat(tasks, self._repeats))
        elif stage is Stage.SPOT:
            await self._spot(world, candidate)
        elif stage is Stage.FULL:
            await self._full(world, candidate)
        elif stage is Stage.HOLDOUT:
            await self._holdout(world, candidate)
        elif stage is Stage.AUDIT:
            plan = by_task_and_repeat(world.train, self._repeats)
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
            raise _Pause(
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

        def hopeless(prefix: Sequence[TrialOutcome]) -> bool:
            run.extend(results(prefix[len(run) :]))
            # Futility allows for full rewards to come, so one that came changes nothing.
            return prefix[-1].reward != 1.0 and gate.futile(Evidence(run, champion, planned), self._policy)

        found: list[TrialOutcome] = []
        if not gate.futile(Evidence([], champion, planned), self._policy):
            found = await self._run(world, Stage.FULL, candidate, plan, stop=hopeless)
        decision = gate.decide(Evidence(results(found), champion, planned), self._policy)
        await self._decide(candidate.id, Stage.FULL, decision)

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

    async def _decide(self, subject: str, stage: Stage, decision: Decision) -> None:
        row = DecisionRow(
            id=f"{subject}/{stage}",
            study=self._study,
            candidate=subject,
            stage=stage.value,
            kind=decision.kind,
            reason=decision.reason,
            numbers=dict(decision.numbers),
            policy=dict(self._policy.as_json()),
            made=_now(),
        )
        await self._parts.store.add_decision(row)
        self._tell(Decided(subject, stage, decision))

    # ---- candidates

    async def _propose(self, world: World, number: int) -> None:
        store, query, config = self._parts.store, self._parts.query, self._parts.config
        name = f"{self._study}/c{number:03}"
        self._tell(Proposing(name, number, config.budget.candidates))
        if world.open is None:
            parent = world.champion_harness
            row = Candidate(
                id=name,
                study=self._study,
                number=number,
                parent=parent,
                edit=[],
                fixes=[],
                at_risk=[],
                state="proposing",
            )
            await store.add_candidate(row)

        async def dry_start(text: str) -> str:
            return await self._parts.trials.dry_start(text, Owner(self._study, name))

        began = time.monotonic()

        async def complete(request: ModelRequest, context: CallContext) -> ModelReply:
            return await self._parts.complete(request, context, owner=name, began=began)

        session = ProposalSession(
            complete=complete,
            query=query,
            study=self._study,
            candidate=name,
            number=number,
            champion=query.harness(world.champion_harness).text,
            champion_trials=(world.standing,),
            train=tuple(query.tasks(self._study, "train")),
            experiments=ledger.for_meta_agent(query, self._study, self._retries),
            program=self._parts.program,
            settings=config.meta,
            seed=world.seed,
            dry_start=dry_start,
        )
        proposal = await self._parts.propose(session)
        if isinstance(proposal, NoProposal):
            await self._failed(name, proposal.reason)
            return
        harness = sha(proposal.text)
        twin = self._twin(world, harness)
        if twin:
            await self._failed(name, f"the edit gives the same harness as {twin}; running it again would only buy luck")
            return
        await store.add_harness(harness, proposal.text)
        changes: dict[str, Any] = {
            "state": "proposed",
            "harness": harness,
            "title": proposal.title,
            "hypothesis": proposal.hypothesis,
            "edit": [{"search": hunk.search, "replace": hunk.replace} for hunk in proposal.hunks],
            "fixes": list(proposal.fixes),
            "at_risk": list(proposal.at_risk),
        }
        await store.update_candidate(name, "proposing", **changes)
        fixes, at_risk = tuple(proposal.fixes), tuple(proposal.at_risk)
        self._tell(Proposed(name, proposal.title, proposal.hypothesis, fixes, at_risk))

    def _twin(self, world: World, harness: str) -> str:
        """An earlier harness with the same text about which something is known."""
        if harness == world.seed_harness:
            return "the seed harness"
        for each in world.candidates:
            if each.harness == harness and each.state in ("rejected", "promoted"):
                return f"{ledger.short(each.id)}, which was {each.state}"
        return ""

    async def _failed(self, name: str, reason: str) -> None:
        await self._parts.store.update_candidate(name, "proposing", state="failed", failure=reason)
        self._tell(ProposalFailed(name, reason))

    async def _promote(self, world: World, candidate: CandidateView) -> None:
        """Commit first, then store: a crash between the two finds its own commit again by the trailers."""
        workspace, query = self._parts.workspace, self._parts.query
        audit, full = world.decided(candidate.id, Stage.AUDIT), world.decided(candidate.id, Stage.FULL)
        if audit is None or full is None or candidate.harness is None:
            raise InternalError(f"{candidate.id} is to be promoted without an audit")
        score, commit, note = score_of(audit), "", ""
        if workspace is not None:
            promotion = Promotion(
                study=self._study,
                candidate=candidate.id,
                harness=candidate.harness,
                title=candidate.title,
                hypothesis=candidate.hypothesis,
                decision=full.reason,
                score=f"{score.mean:.3f}",
                interval=f"[{score.low:.3f}, {score.high:.3f}]",
            )
            text, champion = query.harness(candidate.harness).text, query.harness(world.champion_harness).text
            done = await asyncio.to_thread(workspace.promote, promotion, text, champion)
            commit, note = done.commit, done.note
        await self._parts.store.update_candidate(candidate.id, "proposed", state="promoted", commit=commit)
        self._tell(Promoted(candidate.id, candidate.title, commit, score, note))


def _forgiven(attempt: Attempt) -> Attempt:
    return replace(attempt, state=TrialState.CANCELLED) if attempt.state is TrialState.ERRORED else attempt


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
