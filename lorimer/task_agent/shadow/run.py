"""Shadows of one harness in one jail: each a process of its own, answered from a record and stopped where it parts from it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from lorimer.config.settings import Config
from lorimer.errors import SandboxError
from lorimer.sandbox.base import Jail, LineTooLong, Owner, SandboxProvider
from lorimer.task_agent.matching import Parted, RecordedScript, ShadowPlace
from lorimer.task_agent.serving import wire
from lorimer.task_agent.serving.gateway import files_of
from lorimer.task_agent.serving.record import Caps, effective
from lorimer.task_agent.shadow.outcome import NotPreviewable, Outcome, Untouched, touched
from lorimer.task_agent.trial import DRY_START_SECONDS, jail_request
from lorimer.traces.wired import Finish, Record, RecordedCall, RecordedPart

SILENT_SECONDS = 10.0
"""How long a shadow may compute without a call. Between two calls a harness takes milliseconds; its sleeps take none here."""
READY_SECONDS = 5.0
"""How long a jail may take to be rid of a shadow; it takes milliseconds."""


class _Gone(Exception):
    """The jail ended, or says nothing: another one is needed."""


class ShadowJail:
    """Runs shadows of one harness, one after another.

    Use it as an asynchronous context manager. Raises SandboxError, PrerequisiteError where there is no jail to be had.

    Args:
        wait: seconds that making a jail may take; `None` leaves it to the provider.
    """

    def __init__(
        self, provider: SandboxProvider, settings: Config, text: str, owner: Owner, *, wait: float | None = None
    ) -> None:
        self._provider, self._settings, self._text, self._owner = provider, settings, text, owner
        self._wait = wait
        self._jail: Jail | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    async def run(self, record: Record) -> Outcome:
        """Run the harness against a record until it finishes as recorded, or parts from it."""
        before, of = list[RecordedCall](), sum(len(part.calls) for part in record.parts)
        for part in record.parts:
            try:
                outcome = await self._part(part, before, of)
            except wire.Breach as breach:
                await self._close()
                return NotPreviewable(f"the harness breaks the protocol of the wire: {breach}")
            except LineTooLong:
                await self._close()
                return NotPreviewable("the harness breaks the protocol of the wire: a line over 16 MiB")
            except _Gone as gone:
                await self._close()
                return NotPreviewable(str(gone))
            if outcome is not None:
                return outcome
            before += part.calls
        return Untouched(of)

    # ---- inside -----------------------------------------------------------------------------------------------------

    async def _part(self, part: RecordedPart, before: Sequence[RecordedCall], of: int) -> Outcome | None:
        """`None` where the part went as recorded."""
        jail = await self._ready()
        order = {"task": dataclasses.asdict(part.task), "began": part.began}
        await jail.send(json.dumps({"shadow": order}).encode())
        caps = Caps(part.max_tokens, part.exec_seconds, part.task.workdir)
        script, place, drew = RecordedScript(part.calls), ShadowPlace(), dict[str, None]()
        while True:
            line = await self._line(jail, SILENT_SECONDS)
            aside = _aside(line)
            if aside.get("ready"):
                return NotPreviewable("the harness ends its own process before it finishes")
            if "drew" in aside:
                drew[str(aside["drew"])] = None
                continue
            request = wire.parse_request(line)
            try:
                params = wire.parse_params(request)
            except wire.Invalid:
                params = None
            now = effective(request, params, caps)
            step = script.ask(place, now.key, request.method)
            if drew:
                await self._stop(jail)
                return NotPreviewable(f"the harness draws random numbers ({', '.join(drew)})", tuple(drew))
            if isinstance(step, Parted):
                await self._stop(jail)
                recorded = None if step.instead is None else part.calls[step.instead].request
                answered = [*before, *(part.calls[index] for index in sorted(place.taken))]
                # In a thread: the difference of two long conversations takes some time to find.
                return await asyncio.to_thread(touched, step, answered, of, now, recorded)
            place, index = step
            call = part.calls[index]
            if isinstance(now, Finish):
                await self._stop(jail)
                return None
            if call.answer is not None:
                await jail.send(wire.reply(request.id, call.answer, clock=call.answered))

    async def _ready(self) -> Jail:
        if self._jail is None:
            try:
                async with asyncio.timeout(self._wait):
                    self._jail = await self._provider.jail(jail_request(self._settings, self._owner))
            except TimeoutError:
                raise SandboxError(f"{self._provider.jails} made no jail within {self._wait:g} s") from None
            await self._jail.send(_first_line(self._text))
            await self._until_ready(self._jail, DRY_START_SECONDS)
        return self._jail

    async def _stop(self, jail: Jail) -> None:
        """End the shadow that runs; the jail is kept where it is rid of it in time."""
        await jail.send(b'{"stop": true}')
        try:
            await self._until_ready(jail, READY_SECONDS)
        except (_Gone, LineTooLong):
            await self._close()

    async def _until_ready(self, jail: Jail, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not _aside(await self._line(jail, seconds)).get("ready"):
                    pass
        except TimeoutError:
            raise _Gone(f"the jail was not ready within {seconds:g} s") from None

    async def _line(self, jail: Jail, seconds: float) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                line = await jail.receive()
        except TimeoutError:
            raise _Gone(f"the harness makes no call for {seconds:g} s") from None
        if line is None:
            raise _Gone("the jail ended under the harness")
        return line

    async def _close(self) -> None:
        jail, self._jail = self._jail, None
        if jail is not None:
            await jail.close()


def _first_line(text: str) -> bytes:
    """What a jail is sent that is to run shadows of a harness."""
    return json.dumps({"files": files_of(text, shadows=True), "task": None, "shadows": True}).encode()


def _aside(line: bytes) -> dict[str, Any]:
    """What a jail says beside the wire; empty for a request."""
    if not line.startswith((b'{"ready"', b'{"drew"')):
        return {}
    try:
        value = json.loads(line)
    except ValueError:
        raise wire.Breach(f"not JSON: {line[:80]!r}") from None
    found: dict[str, Any] = value
    return found
