"""What a harness may do, served within the trial's limits and traced as it happens.

Every limit is enforced here, never by the harness. Time counts only while the agent could act: while a provider's retry is
being waited for, the clock stands still.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from lorimer.benchmarks.base import Task
from lorimer.config.settings import LimitSettings
from lorimer.errors import CallFailed
from lorimer.harness import api, host
from lorimer.kinds import REFUSED
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.models.messages import in_effect
from lorimer.sandbox.base import Sandbox, SandboxFileError
from lorimer.sandbox.series import Series
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.limits import ActiveClock, TaskModel
from lorimer.task_agent.output import cut, exec_result
from lorimer.task_agent.paired.replay import SANDBOX, PartedFromRecord, RecordReplay
from lorimer.task_agent.ready import read_file, write_file
from lorimer.task_agent.serving import wire
from lorimer.task_agent.serving.record import Caps, Taking, effective
from lorimer.task_agent.serving.refusals import RefusalWatch, is_answered, plain_question
from lorimer.task_agent.serving.spells import Spell, Spells
from lorimer.traces import wired
from lorimer.traces.schema import NOTHING, Stage, StepData, StepKind, TraceSink, Used
from lorimer.traces.wired import AnsweredCall
from lorimer.wording import dollars

MAX_TRACED_BYTES = 64 << 20
"""What one trial's own steps may add to the trace store; fifty commands at the default limits make 6 MiB."""
MODELS_NAMED = 8
"""Models kept by name of those that answered a trial. A server that names another one each time must not fill the store."""
MAX_UNFINISHED = 64
"""Files that one trial may be in the middle of reading or writing, as empty ones take memory too."""
STEP_BYTES = 256
"""What a step takes in the store beside its text, about."""


class Limit(Exception):
    """A limit is used up: the harness is told so by `LimitReached`."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Calls:
    """Serves one trial's calls; counts and caps what they use, and nothing else.

    Args:
        spells: those of all trials that run at once.
        used: what earlier parts of the task used: the limits hold for all parts together.
        replay: answers from a record until the harness parts from it.
        answered: the models that answers to earlier parts named.
        first: the number of the first call, in the record of the trial.
    """

    def __init__(
        self,
        *,
        sandbox: Sandbox,
        commands: Series,
        model: TaskModel,
        sink: TraceSink,
        owner: str,
        task: Task,
        limits: LimitSettings,
        context: CallContext,
        began: float,
        on_wait: Callable[[float, str], None],
        spells: Spells,
        used: Used = NOTHING,
        answered: Iterable[str] = (),
        first: int = 0,
        replay: RecordReplay | None = None,
    ) -> None:
        self._sandbox, self._commands, self._model, self._sink = sandbox, commands, model, sink
        self._owner, self._context = owner, context
        self.task, self.limits, self.replay = task, limits, replay
        self._began, self._on_wait = began, on_wait
        self._spells = spells
        self._spell: Spell | None = None
        self.seconds = min(task.agent_timeout, limits.seconds or task.agent_timeout)
        """Active time allowed."""
        self.clock = ActiveClock()
        self.reached: Limit | None = None
        """The first limit that was reached: why the trial ended as it did."""
        self.out_of_time = False
        self.used = used
        self._answered = set(answered)
        self._asked_tokens, self._asked_usd = 0, 0.0  # what the calls in flight may cost at most
        self._working: set[asyncio.Future[Any]] = set()
        self._caps = Caps(model.max_tokens, limits.exec_seconds, task.workdir or "")
        self.taking = Taking(sink, owner, self._caps, first)
        self._pieces = 0
        self._reading: dict[str, bytes] = {}
        self._writing: dict[str, bytearray] = {}
        self._traced = 0
        self._refusals = RefusalWatch(model.id, own_form=context.stage == Stage.BASELINE)
        self._handlers: dict[str, Callable[[Any, int], Awaitable[wired.Answer]]] = {
            "llm.complete": self._complete,
            "env.exec": self._exec,
            "env.read": self._read,
            "env.write": self._write,
            "note": self._note,
        }

    @property
    def answered(self) -> tuple[str, ...]:
        """The models that the provider's answers named, in order of name."""
        named = sorted(self._answered)
        rest = len(named) - MODELS_NAMED
        return tuple(named) if rest <= 0 else (*named[:MODELS_NAMED], f"and {rest} more")

    def start(self) -> None:
        """The clock starts now."""
        self.clock = ActiveClock()

    def asked(self, request: wire.Request, number: int) -> None:
        """A call came in. To be told in order of issue."""
        if self.replay is not None and not self.replay.live:
            try:
                params = wire.parse_params(request)
            except wire.Invalid:
                params = None
            self.replay.asked(number, effective(request, params, self._caps))

    def times(self, number: int) -> dict[str, Any]:
        """What a jail whose clocks follow a record is told of the time with the answer to a call (`wire.reply`)."""
        if self.replay is None:
            return {}
        moment = self.replay.moment(number)
        return {"clock": moment.seconds, "live": moment.live}

    async def serve(self, method: str, params: Any, number: int) -> wired.Answer:
        """The answer to a call. Raises Limit, SandboxFileError, wire.Invalid; what else it raises is no answer.

        Args:
            number: the call's, in the record of the trial.
        """
        work = asyncio.ensure_future(self._do(method, params, number))
        self._working.add(work)
        try:
            return await work
        except Limit as limit:
            self.reached = self.reached or limit
            raise
        except asyncio.CancelledError:
            # By the time limit, which cancels the work alone; whoever cancels this call itself wants no answer.
            current = asyncio.current_task()
            if not self.out_of_time or (current is not None and current.cancelling()):
                raise
            raise self._time_limit() from None
        finally:
            self._working.discard(work)

    def end_time(self) -> None:
        """The active time is used up: calls under way end, and no other but a note is answered from now on."""
        self.out_of_time = True
        self.reached = self.reached or self._time_limit()
        for work in self._working:
            work.cancel()

    def step(
        self,
        kind: StepKind,
        data: dict[str, Any],
        at: float | None = None,
        call: int | None = None,
        *,
        recorded: bool = False,
    ) -> None:
        """Trace a step that began at the monotonic time `at`, or now; `call` is the number of the call that it is of."""
        if self._traced > MAX_TRACED_BYTES:
            return
        if recorded:
            data = {**data, "recorded": True}
        now = time.monotonic()
        begin = now if at is None else at
        text = "\n".join(
            str(data[key]) for key in ("command", "path", "text", "stdout", "stderr", "error") if data.get(key)
        )
        self._traced += len(text) + STEP_BYTES
        self._sink.step(StepData(self._owner, kind, begin - self._began, now - begin, data, text, call))
        if self._traced > MAX_TRACED_BYTES:
            told = f"the trial's steps are over {MAX_TRACED_BYTES >> 20} MiB; but for model calls no more are recorded"
            self._sink.step(StepData(self._owner, StepKind.ERROR, now - self._began, 0.0, {"text": told}, told))

    def _time_limit(self) -> Limit:
        return Limit(Cause.LIMIT_SECONDS, f"time limit: {self.seconds:.6g} s of active time used")

    async def _do(self, method: str, params: Any, number: int) -> wired.Answer:
        if self.out_of_time and method != "note":
            raise self._time_limit()
        if self.replay is None or method not in (*SANDBOX, "llm.complete"):
            return await self._handlers[method](params, number)
        recorded = self.replay.recorded(number)
        if method in SANDBOX:
            return await self._in_step(self.replay, recorded, method, params, number)
        return await self._complete(params, number) if recorded is None else self._spared(params, recorded, number)

    async def _in_step(
        self, replay: RecordReplay, recorded: AnsweredCall | None, method: str, params: Any, number: int
    ) -> wired.Answer:
        """A call to the sandbox of a trial with a record; one that the record holds is made again. Raises PartedFromRecord."""
        request = effective(wire.Request(id=0, method=method, params={}), params, self._caps)
        replay.about_to(request)
        if recorded is None or recorded.answer is None:
            return await self._handlers[method](params, number)
        now: wired.Answer
        with replay.rebuilding(self.clock):
            try:
                now = await self._handlers[method](params, number)
            except SandboxFileError as error:
                now = wired.RefusedCall("env", str(error))
        replay.compare(number, request, now)
        replay.answered(recorded, self.clock)
        return recorded.answer

    def _spared(self, params: wire.CompleteParams, recorded: AnsweredCall, number: int) -> wired.Answer:
        """A model call that is answered from the record: nobody is asked or paid. It counts as if it had been live."""
        assert self.replay is not None
        assert isinstance(recorded.answer, api.Completion)
        request = self._request(params)
        self._check_limits()
        completion = recorded.answer
        self.used += self.replay.spare(recorded, completion, int(completion.stop_reason in REFUSED))
        self._answered |= set(self.replay.models)
        self.replay.answered(recorded, self.clock)
        self._model.recorded(
            request,
            ModelReply(completion, recorded.usd, recorded.answered - recorded.asked - recorded.waited, recorded.waited),
            owner=self._owner,
            at=time.monotonic() - self._began,
            call=number,
        )
        return completion

    def _request(self, params: wire.CompleteParams) -> ModelRequest:
        request = in_effect(params.request, self._model.max_tokens)
        if not request.messages:
            raise wire.Invalid("llm.complete: messages: none but system messages")
        return request

    async def _complete(self, params: wire.CompleteParams, number: int) -> api.Completion:
        request = self._request(params)
        self._check_limits()
        context = dataclasses.replace(
            self._context, call_index=self.used.calls, on_wait=self._waiting, queued=self.clock.stopped
        )
        context = dataclasses.replace(context, answers=lambda: self._answers_others(request, context))
        self.used += Used(calls=1)
        tokens, usd = self._model.at_most(request)
        self._asked_tokens += tokens
        self._asked_usd += usd or 0.0
        if self._spell is not None:
            self._spell.end()
        try:
            reply = await self._model.complete(request, context, owner=self._owner, began=self._began, call=number)
        except CallFailed as error:
            if self.replay is not None and self.replay.in_doubt(request):
                raise PartedFromRecord(f"the provider fails at a conversation with recorded answers: {error}") from None
            raise
        finally:
            self._asked_tokens -= tokens
            self._asked_usd -= usd or 0.0
        self._count(reply)
        if self.replay is not None:
            self.replay.heard(request, reply)
        self._answered |= {reply.answered} - {""}
        self._refusals.heard(request, reply.completion)
        with self.clock.stopped():
            self._spell = await self._spells.begin()
        return reply.completion

    async def _answers_others(self, request: ModelRequest, context: CallContext) -> bool:
        """Whether the provider that fails at a request answers a plain question, which is paid for and is no step. Raises
        BudgetExhausted."""
        question = plain_question(request, own_form=self._context.stage == Stage.BASELINE)
        context = dataclasses.replace(context, answers=None, once=True)
        # Some servers do not take the question: a request that was answered before tells as much.
        for asked in (question, self._model.control):
            if asked is not None and await is_answered(
                self._model.complete(asked, context, owner=self._owner, began=self._began, traced=False)
            ):
                return True
        return False

    async def vouch(self) -> None:
        """Ask the provider a plain question, where it has refused every call: an answer makes the refusals the harness's own.

        The question is paid for, and is no step of the trial. Raises ProviderRefusal, BudgetExhausted, ProviderOutage,
        ConfigError.
        """
        question = self._refusals.question
        if question is not None:
            context = dataclasses.replace(self._context, call_index=self.used.calls, on_wait=self._on_wait)
            if self._model.control is not None and await self._answers_others(question, context):
                return
            reply = await self._model.complete(question, context, owner=self._owner, began=self._began, traced=False)
            self._refusals.raise_if_refused(reply.completion)

    def _check_limits(self) -> None:
        """Raises Limit where nothing is left for a model call. Calls in flight count at their most, so threads together
        overshoot by no more than the one call that a harness without threads may."""
        limits = self.limits
        if self.used.calls >= limits.calls:
            raise Limit(Cause.LIMIT_CALLS, f"model calls: {self.used.calls} of {limits.calls} used")
        tokens = self.used.tokens + self._asked_tokens
        if limits.tokens is not None and tokens >= limits.tokens:
            raise Limit(Cause.LIMIT_TOKENS, f"tokens: {tokens} of {limits.tokens} used")
        usd = (self.used.usd or 0.0) + self._asked_usd
        if limits.usd is not None and usd >= limits.usd:
            raise Limit(Cause.LIMIT_DOLLARS, f"dollars: {dollars(usd)} of {dollars(limits.usd)} used")

    def _count(self, reply: ModelReply) -> None:
        usage, refused = reply.completion.usage, int(reply.completion.stop_reason in REFUSED)
        self.used += Used(
            0, usage.input_tokens, usage.output_tokens, usage.cached_tokens, reply.cost_usd, refused=refused
        )

    def _waiting(self, seconds: float, why: str) -> None:
        self.clock.pause(seconds)
        self._on_wait(seconds, why)

    async def _exec(self, params: wire.ExecParams, number: int) -> api.ExecResult:
        left = self.seconds - self.clock.seconds()
        timeout = max(0.1, min(params.timeout or self.limits.exec_seconds, self.limits.exec_seconds, left))
        at = time.monotonic()
        output = await self._commands.exec(
            params.command,
            timeout=timeout,
            cwd=params.cwd or self.task.workdir,
            output_limit=self.limits.output_bytes,
        )
        result = exec_result(output)
        self.step(
            StepKind.EXEC,
            {
                "command": cut(params.command, self.limits.trace_bytes),
                "cwd": params.cwd or self.task.workdir or "",
                "exit_code": output.exit_code,
                "timed_out": output.timed_out,
                "stdout": cut(result.stdout, self.limits.trace_bytes),
                "stderr": cut(result.stderr, self.limits.trace_bytes),
                "dropped": output.stdout_dropped + output.stderr_dropped,
            },
            at,
            number,
            recorded=self._is_recorded(number),
        )
        return result

    def _is_recorded(self, number: int) -> bool:
        return self.replay is not None and self.replay.recorded(number) is not None

    async def _read(self, params: wire.ReadParams, number: int) -> wired.ReadPiece:
        if params.handle:
            data = self._reading.pop(params.handle, None)
            if data is None:
                raise SandboxFileError(f"no such read in progress: {params.handle[:40]}")
        else:
            at, recorded = time.monotonic(), self._is_recorded(number)
            try:
                data = await read_file(self._sandbox, self.task, params.path, self.limits.read_bytes)
            except SandboxFileError as error:
                self.step(StepKind.READ, {"path": params.path, "error": str(error)}, at, number, recorded=recorded)
                raise
            self.step(StepKind.READ, {"path": params.path, "bytes": len(data)}, at, number, recorded=recorded)
        piece, rest = data[: host.CHUNK], data[host.CHUNK :]
        handle = ""
        if rest:
            self._check_held(params.path, len(rest))
            handle = self._next_handle()
            self._reading[handle] = rest
        return wired.ReadPiece(piece, handle)

    async def _write(self, params: wire.WriteParams, number: int) -> wired.OpenedWrite:
        try:
            piece = base64.b64decode(params.data, validate=True)
        except ValueError:
            raise SandboxFileError("data is not base64") from None
        data = self._writing.pop(params.handle, None) if params.handle else bytearray()
        if data is None:
            raise SandboxFileError(f"no such write in progress: {params.handle[:40]}")
        if len(data) + len(piece) > self.limits.read_bytes:
            raise SandboxFileError(f"{params.path}: over the limit of {self.limits.read_bytes} bytes")
        if params.more:  # each piece is counted: many handles of one byte may all grow
            self._check_held(params.path, len(data) + len(piece))
        data += piece
        if params.more:
            handle = params.handle or self._next_handle()
            self._writing[handle] = data
            return wired.OpenedWrite(handle)
        at, recorded = time.monotonic(), self._is_recorded(number)
        try:
            await write_file(self._sandbox, self.task, params.path, bytes(data))
        except SandboxFileError as error:
            self.step(StepKind.WRITE, {"path": params.path, "error": str(error)}, at, number, recorded=recorded)
            raise
        self.step(StepKind.WRITE, {"path": params.path, "bytes": len(data)}, at, number, recorded=recorded)
        return wired.OpenedWrite()

    def _check_held(self, path: str, size: int) -> None:
        """Raises SandboxFileError where so many bytes are too many beside what other reads and writes hold."""
        held = [len(piece) for piece in (*self._reading.values(), *self._writing.values())]
        if sum(held) + size > 2 * self.limits.read_bytes or len(held) >= MAX_UNFINISHED:
            raise SandboxFileError(f"{path}: too many large files are being read or written at once; do one at a time")

    def _next_handle(self) -> str:
        self._pieces += 1  # no secret: whoever may use the handle is the harness that it is given to
        return f"piece-{self._pieces}"

    async def _note(self, params: wire.NoteParams, number: int) -> wired.Done:
        self.step(
            StepKind.NOTE,
            {"text": cut(params.text, self.limits.trace_bytes)},
            None,
            number,
            recorded=self._is_recorded(number),
        )
        return wired.Done()
