"""How the meta model is asked for its next call: natively, or by a JSON Schema where it makes no native calls.

Small local models write calls into their text, with quotes that break JSON, or write about them. Held to a schema by their server
they make calls that can be read. Who has ever called natively is never asked otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lorimer.harness.api import Completion, Message, Tool
from lorimer.models.abilities import Abilities
from lorimer.models.base import ModelRequest
from lorimer.models.failing.failures import takes_no_tools

WORDS = 2
"""Answers without any call after which a model that has made none is asked by a schema; the first may be a remark."""


class SessionRequests:
    """Makes the requests of one session.

    Args:
        tools: those of the session.
        abilities: what a probe has found of the server; `None` where nobody has asked.
    """

    def __init__(self, tools: Sequence[Tool], abilities: Abilities | None) -> None:
        self._tools = tuple(tools)
        known = abilities or Abilities()
        self._may = known.schema not in ("ignored", "refused")
        self.by_schema = self._may and known.calls_natively is False
        """Whether the next request asks by a schema."""
        self._native = False
        self._words = 0

    def request(self, messages: tuple[Message, ...], system: str, max_tokens: int, *, only: str = "") -> ModelRequest:
        """The next request.

        Args:
            only: the one tool that its schema has, where it asks by one; all tools where none is named.
        """
        if not self.by_schema:
            return ModelRequest(messages, system, self._tools, max_tokens=max_tokens)
        # All of them are described whatever the schema has: a prompt that stays the same is read from the server's cache.
        held = [tool for tool in self._tools if only in ("", tool.name)]
        return ModelRequest(messages, f"{system}\n\n{_described(self._tools)}", (), max_tokens, schema=schema_of(held))

    def heard(self, completion: Completion, *, called: bool) -> None:
        """An answer came.

        Args:
            called: whether a call was read from it, natively or in its text.
        """
        if completion.tool_calls:
            self._native = True
        elif not self._native and self._may:
            self._words += 1
            self.by_schema = self.by_schema or called or self._words >= WORDS

    def refused(self, words: str) -> bool:
        """Whether a refusal's words say that the server takes no tools, so that it is worth asking by a schema from now on."""
        if self.by_schema or not self._may or not takes_no_tools(words):
            return False
        self.by_schema = True
        return True


def schema_of(tools: Sequence[Tool]) -> Mapping[str, Any]:
    """One call of one of the tools: its name, and its own arguments."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {"tool": {"type": "string", "const": tool.name}, "arguments": dict(tool.parameters)},
                "required": ["tool", "arguments"],
                "additionalProperties": False,
            }
            for tool in tools
        ]
    }


def _described(tools: Sequence[Tool]) -> str:
    lines = [
        'Answer with one JSON object: {"tool": "NAME", "arguments": {...}}. The tools and the schemas of their arguments:'
    ]
    lines += [f"- {tool.name}: {tool.description} {json.dumps(dict(tool.parameters))}" for tool in tools]
    return "\n".join(lines)
