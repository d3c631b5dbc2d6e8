"""OpenAI's Responses API, stateless: nothing is stored there, and reasoning comes back encrypted, to be sent again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lorimer.harness.api import Completion, Usage
from lorimer.models.base import ModelRequest
from lorimer.models.bodies import responses_api
from lorimer.models.client import ReplyFields, served
from lorimer.models.dialects.openai import OpenAIConnection, sdk_extra
from lorimer.models.provider import Key, ProviderConfig
from lorimer.models.streams.reading import Assembler, Pace
from lorimer.models.streams.responses import ResponsesAnswer


class _Incomplete(ReplyFields):
    reason: str | None = None


class _Reply(ReplyFields):
    """What an answer must be; counts may be anything."""

    output: list[dict[str, Any]]
    status: str | None = None
    incomplete_details: _Incomplete | None = None


class ResponsesDialect:
    """POST /responses."""

    optional = responses_api.OPTIONAL

    def __init__(self, model: str, provider: ProviderConfig, key: Key) -> None:
        self._served, self._extra = replace(served(model, provider), extra={}), sdk_extra(provider)
        self._connection = OpenAIConnection(provider, key)
        self.base_url = self._connection.base_url

    def encode(self, request: ModelRequest, dropped: frozenset[str], *, stream: bool = False) -> dict[str, Any]:
        """See Dialect."""
        return responses_api.encode(self._served, request, dropped, stream=stream) | self._extra

    def decode(self, data: Any, request: ModelRequest) -> Completion:
        """See Dialect."""
        _Reply.model_validate(data)
        return responses_api.decode(self._served, data, request)

    def usage(self, data: Mapping[str, Any]) -> Usage:
        """See Dialect."""
        return responses_api.usage_of(data)

    def learn(self, words: str, body: Mapping[str, Any], request: ModelRequest) -> bool:
        """See Dialect."""
        return False

    async def send(self, body: dict[str, Any], pace: Pace) -> bytes:
        """See Dialect."""
        if body.get("stream"):
            return await self._connection.stream("responses", body, self.assembler(), pace)
        return await self._connection.post("responses", body)

    def assembler(self) -> Assembler:
        """See Dialect."""
        return ResponsesAnswer()

    async def close(self) -> None:
        await self._connection.close()

    async def list_models(self) -> bytes:
        """See Dialect."""
        return await self._connection.list_models()
