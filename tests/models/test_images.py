"""Pictures in messages: how each API gets them, and what becomes of them where a model takes none."""

from __future__ import annotations

from typing import Any

import pytest

from lorimer.harness.api import Image, Message, ToolCall, assistant, image, tool_result, user
from lorimer.models import forms
from lorimer.models.messages import shown_by_user
from lorimer.models.provider import Api
from lorimer.models.usage import IMAGE_TOKENS, estimate_tokens
from lorimer.task_agent.serving.wire import MAX_IMAGES, Invalid, Request, parse_params
from lorimer.traces import codec
from lorimer.traces.wired import Complete, plain
from tests.support.model_clients import asked, client, context, good
from tests.support.scripted_server import Reply, scripted_server

ANY_API = pytest.mark.parametrize("api", ["anthropic", "responses", "chat"])
PNG = image(b"\x89PNG\r\n\x1a\n----")
GIF = image(b"GIF89a------")
CALL, OTHER = ToolCall("c1", "look", {}), ToolCall("c2", "look", {})

REFUSALS = [
    (400, "Invalid content type. image_url is only supported by certain models."),
    (400, "'messages[0].content' - This model does not support image input"),
    (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
    (400, "Qwen/Qwen2.5-Coder-7B is not a multimodal model"),
    (400, "At most 0 image(s) may be provided in one prompt."),
    (404, "No endpoints found that support image input"),
    (400, "Failed to deserialize: messages[0]: unknown variant `image_url`, expected `text` at line 1 column 90"),
    (500, "this model is missing data required for image input"),
    (400, "messages[0].content must be text: images are not supported by this model"),
]
"""How OpenAI, Groq, llama.cpp, vLLM (two), OpenRouter, DeepSeek, Ollama and others say that a model takes no pictures."""
OTHERS = [
    "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 5600000 bytes > 5242880 bytes",
    "Could not process image",
    "The image format is not supported; use png, jpeg, gif or webp",
    "tools: not supported by this model",
]


async def sent(api: Api, *messages: Message) -> Any:
    async with scripted_server(Reply(good(api))) as server, client(server.url, api) as model:
        await model.complete(asked(*messages), context())
    return server.bodies[0]


def test_a_picture_is_known_by_its_first_bytes() -> None:
    starts = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff\xe0": "jpeg", b"GIF87a": "gif", b"RIFF1234WEBP": "webp"}
    assert [image(start + b"rest").type for start in starts] == [f"image/{name}" for name in starts.values()]
    for other in (b"", b"RIFF1234WAVE", b"%PDF-1.7"):
        with pytest.raises(ValueError, match="not a PNG, JPEG, GIF or WebP picture"):
            image(other)


async def test_anthropic_gets_pictures_of_the_user_and_of_tools() -> None:
    body = await sent(
        "anthropic",
        user("what is this?", [PNG]),
        assistant("", [CALL]),
        tool_result(CALL, "a screenshot", images=[GIF]),
    )
    source = {"type": "base64", "media_type": "image/png", "data": PNG.data}
    first, _, last = body["messages"]
    assert first["content"][0] == {"type": "image", "source": source}
    assert first["content"][1]["text"] == "what is this?"
    (result,) = last["content"]
    assert [block["type"] for block in result["content"]] == ["image", "text"]
    assert result["content"][0]["source"]["data"] == GIF.data


async def test_chat_gets_the_pictures_of_tools_in_the_users_next_turn() -> None:
    body = await sent(
        "chat",
        user("look at both", [PNG]),
        assistant("", [CALL, OTHER]),
        tool_result(CALL, "one", images=[GIF]),
        tool_result(OTHER, "two"),
        user("and now?"),
    )
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG.data}"}}
    assert body["messages"][0]["content"] == [url, {"type": "text", "text": "look at both"}]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "tool", "user"]
    last = body["messages"][-1]["content"]
    assert last[0]["image_url"]["url"] == f"data:image/gif;base64,{GIF.data}"
    assert last[1]["text"] == "What the tool showed:\n\nand now?"


async def test_responses_get_a_picture_alone_without_empty_words() -> None:
    body = await sent("responses", user("", [PNG]))
    shown = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG.data}"}
    assert body["input"] == [{"type": "message", "role": "user", "content": [shown]}]


def test_pictures_of_the_last_tools_come_after_them() -> None:
    moved = shown_by_user([assistant("", [CALL]), tool_result(CALL, "one", images=[GIF])])
    assert [(message.role, len(message.images)) for message in moved] == [("assistant", 0), ("tool", 0), ("user", 1)]


@ANY_API
@pytest.mark.parametrize(("status", "words"), REFUSALS)
async def test_a_model_that_takes_no_pictures_is_told_so_from_then_on(api: Api, status: int, words: str) -> None:
    refusal = Reply({"error": {"message": words}}, status=status)
    request = asked(user("what is this?", [PNG]))
    async with (
        scripted_server(refusal, Reply(good(api)), Reply(good(api))) as server,
        client(server.url, api) as model,
    ):
        reply = await model.complete(request, context())
        await model.complete(request, context())
    assert (reply.completion.text, reply.retries) == ("hello", 0)
    raw = [each.raw.decode() for each in server.requests]
    assert [PNG.data in each for each in raw] == [True, False, False]
    assert all(
        "what is this?\\n[image/png, 12 bytes] (left out: this model takes no images)" in each for each in raw[1:]
    )
    (note,) = reply.notes
    assert note.text == "local/model refuses images: each is left out, and the prompt says that there was one"


@pytest.mark.parametrize("words", OTHERS)
def test_other_refusals_are_not_taken_for_that(words: str) -> None:
    assert forms.NO_IMAGES.search(words) is None


def test_a_picture_comes_back_from_the_store_and_changes_the_key() -> None:
    message = tool_result(CALL, "a screenshot", images=[PNG, GIF])
    assert codec.decode_message(codec.encode_message(message)) == message
    assert "images" not in codec.encode_message(user("no picture")), "keys of older records stay what they were"
    keys = {Complete((user("look", images),)).key for images in ([], [PNG], [GIF], [PNG, GIF])}
    assert len(keys) == 4
    assert "[image/gif, 12 bytes]" in plain(Complete((user("look", [GIF]),)))


def test_a_picture_counts_as_many_tokens_as_a_large_one_takes() -> None:
    more = estimate_tokens(asked(user("look", [PNG]))) - estimate_tokens(asked(user("look")))
    assert more == IMAGE_TOKENS


def refused(*messages: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as caught:
        parse_params(Request(id=1, method="llm.complete", params={"messages": list(messages)}))
    return str(caught.value)


def test_the_wire_takes_only_pictures_that_can_be_sent() -> None:
    shown: dict[str, Any] = {"role": "user", "images": [{"data": PNG.data, "type": "image/png"}]}
    params = parse_params(Request(id=1, method="llm.complete", params={"messages": [shown]}))
    assert params.messages[0].images == (Image(PNG.data, "image/png"),)
    assert "an image in a message of the assistant" in refused(shown, {**shown, "role": "assistant"})
    assert "no base64" in refused({"role": "user", "images": [{"data": "%%%", "type": "image/png"}]})
    assert "image/png" in refused({"role": "user", "images": [{"data": PNG.data, "type": "image/svg+xml"}]})
    assert f"{MAX_IMAGES} may be sent" in refused({**shown, "images": shown["images"] * (MAX_IMAGES + 1)})
    assert "7,000,000 characters of base64" in refused(
        {"role": "user", "images": [{"data": "A" * 7_000_000, "type": "image/png"}]}
    )
