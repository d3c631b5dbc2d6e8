"""What a request may ask for that servers lack: the form of an answer (`schema`, `tool_choice`) and pictures. Pure.

A server that refuses a form, or takes it and does not keep to it, is asked in words: `said` puts them into the system prompt, and
in place of a picture that it does not take, words that say there was one. Nothing is checked here; who asked for a form checks
what came (`harness.structured`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lorimer.harness.api import Completion, Message, ToolChoice
from lorimer.models.base import ModelNote, ModelRequest

SCHEMA, CHOICE, IMAGES = "schema", "tool_choice", "images"
"""Their names among a dialect's optional settings."""
ALL = frozenset({SCHEMA, CHOICE, IMAGES})

NO_IMAGES = re.compile(
    r"(?:image|vision|multi-?modal)\w*(?! ?(?:format|type|media|file|size|dimension))\b.{0,80}?"
    r"(?:not (?:support|enabl|allow|accept|available|permitted)\w*|unsupported|n't (?:support|accept)\w*|only supported by)"
    r"|(?:not|n't|cannot|never) (?:support|accept|have|handle)\w*\b.{0,40}\b(?:image|vision|multi-?modal)"
    r"|no endpoints found that support image|(?:unknown variant|unsupported (?:content|type)|invalid content type).{0,40}image"
    r"|at most 0 image|not a multi-?modal model|mmproj|data required for image",
    re.IGNORECASE,
)
"""How servers say that a model takes no pictures: OpenAI, Azure, vLLM, llama.cpp (500), Ollama, OpenRouter (404), DeepSeek."""

NAME = "answer"
"""What a schema is called where an API wants a name."""

_STRICT = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf"),
        *("$ref", "$defs", "definitions", "description", "title"),
    }
)
"""Keywords that strict modes take in every place. Others some models take and some refuse; the answer is checked anyway."""
_BOUNDS = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
        *("pattern", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    }
)
"""Keywords that Anthropic refuses in the schema of an answer (of minItems it takes 0 and 1)."""


def said(request: ModelRequest, dropped: frozenset[str]) -> ModelRequest:
    """The request, with those of its forms that are `dropped` put into words."""
    words = []
    if IMAGES in dropped and any(message.images for message in request.messages):
        request = replace(request, messages=tuple(map(_told, request.messages)))
    if request.schema is not None and SCHEMA in dropped:
        schema = json.dumps(dict(request.schema), ensure_ascii=False)
        words.append(
            f"Answer with one JSON value and nothing else: no words before or after it. Its JSON Schema:\n{schema}"
        )
    choice = request.tool_choice if request.tools and CHOICE in dropped else None
    if choice == "none":
        words.append("Call no tool in this answer.")
    elif choice == "required":
        words.append("Your answer must be a call of one of the tools.")
    elif choice not in (None, "auto"):
        words.append(f"Your answer must be a call of the tool {choice}.")
    return replace(request, system="\n\n".join([*filter(None, [request.system]), *words])) if words else request


def _told(message: Message) -> Message:
    """A message with words in place of its pictures."""
    words = [f"{image} (left out: this model takes no images)" for image in message.images]
    return replace(message, text="\n".join(filter(None, [message.text, *words])), images=())


def chosen(request: ModelRequest, dropped: frozenset[str]) -> ToolChoice | None:
    """The choice of a tool that is sent; `None` where none is."""
    return request.tool_choice if request.tools and CHOICE not in dropped else None


def forces(choice: ToolChoice | None) -> bool:
    """Whether a tool must be called."""
    return choice not in (None, "auto", "none")


def is_strict(schema: Any) -> bool:
    """Whether a strict mode takes a schema: objects have no other properties than those named, and all are required."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    if not schema.keys() <= _STRICT:
        return False
    properties = schema.get("properties", {})
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False or not isinstance(properties, Mapping):
            return False
        required = schema.get("required", [])
        if not isinstance(required, list) or sorted(map(str, required)) != sorted(properties):
            return False
    inner = [*(properties.values() if isinstance(properties, Mapping) else ())]
    for name in ("$defs", "definitions"):
        inner += schema[name].values() if isinstance(schema.get(name), Mapping) else ()
    inner += [schema[name] for name in ("items", "anyOf") if name in schema]
    return all(map(is_strict, inner))


def closed(schema: Any) -> Any:
    """A schema in the form that Anthropic takes: objects without other properties, no bounds. What fits it fits the given one,
    but for the bounds."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {}
    for name, value in schema.items():
        if name in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            made[name] = {key: closed(item) for key, item in value.items()}
        elif name in ("enum", "const", "default", "examples"):
            made[name] = value
        elif name == "oneOf":
            made["anyOf"] = closed(value)
        elif name not in _BOUNDS:
            made[name] = closed(value)
    if made.get("type") == "object" or "properties" in made:
        made["additionalProperties"] = False
    return made


_ABOUT_SCHEMA = re.compile(r"response_format|text\.format|output_config\.format|json_schema|\bschema\b", re.IGNORECASE)


def is_about(request: ModelRequest, words: str) -> bool:
    """Whether a refusal's words are about the schema of the answer: this schema is not taken, others may be."""
    tools = re.search(r"\btools?\b|\bfunctions?\b|input_schema", words, re.IGNORECASE)
    return request.schema is not None and _ABOUT_SCHEMA.search(words) is not None and tools is None


def ignores(request: ModelRequest, completion: Completion) -> bool:
    """Whether an answer shows that the server takes a schema and does not keep to it: it is whole, and no JSON."""
    if request.schema is None or completion.stop_reason != "end" or completion.tool_calls:
        return False
    try:
        json.loads(completion.text, strict=False)
    except (ValueError, RecursionError):
        return bool(completion.text.strip())
    return False


def note(model: str, name: str, how: str) -> ModelNote:
    """What the user is told of a setting that is put into words from now on.

    Args:
        name: SCHEMA, CHOICE or IMAGES.
        how: `refuses` or `ignores`.
    """
    if name == IMAGES:
        return ModelNote(name, f"{model} {how} images: each is left out, and the prompt says that there was one")
    what = "the JSON Schema of an answer" if name == SCHEMA else "the choice of a tool (tool_choice)"
    return ModelNote(name, f"{model} {how} {what}: it is said in the prompt instead, and answers are checked as before")
