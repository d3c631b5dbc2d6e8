"""What the gateway takes for a request, and what it takes for a breach."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.harness.api import ExecResult
from lorimer.task_agent import wire
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
        wired.Refusal("env", "no\nsuch file"),
        wired.Piece(b"\n"),
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
            "llm.complete: tool_choice: neither auto, none nor required, and no tool that is offered",
        ),
        (
            {"tool_choice": "b", "tools": [{"name": "a", "description": "", "parameters": {}}]},
            "tool that is offered \\(a\\)",
        ),
    ],
)
def test_a_form_of_an_answer_that_cannot_be_asked_for_is_an_error_value(params: dict[str, object], wrong: str) -> None:
    sent = line(id=1, method="llm.complete", params={"messages": [{"role": "user", "text": "a"}], **params})
    with pytest.raises(wire.Invalid, match=wrong):
        wire.parse_params(wire.parse_request(sent))
