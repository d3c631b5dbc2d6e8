"""Hunks of earlier promotions are taken out of the champion again, and the gate decides whether they were needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.config.search import SearchSettings
from lorimer.config.settings import Config, parse, parse_stored
from lorimer.dashboard.report import report
from lorimer.errors import ConfigError, UserError
from lorimer.harness.size import size_of
from lorimer.harness.version import Hunk, apply_edit
from lorimer.kinds import PRUNING
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import About
from lorimer.meta_agent.state.world import World, scan
from lorimer.meta_agent.study.candidates import strategies
from lorimer.meta_agent.study.candidates.edits import Jails, PutForward
from lorimer.meta_agent.study.candidates.pruning import due, prune_next, prunings
from lorimer.meta_agent.study.candidates.steering import asked, in_vain
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.events import Proposed
from lorimer.terminal.listing import status, status_text
from lorimer.traces.schema import LinesRan, PlannedTrial, Stage
from tests.meta_agent.test_loop import Bench, Recorder, config
from tests.meta_agent.test_rounds import SEED, Edits, opened, rate, seeded, states
from tests.support.dice_trials import Killed

Rate = Callable[[str, PlannedTrial], float]
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


# ---- by the search itself


HARM = dict.fromkeys(range(2, 7), "BAD 1")


class Stalls(Edits):
    """Two hunks, of which one helps, and then edits that do harm."""

    async def __call__(self, session: ProposalSession) -> Proposal | NoProposal:
        if session.number == 1:
            self.sessions[1] = session
            return await both(session)
        return await super().__call__(session)


def stalling(margin: float | None = 0.3, most: int = 5, **search: object) -> Config:
    chosen = {"strategies": ["champion"], "strategy_edits": 1, **search}
    gate = {"simplify_margin": margin, "repeats": 4, "champion_repeats": 4}
    return config(budget={"candidates": most}, gate=gate, search=chosen)


async def searched(bench: Bench, propose: Edits, chosen: Config, rated: Rate = rate, **dice: Any) -> Recorder:
    with bench.parts(propose, chosen, rated, **dice) as (parts, _, recorder):
        await bench.create(parts)
        await optimize(parts, "demo")
    return recorder


@dataclass(frozen=True)
class Done:
    """A study that has ended."""

    bench: Bench
    propose: Edits
    recorder: Recorder
    world: World


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    made, propose = seeded(tmp_path_factory.mktemp("pruned") / "work"), Stalls(HARM)
    recorder = asyncio.run(searched(made, propose, stalling()))
    return Done(made, propose, recorder, scan(made.reader(), "demo"))


def test_a_stalled_search_takes_out_what_nothing_needs(done: Done) -> None:
    world, reader = done.world, done.bench.reader()
    assert states(world) == {
        "c001": "promoted",
        "c002": "rejected",
        "c003": "promoted",
        "c004": "rejected",
        "c005": "rejected",
    }
    pruned = world.candidates[2]
    assert (pruned.origin, pruned.title) == (PRUNING, "Take out hunk 2 of c001")
    assert pruned.hypothesis == (
        "The last edit came to nothing, and the champion may not need this; the harness is simpler without, so it need only "
        "be no worse by 0.3."
    )
    text = reader.harness(world.champion_harness).text
    assert text == SEED.replace("# place 2", "# GOOD\n# place 2")
    assert size_of(text).simpler_than(size_of(done.propose.sessions[2].harness))
    numbers = world.decisions[About(pruned.id, Stage.FULL)].numbers
    assert numbers["route"] == "simpler"
    assert numbers["candidate_mean"] >= numbers["champion_mean"]
    # No model was asked for it.
    assert sorted(done.propose.sessions) == [1, 2, 4, 5]
    assert done.propose.sessions[4].harness == text, "what follows is an edit of what was left"


def test_it_is_told_that_lorimer_pruned(done: Done) -> None:
    reader = done.bench.reader()
    for told in (done.bench.log(), done.bench.told()):
        assert told.count("made: pruned by lorimer") == 1
    said = status(reader, reader.study("demo"), done.bench.root)
    assert said.origins == {"meta": 4, PRUNING: 1}
    assert "\n  candidates  2 promoted, 3 rejected (1 pruned by lorimer)\n" in status_text(said)
    page = report(reader, done.bench.root, "demo").text
    assert page.count('<span class="tag">pruned by lorimer</span>') == 1
    assert page.count("<dt>made</dt><dd>pruned by lorimer</dd>") == 1
    events = [event for event in done.recorder.events if isinstance(event, Proposed)]
    assert [event.origin for event in events] == ["meta", "meta", PRUNING, "meta", "meta"]
    assert "Take out hunk 2 of c001" in done.bench.git("log", "--format=%s", "-1")


async def test_concurrency_changes_nothing_of_a_pruned_study(bench: Bench, done: Done) -> None:
    await searched(bench, Stalls(HARM), stalling(), width=8, order=2)
    assert bench.log() == done.bench.log()


async def test_a_study_killed_again_and_again_prunes_the_same_and_once(bench: Bench, done: Done) -> None:
    ended, kills, jails = False, 0, 0

    def broken(text: str) -> str:
        nonlocal jails
        jails += 1
        if jails == 1:
            raise Killed
        return ""

    while not ended:
        with bench.parts(Stalls(HARM), stalling(), rate, width=4, order=kills, fail_after=61, broken=broken) as (
            p,
            _,
            _,
        ):
            if not kills:
                await bench.create(p)
            try:
                await optimize(p, "demo")
                ended = True
            except Killed:
                kills += 1
    assert kills > 3
    assert jails == 2, "the harness without the hunk was tried in a jail, and again after the kill"
    assert bench.log() == done.bench.log()
    assert bench.git("log", "--format=%s") == done.bench.git("log", "--format=%s")


@pytest.mark.parametrize("chosen", [stalling(None, 3), stalling(0.3, 3, prune="never")], ids=["no margin", "never"])
async def test_without_a_margin_or_where_it_is_not_wanted_nothing_is_pruned(bench: Bench, chosen: Config) -> None:
    propose = Stalls(HARM)
    await searched(bench, propose, chosen)
    assert sorted(propose.sessions) == [1, 2, 3]
    assert "pruned" not in bench.log()


TWO_NEEDED = (Hunk("# place 2\n", "A = 'GOOD'\n# place 2\n"), Hunk("# place 4\n", "B = 'GOOD'\n# place 4\n"))


def rated(text: str, planned: PlannedTrial) -> float:
    """Each of up to three `GOOD` lifts the hard tasks; sealed ones are solved by any."""
    good = text.count("GOOD")
    if "BAD" in text or int(planned.task[1:]) % 14 < 4:
        return float("BAD" not in text)
    return float(good > 0) if planned.stage is Stage.HOLDOUT else (0.0, 0.3, 0.6, 0.95)[good]


class Needed(Edits):
    """Two hunks that help both, and one more later."""

    async def __call__(self, session: ProposalSession) -> Proposal | NoProposal:
        if session.number == 1:
            return Proposal("Both", "", TWO_NEEDED, (), (), apply_edit(session.harness, TWO_NEEDED))
        return await super().__call__(session)


async def test_what_is_needed_stays_and_is_not_taken_out_of_the_next_champion_either(bench: Bench) -> None:
    await searched(bench, Needed({**HARM, 4: "GOOD 5"}), stalling(0.05, 6), rated)
    world = scan(bench.reader(), "demo")
    assert list(states(world).values()) == ["promoted", "rejected", "rejected", "promoted", "rejected", "rejected"]
    pruned = [each for each in world.candidates if each.pruned]
    assert [(each.number, each.title) for each in pruned] == [
        (3, "Take out hunk 1 of c001"),
        (6, "Take out hunk 2 of c001"),
    ]


def views(*states: str, origin: str = PRUNING) -> World:
    """A study whose first candidate is the champion and whose last one was pruned of it."""
    made = [
        CandidateView(f"s/c{number:03}", number, state, "h1" if number > 1 else "seed", f"h{number}")
        for number, state in enumerate(states, 1)
    ]
    return World("s", 0, "seed", ("t",), ()).with_all([*made[:-1], replace(made[-1], origin=origin)], ())


def test_it_is_due_once_for_each_champion_that_was_promoted() -> None:
    lost = "rejected"
    assert due(views("promoted", lost, lost, origin="meta"), stalling(strategy_edits=2))
    assert not due(views("promoted", lost, origin="meta"), stalling(strategy_edits=2))
    assert not due(views(lost, lost, lost, origin="meta"), stalling()), "the seed harness rests on no promotion"
    assert not due(views("promoted", lost, lost, lost), stalling())
    assert not due(views("promoted", lost, lost, "failed"), stalling())
    assert due(views("promoted", lost, lost, lost, origin="human"), stalling()), "a person's is none of the search's"


def test_what_was_pruned_counts_as_no_edit_that_was_tried_in_vain() -> None:
    world = views("promoted", "rejected", "rejected")
    assert in_vain(world) == 1
    assert asked(world, SearchSettings()).judged == 1
    assert strategies.second_best(world) is None
    assert views("promoted", "failed", "rejected").fruitless == 1


def test_a_study_from_before_this_setting_prunes_nothing_and_a_wrong_word_is_named() -> None:
    assert parse_stored({}, "s").search.prune == "never"
    assert parse({}).search.prune == "when stalled"
    with pytest.raises(ConfigError, match=r"search.prune: .*'when stalled' or 'never'"):
        parse({"search": {"prune": "always"}})
