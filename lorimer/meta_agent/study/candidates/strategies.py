"""Which harness the proposals of a round are edits of. A function of what is stored before the round: after any kill the same.

A search that promotes nothing for long may have come to where no single edit of the champion helps. It then goes on from another
harness. The gate knows nothing of it: whatever a candidate is an edit of, it must beat the champion of the day by the same
rules, so another strategy can waste a budget and can make nothing look better than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lorimer.config.search import SearchSettings
from lorimer.kinds import StrategyName
from lorimer.meta_agent.state.descent import line
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.world import World
from lorimer.meta_agent.study.candidates.steering import JUDGED, in_vain
from lorimer.traces.schema import Stage

Strategy = Callable[[World], str | None]
"""The harness whose edits it asks for, by its SHA-256; `None` where there is none."""


def champion(world: World) -> str | None:
    """The harness that must be beaten."""
    return world.champion_harness


def second_best(world: World) -> str | None:
    """The candidate that came out best beside the champion of today in a full run, and was not turned down by a canary, by sealed
    tasks or by a person; of equal ones the one with more trials, then the earlier one. Not one that was pruned: with a part less
    the champion is no other place to begin from."""
    ranked = [(rank, each) for each in world.candidates if (rank := _ahead(world, each)) is not None]
    return max(ranked, key=lambda each: each[0])[1].harness if ranked else None


def earlier_champion(world: World) -> str | None:
    """The last champion that the champion of today rests on."""
    before = [each for each in line(world, world.champion_harness)[:-1] if each.state == "promoted"]
    return before[-1].harness if before else None


def seed(world: World) -> str | None:
    """The harness that the study began with: a search of its own."""
    return world.seed_harness


STRATEGIES: Mapping[StrategyName, Strategy] = {
    "champion": champion,
    "second-best": second_best,
    "earlier-champion": earlier_champion,
    "seed": seed,
}


def base(world: World, search: SearchSettings) -> str:
    """The harness whose edits are proposed in the round that begins now."""
    named = (STRATEGIES[name](world) for name in search.strategies)
    found = list(dict.fromkeys(each for each in named if each is not None)) or [world.champion_harness]
    return found[in_vain(world) // search.strategy_edits % len(found)]


def _ahead(world: World, candidate: CandidateView) -> tuple[float, int, int] | None:
    """The lead of a candidate over the champion, in its fresh trials where it had any, with the number of its trials and its turn
    among equals; `None` where it is no second best."""
    if candidate.state not in JUDGED or candidate.number < world.reign.since or candidate.pruned:
        return None
    if any(world.decided(candidate.id, stage) for stage in (Stage.CANARY, Stage.HOLDOUT, Stage.REVIEW)):
        return None
    decided = world.decided(candidate.id, Stage.AUDIT) or world.decided(candidate.id, Stage.FULL)
    if decided is None or decided.numbers.get("candidate_mean") is None:
        return None
    ahead = decided.numbers["candidate_mean"] - decided.numbers["champion_mean"]
    return ahead, int(decided.numbers.get("candidate_trials") or 0), -candidate.number
