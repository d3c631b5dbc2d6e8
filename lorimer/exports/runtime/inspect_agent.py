"""A harness as an Inspect agent: its model is `get_model()`, its machine `sandbox()`. Inspect itself is handed in.

Inspect's own limits, retries, cache, approvals and log hold for it as for any other agent. Needs Inspect's asyncio backend.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lorimer.errors import UserError
from lorimer.exports.runtime import hosted
from lorimer.exports.runtime.limited import LimitedModel, ended
from lorimer.exports.runtime.settings import Settings, read
from lorimer.harness.api import (
    Completion,
    LimitReached,
    Message,
    Reasoning,
    StopReason,
    ToolCall,
    Usage,
    assistant,
)
from lorimer.models.base import ModelRequest

_KEPT = "inspect"
"""The key under which a reasoning block keeps Inspect's own form of the whole message, which providers want back as it was."""
_STOPPED: Mapping[str, StopReason] = {
    "stop": "end",
    "max_tokens": "max_tokens",
    "tool_calls": "tool_calls",
    "content_filter": "refusal",
    "model_length": "context_overflow",
}


class InspectModel(LimitedModel):
    """The model of the sample that runs."""

    def __init__(self, inspect: Any, loop: hosted.Loop, settings: Settings, deadline: float) -> None:
        super().__init__(settings, deadline)
        self._inspect, self._loop, self._model = inspect, loop, inspect.model.get_model()
        self.limit: Exception | None = None
        """A limit of Inspect's that was reached."""
        self.conversation: list[Any] = []
        """The last call's, in Inspect's messages, with its answer."""

    def _answer(self, request: ModelRequest) -> Completion:
        model, tool = self._inspect.model, self._inspect.tool
        said = [model.ChatMessageSystem(content=request.system)] if request.system else []
        said += [sent(each, self._inspect) for each in request.messages]
        tools = [
            tool.ToolInfo(
                name=each.name,
                description=each.description,
                parameters=tool.ToolParams.model_validate(dict(each.parameters)),
            )
            for each in request.tools
        ]

        async def ask() -> Any:
            return await self._model.generate(
                said, tools=tools, tool_choice=self._choice(request), config=self._config(request)
            )

        try:
            output = self._loop.call(ask)
        except self._inspect.util.LimitExceededError as error:
            self.limit = error
            raise LimitReached(str(error)) from None
        if output.choices:
            self.conversation = [*said, output.choices[0].message]
        return received(output)

    def _choice(self, request: ModelRequest) -> Any:
        if request.tool_choice is None or request.tool_choice == "none":
            return request.tool_choice
        return "any" if request.tool_choice == "required" else self._inspect.tool.ToolFunction(request.tool_choice)

    def _config(self, request: ModelRequest) -> Any:
        model = self._inspect.model
        values: dict[str, Any] = {"max_tokens": request.max_tokens, "temperature": request.temperature}
        if request.stop:
            values["stop_seqs"] = list(request.stop)
        if request.effort:
            values["effort" if "anthropic" in type(self._model.api).__name__.lower() else "reasoning_effort"] = (
                request.effort
            )
        if request.schema is not None:
            schema = self._inspect.util.JSONSchema.model_validate(dict(request.schema))
            values["response_schema"] = model.ResponseSchema(name="answer", json_schema=schema)
        return model.GenerateConfig(**values)


def sent(message: Message, inspect: Any) -> Any:
    """A message in Inspect's form: the one that it came from where the harness left it as it was."""
    model, tool = inspect.model, inspect.tool
    if message.role == "user":
        return model.ChatMessageUser(content=_content(message, model))
    if message.role == "tool":
        error = tool.ToolCallError("unknown", message.text) if message.is_error else None
        content = _content(message, model)
        return model.ChatMessageTool(content=content, tool_call_id=message.tool_call_id, error=error)
    for block in message.reasoning:
        if _KEPT in block.opaque:
            kept = model.ChatMessageAssistant.model_validate(block.opaque[_KEPT])
            if (kept.text, calls_of(kept)) == (message.text, message.tool_calls):
                return kept
    calls = [
        tool.ToolCall(
            id=each.id, function=each.name, arguments=dict(each.arguments), parse_error=each.malformed or None
        )
        for each in message.tool_calls
    ]
    return model.ChatMessageAssistant(content=message.text, tool_calls=calls or None)


def _content(message: Message, model: Any) -> Any:
    """A text, or parts where there are pictures."""
    if not message.images:
        return message.text
    pictures = [model.ContentImage(image=f"data:{each.type};base64,{each.data}") for each in message.images]
    return [*pictures, model.ContentText(text=message.text)] if message.text.strip() else pictures


def received(output: Any) -> Completion:
    """Inspect's answer as a harness has it."""
    if not output.choices:
        return ended("rejected", output.error or "the model gave no answer")
    choice = output.choices[0]
    message, stopped = choice.message, _STOPPED.get(choice.stop_reason, "end")
    calls = calls_of(message)
    if stopped == "end" and calls:
        stopped = "tool_calls"
    if stopped == "context_overflow":
        return ended(stopped, output.error or message.text or "the conversation is too long for the model")
    error = ""
    if stopped == "refusal":
        error = getattr(choice.stop_details, "explanation", None) or "the provider's content filter stopped the answer"
    parts: Sequence[Any] = [] if isinstance(message.content, str) else message.content
    thought = "\n".join(
        part.summary or part.reasoning for part in parts if part.type == "reasoning" and not part.redacted
    )
    reasoning = Reasoning(thought, {_KEPT: message.model_dump(mode="json", exclude_none=True)})
    return Completion(assistant(message.text, calls, [reasoning]), stopped, usage_of(output.usage), error)


def calls_of(message: Any) -> tuple[ToolCall, ...]:
    """The tool calls of a message of Inspect's."""
    return tuple(
        ToolCall(call.id, call.function, {} if call.parse_error else call.arguments, call.parse_error or "")
        for call in message.tool_calls or ()
    )


def usage_of(used: Any) -> Usage:
    """Inspect counts the input without what its cache read and wrote."""
    if used is None:
        return Usage()
    cached, written = used.input_tokens_cache_read or 0, used.input_tokens_cache_write or 0
    return Usage(used.input_tokens + cached + written, used.output_tokens, cached, written, used.reasoning_tokens or 0)


class InspectMachine(hosted.HostedMachine):
    """The sample's sandbox."""

    def __init__(self, inspect: Any, loop: hosted.Loop, settings: Settings, deadline: float, name: str | None) -> None:
        super().__init__(loop, settings, deadline)
        self._sandbox = inspect.util.sandbox(name)
        self._too_much = inspect.util.OutputLimitExceededError

    async def shell(self, text: str, seconds: float) -> str:
        """See HostedMachine."""
        done = await self._sandbox.exec(["sh", "-c", text], timeout=int(seconds), timeout_retry=False)
        return str(done.stdout) or str(done.stderr)

    async def fetch(self, path: str) -> bytes:
        """See HostedMachine."""
        try:
            return bytes(await self._sandbox.read_file(path, text=False))
        except (OSError, self._too_much) as error:
            raise hosted.env_error(path, error) from None

    async def store(self, path: str, data: bytes) -> None:
        """See HostedMachine."""
        try:
            await self._sandbox.write_file(path, data)
        except OSError as error:
            raise hosted.env_error(path, error) from None


def agent(folder: Path, inspect: Any, limits: Mapping[str, Any], sandbox: str | None) -> Any:
    """The coroutine function that Inspect calls for each sample.

    Args:
        folder: where `agent.py` and `winner.json` are.
        inspect: the package `inspect_ai`, with `model`, `tool` and `util` imported.
        limits: `calls`, `tokens` and `seconds` of a sample, where they are not as in the study; `None` leaves one as it is.
        sandbox: which of the sample's sandboxes; `None` for the default one.
    """

    async def execute(state: Any) -> Any:
        settings = dataclasses.replace(
            read(folder), **{name: value for name, value in limits.items() if value is not None}
        )
        loop, until = hosted.Loop(), hosted.deadline(settings)
        model = InspectModel(inspect, loop, settings, until)
        machine = InspectMachine(inspect, loop, settings, until, sandbox)
        answer = await hosted.solve(folder, settings, instruction_of(state.messages), loop, machine, model)
        if model.limit is not None:
            raise model.limit
        output = inspect.model.ModelOutput.from_content(str(inspect.model.get_model()), answer)
        state.messages = list(model.conversation) or list(state.messages)
        if state.messages[-1].text != answer or state.messages[-1].role != "assistant":
            state.messages.append(output.choices[0].message)
        state.output = output
        return state

    return execute


def instruction_of(messages: Sequence[Any]) -> str:
    """What is asked for: a harness has one text, so a sample's system and user messages are joined.

    Raises UserError for a picture or another part that is no text: without it the harness would solve another task.
    """
    for message in messages:
        if isinstance(message.content, str) or message.role not in ("system", "user"):
            continue
        if other := next((part.type for part in message.content if part.type != "text"), ""):
            raise UserError(f"the sample's input has a part of type {other!r}, and the task of a harness is text alone")
    return "\n\n".join(message.text for message in messages if message.role in ("system", "user") and message.text)
