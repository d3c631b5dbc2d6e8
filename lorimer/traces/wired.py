"""The calls of a harness as values: what a record of a trial holds, and by which two requests are the same one.

A request is in the form in which it took effect: system messages are one system prompt, a limit that was left out is the
trial's own, and one over it is cut to it. So an edit that changes none of that changes no request. Nothing here knows a database
or a jail: whoever takes a record, keeps one or answers from one shares these.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lorimer.harness.api import Completion, ExecResult, Message, Task, Tool
from lorimer.traces import codec


@dataclass(frozen=True)
class Complete:
    """`llm.complete`, as it reached the model."""

    messages: tuple[Message, ...]
    """Without system messages."""
    system: str | None = None
    tools: tuple[Tool, ...] = ()
    max_tokens: int = 0
    """The number that took effect."""
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    effort: str | None = None
    schema: Mapping[str, Any] | None = None
    tool_choice: str | None = None

    @property
    def key(self) -> str:
        asked = structure(self.schema, self.tool_choice)
        return complete_key(
            [codec.digest(codec.encode_message(message)) for message in self.messages],
            None if self.system is None else codec.digest(codec.encode_system(self.system)),
            codec.digest(codec.encode_tools(self.tools)) if self.tools else None,
            self.max_tokens,
            {"stop": list(self.stop), "temperature": self.temperature, "effort": self.effort, **asked},
        )


@dataclass(frozen=True)
class Exec:
    """`env.exec`."""

    command: str
    timeout: float
    """Seconds, within the trial's limit for one command; not cut to the active time that was left."""
    cwd: str
    """The task's own where the harness named none; may be empty."""

    @property
    def key(self) -> str:
        return codec.digest(["env.exec", self.command, float(self.timeout), self.cwd])


@dataclass(frozen=True)
class Read:
    """`env.read`: a file, or the next piece of one."""

    path: str
    handle: str = ""

    @property
    def key(self) -> str:
        return codec.digest(["env.read", self.path, self.handle])


@dataclass(frozen=True)
class Write:
    """`env.write`: a file, or a piece of one."""

    path: str
    data: bytes
    handle: str = ""
    more: bool = False

    @property
    def key(self) -> str:
        content = hashlib.sha256(self.data).hexdigest()
        return codec.digest(["env.write", self.path, content, self.handle, self.more])


@dataclass(frozen=True)
class Note:
    """`note`."""

    text: str

    @property
    def key(self) -> str:
        return codec.digest(["note", self.text])


@dataclass(frozen=True)
class Finish:
    """`finish`: how the harness ended."""

    status: str
    answer: str = ""
    detail: str = ""
    """The last line of what it said, which of an exception is the exception: a traceback names lines, which move."""

    @property
    def key(self) -> str:
        return codec.digest(["finish", self.status, self.answer, self.detail])


@dataclass(frozen=True)
class InvalidCall:
    """A call whose parameters do not fit its method."""

    method: str
    params: Mapping[str, Any]

    @property
    def key(self) -> str:
        return codec.digest(["invalid", self.method, self.params])


WireRequest = Complete | Exec | Read | Write | Note | Finish | InvalidCall

METHODS: dict[type[WireRequest], str] = {
    Complete: "llm.complete",
    Exec: "env.exec",
    Read: "env.read",
    Write: "env.write",
    Note: "note",
    Finish: "finish",
}


def method_of(request: WireRequest) -> str:
    """The wire's name of a call."""
    return request.method if isinstance(request, InvalidCall) else METHODS[type(request)]


def complete_key(
    messages: Sequence[str], system: str | None, tools: str | None, max_tokens: int, settings: Mapping[str, Any]
) -> str:
    """The key of a model call from the digests of its parts.

    Args:
        settings: stop, temperature and effort; schema and tool_choice where they were given.
    """
    temperature = settings.get("temperature")
    rest = [settings.get("stop") or [], None if temperature is None else float(temperature), settings.get("effort")]
    asked = structure(settings.get("schema"), settings.get("tool_choice"))
    return codec.digest(["llm.complete", list(messages), system, tools, max_tokens, *rest, *([asked] if asked else [])])


def structure(schema: Mapping[str, Any] | None, tool_choice: str | None) -> dict[str, Any]:
    """How an answer's form was asked for, as a trace keeps it: what was not given is left out, as in traces from before there was
    such a thing."""
    asked = {"schema": None if schema is None else dict(schema), "tool_choice": tool_choice}
    return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class RefusedCall:
    """An answer that is an error value of the wire."""

    code: str
    """`limit`, `env` or `invalid`."""
    message: str


@dataclass(frozen=True)
class ReadPiece:
    """The answer to a read: bytes, and the handle under which more can be had."""

    data: bytes
    handle: str = ""


@dataclass(frozen=True)
class OpenedWrite:
    """The answer to a write: the handle to go on with, empty where the file is written."""

    handle: str = ""


@dataclass(frozen=True)
class Done:
    """The answer to a note and to `finish`."""


Answer = Completion | ExecResult | ReadPiece | OpenedWrite | Done | RefusedCall


@dataclass(frozen=True)
class WirePart:
    """The harness was started in a jail for a task, or for one part of a task of several."""

    owner: str
    """The trial's id."""
    task: Task
    """What the harness was told."""
    max_tokens: int
    """The most tokens of output of a model call."""
    exec_seconds: float
    """The longest time of a command."""
    began: float
    """When it was started; seconds since 1970."""


@dataclass(frozen=True)
class WireCall:
    """One call of the part that was started last."""

    owner: str
    number: int
    """The order of issue, from 0, over all parts of the trial."""
    request: WireRequest
    answer: Answer | None
    """`None` where none was given: the harness finished, or was ended, before."""
    asked: float
    """Seconds since the part began."""
    answered: float
    """The same; of a call without an answer, when that was known."""


@dataclass(frozen=True)
class AnsweredCall:
    """One call of a record, as far as it takes to answer it again."""

    key: str
    """The key of the request: two requests are the same where their keys are."""
    method: str
    answer: Answer | None
    asked: float
    answered: float
    waited: float = field(default=0.0, kw_only=True)
    """Seconds for which a model call waited for its provider's retries."""
    usd: float | None = field(default=0.0, kw_only=True)
    """What a model call cost; `None` where that is not known."""


@dataclass(frozen=True)
class RecordedCall(AnsweredCall):
    """One call of a record."""

    _request: Any = field(repr=False, compare=False)

    @property
    def request(self) -> WireRequest:
        """Decoded when it is asked for: most are never shown."""
        found: WireRequest = self._request()
        return found


@dataclass(frozen=True)
class RecordedPart:
    """One start of the harness and all that it asked for."""

    task: Task
    max_tokens: int
    exec_seconds: float
    began: float
    calls: tuple[RecordedCall, ...]
    """The calls in order of issue; the last one is `finish`."""


@dataclass(frozen=True)
class Record:
    """All that a trial's harness was told and asked for, and every answer as it got it."""

    trial: str
    parts: tuple[RecordedPart, ...]
    models: tuple[str, ...] = ()
    """The models that its provider's answers named, in order of name."""


GapKind = Literal["unscored", "unrecorded", "continued", "dropped", "masked", "large", "ended", "lost"]
"""What a record lacks: a verdict; all of it, as none was kept, as the trial went on from another's, or as it was dropped; a text
that held a secret; what was over the limit; its end; a part."""


@dataclass(frozen=True)
class Gap:
    """A trial that cannot be replayed."""

    trial: str
    kind: GapKind
    why: str
    """A clause for people: `the answer to call 4 held a secret, which is not kept`."""


def answer_as_json(answer: Answer | None) -> dict[str, Any] | None:
    """An answer as plain values."""
    if answer is None:
        return None
    if isinstance(answer, Completion):
        told = {"stop_reason": answer.stop_reason, "usage": codec.encode_usage(answer.usage), "error": answer.error}
        return {"completion": codec.encode_message(answer.message), **told}
    if isinstance(answer, ExecResult):
        return {"exec": dataclasses.asdict(answer)}
    if isinstance(answer, ReadPiece):
        return {"piece": base64.b64encode(answer.data).decode(), "handle": answer.handle}
    if isinstance(answer, OpenedWrite):
        return {"opened": answer.handle}
    return {"refusal": [answer.code, answer.message]} if isinstance(answer, RefusedCall) else {"done": True}


def answer_from_json(said: Mapping[str, Any] | None) -> Answer | None:
    """What `answer_as_json` was given. Raises KeyError or TypeError for what it never gives."""
    if said is None:
        return None
    if "completion" in said:
        completion: Completion = codec.decode_completion(said["completion"], said)
        return completion
    if "exec" in said:
        return ExecResult(**said["exec"])
    if "piece" in said:
        return ReadPiece(base64.b64decode(said["piece"]), said["handle"])
    if "opened" in said:
        return OpenedWrite(said["opened"])
    return RefusedCall(*said["refusal"]) if "refusal" in said else Done()


def plain(request: WireRequest) -> str:
    """A request as text, one thing a line, for people and for differences between two."""
    if isinstance(request, Complete):
        return _plain_complete(request)
    if isinstance(request, Exec):
        return f"$ {request.command}\ntimeout: {request.timeout:g} s\nfolder: {request.cwd or 'the image says'}"
    if isinstance(request, Read):
        return f"path: {request.path}" + (f"\nthe next piece: {request.handle}" if request.handle else "")
    if isinstance(request, Write):
        text = request.data.decode("utf-8", "replace")
        return f"path: {request.path}" + ("\nmore follows" if request.more else "") + f"\n{text}"
    if isinstance(request, Note):
        return request.text
    if isinstance(request, Finish):
        return f"status: {request.status}\n{request.answer}" + (f"\n{request.detail}" if request.detail else "")
    return f"{request.method} with parameters that do not fit: {json.dumps(dict(request.params), sort_keys=True, indent=1)}"


def _plain_complete(request: Complete) -> str:
    lines = [f"max_tokens: {request.max_tokens}"]
    if request.stop:
        lines.append(f"stop: {json.dumps(list(request.stop))}")
    if request.temperature is not None:
        lines.append(f"temperature: {request.temperature:g}")
    if request.effort is not None:
        lines.append(f"effort: {request.effort}")
    if request.tool_choice is not None:
        lines.append(f"tool_choice: {request.tool_choice}")
    if request.schema is not None:
        lines += ["[schema of the answer]", json.dumps(dict(request.schema), sort_keys=True, indent=1)]
    if request.system is not None:
        lines += ["[system]", request.system]
    for tool in request.tools:
        lines += [f"[tool {tool.name}]", tool.description, json.dumps(tool.parameters, sort_keys=True, indent=1)]
    for message in request.messages:
        answers = f" to {message.tool_call_id}" if message.tool_call_id else ""
        lines.append(f"[{message.role}{answers}{', failed' if message.is_error else ''}]")
        lines += [f"(reasoning) {block.text}" for block in message.reasoning]
        lines += [message.text] if message.text else []
        lines += [f"{image} {codec.digest(image.data)[:12]}" for image in message.images]
        lines += [
            f"(calls {call.name} as {call.id}) {call.malformed or json.dumps(call.arguments, sort_keys=True)}"
            for call in message.tool_calls
        ]
    return "\n".join(lines)
