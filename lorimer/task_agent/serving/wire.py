"""The wire between a jail and the gateway, as the gateway sees it: one pydantic model for each method's parameters.

docs/wire.md is written from these models. What does not fit a model is an error value to the harness; what is not a
request at all (no JSON object, unknown method, reused id) is a breach and ends the trial.
"""

from __future__ import annotations

import base64
import json
import math
import re
from itertools import chain
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from lorimer.harness.api import Effort, Message, Tool
from lorimer.harness.host import fields_of
from lorimer.models.base import ModelRequest
from lorimer.traces import wired

MAX_DEPTH = 100
"""The deepest nesting of values. JSON Schemas of tools stay under 20; what is deeper would overflow whoever writes it down
again."""
MAX_VALUES = 250_000
"""The most values in a line. The longest conversation with a tool call in each message has about 200,000; a line of the greatest
length could hold five million, which take seconds and a gigabyte to read, while every other trial waits."""
MAX_ERRORS = 1_000
"""More than so many faults in one call's parameters are not listed, as listing them takes longer than finding them."""
MAX_SCHEMA_CHARS = 50_000
"""The longest schema of an answer, which is in the trace of every call that asks for one."""
MAX_IMAGES = 100
"""Pictures in one call; Anthropic takes no more."""
MAX_IMAGE_CHARS = 6_990_508
"""The longest picture, as base64: 5 MiB, the most that Anthropic takes."""
MAX_PATH = 4096
"""Characters; Linux takes no longer path."""
MAX_SAID = 100
"""Characters of a harness's word that a message repeats."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character")
    return text


Command = Annotated[str, AfterValidator(_without_nul)]
FilePath = Annotated[str, Field(max_length=MAX_PATH), AfterValidator(_without_nul)]


def _of_bounded_size(schema: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(schema)) > MAX_SCHEMA_CHARS:
        raise ValueError(f"over {MAX_SCHEMA_CHARS} characters as JSON")
    return schema


Schema = Annotated[dict[str, Any], AfterValidator(_of_bounded_size)]


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
    json_schema: Schema | None = Field(default=None, alias="schema")
    tool_choice: str | None = None

    @property
    def request(self) -> ModelRequest:
        """What is asked for, as the harness made it (`models.messages.in_effect`)."""
        rest = self.stop, self.temperature, self.effort, self.json_schema, self.tool_choice
        return ModelRequest(self.messages, self.system, self.tools, self.max_tokens, *rest)

    @model_validator(mode="after")
    def _shows_what_can_be_shown(self) -> Self:
        shown = [(message.role, image) for message in self.messages for image in message.images]
        if len(shown) > MAX_IMAGES:
            raise ValueError(f"messages: {len(shown)} images, and {MAX_IMAGES} may be sent")
        for role, image in shown:
            if role not in ("user", "tool"):
                raise ValueError(
                    f"messages: an image in a message of the {role}: only the user's and a tool's have some"
                )
            if len(image.data) > MAX_IMAGE_CHARS:
                raise ValueError(
                    f"messages: an image of {len(image.data):,} characters of base64, over {MAX_IMAGE_CHARS:,}"
                )
            try:
                base64.b64decode(image.data, validate=True)
            except ValueError:
                raise ValueError("messages: an image that is no base64") from None
        return self

    @model_validator(mode="after")
    def _chooses_what_there_is(self) -> Self:
        chosen, offered = self.tool_choice, [tool.name for tool in self.tools]
        if chosen is None or chosen in ("auto", "none", *offered) or (chosen == "required" and offered):
            return self
        said = repr(chosen[:MAX_SAID])
        if not offered:
            raise ValueError(
                f"tool_choice: {said} asks for a tool call, and the call has no tools; give tools=[…] or drop it"
            )
        words = f"{said} is neither auto, required or none nor a tool of this call"
        raise ValueError(f"tool_choice: {words}, whose tools are {', '.join(offered)}"[:MAX_PATH])


class ExecParams(_Params):
    """`env.exec` -> an `ExecResult`."""

    command: Command
    timeout: float | None = Field(default=None, gt=0)
    cwd: FilePath | None = None


class ReadParams(_Params):
    """`env.read` -> {data: base64, handle}; a handle that is not empty asks for the next piece."""

    path: FilePath = ""
    handle: str = ""


class WriteParams(_Params):
    """`env.write` -> {handle}; the file is written when a piece says that no more follow."""

    path: FilePath
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


class Invalid(Exception):
    """A call's parameters do not fit; an error value to the harness."""


class Request(BaseModel):
    """One line from the jail."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: int
    method: str
    params: dict[str, Any]


def parse_request(line: bytes) -> Request:
    """The request in a line, its text made fit for UTF-8 (lone surrogates become U+FFFD). Raises Breach with a reason."""
    if _has_too_many_values(line):
        raise Breach(f"more than {MAX_VALUES:,} values in a line")
    try:
        text = line.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        _check_depth(value)
    except (ValueError, RecursionError):
        raise Breach(f"not JSON: {line[:80]!r}") from None
    if "\\ud" in text or "\\uD" in text:  # a line of UTF-8 has no surrogates but those that it spells out
        value = _paired(value)
    try:
        request = Request.model_validate(value)
    except ValueError:
        raise Breach(f"not a request: {line[:80]!r}") from None
    if request.method not in METHODS:
        raise Breach(f"unknown method {request.method[:80]!r}")
    return request


def parse_params(request: Request) -> Any:
    """The parameters, as the method's model. Raises Invalid with the first thing wrong."""
    try:
        return METHODS[request.method].model_validate(request.params)
    except ValidationError as error:
        if error.error_count() > MAX_ERRORS:
            raise Invalid(f"{request.method}: more than {MAX_ERRORS:,} values that do not fit") from None
        first = error.errors()[0]
        path = "".join(f"{part}: " for part in [".".join(map(str, first["loc"]))] if part)
        raise Invalid(f"{request.method}: {path}{first['msg'].removeprefix('Value error, ')}"[:MAX_PATH]) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and the infinities, which Python reads and nobody else does


def _finite(digits: str) -> float:
    """A number that every store and provider can write down: `1e999` is none."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


def _check_depth(value: Any) -> None:
    """Raise ValueError for what is nested too deeply for our own code, or a provider's, to walk through."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        opened = [outer.values() if type(outer) is dict else outer for outer in level if type(outer) in (dict, list)]
        if not opened:
            return
        level = list(chain.from_iterable(opened))
    raise ValueError("nested too deeply")


def _paired(value: Any) -> Any:
    """The same, without lone surrogates in any text."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_paired(key): _paired(entry) for key, entry in value.items()}
    return [_paired(entry) for entry in value] if isinstance(value, list) else value


def _has_too_many_values(line: bytes) -> bool:
    """Whether a line holds more than MAX_VALUES, without reading them: each but the last follows or opens something.

    What is inside texts does not count, so a file or a prompt may be as long as a line, whatever is written there.
    """
    if len(line) <= MAX_VALUES or _marks(line) <= MAX_VALUES:
        return False
    bare = line.replace(b"\\\\", b"").replace(b'\\"', b"")  # no quote is left but those around texts
    if bare.count(b'"') > 4 * MAX_VALUES:  # two for each text, and there may be a key for each value
        return True
    return _marks(b"".join(bare.split(b'"')[::2])) > MAX_VALUES


def _marks(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def reply(number: int, answer: wired.Answer, *, clock: float | None = None, live: bool = False) -> bytes:
    """The line that answers a call.

    Args:
        clock: the seconds since the harness began, for a jail whose clocks follow a record.
        live: such a jail's clocks go by themselves from now on.
    """
    if isinstance(answer, wired.RefusedCall):
        line: dict[str, Any] = {"id": number, "error": answer}
    else:
        line = {"id": number, "result": _result(answer)}
    if clock is not None:
        line |= {"clock": round(clock, 6), **({"live": True} if live else {})}
    return json.dumps(line, default=fields_of).encode()


def _result(answer: wired.Answer) -> Any:
    if isinstance(answer, wired.ReadPiece):
        return {"data": base64.b64encode(answer.data).decode(), "handle": answer.handle}
    if isinstance(answer, wired.OpenedWrite):
        return {"handle": answer.handle}
    if isinstance(answer, wired.Done):
        return None
    result = fields_of(answer)
    for checked_there in ("parsed", "mismatch"):  # the jail's half reads the answer and checks it
        result.pop(checked_there, None)
    return result
