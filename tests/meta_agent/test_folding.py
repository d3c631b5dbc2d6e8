"""A world that folds in what is stored answers like one that is scanned, and like one that reads everything at every question."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorimer.errors import InternalError
from lorimer.meta_agent.state.folding import CandidateView, Known, state_after
from lorimer.meta_agent.state.names import About, candidate_id, evaluation_id
from lorimer.meta_agent.state.world import World, scan
from lorimer.traces import made
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.tables import Candidate, DecisionRow, HarnessRow
from lorimer.traces.writing.store import Store
from tests.support.quickness import slowness
from tests.traces import support as make

SEED = "a" * 64
EMPTY = World("s", 1, SEED, ("t1",), ("t2",))
SECRET = "sk-abcdefghijklmnopqrstuvwx0123456789"

Event = Candidate | DecisionRow
"""A row as it is stored. A candidate that was stored before has changed."""


def candidate(number: int, state: str, round: int | None = None, rebased: int | None = None) -> Candidate:
    """One that is `proposing` is as its round began with it."""
    return made.told(Candidate(
        id=candidate_id("s", number), study="s", number=number, parent=SEED, harness=SEED, title=f"With {SECRET}",
        edit=[], fixes=["t1"], at_risk=[], state=state, failure="none came" if state == "failed" else "",
        round=round, rebased=rebased,
    ))  # fmt: skip


def decision(about: About, kind: str, **numbers: Any) -> DecisionRow:
    return DecisionRow(
        id=evaluation_id("s", about), study="s", subject=about.subject, stage=about.stage.value, purpose=about.purpose.value,
        met=about.met, kind=kind, reason=f"said with {SECRET}", numbers=numbers, policy={}, made="now",
    )  # fmt: skip


KINDS = st.sampled_from(["pass", "pass", "pass", "reject", "undecided"])


@st.composite
def stories(draw: st.DrawFn) -> list[Event]:
    """A study as it may go, from its baseline to any point."""
    story: list[Event] = [decision(About("", Stage.BASELINE), "pass", score=0.5)]
    if draw(st.booleans()):
        story.append(decision(About("", Stage.HOLDOUT), "pass", score=0.5))
    champion, number, left = "", 1, list[int]()
    for _ in range(draw(st.integers(0, 4))):
        size = len(left) or draw(st.sampled_from([1, 1, 2, 3]))
        first = number if size > 1 else None
        numbers = range(number, number + size)
        edits = dict[int, int | None](zip(numbers, left or repeat(None, size), strict=True))
        number, left, passed = number + size, [], []
        for each, edit in edits.items():
            story.append(candidate(each, "proposing" if edit is None else "proposed", first, edit))
        for each, edit in edits.items():
            ends = draw(st.booleans()) and draw(st.booleans())
            story.append(candidate(each, "failed" if ends else "proposed", first, edit))
            if not ends:
                passed.append(each)
        for stage in (Stage.SPOT, Stage.FULL):
            met = numbers[0]
            if stage is Stage.FULL and passed and draw(st.booleans()):
                old = draw(st.booleans())
                story.append(decision(About(champion, stage, Purpose.AGE, met), "pass", refresh=old))
                purpose = Purpose.REFRESHED if old else Purpose.ADDED
                story.append(decision(About(champion, Stage.AUDIT, purpose, met), "pass", score=0.5))
            for each in list(passed):
                kind = draw(KINDS)
                kind = "promote" if stage is Stage.FULL and kind == "pass" else kind
                about = About(candidate_id("s", each), stage)
                story.append(decision(about, kind))
                if state_after(about, kind):
                    passed.remove(each)
        for each in draw(st.permutations(passed)):
            for stage in (Stage.AUDIT, Stage.HOLDOUT):
                about = About(candidate_id("s", each), stage)
                kind = draw(KINDS)
                story.append(decision(about, kind))
                if state_after(about, kind):
                    passed.remove(each)
                    break
            else:
                passed.remove(each)
                story.append(candidate(each, "promoted", first, edits[each]))
                left = sorted(passed)
                champion = candidate_id("s", each)
                break
        story += [candidate(each, "rebased", first, edits[each]) for each in left]
        if not left and draw(st.booleans()) and draw(st.booleans()):
            promoted = [row.id for row in story if isinstance(row, Candidate) and row.state == "promoted"]
            champion = draw(st.sampled_from([each for each in ("", *promoted, "") if each != champion] or [champion]))
            story.append(decision(About(champion, Stage.REVIEW, Purpose.REVERTED, number), "pass"))
    return story[: draw(st.integers(1, len(story)))]


def folded(story: Iterable[Event]) -> World:
    world = EMPTY
    for row in story:
        world = world.with_candidate(row) if isinstance(row, Candidate) else world.with_decision(row)
    return world


def answers(world: World) -> dict[str, Any]:
    """All that is asked of a world."""
    numbers = range(len(world.candidates) + 2)
    subjects = ["", *(each.id for each in world.candidates)]
    return {
        "candidates": world.candidates,
        "decisions": [row.model_dump() for row in world.decisions.values()],
        "champion": world.champion,
        "open": world.open,
        "round": world.round and [each.number for each in world.round.candidates],
        "rounds": [(world.round_of(number), world.round_from(number)) for number in numbers],
        "proposals": world.proposals,
        "reverted": world.reign.reverted and world.reign.reverted.id,
        "before": [world.champion_before(number) for number in numbers],
        "standing": [world.standing_at(who, n) for who in subjects for n in numbers],
        "now": [(world.standing_at(who), world.stood_at(who)) for who in subjects],
        "stood": [world.stood_at(who, number) for who in subjects for number in numbers],
        "met": world.met_since,
        "reported": [row and row.id for row in map(world.reported_of, subjects)],
        "reported by": [world.reported_by(who) for who in subjects],
        "failed": world.fruitless,
        "tests": [row.id for row in world.full_runs],
        "since": [[row.id for row in world.full_runs_before(n, since)] for n in numbers for since in numbers],
        "queries": world.holdout_queries,
    }


def asked_of_all(story: Iterable[Event]) -> dict[str, Any]:
    """The same by reading all rows at every question, as slowly and plainly as it can be said."""
    latest: dict[str, CandidateView] = {}
    decisions: dict[About, DecisionRow] = {}
    for row in story:
        if isinstance(row, Candidate):
            latest[row.id] = CandidateView.of(row)
        else:
            decisions[About.of(row)] = row
    candidates = []
    for view in sorted(latest.values(), key=lambda each: each.number):
        ends = [state_after(about, row.kind) for about, row in decisions.items() if about.subject == view.id]
        state = next((end for end in ends if end), view.state)
        candidates.append(CandidateView.of(candidate(view.number, state)))
        assert candidates[-1].title == view.title
    candidates = [
        CandidateView(
            c.id, c.number, c.state, c.parent, c.harness, c.title, c.hypothesis, c.fixes, latest[c.id].failure,
            round=latest[c.id].round, rebased=latest[c.id].rebased,
        )
        for c in candidates
    ]  # fmt: skip
    begins = {c.number: c.round or c.number for c in candidates}

    def first_of(number: int) -> int:
        return begins.get(number, number)

    def last_of(number: int) -> int:
        return max([each for each, first in begins.items() if first == first_of(number)], default=number)

    numbers = range(len(candidates) + 2)
    subjects = ["", *(each.id for each in candidates)]

    def first(who: str, number: float) -> About:
        stage = Stage.AUDIT
        again = [
            about for about in decisions
            if (about.subject, about.stage, about.purpose) == (who, stage, Purpose.REFRESHED) and (about.met or 0) <= number
        ]  # fmt: skip
        return max(again, key=lambda about: about.met or 0, default=About(who, stage if who else Stage.BASELINE))

    def stood(who: str, number: float) -> list[About]:
        begins = first(who, number)
        added = [
            about for about in decisions
            if (about.subject, about.purpose) == (who, Purpose.ADDED) and (begins.met or 0) < (about.met or 0) <= number
        ]  # fmt: skip
        return [begins, *sorted(added, key=lambda about: about.met or 0)]

    def names(abouts: Iterable[About]) -> tuple[str, ...]:
        return tuple(evaluation_id("s", about) for about in abouts)

    def run(since: int, before: float) -> list[str]:
        runs = [(each.number, decisions.get(About(each.id, Stage.FULL))) for each in candidates]
        return [row.id for number, row in runs if row is not None and since <= number < before]

    reigns = [(0, "")]  # a person goes back to a champion after the promotions before, never between two stages
    for number in range(1, 99):
        reigns += [
            (number, each.id) for each in candidates if each.state == "promoted" and last_of(each.number) + 1 == number
        ]
        reigns += [
            (number, each.subject) for each in decisions if each.purpose is Purpose.REVERTED and each.met == number
        ]
    champion = next((each for each in candidates if each.id == reigns[-1][1]), None)
    under_way = [each for each in candidates if each.state in ("proposing", "proposed")]
    failed = 0
    proposed = [each for each in candidates if each.rebased is None]
    for begun in sorted({first_of(each.number) for each in proposed}, reverse=True):
        if any(each.state != "failed" for each in proposed if first_of(each.number) == begun):
            break
        failed += 1
    again = first(champion.id if champion else "", 99).met
    holdouts = [decisions.get(About(who, Stage.HOLDOUT)) for who in subjects]
    return {
        "candidates": tuple(candidates),
        "decisions": [row.model_dump() for row in decisions.values()],
        "champion": champion,
        "open": under_way[0] if under_way else None,
        "round": [n for n in begins if n and under_way and first_of(n) == under_way[0].first] if under_way else None,
        "rounds": [(first_of(n), None if first_of(n) == last_of(n) else (first_of(n), last_of(n))) for n in numbers],
        "proposals": sum(each.rebased is None for each in candidates),
        "reverted": next(
            (
                row.id
                for about, row in reversed(decisions.items())
                if about.purpose is Purpose.REVERTED and (about.met, about.subject) == reigns[-1]
            ),
            None,
        ),
        "before": [next(who for since, who in reversed(reigns) if since <= number) for number in numbers],
        "standing": [names([first(who, n)])[0] for who in subjects for n in numbers],
        "now": [(names([first(who, 99)])[0], names(stood(who, 99))) for who in subjects],
        "stood": [names(stood(who, number)) for who in subjects for number in numbers],
        "met": again if again is not None else max(1, reigns[-1][0]),
        "reported": [row and row.id for row in (decisions.get(stood(who, 99)[-1]) for who in subjects)],
        "reported by": [names(stood(who, 99)) for who in subjects],
        "failed": failed,
        "tests": run(0, 99),
        "since": [run(since, first_of(n)) for n in numbers for since in numbers],
        "queries": sum(row is not None for row in holdouts[1:]),
    }


@given(stories())
def test_folding_one_by_one_answers_like_reading_everything(story: list[Event]) -> None:
    assert answers(folded(story)) == asked_of_all(story)


@given(stories())
def test_a_world_that_something_was_folded_into_is_as_it_was(story: list[Event]) -> None:
    before = folded(story[:-1])
    said, last = answers(before), story[-1]
    after = before.with_candidate(last) if isinstance(last, Candidate) else before.with_decision(last)
    assert answers(before) == said
    assert answers(after) == answers(folded(story))
    # A rebased edit is stored once more as it is, when it is applied to its champion.
    if last.model_dump() not in [row.model_dump() for row in story[:-1]]:
        assert answers(after) != said


@settings(max_examples=8, deadline=None)
@given(stories())
def test_what_is_folded_in_as_it_is_stored_is_what_a_scan_finds(story: list[Event]) -> None:
    """Through the store: what it scrubs and how it keeps values is in the folded world too."""

    async def through(path: Path) -> None:
        with Store.open(path) as store:
            await store.create_study(
                make.study(), [make.task("t1"), make.task("t2", position=1, split="holdout")], "text"
            )
            world = scan(StoreReader(store), "s")
            for row in story:
                if isinstance(row, DecisionRow):
                    world = world.with_decision(await store.add_decision(row, state_after(About.of(row), row.kind)))
                elif (known := world.candidate(row.id)) is None:
                    world = world.with_candidate(await store.add_candidate(row))
                else:
                    if known.state == "proposing":
                        edit: dict[str, Any] = {"title": row.title, "fixes": row.fixes, "failure": row.failure}
                        await store.end_session(row.id, HarnessRow(sha=SEED, text="text"), **edit)
                        assert scan(StoreReader(store), "s") == world, "nothing follows from it before its turn"
                    changes: dict[str, Any] = {"state": row.state, "failure": row.failure}
                    world = world.with_candidate(await store.update_candidate(row.id, known.state, **changes))
            found = scan(StoreReader(store), "s")
            assert answers(found) == answers(world)
            assert found == world
            assert SECRET not in str(answers(found))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(through(Path(folder) / "traces.db"))


def test_a_decision_about_nobody_is_a_bug() -> None:
    with pytest.raises(InternalError, match="s/c001/spot is about s/c001, which is no candidate of its study"):
        EMPTY.with_decision(decision(About("s/c001", Stage.SPOT), "pass"))


def test_700_candidates_are_folded_in_without_reading_them_again() -> None:
    """A fold of one more must not take what a scan of all takes: 5,000 of those would, one by one, be a minute."""
    story: list[Event] = []
    for number in range(1, 701):
        name = candidate_id("s", number)
        story += [candidate(number, "proposed"), decision(About(name, Stage.SPOT), "pass")]
        story += [decision(About(name, Stage.FULL), "reject")]
    everything = EMPTY.with_all(
        [CandidateView.of(row) for row in story if isinstance(row, Candidate)],
        [row for row in story if isinstance(row, DecisionRow)],
    )
    began = time.process_time()
    one_by_one = folded(story)
    took = time.process_time() - began
    assert one_by_one.candidates == everything.candidates
    assert one_by_one.full_runs == everything.full_runs
    assert took < 2.0 * slowness(), "0.1 s on a quiet machine"


def test_a_champion_reigns_from_the_end_of_its_round_on_however_its_siblings_are_met() -> None:
    rows = [candidate(1, "promoted", round=1), candidate(2, "rejected", round=1), candidate(3, "rejected")]
    for order in (rows, rows[::-1]):
        known = Known()
        for row in order:
            known.add_candidate(CandidateView.of(row))
        assert [reign.since for reign in known.reigns] == [1, 3]
