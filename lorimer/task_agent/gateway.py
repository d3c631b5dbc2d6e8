"""Serves the harness's calls: the only way from the jail to the model, the task's sandbox and the trace.

Every limit is enforced here, never by the harness. Time counts only while the agent could act: while a provider's retry is
being waited for, the clock stands still.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lorimer.benchmarks.base import Task
from lorimer.config import LimitSettings
from lorimer.harness import api, host
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import ExecOutput, Jail, LineTooLong, Sandbox, SandboxFileError
from lorimer.task_agent import wire
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.limits import Metered
from lorimer.traces.schema import StepData, StepKind, TraceSink

GRACE_SECONDS = 5.0
"""After the time limit every call is answered with LimitReached; so long a harness has to finish before it is killed."""
MAX_IN_FLIGHT = 64
"""Calls served at once for one trial; past that the gateway stops reading, so a flood fills the jail's pipe, not our memory."""
MAX_PIECES = 16
"""Files being read or written in pieces at once."""

P = TypeVar("P", bound=BaseModel)


@dataclass(frozen=True)
class AgentResult:
    """How the agent's part of a trial ended, and what it used."""

    cause: Cause
    answer: str = ""
    detail: str = ""
    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = 0.0
    active_seconds: float = 0.0


class _Limit(Exception):
    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class _ActiveClock:
    """Seconds since the start, less those spent waiting for provider retries (overlapping waits count once)."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._waited = 0.0
        self._waiting_until = self._began

    def pause(self, seconds: float) -> None:
        now = time.monotonic()
        start, end = max(now, self._waiting_until), max(self._waiting_until, now + seconds)
        self._waited += end - start
        self._waiting_until = end

    def seconds(self) -> float:
        now = time.monotonic()
        still_to_come = max(0.0, self._waiting_until - now)
        return now - self._began - (self._waited - still_to_come)


def start_line(harness_text: str, task: api.Task | None) -> bytes:
    """The first line a jail is sent: its files and its task; no task asks for a dry start."""
    files = {
        "lorimer/__init__.py": "",
        "lorimer/harness/__init__.py": "",
        "lorimer/harness/api.py": Path(api.__file__).read_text(encoding="utf-8"),
        "lorimer/harness/host.py": Path(host.__file__).read_text(encoding="utf-8"),
        "agent.py": harness_text,
    }
    return json.dumps({"files": files, "task": None if task is None else dataclasses.asdict(task)}).encode()


class Gateway:
    """One trial's agent: talks to its jail until the harness finishes, breaks the protocol, dies or runs out of time."""

    def __init__(
        self,
        *,
        jail: Jail,
        sandbox: Sandbox,
        model: Metered,
        sink: TraceSink,
        owner: str,
        task: Task,
        limits: LimitSettings,
        context: CallContext,
        began: float,
        on_wait: Callable[[float, str], None],
    ) -> None:
        self._jail, self._sandbox, self._model, self._sink = jail, sandbox, model, sink
        self._owner, self._task, self._limits, self._context = owner, task, limits, context
        self._began, self._on_wait = began, on_wait
        self._seconds = min(task.agent_timeout, limits.seconds or task.agent_timeout)
        self._clock = _ActiveClock()
        self._calls = 0
        self._input = self._output = self._cached = 0
        self._usd: float | None = 0.0
        self._reached: _Limit | None = None
        self._finish: wire.FinishParams | None = None
        self._ids: set[int] = set()
        self._reading: dict[str, bytes] = {}
        self._writing: dict[str, bytearray] = {}
        self._handlers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "llm.complete": self._complete,
            "env.exec": self._exec,
            "env.read": self._read,
            "env.write": self._write,
            "note": self._note,
        }

    async def run(self, harness_text: str) -> AgentResult:
        """Drive the harness to its end.

        Raises SandboxError when the task's sandbox or the jail's engine fails, ProviderOutage, BudgetExhausted, ConfigError.
        """
        self._clock = _ActiveClock()
        await self._jail.send(
            start_line(
                harness_text,
                api.Task(self._task.instruction, self._task.workdir or "", self._seconds, self._limits.calls),
            )
        )
        try:
            cause, detail = await self._serve()
        except wire.Breach as breach:
            cause, detail = Cause.PROTOCOL_BREACH, str(breach)
        except LineTooLong:
            cause, detail = Cause.PROTOCOL_BREACH, "a line over 16 MiB"
        active = self._clock.seconds()
        await self._jail.close()
        ended = await self._jail.wait()
        if ended.stderr:
            self._step(StepKind.OUTPUT, {"text": _text(ended.stderr, ended.stderr_dropped)})
        if cause is Cause.JAIL_DIED:
            if ended.out_of_memory:
                cause, detail = Cause.JAIL_MEMORY, "the harness used more memory than its jail has"
            else:
                detail = f"the harness process ended without finishing (exit code {ended.exit_code})"
        if cause is not Cause.FINISHED:
            self._step(StepKind.ERROR, {"text": detail, "cause": cause.value})
        return AgentResult(
            cause=cause,
            answer=self._finish.answer[: self._limits.trace_bytes] if self._finish else "",
            detail=_last_line(detail),
            model_calls=self._calls,
            input_tokens=self._input,
            output_tokens=self._output,
            cached_tokens=self._cached,
            cost_usd=self._usd,
            active_seconds=active,
        )

    # ---- the conversation with the jail ---------------------------------------------------------------------------

    async def _serve(self) -> tuple[Cause, str]:
        receiving = asyncio.ensure_future(self._jail.receive())
        handling: set[asyncio.Task[None]] = set()
        try:
            while self._finish is None:
                left = self._seconds - self._clock.seconds()
                if left <= 0 and self._reached is None:
                    self._reached = _Limit(
                        Cause.LIMIT_SECONDS, f"time limit: {self._seconds:.6g} s of active time used"
                    )
                    for handler in handling:
                        handler.cancel()  # their callers are told of the limit
                    left = 0.0
                if left <= -GRACE_SECONDS:
                    break
                waiting: set[asyncio.Future[Any]] = set(handling)
                if len(handling) < MAX_IN_FLIGHT:
                    waiting.add(receiving)
                until = left if left > 0 else left + GRACE_SECONDS
                done, _ = await asyncio.wait(waiting, timeout=max(until, 0.01), return_when=asyncio.FIRST_COMPLETED)
                for handler in [each for each in handling if each in done]:
                    handling.discard(handler)
                    if not handler.cancelled():
                        handler.result()  # raises what only the trial's boundary can handle
                if receiving in done:
                    line = receiving.result()
                    if line is None:
                        break
                    receiving = asyncio.ensure_future(self._jail.receive())
                    self._dispatch(line, handling)
        finally:
            receiving.cancel()
            for handler in handling:
                handler.cancel()
            await asyncio.gather(receiving, *handling, return_exceptions=True)
        return self._verdict()

    def _verdict(self) -> tuple[Cause, str]:
        if self._finish is not None and self._finish.status == "bad_return":
            return Cause.BAD_RETURN, self._finish.detail
        if self._reached is not None:  # an exception that follows a limit is the limit's doing
            return self._reached.cause, str(self._reached)
        if self._finish is None:
            return Cause.JAIL_DIED, ""
        if self._finish.status == "exception":
            return Cause.HARNESS_EXCEPTION, self._finish.detail
        return Cause.FINISHED, ""

    def _dispatch(self, line: bytes, handling: set[asyncio.Task[None]]) -> None:
        request = wire.parse_request(line)
        if request.id in self._ids:
            raise wire.Breach(f"id {request.id} was used before")
        self._ids.add(request.id)
        if request.method == "finish":
            try:
                self._finish = wire.FinishParams.model_validate(request.params)
            except ValidationError:
                raise wire.Breach("finish: parameters that do not fit") from None
            return
        handling.add(asyncio.create_task(self._answer(request)))

    async def _answer(self, request: wire.Request) -> None:
        try:
            params = wire.METHODS[request.method].model_validate(request.params)
            if self._reached is not None and request.method != "note":
                raise self._reached
            line = wire.reply(request.id, await self._handlers[request.method](params))
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(str(part) for part in first["loc"])
            line = wire.reply_error(request.id, "invalid", f"{request.method}: {path}: {first['msg']}")
        except _Limit as limit:
            self._reached = self._reached or limit
            line = wire.reply_error(request.id, "limit", str(limit))
        except SandboxFileError as error:
            line = wire.reply_error(request.id, "env", str(error))
        except asyncio.CancelledError:
            if self._reached is None:
                raise
            line = wire.reply_error(request.id, "limit", str(self._reached))
        await self._jail.send(line)

    # ---- what a harness may do --------------------------------------------------------------------------------------

    async def _complete(self, params: wire.CompleteParams) -> dict[str, Any]:
        limits = self._limits
        if self._calls >= limits.calls:
            raise _Limit(Cause.LIMIT_CALLS, f"model calls: {self._calls} of {limits.calls} used")
        used = self._input + self._output
        if limits.tokens is not None and used >= limits.tokens:
            raise _Limit(Cause.LIMIT_TOKENS, f"tokens: {used} of {limits.tokens} used")
        if limits.usd is not None and self._usd is not None and self._usd >= limits.usd:
            raise _Limit(Cause.LIMIT_DOLLARS, f"dollars: {self._usd:.4f} of {limits.usd:.4f} used")
        index = self._calls
        self._calls += 1
        system, messages = _without_system(params.system, params.messages)
        request = ModelRequest(
            messages, system, params.tools, params.max_tokens, params.stop, params.temperature, params.effort
        )
        context = dataclasses.replace(self._context, call_index=index, on_wait=self._waiting)
        reply = await self._model.complete(request, context, owner=self._owner, began=self._began)
        self._count(reply)
        return dataclasses.asdict(reply.completion)

    def _count(self, reply: ModelReply) -> None:
        usage = reply.completion.usage
        self._input += usage.input_tokens
        self._output += usage.output_tokens
        self._cached += usage.cached_tokens
        self._usd = None if self._usd is None or reply.cost_usd is None else self._usd + reply.cost_usd

    def _waiting(self, seconds: float, why: str) -> None:
        self._clock.pause(seconds)
        self._on_wait(seconds, why)

    async def _exec(self, params: wire.ExecParams) -> dict[str, Any]:
        left = self._seconds - self._clock.seconds()
        timeout = max(0.1, min(params.timeout or self._limits.exec_seconds, self._limits.exec_seconds, left))
        at = time.monotonic()
        output = await self._sandbox.exec(
            params.command,
            timeout=timeout,
            cwd=params.cwd or self._task.workdir,
            env=self._task.env,
            output_limit=self._limits.output_bytes,
        )
        result = exec_result(output)
        self._step(
            StepKind.EXEC,
            {
                "command": _cut(params.command, self._limits.trace_bytes),
                "cwd": params.cwd or self._task.workdir or "",
                "exit_code": output.exit_code,
                "timed_out": output.timed_out,
                "stdout": _cut(result.stdout, self._limits.trace_bytes),
                "stderr": _cut(result.stderr, self._limits.trace_bytes),
                "dropped": output.stdout_dropped + output.stderr_dropped,
            },
            at=at,
        )
        return dataclasses.asdict(result)

    async def _read(self, params: wire.ReadParams) -> dict[str, str]:
        if params.handle:
            data = self._reading.pop(params.handle, None)
            if data is None:
                raise SandboxFileError(f"no such read in progress: {params.handle[:40]}")
        else:
            at = time.monotonic()
            try:
                data = await self._sandbox.read(params.path, max_bytes=self._limits.read_bytes)
            except SandboxFileError as error:
                self._step(StepKind.READ, {"path": params.path, "error": str(error)}, at=at)
                raise
            self._step(StepKind.READ, {"path": params.path, "bytes": len(data)}, at=at)
        piece, rest = data[: host.CHUNK], data[host.CHUNK :]
        handle = ""
        if rest:
            handle = self._open_piece(self._reading)
            self._reading[handle] = rest
        return {"data": base64.b64encode(piece).decode(), "handle": handle}

    async def _write(self, params: wire.WriteParams) -> dict[str, str]:
        try:
            piece = base64.b64decode(params.data, validate=True)
        except ValueError:
            raise SandboxFileError("data is not base64") from None
        data = self._writing.pop(params.handle, None) if params.handle else bytearray()
        if data is None:
            raise SandboxFileError(f"no such write in progress: {params.handle[:40]}")
        data += piece
        if len(data) > self._limits.read_bytes:
            raise SandboxFileError(f"{params.path}: over the limit of {self._limits.read_bytes} bytes")
        if params.more:
            handle = params.handle or self._open_piece(self._writing)
            self._writing[handle] = data
            return {"handle": handle}
        at = time.monotonic()
        try:
            await self._sandbox.write(params.path, bytes(data))
        except SandboxFileError as error:
            self._step(StepKind.WRITE, {"path": params.path, "error": str(error)}, at=at)
            raise
        self._step(StepKind.WRITE, {"path": params.path, "bytes": len(data)}, at=at)
        return {"handle": ""}

    def _open_piece(self, pieces: dict[str, Any]) -> str:
        if len(pieces) >= MAX_PIECES:
            raise SandboxFileError(f"more than {MAX_PIECES} files in pieces at once")
        return uuid.uuid4().hex

    async def _note(self, params: wire.NoteParams) -> None:
        self._step(StepKind.NOTE, {"text": _cut(params.text, self._limits.trace_bytes)})

    def _step(self, kind: StepKind, data: dict[str, Any], at: float | None = None) -> None:
        now = time.monotonic()
        begin = now if at is None else at
        text = "\n".join(
            str(data[key]) for key in ("command", "path", "text", "stdout", "stderr", "error") if data.get(key)
        )
        self._sink.step(StepData(self._owner, kind, begin - self._began, now - begin, data, text))


def _without_system(
    system: str | None, messages: tuple[api.Message, ...]
) -> tuple[str | None, tuple[api.Message, ...]]:
    """Providers take the system prompt apart from the conversation; a harness may put it in either place."""
    parts = [system] if system else []
    parts += [message.text for message in messages if message.role == "system"]
    rest = tuple(message for message in messages if message.role != "system")
    return ("\n\n".join(parts) or None), rest


def exec_result(output: ExecOutput) -> api.ExecResult:
    """What the harness gets to see of a command: text, with every cut said where it was made."""
    return api.ExecResult(
        stdout=_text(output.stdout, output.stdout_dropped),
        stderr=_text(output.stderr, output.stderr_dropped),
        exit_code=output.exit_code,
        timed_out=output.timed_out,
        truncated=bool(output.stdout_dropped or output.stderr_dropped),
    )


def _text(kept: bytes, dropped: int) -> str:
    if not dropped:
        return kept.decode("utf-8", "replace")
    half = len(kept) // 2  # sandboxes keep as much of the head as of the tail
    head, tail = kept[:half].decode("utf-8", "replace"), kept[half:].decode("utf-8", "replace")
    return f"{head}\n[... {dropped} bytes dropped ...]\n{tail}"


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]}\n[... {len(text) - limit} characters dropped ...]\n{text[-(limit // 2) :]}"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:500] if lines else ""
