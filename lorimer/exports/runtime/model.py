"""The model that answers a harness: one HTTP request per call, by the standard library."""

from __future__ import annotations

import http.client
import json
import math
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lorimer.errors import ConfigError, ProviderOutage
from lorimer.exports.runtime.limited import LimitedModel, ended
from lorimer.exports.runtime.settings import Endpoint, Settings
from lorimer.harness.api import Completion
from lorimer.models.base import ModelRequest
from lorimer.models.bodies import chat_api, messages_api, responses_api
from lorimer.models.bodies.settings import Optional, Served, unsupported
from lorimer.models.bodies.words import CONTEXT_OVERFLOW
from lorimer.models.messages import encodable

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds between attempts: the first, doubled each time, and the most of our own choosing."""
_RETRIED = frozenset({408, 409, 425, 429})
_SET_UP = frozenset({301, 302, 303, 307, 308, 401, 402, 403, 404, 405, 501})
"""Statuses of a wrong key, address or model: no later call will fare better."""


@dataclass(frozen=True)
class SpokenApi:
    """How one API is spoken."""

    path: str
    optional: Mapping[str, Optional]
    encode: Callable[[Served, ModelRequest, frozenset[str]], dict[str, Any]]
    decode: Callable[[Served, Mapping[str, Any], ModelRequest], Completion]


APIS: Mapping[str, SpokenApi] = {
    "anthropic": SpokenApi(
        "/v1/messages",
        messages_api.OPTIONAL,
        messages_api.encode,
        lambda served, data, request: messages_api.decode(data),
    ),
    "responses": SpokenApi("/responses", responses_api.OPTIONAL, responses_api.encode, responses_api.decode),
    "chat": SpokenApi("/chat/completions", chat_api.OPTIONAL, chat_api.encode, chat_api.decode),
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


class HttpModel(LimitedModel):
    """The LLM of a harness, asked over HTTP."""

    def __init__(self, settings: Settings, endpoint: Endpoint, deadline: float) -> None:
        super().__init__(settings, deadline)
        self._endpoint = endpoint
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

    def _answer(self, request: ModelRequest) -> Completion:
        """Raises ConfigError and ProviderOutage, which end the task."""
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
                return ended("rejected", f"the request cannot be written as JSON: {error}")
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
            time.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)

    def _refused(self, failure: _Failed) -> Completion:
        if failure.status == 413 or CONTEXT_OVERFLOW.search(failure.words):
            return ended("context_overflow", failure.words)
        if failure.status in _SET_UP:
            raise ConfigError(
                f"model {self._settings.model} at {self._endpoint.base_url}: HTTP {failure.status}: {failure.words}",
                "check the key, the address and the model's name",
            )
        return ended("rejected", failure.words)

    def _post(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer, a JSON object. Raises _Failed."""
        request = urllib.request.Request(  # noqa: S310 - the address is the user's own
            self._endpoint.base_url + self._api.path,
            json.dumps(body, ensure_ascii=False).encode(),
            dict(self._endpoint.headers),
        )
        until = min(time.monotonic() + self._settings.timeout_seconds, self._deadline)
        try:
            with self._opener.open(request, timeout=max(0.1, until - time.monotonic())) as reply:
                raw = _read(reply, until)
        except urllib.error.HTTPError as error:
            with error:
                words = _said_by(error)
            raise _Failed(error.code, words or f"HTTP {error.code}", _after(error.headers.get("retry-after"))) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
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


def _read(reply: Any, until: float) -> bytes:
    """All of an answer. Raises OSError where it breaks off or takes too long: a proxy may send white space for as long as the
    model thinks, and each byte of it would begin the time of a plain `read` anew.
    """
    pieces = []
    while piece := reply.read1(65_536):
        pieces.append(piece)
        if time.monotonic() > until:
            raise TimeoutError("the answer took too long")
    if reply.length:
        raise ConnectionError("the answer broke off")
    return b"".join(pieces)


def _said_by(error: urllib.error.HTTPError) -> str:
    """What the body of an error says; nothing where it breaks off, as its status stands."""
    try:
        return _words(error.read())
    except (OSError, ValueError, http.client.HTTPException):
        return ""


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
        asked = float(header or "")
    except ValueError:
        return None
    return max(0.0, asked) if math.isfinite(asked) else None
