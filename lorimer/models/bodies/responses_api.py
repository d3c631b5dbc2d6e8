"""Bodies of OpenAI's Responses API (POST /responses)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lorimer.harness.api import Completion, Message, ToolCall, Usage, assistant
from lorimer.models import forms
from lorimer.models.base import ModelRequest
from lorimer.models.bodies.settings import Optional, Served, count
from lorimer.models.messages import (
    adds_fields,
    cut_at_stop,
    kept,
    normalised,
    original,
    parsed_call,
    sent_arguments_text,
    shown_by_user,
    split_thoughts,
    why_stopped,
)

API = "responses"
_REASONING = frozenset({"reasoning"})
_ITEMS = frozenset({"reasoning", "message", "function_call"})
_FIELDS: Mapping[str, frozenset[str]] = {
    "message": frozenset(("type", "id", "role", "content", "status")),
    "function_call": frozenset(("type", "id", "call_id", "name", "arguments", "status")),
}

OPTIONAL: Mapping[str, Optional] = {
    "temperature": Optional("temperature", r"temperature"),
    "effort": Optional("reasoning", r"reasoning[._ ]effort|'reasoning'"),
    forms.SCHEMA: Optional("text", r"text\.format|response_format|json_schema|structured output"),
    forms.CHOICE: Optional("tool_choice", r"tool_choice"),
    forms.IMAGES: Optional("input", part="input_image", refused=forms.NO_IMAGES),
    # Models without reasoning refuse to be asked for it.
    "include": Optional("include", r"encrypted[_ ]content|\binclude\b"),
}


def encode(served: Served, request: ModelRequest, dropped: frozenset[str], *, stream: bool = False) -> dict[str, Any]:
    """The request body."""
    request = forms.said(request, dropped)
    body: dict[str, Any] = {
        "model": served.model,
        "input": [item for message in normalised(shown_by_user(request.messages)) for item in _items(message)],
        "max_output_tokens": _limit(served, request),
        "store": False,
    }
    if "include" not in dropped:
        body["include"] = ["reasoning.encrypted_content"]
    if request.system:
        body["instructions"] = request.system
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
                # Strict mode wants every property required and no others: a harness's schema need not be so.
                "strict": False,
            }
            for tool in request.tools
        ]
    if (choice := forms.chosen(request, dropped)) is not None:
        named = choice not in ("auto", "required", "none")
        body["tool_choice"] = {"type": "function", "name": choice} if named else choice
    if request.schema is not None and forms.SCHEMA not in dropped:
        schema = dict(request.schema)
        form = {"type": "json_schema", "name": forms.NAME, "schema": schema, "strict": forms.is_strict(schema)}
        body["text"] = {"format": form}
    if request.temperature is not None and "temperature" not in dropped:
        body["temperature"] = request.temperature
    if request.effort is not None and "effort" not in dropped:
        body["reasoning"] = {"effort": request.effort}
    if stream:
        body["stream"] = True
    body.update(served.extra)
    return body


def decode(served: Served, data: Mapping[str, Any], request: ModelRequest) -> Completion:
    """An answer in lorimer's words, with 0 for what was not counted. Raises KeyError where it has no output."""
    output, tokens = data["output"], usage_of(data)
    said, calls = _read(output)
    text, inline = split_thoughts(said)
    # This API has no stop sequences: the text is cut here, as if it had.
    text, stopped = cut_at_stop(text, request.stop)
    refusal = _refusal(output)
    reason = (data.get("incomplete_details") or {}).get("reason")
    if reason == "content_filter":
        refusal = refusal or "the provider's content filter stopped the answer"
    # llama.cpp calls an answer that was cut complete; its length gives it away.
    cut = data.get("status") == "incomplete" or tokens.output_tokens >= _limit(served, request)
    stop_reason = why_stopped(refusal=refusal, cut=cut, calls=calls, stopped=stopped)
    thoughts = [_thought(item) for item in output if item.get("type") == "reasoning"]
    if not thoughts and adds_fields(output, _FIELDS):
        # Models that label their messages (`phase`) want the label back, reasoning or not.
        thoughts = [""]
    message = assistant(text, calls, (*kept(API, output, thoughts), *inline))
    return Completion(message, stop_reason, tokens, refusal)


def _limit(served: Served, request: ModelRequest) -> int:
    return request.max_tokens or served.max_tokens


def _items(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [{"type": "function_call_output", "call_id": message.tool_call_id, "output": message.text}]
    if message.role != "assistant":
        return [{"type": "message", "role": message.role, "content": _content(message)}]
    whole, reasoning = original(message, API, _ITEMS, _REASONING, _read)
    if whole is not None:
        return whole
    items = reasoning
    if message.text.strip():
        # llama.cpp knows an assistant's turn by its `type` alone, which OpenAI itself leaves optional.
        items.append({"type": "message", "role": "assistant", "content": message.text})
    items += [
        {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": sent_arguments_text(call),
        }
        for call in message.tool_calls
    ]
    return items


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    parts: list[dict[str, Any]] = [
        {"type": "input_image", "image_url": f"data:{image.type};base64,{image.data}"} for image in message.images
    ]
    return [*parts, {"type": "input_text", "text": message.text}] if message.text.strip() else parts


def _read(output: Sequence[Mapping[str, Any]]) -> tuple[str, tuple[ToolCall, ...]]:
    texts: list[str] = []
    calls: list[ToolCall] = []
    for item in output:
        if item.get("type") == "function_call":
            calls.append(parsed_call(str(item.get("call_id", "")), str(item.get("name", "")), item.get("arguments")))
        elif item.get("type") == "message":
            texts += [
                str(part.get("text", "")) for part in _parts(item, "content") if part.get("type") == "output_text"
            ]
    return "".join(texts), tuple(calls)


def _parts(item: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = item.get(key)
    return [part for part in found if isinstance(part, Mapping)] if isinstance(found, list | tuple) else []


def _refusal(output: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(
        str(part.get("refusal", ""))
        for item in output
        for part in _parts(item, "content")
        if part.get("type") == "refusal"
    )


def _thought(item: Mapping[str, Any]) -> str:
    return "\n".join(str(part.get("text", "")) for part in _parts(item, "summary") + _parts(item, "content"))


def usage_of(data: Mapping[str, Any]) -> Usage:
    """What a reply counts, 0 for what it does not."""
    usage = data.get("usage")
    return Usage(
        input_tokens=count(usage, "input_tokens"),
        output_tokens=count(usage, "output_tokens"),
        cached_tokens=count(usage, "input_tokens_details", "cached_tokens"),
        cache_write_tokens=count(usage, "input_tokens_details", "cache_write_tokens"),
        reasoning_tokens=count(usage, "output_tokens_details", "reasoning_tokens"),
    )
