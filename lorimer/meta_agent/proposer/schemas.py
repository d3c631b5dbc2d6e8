"""JSON schemas of the tools' arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lorimer.harness.api import Tool


def object_schema(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def integer(description: str) -> dict[str, Any]:
    return {"type": "integer", "description": description}


def string(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def strings(description: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": description}


SPARED = frozenset({"cause", "mechanism", "kind", "about", "offset", "limit"})
"""Arguments that a tool is not offered with in a small context."""


def briefly(tool: Tool) -> Tool:
    """A tool for a small context: without the arguments that can be spared, and the optional ones not explained."""
    for name in SPARED & tool.parameters["properties"].keys():
        tool = without(tool, name)
    schema = dict(tool.parameters)
    needed = schema["required"]
    properties = {
        name: each if name in needed else {key: value for key, value in each.items() if key != "description"}
        for name, each in schema["properties"].items()
    }
    return replace(tool, parameters={**schema, "properties": properties})


def without(tool: Tool, argument: str) -> Tool:
    """A tool that does not take an argument, if it took it."""
    schema = dict(tool.parameters)
    properties = {name: each for name, each in schema["properties"].items() if name != argument}
    required = [name for name in schema["required"] if name != argument]
    return replace(tool, parameters={**schema, "properties": properties, "required": required})
