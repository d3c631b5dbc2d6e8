"""Takes down what a harness asks for and what it is told, call by call, in order of issue: the record that a replay answers from.

What is kept of it, and what is not because it holds a secret, is the store's to say (`traces.writing.ledger`).
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field

from lorimer.harness import api
from lorimer.models.messages import in_effect
from lorimer.task_agent.output import last_line
from lorimer.task_agent.serving import wire
from lorimer.traces import wired
from lorimer.traces.schema import TraceSink


@dataclass(frozen=True)
class Caps:
    """The limits within which a request takes effect, and where a command runs that names no folder."""

    max_tokens: int
    exec_seconds: float
    workdir: str


def effective(request: wire.Request, params: object, caps: Caps) -> wired.WireRequest:
    """A request as it takes effect.

    Args:
        params: the request's parameters as the method's model, or `None` where they fit none.
    """
    if isinstance(params, wire.CompleteParams):
        asked = in_effect(params.request, caps.max_tokens)
        rest = asked.stop, asked.temperature, asked.effort, asked.schema, asked.tool_choice
        return wired.Complete(asked.messages, asked.system, asked.tools, asked.max_tokens or caps.max_tokens, *rest)
    if isinstance(params, wire.ExecParams):
        timeout = min(params.timeout or caps.exec_seconds, caps.exec_seconds)
        return wired.Exec(params.command, timeout, params.cwd or caps.workdir)
    if isinstance(params, wire.ReadParams):
        return wired.Read(params.path, params.handle)
    if isinstance(params, wire.WriteParams):
        try:
            data = base64.b64decode(params.data, validate=True)
        except ValueError:
            return wired.InvalidCall(request.method, request.params)
        return wired.Write(params.path, data, params.handle, params.more)
    if isinstance(params, wire.NoteParams):
        return wired.Note(params.text)
    if isinstance(params, wire.FinishParams):
        return wired.Finish(params.status, params.answer, last_line(params.detail))
    return wired.InvalidCall(request.method, request.params)


@dataclass
class _Open:
    """A call that is not answered yet."""

    request: wire.Request
    asked: float
    params: object = None


@dataclass
class Taking:
    """The record of one start of a harness, as it is taken.

    Args:
        first: the number of its first call; calls are counted over all parts of a trial.
    """

    sink: TraceSink
    owner: str
    caps: Caps
    first: int = 0
    _began: float = field(default_factory=time.monotonic)
    _open: dict[int, _Open] = field(default_factory=dict)
    _next: int = 0

    def __post_init__(self) -> None:
        self._next = self.first

    @property
    def next(self) -> int:
        """The number of the call to come."""
        return self._next

    def begin(self, task: api.Task) -> None:
        """The harness is started, and told this."""
        self._began = time.monotonic()
        caps = self.caps
        self.sink.wire_part(wired.WirePart(self.owner, task, caps.max_tokens, caps.exec_seconds, time.time()))

    def asked(self, request: wire.Request) -> int:
        """A call came in; returns its number. To be called in order of issue."""
        number, self._next = self._next, self._next + 1
        self._open[number] = _Open(request, self._now())
        return number

    def understood(self, number: int, params: object) -> None:
        """The call's parameters, as its method's model."""
        self._open[number].params = params

    def answered(self, number: int, answer: wired.Answer | None) -> None:
        """The harness is being told this."""
        call = self._open.pop(number)
        request = effective(call.request, call.params, self.caps)
        self.sink.wire_call(wired.WireCall(self.owner, number, request, answer, call.asked, self._now()))

    def ended(self) -> None:
        """The harness is gone; what is still open will not be answered."""
        for number in sorted(self._open):
            call = self._open[number]
            if call.params is None:
                try:
                    call.params = wire.parse_params(call.request)
                except wire.Invalid:
                    call.params = None
            self.answered(number, None)

    def _now(self) -> float:
        return time.monotonic() - self._began
