"""A search that promotes nothing for long edits another harness, and what comes of it must beat the champion all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lorimer.config.search import SearchSettings
from lorimer.config.settings import Config, parse, parse_stored
from lorimer.errors import ConfigError
from lorimer.exports.targets import patch, pr
from lorimer.exports.winner import NOT_ALONE, winner_of
from lorimer.meta_agent.proposer.proposal import ProposalSession
from lorimer.meta_agent.state.descent import edit_of, line, promotions_behind
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import About, short
from lorimer.meta_agent.state.world import World, scan
from lorimer.meta_agent.study.candidates.pruning import prunings
from lorimer.meta_agent.study.candidates.strategies import base
from lorimer.meta_agent.study.loop import optimize
from lorimer.terminal.listing import status, status_text
from lorimer.traces.schema import PlannedTrial, Stage
from lorimer.traces.tables import DecisionRow
from tests.meta_agent.test_loop import Bench, config
from tests.meta_agent.test_rounds import Edits, failed_by, seeded, states
from tests.support.dice_trials import Killed

HALVES = {1: "NULL 1", 2: "HALF 2", 3: "NULL 3", 4: "HALF 4", 5: "NULL 5"}
"""Of two halves each alone is no gain that could be shown, and both together are a large one."""


def rate(text: str, planned: PlannedTrial) -> float:
    number = int(planned.task[1:]) % 14
    if number < 4:
        return 1.0
    return {0: 0.0, 1: 0.12}.get(text.count("HALF"), 0.9)


def settings(**search: Any) -> Config:
    chosen = {"strategies": ["champion", "second-best"], "strategy_edits": 3, **search}
    return config(budget={"candidates": 5}, search=chosen)


async def run(bench: Bench, propose: Edits, chosen: Config, **dice: Any) -> World:
    with bench.parts(propose, chosen, rate, **dice) as (parts, _, _):
        await bench.create(parts)
        await optimize(parts, "demo")
    return scan(bench.reader(), "demo")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return seeded(tmp_path / "work")


@dataclass(frozen=True)
class Done:
    """A study that has ended."""

    bench: Bench
    propose: Edits
    world: World


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    made, propose = seeded(tmp_path_factory.mktemp("done") / "work"), Edits(HALVES)
    return Done(made, propose, asyncio.run(run(made, propose, settings())))


# ---- a study


def test_a_stalled_search_goes_on_from_the_second_best(done: Done) -> None:
    bench, propose, world = done.bench, done.propose, done.world
    assert states(world) == {
        "c001": "rejected",
        "c002": "rejected",
        "c003": "rejected",
        "c004": "promoted",
        "c005": "rejected",
    }
    second, won, after = world.candidates[1], world.candidates[3], world.candidates[4]
    assert [each.parent for each in world.candidates[:3]] == [world.seed_harness] * 3
    assert won.parent == second.harness
    assert after.parent == won.harness, "a promotion begins again with the champion"
    # It met the champion, whatever it is an edit of.
    assert world.champion_before(4) == ""
    numbers = world.decisions[About(won.id, Stage.FULL)].numbers
    assert numbers["champion_mean"] == pytest.approx(4 / 14)

    told = propose.sessions[4]
    assert told.harness == bench.reader().harness(second.harness or "").text
    assert told.base.startswith(
        "agent.py is not the champion (the seed harness) this time. It is c002 (HALF at 2), which was not promoted: since the "
        "last promotion 3 edits came to nothing, so the search goes on from another harness."
    )
    assert not any(propose.sessions[number].base for number in (1, 2, 3, 5))
    assert told.checks.lines is not None
    assert told.checks.lines.most == 80, "it rests on no promotion"


def test_it_is_told_what_an_edit_is_one_of(done: Done) -> None:
    bench, world = done.bench, done.world
    assert bench.log().count("  edit of: ") == 1
    for text in (bench.log(), bench.told()):
        assert "c004 [promoted] HALF at 4: " in text
        assert "\n  edit of: c002 (HALF at 2), which was not promoted\n" in text
    body = bench.git("log", "--format=%B", "-1")
    assert "It is an edit of c002 (HALF at 2), which was not promoted." in body
    assert "HALF of 2" in bench.git("show", "--format=", "HEAD"), "the commit holds all that the champion had not"
    assert promotions_behind(world, world.champion_harness) == 1


def test_the_winner_is_exported_through_what_it_is_an_edit_of(done: Done) -> None:
    winner = winner_of(done.bench.reader(), "demo")
    assert [(each.candidate, each.promoted) for each in winner.changes] == [("c002", False), ("c004", True)]
    series = [data.decode() for data in patch.files(winner).values()]
    assert [("+# HALF of 2" in each, "+# HALF of 4" in each) for each in series] == [(True, False), (False, True)]
    assert [NOT_ALONE in each for each in series] == [True, False]
    page = pr.files(winner)[pr.DESCRIPTION].decode()
    assert "the commits that do not say otherwise were promoted by a gate" in page
    assert NOT_ALONE in page
    assert [(each.candidate, each.promoted) for each in winner.evidence.lineage] == [("c002", False), ("c004", True)]


def test_hunks_of_what_the_champion_is_an_edit_of_can_be_taken_out(done: Done) -> None:
    found = prunings(done.bench.reader(), done.world, settings())
    assert [each.number for each in found] == [2], "without that of c004 it is c002, which was tried"


async def test_status_says_what_is_edited_next(bench: Bench) -> None:
    class Stops(Edits):
        async def __call__(self, session: ProposalSession) -> Any:
            if session.number == 4:
                raise Killed
            return await super().__call__(session)

    with bench.parts(Stops(HALVES), settings(), rate) as (parts, _, _):
        await bench.create(parts)
        with pytest.raises(Killed):
            await optimize(parts, "demo")
    reader = bench.reader()
    said = status_text(status(reader, reader.study("demo"), bench.root))
    assert "\n  edits of    c002 (HALF at 2), which was not promoted\n" in said


async def test_those_of_a_round_edit_the_same_harness_and_what_passed_beside_the_winner_follows_it(
    bench: Bench,
) -> None:
    marks = {1: "HALF 2", 2: "NULL 1", 3: "HALF 4", 4: "HALF 5"}
    chosen = settings(width=2, strategy_edits=2).model_copy(update={"budget": config(budget={"candidates": 4}).budget})
    world = await run(bench, Edits(marks), chosen, failed_by=failed_by)
    first, _, *pair, again = world.candidates
    assert [each.parent for each in pair] == [first.harness] * 2
    assert sorted(each.state for each in pair) == ["promoted", "rebased"]
    winner = next(each for each in pair if each.state == "promoted")
    assert (again.rebased, again.parent) == (7 - winner.number, winner.harness)
    assert About(again.id, Stage.FULL) in world.decisions


# ---- the same after a kill, and at any concurrency


def cases(propose: Edits) -> list[list[tuple[str, float]]]:
    return [[(case.name, case.reward) for case in session.cases.cases] for session in propose.asked]


async def test_concurrency_changes_nothing_of_what_a_proposal_knows(bench: Bench, done: Done) -> None:
    beside = Edits(HALVES)
    again = await run(bench, beside, settings(), width=8, order=2)
    assert bench.log() == done.bench.log()
    assert list(again.decisions) == list(done.world.decisions)
    assert cases(beside) == cases(done.propose)
    assert [each.base for each in beside.asked] == [each.base for each in done.propose.asked]


async def test_a_study_killed_as_it_edits_another_harness_resumes_with_the_same_decisions(
    bench: Bench, done: Done
) -> None:
    propose, ran, ended, kills = Edits(HALVES), list[str](), False, 0
    while not ended:
        with bench.parts(propose, settings(), rate, width=4, order=kills, fail_after=43) as (parts, trials, _):
            if not kills:
                await bench.create(parts)
            try:
                await optimize(parts, "demo")
                ended = True
            except Killed:
                kills += 1
            ran += trials.ran
    assert kills > 3
    assert len(ran) == len(set(ran))
    assert bench.log() == done.bench.log()
    assert bench.git("log", "--format=%s") == done.bench.git("log", "--format=%s")
    assert cases(propose) == cases(done.propose)


# ---- its trials


def test_where_it_has_no_trials_those_of_the_champion_are_shown(done: Done) -> None:
    session, second = done.propose.sessions[4], done.world.candidates[1]
    read = int(done.world.decisions[About(second.id, Stage.FULL)].numbers["run"])
    plan = done.bench.reader().evaluation(f"{second.id}/full")
    assert plan is not None
    own = {task for task, _ in plan.plan[:read]}
    left = [task for task in done.world.train if task not in own]
    assert left, "its run was ended early"
    assert {case.task for case in session.cases.cases} == set(done.world.train)
    assert session.base.endswith(f", but of the champion on tasks where it has none: {', '.join(left)}.")


# ---- which harness


def decision(
    candidate: int, mean: float, stage: Stage = Stage.FULL, kind: str = "reject", trials: int = 28
) -> DecisionRow:
    subject = f"s/c{candidate:03}"
    numbers = {"candidate_mean": mean, "champion_mean": 0.5, "candidate_trials": trials}
    return DecisionRow(
        id=f"{subject}/{stage}", study="s", subject=subject, stage=stage.value, purpose="first", kind=kind, reason="",
        numbers=numbers, policy={}, made="",
    )  # fmt: skip


def world(states: Sequence[str], means: Mapping[int, float], *more: DecisionRow) -> World:
    """A study with these states of candidates, each an edit of the champion of its day, and these full runs."""
    views, champion = list[CandidateView](), "seed"
    for number, state in enumerate(states, 1):
        harness = None if state == "failed" else f"h{number}"
        views.append(CandidateView(f"s/c{number:03}", number, state, champion, harness))
        champion = f"h{number}" if state == "promoted" else champion
    runs = [decision(number, mean) for number, mean in means.items()]
    return World("s", 0, "seed", ("t",), ()).with_all(views, [*runs, *more])


ALL = SearchSettings(strategies=("champion", "second-best", "earlier-champion", "seed"), strategy_edits=2)
LOST, WON = "rejected", "promoted"


@pytest.mark.parametrize(
    ("states", "means", "expected"),
    [
        ([], {}, "seed"),
        ([LOST], {1: 0.4}, "seed"),
        ([LOST, LOST], {1: 0.4, 2: 0.3}, "h1"),
        ([LOST, LOST], {1: 0.4, 2: 0.45}, "h2"),
        ([LOST, LOST], {1: 0.4, 2: 0.4}, "h1"),
        ([LOST, LOST], {}, "seed"),
        ([LOST, "failed", "failed"], {1: 0.4}, "seed"),
        # The champion is the seed harness, and nothing was before it: both are passed over.
        ([LOST] * 4, {1: 0.4}, "seed"),
        ([LOST] * 6, {1: 0.4}, "h1"),
        ([LOST, LOST, WON], {1: 0.4}, "h3"),
        ([WON, WON, LOST, LOST], {3: 0.4}, "h3"),
        ([WON, WON, LOST, LOST], {}, "h1"),
        ([WON, WON, LOST, LOST, LOST, LOST], {3: 0.4}, "h1"),
        ([WON, WON] + [LOST] * 6, {3: 0.4}, "seed"),
        ([WON, WON] + [LOST] * 8, {3: 0.4}, "h2"),
        ([LOST, WON, LOST, LOST], {1: 0.6, 3: 0.4}, "h3"),
    ],
)
def test_each_strategy_has_its_turn(states: Sequence[str], means: Mapping[int, float], expected: str) -> None:
    assert base(world(states, means), ALL) == expected


def test_the_champion_alone_can_be_asked_for_and_is_what_is_left() -> None:
    tried = world([LOST] * 5, {1: 0.4})
    assert base(tried, SearchSettings(strategies=("champion",), strategy_edits=1)) == "seed"
    assert base(tried, SearchSettings(strategies=("earlier-champion",), strategy_edits=1)) == "seed"


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.HOLDOUT, Stage.REVIEW])
def test_what_was_turned_down_elsewhere_is_no_second_best(stage: Stage) -> None:
    turned = world([LOST, LOST], {2: 0.3}, decision(1, 0.9, kind="promote"), decision(1, 0.9, stage))
    assert base(turned, ALL) == "h2"


def test_fresh_trials_say_more_than_those_that_a_candidate_was_chosen_by() -> None:
    rerun = world([LOST, LOST], {2: 0.55}, decision(1, 0.9, kind="promote"), decision(1, 0.52, Stage.AUDIT))
    assert base(rerun, ALL) == "h2"


def test_a_line_goes_through_what_was_not_promoted() -> None:
    seen = world([WON, LOST], {2: 0.4}).with_all([CandidateView("s/c003", 3, WON, "h2", "h3", "Both")], ())
    assert [short(each.number) for each in line(seen, "h3")] == ["c001", "c002", "c003"]
    assert promotions_behind(seen, "h3") == 2
    assert edit_of(seen, 3, "h2") == "c002, which was not promoted"
    assert edit_of(seen, 4, "h3") == ""
    assert edit_of(seen, 4, "h1") == "c001, an earlier champion"
    assert edit_of(seen, 4, "seed") == "the seed harness"


# ---- settings


def test_wrong_strategies_are_named() -> None:
    with pytest.raises(ConfigError, match=r"search.strategies: .*names a strategy twice"):
        parse({"search": {"strategies": ["seed", "seed"]}})
    with pytest.raises(ConfigError, match=r"search.strategies: .*should name a strategy"):
        parse({"search": {"strategies": []}})
    with pytest.raises(
        ConfigError, match=r"search.strategies.0: .*'champion', 'second-best', 'earlier-champion' or 'seed'"
    ):
        parse({"search": {"strategies": ["third-best"]}})


def test_a_study_from_before_this_setting_edits_the_champion_alone() -> None:
    assert parse_stored({}, "s").search.strategies == ("champion",)
