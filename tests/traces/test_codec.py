"""Messages survive the store without loss."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lorimer.harness.api import Completion, Message, Reasoning, Tool, ToolCall, Usage
from lorimer.traces import codec

# Lone surrogates included: models do send them, and a store that fails on one loses a trial.
texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, json_values, max_size=3)
calls = st.builds(ToolCall, id=texts, name=texts, arguments=objects, malformed=texts)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    text=texts,
    reasoning=st.lists(st.builds(Reasoning, text=texts, opaque=objects), max_size=2).map(tuple),
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    tool_call_id=texts,
    is_error=st.booleans(),
)


@given(messages)
def test_a_message_comes_back_as_it_went_in(message: Message) -> None:
    assert codec.decode_message(json.loads(codec.canonical(codec.encode_message(message)))) == message
    assert codec.decode_message(json.loads(codec.dumps(codec.encode_message(message)))) == message


@given(messages)
def test_a_message_whose_keys_are_in_order_is_stored_as_it_is_hashed(message: Message) -> None:
    body = codec.encode_message(message)
    assert codec.in_order(body) == (list(_keys(body)) == list(_keys(json.loads(codec.canonical(body)))))
    if codec.in_order(body):
        assert codec.dumps(body) == codec.canonical(body)


def _keys(value: Any) -> Iterator[str]:
    """All keys of a JSON value, in the order in which they are written."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)


@given(messages, messages)
def test_two_messages_have_one_digest_only_if_they_are_equal(one: Message, other: Message) -> None:
    same = codec.digest(codec.encode_message(one)) == codec.digest(codec.encode_message(other))
    # Python holds 0 == 0.0 == False; JSON does not, and neither does the digest.
    assert same <= (one == other)
    assert codec.digest(codec.encode_message(one)) == codec.digest(codec.encode_message(one))


@given(st.lists(st.builds(Tool, name=texts, description=texts, parameters=objects), max_size=3).map(tuple))
def test_tools_come_back_as_they_went_in(tools: tuple[Tool, ...]) -> None:
    assert codec.decode_tools(json.loads(codec.dumps(codec.encode_tools(tools)))) == tools


@given(
    st.builds(
        Completion,
        message=messages,
        stop_reason=st.sampled_from(["end", "tool_calls", "rejected"]),
        usage=st.builds(Usage, *[st.integers(0, 10**6)] * 5, st.booleans()),
        error=texts,
    )
)
def test_a_completion_comes_back_as_it_went_in(completion: Completion) -> None:
    body = codec.encode_message(completion.message)
    step = {
        "stop_reason": completion.stop_reason,
        "usage": codec.encode_usage(completion.usage),
        "error": completion.error,
    }
    assert codec.decode_completion(body, step) == completion


def test_a_mapping_of_any_kind_is_written_as_an_object_and_what_json_has_no_form_for_as_its_text() -> None:
    value = {"named": MappingProxyType({"a": 0.5}), "at": PurePosixPath("/app")}
    for written in (codec.dumps(value), codec.canonical(value)):
        assert json.loads(written) == {"named": {"a": 0.5}, "at": "/app"}
