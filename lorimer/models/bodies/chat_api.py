"""Bodies of Chat Completions (POST /chat/completions), of OpenAI and of the servers that are compatible with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lorimer.harness.api import Completion, Message, Usage, assistant
from lorimer.models import forms
from lorimer.models.base import ModelRequest
from lorimer.models.bodies.settings import Optional, Served, count
from lorimer.models.messages import (
    cut_at_stop,
    normalised,
    parsed_call,
    sent_arguments_text,
    shown_by_user,
    split_thoughts,
    why_stopped,
)
from lorimer.models.own_fields import THOUGHTS, kept, put_back

OPTIONAL: Mapping[str, Optional] = {
    "temperature": Optional("temperature", r"temperature"),
    "effort": Optional("reasoning_effort", r"reasoning[_ ]effort"),
    "stop": Optional("stop", r"\bstop\b"),
    forms.SCHEMA: Optional("response_format", r"response_format|response format|json_schema|structured output"),
    forms.CHOICE: Optional("tool_choice", r"tool_choice"),
    forms.IMAGES: Optional("messages", part="image_url", refused=forms.NO_IMAGES),
    # Without one, the other is sent.
    "max_completion_tokens": Optional("max_completion_tokens", r"max_completion_tokens"),
    "max_tokens": Optional("max_tokens", r"max_tokens"),
    # Without it the usage of a stream is estimated.
    "stream_options": Optional("stream_options", r"stream_options|include_usage"),
}

_FILTERED = frozenset({"content_filter", "sensitive", "safety", "prohibited_content", "blocklist", "SAFETY"})
"""How servers say that their filter stopped an answer: OpenAI's word, Zhipu's, and those of Gemini behind gateways."""


def encode(
    served: Served,
    request: ModelRequest,
    dropped: frozenset[str],
    *,
    stream: bool = False,
    untaken: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The request body.

    Args:
        untaken: fields of the provider's own that it does not take back.
    """
    request = forms.said(request, dropped)
    body: dict[str, Any] = {"model": served.model, "messages": messages(served, request, untaken)}
    if stream:
        body["stream"] = True
        if "stream_options" not in dropped:
            body["stream_options"] = {"include_usage": True}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in request.tools
        ]
    if (choice := forms.chosen(request, dropped)) is not None:
        named = choice not in ("auto", "required", "none")
        body["tool_choice"] = {"type": "function", "function": {"name": choice}} if named else choice
    if request.schema is not None and forms.SCHEMA not in dropped:
        schema = dict(request.schema)
        form = {"name": forms.NAME, "schema": schema, "strict": forms.is_strict(schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    # OpenAI's reasoning models refuse `max_tokens`; many compatible servers ignore the newer name.
    names = ("max_completion_tokens", "max_tokens")
    preferred, other = names if served.official else reversed(names)
    body[other if preferred in dropped else preferred] = request.max_tokens or served.max_tokens
    if request.stop and "stop" not in dropped:
        body["stop"] = list(request.stop)
    if request.temperature is not None and "temperature" not in dropped:
        body["temperature"] = request.temperature
    if request.effort is not None and served.official and "effort" not in dropped:
        body["reasoning_effort"] = request.effort
    body.update(served.extra)
    return body


def messages(served: Served, request: ModelRequest, untaken: frozenset[str]) -> list[dict[str, Any]]:
    """A conversation as it is sent."""
    system = [{"role": "system", "content": request.system}] if request.system else []
    shown = normalised(shown_by_user(request.messages))
    return system + [_message(served, message, untaken) for message in shown]


def _message(served: Served, message: Message, untaken: frozenset[str]) -> dict[str, Any]:
    if message.role == "tool":
        # Chat has no flag for a failed tool; harnesses say so in the text.
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    if message.role != "assistant":
        return {"role": message.role, "content": _content(message)}
    sent: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    if message.tool_calls:
        sent["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": sent_arguments_text(call)},
            }
            for call in message.tool_calls
        ]
    put_back(sent, message, served.provider, thoughts=served.thoughts, without=untaken)
    return sent


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A text, or parts where there are pictures: these first, as Anthropic advises for its own API."""
    if not message.images:
        return message.text
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": f"data:{image.type};base64,{image.data}"}}
        for image in message.images
    ]
    return [*parts, {"type": "text", "text": message.text}] if message.text.strip() else parts


def decode(served: Served, data: Mapping[str, Any], request: ModelRequest) -> Completion:
    """An answer in lorimer's words, with 0 for what was not counted. Raises KeyError, IndexError where there is no message."""
    choice = data["choices"][0]
    message = choice["message"]
    text, inline = split_thoughts(_text(message.get("content")))
    calls = tuple(
        # Some servers leave the id out. This one is unique in the conversation, and the same in a replay.
        parsed_call(
            call.get("id") or f"call_{len(request.messages)}_{index}",
            call["function"].get("name") or "",
            call["function"].get("arguments"),
        )
        for index, call in enumerate(message.get("tool_calls") or ())
    )
    thoughts = next((said for name in THOUGHTS if isinstance(said := message.get(name), str)), "")
    text, stopped = cut_at_stop(text, request.stop)
    stopped = stopped or (isinstance(choice.get("stop_reason"), str) and choice["stop_reason"] in request.stop)
    refusal = message.get("refusal") or ""
    if choice.get("finish_reason") in _FILTERED:
        refusal = refusal or "the provider's content filter stopped the answer"
    stop_reason = why_stopped(
        refusal=refusal, cut=choice.get("finish_reason") == "length", calls=calls, stopped=stopped
    )
    own = kept(served.provider, message, thoughts)
    said = assistant(text, calls, (*own, *inline))
    return Completion(said, stop_reason, usage_of(data), refusal)


def _text(content: Any) -> str:
    """Content is a string, nothing, or a list of parts of which the text ones count."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
    return "".join(part for part in parts if isinstance(part, str))


def usage_of(data: Mapping[str, Any]) -> Usage:
    """What a reply counts, 0 for what it does not."""
    usage = data.get("usage")
    given, taken, total = (count(usage, f"{what}_tokens") for what in ("prompt", "completion", "total"))
    return Usage(
        # Some servers count the whole and one side. Others (xAI, Gemini) leave reasoning out of what was completed, and bill it:
        # it is in the whole alone.
        input_tokens=given or _rest(total, taken),
        output_tokens=max(taken, _rest(total, given)),
        cached_tokens=count(usage, "prompt_tokens_details", "cached_tokens") or count(usage, "prompt_cache_hit_tokens"),
        cache_write_tokens=count(usage, "prompt_tokens_details", "cache_write_tokens"),
        reasoning_tokens=count(usage, "completion_tokens_details", "reasoning_tokens"),
    )


def _rest(total: int, side: int) -> int:
    """What the total leaves for the other side; 0 where one of the two was not counted."""
    return max(0, total - side) if side else 0
