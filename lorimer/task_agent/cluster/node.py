"""The half of the study's process: a node as it sees it, on which trials are run and whose calls it answers."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Protocol, TypeVar

from lorimer.benchmarks.base import Task
from lorimer.errors import EngineOutage, InternalError, LorimerError
from lorimer.sandbox.base import ImageSpec
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.cluster.messages import (
    AskOthers,
    CallAnswered,
    CallAsked,
    CallWaits,
    CancelTrial,
    FarEnd,
    GaveUp,
    Others,
    Queued,
    Said,
    Told,
    Traced,
    TrialEnded,
    Waited,
)
from lorimer.task_agent.spec import TrialSpec
from lorimer.task_agent.trial import Machine
from lorimer.traces.schema import ModelCallData, StepData, TraceSink, TrialEnd, TrialState
from lorimer.traces.wired import WireCall, WirePart

T = TypeVar("T")

STOP_SECONDS = 60.0
"""How long a node may take to end a trial that is cancelled: its containers are removed first."""


class WorkerLost(EngineOutage):
    """A worker, or its node, is gone with all that it ran."""


class Link(Protocol):
    """The way to a worker on a node (`worker.Worker`). All raise WorkerLost where it is gone, and what the worker raises."""

    async def run(self, written: str) -> None: ...

    async def image(self, spec: ImageSpec) -> int | None: ...

    async def take(self) -> list[Said]:
        """What the worker has said, in order; waited for."""
        ...

    async def tell(self, events: Sequence[Told]) -> None: ...

    async def answers(self) -> None: ...

    async def reap(self) -> int: ...

    async def close(self) -> None:
        """Never raises."""
        ...


class Node:
    """A node of the cluster, as `sandbox.hosts` sees it.

    Args:
        open_link: starts a worker there. Raises EngineOutage where the node is away, PrerequisiteError for what it lacks.
    """

    def __init__(self, open_link: Callable[[], Awaitable[Link]]) -> None:
        self._open_link = open_link
        self._opening = asyncio.Lock()
        self._line: WorkerLine | None = None

    async def line(self) -> WorkerLine:
        """The conversation with its worker, which is started where none is there. Raises as `open_link` does."""
        async with self._opening:
            if self._line is None or self._line.lost:
                if self._line is not None:
                    await self._line.close()
                self._line = WorkerLine(await self._open_link())
            return self._line

    async def answers(self) -> None:
        """See Reached."""
        line = await self.line()
        try:
            await line.or_lost(line.link.answers())
        except WorkerLost:
            line = await self.line()  # a node that is there gets another
            await line.or_lost(line.link.answers())

    async def reap(self) -> int:
        """See Reached."""
        line = await self.line()
        return await line.or_lost(line.link.reap())

    async def close(self) -> None:
        """See Reached."""
        if self._line is not None:
            await self._line.close()


class OnNode:
    """An `Executor` on one node.

    Args:
        machine: where its trials' steps go, and the model that answers them; the sandboxes are the node's.
    """

    def __init__(self, node: Node, machine: Machine) -> None:
        self._node, self._machine = node, machine

    async def image(self, spec: ImageSpec) -> int | None:
        """See Executor."""
        line = await self._node.line()
        return await line.or_lost(line.link.image(spec))

    async def run(self, spec: TrialSpec, task: Task, *, opened: bool) -> TrialEnd:
        """See Executor. The node has a task of its own, which must be this one."""
        began = time.monotonic()
        if not opened:  # a trial has a row, whatever becomes of its node
            self._machine.sink.open_trial(spec.start)
        try:
            line = await self._node.line()
            outcome = await line.run(spec, self._machine)
        except EngineOutage as error:
            seconds = time.monotonic() - began
            return TrialEnd(spec.start.id, TrialState.ERRORED, Cause.ENGINE_OUTAGE.value, str(error), seconds=seconds)
        if isinstance(outcome, LorimerError):
            raise outcome
        return outcome

    async def answers(self) -> None:
        """See Executor."""
        await self._node.answers()

    def at_once(self, trials: int) -> None:
        """See Executor. Whoever gives out the places keeps to it."""


class WorkerLine:
    """The conversation with one worker, from its start until it is lost or closed."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.lost = ""
        """Why nothing more is heard of the worker."""
        self._machines: dict[str, Machine] = {}
        self._ends: dict[str, asyncio.Future[FarEnd]] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._others: dict[int, asyncio.Future[bool]] = {}
        self._owners: dict[int, str] = {}
        self._outgoing: asyncio.Queue[Told] = asyncio.Queue()
        self._both = [asyncio.ensure_future(self._hear()), asyncio.ensure_future(self._speak())]

    async def or_lost(self, work: Awaitable[T]) -> T:
        """What `work` says. That its worker is gone ends this line."""
        try:
            return await work
        except WorkerLost as error:
            self._lose(str(error))
            raise

    async def run(self, spec: TrialSpec, machine: Machine) -> FarEnd:
        """One trial. Raises WorkerLost where that happens meanwhile.

        Cancelled, it returns when the node has ended the trial.
        """
        owner = spec.start.id
        end: asyncio.Future[FarEnd] = asyncio.get_running_loop().create_future()
        end.add_done_callback(lambda done: done.cancelled() or done.exception())  # a cancelled trial hears of no loss
        self._ends[owner] = end
        self._machines[owner] = machine
        try:
            async with self._begun(spec):
                return await end
        finally:
            del self._machines[owner], self._ends[owner]  # what is said of it now is said too late
            calls = [call for number, call in self._calls.items() if self._owners[number] == owner]
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    async def close(self) -> None:
        """End the worker and all that goes on with it."""
        self._lose("closed")
        await asyncio.gather(*self._both, *self._calls.values(), return_exceptions=True)
        await self.link.close()

    @asynccontextmanager
    async def _begun(self, spec: TrialSpec) -> AsyncIterator[None]:
        """Within it the trial runs on the node; whoever leaves early has it cancelled."""
        owner = spec.start.id
        running = asyncio.ensure_future(self.or_lost(self.link.run(spec.model_dump_json())))

        def failed(done: asyncio.Future[None]) -> None:
            error = None if done.cancelled() else done.exception()
            end = self._ends.get(owner)
            if error is not None and end is not None and not end.done():
                end.set_exception(error)

        running.add_done_callback(failed)
        if self.lost:
            self._ends[owner].set_exception(WorkerLost(self.lost))
        try:
            yield
        except BaseException:
            self._outgoing.put_nowait(CancelTrial(owner))
            await asyncio.wait([running], timeout=0 if self.lost else STOP_SECONDS)
            raise
        finally:
            running.cancel()

    def _lose(self, why: str) -> None:
        if self.lost:
            return
        self.lost = why
        for end in self._ends.values():
            if not end.done():
                end.set_exception(WorkerLost(why))
        for work in (*self._both, *self._calls.values()):
            if work is not asyncio.current_task():
                work.cancel()

    async def _hear(self) -> None:
        try:
            while True:
                for said in await self.link.take():
                    self._take(said)
        except WorkerLost as error:
            self._lose(str(error))
        except Exception as error:  # noqa: BLE001 - the trials that wait are told, whatever it is
            self._lose(f"what the node says cannot be taken: {type(error).__name__}: {error}")

    async def _speak(self) -> None:
        try:
            while True:
                events = [await self._outgoing.get()]
                while not self._outgoing.empty():
                    events.append(self._outgoing.get_nowait())
                await self.link.tell(events)
        except WorkerLost as error:
            self._lose(str(error))
        except Exception as error:  # noqa: BLE001 - a trial whose calls nobody answers would wait for ever
            self._lose(f"what is said to the node does not reach it: {type(error).__name__}: {error}")

    def _take(self, said: Said) -> None:
        match said:
            case Traced(what):
                machine = self._machines.get(what.owner)
                if machine is not None:
                    _trace(machine.sink, what)
            case CallAsked():
                if said.owner in self._machines:
                    self._owners[said.number] = said.owner
                    self._calls[said.number] = call = asyncio.ensure_future(self._answer(said))
                    call.add_done_callback(functools.partial(self._forget, said.number))
            case GaveUp(number):
                if number in self._calls:
                    self._calls[number].cancel()
            case Others(number, answers):
                waiting = self._others.pop(number, None)
                if waiting is not None and not waiting.done():
                    if isinstance(answers, LorimerError):
                        waiting.set_exception(answers)
                    else:
                        waiting.set_result(answers)
            case Waited(owner, seconds, why):
                if owner in self._machines:
                    self._machines[owner].on_wait(seconds, why)
            case TrialEnded(owner, outcome):
                end = self._ends.get(owner)
                if end is not None and not end.done():
                    end.set_result(outcome)

    def _forget(self, number: int, done: asyncio.Task[None]) -> None:
        for table in (self._calls, self._owners, self._others):
            table.pop(number, None)

    async def _answer(self, asked: CallAsked) -> None:
        """Make a call for a trial and tell the node what came of it."""
        number = asked.number
        tell = self._outgoing.put_nowait
        model = self._machines[asked.owner].model

        @contextmanager
        def queued() -> Iterator[None]:
            tell(Queued(number, True))
            try:
                yield
            finally:
                tell(Queued(number, False))

        async def answers() -> bool:
            waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._others[number] = waiting
            tell(AskOthers(number))
            return await waiting

        context = replace(
            asked.context,
            on_wait=lambda seconds, why: tell(CallWaits(number, seconds, why)),
            queued=queued,
            answers=answers if asked.others else None,
        )
        try:
            if model is None:
                raise InternalError("a trial without a model asks one")
            reply = await model.complete(
                asked.request,
                context,
                owner=asked.owner,
                began=time.monotonic() - asked.seconds,
                traced=asked.traced,
                call=asked.call,
            )
            tell(CallAnswered(number, reply))
        except LorimerError as error:
            tell(CallAnswered(number, error))
        except Exception as error:  # noqa: BLE001 - a trial that waits is told, whatever it is
            tell(CallAnswered(number, InternalError(f"{type(error).__name__}: {error}")))


def _trace(sink: TraceSink, what: StepData | ModelCallData | WirePart | WireCall) -> None:
    match what:
        case StepData():
            sink.step(what)
        case ModelCallData():
            sink.model_call(what)
        case WirePart():
            sink.wire_part(what)
        case WireCall():
            sink.wire_call(what)
