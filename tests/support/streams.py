"""Good answers as the streams by which each API sends them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lorimer.models.provider import Api
from tests.support.scripted_server import Reply

Cut = Callable[[str], Sequence[str]]
"""Cuts a text into fragments."""


def whole(text: str) -> Sequence[str]:
    return [text] if text else []


def halves(text: str) -> Sequence[str]:
    return [part for part in (text[: len(text) // 2], text[len(text) // 2 :]) if part]


def events(api: Api, answer: Mapping[str, Any], cut: Cut = halves) -> list[bytes]:
    """The events of a stream of `answer`, which is what the API sends in one piece otherwise."""
    made = {"anthropic": _messages, "responses": _responses, "chat": _chat}[api](answer, cut)
    return [
        *(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode() if name else _data(data) for name, data in made),
        *([b"data: [DONE]\n\n"] if api == "chat" else []),
    ]


def stream(api: Api, answer: Mapping[str, Any], cut: Cut = halves) -> Reply:
    """The same as a reply of a scripted server."""
    return Reply(pieces=tuple(events(api, answer, cut)))


def _data(data: Any) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def _chat(answer: Mapping[str, Any], cut: Cut) -> Iterator[tuple[str, Any]]:
    choice = answer["choices"][0]
    message = choice["message"]

    def chunk(delta: Mapping[str, Any], **more: Any) -> tuple[str, Any]:
        return "", {
            "object": "chat.completion.chunk",
            **{key: answer[key] for key in ("id", "model") if key in answer},
            "choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}],
        }

    yield chunk({"role": "assistant", "content": ""})
    for name in ("reasoning_content", "reasoning", "content", "refusal"):
        if isinstance(message.get(name), str):
            for part in cut(message[name]):
                yield chunk({name: part})
    own = {key: value for key, value in message.items() if key not in _READ}
    if own:
        yield chunk(own)
    for index, call in enumerate(message.get("tool_calls") or ()):
        head = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        yield chunk({"tool_calls": [head]})
        for part in cut(call["function"]["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    rest = {key: value for key, value in choice.items() if key not in ("message", "index")}
    yield chunk({}, **rest)
    if answer.get("usage") is not None:
        yield "", {"object": "chat.completion.chunk", "choices": [], "usage": answer["usage"]}


_READ = ("role", "content", "reasoning_content", "reasoning", "refusal", "tool_calls")


def _messages(answer: Mapping[str, Any], cut: Cut) -> Iterator[tuple[str, Any]]:
    usage = answer.get("usage") or {}
    start = {**answer, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield _typed("message_start", message=start)
    for index, block in enumerate(answer["content"]):
        texts = {"text": "text", "thinking": "thinking", "tool_use": "input"}
        field = texts.get(block["type"])
        opened = {**block, **({field: {} if field == "input" else ""} if field else {})}
        opened |= {"signature": ""} if "signature" in block else {}
        yield _typed("content_block_start", index=index, content_block=opened)
        yield _typed("ping")
        if field:
            text = json.dumps(block[field]) if field == "input" else block[field]
            name = {"input": "partial_json"}.get(field, field)
            kind = {"input": "input_json_delta"}.get(field, f"{field}_delta")
            for part in cut(text):
                yield _typed("content_block_delta", index=index, delta={"type": kind, name: part})
        if "signature" in block:
            delta = {"type": "signature_delta", "signature": block["signature"]}
            yield _typed("content_block_delta", index=index, delta=delta)
        yield _typed("content_block_stop", index=index)
    ending = {key: answer.get(key) for key in ("stop_reason", "stop_sequence", "stop_details")}
    yield _typed("message_delta", delta=ending, usage={"output_tokens": usage.get("output_tokens")})
    yield _typed("message_stop")


def _responses(answer: Mapping[str, Any], cut: Cut) -> Iterator[tuple[str, Any]]:
    yield _typed("response.created", response={**answer, "status": "in_progress", "output": [], "usage": None})
    for index, item in enumerate(answer["output"]):
        yield _typed("response.output_item.added", output_index=index, item={**item, "status": "in_progress"})
        for part in item.get("content") or ():
            for text in cut(part.get("text", "")):
                yield _typed("response.output_text.delta", output_index=index, delta=text)
        for text in cut(str(item.get("arguments", ""))):
            yield _typed("response.function_call_arguments.delta", output_index=index, delta=text)
        yield _typed("response.output_item.done", output_index=index, item=item)
    last = answer.get("status") or "completed"
    yield _typed(f"response.{last}", response=answer)


def _typed(kind: str, **fields: Any) -> tuple[str, Any]:
    return kind, {"type": kind, **fields}
