"""What the gateway takes for a request, and what it takes for a breach."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.harness import api
from lorimer.harness.api import ExecResult
from lorimer.task_agent.serving import wire
from lorimer.traces import wired


def line(**parts: object) -> bytes:
    return json.dumps(parts).encode()


def test_a_request_is_read() -> None:
    request = wire.parse_request(line(id=7, method="note", params={"text": "hello"}))
    assert (request.id, request.method, request.params) == (7, "note", {"text": "hello"})


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"nonsense", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"id": 1, "method": "note", "params": {"text": 1e999}}', "not JSON"),
        (b'{"id": 1, "method": "note", "params": {"text": -Infinity}}', "not JSON"),
        (b"[]", "not a request"),
        (line(id=1, method="note"), "not a request"),
        (line(id="1", method="note", params={}), "not a request"),
        (line(id=1, method="note", params={}, extra=1), "not a request"),
        (line(id=1, method="note", params=[]), "not a request"),
        (line(id=1, method="env.sudo", params={}), "unknown method 'env.sudo'"),
    ],
)
def test_anything_else_is_a_breach_with_its_reason(sent: bytes, reason: str) -> None:
    with pytest.raises(wire.Breach, match=reason):
        wire.parse_request(sent)


LONGEST = (16 << 20) - 100


@pytest.mark.parametrize("unit", [b"[],", b"{},", b"0,", b'"",', b'",\\"",', b'{"a":0},'])
def test_a_line_of_too_many_values_is_a_breach_before_it_is_read(unit: bytes) -> None:
    # It ends in no JSON, which is not even found.
    sent = b'{"id": 1, "method": "note", "params": {"text": [' + unit * (LONGEST // len(unit)) + b"nonsense"
    with pytest.raises(wire.Breach, match="more than 250,000 values in a line"):
        wire.parse_request(sent)


@pytest.mark.parametrize("text", ["a,b\n", '[{"a": 1},', "\\", '\\",', '\\\\",[', "é,", "[[[{{{,,,:::"])
def test_a_text_may_be_as_long_as_a_line_whatever_is_written_there(text: str) -> None:
    long = text * ((8 << 20) // len(json.dumps(text)))
    assert wire.parse_request(line(id=1, method="note", params={"text": long})).params["text"] == long


def test_the_longest_conversation_fits_a_line() -> None:
    call = api.ToolCall("call-1", "exec", {"command": "ls -la /app", "timeout": 30})
    spoken = [api.assistant("Let me look, then decide.", [call]), api.tool_result(call, "a.csv, b.csv")]
    messages = [dataclasses.asdict(message) for message in spoken] * 5_000
    request = wire.parse_request(line(id=1, method="llm.complete", params={"messages": messages}))
    assert len(wire.parse_params(request).messages) == 10_000


def test_parameters_with_thousands_of_faults_are_refused_without_a_list() -> None:
    request = wire.parse_request(line(id=1, method="note", params={"text": "", **{f"k{n}": 0 for n in range(2_000)}}))
    with pytest.raises(wire.Invalid, match="note: more than 1,000 values that do not fit"):
        wire.parse_params(request)


@pytest.mark.parametrize("opens", ["[", '{"a": '])
def test_values_are_nested_a_hundred_deep_and_no_deeper(opens: str) -> None:
    def nested(deep: int) -> bytes:
        shut = {"[": "]"}.get(opens, "}")
        return f'{{"id": 1, "method": "note", "params": {{"text": {opens * deep}0{shut * deep}}}}}'.encode()

    assert wire.parse_request(nested(98)).id == 1
    with pytest.raises(wire.Breach, match="not JSON"):
        wire.parse_request(nested(99))


@pytest.mark.parametrize("spell", [str, lambda text: text.replace("ud", "uD"), lambda text: text.replace("d8", "D8")])
def test_lone_surrogates_become_replacement_characters_and_pairs_stay(spell: Callable[[str], str]) -> None:
    text = spell("a\\ud800b\\udfff\\ud83d\\ude00")
    sent = f'{{"id": 1, "method": "note", "params": {{"text": "{text}", "{text}": ["{text}"]}}}}'
    mended = "a\ufffdb\ufffd\U0001f600"
    assert wire.parse_request(sent.encode()).params == {"text": mended, mended: [mended]}


@given(st.binary(max_size=200))
def test_no_line_can_do_worse_than_a_breach(sent: bytes) -> None:
    try:
        request = wire.parse_request(sent)
    except wire.Breach:
        return
    assert request.method in wire.METHODS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(sorted(wire.METHODS)), st.dictionaries(st.text(max_size=12), JSON, max_size=5))
def test_parameters_fit_their_model_or_are_refused_by_it(method: str, params: dict[str, object]) -> None:
    model = wire.METHODS[method]
    try:
        value = model.model_validate(params)
    except ValueError:
        return
    assert set(params) <= set(model.model_fields)
    assert model.model_validate(value.model_dump()) == value


def test_replies_are_one_line_each() -> None:
    for answer in (
        ExecResult("a\nb\u2028c", "", 0),
        wired.RefusedCall("env", "no\nsuch file"),
        wired.ReadPiece(b"\n"),
        wired.Done(),
    ):
        sent = wire.reply(3, answer)
        assert b"\n" not in sent
        assert json.loads(sent)["id"] == 3


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"schema": {"enum": ["x" * 50_000]}}, "llm.complete: schema: over 50000 characters as JSON"),
        ({"schema": []}, "llm.complete: schema: Input should be a valid dictionary"),
        (
            {"tool_choice": "required"},
            "llm.complete: tool_choice: 'required' asks for a tool call, and the call has no tools; give tools=[…] or drop it",
        ),
        (
            {"tool_choice": "any", "tools": [{"name": name, "description": "", "parameters": {}} for name in "ab"]},
            "llm.complete: tool_choice: 'any' is neither auto, required or none nor a tool of this call, whose tools are a, b",
        ),
    ],
)
def test_a_form_of_an_answer_that_cannot_be_asked_for_is_an_error_value(params: dict[str, object], wrong: str) -> None:
    sent = line(id=1, method="llm.complete", params={"messages": [{"role": "user", "text": "a"}], **params})
    with pytest.raises(wire.Invalid) as refused:
        wire.parse_params(wire.parse_request(sent))
    assert str(refused.value) == wrong
