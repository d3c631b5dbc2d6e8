"""Messages, tools and completions as JSON, and back without loss.

Fields that hold their default are left out. The canonical form (sorted keys, no spaces, ASCII) is what is hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lorimer.harness.api import Completion, Image, Message, Reasoning, Tool, ToolCall, Usage


def _other(value: Any) -> Any:
    """What is written for a value that JSON has no form for: a mapping of whatever kind is an object, anything else its text."""
    return dict(value) if isinstance(value, Mapping) else str(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_other)
_PLAIN = json.JSONEncoder(separators=(",", ":"), default=_other)  # `json.dumps` makes one anew for each value


def dumps(value: Any) -> str:
    """JSON for a column. ASCII, so that a lone surrogate in a model's text cannot break the database's UTF-8."""
    return _PLAIN.encode(value)


def loads(text: str) -> Any:
    """What `dumps` wrote."""
    return json.loads(text)


def canonical(value: Any) -> str:
    """The one JSON text of `value` that is hashed."""
    return _CANONICAL.encode(value)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON."""
    return digest_of(canonical(value))


def digest_of(text: str) -> str:
    """The same of the canonical JSON itself."""
    return hashlib.sha256(text.encode()).hexdigest()


def in_order(value: Any) -> bool:
    """Whether the keys of a JSON value stand in order, so that `dumps` writes of it what `canonical` does."""
    if isinstance(value, dict):
        keys = list(value)
        return keys == sorted(keys) and all(map(in_order, value.values()))
    if isinstance(value, list | tuple):
        return all(map(in_order, value))
    return value is None or isinstance(value, str | int | float)


def encode_message(message: Message) -> dict[str, Any]:
    """A message as it is stored, its own keys in order."""
    body: dict[str, Any] = {}
    if message.images:
        body["images"] = [{"data": image.data, "type": image.type} for image in message.images]
    if message.is_error:
        body["is_error"] = True
    if message.reasoning:
        body["reasoning"] = [{"opaque": dict(block.opaque), "text": block.text} for block in message.reasoning]
    body["role"], body["text"] = message.role, message.text
    if message.tool_call_id:
        body["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        body["tool_calls"] = [_encode_call(call) for call in message.tool_calls]
    return body


def decode_message(body: Mapping[str, Any]) -> Message:
    return Message(
        role=body["role"],
        text=body["text"],
        reasoning=tuple(Reasoning(block["text"], block["opaque"]) for block in body.get("reasoning", ())),
        tool_calls=tuple(
            ToolCall(call["id"], call["name"], call["arguments"], call.get("malformed", ""))
            for call in body.get("tool_calls", ())
        ),
        tool_call_id=body.get("tool_call_id", ""),
        is_error=body.get("is_error", False),
        images=tuple(Image(image["data"], image["type"]) for image in body.get("images", ())),
    )


def encode_system(text: str) -> dict[str, Any]:
    return {"role": "system", "text": text}


def encode_tools(tools: Sequence[Tool]) -> dict[str, Any]:
    return {
        "tools": [
            {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)} for tool in tools
        ]
    }


def decode_tools(body: Mapping[str, Any]) -> tuple[Tool, ...]:
    return tuple(Tool(tool["name"], tool["description"], tool["parameters"]) for tool in body["tools"])


def encode_usage(usage: Usage) -> dict[str, int]:
    return {name: count for name, count in vars(usage).items() if count}


def decode_usage(body: Mapping[str, int]) -> Usage:
    counts = {name: count for name, count in body.items() if name != "estimated"}
    return Usage(**counts, estimated=bool(body.get("estimated")))


def decode_completion(message: Mapping[str, Any], step: Mapping[str, Any]) -> Completion:
    """A completion from its message's body and the data of its model-call step."""
    return Completion(decode_message(message), step["stop_reason"], decode_usage(step["usage"]), step["error"])


def completion_text(completion: Completion) -> str:
    """What full-text search finds of a model's answer: reasoning, text, tool calls, and the provider's words if it refused."""
    parts = [completion.reasoning, completion.text]
    parts += [f"{call.name} {call.malformed or _plain(call.arguments)}" for call in completion.tool_calls]
    parts.append(completion.error)
    return "\n".join(part for part in parts if part)


def _plain(arguments: Mapping[str, Any]) -> str:
    # Not JSON: its escapes (\n inside a command) would glue words together for the full-text index.
    return " ".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, default=str)}"
        for name, value in arguments.items()
    )


def _encode_call(call: ToolCall) -> dict[str, Any]:
    malformed = {"malformed": call.malformed} if call.malformed else {}
    return {"arguments": dict(call.arguments), "id": call.id, **malformed, "name": call.name}
