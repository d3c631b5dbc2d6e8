"""What to do next with a study: a pure function of its world, and the commands that it gives.

All of a round are proposed, then spot-checked, then those that passed have their full run, each time at once and against the same
champion. Of those that passed this too, the one with the lowest p is confirmed first; where it fails, the next. Once one is
promoted, the edits of the others were made for a harness that is champion no more: they are rebased, and judged again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorimer.kinds import SOLVED
from lorimer.meta_agent.gate.ranking import p_of
from lorimer.meta_agent.state.folding import CandidateView, Round
from lorimer.meta_agent.state.names import STAGES, About
from lorimer.meta_agent.state.world import World
from lorimer.traces.schema import Purpose, Stage

if TYPE_CHECKING:  # what reads a study needs no settings
    from lorimer.config.settings import Config

CHEATS = "it passed a task that cannot be solved, so it gets rewards without the work"
"""What is said of a harness that passed a canary."""

COMPARED = (Stage.SPOT, Stage.FULL)
"""The stages that all of a round pass through before any of it goes on: what follows is asked of one after another."""


@dataclass(frozen=True)
class Evaluate:
    """Run a stage's trials and store what follows from them. `candidate` is `None` for the seed harness."""

    stage: Stage
    candidate: CandidateView | None = None
    others: tuple[CandidateView, ...] = ()
    """The others of its round that are to be evaluated at this stage as well, in order of number."""


@dataclass(frozen=True)
class Propose:
    """Have the meta-agent make candidate `number`, which begins a round where it is not in one yet."""

    number: int
    most: int = 1
    """The candidates that may be proposed in the round that begins."""
    others: tuple[int, ...] = ()
    """The others of its round that are to be proposed as well, in order."""


@dataclass(frozen=True)
class Apply:
    """Apply a candidate that was made for an earlier champion to the one of today."""

    candidate: CandidateView


@dataclass(frozen=True)
class Rebase:
    """Put the edits of these candidates, which passed their full runs, forward again as edits of the champion that came of their
    round."""

    champion: CandidateView
    candidates: tuple[CandidateView, ...]


@dataclass(frozen=True)
class Promote:
    """Commit an audited candidate and make it the champion."""

    candidate: CandidateView


@dataclass(frozen=True)
class Await:
    """Stop until a person has approved or refused a promotion."""

    candidate: CandidateView


@dataclass(frozen=True)
class Measure:
    """Run the champion once more, for a score by trials that decided nothing: on every train task (`audit`), or on the
    sealed ones side by side with the seed harness (`holdout`)."""

    stage: Stage


@dataclass(frozen=True)
class FinishStudy:
    """Nothing is left to do."""

    reason: str


Command = Evaluate | Propose | Apply | Rebase | Promote | Await | Measure | FinishStudy


def next_command(world: World, config: Config, unwinnable: str = "") -> Command:
    """What to do next. Pure.

    Args:
        unwinnable: why no candidate can be promoted over the champion any more; "" where one can, or nobody has looked.
    """
    if world.canaries:
        decision = world.decided("", Stage.CANARY)
        if decision is None:
            return Evaluate(Stage.CANARY)
        if decision.kind == "reject":
            return FinishStudy(f"the seed harness cheats: {CHEATS}; put it right and start a new study")
    if world.decided("", Stage.BASELINE) is None:
        return Evaluate(Stage.BASELINE)
    if world.holdout and world.decided("", Stage.HOLDOUT) is None:
        return Evaluate(Stage.HOLDOUT)
    found = world.round
    if found is not None:
        return _next_in(found, world, config)
    reason = _why_finished(world, config) or unwinnable
    if not reason:
        limit = config.budget.candidates
        left = config.search.width if limit is None else limit - world.proposals
        return Propose(world.next_number, min(config.search.width, left))
    return _closing(world, config, reason)


def _closing(world: World, config: Config, reason: str) -> Command:
    """What is measured before the study ends for this reason, then its end."""
    if config.gate.policy == "pooled" and world.champion is not None:
        for stage in (Stage.AUDIT, *([Stage.HOLDOUT] if world.holdout else [])):
            if About(world.champion_id, stage, Purpose.FINAL, world.next_number) not in world.decisions:
                return Measure(stage)
    return FinishStudy(reason)


def _why_finished(world: World, config: Config) -> str:
    """Why no further candidate is to be proposed; "" where one is."""
    worn = _worn_out(world, config)
    if worn:
        return worn
    patience, limit = config.meta.patience, config.budget.candidates
    if limit is not None and world.proposals >= limit:
        tried = world.proposals
        more = f"`lorimer resume {world.study} --set budget.candidates={2 * tried}` goes on"
        # A resume may ask for fewer than were tried already.
        said = f"{tried} of {limit} tried" if tried == limit else f"{tried} tried, and {limit} asked for"
        return f"budget.candidates: {said}; {more}"
    standing = world.reported
    if standing is not None and (standing.numbers.get("score") or 0.0) >= SOLVED:
        return "the champion solves every train task in every trial; there is nothing left to win"
    failed = world.fruitless
    if failed >= patience:
        what = "proposals" if config.search.width == 1 else "rounds"
        return f"the last {failed} {what} held no usable edit (meta.patience is {patience})"
    return ""


def _worn_out(world: World, config: Config) -> str:
    """Why the sealed tasks may not be asked again; "" where they may."""
    asked, cap = world.holdout_queries, config.gate.holdout_queries
    if not world.holdout or cap is None or asked < cap:
        return ""
    return f"gate.holdout_queries: the sealed holdout has answered {asked} of {cap} times; it is worn out"


def _next_in(found: Round, world: World, config: Config) -> Command:
    """What to do next in the round under way."""
    under_way = found.under_way
    unmade = [each.number for each in under_way if each.state == "proposing"]
    if unmade:
        return Propose(unmade[0], others=tuple(unmade[1:]))
    if found.promoted is not None:
        return Rebase(found.promoted, under_way)
    for each in under_way:
        late = each.follows and each.parent != world.champion_harness
        if late and not any(world.decided(each.id, stage) for stage in STAGES):
            return Apply(each)
    for stage in COMPARED:
        ahead = [each for each in under_way if world.decided(each.id, stage) is None]
        if ahead:
            return Evaluate(stage, ahead[0], tuple(ahead[1:]))
    return _next_for(min(under_way, key=lambda each: (_p(each, world), each.number)), world, config)


def _p(candidate: CandidateView, world: World) -> float:
    full = world.decided(candidate.id, Stage.FULL)
    return 1.0 if full is None else p_of(full.numbers)


def _next_for(candidate: CandidateView, world: World, config: Config) -> Command:
    """What to do next with a candidate that passed its full run."""
    without = {stage for stage, tasks in ((Stage.CANARY, world.canaries), (Stage.HOLDOUT, world.holdout)) if not tasks}
    worn = _worn_out(world, config)
    if worn and world.decided(candidate.id, Stage.HOLDOUT) is None:  # another one of its round has asked since it began
        return _closing(world, config, worn)
    for stage in STAGES:
        if stage in without:
            continue
        if world.decided(candidate.id, stage) is None:
            return Evaluate(stage, candidate)
    if config.review.required and world.decided(candidate.id, Stage.REVIEW) is None:
        return Await(candidate)
    return Promote(candidate)
