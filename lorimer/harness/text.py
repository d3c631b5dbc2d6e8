"""Tool calls and code that a model wrote into its text, for harnesses to import.

Many local models, and servers that know no tools, never make a native call: the call stands in the text, in the form of
the model's own chat template or one that it half remembers. `text_calls` reads the forms in use:

- JSON: `{"name": "shell", "arguments": {…}}`, also with `parameters`, `args` or `input`, as `{"function": {…}}`, in lists, in
  fences, in the tags of Hermes and Qwen (`<tool_call>`), Llama (`<|python_tag|>`), Mistral (`[TOOL_CALLS]`) and Granite; with
  Python's quotes, doubled braces, raw line breaks, wrong escapes, a comma too many or braces missing at the end;
- a name before its JSON: Mistral (`[TOOL_CALLS]shell[ARGS]{…}`), DeepSeek, Kimi, gpt-oss (`to=functions.shell`), Llama
  (`<function=shell>{…}</function>`), ReAct (`Action:`, `Action Input:`);
- tags: Qwen3-Coder (`<function=shell><parameter=command>…`), Anthropic's and MiniMax's `<invoke>`, GLM's `<arg_key>`;
- Python: `shell(command="ls")`, alone on its line, in a list (Llama 4) or in a fence (Gemma);
- the arguments alone: `{"command": "ls"}`, where one tool alone takes them.

A tool's schema that the model repeats is no call. What reads fenced code (`fences`) is here by name too. This module imports the
standard library, `api` and `fences` alone: it is sent into the jail as it stands. Python 3.10 or newer. It raises nothing,
whatever the text.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from lorimer.harness.api import Tool, ToolCall
from lorimer.harness.fences import LONGEST
from lorimer.harness.fences import Block as Block
from lorimer.harness.fences import blocks as blocks
from lorimer.harness.fences import saving_command as saving_command
from lorimer.harness.fences import shell_command as shell_command

TRIES = 400
"""Places at which JSON is tried: each costs a look at the rest of the text."""
MENDED = 8
"""Objects of a text that are mended, calls that are read as Python, and places at which one may end: each costs a look at
every sign up to there."""
CALL_CHARS = 50_000
"""The longest call, written as Python, that is read."""
TAIL = 200
"""Signs at the end of a text in which tags are looked for that follow a call cut short."""
MISSING_BRACES = 3
"""Closing braces that a model may have forgotten at the end of its text."""


@dataclass(frozen=True)
class _Found:
    """A call, and where in the text it begins."""

    start: int
    call: ToolCall


def text_calls(text: str, tools: Sequence[Tool]) -> tuple[ToolCall, ...]:
    """The calls in a text, in order; empty where none was meant. Calls of tools that there are not count too, where plain.

    A call that was plainly meant and cannot be read has no arguments, and its text in `malformed`; `what_is_wrong` says why.

    Args:
        tools: those that were offered. Values that a form gives as text become what a tool's schema says they are.
    """
    text = text[:LONGEST]
    for read in (_tagged, _named, _objects, _python):
        found = sorted(read(text, tools), key=lambda each: each.start)
        if found:
            return tuple(replace(each.call, id=f"text-{number}") for number, each in enumerate(found, 1))
    return ()


def what_is_wrong(call: ToolCall) -> str:
    """Why a malformed call's arguments could not be read, for the model to mend; empty for a call that is well-formed."""
    if not call.malformed:
        return ""
    try:
        json.JSONDecoder(strict=False).raw_decode(call.malformed)
    except json.JSONDecodeError as error:
        near = error.doc[max(0, error.pos - 20) : error.pos + 20]
        where = f"{error.msg} at line {error.lineno}, column {error.colno} of the call, near {near!r}"
        return f'not valid JSON: {where}. Escape quotes as \\" and line breaks as \\n in strings'
    except RecursionError:
        return "not valid JSON: too deeply nested"
    return "the arguments must be a JSON object"


# ---- tags -----------------------------------------------------------------------------------------------------------

_FUNCTION = re.compile(
    r"<function=\s*[\"']?([\w.-]{1,64})[\"']?\s*>(.*?)(?:</function>|(?=<function=)|</tool_call>|\Z)", re.S
)
_PARAMETER = re.compile(r"<parameter=\s*[\"']?([\w.-]{1,64})[\"']?\s*>(.*?)(?:</parameter>|(?=<parameter=)|\Z)", re.S)
_INVOKE = re.compile(r"<(?:\w+:)?invoke\s+name=[\"']?([\w.-]{1,64})[\"']?\s*>(.*?)(?:</(?:\w+:)?invoke>|\Z)", re.S)
_INVOKED = re.compile(
    r"<(?:\w+:)?parameter\s+name=[\"']?([\w.-]{1,64})[\"']?[^>]*>(.*?)(?:</(?:\w+:)?parameter>|\Z)", re.S
)
_GLM = re.compile(r"<tool_call>\s*([\w.-]{1,64})\s*(<arg_key>.*?)(?:</tool_call>|\Z)", re.S)
_GLM_ARGUMENT = re.compile(r"<arg_key>([^<]{1,64})</arg_key>\s*<arg_value>(.*?)(?:</arg_value>|\Z)", re.S)


def _tagged(text: str, tools: Sequence[Tool]) -> Iterator[_Found]:
    """Calls whose arguments have tags of their own, as text."""
    for form, inner in ((_FUNCTION, _PARAMETER), (_INVOKE, _INVOKED), (_GLM, _GLM_ARGUMENT)):
        for match in form.finditer(text):
            given = {name.strip(): _without_frame(value) for name, value in inner.findall(match[2])}
            if given:
                yield _call(match[1], _typed(match[1], given, tools), match.start())


def _without_frame(value: str) -> str:
    """Templates put one line break before and after a value; more belong to it."""
    return value.removeprefix("\n").removesuffix("\n")


def _typed(name: str, given: Mapping[str, str], tools: Sequence[Tool]) -> dict[str, Any]:
    properties = _properties(name, tools)
    typed: dict[str, Any] = {}
    for key, value in given.items():
        kind = (
            properties.get(key, {}).get("type", "string") if isinstance(properties.get(key, {}), Mapping) else "string"
        )
        typed[key] = value if kind == "string" else _value(value)
    return typed


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {"True": True, "False": False, "None": None}.get(text.strip(), text)


# ---- a name, then its arguments as JSON -----------------------------------------------------------------------------

_SIGNS = r"[^\w\n]{0,8}"
"""Stars, quotes and blanks around a word."""

_NAMED = tuple(
    re.compile(form)
    for form in (
        r"<function=\s*([\w.-]{1,64})\s*>\s*(?=\{)",
        r"\[TOOL_CALLS\]\s*([\w.-]{1,64})\s*(?:\[CALL_ID\]\w+\s*)?(?:\[ARGS\])?\s*(?=\{)",
        r"<\uff5ctool\u2581call\u2581begin\uff5c>(?:function<\uff5ctool\u2581sep\uff5c>)?\s*([\w.-]{1,64})\s*"
        r"(?:<\uff5ctool\u2581sep\uff5c>|\n)\s*(?:```(?:json)?\s*)?(?=\{)",
        r"<\|tool_call_begin\|>\s*(?:functions\.)?([\w.-]{1,64}?)(?::\d+)?\s*<\|tool_call_argument_begin\|>\s*(?=\{)",
        r"to=(?:functions\.)?([\w.-]{1,64})[^{]{0,80}<\|message\|>\s*(?=\{)",
        r"(?m)^>>>\s*([\w.-]{1,64})\s*\n\s*(?=\{)",
        rf"(?mi)^{_SIGNS}Action{_SIGNS}:{_SIGNS}([\w.-]{{1,64}}){_SIGNS}\n{_SIGNS}Action Input{_SIGNS}:"
        r"[^\w{]{0,20}(?:json\s*)?(?=\{)",
    )
)
_ACTION = re.compile(
    rf"(?mi)^{_SIGNS}Action{_SIGNS}:{_SIGNS}([\w.-]{{1,64}}){_SIGNS}\n{_SIGNS}Action Input{_SIGNS}:[ \t]*(?:```\w*\n)?"
    rf"(.+?)(?=\n```|\n{_SIGNS}Observation{_SIGNS}:|\Z)",
    re.S,
)


def _named(text: str, tools: Sequence[Tool]) -> Iterator[_Found]:
    spans: list[tuple[int, int]] = []
    for form in _NAMED:
        for match in form.finditer(text):
            value, end = json_at(text, match.end())
            if isinstance(value, dict) and not _is_schema(value):
                spans.append((match.start(), end))
                yield _call(match[1], value, match.start())
    names = {tool.name for tool in tools}
    for match in _ACTION.finditer(text):
        only = _only_text(match[1], tools)
        if match[1] in names and only and not any(start <= match.start() < end for start, end in spans):
            yield _call(match[1], {only: match[2].strip().strip("`").strip("\"'")}, match.start())


def _only_text(name: str, tools: Sequence[Tool]) -> str:
    """The argument of a tool that takes one text and needs no other; empty where it takes more."""
    properties = _properties(name, tools)
    needed = [key for tool in tools if tool.name == name for key in tool.parameters.get("required", ())] or list(
        properties
    )
    return str(needed[0]) if len(needed) == 1 else ""


# ---- JSON objects ---------------------------------------------------------------------------------------------------

_NAMES, _ARGUMENTS = (
    ("name", "tool", "tool_name", "function_name"),
    ("arguments", "parameters", "args", "input", "kwargs"),
)


def _objects(text: str, tools: Sequence[Tool]) -> Iterator[_Found]:
    """JSON objects that are calls; those that are arguments of one tool alone where there is no other."""
    bare: list[_Found] = []
    mended = calls = 0
    end = 0
    for match in islice(re.finditer(r"\{", text), TRIES):
        start = match.start()
        if start < end:
            continue
        value, stop = json_at(text, start, mend=mended < MENDED)
        if not isinstance(value, dict):
            mended += 1
            broken = _meant(text[start:], tools)
            if broken:
                calls += 1
                yield _Found(start, ToolCall("", broken, {}, text[start:]))
                break  # what stands inside the broken one is no call of its own
            continue
        found = _from_object(value, tools)
        if found is not None:
            calls += 1
            end = stop
            yield _Found(start, found)
        elif _is_schema(value) or "function" in value:
            end = stop  # the tool's description, repeated: nothing in it is a call
        else:
            takers = [tool.name for tool in tools if _takes(tool, value)]
            if len(takers) == 1:
                end = stop
                bare.append(_call(takers[0], value, start))
    if not calls:
        yield from bare


def _from_object(value: Mapping[str, Any], tools: Sequence[Tool]) -> ToolCall | None:
    """The call that an object is; `None` where it is none."""
    inner = value.get("function")
    if isinstance(inner, Mapping):
        value = inner
    elif isinstance(inner, str) and not any(isinstance(value.get(key), str) for key in _NAMES):
        value = {**value, "name": inner}
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None)
    if name is None:
        return None
    offered = any(tool.name == name for tool in tools)
    key = next((key for key in _ARGUMENTS if key in value), None)
    if key is None:
        # {"name": "shell", "command": "ls"}: the arguments stand beside the name.
        rest = {key: item for key, item in value.items() if key not in (*_NAMES, "type", "id", "function")}
        return ToolCall("", name, rest) if offered and "description" not in rest else None
    given = value[key]
    if isinstance(given, str):
        read, _ = json_at(given, 0)
        only = _only_text(name, tools)
        given = read if isinstance(read, dict) else {only: given} if offered and only and given.strip() else given
    if not isinstance(given, Mapping):
        return ToolCall("", name, {}, json.dumps(given))
    if _is_schema(given):
        filled = given["properties"]
        if isinstance(filled, Mapping) and filled and not any(isinstance(item, Mapping) for item in filled.values()):
            return ToolCall("", name, filled)  # the schema with values in place of types
        return None
    return ToolCall("", name, given)


def _is_schema(value: Mapping[str, Any]) -> bool:
    """A tool's description or its parameters, rather than a call."""
    return "properties" in value and value.get("type", "object") == "object"


def _takes(tool: Tool, value: Mapping[str, Any]) -> bool:
    properties, required = tool.parameters.get("properties", {}), tool.parameters.get("required", ())
    return set(value) <= set(properties) and any(key in value for key in required)


def _properties(name: str, tools: Sequence[Tool]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next((tool.parameters.get("properties", {}) for tool in tools if tool.name == name), {})
    return found


def _call(name: str, arguments: Mapping[str, Any], start: int) -> _Found:
    return _Found(start, ToolCall("", name, arguments))


def json_at(text: str, start: int, *, mend: bool = True) -> tuple[Any, int]:
    """The value that begins at `start` and where it ends, mended where models write it wrongly; `None` where it cannot be."""
    if not text.startswith("{", start):
        return None, start
    try:
        # Not strict: models put raw line breaks into strings of code.
        return json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):
        pass
    if not mend or not re.match(r"""\{[{\s]*["']?\w+["']?\s*:""", text[start : start + 200]):
        return None, start
    stop = _closed(text, start)
    body = text[start:stop]
    for way in _MENDS:
        for candidate in way(body):
            try:
                return json.loads(candidate, strict=False), stop
            except (ValueError, RecursionError):
                pass
            try:
                value = ast.literal_eval(_pythonic(candidate))
                json.dumps(value)  # raises for what JSON has no word for, such as a set
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue
            if isinstance(value, dict):
                return value, stop
    return None, start


def _closed(text: str, start: int) -> int:
    """Where the braces that open at `start` are closed again, strings passed over; the text's end where they are not."""
    depth, quote, place = 0, "", start
    while place < len(text):
        sign = text[place]
        if quote:
            if sign == "\\":
                place += 1
            elif text.startswith(quote, place):
                place += len(quote) - 1
                quote = ""
        elif sign in "\"'":
            quote = sign * 3 if text.startswith(sign * 3, place) else sign
            place += len(quote) - 1
        elif sign == "{":
            depth += 1
        elif sign == "}":
            depth -= 1
            if depth == 0:
                return place + 1
        place += 1
    return len(text)


def _as_it_is(body: str) -> Iterator[str]:
    yield body


def _escapes(body: str) -> Iterator[str]:
    r"""A backslash before what JSON knows no escape for (`\d`, `\$`) is meant as itself; a comma before a brace as none."""
    mended = re.sub(r"\\(.)", lambda m: m[0] if m[1] in '"\\/bfnrtu' else "\\" + m[0], body, flags=re.S)
    yield re.sub(r",(\s*[}\]])", r"\1", mended)


def _single_braces(body: str) -> Iterator[str]:
    """Every brace doubled, as in the template from which the model has it."""
    if body.startswith("{{"):
        yield body.replace("{{", "{").replace("}}", "}")
        yield body[1:-1]


def _braces_at_the_end(body: str) -> Iterator[str]:
    rest = body.rstrip().removesuffix("```").rstrip()
    tail = re.sub(r"(\s*</?[\w|\u2581\uff5c]{1,40}>)+$", "", rest[-TAIL:])
    rest = rest[:-TAIL] + tail
    for missing in range(1, MISSING_BRACES + 1):
        yield rest + "}" * missing
        yield rest + '"' + "}" * missing


_MENDS: tuple[Callable[[str], Iterator[str]], ...] = (_as_it_is, _escapes, _single_braces, _braces_at_the_end)


def _pythonic(text: str) -> str:
    """JSON's words as Python's, outside of strings as far as a pattern can tell."""
    return re.sub(
        r"(?<=[:,\[\s])(true|false|null)(?=\s*[,}\]])",
        lambda m: {"true": "True", "false": "False"}.get(m[1], "None"),
        text,
    )


def _meant(text: str, tools: Sequence[Tool]) -> str:
    """The name of a call of an offered tool that was plainly meant and cannot be read; empty where there is none."""
    found = re.match(
        r"""\{\s*\{?\s*["']?(?:name|tool|function)["']?\s*:\s*(?:\{\s*["']name["']\s*:\s*)?["']?([\w.-]{1,64})""", text
    )
    return found[1] if found and any(tool.name == found[1] for tool in tools) else ""


# ---- Python ---------------------------------------------------------------------------------------------------------


def _python(text: str, tools: Sequence[Tool]) -> Iterator[_Found]:
    """`shell(command="ls")`, at the beginning of a line or in a list, of a tool that was offered."""
    names = "|".join(re.escape(tool.name) for tool in tools)
    if not names:
        return
    end = 0
    form = rf"(?m)(?:^[ \t]{{0,20}}|\[|, ?|print\(|<\|python_start\|>)(?:functions\.|tools\.)?({names})\("
    for match in islice(re.finditer(form, text), MENDED):
        if match.start() < end:
            continue
        for stop in _ends_of_call(text, match.end()):
            try:
                node = ast.parse(f"{match[1]}({text[match.end() : stop]}", mode="eval").body
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                continue
            arguments = _arguments(node, tools, match[1])
            if arguments:
                end = stop
                yield _call(match[1], arguments, match.start(1))
            break


def _ends_of_call(text: str, start: int) -> Iterator[int]:
    """Places after a closing bracket, the nearest first."""
    for match in islice(re.finditer(r"\)", text[start : start + CALL_CHARS]), MENDED):
        yield start + match.end()


def _arguments(node: ast.expr, tools: Sequence[Tool], name: str) -> dict[str, Any]:
    if not isinstance(node, ast.Call):
        return {}
    order = list(_properties(name, tools))
    try:
        given = {key: ast.literal_eval(value) for key, value in zip(order, node.args, strict=False)}
        given |= {each.arg: ast.literal_eval(each.value) for each in node.keywords if each.arg}
        json.dumps(given)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return {}
    return given
