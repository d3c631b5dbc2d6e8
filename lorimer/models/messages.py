"""What the dialects share: conversations made acceptable to strict servers, and tool arguments read with suspicion."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lorimer.harness.api import Image, Message, Reasoning, StopReason, ToolCall, user
from lorimer.models.base import ModelRequest

MALFORMED = "malformed_arguments"
"""The key under which a model's unreadable arguments go back to it: every API and most chat templates want an object there."""

_SHOWN = "What the tool showed:"


def normalised(messages: Sequence[Message]) -> list[Message]:
    """No empty turns, and no two user or two assistant messages in a row: many chat templates refuse both.

    An empty assistant message (a model that said nothing) is left out with its reasoning; its neighbours are merged.
    """
    result: list[Message] = []
    for message in messages:
        says = message.text.strip() or message.tool_calls or message.images
        if message.role in ("user", "assistant", "system") and not says:
            continue
        last = result[-1] if result else None
        if last is None or last.role != message.role or message.role == "tool":
            result.append(message)
        else:
            result[-1] = replace(
                last,
                text="\n\n".join(text for text in (last.text, message.text) if text),
                tool_calls=last.tool_calls + message.tool_calls,
                reasoning=last.reasoning + message.reasoning,
                images=last.images + message.images,
            )
    return result


def shown_by_user(messages: Sequence[Message]) -> list[Message]:
    """The pictures of tools' results moved into a message of the user after them, for APIs whose tools answer in text alone."""
    result: list[Message] = []
    waiting: tuple[Image, ...] = ()
    for message in messages:
        if waiting and message.role != "tool":
            result.append(user(_SHOWN, waiting))
            waiting = ()
        if message.role == "tool" and message.images:
            waiting += message.images
            message = replace(message, images=())
        result.append(message)
    return [*result, user(_SHOWN, waiting)] if waiting else result


def in_effect(request: ModelRequest, most: int) -> ModelRequest:
    """What a harness asks for, as it takes effect.

    Providers take the system prompt apart from the conversation; a harness may put it in either place. A choice of tools that
    leaves the model as free as no choice counts as no choice.

    Args:
        request: as the harness made it: its messages may hold system messages.
        most: the most output tokens that a call may have. A request that names no number names none afterwards.
    """
    said = [message.text for message in request.messages if message.role == "system"]
    parts = [request.system, *said] if request.system else said
    free = request.tool_choice == "auto" or not request.tools
    return replace(
        request,
        messages=tuple(message for message in request.messages if message.role != "system"),
        system="\n\n".join(parts) or None,
        max_tokens=min(request.max_tokens, most) if request.max_tokens else None,
        tool_choice=None if free else request.tool_choice,
    )


def parsed_call(call_id: str, name: str, arguments: object) -> ToolCall:
    """A tool call from what a provider sent as its arguments: JSON text, or an object already."""
    if isinstance(arguments, Mapping):
        return ToolCall(call_id, name, dict(arguments))
    text = arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)
    if not text.strip():
        return ToolCall(call_id, name)
    try:
        # `NaN` and `Infinity` are Python's, not JSON's; no API would take them back.
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return ToolCall(call_id, name, malformed=text)
    return ToolCall(call_id, name, value)


def why_stopped(*, refusal: str, cut: bool, calls: Sequence[ToolCall], stopped: bool) -> StopReason:
    """Why an answer ended, for OpenAI's dialects, whose own word does not tell a stop sequence from the end.

    A refusal comes first, as nothing else in such an answer is to be trusted; then `cut`, for a cut call is no call.
    """
    if refusal:
        return "refusal"
    if cut:
        return "max_tokens"
    if calls:
        return "tool_calls"
    return "stop" if stopped else "end"


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def sent_arguments(call: ToolCall) -> dict[str, Any]:
    """A call's arguments as they go back to the model."""
    return {MALFORMED: call.malformed} if call.malformed else dict(call.arguments)


def sent_arguments_text(call: ToolCall) -> str:
    """The same as JSON text. Raises ValueError for NaN, which strict servers cannot read."""
    return json.dumps(sent_arguments(call), ensure_ascii=False, allow_nan=False)


def kept(api: str, content: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> tuple[Reasoning, ...]:
    """Reasoning blocks of a reply, the first of which keeps the reply's whole content in the provider's own form.

    The whole, because the order of reasoning, text and calls matters to the provider and a Message does not hold it.
    """
    if not texts:
        return ()
    opaque = {"api": api, "content": [dict(item) for item in content]}
    return (Reasoning(texts[0], opaque), *(Reasoning(text) for text in texts[1:]))


def adds_fields(content: Sequence[Mapping[str, Any]], known: Mapping[str, frozenset[str]]) -> bool:
    """Whether a provider added something of its own to a reply's items, which it may want back.

    Args:
        known: an API's own fields of each type of item; other types are not looked at.
    """
    return any(
        value not in (None, "", [], {}) and name not in fields
        for item in content
        if (fields := known.get(str(item.get("type")))) is not None
        for name, value in item.items()
    )


def original(
    message: Message,
    api: str,
    allowed: frozenset[str],
    reasoning: frozenset[str],
    read: Callable[[Sequence[Mapping[str, Any]]], tuple[str, tuple[ToolCall, ...]]],
) -> tuple[list[dict[str, Any]] | None, list[dict[str, Any]]]:
    """The provider's own form of an assistant message, for the provider it came from.

    Returns (the whole content, or `None` when the harness has edited the message since; its reasoning items alone).
    A harness could have written anything there, so only items of an `allowed` type are taken.
    """
    content: list[dict[str, Any]] = []
    for block in message.reasoning:
        if block.opaque.get("api") == api and isinstance(block.opaque.get("content"), list | tuple):
            content += [
                dict(item)
                for item in block.opaque["content"]
                if isinstance(item, Mapping) and isinstance(item.get("type"), str) and item["type"] in allowed
            ]
    whole = bool(content) and read(content) == (message.text, message.tool_calls)
    return (content if whole else None), [item for item in content if item["type"] in reasoning]


_THOUGHTS = (
    re.compile(
        r"\s*<(think|thinking|thought|thoughts|reasoning|reason|seed:think)>(?P<said>.*?)(?:</\1>|\Z)", re.DOTALL
    ),
    re.compile(r"\s*\[THINK\](?P<said>.*?)(?:\[/THINK\]|\Z)", re.DOTALL),
    re.compile(r"\s*\u25c1think\u25b7(?P<said>.*?)(?:\u25c1/think\u25b7|\Z)", re.DOTALL),
    re.compile(
        r"\s*(?:<\|start\|>assistant)?<\|channel\|>analysis<\|message\|>(?P<said>.*?)"
        r"(?:<\|end\|>(?:<\|start\|>assistant)?(?:<\|channel\|>final<\|message\|>)?|\Z)",
        re.DOTALL,
    ),
)
"""How models write their thoughts where the server does not take them out: Qwen, DeepSeek and their like, Seed-OSS; Mistral;
Kimi; gpt-oss. Thoughts without an end were cut in the middle, and nothing after them was said."""
_CLOSED = re.compile(r"(?P<said>(?:(?!<think>).)*?)(?:^|\n)[ \t]*</think>[ \t]*(?:\n|\Z)", re.DOTALL)
"""Templates that open the thoughts themselves (DeepSeek R1, QwQ) leave their end alone in the answer, on a line of its own."""


def split_thoughts(text: str) -> tuple[str, tuple[Reasoning, ...]]:
    """A text without the thoughts that stand at its start, and those thoughts as a reasoning block, if there are any.

    A command that a model only thinks of is not given, and what it thinks is no part of its answer.
    """
    thoughts: list[str] = []
    found = next((match for form in (*_THOUGHTS, _CLOSED) if (match := form.match(text))), None)
    while found is not None:
        thoughts.append(found["said"].strip())
        text = text[found.end() :].lstrip()
        found = next((match for form in _THOUGHTS if (match := form.match(text))), None)
    joined = "\n".join(thought for thought in thoughts if thought)
    return text, (Reasoning(joined),) if joined else ()


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """`text` up to the first stop sequence, for an API that has no such parameter; and whether there was one."""
    ends = [at for sequence in stop if sequence and (at := text.find(sequence)) >= 0]
    return (text[: min(ends)], True) if ends else (text, False)


def encodable(body: Any) -> Any:
    """`body` with lone surrogates replaced, which no JSON over UTF-8 can carry.

    Raises ValueError or RecursionError for what is not JSON at all (NaN, endless nesting).
    """
    text = json.dumps(body, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.loads(text.encode("utf-8", "replace"))
    return body
