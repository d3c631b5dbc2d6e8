"""The events of an Anthropic Messages stream as the message that they make."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lorimer.models.streams.merging import joined, letters

_OF_DELTA = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "tool_use"}
"""Which block a delta belongs to, where a server announced none."""


class MessagesAnswer:
    """Blocks by number; what a server adds to the API's own is kept."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, list[str]] = {}
        self._added: dict[int, dict[str, list[Any]]] = {}
        """The fragments of each field of a block."""
        self._failure: Any = None

    @property
    def complete(self) -> bool:
        """See Assembler."""
        return self._failure is not None or bool(self._message.get("stop_reason"))

    def take(self, name: str, data: Mapping[str, Any]) -> int:
        """See Assembler."""
        kind = data.get("type") or name
        number = data.get("index")
        number = number if isinstance(number, int) else max(self._blocks, default=0)
        if kind == "error" or (data.get("error") and "type" not in data):
            self._failure = data.get("error") or data
        elif kind == "message_start":
            self._begin(_mapping(data.get("message")))
        elif kind == "content_block_start":
            block = _mapping(data.get("content_block"))
            self._blocks[number] = dict(block)
            return letters({key: value for key, value in block.items() if key != "signature"})
        elif kind == "content_block_delta":
            return self._delta(number, _mapping(data.get("delta")))
        elif kind == "message_delta":
            self._message |= {key: value for key, value in _mapping(data.get("delta")).items() if value is not None}
            self._count(data.get("usage"))
        return 0

    def whole(self) -> dict[str, Any]:
        """See Assembler."""
        if self._failure is not None:
            return {"error": self._failure, "usage": self._usage}
        blocks = []
        for number in sorted(self._blocks):
            block = dict(self._blocks[number])
            for key, fragments in self._added.get(number, {}).items():
                first = [block[key]] if block.get(key) is not None else []
                block[key] = joined([*first, *fragments], key)
            if number in self._inputs:
                block["input"] = _input("".join(self._inputs[number]))
            blocks.append(block)
        return {**self._message, "content": blocks, "usage": self._usage}

    def _begin(self, message: Mapping[str, Any]) -> None:
        self._message |= {key: value for key, value in message.items() if key not in ("content", "usage")}
        self._count(message.get("usage"))
        content = message.get("content")
        for number, block in enumerate(content if isinstance(content, list) else ()):
            self._blocks[number] = dict(_mapping(block))

    def _delta(self, number: int, delta: Mapping[str, Any]) -> int:
        kind = str(delta.get("type"))
        block = self._blocks.setdefault(number, {"type": _OF_DELTA.get(kind, "text")})
        said = {key: value for key, value in delta.items() if key != "type"}
        if kind == "input_json_delta":
            self._inputs.setdefault(number, []).append(str(said.get("partial_json") or ""))
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), said.get("citation")]
        else:
            for key, value in said.items():
                if value is not None:
                    self._added.setdefault(number, {}).setdefault(key, []).append(value)
        return letters(said)

    def _count(self, usage: Any) -> None:
        """The counts at the end are of the whole answer, and need not repeat those of the beginning."""
        self._usage |= {key: value for key, value in _mapping(usage).items() if value is not None}


def _mapping(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def _input(text: str) -> Any:
    """A call's arguments; as text, where they are no JSON or were cut."""
    if not text.strip():
        return {}
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
