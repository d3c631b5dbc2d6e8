"""Whatever a model answers can be sent back to it, and arrives as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.harness.api import Message, ToolCall, assistant, tool_result, user
from lorimer.models.base import ModelRequest
from lorimer.models.client import Dialect
from lorimer.models.dialects.anthropic import AnthropicDialect
from lorimer.models.dialects.openai import ChatDialect
from lorimer.models.dialects.responses import ResponsesDialect
from lorimer.models.messages import cut_at_stop, encodable, normalised, parsed_call, sent_arguments
from lorimer.models.provider import Key, ProviderConfig

LOCAL = ProviderConfig("local", base_url="http://127.0.0.1:1")
TEXT = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
CALLS = st.builds(
    ToolCall, st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True), TEXT, st.dictionaries(TEXT, VALUES, max_size=2)
)
TURNS = st.one_of(
    st.builds(user, TEXT),
    st.builds(assistant, TEXT, st.lists(CALLS, max_size=2)),
    st.builds(tool_result, CALLS, TEXT, is_error=st.booleans()),
)
THINKING = st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}, TEXT)
SAID = st.builds(lambda text: {"type": "text", "text": text}, st.text(min_size=1).filter(str.strip))
USE = st.builds(
    lambda call: {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}, CALLS
)


@pytest.fixture(scope="module")
def dialects() -> Sequence[Dialect]:
    """Encoding and decoding alone: nothing is sent, so nothing is there to be closed."""
    key = Key("no-key")
    return AnthropicDialect("m", LOCAL, key), ResponsesDialect("m", LOCAL, key), ChatDialect("m", LOCAL, key)


@given(turns=st.lists(TURNS, max_size=8))
def test_any_conversation_becomes_a_body_that_strict_servers_can_read(
    dialects: Sequence[Dialect], turns: list[Message]
) -> None:
    for dialect in dialects:
        body = dialect.encode(ModelRequest(tuple(turns)), frozenset())
        json.dumps(encodable(body), allow_nan=False)
    messages = dialects[0].encode(ModelRequest(tuple(turns)), frozenset())["messages"]
    assert all(one["role"] != two["role"] for one, two in pairwise(messages))
    blocks = [block for message in messages for block in message["content"]]
    assert all(message["content"] for message in messages)
    assert all(block["text"].strip() for block in blocks if block["type"] == "text")
    assert sum("cache_control" in block for block in blocks) <= 2


@given(content=st.lists(THINKING | SAID | USE, min_size=1, max_size=6))
def test_an_anthropic_answer_with_thinking_comes_back_unchanged(
    dialects: Sequence[Dialect], content: list[dict[str, Any]]
) -> None:
    reply = {"content": content, "stop_reason": "end_turn"}
    request = ModelRequest((user("go"),))
    message = dialects[0].decode(reply, request).message
    # Over the wire to the harness and back, mappings and tuples are JSON's.
    sent = dialects[0].encode(ModelRequest((user("go"), message)), frozenset())["messages"]
    if any(block["type"] == "thinking" for block in content) and (message.text.strip() or message.tool_calls):
        assert sent[1]["content"] == content


@given(TEXT | VALUES.map(json.dumps))
def test_any_arguments_are_read_and_can_be_sent(arguments: str) -> None:
    call = parsed_call("c", "bash", arguments)
    assert isinstance(call.arguments, dict)
    assert bool(call.malformed) <= (call.arguments == {})
    if call.malformed:
        assert (call.malformed, sent_arguments(call)) == (arguments, {"malformed_arguments": arguments})
    elif arguments.strip():
        assert json.loads(arguments) == call.arguments


@given(st.lists(TURNS, max_size=8))
def test_normalising_loses_no_words_and_is_done_once(turns: list[Message]) -> None:
    once = normalised(turns)
    assert normalised(once) == once
    # White space apart: merged texts are joined by an empty line, and blank ones are left out.
    assert "".join("".join(turn.text for turn in turns).split()) == "".join("".join(turn.text for turn in once).split())
    assert [call for turn in turns for call in turn.tool_calls] == [call for turn in once for call in turn.tool_calls]


@given(TEXT, st.lists(TEXT, max_size=3))
def test_text_is_cut_before_the_first_stop_sequence(text: str, stop: list[str]) -> None:
    kept, stopped = cut_at_stop(text, stop)
    assert text.startswith(kept)
    assert not any(sequence in kept for sequence in stop if sequence)
    assert stopped == any(sequence in text for sequence in stop if sequence)
