"""The only way from the jail to the model, the task's sandbox and the trace: the conversation on a trial's two pipes.

What the calls do, and the limits that hold them, is `calls`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lorimer.errors import CallFailed, EngineOutage, ProviderOutage, ProviderRefusal, SandboxError
from lorimer.harness import api, fences, host, ran, shadow, structured, text
from lorimer.sandbox.base import Jail, JailExit, LineTooLong, SandboxFileError
from lorimer.sandbox.preload import Preload
from lorimer.sandbox.streams import LINE_LIMIT
from lorimer.task_agent.causes import SCORED, Cause
from lorimer.task_agent.output import cut, kept_text, last_line
from lorimer.task_agent.paired.replay import PartedFromRecord
from lorimer.task_agent.serving import wire
from lorimer.task_agent.serving.calls import Calls, Limit
from lorimer.task_agent.serving.lines import LinesTold, is_told
from lorimer.traces import wired
from lorimer.traces.schema import NOTHING, LinesRan, StepKind, Used

GRACE_SECONDS = 5.0
"""After the time limit every call is answered with LimitReached; so long a harness has to finish before it is killed."""
LAST_WORDS_SECONDS = 2.0
"""After `finish` or the end of its stdout, so long a jail has to end by itself; then it is killed. An exit takes 20 ms."""
TELL = b'{"tell": "lines"}'
"""Asks a jail whose time is up which lines of its harness have run: it may be in the middle of something."""
MAX_IN_FLIGHT = 64
"""Calls served at once for one trial; past that the gateway stops reading, so a flood fills the jail's pipe, not our memory."""
MAX_PENDING_BYTES = LINE_LIMIT
"""The same for the size of the calls being served: one line of the greatest length, or many small ones."""


PAID = 4.0
"""Seconds that pass for each second of the processor's which reading a jail's lines took, before its next line is read: no
harness takes more than a fifth of the time in which all trials are served, whatever it sends."""
NOT_WAITED_FOR = 0.2
"""Less than this is not waited for: a call makes for a thousandth of a second mostly, a piece of a large file for a tenth."""


@dataclass
class LinePace:
    """How soon a jail's next line is read: lines that take us long wait for each other, so that other trials go on."""

    _paid: float = 0.0
    """The moment when all that has been read so far is paid for."""

    def took(self, seconds: float, now: float) -> None:
        """Reading took so much of the processor."""
        self._paid = max(self._paid, now) + PAID * seconds

    def wait(self, now: float) -> float:
        """Seconds until the next line is read; 0 in an ordinary trial."""
        left = self._paid - now
        return left if left > NOT_WAITED_FOR else 0.0


@dataclass(frozen=True)
class AgentResult:
    """How the agent's part of a trial ended, and what it used."""

    cause: Cause
    answer: str = ""
    """Whole, as it is judged; the trace keeps less of a long one."""
    detail: str = ""
    used: Used = NOTHING
    answered: tuple[str, ...] = ()
    """The models that the provider's answers named."""
    active_seconds: float = 0.0
    next_call: int = 0
    """The number that a further call would have in the record of the trial."""
    ran: LinesRan | None = None
    """Which lines of the harness ran, as its own process tells; `None` where it told nothing."""


def lost(error: SandboxError) -> Cause:
    """The cause of a trial whose sandbox or jail failed after the agent acted."""
    return Cause.ENGINE_OUTAGE if isinstance(error, EngineOutage) else Cause.SANDBOX_LOST


def start_line(harness_text: str, task: api.Task | None, began: float | None = None) -> bytes:
    """The first line a jail is sent: its files and its task; no task asks for a dry start.

    Args:
        began: when the harness of a record began, for one whose clocks are to follow it.
    """
    line: dict[str, Any] = {
        "files": files_of(harness_text, shadows=began is not None),
        "task": None if task is None else dataclasses.asdict(task),
    }
    return json.dumps(line if began is None else {**line, "began": began}).encode()


@cache
def preload() -> Preload:
    """What every harness imports by being run."""
    files = files_of("", shadows=True)
    del files["agent.py"]
    return Preload(tuple(files.items()), ("lorimer.harness.host", "lorimer.harness.structured", "lorimer.harness.text"))


def files_of(harness_text: str, *, shadows: bool = False) -> dict[str, str]:
    """What a jail needs to run a harness; `shadows` where it follows a record."""
    return {
        **({"lorimer/harness/shadow.py": Path(shadow.__file__).read_text(encoding="utf-8")} if shadows else {}),
        "lorimer/__init__.py": "",
        "lorimer/harness/__init__.py": "",
        "lorimer/harness/api.py": Path(api.__file__).read_text(encoding="utf-8"),
        "lorimer/harness/fences.py": Path(fences.__file__).read_text(encoding="utf-8"),
        "lorimer/harness/text.py": Path(text.__file__).read_text(encoding="utf-8"),
        "lorimer/harness/structured.py": Path(structured.__file__).read_text(encoding="utf-8"),
        "lorimer/harness/ran.py": Path(ran.__file__).read_text(encoding="utf-8"),
        "lorimer/harness/host.py": Path(host.__file__).read_text(encoding="utf-8"),
        "agent.py": harness_text,
    }


async def last_words(jail: Jail) -> JailExit:
    """How a jail ended whose stdout has ended; one that lives on is killed. Raises SandboxError."""
    try:
        async with asyncio.timeout(LAST_WORDS_SECONDS):
            return await jail.wait()
    except TimeoutError:
        await jail.close()
        return await jail.wait()


class Gateway:
    """One trial's agent: talks to its jail until the harness finishes, breaks the protocol, dies or runs out of time."""

    def __init__(self, jail: Jail, calls: Calls) -> None:
        self._jail, self._calls = jail, calls
        self._finish: wire.FinishParams | None = None
        self._last_id: int | None = None
        self._told = LinesTold("")
        self._pending_bytes = 0
        self._pace = LinePace()
        # One file at a time, from the request to the last byte of its answer: a read is up to 8 MiB, thrice in memory.
        self._files = asyncio.Lock()

    async def run(self, harness_text: str) -> AgentResult:
        """Drive the harness to its end and close its jail.

        The world's failures (a lost sandbox, an outage) are causes of the result, so that what was used until then is told.
        Raises BudgetExhausted and ConfigError: the study must stop.
        """
        calls = self._calls
        calls.start()
        self._told = LinesTold(harness_text)
        cause, detail = await self._heard(harness_text)
        active = calls.clock.seconds()
        cause, detail = await self._jail_ended(cause, detail)
        if cause in SCORED:
            cause, detail = await self._vouched(cause, detail)
        if cause is not Cause.FINISHED:
            calls.step(StepKind.ERROR, {"text": cut(detail, calls.limits.trace_bytes), "cause": cause.value})
        return AgentResult(
            cause=cause,
            answer=self._finish.answer if self._finish else "",
            detail=last_line(detail),
            used=calls.used,
            answered=calls.answered,
            active_seconds=active,
            next_call=calls.taking.next,
            ran=self._told.lines(whole=self._finish is not None),
        )

    async def _heard(self, harness_text: str) -> tuple[Cause, str]:
        """The conversation's end as a cause and its detail; the world's failures are causes too."""
        try:
            return await self._converse(harness_text)
        except wire.Breach as breach:
            return Cause.PROTOCOL_BREACH, str(breach)
        except LineTooLong:
            return Cause.PROTOCOL_BREACH, "a line over 16 MiB"
        except ProviderOutage as error:
            return Cause.PROVIDER_OUTAGE, str(error)
        except CallFailed as error:
            return Cause.PROVIDER_CALL, str(error)
        except PartedFromRecord as parted:
            return Cause.RECORD_PARTED, str(parted)
        except SandboxError as error:
            return lost(error), str(error)

    async def _jail_ended(self, cause: Cause, detail: str) -> tuple[Cause, str]:
        """Close the jail, keep what it printed, and say of one that died what it died of."""
        died = cause is Cause.JAIL_DIED
        try:
            ended = await self._end_jail(heard_its_end=died)
        except SandboxError as error:
            ended = JailExit(None, stderr=f"lorimer: what the harness printed is lost: {error}".encode())
            if died:  # all that is known is that its stream ended, as it does when the engine stops
                died, cause, detail = False, lost(error), str(error)
        if ended.stderr:
            self._calls.step(StepKind.OUTPUT, {"text": kept_text(ended.stderr, ended.stderr_dropped)})
        if not died:
            return cause, detail
        if ended.exit_code == host.CUT_OFF:
            # As it says itself, so a suspect's word: it is tried once more, and wins nothing by it.
            return Cause.SANDBOX_LOST, "the connection to the harness broke"
        if ended.out_of_memory:
            return Cause.JAIL_MEMORY, "the harness used more memory than its jail has"
        return Cause.JAIL_DIED, f"the harness process ended without finishing (exit code {ended.exit_code})"

    async def _vouched(self, cause: Cause, detail: str) -> tuple[Cause, str]:
        """The same end, unless the provider refused every call: then it is not the harness's."""
        try:
            await self._calls.vouch()
        except ProviderRefusal as error:
            return Cause.PROVIDER_REFUSAL, str(error)
        except ProviderOutage as error:
            return Cause.PROVIDER_OUTAGE, str(error)
        return cause, detail

    async def _converse(self, harness_text: str) -> tuple[Cause, str]:
        """Answer the jail's calls until it finishes, ends, or is out of time and of grace. Returns the cause and its detail."""
        calls = self._calls
        calls_left = max(0, calls.limits.calls - calls.used.calls)
        task = api.Task(calls.task.instruction, calls.task.workdir or "", calls.seconds, calls_left)
        recorded = calls.replay.begin() if calls.replay else None
        if recorded is not None:  # what it was told then: the seconds that are left differ by a hair
            task = recorded.task
        calls.taking.begin(task)
        receiving = asyncio.ensure_future(self._receive())
        # Sent beside receiving: a jail that does not read must not keep us from its end or from the clock.
        handling = {
            asyncio.create_task(self._jail.send(start_line(harness_text, task, recorded.began if recorded else None)))
        }
        try:
            while self._finish is None:
                left = calls.seconds - calls.clock.seconds()
                if left <= 0 and not calls.out_of_time:
                    calls.end_time()
                    handling.add(asyncio.create_task(self._jail.send(TELL)))
                if left <= -GRACE_SECONDS:
                    break
                waiting: set[asyncio.Future[Any]] = set(handling)
                if len(handling) < MAX_IN_FLIGHT and self._pending_bytes < MAX_PENDING_BYTES:
                    waiting.add(receiving)
                until = left if left > 0 else left + GRACE_SECONDS
                done, _ = await asyncio.wait(waiting, timeout=max(until, 0.01), return_when=asyncio.FIRST_COMPLETED)
                for handler in handling & done:
                    handling.discard(handler)
                    handler.result()  # raises what only the trial's boundary can handle
                if receiving in done:
                    line = receiving.result()
                    if line is None:
                        break
                    receiving = asyncio.ensure_future(self._receive())
                    if is_told(line):
                        with self._paid():
                            self._told.hear(line, calls.taking.next)
                        continue
                    with self._paid():
                        request, number = self._accept(line)
                    if request.method != "finish":
                        self._pending_bytes += len(line)
                        handling.add(asyncio.create_task(self._answer(request, number, len(line))))
        finally:
            receiving.cancel()
            for handler in handling:
                handler.cancel()
            await asyncio.gather(receiving, *handling, return_exceptions=True)
            calls.taking.ended()
        return self._verdict()

    async def _receive(self) -> bytes | None:
        """The jail's next line, as `Jail.receive` has it, once those before are paid for."""
        if wait := self._pace.wait(time.monotonic()):
            await asyncio.sleep(wait)
        return await self._jail.receive()

    @contextlib.contextmanager
    def _paid(self) -> Iterator[None]:
        """What is done inside, without a pause, is counted to the jail's lines."""
        began = time.thread_time()
        try:
            yield
        finally:
            self._pace.took(time.thread_time() - began, time.monotonic())

    def _verdict(self) -> tuple[Cause, str]:
        reached = self._calls.reached
        if self._finish is not None and self._finish.status == "bad_return":
            return Cause.BAD_RETURN, self._finish.detail
        if reached is not None:  # an exception that follows a limit is the limit's doing
            return reached.cause, str(reached)
        if self._finish is None:
            return Cause.JAIL_DIED, ""
        if self._finish.status == "exception":
            return Cause.HARNESS_EXCEPTION, self._finish.detail
        return Cause.FINISHED, ""

    def _accept(self, line: bytes) -> tuple[wire.Request, int]:
        """The call in a line, and its number in the record; of `finish` note is taken. Raises Breach."""
        request = wire.parse_request(line)
        if self._last_id is not None and request.id <= self._last_id:
            raise wire.Breach(f"id {request.id} after id {self._last_id}: ids must rise")
        self._last_id = request.id
        number = self._calls.taking.asked(request)
        self._calls.asked(request, number)
        if request.method == "finish":
            try:
                self._finish = wire.parse_params(request)
            except wire.Invalid as error:
                raise wire.Breach(str(error)) from None
        return request, number

    async def _answer(self, request: wire.Request, number: int, size: int) -> None:
        in_turn = self._files if request.method in ("env.read", "env.write") else contextlib.nullcontext()
        try:
            async with in_turn:
                answer = await self._outcome(request, number)
                self._calls.taking.answered(number, answer)
                await self._jail.send(wire.reply(request.id, answer, **self._calls.times(number)))
        finally:
            self._pending_bytes -= size

    async def _outcome(self, request: wire.Request, number: int) -> wired.Answer:
        """The answer to a call."""
        try:
            with self._paid():
                params = wire.parse_params(request)
            self._calls.taking.understood(number, params)
            return await self._calls.serve(request.method, params, number)
        except wire.Invalid as error:
            return wired.RefusedCall("invalid", str(error))
        except Limit as error:
            return wired.RefusedCall("limit", str(error))
        except SandboxFileError as error:
            return wired.RefusedCall("env", str(error))

    async def _end_jail(self, *, heard_its_end: bool) -> JailExit:
        """Close the jail; one that finished or ended by itself is heard out first, as it may have printed."""
        try:
            if heard_its_end:
                return await last_words(self._jail)
            if self._finish is not None and self._last_id is not None:
                await self._hear_out(self._last_id)
        finally:
            await self._jail.close()
        return await self._jail.wait()

    async def _hear_out(self, finish_id: int) -> None:
        """Let a finished harness go, and read what it printed until it is gone. Nothing that it says now counts."""
        with contextlib.suppress(TimeoutError, LineTooLong):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._jail.send(wire.reply(finish_id, wired.Done()))
                while await self._jail.receive() is not None:
                    pass
