"""The chunks of a Chat Completions stream as the answer that they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lorimer.models.failing.inside import BROKEN
from lorimer.models.streams.events import OVER
from lorimer.models.streams.merging import joined, letters, merged


class ChatAnswer:
    """Only the first choice counts: lorimer asks for no other."""

    def __init__(self) -> None:
        self._fields: dict[str, list[Any]] = {}
        """The fragments of each field of the message."""
        self._calls: list[dict[str, Any]] = []
        self._choice: dict[str, Any] | None = None
        self._rest: dict[str, Any] = {}
        self._failure: Any = None
        self._over = False

    @property
    def complete(self) -> bool:
        """See Assembler. The usage may still follow; where the stream is over, an answer needs no reason to end."""
        if self._failure is not None:
            return True
        return self._choice is not None and (self._over or bool(self._choice.get("finish_reason")))

    def take(self, name: str, data: Mapping[str, Any]) -> int:
        """See Assembler."""
        if name == OVER:
            self._over = True
            return 0
        choice = _first(data.get("choices"))
        error = data.get("error") or (data if name == "error" else None)
        if error and (choice is None or str(choice.get("finish_reason")).lower() in BROKEN):
            self._failure = error
            return 0
        self._rest |= {key: value for key, value in data.items() if key != "choices" and value is not None}
        if choice is None:
            return 0
        self._choice = self._choice or {}
        self._choice |= {key: value for key, value in choice.items() if key not in _NO_PART and value is not None}
        delta = choice.get("delta")
        if delta is None and not self._fields:
            # Some servers send an answer whole, as the one chunk of a stream.
            delta = choice.get("message")
        if not isinstance(delta, Mapping):
            return 0
        for fragment in _mappings(delta.get("tool_calls")):
            self._call(fragment)
        for key, value in delta.items():
            if key != "tool_calls" and value is not None:
                self._fields.setdefault(key, []).append(value)
        return letters(delta)

    def whole(self) -> dict[str, Any]:
        """See Assembler."""
        if self._failure is not None:
            return {"error": self._failure, "usage": self._rest.get("usage")}
        said = {key: joined(fragments, key) for key, fragments in self._fields.items() if key != "content"}
        message = {"role": "assistant", **said, "content": _content(self._fields.get("content", []))}
        if self._calls:
            message["tool_calls"] = [
                {key: value for key, value in call.items() if key != "index"} for call in self._calls
            ]
        return {**self._rest, "choices": [{**(self._choice or {}), "index": 0, "message": message}]}

    def _call(self, fragment: Mapping[str, Any]) -> None:
        """A fragment of a call goes to the call of its number, or to the last one where it has none.

        Gemini numbers all of its calls 0: one that has an id of its own and a name begins a new one.
        """
        number, own, function = fragment.get("index"), fragment.get("id"), fragment.get("function")
        named = bool(isinstance(function, Mapping) and function.get("name"))
        same = [call for call in self._calls if number is None or call.get("index") == number]
        there = same[-1] if same else None
        if there is not None and named and own and own != there.get("id", own):
            there = None
        if there is not None and named and number is None and not own:
            there = None  # neither an id nor a number: each name is a call
        if there is None:
            self._calls.append(dict(fragment))
        else:
            there.update(merged(there, fragment))


_NO_PART = frozenset(("delta", "message", "index", "logprobs"))


def _first(choices: Any) -> Mapping[str, Any] | None:
    return next((choice for choice in _mappings(choices) if choice.get("index") in (None, 0)), None)


def _mappings(given: Any) -> list[Mapping[str, Any]]:
    return [item for item in given if isinstance(item, Mapping)] if isinstance(given, list) else []


def _content(fragments: list[Any]) -> Any:
    """Text goes on; Mistral's reasoning models mix it with lists of parts."""
    if all(isinstance(fragment, str) for fragment in fragments):
        return "".join(fragments) if fragments else None
    return [part for fragment in fragments for part in _parts(fragment)]


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
