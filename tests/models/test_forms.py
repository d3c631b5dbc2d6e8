"""The form of an answer in each API's own words, and what becomes of a server that refuses or ignores it."""

from __future__ import annotations

from typing import Any

import pytest

from lorimer.harness.api import user
from lorimer.models import forms
from lorimer.models.base import ModelReply, ModelRequest
from lorimer.models.provider import Api
from tests.support.model_clients import BASH, PYTHON, asked, client, context, good
from tests.support.scripted_server import Reply, scripted_server

STRICT = {
    "type": "object",
    "properties": {"command": {"type": "string"}},
    "required": ["command"],
    "additionalProperties": False,
}
LOOSE = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}}
ANSWER = '{"command": "ls"}'
ANY_API = pytest.mark.parametrize("api", ["anthropic", "responses", "chat"])
FIELDS: dict[Api, str] = {"anthropic": "output_config", "responses": "text", "chat": "response_format"}


async def played(
    api: Api, request: ModelRequest, *replies: Reply, times: int = 1
) -> tuple[list[Any], list[ModelReply]]:
    """The bodies that a server got, and the replies that a client gave."""
    async with scripted_server(*replies) as server, client(server.url, api) as model:
        answers = [await model.complete(request, context()) for _ in range(times)]
        return server.bodies, answers


async def sent(api: Api, **settings: Any) -> Any:
    bodies, _ = await played(api, asked(user("a"), **settings), Reply(good(api, ANSWER)))
    return bodies[0]


def refusal(words: str) -> Reply:
    return Reply({"error": {"message": words}}, status=400)


def system_of(body: Any) -> str:
    messages = [message["content"] for message in body.get("messages", ()) if message["role"] == "system"]
    system = body.get("system", [{}])[0].get("text", "")
    return "".join([*messages, system, body.get("instructions", "")])


async def test_a_schema_has_each_apis_own_place() -> None:
    named = {"name": "answer", "schema": STRICT, "strict": True}
    assert (await sent("chat", schema=STRICT))["response_format"] == {"type": "json_schema", "json_schema": named}
    assert (await sent("responses", schema=STRICT))["text"] == {"format": {"type": "json_schema", **named}}
    form = {"type": "json_schema", "schema": STRICT}
    assert (await sent("anthropic", schema=STRICT))["output_config"] == {"format": form}
    both = await sent("anthropic", schema=STRICT, effort="low")
    assert both["output_config"] == {"effort": "low", "format": form}


async def test_a_schema_that_strict_modes_refuse_is_sent_as_they_take_it() -> None:
    assert (await sent("chat", schema=LOOSE))["response_format"]["json_schema"]["strict"] is False
    assert (await sent("responses", schema=LOOSE))["text"]["format"]["strict"] is False
    schema = (await sent("anthropic", schema=LOOSE))["output_config"]["format"]["schema"]
    assert schema == {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("choice", "chat", "responses", "anthropic"),
    [
        ("required", "required", "required", {"type": "any"}),
        ("none", "none", "none", {"type": "none"}),
        ("auto", "auto", "auto", {"type": "auto"}),
        (
            "bash",
            {"type": "function", "function": {"name": "bash"}},
            {"type": "function", "name": "bash"},
            {"type": "tool", "name": "bash"},
        ),
    ],
)
async def test_a_choice_of_tools_has_each_apis_own_words(
    choice: str, chat: Any, responses: Any, anthropic: Any
) -> None:
    for api, words in (("chat", chat), ("responses", responses), ("anthropic", anthropic)):
        body = await sent(api, tools=(BASH, PYTHON), tool_choice=choice)  # type: ignore[arg-type]
        assert body["tool_choice"] == words
        assert "tool_choice" not in await sent(api, tool_choice=choice)  # type: ignore[arg-type]


async def test_a_forced_tool_is_not_thought_about() -> None:
    assert "thinking" not in await sent("anthropic", tools=(BASH,), tool_choice="bash", effort="low")
    assert "thinking" in await sent("anthropic", tools=(BASH,), tool_choice="auto", effort="low")


@pytest.mark.parametrize(
    ("api", "words"),
    [
        ("chat", "This response_format type is unavailable now"),
        ("chat", "This model does not support response format `json_schema`."),
        ("chat", "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."),
        ("responses", "Invalid parameter: 'text.format' of type 'json_schema' is not supported with this model."),
        ("anthropic", "output_config.format: structured outputs are not supported for this model"),
        ("anthropic", "output_format: Extra inputs are not permitted"),
    ],
)
async def test_a_server_without_schemas_is_told_in_words_from_then_on(api: Api, words: str) -> None:
    request = asked(user("a"), schema=STRICT, system="Be good.")
    answer = Reply(good(api, ANSWER))
    bodies, replies = await played(api, request, refusal(words), answer, answer, times=2)
    assert [FIELDS[api] in body for body in bodies] == [True, False, False]
    assert all(
        body_says in system_of(bodies[1]) for body_says in ("Be good.", "JSON Schema", '"required": ["command"]')
    )
    assert system_of(bodies[0]) == "Be good."
    assert [reply.completion.text for reply in replies] == [ANSWER, ANSWER]
    (note,) = replies[0].notes
    assert note.kind == "schema"
    assert note.text == (
        "local/model refuses the JSON Schema of an answer: it is said in the prompt instead, and answers are checked as before"
    )


@ANY_API
async def test_a_server_without_a_choice_of_tools_is_told_in_words(api: Api) -> None:
    request = asked(user("a"), tools=(BASH,), tool_choice="required")
    words = "tool_choice: 'required' is not supported"
    bodies, replies = await played(api, request, refusal(words), Reply(good(api)))
    assert ["tool_choice" in body for body in bodies] == [True, False]
    assert system_of(bodies[1]) == "Your answer must be a call of one of the tools."
    assert [note.kind for note in replies[0].notes] == ["tool_choice"]


@ANY_API
async def test_one_schema_that_is_refused_does_not_speak_for_others(api: Api) -> None:
    words = f"Invalid schema for {FIELDS[api]} 'answer': In context=(), 'pattern' must be a string."
    words = words.replace("output_config", "output_config.format")
    request, answer = asked(user("a"), schema=STRICT), Reply(good(api, ANSWER))
    bodies, replies = await played(api, request, refusal(words), answer, answer, times=2)
    assert [FIELDS[api] in body for body in bodies] == [True, False, True]
    assert replies[1].notes == ()


@ANY_API
async def test_a_server_that_ignores_a_schema_is_told_in_words_from_then_on(api: Api) -> None:
    request = asked(user("a"), schema=STRICT)
    bodies, replies = await played(api, request, Reply(good(api, "I would run ls.")), Reply(good(api, ANSWER)), times=2)
    assert [FIELDS[api] in body for body in bodies] == [True, False]
    assert [note.text.split()[1] for note in replies[0].notes] == ["ignores"]


async def test_an_answer_that_was_cut_says_nothing_of_the_server() -> None:
    cut = good("chat", '{"comm')
    cut["choices"][0]["finish_reason"] = "length"
    bodies, replies = await played(
        "chat", asked(user("a"), schema=STRICT), Reply(cut), Reply(good("chat", ANSWER)), times=2
    )
    assert ["response_format" in body for body in bodies] == [True, True]
    assert replies[1].notes == ()


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (STRICT, True),
        (LOOSE, False),
        ({"type": "object", "properties": {}, "required": 3, "additionalProperties": False}, False),
        ({"type": "object", "properties": {}, "required": [{}], "additionalProperties": False}, False),
        ({**STRICT, "properties": {"command": LOOSE}}, False),
        ({"type": "array", "items": STRICT}, True),
        ({"anyOf": [STRICT, LOOSE]}, False),
        ({"$defs": {"a": LOOSE}, "$ref": "#/$defs/a"}, False),
        ({"type": "string", "minLength": 3}, False),
    ],
)
def test_which_schemas_strict_modes_take(schema: Any, strict: bool) -> None:
    assert forms.is_strict(schema) is strict
