"""Anthropic's Messages API, and the servers that are compatible with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lorimer.harness.api import Completion, Usage
from lorimer.models.base import ModelRequest
from lorimer.models.bodies import messages_api
from lorimer.models.client import ReplyFields, served
from lorimer.models.dialects.openai import why
from lorimer.models.failing.failures import StatusFailure, Unreachable
from lorimer.models.provider import Key, ProviderConfig
from lorimer.models.streams.messages import MessagesAnswer
from lorimer.models.streams.reading import Assembler, Pace, collect, had_begun, network_errors, pieces

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic


class _StopDetails(ReplyFields):
    explanation: str | None = None


class _Block(ReplyFields):
    type: str | None = None


class _Reply(ReplyFields):
    """What an answer must be; counts may be anything."""

    content: list[_Block]
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None


class AnthropicDialect:
    """POST /v1/messages."""

    optional = messages_api.OPTIONAL

    def __init__(self, model: str, provider: ProviderConfig, key: Key) -> None:
        import anthropic

        self._provider, self._served = provider, served(model, provider)
        headers = key.headers()
        if not provider.official and "x-api-key" not in {name.lower() for name in headers}:
            # The SDK sends a bearer token; many compatible servers and proxies look for this header alone.
            headers["x-api-key"] = key.reveal()
        timeout = provider.retry.timeout_seconds
        self._client: AsyncAnthropic = anthropic.AsyncAnthropic(
            api_key=key.reveal(),
            base_url=provider.base_url,
            # Ours, in one place for every provider, with a window and a voice.
            max_retries=0,
            # Explicit, so that the SDK does not refuse large answers that are not streamed.
            timeout=anthropic.Timeout(timeout, connect=min(10.0, timeout)),
            default_headers=headers or None,
            # A redirect would carry prompts to an address that the user did not name.
            http_client=anthropic.DefaultAsyncHttpxClient(follow_redirects=False),
        )
        self.base_url = str(self._client.base_url)

    def encode(self, request: ModelRequest, dropped: frozenset[str], *, stream: bool = False) -> dict[str, Any]:
        """See Dialect."""
        return messages_api.encode(self._served, request, dropped, stream=stream)

    def decode(self, data: Any, request: ModelRequest) -> Completion:
        """See Dialect."""
        _Reply.model_validate(data)
        return messages_api.decode(data)

    def usage(self, data: Mapping[str, Any]) -> Usage:
        """See Dialect."""
        return messages_api.usage_of(data)

    def learn(self, words: str, body: Mapping[str, Any], request: ModelRequest) -> bool:
        """See Dialect."""
        return False

    async def send(self, body: dict[str, Any], pace: Pace) -> bytes:
        """See Dialect."""
        # By `extra_body`, as it stands: not every field that servers take is in the SDK's signature (temperature).
        named = {key: body[key] for key in ("model", "max_tokens", "messages")}
        rest = {key: value for key, value in body.items() if key not in named}
        messages: Any = self._client.messages
        with _told():
            if body.get("stream"):
                async with messages.with_streaming_response.create(**named, extra_body=rest) as response:
                    return await collect(pieces(response), self.assembler(), pace)
            content: bytes = await (await messages.with_raw_response.create(**named, extra_body=rest)).read()
        return content

    def assembler(self) -> Assembler:
        """See Dialect."""
        return MessagesAnswer()

    async def list_models(self) -> bytes:
        """See Dialect. The provider itself is asked for its whole list in one page, with what it has retired."""
        asked: dict[str, Any] = {"limit": 1000, "lifecycle": ["active", "deprecated", "retired"]}
        models: Any = self._client.models.with_raw_response
        with _told():
            content: bytes = await (await models.list(**asked if self._provider.official else {})).read()
        return content

    async def close(self) -> None:
        await self._client.close()


@contextmanager
def _told() -> Iterator[None]:
    """The SDK's exceptions, and those that it lets through, as lorimer's own."""
    import anthropic

    try:
        yield
    except anthropic.APIStatusError as error:
        raise StatusFailure(error.status_code, dict(error.response.headers), error.response.text) from None
    except anthropic.APIConnectionError as error:
        raise Unreachable(f"{error.message.partition('.')[0]}: {why(error)}", begun=had_begun(error)) from None
    except network_errors() as error:
        raise Unreachable(f"the answer could not be read: {type(error).__name__} {error}".strip()) from None
