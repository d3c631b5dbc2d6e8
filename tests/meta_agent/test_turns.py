"""The searches of a grid on dice: in which turns they run, and what becomes of their last measures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pytest

from lorimer.config.settings import Config
from lorimer.errors import ProviderOutage
from lorimer.meta_agent.pairings.collecting import search_of
from lorimer.meta_agent.pairings.running import GridParts, Stopped, in_turns
from lorimer.meta_agent.pairings.spec import PlannedSearch, Sizes, Spec, WholeBudget, settings_of, share_of
from lorimer.meta_agent.pairings.turns import SearchTurns
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.state.names import candidate_id
from lorimer.meta_agent.workspace.parts import StudyParts, create
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.meta_agent.workspace.session import Session
from lorimer.sandbox.fake import FakeProvider
from lorimer.task_agent.budget import Budget
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import PlannedTrial, TrialEnd
from lorimer.traces.wired import Gap, Record
from lorimer.traces.writing.store import Store
from tests.meta_agent.test_loop import HOLDOUT, TASKS, Bench, Recorder, no_model, suite
from tests.meta_agent.test_rounds import Edits, failed_by, rate, seeded, wide
from tests.support.dice_trials import DiceTrials

SPEC = Spec.model_validate(
    {"task": ["dice/a"], "meta": ["dice/a", "dice/b"], "searches": 1, "budget": {"trials": 2000}}
)
A, B = (each.study for each in SPEC.plan)
PAIR = {1: "NULL 1", 2: "GOOD 2", 3: "BAD 3", 4: "NULL 4"}


class Told(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def on_wait(self, seconds: float, why: str) -> None:
        return

    def on_tokens(self, tokens: float) -> None:
        return

    def say(self, line: str) -> None:
        self.said.append(line)


class PaidTrials(DiceTrials):
    """Dice that a study's budget counts."""

    budget: Budget

    async def attempt(
        self, planned: PlannedTrial, harness: str, tried: Sequence[TrialEnd], record: Record | Gap | None = None
    ) -> TrialEnd:
        self.budget.begin_trial()
        return await super().attempt(planned, harness, tried, record)


@dataclass(frozen=True)
class DiceGrid(GridParts):
    """A grid without sandboxes and models."""

    told: Told = field(default_factory=Told)
    edits: Edits = field(default_factory=lambda: Edits(PAIR))
    asked: list[tuple[str, int]] = field(default_factory=list)
    """What proposals are made for."""
    outages: list[tuple[str, int]] = field(default_factory=list)
    """Proposals whose provider is out, once, when the one after them has been made."""
    errors: list[str] = field(default_factory=list)
    """Studies in whose last measure one attempt errs, each once."""
    kept: dict[str, int] = field(default_factory=dict)
    """Trials that bound the last measures of these studies, as older lorimers had it."""

    def parts(self, config: Config, study: str) -> StudyParts:
        """See GridParts."""

        async def propose(session: ProposalSession) -> Proposal | NoProposal:
            self.asked.append((study, session.number))
            await asyncio.sleep(0)
            if (study, session.number) in self.outages:
                self.outages.remove((study, session.number))
                while self.base.reader.made(candidate_id(study, session.number + 1)) is None:  # noqa: ASYNC110 - the store tells nobody
                    await asyncio.sleep(0.01)
                raise ProviderOutage("dice: nobody answers")
            return await self.edits(session)

        def luck(text: str, planned: PlannedTrial) -> float | None:
            if "final" in planned.evaluation and study in self.errors:
                self.errors.remove(study)
                return None
            return rate(text, planned)

        trials = PaidTrials(self.base.store, luck, failed_by=failed_by)
        bounds, spent = config.budget, self.base.reader.spent(study)
        if bounds.trials is None and study in self.kept:
            bounds = bounds.model_copy(update={"trials": spent.trials + self.kept[study]})
        trials.budget = Budget(study, bounds, self.base.store, spent)
        return StudyParts(
            store=self.base.store,
            reader=self.base.reader,
            trials=trials.scheduler(),
            complete=no_model,
            config=config,
            propose=propose,
        )


@contextmanager
def opened(bench: Bench, config: Config, spec: Spec = SPEC) -> Iterator[DiceGrid]:
    with Store.open(bench.root / bench.store) as store, StoreReader(store) as reader:
        base = Session(bench.root, config, store, reader, FakeProvider(), lambda seconds, why: None)
        told = Told()
        share = share_of(spec, config, Sizes(len(TASKS) - len(HOLDOUT), len(HOLDOUT)))
        yield DiceGrid(base, spec, share, bench.seed, {}, told, Workspace(bench.root), {}, told)


async def begin(grid: DiceGrid) -> None:
    for search in grid.spec.plan:
        await create(
            grid.base.store,
            study=search.study,
            kind="optimize",
            suite=suite(),
            holdout=HOLDOUT,
            config=settings_of(grid.base.config, search, grid.share),
            harness=grid.harness,
        )


def turns_of(grid: DiceGrid) -> list[tuple[str, list[int]]]:
    """The proposals that were made, in turns; those of one turn are made at once."""
    return [(study, sorted(number for _, number in made)) for study, made in groupby(grid.asked, lambda each: each[0])]


def gains(grid: DiceGrid, search: PlannedSearch) -> set[str] | None:
    """The sealed tasks on which a search's gain is known."""
    found = search_of(grid.base.reader, search).gains
    return None if found is None else set(found)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return seeded(tmp_path / "work")


async def test_a_turn_is_a_round_of_proposals_and_who_was_first_in_one_is_last_in_the_next(bench: Bench) -> None:
    with opened(bench, wide(2)) as grid:
        await begin(grid)
        await in_turns(grid)
        assert turns_of(grid) == [(B, [1, 2]), (A, [1, 2, 3, 4]), (B, [3, 4])]
        assert [gains(grid, search) for search in grid.spec.plan] == [set(HOLDOUT)] * 2


async def test_a_round_of_which_a_part_is_proposed_goes_on_with_the_rest_of_it(bench: Bench) -> None:
    with opened(bench, wide(2)) as grid:
        await begin(grid)
        grid.outages.append((A, 1))
        with pytest.raises(Stopped, match="nobody answers"):
            await in_turns(grid)
        assert turns_of(grid) == [(B, [1, 2]), (A, [1, 2])]
    with opened(bench, wide(2)) as grid:
        await in_turns(grid)
        assert turns_of(grid) == [(A, [1, 3, 4]), (B, [3, 4])]
        assert [gains(grid, search) for search in grid.spec.plan] == [set(HOLDOUT)] * 2


async def test_proposals_of_a_round_share_a_turn_however_late_they_ask() -> None:
    order: list[tuple[str, int]] = []
    turns = SearchTurns(["a", "b"])

    async def search(name: str) -> None:
        async def propose(number: int, late: int) -> None:
            for _ in range(late):
                await asyncio.sleep(0)
            await turns.ask(name, number)
            order.append((name, number))

        await turns.ask(name, 0)
        for number in (1, 2):
            await asyncio.gather(*(propose(number, late) for late in (3, 0, 9)))
        turns.leave(name)

    async with asyncio.timeout(30):
        await asyncio.gather(search("a"), search("b"))
    assert order == [("b", 1)] * 3 + [("a", 1)] * 3 + [("a", 2)] * 3 + [("b", 2)] * 3


async def test_an_attempt_that_errs_in_the_last_measure_leaves_no_search_unmeasured(bench: Bench) -> None:
    spec = SPEC.model_copy(update={"budget": WholeBudget(trials=600)})
    with opened(bench, wide(1, budget={"candidates": 50}), spec) as grid:
        await begin(grid)
        grid.edits.by_number = {1: "GOOD 2"}
        grid.errors.extend([A, B])
        await in_turns(grid)
        assert grid.errors == []
        for search in grid.spec.plan:
            found = search_of(grid.base.reader, search)
            assert found.promoted == 1
            assert found.reason.startswith("budget.trials")
            assert found.trials == grid.share.each + 1, "the attempt that erred comes on top"
            assert gains(grid, search) == set(HOLDOUT)


async def test_a_search_that_its_share_left_unmeasured_is_measured_when_the_grid_is_run_again(bench: Bench) -> None:
    """Older lorimers counted an attempt that erred against what was kept for that measure."""
    with opened(bench, wide(1, budget={"candidates": 1})) as grid:
        await begin(grid)
        grid.edits.by_number = {1: "GOOD 2"}
        grid.errors.append(A)
        grid.kept.update({A: 2 * len(HOLDOUT) * 2})
        await in_turns(grid)
        assert [gains(grid, search) for search in grid.spec.plan] == [None, set(HOLDOUT)]
        assert [line for line in grid.told.said if "its gain is not known" in line and line.startswith(A)]
    with opened(bench, wide(1, budget={"candidates": 1})) as grid:
        await in_turns(grid)
        assert [gains(grid, search) for search in grid.spec.plan] == [set(HOLDOUT)] * 2
