"""What is sent and what is understood, in each API's form, through the real SDKs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from lorimer.harness.api import Message, Reasoning, ToolCall, Usage, assistant, tool_result, user
from lorimer.models.provider import Api
from tests.support.model_clients import BASH, KEY, PYTHON, asked, client, context, good
from tests.support.scripted_server import Reply, scripted_server

APIS: tuple[Api, ...] = ("anthropic", "responses", "chat")
ANY_API = pytest.mark.parametrize("api", APIS)
PATHS = {"anthropic": "/v1/messages", "responses": "/v1/responses", "chat": "/v1/chat/completions"}
CALL = ToolCall("c1", "bash", {"command": "ls"})


async def sent(api: Api, *messages: Message, settings: Mapping[str, Any] | None = None, **request: Any) -> Any:
    """The body that these messages become."""
    async with scripted_server(Reply(good(api))) as server, client(server.url, api, **(settings or {})) as model:
        await model.complete(asked(*messages, **request), context())
    return server.bodies[0]


async def understood(api: Api, body: Any, **request: Any) -> Any:
    """The completion that this reply becomes."""
    async with scripted_server(Reply(body)) as server, client(server.url, api) as model:
        return (await model.complete(asked(user("hi"), **request), context())).completion


@ANY_API
async def test_text_goes_there_and_comes_back(api: Api) -> None:
    async with scripted_server(Reply(good(api, "Grüße 🦀"))) as server, client(server.url, api) as model:
        reply = await model.complete(asked(user("hi"), system="be brief", max_tokens=77), context())
    assert reply.completion.message == assistant("Grüße 🦀")
    assert reply.completion.stop_reason == "end"
    assert reply.completion.usage == Usage(input_tokens=10, output_tokens=5)
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", PATHS[api])
    assert KEY in request.headers["authorization"] + request.headers.get("x-api-key", "")
    assert request.body["model"] == "model"
    assert 77 in (request.body.get("max_tokens"), request.body.get("max_output_tokens"))
    assert "be brief" in request.raw.decode()


@ANY_API
@pytest.mark.parametrize(
    ("named", "answered"),
    [
        ({"model": "gpt-x-2026-05-01"}, "gpt-x-2026-05-01"),
        ({"model": f"a\nb{KEY}"}, "a b[key]"),
        ({"model": "x" * 300}, "x" * 200),
        ({"model": None}, ""),
        ({}, ""),
    ],
)
async def test_the_model_that_an_answer_names_is_kept(api: Api, named: dict[str, Any], answered: str) -> None:
    async with scripted_server(Reply(good(api) | named)) as server, client(server.url, api) as model:
        assert (await model.complete(asked(user("hi")), context())).answered == answered


@ANY_API
async def test_parallel_tool_calls_and_their_results_take_two_turns(api: Api) -> None:
    calls = [("c1", "bash", {"command": "ls"}), ("c2", "python", {"code": "1"})]
    async with (
        scripted_server(Reply(good(api, "Look:", calls)), Reply(good(api, "done"))) as server,
        client(server.url, api) as model,
    ):
        first = await model.complete(asked(user("go"), tools=(BASH, PYTHON)), context())
        results = [tool_result("c1", "a.txt"), tool_result("c2", "boom", is_error=True)]
        second = await model.complete(
            asked(user("go"), first.completion.message, *results, user("and?"), tools=(BASH, PYTHON)), context()
        )
    assert first.completion.stop_reason == "tool_calls"
    assert first.completion.tool_calls == (CALL, ToolCall("c2", "python", {"code": "1"}))
    assert first.completion.text == "Look:"
    assert second.completion.text == "done"
    body = server.bodies[1]
    if api == "anthropic":
        assert [tool["name"] for tool in body["tools"]] == ["bash", "python"]
        assert body["tools"][0]["input_schema"] == BASH.parameters
        assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
        assert body["messages"][1]["content"] == [
            {"type": "text", "text": "Look:"},
            {"type": "tool_use", "id": "c1", "name": "bash", "input": {"command": "ls"}},
            {"type": "tool_use", "id": "c2", "name": "python", "input": {"code": "1"}},
        ]
        last = body["messages"][2]["content"]
        assert last[0] == {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "a.txt"}]}
        assert (last[1]["tool_use_id"], last[1]["is_error"]) == ("c2", True)
        assert last[2]["text"] == "and?"
    elif api == "responses":
        assert next((tool["name"], tool["parameters"]) for tool in body["tools"]) == ("bash", BASH.parameters)
        kinds = [(item["type"], item.get("call_id")) for item in body["input"]]
        assert kinds == [
            ("message", None),
            ("message", None),
            ("function_call", "c1"),
            ("function_call", "c2"),
            ("function_call_output", "c1"),
            ("function_call_output", "c2"),
            ("message", None),
        ]
        assert json.loads(body["input"][2]["arguments"]) == {"command": "ls"}
    else:
        assert body["tools"][0]["function"]["parameters"] == BASH.parameters
        assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "tool", "tool", "user"]
        call = body["messages"][1]["tool_calls"][0]
        assert (call["id"], call["function"]["name"], call["function"]["arguments"]) == (
            "c1",
            "bash",
            '{"command": "ls"}',
        )
        assert body["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "a.txt"}


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("text", ['{"command": ', "[1]", '"ls"', '{"x": NaN}', "[" * 100_000])
async def test_arguments_that_are_no_object_are_kept_as_the_models_text(api: Api, text: str) -> None:
    async with (
        scripted_server(Reply(good(api, "", [("c1", "bash", text)])), Reply(good(api))) as server,
        client(server.url, api) as model,
    ):
        reply = await model.complete(asked(user("go"), tools=(BASH,)), context())
        await model.complete(
            asked(user("go"), reply.completion.message, tool_result("c1", "not JSON"), tools=(BASH,)), context()
        )
    assert reply.completion.tool_calls == (ToolCall("c1", "bash", malformed=text),)
    body = server.bodies[1]
    arguments = (
        body["input"][1]["arguments"]
        if api == "responses"
        else body["messages"][1]["tool_calls"][0]["function"]["arguments"]
    )
    assert json.loads(arguments) == {"malformed_arguments": text}


async def test_arguments_that_are_no_object_go_back_to_anthropic_as_one() -> None:
    completion = await understood("anthropic", good("anthropic", "", [("c1", "bash", [1])]))
    assert completion.tool_calls == (ToolCall("c1", "bash", malformed="[1]"),)
    body = await sent("anthropic", user("go"), completion.message, tool_result("c1", "no"))
    assert body["messages"][1]["content"][0]["input"] == {"malformed_arguments": "[1]"}


async def test_a_call_without_an_id_gets_one_that_no_other_call_has() -> None:
    body = good("chat", "", [("", "bash", {}), ("", "bash", "")])
    async with scripted_server(Reply(body), Reply(body)) as server, client(server.url, "chat") as model:
        first = await model.complete(asked(user("go")), context())
        history = [
            user("go"),
            first.completion.message,
            *(tool_result(call, "") for call in first.completion.tool_calls),
        ]
        second = await model.complete(asked(*history), context())
    ids = [call.id for reply in (first, second) for call in reply.completion.tool_calls]
    assert len(set(ids)) == 4
    assert all(ids)


THINKING = {"type": "thinking", "thinking": "hmm", "signature": "sig=="}
REDACTED = {"type": "redacted_thinking", "data": "opaque=="}
USE = {"type": "tool_use", "id": "c1", "name": "bash", "input": {"command": "ls"}}


async def test_thinking_goes_back_to_anthropic_as_it_came() -> None:
    content = [THINKING, {"type": "text", "text": "one"}, REDACTED, {"type": "text", "text": "two"}, USE]
    completion = await understood("anthropic", {**good("anthropic"), "content": content, "stop_reason": "tool_use"})
    assert completion.reasoning == "hmm"
    assert completion.text == "onetwo"
    body = await sent("anthropic", user("go"), completion.message, tool_result("c1", "x"))
    assert body["messages"][1]["content"] == content


async def test_an_edited_message_keeps_its_thinking_ahead_of_the_new_words() -> None:
    content = [THINKING, {"type": "text", "text": "long"}, USE]
    completion = await understood("anthropic", {**good("anthropic"), "content": content})
    edited = assistant("short", completion.tool_calls, completion.message.reasoning)
    body = await sent("anthropic", user("go"), edited, tool_result("c1", "x"))
    assert body["messages"][1]["content"] == [THINKING, {"type": "text", "text": "short"}, USE]


async def test_reasoning_goes_back_to_the_responses_api_as_it_came() -> None:
    reasoning = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "plan"}],
        "encrypted_content": "gAAA",
    }
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "bash", "arguments": '{"command":"ls"}'}
    body = {"status": "completed", "output": [reasoning, call], "usage": {"input_tokens": 1, "output_tokens": 1}}
    async with (
        scripted_server(Reply(body), Reply(good("responses"))) as server,
        client(server.url, "responses") as model,
    ):
        reply = await model.complete(asked(user("go"), tools=(BASH,), effort="high"), context())
        await model.complete(asked(user("go"), reply.completion.message, tool_result("c1", "x")), context())
    assert reply.completion.reasoning == "plan"
    first, second = server.bodies
    assert (first["store"], first["include"]) == (False, ["reasoning.encrypted_content"])
    assert first["reasoning"] == {"effort": "high"}
    assert second["input"][1:3] == [reasoning, call]


async def test_message_labels_go_back_to_the_responses_api_even_without_reasoning() -> None:
    item = {
        "type": "message",
        "role": "assistant",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "hm"}],
    }
    completion = await understood("responses", {"status": "completed", "output": [item]})
    body = await sent("responses", user("go"), completion.message, user("on"))
    assert body["input"][1] == item


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_of_compatible_servers_is_read_and_sent_back_only_where_wanted(field: str) -> None:
    body = good("chat", "yes")
    body["choices"][0]["message"][field] = "let me think"
    completion = await understood("chat", body)
    assert completion.reasoning == "let me think"
    history = (user("go"), completion.message, user("on"))
    assert "let me think" not in json.dumps(await sent("chat", *history))
    wanted = await sent("chat", *history, settings={"send_reasoning": True})
    assert wanted["messages"][1][field] == "let me think"


@ANY_API
async def test_reasoning_of_another_api_is_not_sent(api: Api) -> None:
    foreign = assistant(
        "yes", (), [Reasoning("hm", {"api": "elsewhere", "content": [{"type": "text", "text": "SECRET"}]})]
    )
    body = json.dumps(await sent(api, user("a"), foreign, user("b")))
    assert "SECRET" not in body
    assert "elsewhere" not in body


async def test_only_known_kinds_of_blocks_are_taken_from_a_harness() -> None:
    forged = Reasoning(
        "", {"api": "anthropic", "content": [{"type": "image", "source": {"url": "http://x"}}, 7, THINKING]}
    )
    body = await sent("anthropic", user("a"), assistant("yes", (), [forged]), user("b"))
    assert body["messages"][1]["content"] == [THINKING, {"type": "text", "text": "yes"}]


@ANY_API
async def test_strict_servers_get_alternating_turns_without_empty_ones(api: Api) -> None:
    body = await sent(api, user("a"), assistant(""), user("b"), user("  "), assistant(" \n"), assistant("c"), user("d"))
    turns = body["input"] if api == "responses" else body["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    text = json.dumps(turns)
    assert text.index("a") < text.index("b")
    assert '" ' not in text.replace('": ', "").replace('", ', "")


async def test_anthropic_gets_at_most_four_cache_breakpoints_where_they_pay() -> None:
    body = await sent(
        "anthropic",
        user("go"),
        assistant("", [CALL]),
        tool_result("c1", "x"),
        assistant("", [ToolCall("c2", "bash", {})]),
        tool_result("c2", "y"),
        user("and?"),
        system="rules",
        tools=(BASH, PYTHON),
    )
    marked = {"type": "ephemeral"}
    assert body["system"] == [{"type": "text", "text": "rules", "cache_control": marked}]
    assert [tool.get("cache_control") for tool in body["tools"]] == [None, marked]
    assert [turn["content"][-1].get("cache_control") for turn in body["messages"]] == [None, None, marked, None, marked]
    assert json.dumps(body).count("cache_control") == 4


async def test_ids_that_a_harness_made_up_are_fit_for_anthropic() -> None:
    body = await sent(
        "anthropic", user("go"), assistant("", [ToolCall("call:1/ä", "bash")]), tool_result("call:1/ä", "")
    )
    assert body["messages"][1]["content"][0]["id"] == "call_1__"
    assert {key: body["messages"][2]["content"][0][key] for key in ("type", "tool_use_id")} == {
        "type": "tool_result",
        "tool_use_id": "call_1__",
    }


@ANY_API
async def test_lone_surrogates_are_replaced_on_both_ways(api: Api) -> None:
    body = await sent(api, user("bad \ud800 text"))
    assert "bad ? text" in json.dumps(body)
    completion = await understood(api, json.dumps(good(api, "odd \ud800 end")))
    assert completion.text == "odd ? end"


@ANY_API
async def test_a_request_that_is_not_json_is_rejected_here(api: Api) -> None:
    call = ToolCall("c1", "bash", {"x": float("nan")})
    async with scripted_server() as server, client(server.url, api) as model:
        reply = await model.complete(asked(user("a"), assistant("", [call]), tool_result(call, "b")), context())
    assert server.requests == []
    assert reply.completion.stop_reason == "rejected"
    assert "cannot be written as JSON" in reply.completion.error


async def test_a_large_answer_may_be_asked_for_without_streaming() -> None:
    body = await sent("anthropic", user("a"), max_tokens=64_000)
    assert body["max_tokens"] == 64_000
    assert not body.get("stream")


async def settings_sent(api: Api) -> Any:
    return await sent(api, user("a"), temperature=0.5, stop=("END",), effort="low", max_tokens=9)


async def test_settings_have_each_apis_own_names() -> None:
    body = await settings_sent("anthropic")
    assert (body["temperature"], body["stop_sequences"], body["max_tokens"]) == (0.5, ["END"], 9)
    assert (body["output_config"], body["thinking"]) == ({"effort": "low"}, {"type": "adaptive"})
    body = await settings_sent("responses")
    assert (body["temperature"], body["reasoning"], body["max_output_tokens"]) == (0.5, {"effort": "low"}, 9)
    assert "stop" not in body
    body = await settings_sent("chat")
    assert (body["temperature"], body["stop"], body["max_tokens"]) == (0.5, ["END"], 9)
    assert "reasoning_effort" not in body


@ANY_API
async def test_a_providers_own_fields_and_headers_are_sent(api: Api) -> None:
    async with (
        scripted_server(Reply(good(api))) as server,
        client(server.url, api, extra_body={"top_k": 3}, headers={"x-team": "blue"}) as model,
    ):
        await model.complete(asked(user("a")), context())
    assert server.bodies[0]["top_k"] == 3
    assert server.requests[0].headers["x-team"] == "blue"


@pytest.mark.parametrize(
    ("api", "words", "field"),
    [
        ("anthropic", "`temperature` is deprecated for this model.", "temperature"),
        ("anthropic", "This model does not support the effort parameter.", "output_config"),
        ("anthropic", "adaptive thinking is not supported on this model", "thinking"),
        ("responses", "Unsupported parameter: 'temperature' is not supported with this model.", "temperature"),
        ("responses", "Unsupported parameter: 'reasoning.effort' is not supported with this model.", "reasoning"),
        ("responses", "Encrypted content is not supported with this model.", "include"),
        (
            "chat",
            "Unsupported value: 'temperature' does not support 0.5. Only the default (1) is supported.",
            "temperature",
        ),
        ("chat", "Unsupported parameter: 'stop' is not supported with this model.", "stop"),
    ],
)
async def test_a_setting_that_the_model_does_not_take_is_left_out_from_then_on(
    api: Api, words: str, field: str
) -> None:
    refusal = Reply({"error": {"message": words}}, status=400)
    request = asked(user("a"), temperature=0.5, stop=("END",), effort="low")
    async with (
        scripted_server(refusal, Reply(good(api)), Reply(good(api))) as server,
        client(server.url, api) as model,
    ):
        reply = await model.complete(request, context())
        await model.complete(request, context())
    assert (reply.completion.text, reply.retries) == ("hello", 0)
    assert [field in body for body in server.bodies] == [True, False, False]


async def test_the_name_of_the_token_limit_follows_the_servers_wish() -> None:
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    refusal = Reply({"error": {"message": words}}, status=400)
    async with scripted_server(refusal, Reply(good("chat"))) as server, client(server.url, "chat") as model:
        await model.complete(asked(user("a"), max_tokens=9), context())
    assert server.bodies[0]["max_tokens"] == 9
    assert "max_tokens" not in server.bodies[1]
    assert server.bodies[1]["max_completion_tokens"] == 9


async def test_a_server_that_takes_neither_name_of_the_token_limit_is_not_asked_for_ever() -> None:
    words = "'max_tokens' and 'max_completion_tokens' are not supported"
    always = Reply({"error": {"message": words}}, status=400)
    async with scripted_server(otherwise=always) as server, client(server.url, "chat") as model:
        reply = await model.complete(asked(user("a")), context())
    assert (reply.completion.stop_reason, reply.completion.error) == ("rejected", words)
    assert len(server.requests) == 3


async def test_a_value_out_of_range_is_not_mistaken_for_a_missing_setting() -> None:
    refusal = Reply({"error": {"message": "temperature: must be between 0 and 1"}}, status=400)
    async with scripted_server(refusal) as server, client(server.url, "anthropic") as model:
        reply = await model.complete(asked(user("a"), temperature=7), context())
    assert reply.completion.stop_reason == "rejected"
    assert len(server.requests) == 1


STOPS: list[tuple[Api, dict[str, Any], str]] = [
    ("anthropic", {"stop_reason": "max_tokens"}, "max_tokens"),
    ("anthropic", {"stop_reason": "stop_sequence", "stop_sequence": "END"}, "stop"),
    ("anthropic", {"stop_reason": "model_context_window_exceeded"}, "context_overflow"),
    ("anthropic", {"stop_reason": "pause_turn"}, "end"),
    ("anthropic", {"stop_reason": None}, "end"),
    ("anthropic", {"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "no bio"}}, "refusal"),
    ("anthropic", {"stop_reason": "refusal", "content": []}, "refusal"),
    ("responses", {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_tokens"),
    ("responses", {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "refusal"),
    ("responses", {"usage": {"input_tokens": 1, "output_tokens": 50}}, "max_tokens"),
    (
        "responses",
        {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "I cannot"}]}]},
        "refusal",
    ),
    ("chat", {"choices": [{"finish_reason": "length", "message": {"content": "x"}}]}, "max_tokens"),
    ("chat", {"choices": [{"finish_reason": "content_filter", "message": {"content": None}}]}, "refusal"),
    ("chat", {"choices": [{"finish_reason": "stop", "message": {"content": None, "refusal": "I cannot"}}]}, "refusal"),
    ("chat", {"choices": [{"finish_reason": "stop", "stop_reason": "END", "message": {"content": "x"}}]}, "stop"),
]


@pytest.mark.parametrize(("api", "change", "reason"), STOPS)
async def test_every_way_to_stop_has_its_name(api: Api, change: dict[str, Any], reason: str) -> None:
    completion = await understood(api, {**good(api), **change}, stop=("END",), max_tokens=50)
    assert completion.stop_reason == reason
    assert bool(completion.error) == (reason in ("refusal", "context_overflow"))


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_a_stop_sequence_that_the_api_lets_through_is_cut_here(api: Api) -> None:
    completion = await understood(api, good(api, "one END two STOP"), stop=("STOP", "END"))
    assert (completion.text, completion.stop_reason) == ("one ", "stop")


@pytest.mark.parametrize(
    ("api", "change"),
    [
        ("anthropic", {"content": []}),
        ("responses", {"output": []}),
        ("chat", {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": None}}]}),
        ("chat", {"choices": [{"message": {"role": "assistant"}}]}),
    ],
)
async def test_a_model_that_says_nothing_has_answered(api: Api, change: dict[str, Any]) -> None:
    completion = await understood(api, {**good(api), **change})
    assert (completion.text, completion.tool_calls, completion.stop_reason) == ("", (), "end")


async def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    completion = await understood("chat", {"choices": [{"message": {"content": parts}}]})
    assert completion.text == "ab"


@pytest.mark.parametrize(
    ("api", "usage", "counted"),
    [
        (
            "anthropic",
            {
                "input_tokens": 5,
                "output_tokens": 9,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
                "output_tokens_details": {"thinking_tokens": 4},
            },
            Usage(125, 9, 100, 20, 4),
        ),
        (
            "responses",
            {
                "input_tokens": 125,
                "output_tokens": 9,
                "input_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20},
                "output_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(125, 9, 100, 20, 4),
        ),
        (
            "chat",
            {
                "prompt_tokens": 125,
                "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 100},
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(125, 9, 100, 0, 4),
        ),
        ("chat", {"prompt_tokens": 125, "completion_tokens": 9, "prompt_cache_hit_tokens": 64}, Usage(125, 9, 64)),
        ("chat", {"prompt_tokens": "12", "completion_tokens": 3.0, "prompt_tokens_details": None}, Usage(12, 3)),
        # Cached input counted apart from the rest, as some servers do: the greater count holds.
        ("chat", {"prompt_tokens": 5, "completion_tokens": 9, "prompt_cache_hit_tokens": 64}, Usage(64, 9, 64)),
    ],
)
async def test_usage_is_counted_alike(api: Api, usage: dict[str, Any] | None, counted: Usage) -> None:
    assert (await understood(api, {**good(api), "usage": usage})).usage == counted


NOTHING: tuple[Any, ...] = (None, {}, [], "none", 0)
COUNTS: tuple[tuple[Api, str, str], ...] = (
    ("anthropic", "input_tokens", "output_tokens"),
    ("responses", "input_tokens", "output_tokens"),
    ("chat", "prompt_tokens", "completion_tokens"),
)
GUESS_IN, GUESS_OUT = 7, 18
"""The estimates for "hi" in its message, and for 51 characters; three characters to a token, one token more."""


@pytest.mark.parametrize(
    ("api", "usage", "counted"),
    [
        *((api, nothing, (GUESS_IN, GUESS_OUT)) for api in APIS for nothing in NOTHING),
        ("anthropic", {"input_tokens": None, "output_tokens": None}, (GUESS_IN, GUESS_OUT)),
        ("anthropic", {"input_tokens": 0, "output_tokens": 0}, (GUESS_IN, GUESS_OUT)),
        ("anthropic", {"input_tokens": 30, "output_tokens": None}, (30, GUESS_OUT)),
        ("responses", {"input_tokens": None, "output_tokens": 8}, (GUESS_IN, 8)),
        ("responses", {"input_tokens": 30, "output_tokens": -1}, (30, GUESS_OUT)),
        ("chat", {"prompt_tokens": 30, "completion_tokens": None, "total_tokens": 30}, (30, GUESS_OUT)),
        ("chat", {"prompt_tokens": "many", "completion_tokens": 8}, (GUESS_IN, 8)),
        ("chat", {"prompt_tokens": 0, "completion_tokens": 0}, (GUESS_IN, GUESS_OUT)),
        # Counts that cannot be true; -1 without a sign is one that servers do send.
        *(
            (api, {given: absurd, taken: 8}, (GUESS_IN, 8))
            for api, given, taken in COUNTS
            for absurd in (10**400, 10**30, 5 * 10**18, 2**64 - 1, 2**32 - 1, 1e308)
        ),
        *((api, {given: 30, taken: 2**32 - 1}, (30, GUESS_OUT)) for api, given, taken in COUNTS),
        (
            "chat",
            {"prompt_tokens": 10**30, "completion_tokens": 8, "prompt_tokens_details": {"cached_tokens": 10**30}},
            (GUESS_IN, 8),
        ),
        ("anthropic", {"input_tokens": 10**30, "output_tokens": 8, "cache_read_input_tokens": 10**30}, (GUESS_IN, 8)),
    ],
)
async def test_what_a_provider_does_not_count_is_estimated_and_said_to_be(
    api: Api, usage: Any, counted: tuple[int, int]
) -> None:
    completion = await understood(api, {**good(api, "x" * 51), "usage": usage})
    assert completion.usage == Usage(*counted, estimated=True)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        # xAI's own example: reasoning stands beside what was completed.
        (
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Usage(32, 103, reasoning_tokens=94),
        ),
        # Gemini's form: the whole alone tells of it.
        ({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}, Usage(20, 603)),
        # OpenAI's: it is among what was completed.
        (
            {
                "prompt_tokens": 32,
                "completion_tokens": 103,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Usage(32, 103, reasoning_tokens=94),
        ),
        ({"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 9}, Usage(32, 9)),
    ],
)
async def test_reasoning_that_only_the_whole_counts_is_output(usage: dict[str, Any], counted: Usage) -> None:
    assert (await understood("chat", {**good("chat", "hello"), "usage": usage})).usage == counted


async def test_an_estimate_counts_calls_and_reasoning_and_takes_a_cut_answer_at_its_most() -> None:
    call = {"id": "c", "function": {"name": "bash", "arguments": json.dumps({"command": "x" * 300})}}
    message = {"content": None, "reasoning_content": "y" * 300, "tool_calls": [call]}
    reply = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    assert 200 <= (await understood("chat", reply)).usage.output_tokens <= 220
    cut = {"choices": [{"message": {"content": "only this"}, "finish_reason": "length"}]}
    assert (await understood("chat", cut, max_tokens=500)).usage.output_tokens == 500
    # A letter that takes three bytes is a token of its own.
    wide = {"choices": [{"message": {"content": "\u6f22" * 100}, "finish_reason": "stop"}]}
    assert (await understood("chat", wide)).usage.output_tokens == 101


async def test_an_answer_of_no_word_and_a_refused_request_took_no_output() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 0}
    empty = {"choices": [{"message": {"content": None}, "finish_reason": "stop"}], "usage": usage}
    assert (await understood("chat", empty)).usage == Usage(9, 0)
    async with (
        scripted_server(Reply({"error": {"message": "no"}}, status=400)) as server,
        client(server.url, "chat") as m,
    ):
        assert (await m.complete(asked(user("hi")), context())).completion.usage == Usage()
