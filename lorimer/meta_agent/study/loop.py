"""The loop: scan the store once, decide what is next, do it, until nothing is left.

    world = scan(query, study)
    command = next_command(world, config)     # pure, in `commands`
    world = await execute(world, command)     # stores its result in one transaction, and folds it in

A process that is killed leaves a store from which `scan` finds the same world, so the next one goes on where it ended:
plans are stored before their first trial, finished trials are never run again, and decisions follow from trials in planned
order.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from lorimer.config.settings import parse_stored
from lorimer.errors import (
    BudgetExhausted,
    EngineOutage,
    InternalError,
    LorimerError,
    ProviderOutage,
    ProviderRefusal,
    TakenOver,
    VerifierOutage,
)
from lorimer.kinds import NONE_REFUSED
from lorimer.meta_agent.gate.design import Design, too_small
from lorimer.meta_agent.gate.statistics import permutation
from lorimer.meta_agent.state.commands import (
    COMPARED,
    Apply,
    Await,
    Evaluate,
    FinishStudy,
    Measure,
    Promote,
    Propose,
    Rebase,
    next_command,
)
from lorimer.meta_agent.state.descent import edit_of
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.result import StudyResult, result
from lorimer.meta_agent.state.world import World, scan, score_of
from lorimer.meta_agent.study.candidates.proposals import Proposals
from lorimer.meta_agent.study.effects import Effects
from lorimer.meta_agent.study.people import ringing
from lorimer.meta_agent.study.people.beside import departed
from lorimer.meta_agent.study.people.hearing import Heard
from lorimer.meta_agent.study.stage_trials import Pause
from lorimer.meta_agent.study.stages import Stages
from lorimer.meta_agent.workspace.events import (
    BranchDiffers,
    LittleToWin,
    Promoted,
    SettingChanged,
    StudyEnded,
)
from lorimer.meta_agent.workspace.parts import StudyParts
from lorimer.meta_agent.workspace.repository import Promotion
from lorimer.traces.schema import Stage
from lorimer.traces.writing.holder import this_process
from lorimer.wording import UNREAD, is_unread

BEAT_SECONDS = 5.0
"""The pause between two entries of how long a study has run: what a kill loses of `[budget] hours`."""


async def optimize(parts: StudyParts, study: str) -> StudyResult:
    """Run a study, new or interrupted, until it is finished, its budget is spent, or the world stops it.

    Cancelling it (Ctrl-C) stops cleanly: trials under way are dropped, finished ones kept, the state is `paused`.
    An outage pauses it; a spent budget finishes it. Both are results, and both can be resumed.

    Raises UserError when another process runs the study; other LorimerErrors after marking it `paused`, which these say of
    themselves, also where the store could not be written to mark it.
    """
    loop = _Loop(parts, study)
    return await _attended(parts, study, loop.heard, loop.work)


async def evaluate(parts: StudyParts, study: str) -> StudyResult:
    """Run a study of kind `run`: its harness on all its tasks, `[gate] champion_repeats` times each, and nothing more.

    Interrupted and resumed like `optimize`, and raising the same.
    """
    loop = _Loop(parts, study)
    return await _attended(parts, study, loop.heard, loop.measure)


async def compare(parts: StudyParts, study: str) -> StudyResult:
    """Run a study of kind `ab`: its one candidate's full run, side by side with its seed harness, and nothing more.

    Interrupted and resumed like `optimize`, and raising the same.
    """
    loop = _Loop(parts, study)
    return await _attended(parts, study, loop.heard, loop.compare)


async def _attended(
    parts: StudyParts, study: str, heard: Heard, work: Callable[[], Coroutine[Any, Any, str]]
) -> StudyResult:
    """`work` under the study's lock, until it is done or a person asks for a pause; its end stored whatever it is."""
    again = f"`lorimer resume {study}` goes on"
    await heard.begin()
    async with _held(parts, study):
        waits: CandidateView | None = None
        try:
            ended = StudyEnded(study, "finished", await heard.until_asked(work()), "done")
        except BudgetExhausted as error:
            larger = f"`lorimer resume {study} --set {error.key}={error.larger:.12g}` goes on"
            ended = StudyEnded(study, "finished", f"{error}; {larger}", "budget")
        except ProviderOutage as error:
            ended = StudyEnded(study, "paused", f"provider {error}; {again} when it answers", "provider")
        except ProviderRefusal as error:
            ended = StudyEnded(study, "paused", f"{error}; once that is mended, {again}", "refusal")
        except VerifierOutage as error:
            ended = StudyEnded(study, "paused", f"{error}; once that is put right, {again}", "verifier")
        except EngineOutage as error:
            ended = StudyEnded(study, "paused", f"{error}; {again} when the engine answers", "engine")
        except Pause as pause:
            said = str(pause) if pause.cause == "harness" else f"{pause}; {again}"  # a study's harness cannot be mended
            ended, waits = StudyEnded(study, "paused", said, pause.cause), pause.waits
        except BaseException as error:
            stopped = isinstance(error, asyncio.CancelledError)
            why = UNREAD if is_unread(error) else str(error) or type(error).__name__
            why = "stopped by the user" if stopped else why
            try:
                await _end(parts, StudyEnded(study, "paused", f"{why}; {again}", "stopped" if stopped else "error"))
            except TakenOver as taken:
                # Whatever else fails then, such as sandboxes that were ended meanwhile, is of no interest.
                if not stopped:
                    raise taken from error
            except LorimerError:  # a store that cannot be written is the error already on its way
                pass
            raise
        await _end(parts, ended, waits)
        return await asyncio.to_thread(result, parts.reader, study)


async def _end(parts: StudyParts, ended: StudyEnded, waits: CandidateView | None = None) -> None:
    await parts.store.set_study_state(ended.study, ended.state, ended.reason)
    try:
        parts.progress.on_event(ended)
    finally:  # whoever is told by other ways is told, though nobody reads what is printed
        await ringing.ended(parts, ended, waits)


@asynccontextmanager
async def _held(parts: StudyParts, study: str) -> AsyncIterator[None]:
    """The study is this process's alone, and leftovers of a dead one are marked."""
    holder = this_process()
    await parts.store.claim(study, holder)
    watch = asyncio.create_task(_keep_time(parts, study))
    try:
        await parts.store.cancel_running(study)
        found = parts.found or parse_stored(parts.reader.study(study).config, study)
        before, after = (settings.model_dump(mode="json") for settings in (found, parts.config))
        for change in await parts.store.set_settings(study, before, after, parts.lorimer_toml):
            parts.progress.on_event(SettingChanged(change.key, change.before, change.after))
        await parts.store.set_study_state(study, "running")
        yield
    except LorimerError as error:
        if not isinstance(error, InternalError | TakenOver):  # which nobody here can put right
            error.paused = study
        raise
    finally:
        watch.cancel()
        with suppress(LorimerError, asyncio.CancelledError):
            await watch
        with suppress(LorimerError):  # a dead holder is taken over anyway
            await parts.store.release(study, holder)


async def _keep_time(parts: StudyParts, study: str) -> None:
    """Count the seconds for which this process runs the study, by a clock that nobody sets."""
    before, began = parts.reader.study(study).seconds, time.monotonic()
    try:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await parts.store.set_seconds(study, before + time.monotonic() - began)
    finally:
        await parts.store.set_seconds(study, before + time.monotonic() - began)


def _import_ahead() -> None:
    """Import what a study needs in its middle: numpy alone takes 0.1 s, and trials would wait for it."""
    for name in ("lorimer.meta_agent.proposer.propose", "jinja2"):
        importlib.import_module(name)
    permutation.import_ahead()


class _Loop:
    """Executes commands for one study.

    What reads many rows, or computes for long, does so in a thread: answers of models and sandboxes wait for nothing that grows
    with the study. Nothing follows from when a thread ends, as the loop waits for each before it goes on.
    """

    def __init__(self, parts: StudyParts, study: str) -> None:
        self._parts, self._study = parts, study
        self._stages = Stages(parts, study)
        self._tell = parts.progress.on_event
        self._departed = ""
        self._warned = set[str]()
        self.heard = Heard(parts, study)
        self._proposals = Proposals(parts, study, self.heard)
        self._effects = Effects(parts)

    async def work(self) -> str:
        """Commands until `FinishStudy`; its reason."""
        await asyncio.to_thread(_import_ahead)
        await self._proposals.remember()
        world = await self._scan()
        while True:
            await self._effects.keep(world)
            command = next_command(world, self.heard.config)
            if isinstance(
                command, Propose | Measure | FinishStudy
            ):  # a person may have put an edit forward in the meantime
                world = self._proposals.told(world, await self._scan())
                command = next_command(world, self.heard.config)
            if isinstance(command, Propose) and world.round is None:
                command = next_command(world, self.heard.config, await self._unwinnable(world))
            if isinstance(command, Propose):
                await self._look_at_branch(world)
            if isinstance(command, Evaluate):
                await self._intact()
            match command:
                case FinishStudy(reason):
                    return reason
                case Evaluate(stage, candidate, others) if candidate is not None and stage in COMPARED:
                    world = await self._stages.compare(world, stage, [candidate, *others])
                case Evaluate(stage, candidate):
                    world = await self._stages.evaluate(world, stage, candidate)
                case Measure(stage):
                    world = await self._stages.measure_last(world, stage)
                case Propose(number, most) if world.round is None:
                    world = await self._proposals.begin(world, number, most) or await self._scan()
                case Propose(number, others=others):
                    world = await self._proposals.make(world, [number, *others])
                case Apply(candidate):
                    world = await self._proposals.apply(world, candidate)
                case Rebase(champion, candidates):
                    world = await self._proposals.rebase(world, champion, candidates) or await self._scan()
                case Await(candidate):
                    raise Pause(_waits(candidate), "review", candidate)
                case Promote(candidate):
                    world = await self._promote(world, candidate)

    async def measure(self) -> str:
        """The seed harness on all tasks; why it ended."""
        await self._intact()
        await self._stages.measure(await self._scan())
        return "all trials were run"

    async def compare(self) -> str:
        """The one candidate against the seed harness; why it ended."""
        await self._intact()
        await asyncio.to_thread(_import_ahead)
        world = await self._scan()
        if world.open is not None and world.decided(world.open.id, Stage.FULL) is None:
            world = await self._stages.compare(world, Stage.FULL, [world.open])
        if world.open is not None:  # the gate would promote it, and no stage comes after this one
            await self._parts.store.update_candidate(world.open.id, "proposed", state="better")
        await self._effects.keep(await self._scan())
        return "the gate has answered"

    async def _intact(self) -> None:
        """Raises Pause where a verifier or another file of the benchmark is not what it was."""
        problem = await self._parts.intact()
        if problem:
            raise Pause(f"{problem}; restore it, as nothing measured before and after can be compared", "benchmark")

    async def _look_at_branch(self, world: World) -> None:
        """Tell, once each time that it changes, that the branch does not hold the champion."""
        workspace = self._parts.workspace
        if workspace is None:
            return
        held = await asyncio.to_thread(workspace.committed)
        said = departed(world, held, await asyncio.to_thread(workspace.side_branch, self._study))
        if said and said != self._departed:
            self._tell(BranchDiffers(said))
        self._departed = said

    async def _unwinnable(self, world: World) -> str:
        """Why no candidate can be promoted over the champion from now on; "" where one can. Where one may only later, as the
        champion becomes better known, that is told once. Tasks that are too few for any champion were told of as the study began,
        and whoever goes on with them is let go on."""
        found = await self._stages.left_to_win(world)
        if found is None or too_small(Design.of(self._parts.config), world.train):
            return ""
        sets = "".join(f" --set {key}={value}" for key, value in found.helps.items())
        again = f"`lorimer optimize --from {self._study}{sets}` goes on from this champion"
        if found.lasts:
            return f"{found.said}; {again}"
        if world.champion_harness not in self._warned:
            self._warned.add(world.champion_harness)
            stays = "this study goes on, as later candidates meet more of the champion's trials"
            self._tell(LittleToWin(f"{found.said}; {again} at once, and {stays}"))
        return ""

    async def _scan(self) -> World:
        await self._parts.store.flush()
        return await asyncio.to_thread(scan, self._parts.reader, self._study)

    # ---- candidates

    async def _promote(self, world: World, candidate: CandidateView) -> World:
        """Commit first, then store: a crash between the two finds its own commit again by the trailers."""
        workspace, reader = self._parts.workspace, self._parts.reader
        audit, full = world.decided(candidate.id, Stage.AUDIT), world.decided(candidate.id, Stage.FULL)
        if audit is None or full is None or candidate.harness is None:
            raise InternalError(f"{candidate.id} is to be promoted without an audit")
        refused = await asyncio.to_thread(reader.refused, [audit.id])
        review = world.decided(candidate.id, Stage.REVIEW)
        score, commit, note = replace(score_of(audit), refused=refused.get(audit.id, NONE_REFUSED)), "", ""
        if workspace is not None:
            said = [full.reason, *([f"The promotion was {review.reason}."] if review else [])]
            edited = edit_of(world, candidate.number, candidate.parent)
            said += [f"It is an edit of {edited}."] if edited else []
            promotion = Promotion(
                study=self._study,
                candidate=candidate.id,
                harness=candidate.harness,
                title=candidate.title,
                hypothesis=candidate.hypothesis,
                decision="\n\n".join(said),
                score=f"{score.mean:.3f}",
                interval=f"[{score.low:.3f}, {score.high:.3f}]",
                chain=reader.head(),
            )
            await self._parts.store.flush()  # a process that does not hold the study any more commits nothing
            text, champion = reader.harness(candidate.harness).text, reader.harness(world.champion_harness).text
            done = await asyncio.to_thread(workspace.promote, promotion, text, champion)
            commit, note = done.commit, done.note
        stored = await self._parts.store.update_candidate(candidate.id, "proposed", state="promoted", commit=commit)
        self._tell(Promoted(candidate.id, candidate.title, commit, score, note))
        await ringing.promoted(self._parts, self._study, candidate, commit, score)
        return world.with_candidate(stored)


def _waits(candidate: CandidateView) -> str:
    name = short(candidate.number)
    return (
        f"{name} passed every stage and waits for a review: `lorimer review` shows it, and "
        f"`lorimer review {name} --approve` or `lorimer review {name} --refuse --why REASON` answers"
    )
