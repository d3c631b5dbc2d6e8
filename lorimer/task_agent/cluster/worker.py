"""The node's half: trials run here, on the node's own engine, with a model and a trace that are elsewhere."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from lorimer.benchmarks.base import Task
from lorimer.errors import BudgetExhausted, ConfigError, InternalError, LorimerError, PrerequisiteError
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import BuiltImage, ImageSpec, SandboxProvider
from lorimer.task_agent.cluster.messages import (
    AskOthers,
    CallAnswered,
    CallAsked,
    CallWaits,
    CancelTrial,
    FarEnd,
    GaveUp,
    OfCall,
    Others,
    Queued,
    Said,
    Told,
    Traced,
    TrialEnded,
    Waited,
)
from lorimer.task_agent.limits import at_most, shorter, step_of
from lorimer.task_agent.scheduling.local import ready
from lorimer.task_agent.serving.spells import Spells
from lorimer.task_agent.spec import TrialSpec
from lorimer.task_agent.trial import Machine, run_trial
from lorimer.traces.schema import (
    ModelCallData,
    Reservation,
    Settlement,
    StepData,
    TraceSink,
    TrialEnd,
    TrialStart,
)
from lorimer.traces.wired import WireCall, WirePart

MOST_TAKEN = 500
"""Messages that are handed over at once: a trial has some dozens, and the largest hold a conversation."""


@dataclass(frozen=True)
class TaskModelSpec:
    """The task model, as far as a node must know it."""

    id: str
    max_tokens: int


@dataclass(frozen=True)
class NodeResources:
    """What a node runs trials on."""

    provider: SandboxProvider
    task: Callable[[str], Task]
    """A task of the benchmark, as this node has it. Raises UserError."""
    price: Callable[[int, int], float | None] = lambda tokens_in, tokens_out: None
    """Dollars of a call of the task model, by tokens; `None` where unknown."""
    passed: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables that verifiers may be given, with their values."""


class Outbox:
    """What is to be said to the study's process, and the calls that wait for its answers."""

    def __init__(self) -> None:
        self._said: list[Said] = []
        self._some = asyncio.Event()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Queue[OfCall]] = {}

    def say(self, message: Said) -> None:
        self._said.append(message)
        self._some.set()

    async def take(self) -> list[Said]:
        """All that was said and not yet taken, in order; waits where there is nothing."""
        await self._some.wait()
        taken, self._said = self._said[:MOST_TAKEN], self._said[MOST_TAKEN:]
        if not self._said:
            self._some.clear()
        return taken

    def call(self) -> tuple[int, asyncio.Queue[OfCall]]:
        """A number for a new call, and where it hears."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.Queue()
        return number, self._waiting[number]

    def hear(self, told: OfCall) -> None:
        heard = self._waiting.get(told.number)
        if heard is not None:  # else it was given up meanwhile
            heard.put_nowait(told)

    def done(self, number: int) -> None:
        self._waiting.pop(number, None)


class FarSink(TraceSink):
    """A trial's trace, which is kept elsewhere. The study's own process opens, ends and bills a trial."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def open_trial(self, start: TrialStart) -> None:
        raise InternalError("a node opens no trial")

    def step(self, step: StepData) -> None:
        self._outbox.say(Traced(step))

    def model_call(self, call: ModelCallData) -> None:
        self._outbox.say(Traced(call))

    def wire_part(self, part: WirePart) -> None:
        self._outbox.say(Traced(part))

    def wire_call(self, call: WireCall) -> None:
        self._outbox.say(Traced(call))

    async def close_trial(self, end: TrialEnd) -> None:
        raise InternalError("a node ends no trial")

    async def reserve(self, reservation: Reservation) -> None:
        raise InternalError("a node bills nothing")

    def settle(self, settlement: Settlement) -> None:
        raise InternalError("a node bills nothing")

    def warn(self, name: str, study: str, text: str) -> None:
        raise InternalError("a node bills nothing")


class FarModel:
    """A TaskModel whose calls are made, billed and traced by the study's process."""

    def __init__(self, spec: TaskModelSpec, outbox: Outbox, price: Callable[[int, int], float | None]) -> None:
        self.id, self.max_tokens = spec.id, spec.max_tokens
        self.control: ModelRequest | None = None
        self._outbox, self._price = outbox, price

    def at_most(self, request: ModelRequest) -> tuple[int, float | None]:
        """See TaskModel."""
        return at_most(request, self.max_tokens, self._price)

    async def complete(
        self,
        request: ModelRequest,
        context: CallContext,
        *,
        owner: str,
        began: float,
        traced: bool = True,
        call: int | None = None,
    ) -> ModelReply:
        """See TaskModel."""
        number, heard = self._outbox.call()
        seconds = time.monotonic() - began
        others = context.answers is not None
        self._outbox.say(CallAsked(owner, number, request, context.alone(), others, seconds, traced, call))
        try:
            answer = await self._heard(number, heard, context)
        except BaseException:
            self._outbox.say(GaveUp(number))
            raise
        finally:
            self._outbox.done(number)
        if isinstance(answer, LorimerError):
            raise answer
        if traced:
            self.control = shorter(self.control, request)
        return answer

    def recorded(self, request: ModelRequest, reply: ModelReply, *, owner: str, at: float, call: int) -> None:
        """See TaskModel."""
        self._outbox.say(Traced(step_of(self.id, request, reply, owner, at, call, recorded=True)))

    async def _heard(
        self, number: int, heard: asyncio.Queue[OfCall], context: CallContext
    ) -> ModelReply | LorimerError:
        """The call's answer, and all that the trial is to know until then."""
        with ExitStack() as queued:
            while True:
                told = await heard.get()
                match told:
                    case CallAnswered(_, answer):
                        return answer
                    case CallWaits(_, seconds, why):
                        context.on_wait(seconds, why)
                    case Queued(_, True):
                        queued.enter_context(context.queued())
                    case Queued(_, False):
                        queued.close()
                    case AskOthers():
                        self._outbox.say(Others(number, await _answers_others(context)))


async def _answers_others(context: CallContext) -> bool | LorimerError:
    assert context.answers is not None
    try:
        return await context.answers()
    except LorimerError as error:  # it is for whoever makes the call to raise it
        return error


class Worker:
    """Runs trials on one node.

    Args:
        world: opened before the first trial; closed by `close`.
        model: `None` where no trial needs one.
    """

    def __init__(self, world: NodeResources, model: TaskModelSpec | None) -> None:
        self._world, self._model = world, model
        self.outbox = Outbox()
        self._spells = Spells()
        self._trials: dict[str, asyncio.Task[FarEnd]] = {}

    async def run(self, written: str) -> None:
        """One trial, whose row is in the store; its end is the last that is said of it.

        Args:
            written: its `TrialSpec` as JSON.
        """
        spec = TrialSpec.model_validate_json(written)
        trial = self._trials[spec.start.id] = asyncio.ensure_future(self._outcome(spec))
        try:
            await asyncio.wait([trial])
        finally:
            del self._trials[spec.start.id]
        if not trial.cancelled():
            self.outbox.say(TrialEnded(spec.start.id, trial.result()))

    async def image(self, spec: ImageSpec) -> int | None:
        """See Executor. An image whose folder this node has elsewhere is made within its first trial."""
        if isinstance(spec, BuiltImage) and not await asyncio.to_thread(Path(spec.context).is_dir):
            return None
        return await ready(self._world.provider, spec)

    def tell(self, events: Sequence[Told]) -> None:
        """Take what the study's process says."""
        for event in events:
            if isinstance(event, CancelTrial):
                if event.owner in self._trials:
                    self._trials[event.owner].cancel()
            else:
                self.outbox.hear(event)

    async def answers(self) -> None:
        """See SandboxProvider."""
        await self._world.provider.answers()

    async def reap(self) -> int:
        """See SandboxProvider."""
        return await self._world.provider.reap()

    async def close(self) -> None:
        """Cancel what still runs, and close the sandboxes."""
        trials = list(self._trials.values())
        for trial in trials:
            trial.cancel()
        await asyncio.gather(*trials, return_exceptions=True)
        with suppress(LorimerError):  # what is left is removed by the next that comes
            await self._world.provider.close()

    async def _outcome(self, spec: TrialSpec) -> FarEnd:
        world = self._world
        model = None if self._model is None else FarModel(self._model, self.outbox, world.price)
        machine = Machine(
            world.provider,
            FarSink(self.outbox),
            model,
            lambda seconds, why: self.outbox.say(Waited(spec.start.id, seconds, why)),
            world.passed,
            self._spells,
        )
        try:
            task = await asyncio.to_thread(self._task, spec)
            return await run_trial(machine, spec, task, opened=True)
        except (BudgetExhausted, ConfigError, PrerequisiteError) as error:
            return error

    def _task(self, spec: TrialSpec) -> Task:
        """The trial's task. Raises PrerequisiteError where this node has none like it."""
        name = spec.start.planned.task
        fix = "every node needs the benchmark's folder at the same path, with the same files"
        try:
            task = self._world.task(name)
        except LorimerError as error:
            raise PrerequisiteError(f"task {name} cannot be read: {error}", fix) from None
        task = dataclasses.replace(task, isolation=spec.isolation)
        if not spec.fits(task):
            raise PrerequisiteError(f"its files of task {name} are not those of the study", fix)
        return task
