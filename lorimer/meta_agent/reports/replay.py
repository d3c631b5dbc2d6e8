"""`lorimer gate replay`: a study's candidates decided again under another gate, from the trials that are stored. Nothing is run.

What can be told is told: a run that was complete, or that the other gate would have ended no later, has its decision. What
cannot is said to be open: a run that ended where the other gate would have gone on, a holdout or an audit that was never run.
And once a promotion comes out differently, another champion would have held: what follows is decided against the champion
that the study had, and marked as counterfactual.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lorimer.config.gate import GateSettings
from lorimer.config.settings import Config, parse_stored
from lorimer.errors import UserError
from lorimer.harness.size import size_of
from lorimer.meta_agent.gate import full_run
from lorimer.meta_agent.gate.comparison import Decision
from lorimer.meta_agent.gate.confirmation import ROUNDS
from lorimer.meta_agent.gate.cost import Paid, Unit, bound_words, bounded, held_back, within_cost
from lorimer.meta_agent.gate.design import policy_of
from lorimer.meta_agent.gate.full_run import FullRun
from lorimer.meta_agent.gate.opponent import Opponent, opponent
from lorimer.meta_agent.gate.statistics.alpha import at_level
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.gate.transfer import WHOSE, not_carried
from lorimer.meta_agent.reports.other_ends import confirmed_again, spot_again
from lorimer.meta_agent.state.folding import UNDER_WAY, CandidateView
from lorimer.meta_agent.state.names import About, evaluation_id
from lorimer.meta_agent.state.sealed import told
from lorimer.meta_agent.state.stored import StoredRuns
from lorimer.meta_agent.state.trials import (
    EarlierRates,
    Withstood,
    paid,
    paid_for,
    results,
    scored_costs,
    settled_trials,
)
from lorimer.meta_agent.state.world import World, scan
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.bulk import TrialCost
from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.tables import DecisionRow
from lorimer.wording import a, count

State = Literal["promoted", "rejected", "undecided", "open"]


@dataclass(frozen=True)
class DecidedAgain:
    """One candidate, decided again."""

    candidate: str
    number: int
    title: str
    before: str
    """Its state in the study."""
    after: State
    """`open`: the stored trials do not tell."""
    changed: bool
    reason: str
    """The other gate's words, or why it is open."""
    was: str
    """The study's own words."""
    trials: int
    """Trials of its full run that are stored without a gap, of the candidate's arm: those that the study's gate read, and those
    under way beside them."""
    read: int | None
    """How many of those the other gate would have read; `None` where it is open."""
    level: float
    """The alpha of its test."""
    counterfactual: bool
    """An earlier promotion came out differently, or may have: this one's champion could have been another."""


@dataclass(frozen=True)
class GateReplay:
    """A study under another gate."""

    study: str
    gate: str
    """The other gate, in words."""
    was: str
    """The study's own."""
    candidates: tuple[DecidedAgain, ...]
    skipped: int
    """Candidates without a usable edit, or not decided yet."""

    @property
    def changed(self) -> int:
        return sum(each.changed for each in self.candidates)

    @property
    def open(self) -> int:
        return sum(each.after == "open" for each in self.candidates)


def replay(reader: StudyReader, study: str, overrides: dict[str, Any]) -> GateReplay:
    """Decide a study's candidates again.

    Args:
        overrides: dotted keys of [gate] that differ; none decides them under the study's own gate.

    Raises UserError for a study that is no optimisation, where nothing has been decided, and for another margin of the holdout
    while the study goes on; ConfigError for a wrong value.
    """
    row = reader.study(study)
    if row.kind != "optimize":
        raise UserError(f"{study} is {a(row.kind)}, which decides nothing; `lorimer optimize` makes studies to replay")
    astray = [key for key in overrides if not key.startswith("gate.")]
    if astray:
        raise UserError(f"--set {astray[0]}: a replay runs nothing, so only [gate] can be changed")
    own = parse_stored(row.config, study)
    config = parse_stored(row.config, study, overrides)
    if config.gate.holdout_margin != own.gate.holdout_margin and not told(row):
        # Each margin would be one more query of the sealed tasks, and nobody would count it.
        raise UserError(
            "--set gate.holdout_margin: what the sealed tasks say under another margin is told when the study has finished, as "
            "people may steer by it before"
        )
    world = scan(reader, study)
    found, passed, differs = list[DecidedAgain](), dict[int, bool](), False
    runs = StoredRuns(reader, config.retries.errored, _asked(world, config.gate))
    earlier, withstood = EarlierRates(runs.rewards), Withstood(runs.rewards)
    for candidate in world.candidates:
        again = _Again(reader, world, config, own, candidate, runs, earlier, withstood).decide(
            _before(passed, candidate.first), differs
        )
        if again is None:
            continue
        found.append(again[0])
        if again[1] is not None:
            passed[candidate.number] = again[1]
        after = again[0].after
        differs = differs or after == "open" or (after == "promoted") != (again[0].before == "promoted")
    if not found:
        raise UserError(f"no candidate of {study} has been decided yet; `lorimer resume {study}` goes on")
    return GateReplay(study, _words(config.gate), _words(own.gate), tuple(found), len(world.candidates) - len(found))


def _before(passed: Mapping[int, bool], first: int) -> list[bool]:
    """The tests before that of a candidate whose round has this first number; those of its own round found nothing
    (`study.compared`)."""
    return [was and number < first for number, was in passed.items()]


def _asked(world: World, gate: GateSettings) -> list[str]:
    """The evaluations that are looked at, in the order in which they are."""
    asked: dict[str, None] = {}
    for candidate in world.candidates:
        if world.decided(candidate.id, Stage.FULL) is not None:
            asked |= dict.fromkeys(_evaluations(world, candidate))
            if gate.policy == "pooled":
                asked |= dict.fromkeys(world.withstood(candidate.number))
    return list(asked)


def _evaluations(world: World, candidate: CandidateView) -> tuple[str, ...]:
    """A candidate's full run, the champion's beside it, and those that stood for the champion."""
    return (
        evaluation_id(world.study, About(candidate.id, Stage.FULL)),
        world.beside(candidate.number, Stage.FULL),
        *world.stood_for(candidate.number),
    )


@dataclass(frozen=True)
class _Stored:
    """A full run as the other gate would have planned it, as far as its trials are stored."""

    run: FullRun
    met: Opponent
    missing: str
    """What keeps it from being decided; "" where nothing does."""
    mine: Sequence[tuple[str, int]]
    """The candidate's trials."""
    theirs: Sequence[tuple[str, int]] | None
    """The champion's, where they were run side by side."""


class _Again:
    """One candidate under another gate."""

    def __init__(
        self,
        reader: StudyReader,
        world: World,
        config: Config,
        own: Config,
        candidate: CandidateView,
        runs: StoredRuns,
        earlier: EarlierRates,
        withstood: Withstood,
    ) -> None:
        self._reader, self._world, self._candidate = reader, world, candidate
        self._runs, self._earlier, self._withstood = runs, earlier, withstood
        self._settings, self._own = config.gate, own.gate
        self._policy, self._retries = policy_of(config), config.retries.errored

    def decide(self, passed: Sequence[bool], differs: bool) -> tuple[DecidedAgain, bool | None] | None:
        """The candidate again, and whether it passed its test; `None` for a candidate that was never decided."""
        world, candidate = self._world, self._candidate
        spot, full = world.decided(candidate.id, Stage.SPOT), world.decided(candidate.id, Stage.FULL)
        policy = at_level(self._policy, self._settings.error, passed)
        last = full or spot
        if last is None or (full is None and spot is not None and spot.kind == "pass"):
            return None
        checked = self._checked(spot)
        if checked == "reject":
            said = (
                "the spot-check is the same under every policy"
                if full is None
                else "its spot-check would have rejected it"
            )
            return self._told("rejected", said, last.reason, 0, 0, policy, differs), None
        if full is None or checked is None:
            said = f"its spot-check was judged by gate.revision {self._own.revision}, and could have come out otherwise"
            return self._told("open", said, last.reason, 0, None, policy, differs), None
        stored = self._stored()
        run = stored.run
        decision = None if stored.missing else self._judged(stored, policy)
        if decision is None:
            said = stored.missing or (
                f"the first {len(run.candidate)} of {len(run.planned)} planned trials are stored; this gate would have gone on"
            )
            return self._told("open", said, full.reason, len(run.candidate), None, policy, differs), False
        read = int(decision.numbers.get("run") or 0)
        state, said = self._after(decision)
        promoted = decision.kind == "promote"
        return self._told(state, said, full.reason, len(run.candidate), read, policy, differs), promoted

    def _checked(self, spot: DecisionRow | None) -> str | None:
        """What the spot-check comes to: `reject`, `pass`, or `None` where its trials do not tell."""
        if spot is None:
            return "pass"
        if self._settings.revision == self._own.revision:
            return spot.kind
        return spot_again(spot.kind, spot.numbers, self._policy.ends)

    def _stored(self) -> _Stored:
        world, candidate, repeats = self._world, self._candidate, self._settings.repeats
        full, beside, *stood = _evaluations(world, candidate)
        own, side = self._runs.run(full), self._runs.run(beside)
        # A run that the champion's trials had settled before it began has no plan of its own.
        plan = own.plan if own is not None else [(task, n) for n in range(self._own.repeats) for task in world.train]
        planned = [task for task, repeat in plan if repeat < repeats]
        mine = own.prefix(repeats) if own is not None else []
        missing = ""
        if repeats > self._own.repeats:
            missing = f"only {self._own.repeats} trials per task were planned, not {repeats}"
        if self._settings.champion != self._own.champion:
            missing = f"the champion's trials were {self._own.champion}, not {self._settings.champion}"
        theirs: list[tuple[str, int]] | None = None
        if side is not None:
            theirs = side.prefix(repeats)
            both = min(len(mine), len(theirs))
            mine, theirs = mine[:both], theirs[:both]
            champion: Sequence[Result] = side.results(theirs)
        else:
            champion = self._runs.standing(stood)
        met = opponent(
            champion,
            pools=self._settings.policy == "pooled" and side is None,
            withstood=lambda: self._withstood.before(world, candidate),
            earlier=lambda: self._earlier.before(world, candidate),
        )
        simpler = self._settings.simplify_margin is not None and self._simpler()
        results = own.results(mine) if own is not None else []
        run = FullRun(results, met.champion, planned, side is not None, simpler, met.weights, met.own)
        return _Stored(run, met, missing, mine, theirs)

    def _simpler(self) -> bool:
        mine, theirs = self._candidate.harness, self._world.champion_before(self._candidate.number)
        row = self._reader.candidate(theirs) if theirs else None
        champion = (row.harness if row is not None else None) or self._world.seed_harness
        if mine is None:
            return False
        return size_of(self._reader.harness(mine).text).simpler_than(size_of(self._reader.harness(champion).text))

    def _judged(self, stored: _Stored, policy: Policy) -> Decision | None:
        """The decision, or `None` where the trials that were never run could still make it."""
        run, settings, policy = stored.run, self._settings, stored.met.judged_by(policy)

        def verdict(of: FullRun, length: int | None) -> Decision:
            first = full_run.full_verdict(of, policy, settings)
            kinds = full_run.units(settings, first)
            if not kinds:
                return first
            read = stored.mine[:length]
            cost = self._paid(
                kinds,
                read[: int(first.numbers.get("run") or 0)] if first.kind == "promote" else read,
                None if stored.theirs is None else stored.theirs[:length],
            )
            return full_run.full_verdict(of, policy, settings, cost)

        end = full_run.ended_at(run, policy, settings)
        if end is not None or run.complete:
            return verdict(run if end is None else run.cut(end), end)
        if run.beside or settings.tie_break != "none":
            return None
        failed = [*run.candidate, *(Result(task, 0.0) for task in run.planned[len(run.candidate) :])]
        worst = verdict(replace(run, candidate=failed), None)
        if worst.kind != "promote":
            return None
        said = f"{worst.reason}, even had all {len(run.planned) - len(run.candidate)} trials that were not run failed"
        return Decision("promote", said, dict(worst.numbers) | {"run": len(run.candidate)})

    def _paid(
        self, kinds: set[Unit], mine: Sequence[tuple[str, int]], theirs: Sequence[tuple[str, int]] | None
    ) -> Paid:
        """What these trials of the candidate cost, and those of the champion: all that stood for it where none are named."""
        full, beside, *stood = _evaluations(self._world, self._candidate)
        found = scored_costs(self._reader, [full, *(stood if theirs is None else [beside])], self._retries)

        def these(evaluation: str, trials: Iterable[tuple[str, int]]) -> list[TrialCost]:
            known = found[evaluation]
            return [known[trial] for trial in trials if trial in known]

        if theirs is not None:
            return paid_for(these(full, mine), these(beside, theirs), kinds)
        stored = [(name, run.rewards) for name in stood if (run := self._runs.run(name)) is not None]
        return paid_for(these(full, mine), [cost for each in stored for cost in these(*each)], kinds)

    def _after(self, decision: Decision) -> tuple[State, str]:
        """Where the candidate would have ended."""
        world, candidate = self._world, self._candidate
        if decision.kind != "promote":
            return ("rejected" if decision.kind == "reject" else "undecided"), decision.reason
        holdout, audit = (world.decided(candidate.id, stage) for stage in (Stage.HOLDOUT, Stage.AUDIT))
        if audit is not None and self._settings.policy == audit.policy.get("name") == "pooled":
            kind, said = self._bounded(audit)
            if not kind:
                return "open", f"{decision.reason}; its confirmation ended where this gate's would have gone on"
            if kind != "pass":
                return ("rejected" if kind == "reject" else "undecided"), said
        if candidate.state == "promoted" and self._settings.holdout_margin == self._own.holdout_margin:
            return "promoted", decision.reason
        if world.holdout:
            if holdout is None:
                return "open", f"{decision.reason}; {self._missing(audit)}"
            difference = holdout.numbers.get("difference")
            if holdout.kind == "undecided" or difference is None:
                return "undecided", holdout.reason
            if difference < -self._settings.holdout_margin - 1e-9:
                margin = self._settings.holdout_margin
                return "rejected", f"{decision.reason}; then vetoed by the sealed holdout, with a margin of {margin:g}"
            lost = not_carried(holdout.numbers)
            if lost:
                gain = f"what it gains over {WHOSE[lost]} on train tasks is not there"
                return "rejected", f"{decision.reason}; then vetoed by the sealed holdout: {gain}"
        if audit is None:
            return "open", f"{decision.reason}; its audit {'is not over' if self._under_way else 'was never run'}"
        return "promoted", decision.reason

    @property
    def _under_way(self) -> bool:
        return self._candidate.state in UNDER_WAY

    def _missing(self, audit: DecisionRow | None) -> str:
        """What the study does not know of a candidate that has met no sealed task."""
        if audit is None:
            return f"its audit and the holdout, which could veto it, {'are not over' if self._under_way else 'were never run'}"
        return f"the holdout, which could veto it, {'is not over' if self._under_way else 'was never run'}"

    def _bounded(self, audit: DecisionRow) -> tuple[str, str]:
        """The kind and the reason of an audit's decision under this gate's ends and bound on cost; its own where these are the
        same. There is no kind where the trials that were never run could still make it."""
        settings, own = (
            (each.max_cost_increase, each.cost_increase_per_point, each.cost, each.revision)
            for each in (self._settings, self._own)
        )
        other = self._settings.revision != self._own.revision
        if settings == own or not (other or audit.kind == "pass" or held_back(audit.kind, audit.numbers)):
            return audit.kind, audit.reason
        champion = self._world.champion_before(self._candidate.number)
        beside = About(champion, Stage.AUDIT, Purpose.ADDED, self._candidate.number)
        mine, theirs = (
            settled_trials(self._reader, name, self._world.seed, self._retries)
            for name in (audit.id, evaluation_id(self._world.study, beside))
        )
        met = Decision("pass", "confirmed: in fresh trials side by side with the champion's", audit.numbers)
        if other:
            train = self._world.train
            again = confirmed_again(results(mine), results(theirs), len(train), train * ROUNDS, self._policy)
            if again is None or again.kind != "pass":
                return ("", "") if again is None else (again.kind, again.reason)
            read = int(again.numbers["run"] or 0)
            met, mine, theirs = again, mine[:read], theirs[:read]
        cost = paid(mine, theirs, bounded(self._settings, met))
        found = within_cost(met, cost, self._settings.cost, self._policy)
        return found.kind, found.reason

    def _told(
        self, after: State, said: str, was: str, trials: int, read: int | None, policy: Policy, differs: bool
    ) -> DecidedAgain:
        before = self._candidate.state
        return DecidedAgain(
            candidate=self._candidate.id,
            number=self._candidate.number,
            title=self._candidate.title,
            before=before,
            after=after,
            changed=after not in (before, "open"),
            reason=said,
            was=was,
            trials=trials,
            read=read,
            level=policy.alpha,
            counterfactual=differs,
        )


def _words(settings: GateSettings) -> str:
    said = f"policy {settings.policy}"
    if settings.policy != "strict":
        said += f", alpha {settings.alpha:g} per {'study' if settings.error == 'study' else 'candidate'}"
        said += f", futility {settings.futility:g}"
    bound = bound_words(settings.max_cost_increase, settings.cost_increase_per_point)
    return f"{said}, {count(settings.repeats, 'trial')} per task, ends of revision {settings.revision}, {bound}"
