"""`lorimer compare`: the searches of a grid as studies of one workspace, in turns, each within its share of one budget.

Every search is an ordinary study. Where the grid stands follows from the store alone: a process that is killed anywhere is
followed by one that is given the same spec. Champions stay in the store; no search touches the user's branch.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorimer.benchmarks.base import Suite, Task
from lorimer.benchmarks.canary import canaries
from lorimer.benchmarks.split import Split, split
from lorimer.config.settings import FILE_NAME, BudgetSettings, Config, read
from lorimer.errors import (
    BudgetExhausted,
    ConfigError,
    EngineOutage,
    ProviderOutage,
    ProviderRefusal,
    UserError,
    VerifierOutage,
    WorldError,
)
from lorimer.harness.version import sha
from lorimer.keys import Keys
from lorimer.meta_agent.pairings.collecting import collected, sizes
from lorimer.meta_agent.pairings.spec import (
    PlannedSearch,
    SearchBudget,
    Sizes,
    Spec,
    check_settings,
    searches_each,
    settings_of,
    share_of,
    transfer_settings_of,
)
from lorimer.meta_agent.pairings.turns import SearchTurns, rounds
from lorimer.meta_agent.pairings.values import GridResult
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study import campaign, loop
from lorimer.meta_agent.study.answering import known_there
from lorimer.meta_agent.study.checking import valid
from lorimer.meta_agent.study.stage_trials import Pause
from lorimer.meta_agent.study.stages import Stages
from lorimer.meta_agent.workspace import known
from lorimer.meta_agent.workspace.named import check_prices, providers
from lorimer.meta_agent.workspace.parts import StudyParts, create
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.meta_agent.workspace.session import Session, open_session
from lorimer.meta_agent.workspace.settings import may_change
from lorimer.meta_agent.workspace.watching import Watcher, tell_place, tell_problems
from lorimer.models.base import ModelClient
from lorimer.models.registry import open_model
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Stage
from lorimer.traces.scrub import scrub_json
from lorimer.traces.settings import changes, shown
from lorimer.traces.writing.holder import this_process

AGAIN = "the same `lorimer compare` goes on"


class Stopped(WorldError):
    """A search was paused by the world, and the others with it."""


@dataclass(frozen=True)
class GridParts:
    """What all searches of a grid share."""

    base: Session
    spec: Spec
    share: SearchBudget
    harness: str
    models: Mapping[str, ModelClient]
    watcher: Watcher
    workspace: Workspace
    said: Mapping[str, Any]

    def session(self, config: Config) -> Session:
        """The open store and sandboxes with the models of `config`."""
        task, meta = self.models[config.models.task], self.models[config.meta_model]
        return dataclasses.replace(self.base, config=config, task_model=task, meta_model=meta)

    def parts(self, config: Config, study: str) -> StudyParts:
        session = self.session(config)
        tasks = campaign.same_tasks(session, study)
        made = campaign.parts_of(session, study, tasks, self.workspace, self.watcher, self.said)
        return dataclasses.replace(made, workspace=None)


async def compare(root: Path, config: Config, spec: Spec, watcher: Watcher) -> GridResult:
    """Begin the grid, or go on with it, and run it to its end.

    Raises UserError, ConfigError, PrerequisiteError, HarnessError before anything is paid; Stopped where the world pauses a
    search.
    """
    check_settings(config)
    async with _opened(root, config, spec, watcher) as grid:
        await _begin(grid)
        await in_turns(grid)
        if spec.transfer:
            await transfers(grid)
        return await asyncio.to_thread(collected, grid.base.reader, spec, grid.share, config.study.seed)


@asynccontextmanager
async def _opened(root: Path, config: Config, spec: Spec, watcher: Watcher) -> AsyncIterator[GridParts]:
    workspace = Workspace(root, config.study.harness, config.study.program)
    workspace.check()
    harness = workspace.read_harness()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(open_session(root, config, models=False, watcher=watcher))
        keys, models = Keys.open(root), dict[str, ModelClient]()
        for name in dict.fromkeys((*spec.task, *spec.meta)):
            models[name] = open_model(name, providers(config), keys=keys, on_tokens=watcher.on_tokens)
            stack.push_async_callback(models[name].close)
            known.tell(base.reader, models[name])
        if spec.budget.unit == "usd":
            check_prices(config.model_copy(update={"budget": BudgetSettings(usd=spec.budget.usd)}), *models.values())
        tell_place(root, watcher)
        there = sizes(base.reader, spec)
        if there is None:
            _, sides = await _suite(base, root, watcher)
            there = Sizes(len(sides.train), len(sides.holdout))
        share = share_of(spec, config, there)
        yield GridParts(base, spec, share, harness, models, watcher, workspace, read(root / FILE_NAME))


async def _suite(base: Session, root: Path, watcher: Watcher) -> tuple[Suite, Split]:
    """The tasks of a grid that begins. Raises ConfigError where none of them is sealed."""
    suite = base.load_suite()
    tell_problems(suite, watcher)
    suite = await valid(base, suite, watcher)
    sides = split(suite.tasks, base.config.split, base.config.study.seed, base=root)
    if not sides.holdout:
        raise ConfigError(
            "split.holdout: a grid is judged on sealed tasks, and none is sealed; set it to a share over 0"
        )
    taking_part = {*sides.train, *sides.holdout, *sides.test}
    return dataclasses.replace(suite, tasks=tuple(task for task in suite.tasks if task.id in taking_part)), sides


async def _begin(grid: GridParts) -> None:
    """Every search's study is in the store. Raises UserError where one that is there began otherwise."""
    there = {study.id: study for study in grid.base.reader.studies()}
    missing = [each for each in grid.spec.plan if each.study not in there]
    for search in grid.spec.plan:
        if search.study in there:
            _same(grid, search, there[search.study])
    if not missing:
        return
    for model in grid.models.values():
        await known_there(model, grid.watcher)
    suite, sides = await _suite(grid.base, grid.base.root, grid.watcher)
    first = _config(grid, missing[0])
    await campaign.starts(grid.session(first), grid.harness, first)
    for search in missing:
        config = _config(grid, search)
        await create(
            grid.base.store,
            study=search.study,
            kind="optimize",
            suite=suite,
            holdout=sides.holdout,
            test=sides.test,
            config=config,
            harness=grid.harness,
            canaries=canaries(config.study.canaries),
            lorimer_toml=grid.said,
        )
    share = grid.share
    grid.watcher.say(
        f"grid {grid.spec.name}: {len(grid.spec.pairings)} pairings, {searches_each(grid.spec.searches)}, "
        f"{len(sides.train)} train tasks and {len(sides.holdout)} sealed ones of {suite.name}; "
        f"{share.each:g} {share.unit} for each search"
    )


def _config(grid: GridParts, search: PlannedSearch, *, last: bool = False) -> Config:
    return settings_of(grid.base.config, search, grid.share, last=last)


def _same(grid: GridParts, search: PlannedSearch, row: Any) -> None:
    other = "; put it back, or begin another grid with --name"
    if row.seed_harness != sha(grid.harness):
        raise UserError(
            f"{search.study} began with harness {row.seed_harness[:12]}, and the workspace's is another{other}"
        )
    wanted = scrub_json(_config(grid, search).model_dump(mode="json"), grid.base.scrub)
    for change in changes(row.config, wanted):
        if change.path[0] == "budget" or not may_change(change.path):
            raise UserError(
                f"{search.study} began with {change.key} = {shown(change.before)}, and now it would be "
                f"{shown(change.after)}{other}"
            )


# ---- searching ------------------------------------------------------------------------------------------------------


async def in_turns(grid: GridParts) -> None:
    """Every search from where it stands to its last measure. Raises Stopped where the world pauses one."""
    turns = SearchTurns(each.study for each in grid.spec.plan)
    tasks = [asyncio.create_task(_search(grid, each, turns)) for each in grid.spec.plan]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _search(grid: GridParts, search: PlannedSearch, turns: SearchTurns) -> None:
    """One search from where it stands to its last measure."""
    reader, study = grid.base.reader, search.study
    begun = reader.candidates(study)
    await turns.ask(study, rounds(begun))
    if reader.study(study).state != "finished":
        grid.watcher.say(f"{study}: {'its baseline' if not begun else f'goes on with candidate {len(begun)}'}")
        parts = await asyncio.to_thread(grid.parts, _config(grid, search), study)

        async def propose(session: ProposalSession) -> Proposal | NoProposal:
            until = [each for each in reader.candidates(study) if each.number <= session.number]
            await turns.ask(study, rounds(until))
            return await parts.propose(session)

        result = await loop.optimize(dataclasses.replace(parts, propose=propose), study)
        if result.state != "finished":
            raise Stopped(f"{study} is paused, and the grid with it: {_without_advice(result.reason)}; {AGAIN}")
    await _last(grid, search)
    turns.leave(study)  # not where it raised: no other search is to begin a turn before all are stopped


def _without_advice(reason: str) -> str:
    return reason.partition("; `lorimer resume")[0]


async def _last(grid: GridParts, search: PlannedSearch) -> None:
    """Champion and seed harness side by side on the sealed tasks, from what was kept for that."""
    store, study, holder = grid.base.store, search.study, this_process()
    world = await asyncio.to_thread(scan, grid.base.reader, study)
    if world.champion is None or world.sealed_score is not None:
        return
    grid.watcher.say(f"{study}: its last measure")
    parts = await asyncio.to_thread(grid.parts, _config(grid, search, last=True), study)
    await store.claim(study, holder)
    try:
        await store.cancel_running(study)
        await Stages(parts, study).measure_last(world, Stage.HOLDOUT)
    except BudgetExhausted as error:
        grid.watcher.say(f"{study}: its share ended before its last measure did ({error}); its gain is not known")
    except (ProviderOutage, ProviderRefusal, VerifierOutage, EngineOutage, Pause) as error:
        raise Stopped(f"{study}: the last measure was stopped: {error}; {AGAIN}") from None
    finally:
        await store.release(study, holder)


# ---- transfer -------------------------------------------------------------------------------------------------------


async def transfers(grid: GridParts) -> None:
    """Each winner on the sealed tasks under each other task model, as a run of its own."""
    reader, store = grid.base.reader, grid.base.store
    pairs = [(each, model) for each in grid.spec.plan for model in grid.spec.task if model != each.pairing.task]
    for search, model in pairs:
        world = await asyncio.to_thread(scan, reader, search.study)
        if world.champion is None:
            continue
        name = grid.spec.transfer_name(search, model)
        config = transfer_settings_of(grid.base.config, search, grid.share, model, len(pairs))
        there = {study.id: study for study in reader.studies()}
        if name not in there:
            tasks = [task for task in _tasks(grid, search) if task.id in world.holdout]
            suite = Suite(there[search.study].benchmark, tuple(tasks))
            text = reader.harness(world.champion_harness).text
            await create(
                store,
                study=name,
                kind="run",
                suite=suite,
                holdout=(),
                config=config,
                harness=text,
                lorimer_toml=grid.said,
            )
        elif there[name].state == "finished" and (grid.share.unit != "trials" or _is_measured(reader, name)):
            continue
        parts = await asyncio.to_thread(grid.parts, config, name)
        result = await loop.evaluate(parts, name)
        if result.state != "finished":
            raise Stopped(f"{name} is paused: {_without_advice(result.reason)}; {AGAIN}")


def _is_measured(reader: StudyReader, name: str) -> bool:
    """An older lorimer bounded the trials of these runs, and one attempt that erred ended a run early."""
    return scan(reader, name).decided("", Stage.BASELINE) is not None


def _tasks(grid: GridParts, search: PlannedSearch) -> tuple[Task, ...]:
    return campaign.same_tasks(grid.session(_config(grid, search)), search.study)
