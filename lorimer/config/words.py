"""What is wrong with settings, in words: which key, whose value it is (a file's or `--set`'s), and what would be right. Pure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]
"""Where a key stands: the names of its tables and its own."""
Problem = tuple[Path, str, str]
"""A key's place, pydantic's words and the value, which tell one finding from another."""

_NUMBER, _WHOLE = "should be a number", "should be a whole number"
_SHOULD: Mapping[str, str] = {
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "finite_number": "should be a finite number",
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "string_type": "should be a text in quotes",
}
"""Pydantic's kinds of errors in the words of somebody who writes TOML."""
_TABLES = ("dict_type", "model_attributes_type", "model_type")
_LISTS = ("list_type", "tuple_type")
_SPEAK_FOR_THEMSELVES = ("extra_forbidden", "missing", "value_error")
"""Findings that are told without the value at fault."""
SUGGESTED = 3
"""Keys of other tables that are named for an unknown one; more would hide the message."""


def problems(error: ValidationError) -> frozenset[Problem]:
    """What was found, to be compared with what another reading finds."""
    return frozenset(_problem(dict(item)) for item in error.errors())


def _problem(item: dict[str, Any]) -> Problem:
    # What is wrong between several keys has their whole table for its value.
    value = "" if item["type"] == "value_error" else repr(item.get("input"))
    return item["loc"], item["msg"], value


def told(
    error: ValidationError,
    schema: type[BaseModel],
    where: str,
    overrides: Mapping[str, Any],
    of_file: Collection[Problem] = (),
) -> str:
    """All findings in one line.

    Args:
        error: what validation found in the settings of `where` with `overrides` set.
        schema: the model that it validated.
        where: the file, or what else holds the settings.
        overrides: dotted keys of the command line, with their values.
        of_file: what is wrong with the settings of `where` alone; everything else is the overrides' fault.
    """
    of_where: list[str] = []
    of_set: list[str] = []
    for found in error.errors():
        item = dict(found)
        path, said = ".".join(map(str, found["loc"])), _said(item, schema)
        if not overrides or _problem(item) in of_file:
            silent = item["type"] in _SPEAK_FOR_THEMSELVES or _may_be_secret(path)
            given = "" if silent else f" (given: {_short(repr(item['input']))})"
            of_where.append(f"{path}: {said}{given}" if path else f"{said}{given}")
            continue
        keys = _to_blame(path or said.partition(": ")[0], overrides)
        if path in keys:
            said = _for_shell(path, item, said)
        elif path:
            said = f"{path}: {said}"
        elif len(keys) == 1:
            said = said.removeprefix(f"{keys[0]}: ")
        of_set.append(" ".join(f"--set {key}={_given(key, overrides[key])}" for key in keys) + f": {said}")
    return "; ".join([*([f"{where}: " + "; ".join(of_where)] if of_where else []), *of_set])


def meant(path: Sequence[str | int], schema: type[BaseModel]) -> str:
    """Which key was probably meant by an unknown one at `path`: one like it in the same table, or of that name in another."""
    key = str(path[-1])
    at = _at(schema, path[:-1])
    siblings = list(at.model_fields) if at is not None else []
    near = difflib.get_close_matches(key, siblings, 1) or [name for name in siblings if key in name.split("_")][:1]
    if near:
        return f"; did you mean '{near[0]}'?"
    # A provider's keys stand in a table of the user's own name: they are not suggested for another table.
    elsewhere = [dotted for dotted in _keys(schema) if dotted.rpartition(".")[2] == key]
    if not elsewhere:
        return ""
    few = elsewhere[:SUGGESTED]
    listed = few[0] if len(few) == 1 else f"{', '.join(few[:-1])} or {few[-1]}"
    return f"; did you mean {listed}?"


def _said(item: dict[str, Any], schema: type[BaseModel]) -> str:
    """One finding without its key."""
    kind, given = item["type"], item.get("input")
    if kind == "extra_forbidden":
        return f"there is no such key{meant(item['loc'], schema)}"
    if kind == "value_error":
        return str(item["msg"]).removeprefix("Value error, ")
    if kind in _LISTS:
        return f"should be a list such as {json.dumps(_as_list(given), ensure_ascii=False)}"
    if kind in _TABLES:
        path = ".".join(map(str, item["loc"]))
        return f"is a table: write [{path}] on a line of its own and its keys below, or {path}.KEY=VALUE after --set"
    return _SHOULD.get(kind, re.sub(r"^(Input|String) should", "should", str(item["msg"])))


def _for_shell(key: str, item: dict[str, Any], said: str) -> str:
    """What a text or a list should be, as it is written after `--set`, where a shell takes quotes away."""
    given = item.get("input")
    if item["type"] in _LISTS:
        value = json.dumps(_as_list(given), ensure_ascii=False)
    elif item["type"] == "string_type" and isinstance(given, int | float):
        value = json.dumps(str(given))
    else:
        return said
    return f"{said.partition(' such as')[0]}: write --set '{key}={value}'"


def _as_list(given: object) -> list[str]:
    """What a user who wrote a text, or a list without quotes, probably meant."""
    words = re.findall(r"[^\s,;\[\]'\"]+", given) if isinstance(given, str) else []
    return words[:SUGGESTED] or ["a", "b"]


def _to_blame(path: str, overrides: Mapping[str, Any]) -> list[str]:
    """The overrides that a finding at `path` is due to: those of that key, of keys in it, of its table; else all."""
    table = path.rpartition(".")[0]
    for prefix in (path, table, path.partition(".")[0]):
        found = [key for key in overrides if key == prefix or _within(key, prefix) or _within(path, key)]
        if found:
            return found
    return list(overrides)


def _within(key: str, table: str) -> bool:
    return bool(table) and key.startswith(f"{table}.")


def _may_be_secret(path: str) -> bool:
    """Whether a key's wrong value is better not repeated: a header that is refused is often refused for the key in it."""
    return "headers" in path.split(".")


def _given(key: str, value: object) -> str:
    return "..." if _may_be_secret(key) else _written(value)


def _written(value: object) -> str:
    """A value as a command line may give it."""
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, bool | int | list):
        return _short(json.dumps(value, ensure_ascii=False, default=str))
    return _short(f"{value}")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _at(schema: type[BaseModel], tables: Sequence[str | int]) -> type[BaseModel] | None:
    """The model of the table at `tables`; `None` where there is none."""
    at: Any = schema
    for name in tables:
        if isinstance(at, type) and issubclass(at, BaseModel):
            field = at.model_fields.get(str(name))
            at = None if field is None else field.annotation
        else:  # a table of tables, such as `providers`: under every name of the user's own stands one model
            at = next(iter(get_args(at)[1:]), None)
    return at if isinstance(at, type) and issubclass(at, BaseModel) else None


def _keys(at: type[BaseModel], before: str = "") -> Iterator[str]:
    """All dotted keys, those of tables with the user's own names left out."""
    for name, found in at.model_fields.items():
        kind = found.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, f"{before}{name}.")
        else:
            yield f"{before}{name}"
