"""The model that answers a harness: one HTTP request per call, by the standard library."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorimer.errors import ConfigError, LorimerError, ProviderOutage
from lorimer.exports.runtime.settings import Endpoint, Settings
from lorimer.harness import structured
from lorimer.harness.api import (
    Completion,
    Effort,
    LimitReached,
    Message,
    StopReason,
    Tool,
    ToolChoice,
    assistant,
)
from lorimer.models.base import ModelRequest
from lorimer.models.bodies import chat_api, messages_api, responses_api
from lorimer.models.bodies.settings import Optional, Served, unsupported
from lorimer.models.messages import encodable, without_system
from lorimer.models.usage import counted

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds between attempts: the first, doubled each time, and the most of our own choosing."""
_RETRIED = frozenset({408, 409, 425, 429})
_SET_UP = frozenset({301, 302, 303, 307, 308, 401, 402, 403, 404, 405, 501})
"""Statuses of a wrong key, address or model: no later call will fare better."""
_OVERFLOW = re.compile(
    r"context_length_exceeded|prompt is too long|maximum context length|context window|context size|too many tokens",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Api:
    """How one API is spoken."""

    path: str
    optional: Mapping[str, Optional]
    encode: Callable[[Served, ModelRequest, frozenset[str]], dict[str, Any]]
    decode: Callable[[Served, Mapping[str, Any], ModelRequest], Completion]


APIS: Mapping[str, Api] = {
    "anthropic": Api(
        "/v1/messages",
        messages_api.OPTIONAL,
        messages_api.encode,
        lambda served, data, request: messages_api.decode(data),
    ),
    "responses": Api("/responses", responses_api.OPTIONAL, responses_api.encode, responses_api.decode),
    "chat": Api("/chat/completions", chat_api.OPTIONAL, chat_api.encode, chat_api.decode),
}


class _Failed(Exception):
    """An HTTP error. `after` is what the server asks to wait, in seconds."""

    def __init__(self, status: int, words: str, after: float | None) -> None:
        super().__init__(words)
        self.status, self.words, self.after = status, words, after


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry prompts to an address that nobody named."""

    def redirect_request(self, *_: Any) -> None:
        return None


class HttpModel:
    """The LLM of a harness. Counts what it uses and holds it to its limits; may be called from several threads."""

    def __init__(
        self, settings: Settings, endpoint: Endpoint, deadline: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings, self._endpoint, self._deadline, self._sleep = settings, endpoint, deadline, sleep
        self._api = APIS[endpoint.api]
        self._served = Served(
            settings.name,
            settings.max_tokens,
            settings.provider,
            endpoint.official,
            settings.send_reasoning,
            dict(settings.extra_body),
        )
        self._dropped: frozenset[str] = frozenset()
        self._opener = urllib.request.build_opener(_NoRedirects)
        self._lock = threading.Lock()
        self.calls = self.tokens = 0
        self.failure: LorimerError | None = None
        """What no later call can mend: a wrong key, or a provider that is out."""

    def complete(
        self,
        messages: Sequence[Message],
        *,
        system: str | None = None,
        tools: Sequence[Tool] = (),
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        temperature: float | None = None,
        effort: Effort | None = None,
        schema: Mapping[str, Any] | None = None,
        tool_choice: ToolChoice | None = None,
    ) -> Completion:
        """See LLM. Raises LimitReached; ConfigError and ProviderOutage, which end the task."""
        system, rest = without_system(system, tuple(messages))
        most = min(max_tokens, self._settings.max_tokens) if max_tokens else None
        choice = None if tool_choice == "auto" or not tools else tool_choice
        request = ModelRequest(rest, system, tuple(tools), most, tuple(stop), temperature, effort, schema, choice)
        with self._lock:
            self._check()
            self.calls += 1
        try:
            completion = counted(request, self._ask(request), most or self._settings.max_tokens)
        except LorimerError as error:
            self.failure = error
            raise
        with self._lock:
            self.tokens += completion.usage.input_tokens + completion.usage.output_tokens
        if schema is None and tool_choice is None:
            return completion
        return structured.checked(completion, schema, tool_choice)

    def _check(self) -> None:
        settings = self._settings
        if time.monotonic() >= self._deadline:
            raise LimitReached(f"time limit: {settings.seconds:g} s used")
        if self.calls >= settings.calls:
            raise LimitReached(f"model calls: {self.calls} of {settings.calls} used")
        if settings.tokens is not None and self.tokens >= settings.tokens:
            raise LimitReached(f"tokens: {self.tokens} of {settings.tokens} used")

    def _ask(self, request: ModelRequest) -> Completion:
        wait, until = FIRST_WAIT, 0.0
        while True:
            dropped = self._dropped
            try:
                body = encodable(self._api.encode(self._served, request, dropped))
                return self._api.decode(self._served, self._post(body), request)
            except _Failed as failed:
                failure = failed
            except (KeyError, IndexError, TypeError, AttributeError) as error:
                failure = _Failed(500, f"the answer is no completion: {error!r}", None)
            except (ValueError, RecursionError) as error:
                return _ended("rejected", f"the request cannot be written as JSON: {error}")
            if failure.status not in _RETRIED and failure.status < 500:
                setting = unsupported(failure.words, body, dropped, self._api.optional)
                if setting is not None:
                    self._dropped |= {setting}
                    continue
                return self._refused(failure)
            now = time.monotonic()
            until = until or now + self._settings.retry_seconds
            pause = wait if failure.after is None else failure.after
            if now + pause > min(until, self._deadline):
                raise ProviderOutage(f"model {self._settings.model}: no answer: {failure.words}")
            print(f"run: waiting {pause:.0f} s: {failure.words}", file=sys.stderr)  # noqa: T201 - a command line
            self._sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)

    def _refused(self, failure: _Failed) -> Completion:
        if failure.status == 413 or _OVERFLOW.search(failure.words):
            return _ended("context_overflow", failure.words)
        if failure.status in _SET_UP:
            raise ConfigError(
                f"model {self._settings.model} at {self._endpoint.base_url}: HTTP {failure.status}: {failure.words}",
                "check the key, the address and the model's name",
            )
        return _ended("rejected", failure.words)

    def _post(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer, a JSON object. Raises _Failed."""
        request = urllib.request.Request(  # noqa: S310 - the address is the user's own
            self._endpoint.base_url + self._api.path,
            json.dumps(body, ensure_ascii=False).encode(),
            dict(self._endpoint.headers),
        )
        try:
            with self._opener.open(request, timeout=self._settings.timeout_seconds) as reply:
                raw = reply.read()
        except urllib.error.HTTPError as error:
            with error:
                words = _words(error.read())
            raise _Failed(error.code, words or f"HTTP {error.code}", _after(error.headers.get("retry-after"))) from None
        except (OSError, ValueError) as error:
            raise _Failed(503, f"no answer: {error}", None) from None
        try:
            data = json.loads(raw)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise _Failed(502, f"the answer is not JSON: {raw[:200]!r}", None)
        if data.get("error") and not any(data.get(key) for key in ("choices", "output", "content")):
            raise _Failed(500, _words(raw), None)
        return data


def _words(raw: bytes) -> str:
    """What an error body says, in one line."""
    text = raw.decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(str(text).split())[:2000]


def _after(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None


def _ended(reason: StopReason, words: str) -> Completion:
    return Completion(assistant(""), reason, error=words)
