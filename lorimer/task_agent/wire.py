"""The wire between a jail and the gateway, as the gateway sees it: one pydantic model for each method's parameters.

docs/wire.md is written from these models. What does not fit a model is an error value to the harness; what is not a
request at all (no JSON object, unknown method, reused id) is a breach and ends the trial.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lorimer.harness.api import Effort, Message, Tool


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CompleteParams(_Params):
    """`llm.complete` -> a `Completion`."""

    messages: tuple[Message, ...] = Field(min_length=1, max_length=10_000)
    system: str | None = None
    tools: tuple[Tool, ...] = Field(default=(), max_length=128)
    max_tokens: int | None = Field(default=None, ge=1)
    stop: tuple[str, ...] = Field(default=(), max_length=16)
    temperature: float | None = Field(default=None, ge=0, le=2)
    effort: Effort | None = None


class ExecParams(_Params):
    """`env.exec` -> an `ExecResult`."""

    command: str
    timeout: float | None = Field(default=None, gt=0)
    cwd: str | None = None


class ReadParams(_Params):
    """`env.read` -> {data: base64, handle}; a handle that is not empty asks for the next piece."""

    path: str = ""
    handle: str = ""


class WriteParams(_Params):
    """`env.write` -> {handle}; the file is written when a piece says that no more follow."""

    path: str
    data: str
    handle: str = ""
    more: bool = False


class NoteParams(_Params):
    """`note` -> null."""

    text: str


class FinishParams(_Params):
    """`finish` -> null; the harness is done and the process ends."""

    status: Literal["returned", "exception", "bad_return"]
    answer: str = ""
    detail: str = ""


METHODS: dict[str, type[_Params]] = {
    "llm.complete": CompleteParams,
    "env.exec": ExecParams,
    "env.read": ReadParams,
    "env.write": WriteParams,
    "note": NoteParams,
    "finish": FinishParams,
}


class Breach(Exception):
    """The harness broke the protocol; the trial ends and is scored as its failure."""


class Request(BaseModel):
    """One line from the jail."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: int
    method: str
    params: dict[str, Any]


def parse_request(line: bytes) -> Request:
    """The request in a line. Raises Breach with a one-line reason."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise Breach(f"not JSON: {line[:80]!r}") from None
    try:
        request = Request.model_validate(value)
    except ValueError:
        raise Breach(f"not a request: {line[:80]!r}") from None
    if request.method not in METHODS:
        raise Breach(f"unknown method {request.method[:80]!r}")
    return request


def reply(number: int, result: Any) -> bytes:
    return json.dumps({"id": number, "result": result}, ensure_ascii=True).encode()


def reply_error(number: int, code: Literal["limit", "env", "invalid"], message: str) -> bytes:
    return json.dumps({"id": number, "error": {"code": code, "message": message}}).encode()
