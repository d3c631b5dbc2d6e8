"""However an answer is cut into fragments, and its bytes by the network, it is the answer in one piece."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.harness.api import user
from lorimer.models.client import Dialect
from lorimer.models.dialects.anthropic import AnthropicDialect
from lorimer.models.dialects.openai import ChatDialect
from lorimer.models.dialects.responses import ResponsesDialect
from lorimer.models.provider import Api, Key, ProviderConfig
from lorimer.models.streams.chat import ChatAnswer
from lorimer.models.streams.events import EventReader, ServerEvent
from lorimer.models.streams.messages import MessagesAnswer
from lorimer.models.streams.reading import Pace, assembled, collect
from tests.support.model_clients import asked, client, context, good
from tests.support.scripted_server import Reply, scripted_server
from tests.support.streams import events

LOCAL = ProviderConfig("local", base_url="http://127.0.0.1:1/v1")
DIALECTS: dict[Api, Dialect] = {
    "anthropic": AnthropicDialect("m", LOCAL, Key("no-key")),
    "responses": ResponsesDialect("m", LOCAL, Key("no-key")),
    "chat": ChatDialect("m", LOCAL, Key("no-key")),
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SOME = TEXT.filter(bool)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXT, lambda inner: st.lists(inner, max_size=2), max_leaves=4
)


@st.composite
def answers(draw: st.DrawFn, api: Api) -> dict[str, Any]:
    """Text, calls, thoughts, and fields of a provider's own."""
    calls = [
        (f"c{index}", draw(st.sampled_from(("bash", "python"))), draw(st.dictionaries(SOME, JSON, max_size=2)))
        for index in range(draw(st.integers(0, 3)))
    ]
    answer = good(api, draw(TEXT), calls)
    if api == "anthropic":
        thoughts = st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXT, "signature": SOME})
        answer["content"] = [*draw(st.lists(thoughts, max_size=2)), *answer["content"]]
        for block in answer["content"][-1:]:
            block |= draw(st.dictionaries(st.just("own_field"), SOME | JSON, max_size=1))
    elif api == "responses":
        sealed = st.fixed_dictionaries(
            {"type": st.just("reasoning"), "encrypted_content": SOME, "summary": st.just([])}
        )
        answer["output"] = [*draw(st.lists(sealed, max_size=2)), *answer["output"]]
    else:
        message = answer["choices"][0]["message"]
        message |= draw(
            st.dictionaries(st.sampled_from(("reasoning_content", "reasoning", "own_field")), SOME, max_size=3)
        )
        for call in message.get("tool_calls", ()):
            call |= draw(st.dictionaries(st.just("extra_content"), st.fixed_dictionaries({"google": JSON}), max_size=1))
        if draw(st.booleans()):
            del answer["usage"]
    return answer


def cut_by(draw: Any) -> Any:
    def cut(text: str) -> list[str]:
        places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
        return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True) if a < b]

    return cut


async def sent(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize("api", DIALECTS)
@given(data=st.data())
def test_any_answer_cut_in_any_way_is_the_answer_in_one_piece(api: Api, data: st.DataObject) -> None:
    answer, dialect, request = data.draw(answers(api)), DIALECTS[api], asked()
    raw = b"".join(events(api, answer, cut_by(data.draw)))
    comment = data.draw(st.sampled_from((b"", b": alive\n\n", b": alive\r\n\r\n")))
    raw = comment + raw.replace(b"\n", data.draw(st.sampled_from((b"\n", b"\r\n", b"\r"))))
    places = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    pieces = [raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)]
    counts = list[int]()
    made = asyncio.run(collect(sent(pieces), dialect.assembler(), Pace(60.0, counts.append)))
    assert dialect.decode(json.loads(made), request) == dialect.decode(answer, request)
    assert made == assembled(raw, dialect.assembler())
    assert all(count > 0 for count in counts)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_bytes_are_read_the_same_however_they_are_cut(raw: bytes, places: list[int]) -> None:
    def read(pieces: Sequence[bytes]) -> list[ServerEvent]:
        reader = EventReader()
        return [event for piece in pieces for event in reader.feed(piece)] + list(reader.end())

    places = sorted(place for place in places if place <= len(raw))
    assert read([raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)]) == read([raw])


def whole(*chunks: Any) -> dict[str, Any]:
    answer = ChatAnswer()
    for chunk in chunks:
        answer.take("", {"choices": [{"index": 0, **chunk}]})
    made: dict[str, Any] = answer.whole()["choices"][0]["message"]
    return made


def call(name: str | None = None, arguments: str = "", **more: Any) -> dict[str, Any]:
    return {"delta": {"tool_calls": [{**more, "function": {"name": name, "arguments": arguments}}]}}


@pytest.mark.parametrize(
    ("chunks", "calls"),
    [
        (
            [
                call("a", '{"x"', index=0, id="1"),
                call(None, ": 1}", index=0, id=None),
                call("b", "{}", index=1, id="2"),
            ],
            [("1", "a", '{"x": 1}'), ("2", "b", "{}")],
        ),
        # Interleaved.
        (
            [
                call("a", index=0, id="1"),
                call("b", index=1, id="2"),
                call(None, "{}", index=0),
                call(None, "[]", index=1),
            ],
            [("1", "a", "{}"), ("2", "b", "[]")],
        ),
        # Gemini: every call is whole, and numbered 0.
        ([call("a", "{}", index=0, id="1"), call("a", "[]", index=0, id="2")], [("1", "a", "{}"), ("2", "a", "[]")]),
        # No numbers; each fragment repeats id and name, or a new call begins with them.
        (
            [call("a", "{", id="1"), call("a", "}", id="1"), call("b", "{}", id="2"), call(None, " ")],
            [("1", "a", "{}"), ("2", "b", "{} ")],
        ),
        ([call("a", "{}"), call("b", "{}")], [(None, "a", "{}"), (None, "b", "{}")]),
        # A new id in every fragment (vLLM).
        ([call("a", "{", index=0, id="1"), call("", "}", index=0, id="2")], [("1", "a", "{}")]),
    ],
)
def test_fragments_of_calls_find_their_call(chunks: list[Any], calls: list[tuple[str | None, str, str]]) -> None:
    made = whole(*chunks)["tool_calls"]
    assert [(each.get("id"), each["function"]["name"], each["function"]["arguments"]) for each in made] == calls


def test_details_with_numbers_go_on_and_parts_of_content_are_kept() -> None:
    def details(**item: Any) -> dict[str, Any]:
        return {"delta": {"reasoning_details": [item]}}

    made = whole(
        details(type="reasoning.text", index=0, text="ha", format="x"),
        details(type="reasoning.text", index=0, text="ha", format="x"),
        details(type="reasoning.encrypted", index=0, data="s"),
        {"delta": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}},
        {"delta": {"content": "four"}},
    )
    assert made["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "haha", "format": "x"},
        {"type": "reasoning.encrypted", "index": 0, "data": "s"},
    ]
    assert made["content"][1:] == [{"type": "text", "text": "four"}]


def test_arguments_that_were_cut_stay_as_text_and_go_back_as_an_object() -> None:
    """Under Anthropic's API, beside thoughts that want the whole message back."""
    answer = MessagesAnswer()
    for name, data in (
        ("content_block_start", {"index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "signature_delta", "signature": "s"}}),
        (
            "content_block_start",
            {"index": 1, "content_block": {"type": "tool_use", "id": "c", "name": "bash", "input": {}}},
        ),
        ("content_block_delta", {"index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"command": "l'}}),
        ("message_delta", {"delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 5}}),
    ):
        answer.take(name, data)
    dialect = DIALECTS["anthropic"]
    said = dialect.decode(answer.whole(), asked())
    assert (said.stop_reason, said.message.tool_calls[0].malformed) == ("max_tokens", '{"command": "l')
    back = dialect.encode(asked(said.message), frozenset())["messages"][0]["content"]
    assert back[0] == {"type": "thinking", "thinking": "", "signature": "s"}
    assert back[1]["input"] == {"malformed_arguments": '{"command": "l'}


@pytest.mark.parametrize("kind", [["text"], {"a": 1}, 5])
async def test_a_block_of_no_type_that_can_be_makes_a_broken_answer_streamed_or_not(kind: Any) -> None:
    answer = good("anthropic")
    answer["content"][0]["type"] = "odd"
    waits = list[tuple[float, str]]()
    for form in (json.dumps(answer).encode(), b"".join(events("anthropic", answer))):
        bad = Reply(form.replace(b'"odd"', json.dumps(kind).encode()))
        async with scripted_server(bad, Reply(good("anthropic"))) as server, client(server.url, "anthropic") as model:
            assert (await model.complete(asked(user("hi")), context(waits))).completion.text == "hello"
    assert [why[:54] for _, why in waits] == ["the answer is not a completion (content.0.type: Input "] * 2
