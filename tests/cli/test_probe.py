"""What a probe finds of servers that honour, ignore and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lorimer.doctor.probe import FEW, NUMBER, WORD, probe
from lorimer.harness.api import image, user
from lorimer.keys import Keys
from lorimer.models.abilities import Abilities
from lorimer.models.client import ProviderClient
from lorimer.models.provider import Api
from lorimer.models.registry import open_at_provider
from tests.support.model_clients import BASH, asked, context, good, provider_at
from tests.support.scripted_server import Reply, Request, scripted_server
from tests.support.streams import stream

ANY_API = pytest.mark.parametrize("api", ["anthropic", "responses", "chat"])
FORMS = ("response_format", "text", "output_config")


def open_at(url: str, api: Api, timeout: float = 20.0) -> ProviderClient:
    retry = replace(provider_at(url, api).retry, window_seconds=0.0, timeout_seconds=timeout)
    return open_at_provider("local/model", {"local": replace(provider_at(url, api), retry=retry)}, keys=Keys({}))


def system_of(body: Any) -> str:
    return json.dumps(
        [body.get("system"), body.get("instructions"), [m for m in body.get("messages", ()) if m["role"] == "system"]]
    )


def honest(api: Api) -> Callable[[Request], Reply]:
    """A server that does all that it is asked."""

    def answer(request: Request) -> Reply:
        body = request.body
        if body.get("stream"):
            return stream(api, good(api, "Hello!"))
        if any(form in body for form in FORMS):
            return Reply(good(api, json.dumps({"word": WORD})))
        if "picture" in request.raw.decode():
            return Reply(good(api, f"The number is {NUMBER}."))
        if "tools" in body:
            return Reply(good(api, "", [("c1", "press_button", {"colour": "red"})]))
        return Reply(good(api, WORD.title() if WORD in system_of(body) else "Hello!"))

    return answer


@ANY_API
async def test_a_server_that_does_what_it_is_asked_honours_all(api: Api) -> None:
    said: list[str] = []
    async with scripted_server(otherwise=honest(api)) as server:
        client = open_at(server.url, api)
        found = await probe(client, said.append)
        await client.close()
    assert found == Abilities(*["honoured"] * 6)  # type: ignore[arg-type]
    assert said == ["schema", "tool_choice", "tools", "system", "stream", "images"]
    assert len(server.requests) == 6, "one request per question"
    assert all(FEW in (body.get("max_tokens"), body.get("max_output_tokens")) for body in server.bodies)


@ANY_API
async def test_a_server_that_answers_as_if_nothing_were_asked_ignores_all(api: Api) -> None:
    async with scripted_server(otherwise=Reply(good(api, "Hello!"))) as server:
        client = open_at(server.url, api)
        found = await probe(client)
        await client.close()
    assert found == Abilities(*["ignored"] * 6)  # type: ignore[arg-type]


@ANY_API
async def test_a_server_that_refuses_is_asked_once_each(api: Api) -> None:
    def refuses(request: Request) -> Reply:
        names = [name for name in (*FORMS, "tool_choice", "tools", "stream") if name in request.body]
        names += ["image input"] if "base64" in request.raw.decode() else []
        words = f"{', '.join(names)}: not supported"
        return Reply({"error": {"message": words}}, status=400) if names else Reply(good(api, "Hello!"))

    async with scripted_server(otherwise=refuses) as server:
        client = open_at(server.url, api)
        found = await probe(client)
        await client.close()
    assert found == Abilities("refused", "refused", "refused", "ignored", "refused", "refused")
    assert len(server.requests) == 6


async def test_a_call_in_the_text_is_told_apart() -> None:
    text = '<tool_call>\n{"name": "press_button", "arguments": {"colour": "red"}}\n</tool_call>'
    async with scripted_server(otherwise=Reply(good("chat", text))) as server:
        client = open_at(server.url, "chat")
        found = await probe(client)
        await client.close()
    assert (found.tools, found.calls_natively) == ("in text", False)


async def test_what_was_not_answered_is_unknown() -> None:
    cut = good("chat", "")
    cut["choices"][0]["finish_reason"] = "length"
    script = [Reply("busy", status=503), Reply(ending="close"), Reply("no JSON"), Reply(cut)]
    async with scripted_server(*script, otherwise=Reply(ending="hang")) as server:
        client = open_at(server.url, "chat", timeout=0.3)
        found = await probe(client)
        await client.close()
    assert found == Abilities()
    assert found.calls_natively is None


async def test_a_model_that_takes_no_images_is_told_in_words_from_the_first_request_on() -> None:
    async with scripted_server(otherwise=Reply(good("chat"))) as server:
        client = open_at(server.url, "chat")
        client.knows(Abilities(images="refused"))
        await client.complete(asked(user("look", [image(b"\x89PNG\r\n\x1a\nrest")])), context())
        await client.close()
    assert server.bodies[0]["messages"][0]["content"] == (
        "look\n[image/png, 12 bytes] (left out: this model takes no images)"
    )


async def test_what_is_known_is_heeded_from_the_first_request_on() -> None:
    async with scripted_server(otherwise=Reply(good("chat", '{"n": 1}'))) as server:
        client = open_at(server.url, "chat")
        client.knows(Abilities(schema="ignored", tool_choice="refused", tools="honoured"))
        form = {"type": "object", "required": ["n"]}
        reply = await client.complete(asked(user("a"), schema=form, tools=(BASH,), tool_choice="required"), context())
        await client.close()
    (body,) = server.bodies
    assert "response_format" not in body
    assert "tool_choice" not in body
    assert "JSON Schema" in system_of(body)
    assert "call of one of the tools" in system_of(body)
    assert reply.notes == ()


def test_abilities_are_read_back_whatever_else_is_stored() -> None:
    found = Abilities("honoured", "ignored", "in text", "unknown", "refused")
    assert Abilities.of_json(found.as_json()) == found
    assert Abilities.of_json({"schema": "honoured", "tools": "sometimes", "vision": "honoured"}) == Abilities(
        "honoured"
    )
    assert (
        str(found)
        == "schema honoured, tool_choice ignored, tools in text, system unknown, stream refused, images unknown"
    )
