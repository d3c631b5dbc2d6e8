"""Hunks of earlier promotions are taken out of the champion again, and the gate decides whether they were needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.config import Config
from lorimer.errors import UserError
from lorimer.harness.version import Hunk, apply_edit
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.edits import Jails, PutForward
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.study.pruning import prune_next, prunings
from lorimer.traces.schema import LinesRan, PlannedTrial
from tests.meta_agent.test_loop import Bench, config
from tests.meta_agent.test_rounds import SEED, opened, seeded

NEEDLESS = "WORDS = 'nothing that anybody reads'\n"
WITH_BOTH = (Hunk("# place 2\n", "# GOOD\n# place 2\n"), Hunk("# place 4\n", f"{NEEDLESS}# place 4\n"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return seeded(tmp_path / "work")


async def both(session: ProposalSession) -> Proposal | NoProposal:
    """An edit of two hunks, one of which helps."""
    return Proposal("Two things", "", WITH_BOTH, (), (), apply_edit(session.harness, WITH_BOTH))


def settings(margin: float | None = 0.3) -> Config:
    return config(budget={"candidates": 1}, gate={"simplify_margin": margin, "repeats": 4, "champion_repeats": 4})


async def studied(bench: Bench, chosen: Config, ran: LinesRan | None = None) -> None:
    def ran_of(text: str, planned: PlannedTrial) -> LinesRan | None:
        return ran

    with opened(bench, both, chosen, ran_of=ran_of) as (parts, _):
        if not parts.reader.studies():
            await bench.create(parts)
        await optimize(parts, "demo")


async def pruned(bench: Bench, chosen: Config) -> PutForward:
    with opened(bench, both, chosen) as (parts, _):
        jails = Jails(parts.trials.dry_start, None, parts.scrub)
        return await prune_next(parts.store, parts.reader, "demo", chosen, jails)


async def test_what_is_not_needed_goes(bench: Bench) -> None:
    chosen = settings()
    await studied(bench, chosen)
    first = await pruned(bench, chosen)
    # Code and words are less without it, where the other hunk is a comment.
    assert first.title.startswith("Take out hunk 2 of c001: is it needed? the harness is simpler without, so it")
    await studied(bench, chosen)
    world = scan(bench.reader(), "demo")
    assert [each.state for each in world.candidates] == ["promoted", "promoted"]
    assert bench.reader().harness(world.champion_harness).text == SEED.replace("# place 2", "# GOOD\n# place 2")
    assert "not better, but simpler and no worse by 0.3" in bench.log()
    # Without the other one it is the seed harness again, and what was taken out is not put back.
    with pytest.raises(
        UserError, match=r"^propose --prune: no hunk of a promotion of demo can be taken out alone that"
    ):
        await pruned(bench, chosen)


async def test_what_must_be_better_without_stays_where_it_is_not(bench: Bench) -> None:
    chosen = settings(None)
    await studied(bench, chosen)
    for hunk in (2, 1):
        put = await pruned(bench, chosen)
        await studied(bench, chosen)
        found = bench.reader().candidate(f"demo/{put.candidate}")
        assert found is not None
        assert found.title.startswith(f"Take out hunk {hunk} of c001")
        assert found.hypothesis.endswith("[gate] simplify_margin is not set, so it must be better without.")
        assert found.state == "rejected"
    with pytest.raises(
        UserError, match=r"^propose --prune: no hunk of a promotion of demo can be taken out alone that"
    ):
        await pruned(bench, chosen)


async def test_what_fired_in_no_trial_goes_first(bench: Bench) -> None:
    chosen = settings()
    with_solve = SEED.splitlines().index("def solve(task, env, llm):") + 3  # two lines were put in before it
    await studied(bench, chosen, LinesRan(((with_solve, with_solve + 1),), whole=True))
    found = prunings(bench.reader(), scan(bench.reader(), "demo"), chosen)
    assert (found[0].hunk, found[0].never_fired) == (2, True)
    assert found[0].why == "Take out hunk 2 of c001, which fired in no trial"


async def test_without_a_promotion_there_is_nothing_to_take_out(bench: Bench) -> None:
    async def none(session: ProposalSession) -> NoProposal:
        return NoProposal("no idea")

    with opened(bench, none, settings()) as (parts, _):
        await bench.create(parts)
        await optimize(parts, "demo")
    with pytest.raises(UserError, match=r"^propose --prune: nothing was promoted in demo yet"):
        await pruned(bench, settings())
