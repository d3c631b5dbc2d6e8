"""Chat Completions: OpenAI's own, and the servers that are compatible with it (llama.cpp, vLLM, Ollama, …)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from lorimer.harness.api import Completion, Usage
from lorimer.models.base import ModelRequest
from lorimer.models.bodies import chat_api
from lorimer.models.client import ReplyFields, served
from lorimer.models.failing.failures import StatusFailure, Unreachable
from lorimer.models.messages import (
    encodable,
)
from lorimer.models.own_fields import refused, wants_thoughts
from lorimer.models.provider import Key, ProviderConfig
from lorimer.models.streams.chat import ChatAnswer
from lorimer.models.streams.reading import Assembler, Pace, collect, had_begun, network_errors, pieces

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


def sdk_extra(provider: ProviderConfig) -> dict[str, Any]:
    """A provider's own fields as the SDK takes them: its methods know no others than the API's."""
    return {"extra_body": dict(provider.extra_body)} if provider.extra_body else {}


@contextmanager
def _told() -> Iterator[None]:
    """The SDK's exceptions, and those that it lets through, as lorimer's own."""
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        raise StatusFailure(error.status_code, dict(error.response.headers), error.response.text) from None
    except openai.APIConnectionError as error:
        raise Unreachable(f"{error.message.rstrip('.')}: {why(error)}", begun=had_begun(error)) from None
    except network_errors() as error:
        raise Unreachable(f"the answer could not be read: {type(error).__name__} {error}".strip()) from None


def why(error: BaseException) -> str:
    """The network's own words under an SDK's connection error."""
    cause = error.__cause__ or error.__context__
    if cause is None:
        return type(error).__name__
    return f"{type(cause).__name__} {cause}".strip()


class _Function(ReplyFields):
    name: str | None = None
    arguments: Any = None


class _Call(ReplyFields):
    id: str | None = None
    function: _Function


class _Message(ReplyFields):
    content: Any = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[_Call] | None = None


class _Choice(ReplyFields):
    message: _Message
    finish_reason: str | None = None
    stop_reason: Any = None


class _Reply(ReplyFields):
    """What an answer must be; counts may be anything."""

    choices: list[_Choice] = Field(min_length=1)


class ChatDialect:
    """POST /chat/completions."""

    optional = chat_api.OPTIONAL

    def __init__(self, model: str, provider: ProviderConfig, key: Key) -> None:
        self._served, self._extra = replace(served(model, provider), extra={}), sdk_extra(provider)
        self._untaken: frozenset[str] = frozenset()
        self._connection = OpenAIConnection(provider, key)
        self.base_url = self._connection.base_url

    def encode(self, request: ModelRequest, dropped: frozenset[str], *, stream: bool = False) -> dict[str, Any]:
        """See Dialect."""
        return chat_api.encode(self._served, request, dropped, stream=stream, untaken=self._untaken) | self._extra

    def decode(self, data: Any, request: ModelRequest) -> Completion:
        """See Dialect."""
        _Reply.model_validate(data)
        return chat_api.decode(self._served, data, request)

    def usage(self, data: Mapping[str, Any]) -> Usage:
        """See Dialect."""
        return chat_api.usage_of(data)

    def learn(self, words: str, body: Mapping[str, Any], request: ModelRequest) -> bool:
        """See Dialect.

        Thoughts go back once they are asked for; fields of the provider's own that it does not take back stay out.
        """
        if wants_thoughts(words):
            self._served = replace(self._served, thoughts=True)
        else:
            self._untaken |= refused(words, body)
        system = [message for message in body["messages"] if message["role"] == "system"]
        conversation = chat_api.messages(self._served, replace(request, system=None), self._untaken)
        again: bool = encodable(conversation) != body["messages"][len(system) :]
        return again

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
