"""Chat Completions: OpenAI's own, and the servers that are compatible with it (llama.cpp, vLLM, Ollama, …)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from lorimer.harness.api import Completion, Message, Usage, assistant
from lorimer.models import forms
from lorimer.models.base import ModelRequest
from lorimer.models.client import Count, Counts, Optional, Wire
from lorimer.models.failures import StatusFailure, Unreachable
from lorimer.models.messages import (
    cut_at_stop,
    encodable,
    normalised,
    parsed_call,
    sent_arguments_text,
    split_thoughts,
    why_stopped,
)
from lorimer.models.own_fields import THOUGHTS, kept, put_back, refused, wants_thoughts
from lorimer.models.provider import Key, ProviderConfig
from lorimer.models.streams.chat import ChatAnswer
from lorimer.models.streams.reading import Assembler, Pace, collect, pieces

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class OpenAIConnection:
    """The openai SDK, reduced to what both OpenAI dialects need of it."""

    def __init__(self, provider: ProviderConfig, key: Key) -> None:
        import openai

        timeout = provider.retry.timeout_seconds
        self._client: AsyncOpenAI = openai.AsyncOpenAI(
            api_key=key.reveal(),
            base_url=provider.base_url,
            # Ours, in one place for every provider, with a window and a voice.
            max_retries=0,
            # A host that drops packets is known after ten seconds; an answer may take as long as it is allowed to.
            timeout=openai.Timeout(timeout, connect=min(10.0, timeout)),
            default_headers=key.headers() or None,
            # A redirect would carry prompts to an address that the user did not name.
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        )
        self.base_url = str(self._client.base_url)

    async def post(self, api: str, body: dict[str, Any]) -> bytes:
        """`api` is `chat` or `responses`. Raises StatusFailure, Unreachable."""
        with _told():
            content: bytes = (await self._resource(api).with_raw_response.create(**body)).content
        return content

    async def stream(self, api: str, body: dict[str, Any], answer: Assembler, pace: Pace) -> bytes:
        """The same of a body that asks for a stream. Raises as `collect` does, too."""
        with _told():
            async with self._resource(api).with_streaming_response.create(**body) as response:
                return await collect(pieces(response), answer, pace)

    def _resource(self, api: str) -> Any:
        client: Any = self._client
        return client.chat.completions if api == "chat" else client.responses

    async def list_models(self) -> bytes:
        """Raises StatusFailure, Unreachable."""
        models: Any = self._client.models
        with _told():
            content: bytes = (await models.with_raw_response.list()).content
        return content

    async def close(self) -> None:
        await self._client.close()


@contextmanager
def _told() -> Iterator[None]:
    """The SDK's exceptions as lorimer's own."""
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        raise StatusFailure(error.status_code, dict(error.response.headers), error.response.text) from None
    except openai.APIConnectionError as error:
        raise Unreachable(f"{error.message.rstrip('.')}: {why(error)}") from None


def why(error: BaseException) -> str:
    """The network's own words under an SDK's connection error."""
    cause = error.__cause__ or error.__context__
    if cause is None:
        return type(error).__name__
    return f"{type(cause).__name__} {cause}".strip()


class _Function(Wire):
    name: str | None = None
    arguments: Any = None


class _Call(Wire):
    id: str | None = None
    function: _Function


class _Message(Wire):
    content: Any = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[_Call] | None = None


class _Choice(Wire):
    message: _Message
    finish_reason: str | None = None
    stop_reason: Any = None


class _Details(Wire):
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0


class _Usage(Wire):
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    prompt_tokens_details: Counts[_Details] = _Details()
    completion_tokens_details: Counts[_Details] = _Details()
    prompt_cache_hit_tokens: Count = 0


class _Reply(Wire):
    choices: list[_Choice] = Field(min_length=1)
    usage: Counts[_Usage] = _Usage()


_FILTERED = frozenset({"content_filter", "sensitive", "safety", "prohibited_content", "blocklist", "SAFETY"})
"""How servers say that their filter stopped an answer: OpenAI's word, Zhipu's, and those of Gemini behind gateways."""


class ChatDialect:
    """POST /chat/completions."""

    optional: Mapping[str, Optional] = {
        "temperature": Optional("temperature", r"temperature"),
        "effort": Optional("reasoning_effort", r"reasoning[_ ]effort"),
        "stop": Optional("stop", r"\bstop\b"),
        forms.SCHEMA: Optional("response_format", r"response_format|response format|json_schema|structured output"),
        forms.CHOICE: Optional("tool_choice", r"tool_choice"),
        # Without one, the other is sent.
        "max_completion_tokens": Optional("max_completion_tokens", r"max_completion_tokens"),
        "max_tokens": Optional("max_tokens", r"max_tokens"),
        # Without it the usage of a stream is estimated.
        "stream_options": Optional("stream_options", r"stream_options|include_usage"),
    }

    def __init__(self, model: str, provider: ProviderConfig, key: Key) -> None:
        self._model, self._provider = model, provider
        self._thoughts = provider.send_reasoning
        self._untaken: frozenset[str] = frozenset()
        self._connection = OpenAIConnection(provider, key)
        self.base_url = self._connection.base_url

    def encode(self, request: ModelRequest, dropped: frozenset[str], *, stream: bool = False) -> dict[str, Any]:
        """See Dialect."""
        request = forms.said(request, dropped)
        body: dict[str, Any] = {"model": self._model, "messages": self._messages(request)}
        if stream:
            body["stream"] = True
            if "stream_options" not in dropped:
                body["stream_options"] = {"include_usage": True}
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": dict(tool.parameters),
                    },
                }
                for tool in request.tools
            ]
        if (choice := forms.chosen(request, dropped)) is not None:
            named = choice not in ("auto", "required", "none")
            body["tool_choice"] = {"type": "function", "function": {"name": choice}} if named else choice
        if request.schema is not None and forms.SCHEMA not in dropped:
            schema = dict(request.schema)
            form = {"name": forms.NAME, "schema": schema, "strict": forms.is_strict(schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        # OpenAI's reasoning models refuse `max_tokens`; many compatible servers ignore the newer name.
        names = ("max_completion_tokens", "max_tokens")
        preferred, other = names if self._provider.official else reversed(names)
        body[other if preferred in dropped else preferred] = request.max_tokens or self._provider.max_tokens
        if request.stop and "stop" not in dropped:
            body["stop"] = list(request.stop)
        if request.temperature is not None and "temperature" not in dropped:
            body["temperature"] = request.temperature
        if request.effort is not None and self._provider.official and "effort" not in dropped:
            body["reasoning_effort"] = request.effort
        if self._provider.extra_body:
            body["extra_body"] = dict(self._provider.extra_body)
        return body

    def _messages(self, request: ModelRequest) -> list[dict[str, Any]]:
        system = [{"role": "system", "content": request.system}] if request.system else []
        return system + [self._message(message) for message in normalised(request.messages)]

    def _message(self, message: Message) -> dict[str, Any]:
        if message.role == "tool":
            # Chat has no flag for a failed tool; harnesses say so in the text.
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
        if message.role != "assistant":
            return {"role": message.role, "content": message.text}
        sent: dict[str, Any] = {"role": "assistant", "content": message.text or None}
        if message.tool_calls:
            sent["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": sent_arguments_text(call)},
                }
                for call in message.tool_calls
            ]
        put_back(sent, message, self._provider.name, thoughts=self._thoughts, without=self._untaken)
        return sent

    def learn(self, words: str, body: Mapping[str, Any], request: ModelRequest) -> bool:
        """See Dialect.

        Thoughts go back once they are asked for; fields of the provider's own that it does not take back stay out.
        """
        if wants_thoughts(words):
            self._thoughts = True
        else:
            self._untaken |= refused(words, body)
        system = [message for message in body["messages"] if message["role"] == "system"]
        conversation = self._messages(replace(request, system=None))
        again: bool = encodable(conversation) != body["messages"][len(system) :]
        return again

    def decode(self, data: Any, request: ModelRequest) -> Completion:
        """See Dialect."""
        reply = _Reply.model_validate(data)
        choice = reply.choices[0]
        message = choice.message
        text, inline = split_thoughts(_text(message.content))
        calls = tuple(
            # Some servers leave the id out. This one is unique in the conversation, and the same in a replay.
            parsed_call(
                call.id or f"call_{len(request.messages)}_{index}", call.function.name or "", call.function.arguments
            )
            for index, call in enumerate(message.tool_calls or ())
        )
        thoughts = next((said for name in THOUGHTS if isinstance(said := getattr(message, name), str)), "")
        text, stopped = cut_at_stop(text, request.stop)
        stopped = stopped or (isinstance(choice.stop_reason, str) and choice.stop_reason in request.stop)
        refusal = message.refusal or ""
        if choice.finish_reason in _FILTERED:
            refusal = refusal or "the provider's content filter stopped the answer"
        stop_reason = why_stopped(refusal=refusal, cut=choice.finish_reason == "length", calls=calls, stopped=stopped)
        own = kept(self._provider.name, data["choices"][0]["message"], thoughts)
        said = assistant(text, calls, (*own, *inline))
        return Completion(said, stop_reason, _usage(reply.usage), refusal)

    async def send(self, body: dict[str, Any], pace: Pace) -> bytes:
        """See Dialect."""
        if body.get("stream"):
            return await self._connection.stream("chat", body, self.assembler(), pace)
        return await self._connection.post("chat", body)

    def assembler(self) -> Assembler:
        """See Dialect."""
        return ChatAnswer()

    async def close(self) -> None:
        await self._connection.close()

    async def list_models(self) -> bytes:
        """See Dialect."""
        return await self._connection.list_models()


def _text(content: Any) -> str:
    """Content is a string, nothing, or a list of parts of which the text ones count."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
    return "".join(part for part in parts if isinstance(part, str))


def _usage(usage: _Usage) -> Usage:
    return Usage(
        # Some servers count the whole and one side.
        input_tokens=usage.prompt_tokens or _rest(usage, usage.completion_tokens),
        output_tokens=usage.completion_tokens or _rest(usage, usage.prompt_tokens),
        cached_tokens=usage.prompt_tokens_details.cached_tokens or usage.prompt_cache_hit_tokens,
        cache_write_tokens=usage.prompt_tokens_details.cache_write_tokens,
        reasoning_tokens=usage.completion_tokens_details.reasoning_tokens,
    )


def _rest(usage: _Usage, side: int) -> int:
    """What the total leaves for the other side; 0 where one of the two was not counted."""
    return max(0, usage.total_tokens - side) if side else 0
