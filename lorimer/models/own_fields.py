"""What a Chat Completions provider added to its answer, for that provider alone.

DeepSeek and Kimi want their `reasoning_content` back, Gemini the `extra_content` beside each of its tool calls, OpenRouter its
`reasoning_details`; others will have theirs. So whatever stands in a reply's message or in its calls and is not the API's own is
kept with the message, in a reasoning block's `opaque`, and goes back to the provider of the same name. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lorimer.harness.api import Message, Reasoning

_MESSAGE = frozenset(
    ("role", "content", "refusal", "tool_calls", "function_call", "audio", "annotations", "name", "tool_call_id")
)
"""The API's own fields of a message: read by the dialect, or never sent by a client."""
_CALL, _FUNCTION = frozenset(("id", "type", "function", "index")), frozenset(("name", "arguments"))
THOUGHTS = ("reasoning_content", "reasoning")
"""Where servers put a model's thoughts as text. Those before a call go back, the others only to providers that ask for them."""

_WANTED = re.compile(
    r"reasoning(?:_content)?\b.{0,120}\b(?:must|missing|required|need|pass(?:ed)? back|provided)"
    r"|\b(?:must|missing|required|need|pass(?:ed)? back)\b.{0,120}\breasoning_content\b",
    re.IGNORECASE | re.DOTALL,
)
"""How servers ask for thoughts that were left out: DeepSeek ("must be passed back"), Kimi ("is missing in assistant …")."""
_REFUSED = re.compile(
    r"unsupported|not support|n.t support|unrecogni[sz]ed|unknown|unexpected|extra (?:inputs|fields)|not (?:permitted|allowed)"
    r"|invalid",
    re.IGNORECASE,
)


def kept(provider: str, message: Mapping[str, Any], thoughts: str) -> tuple[Reasoning, ...]:
    """The reasoning block of a reply's message: its thoughts, and the provider's own fields; none where there are neither.

    Args:
        provider: the name of the provider, to which alone they go back.
        message: the reply's message, as it came.
        thoughts: its thoughts as text.
    """
    given = message.get("tool_calls")
    calls = [_own(call) for call in given if isinstance(call, Mapping)] if isinstance(given, Sequence) else []
    fields = {name: value for name, value in _filled(message, _MESSAGE) if name not in THOUGHTS}
    field = next((name for name in THOUGHTS if isinstance(message.get(name), str)), "")
    opaque: dict[str, Any] = {"api": "chat", "provider": provider}
    opaque |= {"field": field} if field else {}
    opaque |= {"message": fields} if fields else {}
    opaque |= {"calls": calls} if any(calls) else {}
    if len(opaque) > 2:
        return (Reasoning(thoughts, opaque),)
    return (Reasoning(thoughts),) if thoughts else ()


def put_back(sent: dict[str, Any], message: Message, provider: str, *, thoughts: bool, without: frozenset[str]) -> None:
    """Add to an assistant message that is to be sent what its provider added when it said it.

    A harness could have written anything there: fields of the API itself are never taken from it.

    Args:
        sent: the message in the API's form, changed in place.
        thoughts: whether its thoughts go back in any case; those before a call do, where they came as `reasoning_content`.
        without: fields that the provider does not take.
    """
    blocks = [block.opaque for block in message.reasoning if block.opaque.get("api") == "chat"]
    mine = [opaque for opaque in blocks if opaque.get("provider") == provider]
    calls = sent.get("tool_calls", [])
    place = 0
    for opaque in mine:
        fields = opaque.get("message")
        if isinstance(fields, Mapping):
            sent.update(_allowed(fields, _MESSAGE | without | {*THOUGHTS}))
        added = opaque.get("calls")
        for own in added if isinstance(added, Sequence) else ():
            if isinstance(own, Mapping) and place < len(calls):
                calls[place].update(_allowed(own, _CALL | without))
                inner = own.get("function")
                if isinstance(inner, Mapping):
                    calls[place]["function"].update(_allowed(inner, _FUNCTION | without))
            place += 1
    said = "\n".join(block.text for block in message.reasoning if block.text)
    field = next((name for opaque in mine if (name := opaque.get("field")) in THOUGHTS), THOUGHTS[0])
    # Between two calls a model goes on with its thoughts, and DeepSeek takes no call without them.
    due = bool(message.tool_calls) and any(opaque.get("field") == THOUGHTS[0] for opaque in mine)
    if (thoughts or due) and said and field not in without:
        sent[field] = said


def wants_thoughts(words: str) -> bool:
    """Whether a provider's words ask for thoughts that a request left out."""
    return _WANTED.search(words) is not None


def refused(words: str, body: Mapping[str, Any]) -> frozenset[str]:
    """The provider's own fields in a body that its words say it does not take."""
    if not _REFUSED.search(words):
        return frozenset()
    there: set[str] = set()
    for message in body["messages"]:
        there |= message.keys() - _MESSAGE
        for call in message.get("tool_calls", ()):
            there |= (call.keys() - _CALL) | (call["function"].keys() - _FUNCTION)
    return frozenset(name for name in there if re.search(rf"\b{re.escape(name)}\b", words))


def _own(call: Mapping[str, Any]) -> dict[str, Any]:
    own = dict(_filled(call, _CALL))
    inner = call.get("function")
    fields = dict(_filled(inner, _FUNCTION)) if isinstance(inner, Mapping) else {}
    return own | ({"function": fields} if fields else {})


def _filled(given: Mapping[str, Any], known: frozenset[str]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in given.items() if name not in known and value not in (None, "", [], {}))


def _allowed(fields: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if isinstance(name, str) and name not in known}
