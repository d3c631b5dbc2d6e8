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


def briefly(tool: Tool) -> Tool:
    """A tool whose optional arguments are not explained, for a small context: their names say enough."""
    schema = dict(tool.parameters)
    needed = schema["required"]
    properties = {
        name: each if name in needed else {key: value for key, value in each.items() if key != "description"}
        for name, each in schema["properties"].items()
    }
    return replace(tool, parameters={**schema, "properties": properties})
