"""Answers that a harness asked for in a form: read out of the model's text and checked against the JSON Schema, in the jail.

Whether a server held the model to the schema or the model was only told of it makes no difference here: every answer is read and
checked, so `parsed` is a value that fits or there is none. It is done beside the harness because the schema is the
harness's own: a pattern that takes for ever costs its trial time and nothing of lorimer's.

Of JSON Schema it knows `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, the bounds of numbers,
texts and lists, `pattern`, `anyOf`, `oneOf`, `allOf` and `$ref` within the schema; it passes over the rest. This module imports
the standard library and its neighbours alone: it is sent into the jail as it stands. Python 3.10 or newer.
"""

from __future__ import annotations

import dataclasses
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from lorimer.harness.api import Completion
from lorimer.harness.text import blocks, json_at

DEEPEST = 60
"""Levels of a value, and references in a row, that are followed. The wire takes values of 100."""
TRIED = 20
"""Objects in a text that are tried where the whole text is no value."""
SHOWN = 60
"""Characters of a value in a message."""
UNANSWERED = frozenset(("rejected", "refusal", "context_overflow"))
"""Stop reasons of answers that no model gave."""


def checked(completion: Completion, schema: Mapping[str, Any] | None, tool_choice: str | None) -> Completion:
    """The completion with `parsed`, or with `mismatch` where it is not what was asked for; it raises nothing."""
    if completion.stop_reason in UNANSWERED:
        return dataclasses.replace(completion, mismatch=f"there is no answer: {completion.error}")
    calls = [call.name for call in completion.tool_calls]
    if schema is not None and not (calls and not completion.text.strip()):
        value, wrong = read(completion.text, schema)
        if wrong and completion.stop_reason == "max_tokens":
            wrong = f"{wrong}; the answer was cut at max_tokens"
        return dataclasses.replace(completion, parsed=value, mismatch=wrong)
    wrong = ""
    if tool_choice == "required" and not calls:
        wrong = "the model called no tool, though one was required"
    elif tool_choice == "none" and calls:
        wrong = f"the model called {calls[0]}, though it was to call none"
    elif tool_choice not in (None, "auto", "required", "none") and tool_choice not in calls:
        wrong = f"the model did not call {tool_choice}, which was required"
    return dataclasses.replace(completion, mismatch=wrong)


def read(text: str, schema: Mapping[str, Any]) -> tuple[Any, str]:
    """The value in a text that fits the schema, and an empty text; else `None` and what is wrong, in one line."""
    first = ""
    for value in _values(text):
        wrong = misfit(value, schema)
        if not wrong:
            return value, ""
        first = first or wrong
    return None, first or "the answer holds no JSON"


def misfit(value: Any, schema: Any) -> str:
    """The first thing about a value that does not fit a schema, in one line; empty where it fits."""
    try:
        return next(_misfits(value, schema, schema, "answer", 0), "")
    except RecursionError:
        return "answer: nested too deeply"


def _values(text: str) -> Iterator[Any]:
    """What may be the value: the whole text, fenced blocks, then objects in between, mended where models write them wrongly."""
    for whole in (text, *(block.code for block in blocks(text))):
        try:
            yield json.loads(whole, strict=False)
        except (ValueError, RecursionError):
            continue
    end = 0
    for match in islice(re.finditer(r"\{", text), TRIED):
        if match.start() >= end:
            value, stop = json_at(text, match.start())
            if value is not None:
                end = stop
                yield value


def _misfits(value: Any, schema: Any, root: Any, path: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        yield f"{path}: nested too deeply"
        return
    if not isinstance(schema, Mapping):
        if schema is False:
            yield f"{path}: nothing may stand here"
        return
    if isinstance(reference := schema.get("$ref"), str):
        yield from _misfits(value, _referred(reference, root), root, path, depth + 1)
    kinds = schema.get("type")
    allowed = [kinds] if isinstance(kinds, str) else list(kinds) if isinstance(kinds, Sequence) else []
    if allowed and not any(_is(value, kind) for kind in allowed):
        yield f"{path}: {_shown(value)} is not of type {' or '.join(map(str, allowed))}"
        return
    if isinstance(schema.get("enum"), Sequence) and not any(_same(value, one) for one in schema["enum"]):
        yield f"{path}: {_shown(value)} is none of {_shown(list(schema['enum']))}"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{path}: {_shown(value)} is not {_shown(schema['const'])}"
    if isinstance(value, Mapping):
        yield from _of_object(value, schema, root, path, depth)
    elif isinstance(value, list):
        yield from _bounds(len(value), "items", schema.get("minItems"), schema.get("maxItems"), path)
        if "items" in schema:
            for index, item in enumerate(value):
                yield from _misfits(item, schema["items"], root, f"{path}[{index}]", depth + 1)
    elif isinstance(value, str):
        yield from _bounds(len(value), "characters", schema.get("minLength"), schema.get("maxLength"), path)
        if isinstance(pattern := schema.get("pattern"), str) and not _matches(pattern, value):
            yield f"{path}: {_shown(value)} does not match {pattern}"
    elif _is(value, "number"):
        yield from _of_number(value, schema, path)
    yield from _of_choices(value, schema, root, path, depth)


def _of_object(value: Mapping[str, Any], schema: Mapping[str, Any], root: Any, path: str, depth: int) -> Iterator[str]:
    properties = schema.get("properties")
    known: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    for name in required if isinstance(required, Sequence) else ():
        if isinstance(name, str) and name not in value:
            yield f"{path}.{name}: missing"
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in known:
            yield from _misfits(item, known[name], root, f"{path}.{name}", depth + 1)
        elif others is False:
            yield f"{path}.{name}: there is no such property"
        else:
            yield from _misfits(item, others, root, f"{path}.{name}", depth + 1)


def _of_number(value: float, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    tests: tuple[tuple[str, str, Callable[[float, float], bool]], ...] = (
        ("minimum", "at least", operator.ge),
        ("maximum", "at most", operator.le),
        ("exclusiveMinimum", "over", operator.gt),
        ("exclusiveMaximum", "under", operator.lt),
    )
    for name, words, holds in tests:
        bound: Any = schema.get(name)
        if _is(bound, "number") and not holds(value, bound):
            yield f"{path}: {value} is not {words} {bound}"


def _of_choices(value: Any, schema: Mapping[str, Any], root: Any, path: str, depth: int) -> Iterator[str]:
    def wrong(choice: Any) -> str:
        return next(_misfits(value, choice, root, path, depth + 1), "")

    for choice in schema["allOf"] if isinstance(schema.get("allOf"), list) else ():
        yield from _misfits(value, choice, root, path, depth + 1)
    for name in ("anyOf", "oneOf"):
        choices = schema.get(name)
        if not isinstance(choices, list) or not choices:
            continue
        found = [wrong(choice) for choice in choices]
        if all(found):
            yield f"{path}: fits none of {len(choices)} forms; of the first: {found[0]}"
        elif name == "oneOf" and found.count("") > 1:
            yield f"{path}: fits {found.count('')} forms where one alone is allowed"


def _bounds(count: int, what: str, least: Any, most: Any, path: str) -> Iterator[str]:
    if _is(least, "number") and count < least:
        yield f"{path}: {count} {what} where at least {least} are asked for"
    if _is(most, "number") and count > most:
        yield f"{path}: {count} {what} where at most {most} are allowed"


def _is(value: Any, kind: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "object": isinstance(value, Mapping),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "number": number,
        "integer": number and (isinstance(value, int) or value.is_integer()),
        "boolean": isinstance(value, bool),
        "null": value is None,
    }.get(str(kind), True)


def _same(value: Any, other: Any) -> bool:
    """JSON tells true from 1, and Python does not."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except (re.error, OverflowError):  # a form of JavaScript's that Python has not, or a count beyond all bounds
        return True


def _referred(reference: str, root: Any) -> Any:
    """What `#/$defs/name` names; anything fits what is not there."""
    if not reference.startswith("#"):
        return True
    found = root
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        found = found.get(key, True) if isinstance(found, Mapping) else True
    return found


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = str(type(value).__name__)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
