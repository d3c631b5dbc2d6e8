"""What a harness may import: the contract of `harness/agent.py`.

A harness is one Python file that defines

    def solve(task: Task, env: Env, llm: LLM) -> str: ...

It runs in a jail with no network and no files of the host. Everything it does goes through `env` and `llm`, which are
served by lorimer over a pipe, traced and limited. The model, its provider and its key are not the harness's to choose.

`lorimer.harness.text` is there to be imported too: it reads tool calls and code that a model wrote into its text.

This module imports the standard library alone: it is sent into the jail as it stands. Python 3.10 or newer.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant", "tool"]
StopReason = Literal["end", "tool_calls", "max_tokens", "stop", "refusal", "context_overflow", "rejected"]
Effort = Literal["low", "medium", "high"]
ImageType = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
ToolChoice = str
"""`auto`, `required` (some tool), `none`, or the name of the tool that must be called."""


class LimitReached(Exception):
    """A limit of the trial is used up; no further call of that kind will be answered. Catch it to finish cleanly."""


class EnvError(Exception):
    """A file operation could not be done (missing, a directory, over the read limit). Never the end of the trial."""


@dataclass(frozen=True)
class Task:
    """What the agent is asked to do. It carries no id: a harness must not know one task from another."""

    instruction: str
    workdir: str = ""
    """Where commands start; empty where the image says."""
    seconds: float = 0.0
    """Active time allowed, all in all; waiting for a provider's retry does not count."""
    max_calls: int = 0
    """Model calls allowed."""


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool by the model.

    `arguments` is empty and `malformed` holds the model's text where that text was not a JSON object.
    """

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    malformed: str = ""


@dataclass(frozen=True)
class Reasoning:
    """A reasoning block. `opaque` is the provider's own form, sent back as it came; `text` is what may be read of it."""

    text: str = ""
    opaque: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """A picture in a message of the user or of a tool. `image` makes one."""

    data: str
    """Its bytes as base64."""
    type: ImageType

    def __str__(self) -> str:
        """What stands for it in a text."""
        return f"[{self.type}, {len(self.data) * 3 // 4:,} bytes]"


def image(data: bytes) -> Image:
    """A picture for `user` and `tool_result`, such as a screenshot that `env.read` gave.

    A model that takes no pictures is told in words that there was one. Raises ValueError for what is not the beginning of a
    PNG, a JPEG, a GIF or a WebP file.
    """
    for start, kind in _STARTS.items():
        if data.startswith(start) and (kind != "image/webp" or data[8:12] == b"WEBP"):
            return Image(base64.b64encode(data).decode(), kind)
    raise ValueError("not a PNG, JPEG, GIF or WebP picture")


_STARTS: Mapping[bytes, ImageType] = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}


@dataclass(frozen=True)
class Message:
    """One message of a conversation, in no provider's dialect. Use the constructors below."""

    role: Role
    text: str = ""
    reasoning: tuple[Reasoning, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    """The call that a tool message answers."""
    is_error: bool = False
    """Whether the tool of a tool message failed."""
    images: tuple[Image, ...] = ()
    """What a message of the user or of a tool shows."""


def system(text: str) -> Message:
    return Message("system", text)


def user(text: str, images: Sequence[Image] = ()) -> Message:
    return Message("user", text, images=tuple(images))


def assistant(text: str, tool_calls: Sequence[ToolCall] = (), reasoning: Sequence[Reasoning] = ()) -> Message:
    return Message("assistant", text, tuple(reasoning), tuple(tool_calls))


def tool_result(call: ToolCall | str, text: str, *, is_error: bool = False, images: Sequence[Image] = ()) -> Message:
    """The answer to `call` (or to the call with that id)."""
    answered = call if isinstance(call, str) else call.id
    return Message("tool", text, tool_call_id=answered, is_error=is_error, images=tuple(images))


@dataclass(frozen=True)
class Tool:
    """A tool offered to the model; `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Usage:
    """Tokens of one model call, as the provider counted them, or estimated. `input_tokens` includes the cached ones."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """The part of the input that was read from the provider's cache."""
    cache_write_tokens: int = 0
    """The part of the input that was written to the provider's cache."""
    reasoning_tokens: int = 0
    """The part of the output that was reasoning, where the provider says."""
    estimated: bool = False
    """The provider left a count out; a high guess from the characters stands for it."""


@dataclass(frozen=True)
class Completion:
    """The model's answer.

    A request that the provider refuses is an answer too: `stop_reason` is `rejected`, `context_overflow` or `refusal`
    and `error` holds the provider's words. The trial goes on.

    With `schema` every answer is checked against it: `parsed` is a value that fits, or `None` and `mismatch` says what is
    wrong. With a `tool_choice` that asks for a call, `mismatch` says where there was none.
    """

    message: Message
    """The assistant message, to be appended to the conversation as it is."""
    stop_reason: StopReason
    usage: Usage = Usage()
    error: str = ""
    parsed: Any = None
    """The value that the answer's text holds, where a `schema` was given and it fits."""
    mismatch: str = ""
    """How the answer is not what `schema` or `tool_choice` asked for, in one line that may go back to the model as it is."""

    @property
    def text(self) -> str:
        return self.message.text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self.message.tool_calls

    @property
    def reasoning(self) -> str:
        return "\n".join(block.text for block in self.message.reasoning if block.text)


@dataclass(frozen=True)
class ExecResult:
    """What a command in the task's sandbox did. Over the output limit, head and tail are kept and the cut is said."""

    stdout: str
    stderr: str
    exit_code: int | None
    """`None` when it timed out."""
    timed_out: bool = False
    truncated: bool = False


class LLM(Protocol):
    """The task model."""

    def complete(
        self,
        messages: Sequence[Message],
        *,
        system: str | None = None,
        tools: Sequence[Tool] = (),
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        temperature: float | None = None,
        effort: Effort | None = None,
        schema: Mapping[str, Any] | None = None,
        tool_choice: ToolChoice | None = None,
    ) -> Completion:
        """One model call. Raises LimitReached. Safe to call from several threads.

        Args:
            stop: at most 16 texts; a single one may be given by itself.
            schema: a JSON Schema that the answer's text is to fit; say in your prompt what its fields mean. A server that has
                such a thing is held to it, to another one it is said in the prompt; the answer is checked in any case.
            tool_choice: which tool must be called; `None` leaves it to the model.
        """
        ...


class Env(Protocol):
    """The task's sandbox."""

    def exec(self, command: str, *, timeout: float | None = None, cwd: str | None = None) -> ExecResult:
        """Run a shell command. `timeout` in seconds, capped by the trial's limits. Raises LimitReached."""
        ...

    def read(self, path: str) -> bytes:
        """A file's bytes. Raises EnvError, LimitReached."""
        ...

    def read_text(self, path: str) -> str:
        """A file's text as UTF-8, undecodable bytes replaced. Raises EnvError, LimitReached."""
        ...

    def write(self, path: str, data: bytes | str) -> None:
        """Write a file, making its folders. Raises EnvError, LimitReached."""
        ...


def note(text: str) -> None:
    """Leave a step of the harness's own in the trace. Outside a jail it does nothing; the host replaces it inside one."""
    if _note_hook is not None:
        _note_hook(text)


_note_hook: Any = None
