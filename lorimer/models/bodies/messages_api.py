"""Bodies of Anthropic's Messages API (POST /v1/messages)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lorimer.harness.api import Completion, Message, StopReason, ToolCall, Usage, assistant
from lorimer.models import forms
from lorimer.models.base import ModelRequest
from lorimer.models.bodies.settings import Optional, Served, count
from lorimer.models.messages import adds_fields, kept, normalised, original, parsed_call, sent_arguments, split_thoughts

API = "anthropic"
_THINKING = frozenset({"thinking", "redacted_thinking"})
_BLOCKS = frozenset({"thinking", "redacted_thinking", "text", "tool_use"})
_FIELDS: Mapping[str, frozenset[str]] = {
    "text": frozenset(("type", "text", "citations")),
    "tool_use": frozenset(("type", "id", "name", "input")),
}
_CACHE: Mapping[str, Any] = {"type": "ephemeral"}


_STOP: Mapping[str, StopReason] = {
    "max_tokens": "max_tokens",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_overflow",
}

OPTIONAL: Mapping[str, Optional] = {
    # The SDK's own signature has dropped it; models that still take it are sent it all the same.
    "temperature": Optional("temperature", r"temperature"),
    "effort": Optional("output_config.effort", r"\beffort\b|output_config(?!\.format)"),
    forms.SCHEMA: Optional("output_config.format", r"output_config|output_format|json_schema|structured output"),
    forms.CHOICE: Optional("tool_choice", r"tool_choice"),
    forms.IMAGES: Optional("messages", part="image", refused=forms.NO_IMAGES),
    "thinking": Optional("thinking", r"thinking|adaptive"),
}


def encode(served: Served, request: ModelRequest, dropped: frozenset[str], *, stream: bool = False) -> dict[str, Any]:
    """The request body. Cache breakpoints, of which four are allowed: tools, system, and the last two user turns."""
    request = forms.said(request, dropped)
    messages = _messages(request.messages)
    # The last turn writes the cache, the one before finds what the previous call wrote.
    for message in [message for message in messages if message["role"] == "user"][-2:]:
        message["content"][-1]["cache_control"] = dict(_CACHE)
    body: dict[str, Any] = {
        "model": served.model,
        "max_tokens": request.max_tokens or served.max_tokens,
        "messages": messages,
    }
    if request.system and request.system.strip():
        body["system"] = [{"type": "text", "text": request.system, "cache_control": dict(_CACHE)}]
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
            for tool in request.tools
        ]
        body["tools"][-1]["cache_control"] = dict(_CACHE)
    choice = forms.chosen(request, dropped)
    if choice is not None:
        kind = {"auto": "auto", "required": "any", "none": "none"}.get(choice)
        body["tool_choice"] = {"type": kind} if kind else {"type": "tool", "name": choice}
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.temperature is not None and "temperature" not in dropped:
        body["temperature"] = request.temperature
    config: dict[str, Any] = {}
    if request.effort is not None:
        if "effort" not in dropped:
            config["effort"] = request.effort
        if "thinking" not in dropped and not forms.forces(choice):  # a forced tool and thinking exclude each other
            body["thinking"] = {"type": "adaptive"}
    if request.schema is not None and forms.SCHEMA not in dropped:
        config["format"] = {"type": "json_schema", "schema": forms.closed(request.schema)}
    if config:
        body["output_config"] = config
    if stream:
        body["stream"] = True
    body.update(served.extra)
    return body


def decode(data: Mapping[str, Any]) -> Completion:
    """An answer in lorimer's words, with 0 for what was not counted. Raises KeyError where it has no content."""
    content = data["content"]
    said, calls = _read(content)
    text, inline = split_thoughts(said)
    stop_reason = _STOP.get(str(data.get("stop_reason")), "end")
    if stop_reason in ("end", "stop") and calls:
        stop_reason = "tool_calls"
    error = ""
    if stop_reason == "refusal":
        explanation = (data.get("stop_details") or {}).get("explanation")
        error = explanation or "the provider refused to answer"
    elif stop_reason == "context_overflow":
        error = "the answer was cut: the model's context window is full"
    thoughts = [str(block.get("thinking", "")) for block in content if block.get("type") in _THINKING]
    if not thoughts and adds_fields(content, _FIELDS):
        thoughts = [""]
    message = assistant(text, calls, (*kept(API, content, thoughts), *inline))
    return Completion(message, stop_reason, usage_of(data), error)


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Turns that alternate: tool results and the user's words after them are one user turn, results first."""
    turns: list[dict[str, Any]] = []
    for message in normalised(messages):
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _assistant_blocks(message) if role == "assistant" else _user_blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        if turn["role"] == "user":
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return turns


def _user_blocks(message: Message) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = [
        {"type": "image", "source": {"type": "base64", "media_type": image.type, "data": image.data}}
        for image in message.images
    ]
    if message.text.strip() or not (shown or message.role == "tool"):
        shown.append({"type": "text", "text": message.text})
    if message.role != "tool":
        return shown
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": _safe_id(message.tool_call_id)}
    if shown:
        # As a list of blocks, if only of one: some compatible servers take no bare string here.
        block["content"] = shown
    if message.is_error:
        block["is_error"] = True
    return [block]


def _assistant_blocks(message: Message) -> list[dict[str, Any]]:
    whole, thinking = original(message, API, _BLOCKS, _THINKING, _read)
    if whole is not None:
        return [_sent(block) for block in whole if block["type"] != "text" or str(block.get("text", "")).strip()]
    blocks = thinking
    if message.text.strip():
        # A final assistant turn must not end in white space, and none is the worse for ending without.
        blocks.append({"type": "text", "text": message.text.rstrip()})
    blocks += [
        {"type": "tool_use", "id": _safe_id(call.id), "name": call.name, "input": sent_arguments(call)}
        for call in message.tool_calls
    ]
    return blocks


def _sent(block: dict[str, Any]) -> dict[str, Any]:
    """A block as it goes back: arguments that a stream cut are text, and the API takes an object there."""
    if block["type"] != "tool_use" or isinstance(block.get("input"), Mapping):
        return block
    return {**block, "input": sent_arguments(parsed_call("", "", block.get("input")))}


def _safe_id(call_id: str) -> str:
    """Ids of calls that a harness read out of text may be anything; the API takes letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", call_id)


def _read(content: Sequence[Mapping[str, Any]]) -> tuple[str, tuple[ToolCall, ...]]:
    text = "".join(str(block.get("text", "")) for block in content if block.get("type") == "text")
    calls = tuple(
        parsed_call(str(block.get("id", "")), str(block.get("name", "")), block.get("input"))
        for block in content
        if block.get("type") == "tool_use"
    )
    return text, calls


def usage_of(data: Mapping[str, Any]) -> Usage:
    """What a reply counts, 0 for what it does not."""
    usage = data.get("usage")
    read, written = count(usage, "cache_read_input_tokens"), count(usage, "cache_creation_input_tokens")
    return Usage(
        # Anthropic counts cached input apart; here the input is all of it.
        input_tokens=count(usage, "input_tokens") + read + written,
        output_tokens=count(usage, "output_tokens"),
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count(usage, "output_tokens_details", "thinking_tokens"),
    )
