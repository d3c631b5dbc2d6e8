"""Answers in a form: what counts as a value that fits, and what the harness is told where there is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lorimer.harness.api import Completion, ToolCall, assistant
from lorimer.harness.structured import checked, misfit, read

COMMAND = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "inner": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["name"],
            "additionalProperties": False,
        }
    },
}


@pytest.mark.parametrize(
    "text",
    [
        '{"command": "ls"}',
        '  {"command": "ls"}\n',
        'Here it is:\n```json\n{"command": "ls"}\n```\nDone.',
        'I would say {"thought": 1} and then {"command": "ls"}.',
        "{'command': 'ls'}",
        '{"command": "ls"',
    ],
)
def test_a_value_is_found_however_the_model_wrapped_it(text: str) -> None:
    assert read(text, COMMAND) == ({"command": "ls"}, "")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("I cannot do that.", "the answer holds no JSON"),
        ("", "the answer holds no JSON"),
        ('{"cmd": "ls"}', "answer.command: missing"),
        ('{"command": 3}', "answer.command: 3 is not of type string"),
        ("[1]", "answer: [1] is not of type object"),
        ("[" * 100_000, "the answer holds no JSON"),
    ],
)
def test_what_does_not_fit_is_named(text: str, wrong: str) -> None:
    assert read(text, COMMAND) == (None, wrong)


@pytest.mark.parametrize(
    ("value", "schema", "wrong"),
    [
        (1, {"type": "integer"}, ""),
        (1.0, {"type": "integer"}, ""),
        (True, {"type": "integer"}, "answer: true is not of type integer"),
        (10**400, {"type": "integer", "maximum": 5}, f"answer: {10**400} is not at most 5"),
        (None, {"type": ["string", "null"]}, ""),
        ("b", {"enum": ["a", "b"]}, ""),
        (1, {"enum": [True]}, "answer: 1 is none of [true]"),
        ("x", {"const": "y"}, 'answer: "x" is not "y"'),
        (0, {"exclusiveMinimum": 0}, "answer: 0 is not over 0"),
        ("abc", {"maxLength": 2}, "answer: 3 characters where at most 2 are allowed"),
        ([], {"minItems": 1}, "answer: 0 items where at least 1 are asked for"),
        ([1, "x"], {"items": {"type": "number"}}, 'answer[1]: "x" is not of type number'),
        ("ab", {"pattern": "^a+$"}, 'answer: "ab" does not match ^a+$'),
        ("ab", {"pattern": r"\p{L}+"}, ""),
        ({"a": 1}, {"additionalProperties": False}, "answer.a: there is no such property"),
        ({"a": 1}, {"additionalProperties": {"type": "string"}}, "answer.a: 1 is not of type string"),
        (3, {"anyOf": [{"type": "string"}, {"type": "number"}]}, ""),
        (
            3,
            {"anyOf": [{"type": "string"}]},
            "answer: fits none of 1 forms; of the first: answer: 3 is not of type string",
        ),
        (3, {"oneOf": [{"type": "integer"}, {"minimum": 1}]}, "answer: fits 2 forms where one alone is allowed"),
        (3, {"allOf": [{"minimum": 1}, {"maximum": 2}]}, "answer: 3 is not at most 2"),
        ({"name": "a", "inner": [{"name": "b"}]}, TREE, ""),
        ({"name": "a", "inner": [{"nom": "b"}]}, TREE, "answer.inner[0].name: missing"),
        (3, {"$ref": "#"}, "answer: nested too deeply"),
        (3, {"$ref": "https://example.org/schema"}, ""),
        (3, True, ""),
        (3, False, "answer: nothing may stand here"),
        (3, {"unheard": "of"}, ""),
    ],
)
def test_the_keywords_that_are_known(value: Any, schema: Any, wrong: str) -> None:
    assert misfit(value, schema) == wrong


def completion(text: str = "", *calls: ToolCall, stop: str = "end", error: str = "") -> Completion:
    return Completion(assistant(text, calls), stop, error=error)  # type: ignore[arg-type]


def test_a_completion_carries_its_value_or_what_is_wrong() -> None:
    assert checked(completion('{"command": "ls"}'), COMMAND, None).parsed == {"command": "ls"}
    wrong = checked(completion('{"comm', stop="max_tokens"), COMMAND, None)
    assert (wrong.parsed, wrong.mismatch) == (None, "the answer holds no JSON; the answer was cut at max_tokens")
    refused = checked(completion(stop="rejected", error="no such parameter"), COMMAND, None)
    assert refused.mismatch == "there is no answer: no such parameter"
    null = checked(completion("null"), {"type": "null"}, None)
    assert (null.parsed, null.mismatch) == (None, "")


@pytest.mark.parametrize(
    ("choice", "calls", "wrong"),
    [
        ("required", [], "the model called no tool, though one was required"),
        ("required", ["a"], ""),
        ("none", ["a"], "the model called a, though it was to call none"),
        ("b", ["a"], "the model did not call b, which was required"),
        ("a", ["b", "a"], ""),
        ("auto", [], ""),
        (None, [], ""),
    ],
)
def test_a_call_that_was_asked_for_is_looked_for(choice: str | None, calls: list[str], wrong: str) -> None:
    said = completion("words", *(ToolCall(name, name) for name in calls))
    assert checked(said, None, choice).mismatch == wrong


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(
    ["type", "properties", "required", "items", "enum", "anyOf", "$ref", "pattern", "minimum", "minItems", "maxLength"]
)


@example({}, {"required": [[]]})
@example("a", {"pattern": "a{99999999999}"})
@given(JSON, st.dictionaries(WORDS, JSON | st.dictionaries(WORDS, JSON), max_size=5))
def test_no_schema_and_no_answer_trips_the_check(value: Any, schema: dict[str, Any]) -> None:
    assert isinstance(misfit(value, schema), str)
